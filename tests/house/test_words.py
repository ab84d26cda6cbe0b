"""The words of the house: what must never stand in names, output or pages, and no trace of a workplace or registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEVER = re.compile(r"\b(alert|suspect|violator|guilty)s?\b", re.IGNORECASE)
DRAWERS = {"utils", "common", "helpers", "misc", "manager"}
EXCUSED = {"tests/house/test_words.py", "tests/rules/test_shelf.py"}


def _files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_forbidden_word_in_code_or_pages() -> None:
    found = []
    for path in _files():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix not in {".py", ".md", ".yml", ".yaml", ".html", ".j2"} or name in EXCUSED:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if NEVER.search(line) and "never:" not in line.lower():
                found.append(f"{name}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_no_drawers() -> None:
    assert not [path for path in _files() if path.suffix == ".py" and path.stem in DRAWERS]


def test_watch_stays_readable_in_a_minute() -> None:
    assert len((ROOT / "src/custodes/watch.py").read_text().splitlines()) <= 150


def test_no_registry_host_in_any_file() -> None:
    hosts = re.compile("py" + r"pi\.org|python" + r"hosted|registry\.np" + "mjs")
    found = [
        path.name for path in _files() if path.suffix != ".gz" and hosts.search(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert not found


def test_no_module_outgrows_its_room() -> None:
    """Think again at 400 lines; 500 fails. The verifier in bundles is one file by contract: its reader has nothing else."""
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert not {name: size for name, size in sizes.items() if size > 500 and name != "src/custodes/verify/standalone.py"}
    assert sizes["src/custodes/verify/standalone.py"] < 1_000
