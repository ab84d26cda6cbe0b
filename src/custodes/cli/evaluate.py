"""`custodes evaluate`: benchmarks on data that nobody here wrote, and on every scenario. Figures on stdout, nothing of the data."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from custodes.cli.world import LEVELS
from custodes.errors import PartMissing

_FILES: Final = {
    "bpic13-snoop": "bpi_challenge_2013_incidents.xes.gz",
    "bpic13-collude": "bpi_challenge_2013_incidents.xes.gz",
    "permit": "env_permit.xes.gz",
}


class Seeds(click.ParamType[Any]):
    """`3-7`, or `1,4,9`."""

    name = "seeds"

    def convert(self, value: str | list[int], param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Return the seeds, or fail with what was expected."""
        if isinstance(value, list):
            return value
        try:
            seeds: list[int] = []
            for part in value.split(","):
                first, _, last = part.partition("-")
                seeds.extend(range(int(first), int(last or first) + 1))
        except ValueError:
            self.fail(f"{value!r} names no seeds; expected 3-7 or 1,4,9", param, ctx)
        return seeds


_DATA = click.option(
    "--data", type=click.Path(path_type=Path), help="The log (else the file of its known name in CUSTODES_BENCH_DATA)."
)
_SEEDS = click.option("--seeds", type=Seeds(), default="3-7", show_default=True, help="Seeds of what is planted: 3-7, or 1,4,9.")
_FORM = click.option(
    "--format", "form", type=click.Choice(("json", "table")), default="json", show_default=True, help="What goes to stdout."
)


@click.group()
def command() -> None:
    """Run a benchmark.

    \b
    custodes evaluate scenarios --only S01,B08 --seeds 3-4
    custodes evaluate bpic13-snoop --data bpi_challenge_2013_incidents.xes.gz --seeds 3-7
    custodes evaluate bpic13-collude --data bpi_challenge_2013_incidents.xes.gz --format table
    custodes evaluate permit --data env_permit.xes.gz

    The logs are public but not ours to pass on: name the file that you fetched. Ends with 2 if it is missing.
    """  # noqa: D301  # click reads \b as "do not rewrap"


@command.command("bpic13-snoop")
@_DATA
@_SEEDS
@_FORM
def snoop_(*, data: Path | None, seeds: list[int], form: str) -> int:
    """Judge a real service-desk log with planted look-ups: share explained, and rank of R, C, P."""
    from custodes.evaluate import snoop

    return _print(snoop.evaluate(_find("bpic13-snoop", data), seeds, say=_say), form)


@command.command("bpic13-collude")
@_DATA
@_SEEDS
@_FORM
def collude_(*, data: Path | None, seeds: list[int], form: str) -> int:
    """Judge the same log with planted rings: is the strongest pair of actors a true one?"""
    from custodes.evaluate import collude

    return _print(collude.evaluate(_find("bpic13-collude", data), seeds, say=_say), form)


@command.command("permit")
@_DATA
@_FORM
def permit_(*, data: Path | None, form: str) -> int:
    """Judge permit applications with a declared responsible: exact counts."""
    from custodes.evaluate import permit

    return _print(permit.evaluate(_find("permit", data)), form)


@command.command("scenarios")
@click.option("--only", help="Scenario ids, with commas between. Default: every abuse scenario and composite.")
@_SEEDS
@click.option("--level", type=click.Choice(LEVELS), default="medium", show_default=True, help="How hard they are to see.")
@click.option("--size", help="tiny, demo, small, long or medium. Default: the one that each scenario names.")
@click.option("--twins", type=click.IntRange(min=0), default=1, show_default=True, help="Variants of each innocent look-alike.")
@click.option("--together", is_flag=True, help="All scenarios of a seed in one company: cheaper, and they compete for places.")
@click.option("--replay", is_flag=True, help="Also find out after how many reads and hours each would have been shown (slow).")
@click.option(
    "--wrong-labels",
    type=click.IntRange(0, 100),
    help="Label what was shown, so many per cent of it wrongly, watch again, and say what that costs.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Worlds at a time, a process for each.")
@click.option("--file", "file", type=click.Path(path_type=Path), help="A scenario file of your own, read before ours.")
@_FORM
def scenarios_(
    *,
    only: str | None,
    seeds: list[int],
    level: str,
    size: str | None,
    twins: int,
    together: bool,
    replay: bool,
    wrong_labels: int | None,
    jobs: int,
    file: Path | None,
    form: str,
) -> int:
    """Build, load, watch and score simulated companies, by episode.

    \b
    custodes evaluate scenarios --only S01,S02 --seeds 3-7 --twins 5
    custodes evaluate scenarios --size demo --seeds 3 --jobs 2 --format table
    custodes evaluate scenarios --only B01,B08,B10,B17 --twins 5 --seeds 3
    custodes evaluate scenarios --file mine.json --only Z77

    An episode counts as found if one of the 20 campaigns shown for its week holds it. What could not be judged is named, counts
    nowhere, and ends the command with 5.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.cli.load import load_folder
    from custodes.evaluate import scenarios, scenarios_table

    figures = scenarios.evaluate(
        load_folder,
        only=[name.strip() for name in (only or "").split(",") if name.strip()],
        seeds=seeds,
        level=level,
        size=size,
        twins=twins,
        together=together,
        replay=replay,
        jobs=jobs,
        file=file,
        wrong_labels=wrong_labels,
        say=_say if sys.stderr.isatty() else lambda _: None,
    )
    if form == "table":
        for line in scenarios_table.lines(figures):
            click.echo(line)
    else:
        click.echo(json.dumps(figures, indent=1))
    return 5 if figures["not_judged"] else 0


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(figures: dict[str, Any], form: str) -> int:
    if form == "table":
        from custodes.evaluate import table

        for line in table.lines(figures):
            click.echo(line)
    else:
        click.echo(json.dumps(figures, indent=1))
    return 0


def _find(name: str, data: Path | None) -> Path:
    folder = os.environ.get("CUSTODES_BENCH_DATA")
    path = data or (Path(folder) / _FILES[name] if folder else None)
    if path is None or not path.is_file():
        raise PartMissing(
            f"{name}: the log is not here{f' ({path})' if path else ''}",
            hint=f"fetch {_FILES[name]} and name it with --data FILE, or its folder with CUSTODES_BENCH_DATA",
        )
    return path
