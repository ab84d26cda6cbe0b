"""A writer is killed at random moments: no entry that it acknowledged is lost, nothing shown is unsaid, and `fsck` agrees."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from custodes.ledger.checkpoint import read_unverified
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import decode
from custodes.ledger.log import Log
from custodes.ledger.proof import root_of
from custodes.ledger.segments import Segments
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)

WRITER = """
import sys
from pathlib import Path
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
log = Log.open(Path(sys.argv[1]), Signer("test.example/log", b"\\x01" * 32, b"\\x02" * 32))
out = sys.stdout
turn = 0
while True:
    with log.batch() as batch:
        for number in range(int(sys.argv[2])):
            batch.add(1, 500_000, 1, NO_TAG, number.to_bytes(32, "big"))
    out.write(f"a {log.size}\\n")
    turn += 1
    if turn % 3 == 0:
        point = log.publish()
        out.write(f"p {point.size} {point.root.hex()}\\n")
    out.flush()
"""


def _run_and_kill(folder: Path, seconds: float, batch: int) -> tuple[int, dict[int, str]]:
    """Let a writer work, kill it, return what it acknowledged and published."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(batch)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()  # it is at work
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        lines = [line for line in (first + child.stdout.read()).splitlines(keepends=True) if line.endswith("\n")]
        child.wait()
    acknowledged, published = 0, {}
    for line in lines:
        match line.split():
            case ["a", size]:
                acknowledged = int(size)
            case ["p", size, root]:
                published[int(size)] = root
    return acknowledged, published


def _loop(folder: Path, kills: int, batch: int) -> int:
    chance = random.Random(f"{kills} kills")
    Log.create(folder, SIGNER.name, SIGNER).close()
    seen: dict[int, str] = {}
    size = 0
    for _ in range(kills):
        acknowledged, published = _run_and_kill(folder, chance.random() * 0.12, batch)
        seen |= published
        assert acknowledged >= size  # a restart goes on where the last one stopped
        shown = read_unverified((folder / "checkpoint").read_bytes())
        with Log.open(folder, SIGNER) as log:
            size = log.size
            assert size >= acknowledged
            assert shown.size <= log.checkpoint.size <= size
            assert (shown.size, shown.root) in [(record.size, record.root) for record in read_signed(folder / "signed")]
            tail = [decode(entry).seq for entry in log.read(max(0, size - 5), size)]
            assert tail == list(range(max(0, size - 5), size))
            assert log.publish().size == size
    records = {record.size: record.root.hex() for record in read_signed(folder / "signed")}
    assert seen.items() <= records.items()
    reader = Segments(folder)
    for at, root in list(seen.items())[-5:]:
        assert root_of(reader, at).hex() == root
    report = fsck(folder)
    assert (report.exit_code, report.problems, report.entries) == (0, [], size)
    return size


def test_a_writer_killed_again_and_again_loses_nothing_and_never_forks(tmp_path: Path) -> None:
    assert _loop(tmp_path / "log", 12, 150) > 12 * 150


@pytest.mark.slow
def test_a_writer_killed_fifty_times_over_several_segments(tmp_path: Path) -> None:
    assert _loop(tmp_path / "log", 50, 3000) > 65_536


def test_two_writers_killed_in_turn_share_one_history(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    Log.create(folder, SIGNER.name, SIGNER).close()
    command = [sys.executable, "-c", WRITER, str(folder), "40"]
    for _ in range(3):
        children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()  # it is at work, and so may the other be
        for child in children:
            time.sleep(0.05)
            os.kill(child.pid, signal.SIGKILL)
            child.communicate()
    with Log.open(folder, SIGNER) as log:
        assert log.publish().size == log.size >= 6 * 40
    report = fsck(folder)
    assert (report.exit_code, report.problems) == (0, [])
