"""`custodes guard uninstall`: take everything back."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.guard.database import HOME, URL, administered


@click.command()
@click.argument("system")
@HOME
@URL
def command(*, system: str, home: Path, url_file: Path | None) -> int:
    """Give back what the first install took, drop its schemas and roles, and record it: the catalogue is as it was before.

    \b
    custodes guard uninstall app-db --home home
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.guard.installation import Target, uninstall
    from custodes.home import Home
    from custodes.ledger.leaf import Kind

    with Home.open(home) as opened, administered(url_file) as database:
        statements = uninstall(database, Target(system, opened.datamap, (), {}))
        index = opened.record(Kind.POLICY, {"what": "guard uninstalled", "system": system, "statements": len(statements)})
    click.echo(f"{system} is not guarded any more; recorded as leaf {index}", err=True)
    return 0
