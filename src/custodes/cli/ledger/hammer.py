"""`custodes ledger hammer`: try the writer on this machine's disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

FACTS = ("logs", "kills", "entries", "acknowledged", "signed", "checkpoints", "inclusions")


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=20.0, show_default=True, help="How long to hammer.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder on the disk to try (default: the system's temporary folder). Needs 1 GB.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides batches and moments of the kills.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def command(*, seconds: float, folder: Path | None, seed: int, form: str) -> int:
    """Try the writer on this machine's disk: kill it again and again, while readers check every checkpoint.

    Logs are made for this in a folder of their own and removed if they are sound; no home is touched. Ends with 0, or with 3 and
    the place of the broken log. It kills processes, not the power: what a disk loses then is its maker's promise.

    \b
    custodes ledger hammer
    custodes ledger hammer --seconds 600 --dir /srv/custodes
    """  # noqa: D301  # click reads \b as "do not rewrap"
    import json
    import sys

    from custodes.ledger.hammer import HammerReport, hammer

    def progress(so_far: HammerReport) -> None:
        click.echo(f"\r\x1b[K{so_far.kills} kills, {so_far.entries:,} entries", err=True, nl=False)

    watched = sys.stderr.isatty()
    report = hammer(folder or Path(tempfile.gettempdir()), seconds, seed=seed, progress=progress if watched else None)
    if watched:
        click.echo("\r\x1b[K", err=True, nl=False)
    facts = {name: getattr(report, name) for name in FACTS}
    if form == "json":
        outcome = {"schema": "custodes.hammer/1", "exit": report.exit_code, "seconds": round(report.seconds, 1), **facts}
        click.echo(json.dumps({**outcome, "problems": report.problems}, ensure_ascii=False, indent=1))
    else:
        click.echo(f"{'BROKEN' if report.problems else 'sound'} after {report.seconds:.0f} s: {report.kills} kills of the writer")
        click.echo(f"  {report.entries} entries in {report.logs} logs, {report.signed} checkpoints signed")
        click.echo(f"  readers verified {report.checkpoints} checkpoints, each consistent with the one before it, and")
        click.echo(f"  {report.inclusions} inclusions; every log went through fsck")
        for text in report.problems:
            click.echo(f"  BROKEN  {text}")
    if report.kept is not None:
        click.echo(f"the broken log is kept: {report.kept}", err=True)
    return report.exit_code
