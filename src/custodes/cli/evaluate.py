"""`custodes evaluate`: benchmarks on data that nobody here wrote. Figures as JSON on stdout, nothing of the data itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from custodes.errors import PartMissing

NAMES: Final = {
    "bpic13-snoop": "real service-desk log with planted look-ups: share explained, and rank of R, C, P",
    "bpic13-collude": "the same log with planted rings: is the strongest pair of actors a true one?",
    "permit": "permit applications with a declared responsible: exact counts",
}
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


@click.command()
@click.argument("name", type=click.Choice(list(NAMES)))
@click.option("--data", type=click.Path(path_type=Path), help="The log (else the file of its known name in CUSTODES_BENCH_DATA).")
@click.option("--seeds", type=Seeds(), default="3-7", show_default=True, help="Seeds of the planted look-ups.")
@click.option(
    "--format", "form", type=click.Choice(("json", "table")), default="json", show_default=True, help="What goes to stdout."
)
def command(*, name: str, data: Path | None, seeds: list[int], form: str) -> int:
    """Run a benchmark.

    \b
    custodes evaluate bpic13-snoop --data bpi_challenge_2013_incidents.xes.gz --seeds 3-7
    custodes evaluate bpic13-collude --data bpi_challenge_2013_incidents.xes.gz --format table
    custodes evaluate permit --data env_permit.xes.gz

    The logs are public but not ours to pass on: name the file that you fetched. Ends with 2 if it is missing.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    path = _find(name, data)
    if name == "permit":
        from custodes.evaluate import permit

        figures = permit.evaluate(path)
    elif name == "bpic13-collude":
        from custodes.evaluate import collude

        figures = collude.evaluate(path, seeds, say=lambda text: click.echo(text, err=True))
    else:
        from custodes.evaluate import snoop

        figures = snoop.evaluate(path, seeds, say=lambda text: click.echo(text, err=True))
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
