"""The map of the guard's failure modes names tests that exist, in every area of the design, and leaves no line open."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "guard-failures.md").read_text(encoding="utf-8")
HEADS = ("| failure |", "| check |", "| rule |")
AREAS = (
    "Fail closed",
    "Policy",
    "Clock",
    "Approvals: the statement",
    "Approvals: the people",
    "Quota",
    "SQL",
    "Identity",
    "Verify",
    "Minimise",
    "Registry",
    "Residency",
    "Break-glass",
)
_TEST = re.compile(r"`(test_\w+)(?:\[([^`]*)\])?`")


def test_every_area_has_its_table() -> None:
    assert tuple(re.findall(r"^## (.+)$", PAGE, re.MULTILINE)) == AREAS
    assert sum(PAGE.count(head) for head in HEADS) == len(AREAS)


def test_every_named_test_and_case_exists() -> None:
    files = [file for file in sorted((ROOT / "tests").rglob("*.py")) if file != Path(__file__)]
    sources = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = set(_TEST.findall(PAGE))
    assert len(named) > 150
    assert not sorted(name for name, _ in named if f"def {name}(" not in sources)
    assert not sorted(case for _, case in named if case and f'"{case}"' not in sources)


def test_each_line_names_a_test_or_says_why_there_is_none() -> None:
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(HEADS)]
    assert len(rows) > 100
    assert not [
        failure for _, failure, tests, _ in rows if not (_TEST.search(tests) or re.search(r"\*\*not covered\*\*.{20}", tests))
    ]
