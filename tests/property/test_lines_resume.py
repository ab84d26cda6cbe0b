"""Whatever the bytes and wherever reading was interrupted: the same records, and every line is accounted for."""

from __future__ import annotations

import gzip
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from custodes.lines import Quoted, read_lines
from custodes.lines.framing import Framer
from custodes.model.draft import Raw
from custodes.source import Chunk, Follow, Position

CONTENT = st.lists(
    st.one_of(
        st.sampled_from([b"\n", b"\r\n", b'"', b",", b"a", b" ", b"\x00", b"\xef\xbb\xbf", b"longer text"]), st.binary(max_size=9)
    )
).map(b"".join)
FRAMING = st.sampled_from([None, Quoted(), Quoted(whole=lambda candidate: len(candidate) % 2 == 0)])
NOW = Follow(poll_s=0, idle_stop_s=0)
"""Follow what is there and stop: unfinished lines are held back."""


def frame(blocks: list[bytes], quoted: Quoted | None, limit: int = 40) -> tuple[list[tuple[bytes, int, int]], int, Position]:
    framer = Framer("log", Position(), b"", limit, quoted)
    chunks = [chunk for block in blocks if block for chunk in framer.feed(block)]
    chunks += framer.rest(passed=True)
    return (
        [(raw.data, raw.line, raw.cut) for chunk in chunks for raw in chunk.raws],
        sum(chunk.blank for chunk in chunks),
        framer.position,
    )


@given(content=CONTENT, cuts=st.lists(st.integers(0, 200), max_size=6), quoted=FRAMING)
def test_where_blocks_end_changes_nothing(content: bytes, cuts: list[int], quoted: Quoted | None) -> None:
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    blocks = [content[start:stop] for start, stop in pairwise(edges)]
    assert frame(blocks, quoted) == frame([content], quoted)


@given(content=CONTENT)
def test_records_and_blank_lines_add_up_to_lines(content: bytes) -> None:
    records, blank, position = frame([content], None)
    lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    assert len(records) + blank == lines == position.line


@given(content=CONTENT, quoted=FRAMING)
def test_no_byte_is_lost_between_records(content: bytes, quoted: Quoted | None) -> None:
    records, _, _ = frame([content], quoted, limit=10**6)
    found = content.removeprefix(b"\xef\xbb\xbf")
    for data, _, _ in records:
        before, data_found, found = found.partition(data)
        assert data_found == data
        assert not before.strip()
    assert not found.strip()


def _read(path: Path, position: Position, quoted: Quoted | None) -> tuple[list[Raw], Position]:
    chunks: list[Chunk] = list(read_lines(str(path), position, follow=NOW, quoted=quoted))
    return [raw for chunk in chunks for raw in chunk.raws], chunks[-1].position if chunks else position


@given(content=CONTENT, cuts=st.lists(st.integers(0, 200), max_size=4), quoted=FRAMING)
def test_a_growing_file_read_in_pieces_gives_the_same_records(content: bytes, cuts: list[int], quoted: Quoted | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        position, got = Position(), []
        for cut in [*sorted(cuts), len(content)]:
            path.write_bytes(content[:cut])
            raws, position = _read(path, position, quoted)
            got += raws
        assert got == _read(path, Position(), quoted)[0]


@given(content=CONTENT, cut=st.integers(0, 200))
def test_normal_reads_lose_nothing_and_double_only_whole_records(content: bytes, cut: int) -> None:
    """What an earlier read gave of an unfinished line may come again, whole; all else comes once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        path.write_bytes(content[:cut])
        first = list(read_lines(str(path), Position()))
        position = first[-1].position if first else Position()
        path.write_bytes(content)
        later = [raw for chunk in read_lines(str(path), position) for raw in chunk.raws]
        kept = [raw for chunk in first for raw in chunk.raws if raw.line <= position.line]
        assert kept + later == [raw for chunk in read_lines(str(path), Position()) for raw in chunk.raws]


@given(content=CONTENT, cut=st.integers(0, 200), data=st.data())
def test_a_damaged_gzip_file_never_raises(content: bytes, cut: int, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(content))
    place = data.draw(st.integers(2, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.gz"
        path.write_bytes(packed[: max(3, len(packed) - cut)])
        list(read_lines(str(path), Position()))
