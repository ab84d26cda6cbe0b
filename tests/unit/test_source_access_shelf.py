"""The shelf of sources: complete, each manifest filled in, each file recognised by one source or by none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import custodes.sources
from custodes.errors import UnknownFormat, UnreadableFile
from custodes.sources import SHELF, detect, load

ACCESS = b'{"time":"2026-03-02T10:00:00Z","actor":"a","action":"read","system":"crm"}\n'
EVENT = {"eventTime": "2026-03-02T10:00:00Z", "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "userIdentity": {}}
FILES = {
    "ndjson": (ACCESS, "access"),
    "ndjson with a byte-order mark": (b"\xef\xbb\xbf" + ACCESS, "access"),
    "ndjson after a damaged line": (b'","b":1, torn}\n' + ACCESS, "access"),
    "ndjson lacking one required column": (b'{"time":"2026-03-02T10:00:00Z","actor":"a","action":"read"}\n', "access"),
    "ndjson with a first line of 200 kB": (ACCESS[:-2] + b',"subjects":["' + b'","'.join([b"s"] * 50_000) + b'"]}\n', "access"),
    "gzip": (gzip.compress(ACCESS, mtime=0), "access"),
    "csv": (b"id,time,actor,action,system\n", "access"),
    "csv with quotes": (b'"time","actor","action","system"\r\n', "access"),
    "csv lacking one required column": (b"time,actor,action\n", "access"),
    "parquet": (b"PAR1\x15\x04", "access"),
    "records": (json.dumps({"Records": [EVENT]}).encode(), "cloudtrail"),
    "records over several lines": (json.dumps({"Records": [EVENT]}, indent=2).encode(), "cloudtrail"),
    "no records": (b'{"Records":[]}', "cloudtrail"),
    "events by line": (json.dumps(EVENT).encode(), "cloudtrail"),
}


def test_shelf_is_its_folder() -> None:
    folder = Path(custodes.sources.__file__).parent
    names = {entry.name.removesuffix(".py") for entry in folder.iterdir() if not entry.name.startswith("_")}
    assert names == set(SHELF)
    assert len(SHELF) == len(set(SHELF))


@pytest.mark.parametrize("name", SHELF)
def test_manifest_says_what_the_log_cannot_show(name: str) -> None:
    source = load(name)
    assert (source.name, source.manifest.source, source.manifest.version) == (name, name, source.version)
    assert source.version.startswith(f"{name}/")
    assert source.manifest.sees
    assert len(source.manifest.cannot_see) >= 3
    for blind in source.manifest.cannot_see:
        assert blind.what
        assert blind.why
        assert blind.remedy
    assert source.manifest.subject in ("named", "key", "resource")
    assert source.manifest.fields in ("reported", "parsed", "none")
    assert source.manifest.gap_proof in ("none", "per_file", "per_session", "chain")


def test_unknown_name_is_said_with_the_known_ones() -> None:
    with pytest.raises(UnknownFormat) as caught:
        load("os")
    assert all(name in caught.value.hint for name in SHELF)


@pytest.mark.parametrize("kind", FILES)
def test_file_is_recognised_by_its_content(tmp_path: Path, kind: str) -> None:
    content, name = FILES[kind]
    path = tmp_path / "some.log"
    path.write_bytes(content)
    found = detect(str(path))
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"just, some, text\n",
        b'{"a":1}\n',
        b"[1,2]\n",
        b"grant,actor,subject,fields,purpose\n",
        "time,actor,action,system\n".encode("utf-16"),
    ],
)
def test_foreign_file_is_recognised_by_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(content)
    with pytest.raises(UnknownFormat) as caught:
        detect(str(path))
    assert "--source" in caught.value.hint


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08garbage", gzip.compress(ACCESS, mtime=0)[:8]])
def test_damaged_gzip_of_which_nothing_is_left_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="gzip"):
        detect(str(path))


@pytest.mark.parametrize("content", [b"", b"\n \n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_file_without_content_is_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(content)
    assert detect(str(path)) is None


def test_file_of_two_kinds_is_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "some.log"
    path.write_bytes(ACCESS + json.dumps(EVENT).encode())
    with pytest.raises(UnknownFormat, match="more than one"):
        detect(str(path))


def test_directory_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        detect(str(tmp_path))
