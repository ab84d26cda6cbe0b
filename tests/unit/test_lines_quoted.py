"""Records of several lines, held together by quotes: one damaged line costs one line."""

from __future__ import annotations

import re
from pathlib import Path

from custodes.lines import Quoted, read_lines
from custodes.lines.framing import Quoted as Framed
from custodes.source import Position


def read(path: Path, content: bytes, quoted: Quoted, position: Position = Position()) -> list[tuple[bytes, int]]:  # noqa: B008 - immutable
    path.write_bytes(content)
    return [(raw.data, raw.line) for chunk in read_lines(str(path), position, quoted=quoted) for raw in chunk.raws]


def test_quotes_hold_lines_together(tmp_path: Path) -> None:
    content = b'a,"x\n\ny"\nb,"" \nc,"p\r\nq"\r\n'
    assert read(tmp_path / "log", content, Quoted()) == [(b'a,"x\n\ny"', 1), (b'b,"" ', 4), (b'c,"p\r\nq"', 5)]


def test_open_quote_at_the_end_costs_its_own_line_only(tmp_path: Path) -> None:
    assert read(tmp_path / "log", b'a,"torn\nb\nc\n', Quoted()) == [(b'a,"torn', 1), (b"b", 2), (b"c", 3)]


def test_a_line_that_starts_a_record_ends_a_torn_one(tmp_path: Path) -> None:
    content = b'1 a\n2 "torn\n3 "x\ny"\n4 b\n'
    got = read(tmp_path / "log", content, Quoted(starts=re.compile(rb"\d ")))
    assert got == [(b"1 a", 1), (b'2 "torn', 2), (b'3 "x\ny"', 3), (b"4 b", 5)]


def test_a_candidate_that_is_no_record_is_taken_apart(tmp_path: Path) -> None:
    content = b'a,"torn\nb,1\nc,"x\ny"\n'
    got = read(tmp_path / "log", content, Framed(whole=lambda candidate: candidate.count(b",") == 1))
    assert got == [(b'a,"torn', 1), (b"b,1", 2), (b'c,"x\ny"', 3)]


def test_open_record_at_the_end_is_given_and_not_passed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert read(path, b'a\nb,"x\ny', Quoted()) == [(b"a", 1), (b'b,"x', 2), (b"y", 3)]
    position = list(read_lines(str(path), Position(), quoted=Quoted()))[-1].position
    assert (position.offset, position.line) == (2, 1)
    assert read(path, b'a\nb,"x\ny"\n', Quoted(), position) == [(b'b,"x\ny"', 2)]


def test_closing_quote_may_lack_its_newline(tmp_path: Path) -> None:
    assert read(tmp_path / "log", b'a,"x\ny"', Quoted()) == [(b'a,"x\ny"', 1)]


def test_open_quote_over_the_limit_is_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'a,"torn\n' + b"x" * 50 + b"\n" + b"y" * 60 + b"\n" + b"z\n")
    got = [raw for chunk in read_lines(str(path), Position(), quoted=Quoted(), limit=100) for raw in chunk.raws]
    assert [(raw.data[:2], raw.line, raw.cut) for raw in got] == [(b"a,", 1, 0), (b"xx", 2, 0), (b"yy", 3, 0), (b"z", 4, 0)]


def test_long_line_inside_an_open_quote_is_cut_alone(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'a,"torn\n' + b"x" * 500_000 + b"\nz\n")
    got = [raw for chunk in read_lines(str(path), Position(), quoted=Quoted(), limit=1000) for raw in chunk.raws]
    assert [(raw.line, raw.cut) for raw in got] == [(1, 0), (2, 500_000), (3, 0)]
