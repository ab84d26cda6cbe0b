"""`custodes init`: make a home."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--simulated", is_flag=True, help="For simulated companies only: their ids may be printed, and every page says so.")
def command(folder: Path, simulated: bool) -> int:
    """Make a home in DIR, a new or empty folder: settings, keys (mode 0600), and a ledger of one leaf.

    \b
    custodes init home
    custodes init --simulated /tmp/play

    The first leaf says for good whether the home is simulated. An existing home is never overwritten. Keep a copy of DIR/keys in a
    safe place: without it sealed records cannot be opened.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.home import Home

    with Home.create(folder, simulated=simulated) as home:
        kind = "simulated home" if home.simulated else "home"
    click.echo(f"{kind} made in {folder}", err=True)
    click.echo(f"  next: custodes load --home {folder} FOLDER, or custodes ingest --home {folder} --source auto FILE", err=True)
    return 0
