"""An erasure cut short at any write, sync or rename and begun again ends in the same state; nothing of the subject is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from erasing_stage import MARKS, WHO, everything_in, intend, marked_home, state

from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.fsck import fsck

_CALLS = ("write", "sync", "rename", "truncate", "sync_folder")

_DRIVER = """
import os, signal, sys
from pathlib import Path
from custodes.home import Home
from custodes.ledger.disk import Disk
left = int(sys.argv[1])
def counted(name, before):
    real = getattr(Disk, name)
    def call(self, *arguments):
        global left
        left -= 1
        if left == 0 and before:
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, *arguments)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(Disk, name, call)
for name in ("write", "sync", "rename", "truncate", "sync_folder"):
    counted(name, sys.argv[2] == "before")
with Home.open(Path(sys.argv[3])) as home:
    eraser = home.eraser()
    with home.intake().quiet():
        eraser.destroy(sys.argv[4])
"""


class Start(NamedTuple):
    """A home whose erasure was recorded as intended; `expected` is the state after it, of the first `size` leaves.

    `calls`: how many calls to the disk it takes.
    """

    home: Path
    subject: str
    size: int
    expected: Any
    calls: int


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    folder = tmp_path_factory.mktemp("start")
    home = marked_home(folder, parts=1, count=6)
    with Home.open(home) as opened:
        subject = opened.pseudonyms.of("subject", WHO)
        intend(opened, subject)
        size = opened.log().size
    whole = Path(shutil.copytree(home, folder / "whole"))
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    with pytest.MonkeyPatch.context() as patch:
        _watch(patch, count, lambda: None)
        _destroy(whole, subject)
    return Start(home, subject, size, state(whole, size), calls)


def _watch(patch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]) -> None:
    for name in _CALLS:
        real = getattr(Disk, name)

        def call(*arguments: Any, real: Any = real) -> Any:
            before()
            result = real(*arguments)
            after()
            return result

        patch.setattr(Disk, name, call)


def _destroy(home: Path, subject: str) -> None:
    with Home.open(home) as opened:
        eraser = opened.eraser()
        with opened.intake().quiet():
            eraser.destroy(subject)


def _cut_short(home: Path, subject: str, side: str, stop: int) -> None:
    """Begin the erasure, and end it before or after (`side`) its call number `stop` to the disk."""
    left = stop

    def count() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise Killed

    nothing = lambda: None  # noqa: E731  # a word for doing nothing
    with pytest.MonkeyPatch.context() as patch:
        _watch(patch, count if side == "before" else nothing, count if side == "after" else nothing)
        with pytest.raises(Killed):
            _destroy(home, subject)


def _check(home: Path, start: Start, case: object) -> None:
    """Erase again, and compare."""
    _destroy(home, start.subject)
    for mine, theirs in zip(state(home, start.size), start.expected, strict=True):
        assert mine == theirs, case
    for name, content in everything_in(home):
        assert not [mark for mark in (*MARKS, start.subject.encode()) if mark in content], (case, name)
    assert not list(home.rglob("*.new")), case
    with Home.open(home) as opened:
        report = fsck(home / "ledger" / "log", opened.vault())
        assert not report.problems, case
        assert report.erased, case


@pytest.mark.parametrize("side", ["before", "after"])
def test_cut_short_at_calls_and_begun_again(start: Start, tmp_path: Path, side: str) -> None:
    _at_calls(start, tmp_path, side, step=7)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("side", ["before", "after"])
def test_cut_short_at_every_call_and_begun_again(start: Start, tmp_path: Path, side: str) -> None:
    _at_calls(start, tmp_path, side, step=1)


def _at_calls(start: Start, tmp_path: Path, side: str, *, step: int) -> None:
    home, subject, calls = start.home, start.subject, start.calls
    assert calls > 60
    for stop in range(1 if step == 1 else calls % step, calls + 1, step):
        mine = Path(shutil.copytree(home, tmp_path / str(stop)))
        _cut_short(mine, subject, side, stop)
        _check(mine, start, (side, stop))
        shutil.rmtree(mine)


@pytest.mark.parametrize(("side", "share"), [("before", 0.3), ("after", 0.5), ("before", 0.7), ("after", 0.8)])
def test_killed_and_begun_again(start: Start, tmp_path: Path, side: str, share: float) -> None:
    home, subject, calls = start.home, start.subject, start.calls
    mine = Path(shutil.copytree(home, tmp_path / "home"))
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(int(calls * share)), side, str(mine), subject],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    _check(mine, start, (side, share))


def test_an_intake_between_a_crash_and_the_second_call_changes_nothing(start: Start, tmp_path: Path) -> None:
    home, subject, calls = start.home, start.subject, start.calls
    for stop in range(5, calls, 29):
        mine = Path(shutil.copytree(home, tmp_path / str(stop)))
        _cut_short(mine, subject, "before", stop)
        with Home.open(mine) as opened:
            opened.intake().read("access", [str(home.parent / "0.ndjson")])
        _check(mine, start, stop)
