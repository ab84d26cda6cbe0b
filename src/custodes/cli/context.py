"""`custodes context`: load single context tables, and list what is loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

_HOME = click.option("--home", "folder", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Context: staff, tickets, assignments, cases and the other tables that explain accesses.

    \b
    custodes context load --home home staff staff.csv
    custodes context load --home home tickets tickets-1.ndjson.gz tickets-2.ndjson.gz
    custodes context load --home home protected protected.csv    enrols, keeps nothing of the file
    custodes context list --home home
    """  # noqa: D301  # click reads \b as "do not rewrap"


@command.command()
@click.argument("table", metavar="TABLE")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_HOME
def load(table: str, files: tuple[Path, ...], folder: Path) -> int:
    """Load FILEs (CSV, NDJSON or Parquet, also .gz) into TABLE; the parts of one command are one load.

    \b
    custodes context load --home home tickets tickets-1.ndjson.gz tickets-2.ndjson.gz

    A later load of the same rows replaces what the earlier one said; the same file again adds nothing. Each load is recorded in
    the ledger. Ends with 0, or with 2 if a file could not be opened or is no file of this table.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.cli.load import PROTECTED, enrol, say_enrolled, say_load
    from custodes.errors import InputError, UnknownTable
    from custodes.home import Home

    unread, now = 0, datetime.now(UTC)
    with Home.open(folder) as home:
        store = home.context()
        for path in files:
            try:
                if table == PROTECTED:
                    say_enrolled(enrol(home, path))
                else:
                    say_load(store.load(table, path, now=now))
            except UnknownTable:
                raise
            except InputError as wrong:
                unread += 1
                click.echo(f"not read: {wrong}", err=True)
        home.checkpoint()
    return 2 if unread else 0


@command.command("list")
@_HOME
def list_(folder: Path) -> int:
    """List the context tables with the number of their rows; `-` where nothing was loaded."""
    from custodes.home import Home
    from custodes.model.tables import TABLES

    with Home.open(folder) as home:
        rows = home.context().sizes()
    for name in TABLES:
        click.echo(f"{name:12} {rows[name]:>12,}" if name in rows else f"{name:12} {'-':>12}")
    return 0
