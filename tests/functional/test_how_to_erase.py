"""`docs/how-to/erase-a-subject.md` does what it says: its blocks are run, in order, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

from how_to import blocks_of, run_blocks


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    blocks, work = blocks_of("erase-a-subject.md"), tmp_path / "work"
    assert len(blocks) == 8
    done = run_blocks(blocks, work)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused (too-early)" in done.stderr
    assert "accesses that nobody can open any more: 1" in done.stderr
    assert re.search(r"act erase  state done .* basis GDPR-17-1-a", done.stdout)
    assert "sound" in done.stdout
    assert len(re.findall(r"^a-\S+  [0-9a-f]{64}  from ", done.stdout, flags=re.MULTILINE)) == 4
    assert not [file for file in (work / "home").rglob("*") if file.is_file() and b"C4711" in file.read_bytes()]
