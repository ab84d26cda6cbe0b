"""`custodes init` and `custodes ingest` as they are called: exit codes, words on stderr, following, a disk that is full."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from intake_reading import check, ingest, new_home, records, rows, write

from custodes.cli import run

_LIMITED = """
import resource, sys
from custodes.cli import run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return new_home(tmp_path / "home")


def test_init_makes_a_home_and_never_overwrites_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "new"), "--simulated"]) == 0
    assert "simulated home made" in capsys.readouterr().err
    assert run(["init", str(tmp_path / "new")]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_ingest_tells_what_it_read_and_what_it_could_not(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [*records(30), b"{torn", b"", b"nothing\x00at all"]
    path = write(tmp_path / "a.ndjson", lines)
    assert run(["ingest", "--home", str(home), "--source", "access", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "32 new records" in said.err
    assert "could not be read" in said.err
    assert f"{path}:31: " in said.err
    assert "nothing" not in said.err.replace(str(path), "")
    check(home, [line for line in lines if line])


def test_ingest_recognises_formats_and_reads_gzip(home: Path, tmp_path: Path) -> None:
    lines = records(12)
    packed = tmp_path / "a.ndjson.gz"
    packed.write_bytes(gzip.compress(b"\n".join(lines)))
    assert run(["ingest", "--home", str(home), str(packed)]) == 0
    check(home, lines)


def test_an_input_that_cannot_be_used_is_said_by_2_and_the_others_are_read(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = records(5)
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    inputs = [picture, tmp_path / "missing", tmp_path, write(tmp_path / "good.ndjson", lines)]
    assert run(["ingest", "--home", str(home), *map(str, inputs)]) == 2
    assert capsys.readouterr().err.count("not read") == 3
    check(home, lines)


def test_an_unknown_source_and_a_missing_home_are_said_by_2(home: Path, tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.ndjson", records(2)))
    assert run(["ingest", "--home", str(home), "--source", "oracle", path]) == 2
    assert run(["ingest", "--home", str(tmp_path / "nowhere"), path]) == 2
    assert run(["ingest", "--home", str(home)]) == 2


def test_follow_reads_what_comes_through_rotation_and_ends_with_130(home: Path, tmp_path: Path) -> None:
    lines = records(40)
    path = write(tmp_path / "live.ndjson", lines[:10])
    command = [sys.executable, "-m", "custodes", "ingest", "--home", home, "--source", "access", "--follow", "--poll", "0.05", path]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for_rows(home, lines[:10])
        with path.open("ab") as log:
            log.write(b"".join(line + b"\n" for line in lines[10:20]))
        _wait_for_rows(home, lines[:20])
        path.rename(tmp_path / "live.ndjson.1")
        write(path, lines[20:])
        _wait_for_rows(home, lines)
    finally:
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "40 new records" in said
    check(home, lines)


def test_follow_ends_by_itself_when_idle(home: Path, tmp_path: Path) -> None:
    lines = records(8)
    paths = [str(write(tmp_path / f"{number}.ndjson", lines[number::2])) for number in range(2)]
    options = ["--home", str(home), "--source", "access", "--follow", "--poll", "0.02", "--idle-stop", "0.1"]
    assert run(["ingest", *options, *paths]) == 0
    check(home, lines)


@pytest.mark.parametrize("limit", [500, 20_000, 90_000, 140_000])
def test_a_full_disk_is_said_by_5_and_the_next_run_goes_on(home: Path, tmp_path: Path, limit: int) -> None:
    lines = records(400)
    parts = [write(tmp_path / f"{number}.ndjson", lines[number * 50 : (number + 1) * 50]) for number in range(8)]
    command = [sys.executable, "-c", _LIMITED, str(limit), "ingest", "--home", str(home), "--source", "access", *map(str, parts)]
    stopped = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, "CUSTODES_DEBUG": "1"})
    assert stopped.returncode == 5, stopped.stderr
    assert "error:" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "run the same command again" in stopped.stderr
    report = ingest(home, *parts)
    assert not report.unread
    check(home, lines)
    whole = new_home(tmp_path / "whole")
    ingest(whole, *parts)
    assert len(rows(home)[0]) == len(rows(whole)[0])


def test_progress_is_for_terminals_only(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ingest", "--home", str(home), "--source", "access", str(write(tmp_path / "a.ndjson", records(5)))]) == 0
    assert "\r" not in capsys.readouterr().err


def _wait_for_rows(home: Path, lines: list[bytes]) -> None:
    wanted = sum(b"yesterday" not in line for line in lines)
    until = time.monotonic() + 30
    while not (home / "accesses" / "MANIFEST.json").exists() or len(rows(home)[0]) < wanted:
        assert time.monotonic() < until, "the rows did not come"
        time.sleep(0.1)
    assert len(rows(home)[0]) == wanted
