"""Says which SELECTs give counts and the like of groups that name nobody: all others hand on somebody's own values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from custodes.statements.graph import Source
from custodes.statements.predicates import function_name
from custodes.statements.routines import COUNTING
from custodes.statements.scope import NOTHING, Names, listed

_GROUPABLE: Final = frozenset({"behaviour", "public", "location"})


def counts_only(node: exp.Select, names: Names, opaque: Callable[[], None]) -> bool:
    """Say whether a SELECT gives counts and the like of groups that name nobody."""
    groups = listed(node.args.get("group"))
    grouped: set[tuple[int, str]] = set()
    for part in groups:
        place = str(part.this) if isinstance(part, exp.Literal) else ""
        ref = names.resolve(part) if isinstance(part, exp.Column) else NOTHING
        if not ref.plain or place or not all(_groupable(names.graph.sources[base[0]], base[1]) for base in ref.bases):
            return False
        grouped.update(ref.bases)
    counted = False
    waiting = list(node.expressions)
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Star):
            return False
        if isinstance(part, exp.Dot) and str(part.this.name).lower() != "pg_catalog":
            return False  # somebody's own routine of a known name, or a field of a row
        if isinstance(part, exp.Column):
            ref = names.resolve(part)
            if isinstance(part.this, exp.Star) or not (ref.plain and set(ref.bases) <= grouped):
                return False
        elif isinstance(part, exp.AggFunc | exp.Anonymous) and function_name(part) in COUNTING:
            counted = True
            if not _hides(part, names, opaque):
                return False
        elif isinstance(part, exp.Filter):
            waiting.append(part.this)
        elif not isinstance(part, exp.Subquery | exp.Select | exp.SetOperation):
            waiting += list(part.iter_expressions())
    return counted or bool(groups)


def _groupable(source: Source, column: str) -> bool:
    if source.entry is None:
        return False
    kind = source.kind_of(column)
    category = source.entry.fields.get(column)
    return (kind is None or kind in {"location", "time_window"}) and (category is None or category in _GROUPABLE)


def _hides(node: exp.Expression, names: Names, opaque: Callable[[], None]) -> bool:
    """Say whether an aggregate hides single values: a sum of keys, or a CASE on one, does not."""
    if node.find(exp.Case, exp.If):
        opaque()
        return False
    if function_name(node) in {"count", "approx_distinct", "approx_count_distinct"}:
        return True
    refs = [names.resolve(column) for column in node.find_all(exp.Column)]
    return all(names.graph.sources[number].kind_of(name) is None for ref in refs for number, name in ref.bases)
