"""`docs/how-to/guard-a-database.md` does what it says: its blocks are run, in order, in an empty folder, on a real server."""

from __future__ import annotations

import re
from pathlib import Path

from how_to import blocks_of, run_blocks
from pg_cluster import running


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    blocks, work = blocks_of("guard-a-database.md"), tmp_path / "work"
    assert len(blocks) == 9
    with running() as cluster:
        done = run_blocks(blocks, work, programs=[cluster.programs], CUSTODES_GUARD_URL=cluster.url())
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "refused, as it should be" in done.stdout
    assert "refused, and recorded" in done.stdout
    assert "still open" not in done.stdout, told
    assert re.search(r"^ +42 \| +\| 203\.0\.113\.0/24 \| *$", done.stdout, flags=re.MULTILINE), done.stdout
    assert re.search(r"^203\.0\.113\.0/24$", done.stdout, flags=re.MULTILINE), told
    assert "203.0.113.77" not in told
    assert not [file for file in (work / "home").rglob("*") if file.is_file() and b"203.0.113.77" in file.read_bytes()]
