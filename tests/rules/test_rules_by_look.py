"""A test inside a rule may leave `look` out: the same access and subject are then one look in whatever view they stand."""

from __future__ import annotations

from pathlib import Path

from custodes.engines.duckdb_engine import open_engine
from custodes.rule_trial import fill


def test_verdicts_meet_their_look_also_where_nobody_is_named(tmp_path: Path) -> None:
    looks = [{"access": 1, "subject": "s1"}, {"access": 1, "subject": "s2"}, {"access": 2}]
    with open_engine(memory_mb=256, threads=1, directory=tmp_path) as engine:
        fill(engine, {"looks": looks, "explanations": [{"access": 1, "subject": "s2"}], "flags": [{"access": 2, "code": "V1"}]})
        explained = engine.rows("SELECT l.access, l.subject FROM looks l JOIN explanations e ON e.look = l.look")
        flagged = engine.rows("SELECT l.access, l.subject FROM looks l JOIN flags f ON f.look = l.look")
        left = engine.rows("SELECT look FROM looks EXCEPT SELECT look FROM residue")
    assert (explained, flagged, len(left)) == ([(1, "s2")], [(2, None)], 1)


def test_looks_that_a_test_numbers_itself_keep_their_numbers(tmp_path: Path) -> None:
    with open_engine(memory_mb=256, threads=1, directory=tmp_path) as engine:
        fill(engine, {"looks": [{"look": 7, "access": 1, "subject": "s1"}], "flags": [{"look": 9, "access": 1, "subject": "s1"}]})
        assert engine.rows("SELECT look FROM looks UNION ALL SELECT look FROM flags ORDER BY look") == [(7,), (9,)]
