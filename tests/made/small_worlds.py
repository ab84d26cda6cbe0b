"""Small random worlds of looks, verdicts and context, and the test that a rule and a plain evaluator say the same of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes.dialect import bind_sql
from custodes.engines.duckdb_engine import DuckDBEngine
from custodes.rule import load_shelf
from custodes.rule_file import TABLES_READ
from custodes.rule_trial import SCHEMAS, fill

SHELF = {rule.code: rule for rule in load_shelf()}
START = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001  # times of engines are UTC without a zone
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FOREVER = datetime(9999, 12, 31)  # noqa: DTZ001  # likewise
Row = dict[str, Any]
World = dict[str, list[Row]]
Found = set[tuple[Any, ...]]

ACTORS, SUBJECTS = ("a1", "a2", "a3"), ("s1", "s2", "s3")
moments = st.sampled_from(
    [START + step for step in (0 * DAY, 10 * MINUTE, 29 * MINUTE, 90 * MINUTE, 5 * HOUR, DAY, 2 * DAY, 3 * DAY, 9 * DAY, 31 * DAY)]
)
ends = st.one_of(st.none(), moments)


def rows(least: int = 0, most: int = 4, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.fixed_dictionaries(columns), min_size=least, max_size=most)


def looks(least: int = 3, most: int = 9, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    columns: dict[str, st.SearchStrategy[Any]] = {
        "subject": st.sampled_from(SUBJECTS),
        "actor": st.sampled_from(ACTORS),
        "time": moments,
        "public_only": st.sampled_from([0, 0, 0, 1]),
        "deliberate": st.sampled_from([True, True, None, False]),
        **more,
    }
    return rows(least, most, **columns).map(_numbered)


def _numbered(found: list[Row]) -> list[Row]:
    return [{"access": number, "human": row["actor"], **row} for number, row in enumerate(found, 1)]


def with_core(worlds: st.SearchStrategy[World], core: Sequence[Row], **fixed: Any) -> st.SearchStrategy[World]:
    """Add looks to most worlds that would make a rule fire if nothing else in the world spoke against it."""

    def added(world: World, wanted: bool) -> World:
        seen = world["looks"]
        for row in core if wanted else ():
            plain = {"public_only": 0, "deliberate": True, "time": START, **fixed, **row}
            seen = [*seen, {**seen[0], "access": len(seen) + 1, "human": plain["actor"], **plain}]
        return {**world, "looks": seen}

    return st.builds(added, worlds, st.sampled_from([True, True, True, False]))


def verdicts(most: int = 4, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    return rows(0, most, place=st.integers(0, 20), **columns)


explained = verdicts(template=st.sampled_from(["E1", "E2", "E3", "E4", "E6", "E12"]), strength=st.sampled_from([2, 3, 4]))


def laid_on(world: World) -> World:
    """Put each verdict on one of the looks."""
    for name in ("explanations", "flags", "obligations"):
        placed = []
        for row in world.get(name, []):
            look = world["looks"][row["place"] % len(world["looks"])]
            placed.append(
                {
                    **{key: value for key, value in row.items() if key != "place"},
                    "access": look["access"],
                    "subject": look["subject"],
                }
            )
        if name in world:
            world[name] = placed
    return world


def held(world: World, look: Row) -> int:
    """Return the strength of the best reason of a look, 0 for none."""
    return max((row["strength"] for row in world.get("explanations", []) if row["access"] == look["access"]), default=0)


def bare(world: World) -> list[Row]:
    """Return the looks that nothing explains, at more than public fields, that were meant."""
    return [
        look for look in world["looks"] if not held(world, look) and not look["public_only"] and look["deliberate"] is not False
    ]


def day(time: datetime) -> int:
    return (time - datetime(1970, 1, 1)).days  # noqa: DTZ001  # likewise


def unmet(world: World, look: Row) -> bool:
    return any(row["access"] == look["access"] and not row["met"] for row in world["obligations"])


def tuned(code: str, parameters: Mapping[str, int]) -> str:
    """Return the statement of a rule with some parameters at other values within their bounds, so that small worlds reach them."""
    (path,) = (Path(__file__).parents[2] / "src" / "custodes" / "rules").glob(f"{code}_*.yml")
    written = yaml.safe_load(path.read_text())
    bounds = written["params"]
    assert all(bounds[name]["min"] <= value <= bounds[name]["max"] for name, value in parameters.items())
    return bind_sql(written["sql"], TABLES_READ, {name: parameters.get(name, entry["default"]) for name, entry in bounds.items()})


def ran(engine: DuckDBEngine, sql: str, world: World, columns: Sequence[str]) -> Found:
    fill(engine, world, {name for name in SCHEMAS if name in sql})
    return {tuple(row[name] for name in columns) for row in engine.fetch(sql).to_pylist()}


def agrees(
    code: str,
    columns: Sequence[str],
    strategy: st.SearchStrategy[World],
    evaluate: Callable[[World], Found],
    parameters: Mapping[str, int] | None = None,
    *,
    fires: int = 1,
) -> Any:
    """Return the test that the rule of `code` and `evaluate` say the same of every world.

    At least `fires` worlds must make it fire. `parameters`: values of the rule's own, instead of its defaults.
    """
    sql = tuned(code, parameters) if parameters else SHELF[code].sql

    def test(engine: DuckDBEngine) -> None:
        fired = 0

        @settings(max_examples=settings().max_examples // 4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(strategy)
        def check(world: World) -> None:
            nonlocal fired
            world = laid_on(world)
            expected = evaluate(world)
            assert ran(engine, sql, world, columns) == expected
            fired += bool(expected)

        check()
        assert fired >= fires, f"only {fired} worlds made the rule fire: the test proves too little"

    return test
