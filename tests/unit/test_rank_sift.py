"""What is told: everything loud, everything about the same pair, the best of the rest; what is not told is counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.model.words import LEVELS
from custodes.rank.sift import SLACK, Sieve
from custodes.rule_groups import ROWS

MONDAY = datetime(2026, 3, 2, 9)  # noqa: DTZ001  # times come from the engine without a zone, in UTC
COLUMNS = ("draft", "rule", "place", "access", "actor", "subject", "derived", "time", "level")
TYPES = (pa.int64(), pa.string(), pa.int64(), pa.int64(), *[pa.string()] * 3, pa.timestamp("us"), pa.int8())
Row = tuple[object, ...]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(memory_mb=256, threads=2, directory=tmp_path) as opened:
        yield opened


def group(access: int, actor: str, subject: str | None, level: str = "note", code: str = "D01", *, day: int = 0) -> Row:
    """Return a group of one row, whose number is that of its access."""
    return (access, code, access, access, actor, subject, None, MONDAY + timedelta(days=day), LEVELS.index(level))


def many(first: int, count: int) -> list[Row]:
    return [group(n, f"a-{n}", f"s-{n}") for n in range(first, first + count)]


def told(engine: Engine, sieve: Sieve, rows: Sequence[Row]) -> set[int]:
    columns = zip(*rows, strict=True)
    engine.table(ROWS, pa.table(dict(zip(COLUMNS, map(pa.array, columns, TYPES), strict=True))))
    return set(sieve(engine))


def test_what_is_loud_is_always_told(engine: Engine) -> None:
    rows = [group(n, f"a-{n}", "s-1", "medium") for n in range(50)]
    assert told(engine, Sieve({}, 1), rows) == set(range(50))


def test_the_best_of_the_rest_is_told_and_the_others_are_counted(engine: Engine) -> None:
    rows = many(0, SLACK * 2 + 3)
    sieve = Sieve({n: n for n in range(len(rows))}, 2)
    assert told(engine, sieve, rows) == set(range(3, len(rows)))
    assert sieve.cut == {"D01": 3}


def test_a_week_is_a_week(engine: Engine) -> None:
    rows = [group(n, f"a-{n}", f"s-{n}", day=7 * n) for n in range(SLACK + 4)]
    assert len(told(engine, Sieve({}, 1), rows)) == len(rows)


def test_the_looks_of_a_loud_pair_are_told_with_it(engine: Engine) -> None:
    loud, weak = group(1, "a-1", "s-1", "high", "D09"), group(2, "a-1", "s-1")
    kept = told(engine, Sieve(dict.fromkeys(range(10, 99), 900), 1), [loud, weak, *many(10, SLACK + 1)])
    assert 2 in kept
    assert len(kept) == 2 + SLACK


def test_nobody_named_ties_nothing_together(engine: Engine) -> None:
    loud, weak = group(1, "a-1", None, "high", "D09"), group(2, "a-1", None)
    assert 2 not in told(engine, Sieve(dict.fromkeys(range(10, 99), 900), 1), [loud, weak, *many(10, SLACK)])


def test_the_order_of_groups_plays_no_part(engine: Engine) -> None:
    rows = many(0, SLACK + 5)
    assert told(engine, Sieve({}, 1), rows) == told(engine, Sieve({}, 1), rows[::-1]) == set(range(SLACK))


def test_every_group_counts_for_its_actors_and_for_what_is_known(engine: Engine) -> None:
    rows = [*many(0, SLACK + 2), group(90, "a-1", "s-9", "high", "D09"), (90, *group(91, "a-2", "s-9", "high", "D09")[1:])]
    sieve = Sieve({}, 1, {3, SLACK + 1, 91, 400})
    told(engine, sieve, rows)
    expected: Mapping[frozenset[object], int] = {frozenset({f"a-{n}"}): 1 for n in range(SLACK + 2)}
    assert sieve.found == {**expected, frozenset({"a-1", "a-2"}): 1}
    assert sieve.met == {"D01": {3, SLACK + 1}, "D09": {91}}


def test_nothing_of_the_sieve_stays_in_the_engine(engine: Engine) -> None:
    told(engine, Sieve({}, 1, {1}), many(0, 3))
    assert engine.rows("SELECT table_name FROM information_schema.tables") == [(ROWS,)]
