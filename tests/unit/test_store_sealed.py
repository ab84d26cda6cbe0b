"""Sealed streams: what was appended is read, what a crash tore is cut, what was changed is refused."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from custodes.errors import CouldNotCheck, PartMissing, UnknownVersion
from custodes.store.drawer import Drawer
from custodes.store.keys import KeyDestroyed, Keys
from custodes.store.sealed import Stream

KEY = bytes(range(32))
DAY = date(2026, 9, 1)


def stream(folder: Path) -> Stream:
    return Stream(folder / "intake", Keys(folder / "keys", KEY), ("names", "raws"))


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
        except CouldNotCheck:
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


def day_file(folder: Path, day: int) -> Path:
    return folder / "intake" / f"2026-09-0{day}.sealed"


def test_another_version_is_refused(tmp_path: Path) -> None:
    stream(tmp_path).append([b"first", b""], DAY)
    file = file_of(tmp_path)
    file.write_bytes(b"CVF1" + file.read_bytes()[4:])
    with pytest.raises(UnknownVersion):
        list(stream(tmp_path).frames())
    with pytest.raises(UnknownVersion):
        stream(tmp_path).count()


def test_each_day_has_keys_of_its_own_and_the_vault_key_only_wraps(tmp_path: Path) -> None:
    written = stream(tmp_path)
    for day in (1, 1, 2):
        written.append([b"names", b"raws"], date(2026, 9, day))
    assert len(list((tmp_path / "keys").iterdir())) == 2
    (first,) = (tmp_path / "keys").glob("intake.2026-09-01.*")
    first.unlink()
    frames = list(stream(tmp_path).frames())
    with pytest.raises(PartMissing):
        frames[0].section(0)
    assert frames[2].section(0) == b"names"
    other = Stream(tmp_path / "intake", Keys(tmp_path / "keys", bytes(32)), ("names", "raws"))
    with pytest.raises(PartMissing):
        next(other.frames(2)).section(0)


def test_one_section_of_old_days_is_destroyed_and_the_others_stay(tmp_path: Path) -> None:
    written = stream(tmp_path)
    for day in (1, 2, 3):
        written.append([b"names", b"raws"], date(2026, 9, day))
    for _ in range(2):
        stream(tmp_path).expire(1, date(2026, 9, 3))
    frames = list(stream(tmp_path).frames())
    assert [frame.is_gone(1) for frame in frames] == [True, True, False]
    assert [frame.section(0) for frame in frames] == [b"names"] * 3
    assert frames[2].section(1) == b"raws"
    for frame in frames[:2]:
        with pytest.raises(KeyDestroyed):
            frame.section(1)


def test_a_file_written_anew_keeps_its_numbers_and_old_copies_open_for_nobody(tmp_path: Path) -> None:
    written = stream(tmp_path)
    for day in (1, 1, 2):
        written.append([b"names", b"raws"], date(2026, 9, day), first=day * 10, span=day)
    old = day_file(tmp_path, 1).read_bytes()
    assert written.rewrite(lambda frame: [b"changed", b""] if frame.number == 1 else None, {1, 2}) == 1
    assert written.rewrite(lambda _: None, {0, 1, 2}) == 0
    frames = list(stream(tmp_path).frames())
    assert [(frame.number, frame.first, frame.span, frame.section(0)) for frame in frames] == [
        (0, 10, 1, b"names"),
        (1, 10, 1, b"changed"),
        (2, 20, 2, b"names"),
    ]
    assert frames[1].section(1) == b""
    assert len(list((tmp_path / "keys").iterdir())) == 2
    assert written.append([b"next", b""], date(2026, 9, 2)) == 3
    day_file(tmp_path, 1).write_bytes(old)
    with pytest.raises(PartMissing):
        next(stream(tmp_path).frames()).section(0)


def test_a_destroyed_section_stays_destroyed_when_its_file_is_written_anew(tmp_path: Path) -> None:
    written = stream(tmp_path)
    for _ in range(2):
        written.append([b"names", b"raws"], DAY)
    written.expire(1, date(2026, 9, 2))
    again = stream(tmp_path)
    again.append([b"late", b"raws"], DAY)  # the clock fell: this must be under keys that exist
    assert next(again.frames(2)).section(1) == b"raws"
    again.rewrite(lambda frame: [b"changed", b"never kept"] if frame.number == 0 else None, {0})
    first, second, third = stream(tmp_path).frames()
    assert (first.section(0), second.section(0), third.section(0), third.section(1)) == (b"changed", b"names", b"late", b"raws")
    for frame in (first, second):
        with pytest.raises(KeyDestroyed):
            frame.section(1)


def test_what_a_crash_of_a_rewrite_left_is_swept(tmp_path: Path) -> None:
    written = stream(tmp_path)
    written.append([b"names", b"raws"], DAY)
    keys = Keys(tmp_path / "keys", KEY)
    stray = keys.make("intake.2026-09-01", ("names", "raws"))
    (tmp_path / "keys" / "intake.2026-09-02.00.key.new").write_bytes(b"half a key")
    (tmp_path / "intake" / "2026-09-01.sealed.new").write_bytes(b"half a file")
    other = keys.make("own.2026-09-01", ("what",))
    written.sweep()
    names = {file.name for file in (tmp_path / "keys").iterdir()}
    assert len(names) == 2
    assert f"own.2026-09-01.{other.hex()}.key" in names
    assert f"intake.2026-09-01.{stray.hex()}.key" not in names
    assert [file.name for file in (tmp_path / "intake").iterdir()] == ["2026-09-01.sealed"]
    assert next(stream(tmp_path).frames()).section(1) == b"raws"


def test_a_stream_that_ended_holds_nothing(tmp_path: Path) -> None:
    written = stream(tmp_path)
    written.append([b"names", b"raws"], DAY)
    for _ in range(2):
        written.end()
        assert not list((tmp_path / "keys").iterdir())
        assert not list((tmp_path / "intake").iterdir())
    assert written.append([b"new", b""], DAY) == 0


def test_a_drawer_drops_what_holds_something(tmp_path: Path) -> None:
    drawer = Drawer(tmp_path / "positions", KEY)
    drawer.put("a", b"state with a name")
    drawer.put("b", b"another state")
    (tmp_path / "positions" / "c.sealed.new").write_bytes(b"half")
    assert drawer.drop(lambda content: b"name" in content) == 2
    assert (drawer.get("a"), drawer.get("b")) == (None, b"another state")
    assert len(list((tmp_path / "positions").iterdir())) == 1
