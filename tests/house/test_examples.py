"""Each example that a help text or a page prints is a command that exists, with options and a number of arguments that it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from custodes.cli import street

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLE = re.compile(r"^\s*custodes ((?:.*\\\n)*.*)$", re.MULTILINE)
SHELL = re.compile(r"^(?:[a-z_]+=\$\()?custodes ((?:.*\\\n)*.*)$", re.MULTILINE)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all below it, each with the words by which it is called."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


ALL = dict(commands(street))


def words_of(line: str) -> list[str]:
    """Return the words of an example up to a remark, a pipe or a redirection."""
    line = re.sub(r"\s*\\\n\s*", " ", line)
    line = re.sub(r"\$\([^()]*\)", "$x", line)
    line = re.split(r" {2,}|\s[|#<>(;]|\s\|\||\s&&|\)$", line)[0]
    return re.findall(r"\"[^\"]*\"|'[^']*'|\S+", line)


def wrong(line: str) -> str:
    """Say what an example asks for that its command does not take, empty if it may be called so."""
    path: tuple[str, ...] = ()
    words = words_of(line)
    while words and (*path, words[0]) in ALL:
        path = (*path, words.pop(0))
    command = ALL[path]
    if isinstance(command, click.Group):
        return "" if not words or words[0] in {"…", "--help", "-h"} else f"no command {' '.join([*path, words[0]])}"
    options = {name: one for one in command.params if isinstance(one, click.Option) for name in (*one.opts, *one.secondary_opts)}
    given = 0
    while words:
        word = words.pop(0)
        if word == "…":
            return ""  # the example says itself that more belongs here
        if not word.startswith("-") or word == "-":
            given += 1
        elif word in {"--help", "-h"}:
            return ""
        elif word.partition("=")[0] not in options:
            return f"{' '.join(path)} has no {word}"
        elif "=" not in word and not options[word].is_flag and words:
            words.pop(0)
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    most = None if any(one.nargs == -1 for one in arguments) else len(arguments)
    return f"{' '.join(path)} takes {most} arguments" if most is not None and given > most else ""


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_examples_of_a_help_text_can_be_called(path: tuple[str, ...]) -> None:
    text = ALL[path].help or ""
    assert not [told for line in EXAMPLE.findall(text) if (told := wrong(line))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_of_a_page_can_be_called(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert not [told for block in blocks for line in SHELL.findall(block) if (told := wrong(line))]


def test_an_example_that_cannot_be_called_is_seen() -> None:
    assert wrong("watch --home home --colour blue") == "watch has no --colour"
    assert wrong("ledger forget --home home") == "no command ledger forget"
    assert wrong("rules show D09 D10") == "rules show takes 1 arguments"
    assert wrong("guard plan app-db --home home --staff ann > plan.sql") == ""
