"""The commands of `docs/how-to/prove-to-a-subject.md`, run as they stand there, one after the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "prove-to-a-subject.md"


def test_every_command_of_the_page_works_in_its_order(tmp_path: Path) -> None:
    look = {"time": "2026-09-01T10:00:00Z", "actor": "staff-1", "action": "read", "system": "crm", "subjects": ["subject-1"]}
    (tmp_path / "a.ndjson").write_text("".join(json.dumps({**look, "id": f"look-{number}"}) + "\n" for number in range(9)))
    (tmp_path / "subject.txt").write_text("subject-1\n")
    blocks = re.findall(r"```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) >= 8
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    before = ["custodes init home", "custodes ingest --home home --source access a.ndjson"]
    said = {}
    for command in (*before, *commands):
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
        said[command] = done.stdout
    for command in (line for line in commands if "verify" in line and "--tag-key" in line):
        assert "9 entries about you" in said[command]
