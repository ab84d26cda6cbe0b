"""Witnesses and logs are killed at random moments: no witness cosigns two roots of one size, no log shows two histories."""

from __future__ import annotations

import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from witness_town import SIGNER, grow, new_log, policy_of, policy_text, stand

from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.cosigner import Cosigner
from custodes.ledger.disk import Disk
from custodes.ledger.fsck import fsck
from custodes.ledger.log import Log
from custodes.ledger.merkle import fold, leaf_hashes
from custodes.ledger.note import parse, verify
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer
from custodes.ledger.witness_client import WitnessClient
from custodes.ledger.witness_messages import request_body
from custodes.ledger.witness_state import State

WITNESS = Cosigner("witness.example/w", b"\x03" * 32, b"\x04" * 32)
LOGS = 10


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a witness by the command line; return it and where it listens."""
    arguments = [
        "ledger",
        "witness",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--key",
        str(folder / "key"),
        "--state",
        str(folder / "state"),
    ]
    child = subprocess.Popen(
        [sys.executable, "-m", "custodes", *arguments, "--log", str(folder / "vkeys")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    return child, child.stdout.readline().strip().removeprefix("http://")


class History:
    """One of two histories of a log: the same key, other leaves from the first on."""

    def __init__(self, signer: Signer, word: str) -> None:
        self.signer, self.entries = signer, [f"{word}{number}".encode() for number in range(4)]

    def request(self, old: int, size: int) -> tuple[bytes, Checkpoint]:
        hashes = leaf_hashes(self.entries[:size])
        point = Checkpoint(self.signer.name, size, fold(hashes))
        proof: list[bytes] = []
        if 0 < old < size:  # of sizes up to 4: RFC 6962, 2.1.2, written out
            pairs = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
            left, right = fold(hashes[:64]), fold(hashes[64:])
            proof = {
                (1, 2): lambda: [pairs[1]],
                (1, 3): lambda: [pairs[1], pairs[2]],
                (1, 4): lambda: [pairs[1], right],
                (2, 3): lambda: [pairs[2]],
                (2, 4): lambda: [right],
                (3, 4): lambda: [pairs[2], pairs[3], left],
            }[old, size]()
        return request_body(old, proof, self.signer.sign(point.body()).to_bytes()), point


def press(address: str, histories: list[History], given: list[tuple[str, int, bytes]], turn: threading.Lock) -> None:
    """Show each history from its first size to its last, going by what the witness says, until it is gone."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        for history in histories:
            old, size = 0, 1
            while size <= 4:
                body, point = history.request(old, size)
                connection.request("POST", "/add-checkpoint", body)
                answer = connection.getresponse()
                data = answer.read()
                if answer.status == 200:
                    verify(parse(body.partition(b"\n\n")[2] + data), WITNESS.keys)
                    with turn:
                        given.append((point.origin, size, point.root))
                    old, size = size, size + 1
                elif answer.status == 409 and int(data) <= 4 and int(data) != old:
                    old = int(data)
                    size = max(size, old + (old == size))
                else:
                    assert answer.status in {409, 422}
                    break
    except (OSError, http.client.HTTPException):
        return  # it was killed
    finally:
        connection.close()


def loop(folder: Path, kills: int) -> int:
    chance = random.Random(f"{kills} kills of a witness")
    Disk().replace(folder / "key", WITNESS.to_bytes())
    State.create(folder / "state").close()
    signers = [
        Signer(f"log{number}.example/{kills}", number.to_bytes(2, "big") * 16, number.to_bytes(4, "big") * 8)
        for number in range(LOGS * kills)
    ]
    (folder / "vkeys").write_text("".join(f"{key.vkey()}\n" for signer in signers for key in signer.keys))
    given: list[tuple[str, int, bytes]] = []
    turn = threading.Lock()
    for number in range(kills):
        mine = signers[number * LOGS : (number + 1) * LOGS]
        child, address = serve(folder)
        try:
            threads = [
                threading.Thread(target=press, args=(address, [History(signer, word) for signer in mine], given, turn))
                for word in ("one", "two", "one", "two")
            ]
            for thread in threads:
                thread.start()
            time.sleep(chance.random() * 0.25)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
        for thread in threads:
            thread.join()
    # What was cut off is asked for again, first by the other history.
    child, address = serve(folder)
    for word in ("two", "one"):
        press(address, [History(signer, word) for signer in signers], given, turn)
    child.terminate()
    child.communicate(timeout=20)
    assert child.returncode == 0
    roots: dict[tuple[str, int], set[bytes]] = {}
    for origin, size, root in given:
        roots.setdefault((origin, size), set()).add(root)
    assert [place for place, found in roots.items() if len(found) > 1] == []
    with State.open(folder / "state") as state:
        last = {seen.origin: seen for seen in state.all()}
    assert len(last) == len(signers)
    for origin, seen in last.items():
        assert seen.size == 4
        assert (origin, 4, seen.root) in given
        # All sizes that were ever given out for a log are of the history that it ended with.
        history = next(
            h
            for signer in signers
            if signer.name == origin
            for w in ("one", "two")
            if (h := History(signer, w)).request(0, 4)[1].root == seen.root
        )
        for size in range(1, 5):
            assert roots.get((origin, size), {history.request(0, size)[1].root}) == {history.request(0, size)[1].root}
    return len(given)


def test_a_witness_killed_again_and_again_never_cosigns_two_roots_of_one_size(tmp_path: Path) -> None:
    assert loop(tmp_path, 3) >= 3 * LOGS * 4


@pytest.mark.slow
def test_a_witness_killed_sixty_times(tmp_path: Path) -> None:
    assert loop(tmp_path, 60) >= 60 * LOGS * 4


WRITER = """
import sys
from pathlib import Path
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.policy import parse_policy
from custodes.ledger.signer import Signer
from custodes.ledger.witness_client import WitnessClient
log = Log.open(Path(sys.argv[1]), Signer("test.example/log", b"\\x01" * 32, b"\\x02" * 32))
asker = WitnessClient(parse_policy(Path(sys.argv[2]).read_bytes()), strict=True)
print("at work", flush=True)
while True:
    with log.batch() as batch:
        for number in range(20):
            batch.add(1, 500_000, 1, NO_TAG, number.to_bytes(32, "big"))
    log.publish(asker)
"""


def kill_writers(folder: Path, kills: int) -> int:
    chance = random.Random(f"{kills} kills of a log")
    new_log(folder / "log").close()
    with stand(folder, "a") as a, stand(folder, "b") as b:
        (folder / "policy").write_text(policy_text([a, b]))
        for _ in range(kills):
            command = [sys.executable, "-c", WRITER, str(folder / "log"), str(folder / "policy")]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None
                child.stdout.readline()
                time.sleep(chance.random() * 0.2)
                os.kill(child.pid, signal.SIGKILL)
            records = {(record.size, record.root) for record in read_signed(folder / "log/signed")}
            for one in (a, b):
                seen = one.state.latest(SIGNER.name)
                assert seen is None or (seen.size, seen.root) in records
            shown = read_unverified((folder / "log/checkpoint").read_bytes())
            assert (shown.size, shown.root) in records
        with Log.open(folder / "log", SIGNER) as log:
            grow(log, 1)
            log.publish(WitnessClient(policy_of([a, b]), strict=True))
            assert read_unverified(log.published.read()).size == log.size
        assert not (folder / "log/fork.json").exists()
        report = fsck(folder / "log")
        assert (report.exit_code, report.problems) == (0, [])
        return log.size


def test_a_log_killed_while_it_asks_its_witnesses_goes_on_without_a_fork(tmp_path: Path) -> None:
    assert kill_writers(tmp_path, 4) > 4


@pytest.mark.slow
def test_a_log_killed_sixty_times_while_it_asks(tmp_path: Path) -> None:
    assert kill_writers(tmp_path, 60) > 60
