"""The figures of `evaluate scenarios` as a table for people: the same facts as the JSON, beside the goals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_WIDTHS: Final = (7, 7, 8, 9, 7, 8, 8, 8, 12)


def lines(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table for a `custodes.evaluation/1` document of the scenarios."""
    seeds = ", ".join(map(str, figures["seeds"]))
    yield f"scenarios  (size {figures['size']}, level {figures['level']}, seeds {seeds}, {figures['twins']} of each twin)"
    yield ""
    heads = ("found", "rank", "code 1", "missing", "evid.", "actors", "direct", "linked", "reads")
    yield f"{'':<6}" + "".join(f"{head:>{width}}" for head, width in zip(heads, _WIDTHS, strict=True))
    for name, one in figures["abuse"].items():
        told = (_count(one["found"]), _cell(one["rank"]), _count(one["first_code"]), _cell(one["missing"]), _cell(one["evidence"]))
        sets = (_cell(one["actor_f1"]), _cell(one["direct_f1"]), _cell(one["linked_f1"]), _detected(one["detected"]))
        yield f"{name:<6}" + "".join(f"{cell:>{width}}" for cell, width in zip((*told, *sets), _WIDTHS, strict=True))
        for why in dict.fromkeys(one["misses"]):
            yield f"      missed: {why}"
    yield ""
    for name, one in figures["innocent"].items():
        loud = f"  loud: {' '.join(one['loud_rules'])}" if one["loud_rules"] else ""
        above = f"  above a hit: {one['above_a_hit']}" if one["above_a_hit"] else ""
        yield f"{name:<6}quiet {_count(one['quiet'])}{loud}{above}"
    yield ""
    for name, value in figures["overall"].items():
        goal = figures["goals"].get(name)
        said = f"{_cell(value['share'])} ({_count(value)})" if isinstance(value, Mapping) else _cell(value)
        yield f"{name.replace('_', ' '):<36}{said:>18}{'' if goal is None else f'   goal {goal}'}"
    for name, why in figures["not_judged"].items():
        yield f"not judged: {name}: {why}"


def _count(part: Mapping[str, Any]) -> str:
    return f"{part['yes']}/{part['of']}"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")


def _detected(value: Mapping[str, Any] | None) -> str:
    return "-" if value is None else f"{_cell(value['reads'])}, {_cell(value['hours'])} h"
