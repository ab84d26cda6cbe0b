"""Where the ledger of a home lies, and how long work on it shows that it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from custodes.errors import WouldCreate

HOME = click.option(
    "--home", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home; or CUSTODES_HOME."
)


def ledger_of(home: Path) -> Path:
    """Return the folder of a home's log. Raises `WouldCreate`."""
    folder = home / "ledger" / "log"
    if not folder.is_dir():
        raise WouldCreate(f"{home} holds no ledger")
    return folder


def index_of(home: Path) -> Path | None:
    """Return the folder of a home's index log, also if it is gone; None in a home that never had one."""
    folder = home / "ledger" / "index"
    return folder if folder.exists() or (home / "keys" / "index.key").exists() else None


def progress(word: str) -> Callable[[int, int], None] | None:
    """Return a progress line for stderr, or None where nobody watches. `word`: what is being done."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        click.echo(f"\r\x1b[K{word} {done:,} of {total:,}" if done < total else "\r\x1b[K", err=True, nl=False)

    return show
