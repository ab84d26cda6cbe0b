"""The engine's promises: order, UTC, the second wall, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from custodes.dialect import nodes
from custodes.engine import Engine
from custodes.engines.duckdb_engine import MACROS, open_engine
from custodes.errors import EngineUnavailable

NOON = datetime(2026, 3, 1, 12, 0, 59, tzinfo=UTC)
ROWS = pa.table(
    {
        "access": pa.array([1, 2], pa.int64()),
        "time": pa.array([NOON, None], pa.timestamp("us", tz="UTC")),
        "actor": pa.array(["a-x", "a-y"]).dictionary_encode(),
    }
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(memory_mb=256, threads=2, directory=tmp_path)
    yield opened
    opened.close()


def test_arrow_rows_come_in_the_order_that_was_asked_for(engine: Engine) -> None:
    engine.run("CREATE TABLE t AS SELECT i, hash(i) % 1000 AS k FROM range(400000) AS r(i)")
    for _ in range(5):
        found = engine.fetch("SELECT k, i FROM t ORDER BY k, i")
        pairs = list(zip(found["k"].to_pylist(), found["i"].to_pylist(), strict=True))
        assert pairs == sorted(pairs)


def test_times_of_tables_and_files_are_utc_without_a_zone(engine: Engine, tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    engine.parquet("from_file", [str(tmp_path / "rows.parquet")], ROWS.schema)
    engine.table("from_memory", ROWS)
    for name in ("from_file", "from_memory"):
        assert engine.rows(f"SELECT time, typeof(time), actor FROM {name} ORDER BY access") == [
            (NOON.replace(tzinfo=None), "TIMESTAMP", "a-x"),
            (None, "TIMESTAMP", "a-y"),
        ]


def test_a_view_without_files_is_empty_and_has_its_columns(engine: Engine) -> None:
    engine.parquet("nothing", [], ROWS.schema)
    assert engine.fetch("SELECT * FROM nothing").to_pydict() == {"access": [], "time": [], "actor": []}


def test_a_name_can_be_a_table_then_a_view_then_a_table_again(engine: Engine, tmp_path: Path) -> None:
    pq.write_table(ROWS.slice(0, 1), tmp_path / "one's.parquet")
    counts = []
    for _ in range(2):
        engine.table("t", ROWS)
        counts.append(engine.rows("SELECT count(*) FROM t"))
        engine.parquet("t", [str(tmp_path / "one's.parquet")], ROWS.schema)
        counts.append(engine.rows("SELECT count(*) FROM t"))
    assert counts == [[(2,)], [(1,)], [(2,)], [(1,)]]


def test_day_and_minute_numbers_count_whole_units_since_1970(engine: Engine) -> None:
    engine.table("t", ROWS)
    days = (NOON.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    assert engine.rows("SELECT day_number(time), minute_number(time) FROM t ORDER BY access") == [
        (days, days * 1440 + 720),
        (None, None),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT getenv('HOME')",
        "SELECT * FROM ROWS",
        "ATTACH '/nowhere/x.db'",
        "SET threads = 1",
        "SET allowed_directories = ['/']",
        "RESET enable_external_access",
        "COPY (SELECT 1) TO '/nowhere/x.csv'",
        "INSTALL httpfs",
        "LOAD httpfs",
    ],
)
def test_statement_cannot_reach_outside(engine: Engine, sql: str) -> None:
    with pytest.raises(EngineUnavailable, match="DuckDB"):
        engine.rows(sql)


def test_a_folder_beside_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    (tmp_path / "home-other").mkdir()
    (tmp_path / "home").mkdir()
    pq.write_table(ROWS, tmp_path / "home-other" / "rows.parquet")
    with open_engine(memory_mb=64, threads=1, directory=tmp_path / "home") as engine, pytest.raises(EngineUnavailable):
        engine.parquet("t", [str(tmp_path / "home-other" / "rows.parquet")], ROWS.schema)


def test_spilling_stays_inside_and_leaves_nothing(tmp_path: Path) -> None:
    with open_engine(memory_mb=150, threads=2, directory=tmp_path) as engine:
        query = (
            "SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS n FROM range(9000000) AS r(i)) WHERE n % 2 = 0"
        )
        assert engine.rows(query) == [(4_500_000,)]
        assert [path.name.startswith(".engine-") for path in tmp_path.iterdir()] == [True]
    assert list(tmp_path.iterdir()) == []


def test_failures_say_the_engines_words_in_one_line(engine: Engine) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        engine.rows("SELECT no_such_column FROM (SELECT 1)")
    assert "no_such_column" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 5


def test_limits_are_those_that_were_asked_for(engine: Engine) -> None:
    settings = dict(
        engine.rows("SELECT name, value FROM duckdb_settings() WHERE name IN ('threads', 'TimeZone', 'preserve_insertion_order')")
    )
    assert settings == {"threads": "2", "TimeZone": "UTC", "preserve_insertion_order": "true"}
    assert engine.name == "duckdb"
    assert engine.version.startswith("1.")


def test_every_macro_of_the_dialect_is_in_the_engine() -> None:
    assert set(MACROS) == nodes.MACROS
