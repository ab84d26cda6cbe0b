"""Statements that are planned once and run over rows that come and go: for a few rows, planning costs more than they do.

What comes and goes lies in tables only while a transaction lasts that is never committed (`begin`): between two of them they are
empty, and nothing that was deleted stays behind. A plan must not rest on what the rows were when it was made: see `SteadyEngine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from custodes.engine import Incoming, SteadyEngine


class Prepared:
    """The statements of one engine. Whoever makes, renames or replaces a table or view calls `anew` afterwards: until then each
    statement would be planned again each time.
    """

    def __init__(self, engine: SteadyEngine) -> None:
        self.engine = engine
        self._statements: dict[str, str] = {}
        self._incoming: dict[str, Incoming] = {}
        self._began = False

    def table(self, name: str, schema: pa.Schema) -> None:
        """Make an empty table in which rows can be laid."""
        self.engine.table(name, schema.empty_table())
        source = f"incoming_{name}"
        self._incoming[name] = self.engine.incoming(source, self.engine.fetch(f"SELECT * FROM {name}").schema)
        self.add(f"lay_{name}", f"INSERT INTO {name} SELECT * FROM {source}")

    def add(self, name: str, sql: str) -> None:
        """Prepare a statement; its parameters are `CAST($1 AS …)` and so on."""
        self._statements[name] = sql
        self._prepare(name)

    def anew(self) -> None:
        """Plan every statement again, since tables or views are others than they were."""
        for name in self._statements:
            self._prepare(name)

    def begin(self) -> None:
        """Empty all tables of what came in since the last time. Also what else was written meanwhile is taken back."""
        self.end()
        self.engine.run("BEGIN TRANSACTION")
        self._began = True

    def end(self) -> None:
        """Empty the tables, and let what is written from now on stay."""
        if self._began:
            self.engine.run("ROLLBACK")
        self._began = False

    def lay(self, table: str, rows: pa.Table) -> None:
        """Add rows to a table of `table`."""
        if len(rows):
            self._incoming[table].put(rows)
            self.run(f"lay_{table}")
            self._incoming[table].put(rows.slice(0, 0))  # hold nothing longer than it is read

    def run(self, name: str, *values: int | Sequence[int]) -> None:
        """Run a statement that returns nothing."""
        self.engine.run(_call(name, values))

    def rows(self, name: str, *values: int | Sequence[int]) -> list[tuple[object, ...]]:
        """Run a SELECT and return its rows as Python values."""
        return self.engine.rows(_call(name, values))

    def fetch(self, name: str, *values: int | Sequence[int]) -> pa.Table:
        """Run a SELECT and return its rows as Arrow."""
        return self.engine.fetch(_call(name, values))

    def _prepare(self, name: str) -> None:
        self.engine.run(f'PREPARE "{name}" AS {self._statements[name]}')


def _call(name: str, values: Sequence[int | Sequence[int]]) -> str:
    """Spell a call. Its values have the types that were planned for: others would make the engine plan again."""
    spelled = ", ".join(
        f"CAST({value} AS BIGINT)" if isinstance(value, int) else f"CAST([{', '.join(map(str, value))}] AS BIGINT[])"
        for value in values
    )
    return f'EXECUTE "{name}"({spelled})' if spelled else f'EXECUTE "{name}"'
