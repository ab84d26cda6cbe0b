"""A statement in steps: tables made one after the other give the rows that the statement gives as a whole."""

from __future__ import annotations

from itertools import chain, combinations
from pathlib import Path

import pytest

from custodes.dialect.steps import in_steps
from custodes.engines.duckdb_engine import open_engine

PARTS = ("first", "second", "third")
SQL = """
WITH first AS (SELECT n.x FROM numbers n WHERE n.x > 1), second AS (
  SELECT f.x, g.x + 10 AS y FROM first f INNER JOIN first g ON g.x <= f.x UNION ALL SELECT n.x, 0 AS y FROM numbers n
), third AS (SELECT s.x, COUNT(*) AS many FROM second s GROUP BY s.x)
SELECT t.x, t.many, s.y FROM third t INNER JOIN second s ON s.x = t.x UNION SELECT f.x, 0 AS many, 0 AS y FROM first f
"""


@pytest.mark.parametrize("names", list(chain.from_iterable(combinations(PARTS, count) for count in range(4))), ids="-".join)
def test_a_statement_gives_the_same_rows_in_any_steps(names: tuple[str, ...], tmp_path: Path) -> None:
    with open_engine(memory_mb=200, threads=1, directory=tmp_path) as engine:
        engine.run("CREATE TABLE numbers AS SELECT range AS x FROM range(5)")
        whole = sorted(engine.rows(SQL))
        steps, asked = in_steps(SQL, names, "made_{name}")
        for step in steps:
            engine.run(f"CREATE TABLE made_{step.name} AS {step.text}")
            assert sorted(engine.rows(step.alone)) == sorted(engine.rows(f"SELECT * FROM made_{step.name}"))
        engine.run("DROP TABLE numbers" if set(names) == set(PARTS) else "CHECKPOINT")  # nothing but the steps is read any more
        assert sorted(engine.rows(asked)) == whole
    assert len(whole) > 10
    assert [step.name for step in steps] == [name for name in PARTS if name in names]


def test_what_is_no_part_of_a_statement_is_no_step_of_it() -> None:
    assert [step.name for step in in_steps(SQL, ["first", "fourth"], "{name}")[0]] == ["first"]
    assert in_steps("SELECT n.x FROM numbers AS n", ["first"], "{name}") == ([], "SELECT n.x FROM numbers AS n")
