"""`custodes guard`: hold staff off protected fields at the database. One module per command, imported when it runs."""

from __future__ import annotations

from typing import Final

import click

from custodes.cli.late import Late, from_package

COMMANDS: Final = {
    "map": "propose a data map from a database's names, types and shapes",
    "plan": "write what would be done as one reviewable script",
    "install": "put a reviewed plan in force, tried as a staff login",
    "verify": "who can still reach a protected field, and how?",
    "declare": "two people accept a way around the guard for a while",
    "serve": "decide, record and release over HTTP",
    "policy": "two people change what is allowed",
    "registry": "keys of the registry of protected people",
    "uninstall": "take everything back",
}
"""Command → one line for `--help`. Each lives in `custodes.cli.guard.<command>` as `command`."""


@click.group(cls=Late, lines=COMMANDS, find=from_package(__name__))
def command() -> None:
    """Stand in the way: staff lose the tables and get views that show a protected field only under a recorded lease.

    \b
    export CUSTODES_GUARD_URL=postgresql://admin@db/app          (or --url-file FILE; never inline)
    custodes guard map app-db > datamap.yaml                     then read and edit it
    custodes guard plan app-db --home home --staff ann --staff bob > plan.sql
    custodes guard install app-db --home home --staff ann --staff bob --plan plan.sql
    custodes guard verify app-db --home home --staff ann --staff bob
    custodes guard declare --help
    custodes guard uninstall app-db --home home
    """  # noqa: D301  # click reads \b as "do not rewrap"
