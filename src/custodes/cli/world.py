"""`custodes world`: build a simulated company as input files, and list what can be built."""

from __future__ import annotations

import sys
from pathlib import Path

import click

LEVELS = ("easy", "medium", "hard")


@click.group()
def command() -> None:
    """A simulated company: input files and the truth about them.

    \b
    custodes world list
    custodes world build --scenario F01 --seed 1 --out company
    custodes load --home home company
    """  # noqa: D301  # click reads \\b as "do not rewrap"


@command.command("list")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A scenario file of your own, read beside ours.")
def list_(file: Path | None) -> int:
    """List the scenarios: id, kind, size, twins, title."""
    from custodes.world.language import library

    for one in library(file).scenarios.values():
        twins = " ".join(one.twins) if one.kind == "abuse" else ""
        click.echo(f"{one.id:6} {one.kind:7} {one.size:7} {one.title}{f'  (twins: {twins})' if twins else ''}")
    return 0


@command.command()
@click.option("--scenario", "scenarios", multiple=True, required=True, help="Scenario id; may be given several times.")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="The same seed gives the same bytes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder, or one with an earlier world.")
@click.option("--level", type=click.Choice(LEVELS), default="medium", show_default=True, help="How hard it is to see.")
@click.option("--size", help="tiny, demo, small, long or medium. Default: the scenario's own.")
@click.option("--twins", type=click.IntRange(min=0), default=1, show_default=True, help="Innocent look-alikes of each scenario.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A scenario file of your own, read before ours.")
def build(*, scenarios: tuple[str, ...], seed: int, out: Path, level: str, size: str | None, twins: int, file: Path | None) -> int:
    """Build a simulated company as a folder of exports with `truth.json`.

    \b
    custodes world build --scenario F01 --seed 1 --out company
    custodes world build --scenario S04 --level hard --size demo --twins 5 --seed 7 --out relay
    """  # noqa: D301  # click reads \\b as "do not rewrap"
    from custodes import world

    shown = sys.stderr.isatty()

    def progress(done: int, days: int) -> None:
        if shown:
            click.echo(f"\rday {done} of {days}", nl=done == days, err=True)

    built = world.build(scenarios, seed=seed, out=out, level=level, size=size, twins=twins, file=file, progress=progress)
    for step in built.pending:
        click.echo(f"not done: {step}", err=True)
    lost = f", {built.lost} lines lost on purpose" if built.lost else ""
    click.echo(f"{built.accesses} accesses{lost}; episodes: {', '.join(built.campaigns)}", err=True)
    click.echo(str(built.folder))
    return 0
