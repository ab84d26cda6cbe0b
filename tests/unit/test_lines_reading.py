"""Reading lines: exact bytes, what counts as a line, damaged files, limits."""

from __future__ import annotations

import gzip
import os
from hashlib import sha256
from pathlib import Path

import pytest

from custodes.errors import UnreadableFile
from custodes.lines import KEPT, read_head, read_lines
from custodes.model.draft import Note, Raw
from custodes.source import Chunk, Position


def chunks(path: Path, position: Position = Position(), **how: int) -> list[Chunk]:  # noqa: B008 - an immutable value
    return list(read_lines(str(path), position, **how))


def raws(path: Path, position: Position = Position(), **how: int) -> list[Raw]:  # noqa: B008 - an immutable value
    return [raw for chunk in chunks(path, position, **how) for raw in chunk.raws]


def end(path: Path) -> Position:
    return chunks(path)[-1].position


def test_records_are_the_bytes_between_newlines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\x00b\n\xff\xfe\n  c \n")
    assert [(raw.data, raw.line, raw.file) for raw in raws(path)] == [
        (b"a\x00b", 1, str(path)),
        (b"\xff\xfe", 2, str(path)),
        (b"  c ", 3, str(path)),
    ]


def test_carriage_return_belongs_to_the_newline(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\r\nb\rc\r\nd\r")
    assert [raw.data for raw in raws(path)] == [b"a", b"b\rc", b"d"]


def test_byte_order_mark_is_taken_off_the_start_of_the_file_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n")
    assert [raw.data for raw in raws(path)] == [b"a", b"\xef\xbb\xbfb"]
    assert read_head(str(path)).startswith(b"a\n")


def test_blank_lines_are_counted_and_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\na\n \t\r\nb\n\n")
    got = chunks(path)
    assert [(raw.data, raw.line) for chunk in got for raw in chunk.raws] == [(b"a", 2), (b"b", 4)]
    assert sum(chunk.blank for chunk in got) == 3


def test_a_file_of_blank_lines_gives_only_their_number(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\n" * 5000)
    assert sum(chunk.blank for chunk in chunks(path)) == 5000
    assert raws(path) == []


def test_gzip_members_are_read_as_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\nd\n") + b"\0" * 512)
    got = chunks(path)
    assert [raw.data for chunk in got for raw in chunk.raws] == [b"a", b"bc", b"d"]
    assert not [note for chunk in got for note in chunk.notes]


@pytest.mark.parametrize("cut", [12, 40, -9, -4, -1])
def test_torn_gzip_gives_what_can_be_unpacked_and_says_so(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"".join(b"line %d %s\n" % (n, os.urandom(8).hex().encode()) for n in range(1000)))[:cut])
    notes = [note for chunk in chunks(path) for note in chunk.notes]
    assert [note.kind for note in notes] == ["gap"]
    assert "gzip" in notes[0].text
    if cut in (-9, -4, -1):
        assert len(raws(path)) >= 990


def test_damaged_gzip_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"a\n") + b"garbage after the end")
    got = chunks(path)
    assert [raw.data for chunk in got for raw in chunk.raws] == [b"a"]
    assert [type(note) for chunk in got for note in chunk.notes] == [Note]


def test_line_over_the_limit_is_kept_by_its_start_length_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = os.urandom(300_000).replace(b"\n", b" ")
    path.write_bytes(b"before\n" + line + b"\nafter\n")
    first, long, last = raws(path, limit=200_000)
    assert (first.data, first.cut, last.data, last.line) == (b"before", 0, b"after", 3)
    assert long.cut == len(line)
    assert long.data[:KEPT] == line[:KEPT]
    assert sha256(line).hexdigest().encode() in long.data
    assert len(long.data) < KEPT + 200


@pytest.mark.parametrize("limit", [10, 100, 70_000, 200_000, 262_144, 299_999])
def test_a_long_line_is_the_same_record_wherever_blocks_end(tmp_path: Path, limit: int) -> None:
    path, late = tmp_path / "log", tmp_path / "late"
    line = bytes(range(11, 250)) * 1255
    path.write_bytes(line + b"\nx\n")
    late.write_bytes(b"y" * 9 + b"\n" + line + b"\nx\n")
    assert raws(path, limit=limit)[0].data == raws(late, limit=limit)[1].data
    assert [raw.data for raw in raws(path, limit=limit)[1:]] == [b"x"]


def test_a_line_of_50_mb_is_never_held_whole(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "log"
    with path.open("wb") as file:
        file.writelines([b"x" * 2**20] * 50)
        file.write(b"\nafter\n")
    tracemalloc.start()
    got = raws(path, limit=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [raw.cut for raw in got] == [50 * 2**20, 0]
    assert peak < 8 * 2**20


def test_last_line_without_newline_is_given_and_not_passed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb")
    assert [raw.data for raw in raws(path)] == [b"a", b"b"]
    position = end(path)
    assert (position.offset, position.line) == (2, 1)
    with path.open("ab") as file:
        file.write(b"c\nd\n")
    assert [(raw.data, raw.line) for raw in raws(path, position)] == [(b"bc", 2), (b"d", 3)]


def test_nothing_new_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    assert raws(path, end(path)) == []


@pytest.mark.parametrize("zipped", [False, True])
def test_reading_resumes_where_it_stopped(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "log"
    content = b"".join(b"line %d\n" % number for number in range(10_000))
    path.write_bytes(gzip.compress(content) if zipped else content)
    all_chunks = chunks(path)
    assert len(all_chunks) > 2
    for at, chunk in enumerate(all_chunks):
        rest = [raw for later in all_chunks[at + 1 :] for raw in later.raws]
        assert raws(path, chunk.position) == rest


def test_replaced_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a 1\nb 1\n")
    position = end(path)
    path.write_bytes(b"a 2\nb 2\nc 2\n")
    assert [(raw.data, raw.line) for raw in raws(path, position)] == [(b"a 2", 1), (b"b 2", 2), (b"c 2", 3)]


def test_shortened_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    position = end(path)
    path.write_bytes(b"a\n")
    assert [raw.data for raw in raws(path, position)] == [b"a"]


def test_rest_of_a_renamed_file_is_read_before_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    position = end(path)
    with path.open("ab") as file:
        file.write(b"c\nunfinished")
    path.rename(tmp_path / "log.1")
    path.write_bytes(b"d\n")
    assert [(Path(raw.file).name, raw.data, raw.line) for raw in raws(path, position)] == [
        ("log.1", b"c", 3),
        ("log.1", b"unfinished", 4),
        ("log", b"d", 1),
    ]


def test_copied_file_goes_on_where_the_original_stopped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\nb\n")
    position = end(path)
    path.rename(tmp_path / "elsewhere")
    path.write_bytes(b"a\nb\nc\n")
    assert [raw.data for raw in raws(path, position)] == [b"c"]


def test_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="could not be read"):
        raws(tmp_path / "absent")


def test_directory_is_unreadable_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="directory") as caught:
        raws(tmp_path)
    assert "files in it" in caught.value.hint


def test_pipe_is_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableFile, match="regular file"):
        raws(tmp_path / "pipe")


def test_file_that_vanishes_between_two_reads_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\n")
    position = end(path)
    path.unlink()
    with pytest.raises(UnreadableFile):
        raws(path, position)


def test_file_that_vanishes_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)))
    reading = read_lines(str(path), Position())
    got = len(next(reading).raws)
    path.unlink()
    assert got + sum(len(chunk.raws) for chunk in reading) == 10_000


def test_empty_file_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    assert raws(path) == []
    assert read_head(str(path)) == b""


def test_head_is_unzipped_and_short(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(b"x" * 10**6))
    assert read_head(str(path)) == b"x" * 65536
