"""Reading `{"Records": […]}` documents: exact bytes, damage, resumption, memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from custodes.model.draft import Raw
from custodes.source import Position
from custodes.sources.cloudtrail import SOURCE

EVENTS = [
    {"eventVersion": "1", "eventName": name, "eventSource": "s3.amazonaws.com", "note": 'é }, { "] \\', "list": [{}, {"a": [1]}]}
    for name in ("A", "B", "C")
]
COMPACT = json.dumps({"Records": EVENTS}, separators=(",", ":"), ensure_ascii=False).encode()


def read(path: Path, position: Position = Position()) -> list[Raw]:  # noqa: B008 - an immutable value
    return [raw for chunk in SOURCE.read(str(path), position) for raw in chunk.raws]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "trail.json"
    path.write_bytes(content)
    return path


def names(raws: list[Raw]) -> list[str]:
    return [json.loads(raw.data)["eventName"] for raw in raws]


@pytest.mark.parametrize(
    "content",
    [
        COMPACT,
        json.dumps({"Records": EVENTS}, indent=2).encode(),
        gzip.compress(COMPACT, mtime=0),
        b"\xef\xbb\xbf" + COMPACT,
        json.dumps(EVENTS).encode(),
        b"\n" + COMPACT + b"\n",
    ],
    ids=["compact", "indented", "gzip", "mark", "bare array", "newlines"],
)
def test_records_are_numbered_and_exact(tmp_path: Path, content: bytes) -> None:
    raws = read(written(tmp_path, content))
    assert [raw.line for raw in raws] == [1, 2, 3]
    assert [json.loads(raw.data) for raw in raws] == EVENTS
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    assert all(raw.data in plain for raw in raws)


def test_documents_one_after_the_other_are_all_read(tmp_path: Path) -> None:
    assert names(read(written(tmp_path, COMPACT + b"\n" + COMPACT + COMPACT))) == ["A", "B", "C"] * 3


def test_what_stands_beside_the_documents_is_kept(tmp_path: Path) -> None:
    event = json.dumps(EVENTS[0]).encode()
    raws = read(written(tmp_path, COMPACT + b"\ngarbage " * 30_000 + event + b"\n" + event))
    assert [raw.line for raw in raws] == [1, 2, 3, 4, 5, 6]
    assert raws[3].data.count(b"garbage") == 30_000
    assert names(raws[4:]) == ["A", "A"]


def test_empty_document_holds_nothing(tmp_path: Path) -> None:
    assert read(written(tmp_path, b'{"Records":[]}')) == []


@pytest.mark.parametrize("cut", [3, 60, 150])
def test_cut_document_gives_whole_records_and_the_torn_one(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, COMPACT[:-cut])
    chunks = list(SOURCE.read(str(path), Position()))
    raws = [raw for chunk in chunks for raw in chunk.raws]
    whole = [raw for raw in raws if raw.data.endswith(b"]}") and json.loads(raw.data)]
    assert b"".join(raw.data for raw in raws[len(whole) :]) == COMPACT[:-cut].rpartition(whole[-1].data)[2].lstrip(b", ")
    path.write_bytes(COMPACT)
    assert names(whole + read(path, chunks[-1].position)) == ["A", "B", "C"]


def test_damaged_record_costs_itself_only(tmp_path: Path) -> None:
    raws = read(written(tmp_path, COMPACT.replace(b'"eventName":"B"', b'"eventName":B')))
    assert [raw.line for raw in raws] == [1, 2, 3]
    assert names([raws[0], raws[2]]) == ["A", "C"]


def test_deeply_nested_record_costs_itself_only(tmp_path: Path) -> None:
    first, last = (json.dumps(event).encode() for event in EVENTS[:2])
    deep = b'{"eventVersion":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    raws = read(written(tmp_path, b'{"Records":[' + b",".join([first, deep, last]) + b"]}"))
    assert [raw.data for raw in raws] == [first, deep, last]


def test_reading_resumes_after_any_chunk(tmp_path: Path) -> None:
    many = [{**EVENTS[0], "eventName": str(number), "pad": "x" * 90} for number in range(7000)]
    path = written(tmp_path, json.dumps({"Records": many}).encode())
    chunks = list(SOURCE.read(str(path), Position()))
    assert len(chunks) > 2
    for at, chunk in enumerate(chunks):
        assert read(path, chunk.position) == [raw for later in chunks[at + 1 :] for raw in later.raws]


def test_replaced_document_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = written(tmp_path, COMPACT)
    position = list(SOURCE.read(str(path), Position()))[-1].position
    written(tmp_path, json.dumps({"Records": [*EVENTS, EVENTS[0]]}).encode())
    assert len(read(path, position)) == 4


def test_large_document_is_never_held_whole(tmp_path: Path) -> None:
    path = tmp_path / "trail.json"
    event = json.dumps({**EVENTS[0], "pad": "x" * 1000}).encode()
    with path.open("wb") as file:
        file.write(b'{"Records":[')
        file.write(b",".join([event] * 20_000))
        file.write(b"]}")
    tracemalloc.start()
    count = sum(len(chunk.raws) for chunk in SOURCE.read(str(path), Position()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < path.stat().st_size / 2


def test_torn_gzip_is_said(tmp_path: Path) -> None:
    packed = gzip.compress(COMPACT)
    chunks = list(SOURCE.read(str(written(tmp_path, packed[:-12])), Position()))
    assert [note.kind for chunk in chunks for note in chunk.notes] == ["gap"]
