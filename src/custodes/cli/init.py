"""`custodes init`: make a home."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.errors import ConfigError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--simulated", is_flag=True, help="For simulated companies only: their ids may be printed, and every page says so.")
@click.option(
    "--approver",
    "approvers",
    multiple=True,
    metavar="ID=KEY",
    help="Company id and public key of who may ask for and approve erasures.",
)
def command(folder: Path, simulated: bool, approvers: tuple[str, ...]) -> int:
    """Make a home in DIR, a new or empty folder: settings, keys (mode 0600), and a ledger of one leaf.

    \b
    custodes init home
    custodes init --simulated /tmp/play
    custodes init home --approver E17=3b6a… --approver E29=d75a… --approver E31=fc51…

    The first leaf says for good whether the home is simulated, the second whose keys (`custodes ledger approver keygen`) may ask
    for and approve erasures, three people at least: a home made without them never erases. An existing home is never overwritten.
    Keep a copy of DIR/keys in a safe place: without it sealed records cannot be opened.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.home_making import make_home

    keys = dict(_split(text) for text in approvers)
    if len(keys) < len(approvers):
        raise ConfigError("--approver: one key for each person")
    with make_home(folder, simulated=simulated, approvers=keys) as home:
        kind = "simulated home" if home.simulated else "home"
    click.echo(f"{kind} made in {folder}", err=True)
    click.echo(f"  next: custodes load --home {folder} FOLDER, or custodes ingest --home {folder} --source auto FILE", err=True)
    return 0


def _split(text: str) -> tuple[str, str]:
    actor, _, key = text.rpartition("=")
    if not actor:
        raise ConfigError("--approver: expected ID=KEY")
    return actor, key.lower()
