"""A home that another process uses: the second one says so with 5, touches nothing, and goes on later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = [sys.executable, "-m", "custodes"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def _log(path: Path, count: int) -> Path:
    rows = (
        {"time": f"2026-03-02T10:00:{n:02d}Z", "actor": "a1", "action": "read", "system": "crm", "subjects": [f"s{n}"]}
        for n in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_home_in_use_is_an_outage_and_nothing_is_lost(tmp_path: Path) -> None:
    home, first, second = tmp_path / "home", _log(tmp_path / "first.ndjson", 5), _log(tmp_path / "second.ndjson", 9)
    assert _run("init", str(home)).returncode == 0
    following = subprocess.Popen(
        [*COMMAND, "ingest", "--home", str(home), "--source", "access", "--follow", str(first)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while not list((home / "accesses").rglob("*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.1)
        refused = _run("ingest", "--home", str(home), "--source", "access", str(second))
        assert refused.returncode == 5, refused.stderr
        assert "another" in refused.stderr.lower()
    finally:
        os.kill(following.pid, signal.SIGINT)
        assert following.wait(timeout=30) == 130
    again = _run("ingest", "--home", str(home), "--source", "access", str(second))
    assert again.returncode == 0, again.stderr
    assert "4 new records" in again.stderr  # five of the nine were read by the first process
    assert _run("ledger", "fsck", "--home", str(home)).returncode == 0
