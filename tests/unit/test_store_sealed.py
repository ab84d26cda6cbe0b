"""Sealed streams: what was appended is read, what a crash tore is cut, what was changed is refused."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from custodes.errors import PartMissing
from custodes.store.sealed import Drawer, Stream

KEY = bytes(range(32))
DAY = date(2026, 9, 1)


def stream(folder: Path) -> Stream:
    return Stream(folder / "intake", KEY, ("names", "raws"))


def file_of(folder: Path) -> Path:
    (file,) = (folder / "intake").iterdir()
    return file


def test_frames_come_back_in_order_over_days(tmp_path: Path) -> None:
    written = stream(tmp_path)
    for number in range(5):
        written.append([b"names %d" % number, b"r" * number], date(2026, 9, 1 + number // 2))
    found = [(frame.number, frame.section(0), frame.section(1)) for frame in stream(tmp_path).frames()]
    assert found == [(number, b"names %d" % number, b"r" * number) for number in range(5)]
    assert [frame.number for frame in stream(tmp_path).frames(3)] == [3, 4]
    assert [frame.day for frame in stream(tmp_path).frames()][::4] == ["2026-09-01", "2026-09-03"]


def test_a_clock_that_fell_keeps_the_order(tmp_path: Path) -> None:
    written = stream(tmp_path)
    written.append([b"a", b""], date(2026, 9, 2))
    written.append([b"b", b""], date(2026, 9, 1))
    assert [frame.section(0) for frame in stream(tmp_path).frames()] == [b"a", b"b"]


def test_contents_do_not_show(tmp_path: Path) -> None:
    stream(tmp_path).append([b"a name that nobody may read" * 10, b"another name" * 10], DAY)
    data = file_of(tmp_path).read_bytes()
    assert b"name" not in data.replace(b"intake", b"")


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_frame_is_cut_and_the_next_takes_its_number(tmp_path: Path, cut: int) -> None:
    written = stream(tmp_path)
    written.append([b"first", b""], DAY)
    written.append([b"second", b"x" * 100], DAY)
    file = file_of(tmp_path)
    os.truncate(file, file.stat().st_size - cut)
    assert [frame.section(0) for frame in stream(tmp_path).frames()] == [b"first"]
    again = stream(tmp_path)
    assert again.count() == 1
    assert again.append([b"third", b""], DAY) == 1
    assert [frame.section(0) for frame in stream(tmp_path).frames()] == [b"first", b"third"]


def test_zeros_after_a_power_failure_are_cut(tmp_path: Path) -> None:
    stream(tmp_path).append([b"first", b""], DAY)
    with file_of(tmp_path).open("ab") as handle:
        handle.write(bytes(500))
    assert stream(tmp_path).count() == 1


def test_damage_is_never_tidied_away(tmp_path: Path) -> None:
    stream(tmp_path).append([b"first", b""], DAY)
    with file_of(tmp_path).open("ab") as handle:
        handle.write(b"something else")
    with pytest.raises(PartMissing):
        stream(tmp_path).count()


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    stream(tmp_path).append([b"first", b"raws"], DAY)
    stream(tmp_path).append([b"second", b"raws"], DAY)
    file = file_of(tmp_path)
    data = file.read_bytes()
    whole = [(b"first", b"raws"), (b"second", b"raws")]
    for at in range(len(data)):
        file.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        try:
            found = [(frame.section(0), frame.section(1)) for frame in stream(tmp_path).frames()]
        except PartMissing:
            continue
        assert found != whole, f"byte {at}"


def test_frames_cannot_change_places(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        stream(tmp_path).append([text, b""], DAY)
    file = file_of(tmp_path)
    data = file.read_bytes()
    half = len(data) // 2
    file.write_bytes(data[half:] + data[:half])
    with pytest.raises(PartMissing):
        list(stream(tmp_path).frames())


def test_cut_to_takes_back_the_last_frames(tmp_path: Path) -> None:
    written = stream(tmp_path)
    for number in range(4):
        written.append([b"%d" % number, b""], date(2026, 9, 1 + number))
    written.cut_to(1)
    assert [frame.section(0) for frame in stream(tmp_path).frames()] == [b"0"]
    assert written.append([b"new", b""], date(2026, 9, 9)) == 1


def test_a_drawer_gives_back_what_was_put_and_refuses_what_was_changed(tmp_path: Path) -> None:
    drawer = Drawer(tmp_path / "positions", KEY)
    assert drawer.get("a") is None
    drawer.put("a", b"one")
    drawer.put("a", b"two")
    drawer.put("b", b"three")
    assert (drawer.get("a"), drawer.get("b")) == (b"two", b"three")
    for file in (tmp_path / "positions").iterdir():
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(PartMissing):
        drawer.get("a")
