"""The spool of broken glass with every call of its disk failed once, each way: what was acknowledged stays, the rest never was."""

from __future__ import annotations

from pathlib import Path

import pytest
from failing_disk import WAYS, Failing

from custodes.errors import NotDurable
from custodes.ledger.disk import Calls, Disk
from custodes.store.spool import Spool

KEY, SIZE = b"k" * 32, 2048


def spool(folder: Path, calls: Calls | None = None) -> Spool:
    return Spool(folder / "spool", KEY, None if calls is None else Disk(calls), size=SIZE)


def contents(folder: Path) -> list[bytes]:
    return [frame.content for frame in spool(folder).frames()]


@pytest.mark.parametrize("way", WAYS)
def test_no_failed_append_harms_what_was_kept(tmp_path: Path, way: str) -> None:
    counted = Failing(10**6, way)
    (tmp_path / "counted").mkdir()
    spool(tmp_path / "counted").prepare()
    spool(tmp_path / "counted", counted).append(b"one")
    for stop in range(1, len(counted.steps) + 1):
        folder = tmp_path / f"at-{stop}"
        folder.mkdir()
        spool(folder).prepare()
        spool(folder).append(b"one")
        calls = Failing(stop, way)
        try:
            spool(folder, calls).append(b"two, and longer")
        except NotDurable:
            assert calls.failed
            assert contents(folder) in ([b"one"], [b"one", b"two, and longer"])
        else:
            assert contents(folder) == [b"one", b"two, and longer"]
        before = contents(folder)
        spool(folder).append(b"three")
        assert contents(folder) == [*before, b"three"]
    assert len(counted.steps) >= 5


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", ["prepare", "clear"])
def test_the_room_is_there_whole_or_taken_again(tmp_path: Path, way: str, step: str) -> None:
    for stop in range(1, 8):
        folder = tmp_path / f"at-{stop}"
        folder.mkdir()
        if step == "clear":
            spool(folder).prepare()
            spool(folder).append(b"one")
        try:
            getattr(spool(folder, Failing(stop, way)), step)()
        except NotDurable:
            assert contents(folder) in ([], [b"one"])
        spool(folder).prepare()
        spool(folder).append(b"two")
        assert contents(folder)[-1] == b"two"
