"""The same text on Spark: equal, non-empty rows on the fixtures of rules and explanations. Needs pyspark (an extra) and Java 17."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.engines.spark_engine import SparkEngine, translated
from custodes.errors import EngineUnavailable, PartMissing
from custodes.explain import load_templates, verdicts
from custodes.explain.template import READABLE
from custodes.explain.trial import world as make_world
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.rule import load_shelf
from custodes.rule_trial import SCHEMAS, fill, try_rule

SHELF = {rule.code: rule for rule in load_shelf()}
TEMPLATES = {template.code: template for template in load_templates()}
WITH_SPARK = importlib.util.find_spec("pyspark") is not None


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_engine(memory_mb=512, threads=1, directory=tmp_path_factory.mktemp("engine")) as opened:
        yield opened


@pytest.fixture(scope="module")
def spark() -> Iterator[Engine]:
    if not WITH_SPARK:
        pytest.skip("pyspark is not installed: pip install 'custodes[spark]'")
    if shutil.which("java") is None:
        pytest.skip("Java 17 is not installed")
    with SparkEngine() as opened:
        yield opened


def _rows(engine: Engine, sql: str) -> Counter[tuple[object, ...]]:
    return Counter(tuple(int(value) if isinstance(value, bool) else value for value in row) for row in engine.rows(sql))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize("code", sorted(SHELF))
def test_both_engines_give_equal_rows_and_some(duck: Engine, spark: Engine, code: str) -> None:
    rule = SHELF[code]
    assert [f"{failure.test}: {failure.words}" for failure in try_rule(spark, rule)] == []
    read = {name for name in SCHEMAS if re.search(rf"\b{name}\b", rule.sql)}
    told = 0
    for trial in rule.tests:
        fill(duck, trial.tables, read)
        fill(spark, trial.tables, read)
        found = _rows(spark, rule.sql)
        assert found == _rows(duck, rule.sql), trial.name
        told += found.total()
    assert told, "no fixture made the rule fire: the test proves nothing"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize("code", sorted(TEMPLATES, key=lambda code: int(code[1:])))
def test_both_engines_find_the_same_candidates_of_every_explanation(duck: Engine, spark: Engine, code: str) -> None:
    template = TEMPLATES[code]
    absences = [f"SELECT l.look, l.access FROM looks AS l WHERE {absence.when}" for absence in template.absent if absence.when]
    quick = [template.bound_quick(Policy())] if template.quick else []
    told = Counter[str]()
    for trial in template.tests:
        make_world(duck, trial["tables"])
        verdicts.run(duck, [TEMPLATES[other] for other in trial.get("with", ())], Policy(), set(TABLES))
        for kind, sql in [
            ("all", template.bound(Policy())),
            *(("quick", text) for text in quick),
            *(("absent", text) for text in absences),
        ]:
            for name in READABLE:
                if re.search(rf"\b{name}\b", sql):
                    spark.table(name, duck.fetch(f'SELECT * FROM "{name}"'))
            found = _rows(spark, sql)
            assert found == _rows(duck, sql), (trial["name"], kind)
            told[kind] += found.total()
    assert told["all"], "no fixture had a candidate: the test proves nothing"
    assert bool(told["quick"]) == bool(quick)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("spark")
def test_times_are_the_same_on_both_engines_whatever_their_zone(duck: Engine, spark: Engine) -> None:
    moment = datetime(2026, 3, 29, 1, 30, 59, 999999, tzinfo=UTC)
    table = pa.table({"t": pa.array([moment], pa.timestamp("us", tz="UTC"))})
    for engine in (duck, spark):
        engine.table("moments", table)
        assert engine.rows("SELECT t, day_number(t), minute_number(t) FROM moments") == [
            (moment.replace(tzinfo=None), 20541, 20541 * 1440 + 90)
        ]


def test_our_own_functions_are_spelt_as_spark_spells_them() -> None:
    text = translated(
        "SELECT day_number(r.time) - day_number(r.time) % 28 AS month, minute_number(r.time) AS minute FROM residue AS r"
    )
    assert "DAY_NUMBER" not in text.upper()
    assert "MINUTE_NUMBER" not in text.upper()
    assert "UNIX_MICROS" in text.upper()


def test_what_cannot_be_read_is_said_and_not_run() -> None:
    with pytest.raises(EngineUnavailable, match="Spark"):
        translated("SELECT FROM WHERE (")


@pytest.mark.skipif(WITH_SPARK, reason="pyspark is installed")
def test_without_pyspark_the_way_to_it_is_said() -> None:
    with pytest.raises(PartMissing, match="pyspark and Java 17"):
        SparkEngine()
