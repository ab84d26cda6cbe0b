"""DuckDB, the embedded default.

Rules this room keeps: the connection lives in memory and spills only inside the directory it was given; it can read files of that
directory and nothing else, cannot attach, load, or change a setting once it is open (the second wall behind the dialect check);
Python variables are never tables; times are UTC without a zone; a result that ends in ORDER BY by a unique key is in that order.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

import duckdb
import pyarrow as pa

from custodes.engine import KeepingEngine
from custodes.errors import EngineUnavailable

MACROS: Final = {
    "day_number": ("t", "date_diff('day', DATE '1970-01-01', CAST(t AS DATE))"),
    "minute_number": ("t", "epoch_us(t) // 60000000"),
}
"""What engines spell differently, under the names of `dialect.nodes.MACROS`: whole days and whole minutes since 1970 in UTC."""

_INCOMING: Final = "incoming rows"
_SERIAL = itertools.count()


_BY_STATISTICS: Final = ("statistics_propagation", "compressed_materialization", "row_group_pruner", "top_n_window_elimination")
"""Passes of DuckDB's optimizer that turn what is known of the rows at that moment into what a plan takes for granted. Others use it
only to choose between plans that are all right (join order, build side), or ask for it anew each time that a plan runs.
"""


def open_engine(*, memory_mb: int, threads: int, directory: Path, steady: bool = False) -> DuckDBEngine:
    """Open an engine that may read files under `directory` and spill there; both limits are hard.

    `steady`: its plans do not rest on statistics of the rows, so that a prepared statement may see any. Raises `EngineUnavailable`
    where DuckDB refuses the settings.
    """
    return DuckDBEngine(memory_mb=memory_mb, threads=threads, directory=directory, steady=steady)


class DuckDBEngine(KeepingEngine):
    """One in-memory DuckDB connection, owned by one thread. Close it, or use it as a context manager."""

    def __init__(self, *, memory_mb: int, threads: int, directory: Path, steady: bool = False) -> None:
        inside = directory.resolve()
        spill = inside / f".engine-{os.getpid()}-{next(_SERIAL)}"
        with _said():
            self._connection = duckdb.connect(
                ":memory:",
                config={
                    "memory_limit": f"{memory_mb}MB",
                    "threads": str(threads),
                    "temp_directory": str(spill),
                    "autoinstall_known_extensions": "false",
                    "autoload_known_extensions": "false",
                    "python_enable_replacements": "false",
                },
            )
            self._harden(inside, steady=steady)

    def _harden(self, inside: Path, *, steady: bool) -> None:
        """Shut the doors, last of all the one to the settings."""
        run = self._connection.execute
        if steady:
            run(f"SET disabled_optimizers = '{','.join(_BY_STATISTICS)}'")
        run("SET TimeZone = 'UTC'")
        run("SET parquet_metadata_cache = true")  # parts are read many times and never change under a name
        run("SET enable_progress_bar = false")  # where nobody started a script DuckDB draws one on stdout, amid our data
        run(f"SET allowed_directories = [{_text(f'{inside}{os.sep}')}]")
        for name, (arguments, body) in MACROS.items():
            run(f"CREATE MACRO {name}({arguments}) AS {body}")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """`duckdb`."""
        return "duckdb"

    @property
    def version(self) -> str:
        """DuckDB's own version."""
        return str(duckdb.__version__)

    def parquet(self, name: str, files: Sequence[str], schema: pa.Schema) -> None:
        """Make view `name` over Parquet `files` with the columns of `schema`; without files an empty one. Replaces an older one.

        Columns with a zone become TIMESTAMP in UTC. Files must lie in the engine's directory.
        """
        if not files:
            self.table(name, schema.empty_table())
            return
        listed = ", ".join(_text(file) for file in files)
        columns = ", ".join(_column(field) for field in schema)
        self._put(name, "VIEW", f"SELECT {columns} FROM read_parquet([{listed}], hive_partitioning = false)")

    def incoming(self, name: str, schema: pa.Schema) -> Rows:
        """Make `name` readable: rows that can be exchanged, of which nothing but `schema` is known when a statement is planned."""
        made = Rows(schema)
        with _said():
            self._connection.register(name, made)
        return made

    def table(self, name: str, data: pa.Table) -> None:
        """Copy `data` into table `name`, replacing what had that name. Columns with a zone become TIMESTAMP in UTC."""
        columns = ", ".join(_column(field) for field in data.schema)
        with _said():
            self._connection.register(_INCOMING, data)
        try:
            self._put(name, "TABLE", f"SELECT {columns} FROM {_word(_INCOMING)}")
        finally:
            self._connection.unregister(_INCOMING)

    def keep(self, sql: str, file: str) -> None:
        """Write the rows of one SELECT to a Parquet file inside the engine's directory."""
        self.run(f"COPY ({sql}) TO {_text(file)} (FORMAT parquet, COMPRESSION zstd)")

    def run(self, sql: str) -> None:
        """Run one statement that returns nothing."""
        with _said():
            self._connection.execute(sql)

    def fetch(self, sql: str) -> pa.Table:
        """Run one SELECT and return its rows as Arrow, in the order the statement asks for."""
        with _said():
            return self._connection.execute(sql).to_arrow_table()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Run one SELECT and return its rows as Python values; times are naive UTC."""
        with _said():
            found: list[tuple[object, ...]] = self._connection.execute(sql).fetchall()
        return found

    def close(self) -> None:
        """Give memory and spill files back. Closing twice does nothing."""
        self._connection.close()

    def _put(self, name: str, kind: str, select: str) -> None:
        """Make a table or view in the place of what had its name; asking first what that was would cost more than making it."""
        made = f"CREATE OR REPLACE {kind} {_word(name)} AS {select}"
        with _said():
            try:
                self._connection.execute(made)
            except duckdb.CatalogException:  # a view where a table is to be, or the other way about
                self._drop(name)
                self._connection.execute(made)

    def _drop(self, name: str) -> None:
        """Remove a table or view of that name: DuckDB replaces a view only by a view."""
        kinds = self.rows(
            f"SELECT table_type FROM information_schema.tables WHERE table_schema = 'main' AND table_name = {_text(name)}"
        )
        for (kind,) in kinds:
            self.run(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {_word(name)}")


class Rows:
    """Arrow rows behind a name: each time that a statement runs it asks for those of that moment (Arrow's stream of C data)."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema, self._rows = schema, schema.empty_table()

    def put(self, rows: pa.Table) -> None:
        """Show these rows from now on. Raises `ValueError` or `TypeError` of Arrow if they are not of the schema."""
        self._rows = rows if rows.schema.equals(self._schema) else rows.select(self._schema.names).cast(self._schema)

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__()


@contextmanager
def _said() -> Iterator[None]:
    """Turn whatever the engine raises into `EngineUnavailable` with the first line of its words."""
    try:
        yield
    except duckdb.Error as wrong:
        first = next(iter(str(wrong).splitlines()), type(wrong).__name__)
        raise EngineUnavailable(f"DuckDB: {first}") from wrong


def _column(field: pa.Field) -> str:
    """Name one column in a SELECT, a time without its zone: by microseconds, ten times as fast as a cast through calendars."""
    name = _word(field.name)
    if pa.types.is_timestamp(field.type):
        return f"make_timestamp(epoch_us({name})) AS {name}"
    return name


def _word(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """Quote a string."""
    return "'" + value.replace("'", "''") + "'"
