"""`custodes ledger export`: the log as a static folder of tiles."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.ledger.place import HOME, ledger_of, progress


@click.command()
@HOME
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
def command(*, home: Path, target: Path) -> int:
    """Write the published log as a static folder of tiles (C2SP tlog-tiles). Again into the same folder: only what is new.

    \b
    custodes ledger export --home home public/
    custodes verify public/ --policy my.policy
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.export import export as write

    published = write(ledger_of(home), target, progress=progress("written"))
    click.echo(f"{published.size} entries of {published.origin}: {target}", err=True)
    return 0
