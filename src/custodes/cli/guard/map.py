"""`custodes guard map`: a first data map, for a person to edit."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.guard.database import URL, administered


@click.command()
@click.argument("system")
@URL
@click.option("--schema", "schemas", multiple=True, help="Only this schema; repeat it.")
def command(*, system: str, url_file: Path | None, schemas: tuple[str, ...]) -> int:
    """Propose a data map for SYSTEM (the name by which its logs call it) and print it as YAML.

    Goes by names and types of columns, and by how many values of a sample have the shape of an address or a mailbox: the
    database counts, no value is read. What it does not know it lists as `?`, and what the map does not name is shown to nobody.

    \b
    custodes guard map app-db --schema app > datamap.yaml
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.guard.mapping import propose, written

    with administered(url_file) as database:
        tables = list(propose(database.catalogue(), database, schemas))
    click.echo(written(system, tables), nl=False)
    unknown = sum(guess.category is None for table in tables for guess in table.guesses)
    click.echo(f"{len(tables)} tables, {unknown} columns of which nobody knows yet what they are: read it, then edit it", err=True)
    return 0
