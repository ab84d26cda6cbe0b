"""Input that is wrong in every way we know: the exit code is right, nothing is lost, and the rest goes on."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from intake_reading import sealed_records

CANARY = "zx81-canary"
"""Stands in every bad record: it must come back on no stream."""


def custodes(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "custodes", *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    assert custodes("init", folder).returncode == 0
    return folder


def record(name: str = "a1", **columns: object) -> bytes:
    row = {"time": "2026-03-02T10:00:00Z", "actor": name, "action": "read", "system": "crm", **columns}
    return json.dumps(row).encode() + b"\n"


def good(folder: Path, name: str = "good.ndjson") -> Path:
    path = folder / name
    path.write_bytes(record(f"someone in {name}"))
    return path


def ingest(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    done = custodes("ingest", "--home", home, *words)
    assert CANARY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


BAD_RECORDS = {
    "truncated JSON": (record(CANARY)[:-9] + b"\n", "not JSON"),
    "a NUL byte": (record(CANARY).replace(b"crm", b"c\x00m"), "not JSON"),
    "Latin-1": (record(CANARY).replace(b"crm", b"cr\xe9"), "not UTF-8"),
    "UTF-16": (f'{{"actor":"{CANARY}"}}'.encode("utf-16-le") + b"\n", "not JSON"),
    "a time without zone": (record(CANARY, time="2026-03-02T10:00:00"), "time without zone"),
    "a wrong type": (record(CANARY, rows="ten"), "rows is not a number"),
    "an unknown word": (record(action=CANARY), "action is none of the words"),
    "a key that stands twice": (record(CANARY)[:-2] + b', "actor": "b"}\n', "duplicate key"),
    "endless brackets": (b"[" * 60_000 + b"\n", "not JSON that can be read: nested too deeply"),
}


def test_a_bad_record_costs_itself_only_and_is_kept(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mixed.ndjson"
    path.write_bytes(record("first") + b"".join(content for content, _ in BAD_RECORDS.values()) + b"\n" + record("last"))
    lines = path.read_bytes().split(b"\n")
    done = ingest(home, path)
    assert done.returncode == 0
    assert f"{len([line for line in lines if line])} new records → 2 accesses" in done.stderr
    at = 2
    for content, reason in BAD_RECORDS.values():
        assert f"{path}:{at}: {reason}" in done.stderr
        at += content.count(b"\n") or 1
    assert set(sealed_records(home)) == {line for line in lines if line}


@pytest.fixture(scope="module")
def long_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("long") / "long.ndjson"
    with path.open("wb") as file:
        file.write(record("before") + b'{"actor": "' + CANARY.encode())
        file.writelines([b"x" * 2**20] * 50)
        file.write(b'"}\n' + record("after"))
    yield path
    path.unlink()


def test_a_line_of_50_mb_is_accounted_for_and_the_rest_goes_on(home: Path, long_line: Path) -> None:
    done = ingest(home, "--source", "access", long_line)
    assert done.returncode == 0
    assert "3 new records → 2 accesses" in done.stderr
    assert f"{long_line}:2: record longer than the limit" in done.stderr
    (kept,) = [data for data in sealed_records(home) if CANARY.encode() in data]
    assert b"[custodes: cut; bytes 52428" in kept
    assert "0 new records" in ingest(home, "--source", "access", long_line).stderr


def _vanished(folder: Path) -> Path:
    path = folder / "vanished.ndjson"
    path.symlink_to(folder / "nowhere")
    return path


def _locked(folder: Path) -> Path:
    path = folder / "locked.ndjson"
    path.write_bytes(record(CANARY))
    path.chmod(0)
    return path


def _csv(folder: Path) -> Path:
    path = folder / "export.csv"
    path.write_text(f"time,action,system\n2026-03-02T10:00:00Z,{CANARY},crm\n")
    return path


def _foreign(folder: Path) -> Path:
    path = folder / "picture.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(500))
    return path


def _torn_parquet(folder: Path) -> Path:
    path = folder / "torn.parquet"
    path.write_bytes(b"PAR1" + CANARY.encode())
    return path


UNREADABLE = {
    "missing": (_vanished, "could not be read"),
    "directory": (lambda folder: folder, "is a directory"),
    "foreign": (_foreign, "no source recognises"),
    "csv without a column": (_csv, "missing column actor"),
    "torn parquet": (_torn_parquet, "no readable Parquet file"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(home: Path, tmp_path: Path, kind: str) -> None:
    make, words = UNREADABLE[kind]
    done = ingest(home, good(tmp_path), make(tmp_path), good(tmp_path, "more.ndjson"))
    assert done.returncode == 2
    assert words in done.stderr
    assert "2 new records → 2 accesses" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read every file")
def test_a_file_without_rights_is_named(home: Path, tmp_path: Path) -> None:
    done = ingest(home, _locked(tmp_path), good(tmp_path))
    assert done.returncode == 2
    assert "could not be read" in done.stderr


@pytest.mark.parametrize("content", [b"", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_no_error(home: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.ndjson"
    path.write_bytes(content)
    done = ingest(home, path)
    assert done.returncode == 0
    assert "nothing new to read" in done.stderr


def test_a_file_that_vanishes_while_it_is_followed_does_not_end_the_rest(home: Path, tmp_path: Path) -> None:
    first, second = good(tmp_path), good(tmp_path, "more.ndjson")
    words = ("--follow", "--poll", "0.05", "--idle-stop", "3", "--source", "access")
    command = [sys.executable, "-m", "custodes", "ingest", "--home", str(home), *words, str(first), str(second)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        _until_read(home)
        first.unlink()
        with second.open("ab") as file:
            file.write(record("late"))
        _, talk = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "3 new records → 3 accesses" in talk


def _until_read(home: Path) -> None:
    """Wait until the store has committed something."""
    import time

    until = time.monotonic() + 60
    while not (home / "accesses" / "MANIFEST.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (home / "accesses" / "MANIFEST.json").exists()


def test_odd_ids_and_times_are_accesses(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.ndjson"
    names = ['q"uote', "new\nline", "\u202ebidi", "nul\x00", "semi;colon", "'; DROP TABLE x; --"]
    path.write_bytes(b"".join(record(name, subjects=[name]) for name in names) + record("late", time="2099-01-01T00:00:00Z"))
    done = ingest(home, path)
    assert (done.returncode, "7 new records → 7 accesses" in done.stderr) == (0, True)
    assert custodes("ledger", "fsck", "--home", home).returncode == 0


def test_a_torn_gzip_file_is_read_as_far_as_it_goes_and_said(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.ndjson.gz"
    path.write_bytes(gzip.compress(b"".join(record(os.urandom(12).hex()) for _ in range(200)))[:-100])
    done = ingest(home, path)
    assert done.returncode == 0
    assert "the gzip file ends inside a member" in done.stderr
