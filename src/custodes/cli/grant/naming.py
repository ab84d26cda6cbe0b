"""How grants and subjects are named on the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.ledger.signing import read
from custodes.errors import InputError

if TYPE_CHECKING:
    from custodes.home import Home

SUBJECT_FILE = click.option(
    "--subject-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the subjects' ids from this file, one a line, not from stdin.",
)
_PSEUDONYM = re.compile(r"s-[a-z2-7]{16}")


class GrantNumber(click.ParamType[int]):
    """`g-57`."""

    name = "grant"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number in a grant's name."""
        found = re.fullmatch(r"g-(\d{1,16})", str(value))
        if found is None:
            self.fail("a grant is called g-57, by the ledger index of its request", param, ctx)
        return int(found[1])


def names(file: Path | None) -> list[str]:
    """Return subjects' ids from a file or stdin, one a line. Never an argument: those are shown to everybody on the machine."""
    try:
        text = (read(file) if file else sys.stdin.buffer.read()).decode()
    except UnicodeDecodeError:
        text = ""
    found = [line.strip("\r") for line in text.split("\n") if line.strip()]
    if not found:
        raise InputError("expected the ids of subjects, one a line")
    return found


def pseudonym(home: Home, name: str) -> str:
    """Return a subject's pseudonym."""
    return name if _PSEUDONYM.fullmatch(name) else home.pseudonyms.once("subject", name)


def company_id(home: Home, name: str) -> str:
    """Return a subject's id at the company. Raises `InputError` for a pseudonym of somebody whom no log has named yet."""
    if not _PSEUDONYM.fullmatch(name):
        return name
    found = home.vault().names({name}).get(name)
    if found is None:
        raise InputError("nothing recorded says whose pseudonym this is: give the company's id")
    return found
