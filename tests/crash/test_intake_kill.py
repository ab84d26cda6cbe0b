"""A run killed at any moment, and run again, ends in the same rows; each raw record is in the ledger exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from intake_reading import check, copy_home, ingest, new_home, records, rows, write

_COMMAND = [sys.executable, "-m", "custodes", "ingest", "--source", "access"]

_DRIVER = """
import os, signal, sys
from custodes.ledger.disk import Disk
from custodes.cli import run
left = int(sys.argv[1])
def counted(name, before):
    real = getattr(Disk, name)
    def call(self, *arguments):
        global left
        left -= 1
        if left == 0 and before:
            os.kill(os.getpid(), signal.SIGKILL)
        if left == 0 and name == "write":
            descriptor, data, offset = arguments
            real(self, descriptor, bytes(data)[: len(data) // 2], offset)  # a torn write
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, *arguments)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(Disk, name, call)
for name in ("write", "sync", "rename"):
    counted(name, sys.argv[2] == "before")
code = run(["ingest", "--source", "access", *sys.argv[3:]])
print(left)
sys.exit(code)
"""


def test_rows_are_those_of_an_uninterrupted_run_after_random_kills(tmp_path: Path) -> None:
    _random_kills(tmp_path, kills=20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_rows_are_those_of_an_uninterrupted_run_after_200_random_kills(tmp_path: Path) -> None:
    _random_kills(tmp_path, kills=200)


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_a_write_sync_or_rename(tmp_path: Path, side: str) -> None:
    _kill_at_calls(tmp_path, side, step=17)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_every_write_sync_and_rename(tmp_path: Path, side: str) -> None:
    _kill_at_calls(tmp_path, side, step=1)


def _random_kills(tmp_path: Path, *, kills: int) -> None:
    """Kill while one input after the other is read into one home; a record that is lost or doubled once stays so."""
    chance = random.Random(kills)
    lines = records(4000)
    parts = [write(tmp_path / f"{number}.ndjson", lines[number * 100 : (number + 1) * 100]) for number in range(40)]
    fresh = new_home(tmp_path / "fresh", batch=100)
    whole = copy_home(fresh, tmp_path / "whole")
    ingest(whole, *parts)
    expected = rows(whole)
    assert expected[0]
    assert expected[1]
    done = round_number = 0
    while done < kills:
        home = copy_home(fresh, tmp_path / f"home-{round_number}")
        ended = False
        while not ended and done < kills:
            ended = _run_until(home, parts, 0.35 + chance.random() * 0.5)
            done += not ended
        assert subprocess.run([*_COMMAND, "--home", home, *parts], check=False, capture_output=True).returncode == 0
        assert rows(home) == expected
        check(home, lines)
        round_number += 1


def _run_until(home: Path, parts: list[Path], seconds: float) -> bool:
    """Run and kill after some seconds; say whether it ended by itself."""
    child = subprocess.Popen([*_COMMAND, "--home", home, *parts], stderr=subprocess.DEVNULL)
    try:
        assert child.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return False
    return True


def _kill_at_calls(tmp_path: Path, side: str, *, step: int) -> None:
    lines = records(60)
    parts = [write(tmp_path / f"{number}.ndjson", lines[number * 20 : (number + 1) * 20]) for number in range(3)]
    fresh = new_home(tmp_path / "fresh", batch=20)
    whole = copy_home(fresh, tmp_path / "whole")
    calls = 10_000 - int(_driven(whole, parts, 10_000, side).stdout)
    assert calls > 20
    expected = rows(whole)
    assert expected[0]
    assert expected[1]
    for number in range(1, calls + 1, step):
        home = copy_home(fresh, tmp_path / f"home-{number}")
        assert _driven(home, parts, number, side).returncode == -signal.SIGKILL
        report = ingest(home, *parts)
        assert not report.unread
        assert rows(home) == expected, f"killed {side} call {number}"
        check(home, lines)


def _driven(home: Path, parts: list[Path], call: int, side: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-c", _DRIVER, str(call), side, "--home", str(home), *map(str, parts)]
    return subprocess.run(arguments, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})


def test_a_second_process_finds_the_home_in_use(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    source = write(tmp_path / "in.ndjson", records(3))
    following = subprocess.Popen([*_COMMAND, "--home", home, "--follow", "--poll", "0.05", source], stderr=subprocess.PIPE)
    try:
        _wait_for(home / "accesses" / "MANIFEST.json")
        second = subprocess.run([*_COMMAND, "--home", home, source], check=False, capture_output=True, text=True)
        assert second.returncode == 5
        assert "another process" in second.stderr
    finally:
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
        assert following.stderr
        following.stderr.close()
    assert len(rows(home)[0]) == 3 - sum(b"yesterday" in line for line in records(3))


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} did not appear"
        time.sleep(0.02)
