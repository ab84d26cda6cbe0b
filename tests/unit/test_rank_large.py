"""A window too large for relations as of each look is ordered by a model, too: it learns from a sample, and says from which."""

from __future__ import annotations

from pathlib import Path

import pytest

from custodes.engines.duckdb_engine import open_engine
from custodes.rank import plain, score

pytest.importorskip("sklearn", reason="needs the extra custodes[rank]")

_LOOKS = """
CREATE TABLE looks AS SELECT n AS look, n AS access, 's' || (n % 150) AS subject,
  'a' || CASE WHEN n >= 880 THEN (n + 5) % 10 ELSE n % 10 END AS human,
  'u' || (n % 10) AS unit, 'f1' AS fieldset, 'human' AS actor_kind,
  TIMESTAMP '2026-01-01 09:00:00' + to_days(CAST(n % 60 AS INTEGER)) + to_seconds(n) AS time
FROM range(900) r(n)
"""
"""Everybody looks at subjects of their own; of the last fifty, which nothing explains, the last twenty are of somebody else."""
_OTHERS = (
    "CREATE TABLE residue AS SELECT * FROM looks WHERE look >= 850",
    "CREATE TABLE accesses AS SELECT access, 'x-' || chr(97 + CAST(access * 7 % 26 AS INTEGER)) || access AS access_id FROM looks",
    """CREATE TABLE staff_spans AS SELECT 'a' || n AS actor, 'u' || n AS unit, TIMESTAMP '2020-01-01 00:00:00' AS valid_from,
       TIMESTAMP '9999-12-31 00:00:00' AS valid_to FROM range(10) r(n)""",
)


def test_a_large_window_is_ordered_by_a_model_that_names_its_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "MOST_LOOKS", 500)
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as engine:
        for sql in (_LOOKS, *_OTHERS):
            engine.run(sql)
        first = score.scores(engine)
        cold = score.scores(engine, "cold")
    assert first.method == "trained", first.why
    assert "left out beyond 500 looks" in first.why
    assert first.recipe is not None
    assert first.recipe.sample == "the first 850 of 900 looks by access id"
    assert first.recipe.features == plain.FEATURES
    assert set(first.by_access) == set(range(850, 900)) == set(cold.by_access)
    assert max(first.by_access[access] for access in range(850, 880)) < min(first.by_access[access] for access in range(880, 900))
    assert (cold.method, cold.recipe) == ("cold", None)
