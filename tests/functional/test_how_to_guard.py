"""`docs/how-to/guard-a-database.md` does what it says: its blocks are run, in order, in an empty folder, on a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from pg_cluster import running

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "guard-a-database.md"


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 9
    (tmp_path / "custodes").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m custodes "$@"\n')
    (tmp_path / "custodes").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    with running() as cluster:
        path = f"{tmp_path}:{cluster.programs}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
            cwd=work,
            env={**os.environ, "PATH": path, "CUSTODES_GUARD_URL": cluster.url()},
            capture_output=True,
            text=True,
            check=False,
        )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "refused, as it should be" in done.stdout
    assert "refused, and recorded" in done.stdout
    assert "still open" not in done.stdout, told
    assert re.search(r"^ +42 \| +\| 203\.0\.113\.0/24 \| *$", done.stdout, flags=re.MULTILINE), done.stdout
    assert re.search(r"^203\.0\.113\.0/24$", done.stdout, flags=re.MULTILINE), told
    assert "203.0.113.77" not in told
    assert not [file for file in (work / "home").rglob("*") if file.is_file() and b"203.0.113.77" in file.read_bytes()]
