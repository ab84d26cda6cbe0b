"""Rows held in memory are found by key, all of them and no others, also those that came later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from custodes.engines.duckdb_engine import DuckDBEngine, open_engine
from custodes.errors import BadRule
from custodes.explain import load_templates
from custodes.explain.few import Few
from custodes.explain.held import Grown, Held
from custodes.model.policy import Policy


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    with open_engine(memory_mb=200, threads=1, directory=tmp_path) as opened:
        yield opened


def test_rows_are_found_by_each_key_however_many_share_one(engine: DuckDBEngine) -> None:
    engine.run("CREATE TYPE letter AS ENUM ('a', 'b')")
    rows = "SELECT i, CASE WHEN i % 200 < 150 THEN i % 3 END AS few, CAST('a' AS letter) AS word FROM range(1000) AS r(i)"
    held = Held(engine, rows, {"few": "few", "one": "i"})
    expected = [i for i in range(1000) if i % 200 < 150 and i % 3 in (0, 2)]
    found = held.take(held.find("few", [0, 2, 7])).to_pylist()
    assert sorted(row["i"] for row in found) == expected
    assert {row["word"] for row in found} == {"a"}
    assert [row["i"] for row in held.take(held.find("one", [999, 1000, 0])).to_pylist()] == [999, 0]
    assert Held(engine, f"{rows} WHERE FALSE", {"one": "i"}).find("one", [0]) == []


@pytest.mark.parametrize("key", ["hash(i)", "i // 7", "i * 1000003", "0", "CASE WHEN i < 0 THEN i END"])
def test_keys_are_found_wherever_they_lie(engine: DuckDBEngine, key: str) -> None:
    held = Held(engine, f"SELECT i, {key} AS key FROM range(5000) AS r(i)", {"key": "key"})
    there = held.rows["key"].to_pylist()
    for wanted in (0, 1, 713, 4999, 5000 * 1000003, 2**64 - 1, *(there[place] for place in (0, 1, 2500, 4999) if there[place])):
        assert sorted(held.find("key", [wanted])) == [place for place, value in enumerate(there) if value == wanted]


def test_rows_that_come_later_are_found_and_can_be_forgotten() -> None:
    grown = Grown()
    for start in range(0, 300, 10):
        grown.add(
            pa.table({"n": list(range(start, start + 10)), "key": [number % 7 or None for number in range(start, start + 10)]}),
            "key",
        )
    found = [row["n"] for piece in grown.take(grown.find("key", [3, 5])) for row in piece.to_pylist()]
    assert sorted(found) == [n for n in range(300) if n % 7 in (3, 5)]
    assert grown.find("key", [0, None]) == []
    grown.forget("key", [3, 99])
    assert (grown.find("key", [3]), grown.known("key", [3, 99, 98])) == ([], {3, 99})
    grown.add(pa.table({"n": [1000], "key": [3]}), "key")
    assert [row["n"] for piece in grown.take(grown.find("key", [3])) for row in piece.to_pylist()] == [1000]


def test_a_template_that_reads_its_own_verdicts_is_refused(engine: DuckDBEngine) -> None:
    with pytest.raises(BadRule, match="its own verdicts"):
        Few(engine, [replace(load_templates()[0], repeat=True)], Policy(), set())
