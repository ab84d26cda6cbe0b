"""`custodes guard plan`: what would be done, as one script to review."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.guard.database import HOME, STAFF, URL, administered, target_of


@click.command()
@click.argument("system")
@HOME
@URL
@STAFF
@click.option("--undo", is_flag=True, help="Print how it would be taken back.")
def command(*, system: str, home: Path, url_file: Path | None, staff: tuple[str, ...], undo: bool) -> int:
    """Print the plan for SYSTEM of the home's data map: roles, leases, safe views, revoked rights. Nothing is changed.

    Read it, above all the lines NOT COVERED. The same database and data map give the same bytes.

    \b
    custodes guard plan app-db --home home --staff ann --staff bob > plan.sql
    custodes guard plan app-db --home home --staff ann --staff bob --undo
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.home import Home

    with Home.open(home) as opened, administered(url_file) as database:
        plan = target_of(opened, system, staff).plan(database)
    click.echo(plan.text(undo=undo), nl=False)
    for line in plan.not_covered:
        click.echo(f"not covered: {line}", err=True)
    return 0
