"""`docs/how-to/erase-a-subject.md` does what it says: its blocks are run, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "erase-a-subject.md"


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    (tmp_path / "custodes").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m custodes "$@"\n')
    (tmp_path / "custodes").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=work,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused (too-early)" in done.stderr
    assert "accesses that nobody can open any more: 1" in done.stderr
    assert re.search(r"act erase  state done .* basis GDPR-17-1-a", done.stdout)
    assert "sound" in done.stdout
    assert len(re.findall(r"^a-\S+  [0-9a-f]{64}  from ", done.stdout, flags=re.MULTILINE)) == 4
    assert not [file for file in (work / "home").rglob("*") if file.is_file() and b"C4711" in file.read_bytes()]
