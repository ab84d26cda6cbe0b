"""Following a growing file: rotation, truncation, unfinished lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from custodes.lines import read_lines
from custodes.model.draft import Note, Raw
from custodes.source import Chunk, Follow, Position

SHORT = Follow(poll_s=0.01, idle_stop_s=0.2)


class Follower:
    """Reads in a thread, so that a test can write meanwhile."""

    def __init__(self, path: Path, position: Position = Position()) -> None:  # noqa: B008 - an immutable value
        self.chunks: list[Chunk] = []
        self._reading: Iterator[Chunk] = read_lines(str(path), position, follow=SHORT)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for chunk in self._reading:
            self.chunks.append(chunk)

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 10
        while not condition() and time.monotonic() < until:
            time.sleep(0.005)
        assert condition()

    def has(self, count: int) -> None:
        self.wait(lambda: len(self.raws) >= count)

    def end(self) -> list[bytes]:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return [raw.data for raw in self.raws]

    @property
    def raws(self) -> list[Raw]:
        return [raw for chunk in list(self.chunks) for raw in chunk.raws]

    @property
    def notes(self) -> list[Note]:
        return [note for chunk in self.chunks for note in chunk.notes]


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    return path


def test_new_lines_come_as_they_are_written(log: Path) -> None:
    follower = Follower(log)
    follower.has(1)
    append(log, b"b\n")
    follower.has(2)
    append(log, b"c\n")
    assert follower.end() == [b"a", b"b", b"c"]


def test_unfinished_line_waits_for_its_newline(log: Path) -> None:
    follower = Follower(log)
    append(log, b"half")
    follower.has(1)
    time.sleep(0.05)
    assert len(follower.raws) == 1
    append(log, b" and half\n")
    assert follower.end() == [b"a", b"half and half"]


def test_unfinished_line_at_the_end_of_following_is_left_for_the_next_read(log: Path) -> None:
    append(log, b"half")
    follower = Follower(log)
    assert follower.end() == [b"a"]
    assert follower.chunks[-1].position.offset == 2


def test_idle_following_yields_empty_chunks(log: Path) -> None:
    follower = Follower(log)
    follower.end()
    assert any(not chunk.raws for chunk in follower.chunks)


def test_renamed_file_is_finished_before_the_new_one(log: Path) -> None:
    follower = Follower(log)
    follower.has(1)
    log.rename(log.with_name("log.1"))
    append(log.with_name("log.1"), b"late\n")
    log.write_bytes(b"new\n")
    append(log.with_name("log.1"), b"later, and cut")
    assert follower.end() == [b"a", b"late", b"later, and cut", b"new"]
    assert follower.chunks[-1].position.offset == 4
    assert not follower.notes


def test_renamed_file_without_a_new_one_is_waited_for(log: Path) -> None:
    follower = Follower(log)
    follower.has(1)
    log.rename(log.with_name("log.1"))
    time.sleep(0.05)
    log.write_bytes(b"new\n")
    assert follower.end() == [b"a", b"new"]


def test_truncated_file_is_read_from_its_beginning_and_the_gap_is_said(log: Path) -> None:
    append(log, b"b\n")
    follower = Follower(log)
    follower.has(2)
    log.open("wb").close()
    follower.wait(lambda: bool(follower.notes))
    append(log, b"c\n")
    assert follower.end() == [b"a", b"b", b"c"]
    assert [note.kind for note in follower.notes] == ["gap"]
    assert follower.raws[-1].line == 1


def test_truncated_and_refilled_file_is_noticed_by_its_content(log: Path) -> None:
    follower = Follower(log)
    follower.has(1)
    log.write_bytes(b"other\nlines\n")
    assert follower.end() == [b"a", b"other", b"lines"]
    assert len(follower.notes) == 1


def test_following_resumes_at_a_position(log: Path) -> None:
    position = next(read_lines(str(log), Position())).position
    append(log, b"b\n")
    assert Follower(log, position).end() == [b"b"]


def test_following_resumes_through_a_rotation_that_nobody_saw(log: Path) -> None:
    position = next(read_lines(str(log), Position())).position
    append(log, b"b\n")
    log.rename(log.with_name("log.1"))
    log.write_bytes(b"c\n")
    assert Follower(log, position).end() == [b"b", b"c"]
