"""Statements that are planned once say of any rows what they would say if they were planned for these."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes.engines.duckdb_engine import DuckDBEngine, open_engine
from custodes.explain.prepared import Prepared

FAR = 2**62
NUMBERS = st.one_of(st.none(), st.integers(0, 5), st.integers(100, 300), st.sampled_from([-FAR, FAR, 2**31, -(2**31)]))
WORDS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "word", "z" * 40]), st.text("abc", max_size=3))
TIMES = st.one_of(
    st.none(),
    st.integers(0, 500).map(lambda hours: datetime(2026, 1, 1) + timedelta(hours=hours)),  # noqa: DTZ001  # as in engines
    st.sampled_from([datetime(1, 1, 1), datetime(9999, 12, 31)]),  # noqa: DTZ001  # as in engines
)
SCHEMA = pa.schema(
    [("n", pa.int64()), ("k", pa.int32()), ("word", pa.string()), ("moment", pa.timestamp("us")), ("yes", pa.bool_())]
)
SMALL = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**31 - 1, -(2**31)]))
ROW = st.tuples(NUMBERS, SMALL, WORDS, TIMES, st.sampled_from([None, True, False]))
TABLE = st.tuples(st.lists(ROW, max_size=12), st.sampled_from([1, 1, 40, 400])).map(lambda drawn: drawn[0] * drawn[1])
"""Rows that are few, none, or the same many times: more than a vector of the engine holds."""
BATCHES = st.lists(st.tuples(TABLE, st.lists(ROW, max_size=12)), min_size=1, max_size=5)
STATEMENTS = {
    "above": "SELECT n, word FROM a WHERE n > 100",
    "between": "SELECT n FROM a WHERE n BETWEEN 0 AND 5 AND k IS NOT NULL",
    "null": "SELECT count(*) FROM a WHERE word IS NULL OR moment IS NULL",
    "counts": "SELECT count(*), count(n), min(n), max(n), min(moment), max(word), bool_or(yes), sum(k) FROM a",
    "groups": "SELECT k, count(*), max(n) FROM a GROUP BY k",
    "pairs_of_groups": "SELECT k, yes, count(*) FROM a GROUP BY k, yes",
    "words": "SELECT DISTINCT word, moment FROM a",
    "inner": "SELECT a.n, b.word FROM a INNER JOIN b ON b.k = a.k",
    "one_number": "SELECT a.word FROM a INNER JOIN b ON b.n = a.n",
    "left": "SELECT a.n, b.moment FROM a LEFT JOIN b ON b.word = a.word AND b.moment <= a.moment",
    "range": "SELECT count(*) FROM a INNER JOIN b ON b.moment < a.moment AND b.n >= a.n",
    "absent": "SELECT n FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.word = a.word)",
    "among": "SELECT n FROM a WHERE k IN (SELECT k FROM b) OR n IN (SELECT n FROM b WHERE yes)",
    "not_among": "SELECT word FROM a WHERE n NOT IN (SELECT n FROM b WHERE n IS NOT NULL)",
    "both": "SELECT n, k FROM a UNION SELECT n, k FROM b EXCEPT SELECT n, k FROM b WHERE yes",
    "parts": "WITH p AS (FROM a UNION ALL FROM b) SELECT x.n, y.word FROM p x INNER JOIN p y ON y.k = x.k WHERE y.n > 3",
    "last": "SELECT n, word FROM a QUALIFY row_number() OVER (PARTITION BY k ORDER BY n DESC, word, moment) = 1",
    "top": "SELECT n FROM a ORDER BY n DESC NULLS LAST LIMIT 3 OFFSET 1",
    "cases": "SELECT CASE WHEN k > 0 THEN n ELSE k END FROM a WHERE n IS NULL OR n < 4611686018427387904",
    "spans": "SELECT count(*) FROM a WHERE moment >= TIMESTAMP '2026-01-02 00:00:00' AND moment < TIMESTAMP '2026-01-10 00:00:00'",
}


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def _sorted(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return sorted(rows, key=repr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


def _planned_anew(engine: DuckDBEngine, tables: dict[str, pa.Table]) -> dict[str, list[tuple[object, ...]]]:
    """What an engine with every pass of its optimizer says, planning for these very rows."""
    for name, rows in tables.items():
        engine.table(name, rows)
    return {name: _sorted(engine.rows(sql)) for name, sql in STATEMENTS.items()}


def _hold(batches: list[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]], folder: Path) -> None:
    with (
        open_engine(memory_mb=300, threads=1, directory=folder, steady=True) as steady,
        open_engine(memory_mb=300, threads=1, directory=folder) as plain,
    ):
        statements = Prepared(steady)
        for name in ("a", "b"):
            statements.table(name, SCHEMA)
        for name, sql in STATEMENTS.items():
            statements.add(name, sql)
        statements.anew()
        for first, second in [([], []), *batches, ([], [])]:
            tables = {"a": _table(first), "b": _table(second)}
            statements.begin()
            for name, rows in tables.items():
                statements.lay(name, rows)
            told = {name: _sorted(statements.rows(name)) for name in STATEMENTS}
            assert told == _planned_anew(plain, tables)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(batches=BATCHES)
def test_what_was_planned_over_no_rows_is_right_of_any(folder: Path, batches: list[Any]) -> None:
    _hold(batches, folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(batches=BATCHES)
def test_what_was_planned_over_no_rows_is_right_of_any_long(folder: Path, batches: list[Any]) -> None:
    _hold(batches, folder)


def test_a_plan_that_rests_on_statistics_is_wrong_once_they_change(folder: Path) -> None:
    """Why an engine must be steady: the same statements in one that is not."""
    with open_engine(memory_mb=300, threads=1, directory=folder) as engine:
        engine.run("CREATE TABLE t (i INTEGER)")
        engine.run("PREPARE large AS SELECT count(*) FROM t WHERE i > 100")
        assert engine.rows("EXECUTE large") == [(0,)]
        engine.run("INSERT INTO t VALUES (200)")
        assert engine.rows("EXECUTE large") != engine.rows("SELECT count(*) FROM t WHERE i > 100")
    with open_engine(memory_mb=300, threads=1, directory=folder, steady=True) as engine:
        engine.run("CREATE TABLE t (i INTEGER)")
        engine.run("PREPARE large AS SELECT count(*) FROM t WHERE i > 100")
        engine.run("INSERT INTO t VALUES (200)")
        assert engine.rows("EXECUTE large") == [(1,)]


def test_what_a_batch_lays_is_gone_with_the_next_and_what_is_written_between_stays(folder: Path) -> None:
    with open_engine(memory_mb=300, threads=1, directory=folder, steady=True) as engine:
        statements = Prepared(engine)
        statements.table("a", SCHEMA)
        engine.run("CREATE TABLE kept (n BIGINT)")
        statements.add(
            "from", "SELECT n FROM a WHERE n >= CAST($1 AS BIGINT) AND k IN (SELECT unnest(CAST($2 AS BIGINT[]))) ORDER BY n"
        )
        statements.anew()
        rows = _table([(n, n % 3, None, None, None) for n in range(10)])
        for _ in range(3):
            statements.begin()
            statements.lay("a", rows)
            statements.lay("a", rows.slice(0, 0))
            assert statements.rows("from", 5, [0, 1]) == [(6,), (7,), (9,)]
            engine.run("INSERT INTO kept VALUES (1)")
        statements.end()
        assert statements.fetch("from", 0, [0]).num_rows == 0
        engine.run("INSERT INTO kept VALUES (2)")
        statements.begin()
        assert engine.rows("SELECT n FROM kept") == [(2,)]
        with pytest.raises((ValueError, KeyError)):
            statements.lay("a", pa.table({"other": [1]}))
