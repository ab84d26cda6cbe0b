"""A statement taken apart, so that an engine can make parts of it into tables first and know how large they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from custodes.dialect.parsing import parse


class Step(NamedTuple):
    """One named part of a statement. `alone`: its SELECT with all parts before it, as they stand."""

    name: str
    text: str
    alone: str


def in_steps(text: str, names: Collection[str], source: str) -> tuple[list[Step], str]:
    """Take the parts of these names out of the WITH of a statement that keeps the dialect; return them, and what then is left.

    What comes after a part reads `source` with the part's name in the place of `{name}`.
    """
    tree = parse(text)
    within = tree.args.get("with_")
    parts = {part.alias: part.this.sql(dialect="duckdb") for part in within.expressions} if within else {}
    steps: list[Step] = []
    so_far: list[str] = []
    as_it_stands: list[str] = []
    for name, part in parts.items():
        if name in names:
            steps.append(Step(name, _with(so_far, part), _with(as_it_stands, part)))
        read = f"NOT MATERIALIZED (SELECT * FROM {source.format(name=name)})" if name in names else f"({part})"
        so_far.append(f"{name} AS {read}")
        as_it_stands.append(f"{name} AS ({part})")
    tree.set("with_", None)
    return steps, _with(so_far, tree.sql(dialect="duckdb"))


def _with(parts: Collection[str], text: str) -> str:
    return f"WITH {', '.join(parts)} {text}" if parts else text
