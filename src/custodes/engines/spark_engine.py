"""Spark, for a company that has it: the same rule text, translated by sqlglot, over temporary views of one session.

Rules this room keeps: pyspark is an extra, imported late, and its absence is said; times are UTC without a zone, as in the embedded
engine; nothing is written, tables are views over rows that were handed in; integer overflow is an error, not a smaller number.
The dialect check is the safety net, not the translation: it refuses what does not port, and tests run every rule on both engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

import pyarrow as pa
import sqlglot
from sqlglot import exp

from custodes.engine import Engine
from custodes.errors import EngineUnavailable, PartMissing

_BODIES: Final = {
    "day_number": "CAST(datediff(CAST({0} AS DATE), DATE '1970-01-01') AS BIGINT)",
    "minute_number": "unix_micros(CAST({0} AS TIMESTAMP_LTZ)) DIV 60000000",
}
"""The macros of `dialect.nodes.MACROS` as Spark spells them."""

_SETTINGS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.ansi.enabled": "true",
}
_SMALL: Final = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""For a session of our own over small tables: compiling a statement would take longer than running it."""


def translated(sql: str) -> str:
    """Return a checked statement of the rule dialect in Spark's words. Raises `EngineUnavailable` if it cannot be read."""
    try:
        tree = sqlglot.parse_one(sql, read="duckdb")
    except sqlglot.errors.SqlglotError as wrong:
        raise EngineUnavailable(f"Spark: {wrong}") from None
    for call in list(tree.find_all(exp.Anonymous)):
        body = _BODIES.get(str(call.name).lower())
        if body is not None:
            inner = call.expressions[0].sql(dialect="spark")
            call.replace(sqlglot.parse_one(body.format(inner), read="spark"))
    return str(tree.sql(dialect="spark", comments=False))


class SparkEngine(Engine):
    """One Spark session. `session`: the company's own; without it a local one is started, and stopped on `close`."""

    def __init__(self, session: Any = None) -> None:
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise PartMissing("this needs pyspark and Java 17", hint="pip install 'custodes[spark]'") from None
        self._own = session is None
        with _said():
            if session is None:
                builder = SparkSession.builder.master("local[1]").appName("custodes")
                for name, value in _SMALL.items():
                    builder = builder.config(name, value)
                session = builder.getOrCreate()
            for name, value in _SETTINGS.items():
                session.conf.set(name, value)
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """`spark`."""
        return "spark"

    @property
    def version(self) -> str:
        """Spark's own version."""
        return str(self._session.version)

    def parquet(self, name: str, files: Sequence[str], schema: pa.Schema) -> None:
        """Make view `name` over Parquet `files` with the columns of `schema`; without files an empty one. Replaces an older one."""
        if not files:
            self.table(name, schema.empty_table())
            return
        with _said():
            frame = self._session.read.parquet(*files)
            columns = [
                f"CAST(`{field.name}` AS TIMESTAMP_NTZ) AS `{field.name}`"
                if pa.types.is_timestamp(field.type)
                else f"`{field.name}`"
                for field in schema
            ]
            frame.selectExpr(*columns).createOrReplaceTempView(name)

    def table(self, name: str, data: pa.Table) -> None:
        """Copy `data` into view `name`, replacing what had that name. Columns with a zone become times in UTC without one."""
        plain = pa.schema(
            [field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field for field in data.schema]
        )
        with _said():
            self._session.createDataFrame(data.cast(plain)).createOrReplaceTempView(name)

    def run(self, sql: str) -> None:
        """Run `CREATE TABLE name AS SELECT …` (a view, computed when it is read) or `DROP TABLE name`; others are refused."""
        tree = sqlglot.parse_one(sql, read="duckdb")
        with _said():
            if isinstance(tree, exp.Drop):
                self._session.catalog.dropTempView(_target(tree))
            elif isinstance(tree, exp.Create) and tree.expression is not None:
                body = translated(tree.expression.sql(dialect="duckdb"))
                self._session.sql(body).createOrReplaceTempView(_target(tree))
            else:
                raise EngineUnavailable(f"Spark: {tree.key} is no statement of this engine")

    def fetch(self, sql: str) -> pa.Table:
        """Run one SELECT and return its rows as Arrow, in the order the statement asks for."""
        with _said():
            found: pa.Table = self._session.sql(translated(sql)).toArrow()
        return found

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Run one SELECT and return its rows as Python values; times are naive UTC."""
        found = self.fetch(sql)
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True)) if found.num_columns else []

    def close(self) -> None:
        """Stop the session if it was started here. Closing twice does nothing."""
        if self._own:
            self._session.stop()
            self._own = False


def _target(tree: exp.Expression) -> str:
    """Return the name of what a CREATE or DROP is about: the first table that it mentions."""
    table = next(tree.find_all(exp.Table))
    return str(table.name)


@contextmanager
def _said() -> Iterator[None]:
    """Turn whatever Spark raises into `EngineUnavailable` with the first line of its words."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as wrong:
        first = next(iter(str(wrong).splitlines()), type(wrong).__name__)
        raise EngineUnavailable(f"Spark: {first}") from wrong
