"""Generated pages are those of the code, links lead somewhere, and examples name commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from custodes.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "tests/README.md")
PAGES = sorted([*(ROOT / name for name in TOP), *(ROOT / "docs").rglob("*.md")])


def test_generated_pages_are_those_of_the_code() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_rule_pages_are_those_of_the_shelf() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "custodes", "rules", "docs", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """Return what links may name within a page: its headings, as a forge turns them into anchors."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_into_a_page_name_one_of_its_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in anchors(page.parent / target if target else page), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_name_commands_that_exist(page: Path) -> None:
    for name in re.findall(r"^custodes ([a-z]+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        assert name in COMMANDS, name


def test_every_command_and_rule_is_documented() -> None:
    from custodes import rule

    commands = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if f"`custodes {name}`" not in commands]
    rules = (ROOT / "docs/reference/rules.md").read_text(encoding="utf-8")
    assert not [entry.code for entry in rule.load_shelf() if entry.code not in rules]


def test_contributors_are_shown_the_floors_that_the_build_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    floors = next(contract["layers"] for contract in contracts if contract["id"] == "floors")
    page = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert " / ".join(floor.replace(" | ", " · ") for floor in floors) in page


def test_every_dependency_has_its_line() -> None:
    text = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    lock = (ROOT / "requirements/base.lock").read_text(encoding="utf-8")
    names = {line.split("==")[0] for line in lock.splitlines() if "==" in line and not line.startswith(" ")}
    assert not [name for name in names if name not in text]
