"""Draw the README's picture from a simulated home: `python docs/draw.py demo > docs/pictures/matrix.svg`."""

from __future__ import annotations

import sys
from pathlib import Path

from custodes.cli.watch import display_of, run_watch
from custodes.home import Home
from custodes.pictures import matrix
from custodes.pictures.seriate import Lead


def main() -> None:
    """Run the main path over the home named first and print the matrix. Display names are the home's own."""
    with Home.open(Path(sys.argv[1])) as home:
        if not home.simulated:
            raise SystemExit("pictures for the README are drawn from simulated homes only")
        run = run_watch(home, since=None, until=None, budget=20)
        display = display_of(home, run)
    first = run.campaigns[0]
    svg = matrix.draw(
        [(cell.actor, cell.subject, cell.count) for cell in run.cells],
        {word: display.name(word) for cell in run.cells for word in (cell.actor, cell.subject)},
        {actor: f"{facts.unit}, {facts.country}" for actor, facts in run.actors.items()},
        title="Who looked at whom without a reason? (simulated company)",
        rows=18,
        columns=40,
        lead=Lead(frozenset(first.actors), frozenset((*first.subjects, *first.linked_subjects))),
        background="#ffffff",
    )
    sys.stdout.write(svg)


if __name__ == "__main__":
    main()
