"""Writers are killed at random moments, also while they start: no entry that was acknowledged is lost, nothing shown is unsaid, and
`fsck` agrees.

A nursery process imports everything once and forks a writer per line it is told, so that a kill costs milliseconds and hundreds of
them are cheap.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.ledger.checkpoint import read_unverified
from custodes.ledger.fsck import fsck
from custodes.ledger.hammer import commitment_at
from custodes.ledger.leaf import decode
from custodes.ledger.log import Log
from custodes.ledger.proof import root_of
from custodes.ledger.segments import Segments
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)

NURSERY = """
import os, random, sys
from pathlib import Path
from custodes.ledger.hammer import commitment_at
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer

def write(seed, most):
    chance = random.Random(seed)
    with Log.open(Path(sys.argv[1]), Signer("test.example/log", b"\\x01" * 32, b"\\x02" * 32)) as log:
        while True:
            with log.batch() as batch:
                numbers = range(batch.first, batch.first + chance.randrange(1, most))
                batch.add_all(500_000, 1, [(1, NO_TAG, commitment_at(number)) for number in numbers])
            os.write(told, b"%d\\n" % log.size)
            if chance.random() < 0.3:
                point = log.publish()
                os.write(told, f"{point.size} {point.root.hex()}\\n".encode())

import custodes.ledger.note, cryptography.hazmat.primitives.asymmetric.mldsa
told = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for line in sys.stdin:
    child = os.fork()
    if not child:
        write(*map(int, line.split()))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


class Nursery:
    """Has writers made and kills them."""

    def __init__(self, folder: Path, most: int) -> None:
        self._told, self._read, self._most = folder.with_name(f"{folder.name}-told-{most}"), 0, most
        command = [sys.executable, "-c", NURSERY, str(folder), str(self._told)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, seed: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(seed, self._most, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def await_work(self) -> None:
        """Wait until a writer has told of something new."""
        until = time.monotonic() + 60
        while not self._told.exists() or self._told.stat().st_size == self._read:
            assert time.monotonic() < until
            time.sleep(0.001)

    def kill(self, writer: int) -> None:
        assert self._process.stdout is not None
        os.kill(writer, signal.SIGKILL)
        assert self._process.stdout.readline() == "gone\n"

    def told(self) -> tuple[int, dict[int, str]]:
        """Return the last size that was acknowledged since the last question, and all roots published since then."""
        data = self._told.read_bytes()[self._read :] if self._told.exists() else b""
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        lines = [line.split() for line in data.decode().splitlines()]
        return max((int(line[0]) for line in lines), default=0), {int(line[0]): line[1] for line in lines if len(line) == 2}

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(30) == 0


@contextlib.contextmanager
def nursery(folder: Path, most: int) -> Iterator[Nursery]:
    made = Nursery(folder, most)
    try:
        yield made
    finally:
        made.close()


def _loop(folder: Path, kills: int, most: int) -> int:
    chance = random.Random(f"{kills} kills")
    Log.create(folder, SIGNER.name, SIGNER).close()
    seen: dict[int, str] = {}
    size = at_work = 0
    with nursery(folder, most) as writers:
        for turn in range(kills):
            writer = writers.start(turn)
            if chance.random() < 0.75:
                writers.await_work()
            time.sleep(chance.random() ** 2 * 0.1)
            writers.kill(writer)
            acknowledged, published = writers.told()
            at_work += acknowledged > 0
            seen |= published
            shown = read_unverified((folder / "checkpoint").read_bytes())
            with Log.open(folder, SIGNER) as log:
                assert log.size >= max(acknowledged, size)  # P1, and a restart goes on where the last one stopped
                size = log.size
                assert shown.size <= log.checkpoint.size <= size
                assert (shown.size, shown.root) in [(record.size, record.root) for record in read_signed(folder / "signed")]
                tail = [decode(entry) for entry in log.read(max(0, size - 5), size)]
                assert [leaf.seq for leaf in tail] == list(range(max(0, size - 5), size))
                assert [leaf.commit for leaf in tail] == [commitment_at(number) for number in range(max(0, size - 5), size)]
                if turn % 3 == 0:
                    assert log.publish().size == size
            report = fsck(folder) if turn % 50 == 0 else None
            assert report is None or (report.exit_code, report.problems) == (0, [])
    assert at_work > kills // 2  # the others were killed while they started
    records = {record.size: record.root.hex() for record in read_signed(folder / "signed")}
    assert seen.items() <= records.items()  # P3
    reader = Segments(folder)
    for at, root in list(seen.items())[-5:]:
        assert root_of(reader, at).hex() == root
    report = fsck(folder)
    assert (report.exit_code, report.problems, report.entries) == (0, [], size)
    return size


def test_fifty_kills_under_load_lose_nothing_and_never_fork(tmp_path: Path) -> None:
    assert _loop(tmp_path / "log", 50, 400) > 50 * 100


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_hundred_kills_over_several_segments_lose_nothing_and_never_fork(tmp_path: Path) -> None:
    assert _loop(tmp_path / "log", 500, 3_000) > 2 * 65_536


def test_two_writers_killed_in_turn_share_one_history(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    Log.create(folder, SIGNER.name, SIGNER).close()
    chance, acknowledged, seen = random.Random("two writers"), 0, {}
    with nursery(folder, 40) as ones, nursery(folder, 41) as others:
        for turn in range(10):
            both = [(group, group.start(turn)) for group in (ones, others)]
            for group, writer in both:
                group.await_work()
                time.sleep(chance.random() * 0.05)
                group.kill(writer)
            for group in (ones, others):
                size, published = group.told()
                acknowledged = max(acknowledged, size)
                assert seen.items() <= (seen | published).items()
                seen |= published
    with Log.open(folder, SIGNER) as log:
        assert log.publish().size == log.size >= acknowledged > 0
        found = [decode(entry).commit for entry in log.read(0, log.size)]
        assert found == [commitment_at(index) for index in range(log.size)]
    assert seen.items() <= {record.size: record.root.hex() for record in read_signed(folder / "signed")}.items()
    report = fsck(folder)
    assert (report.exit_code, report.problems) == (0, [])
