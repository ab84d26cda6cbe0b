"""The contract of a query engine. Rule text and templates are written once, in the dialect that `custodes.rule` checks.

Guarantees: `fetch` and `rows` return what the statement says, ordered if it ends in ORDER BY by a unique key; times are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


class Engine(Protocol):
    """A connection to an engine, owned by one thread. Raises `EngineUnavailable` with the engine's words for any failure."""

    @property
    def name(self) -> str:
        """`duckdb`."""

    @property
    def version(self) -> str:
        """The engine's own version."""

    def parquet(self, name: str, files: Sequence[str], schema: pa.Schema) -> None:
        """Make view `name` over Parquet `files`; without files an empty view of `schema`. Replaces an older view."""

    def table(self, name: str, data: pa.Table) -> None:
        """Copy `data` into table `name`, replacing it."""

    def run(self, sql: str) -> None:
        """Run one statement that returns nothing (CREATE TABLE … AS, CREATE VIEW, DROP)."""

    def fetch(self, sql: str) -> pa.Table:
        """Run one SELECT and return its rows as Arrow."""

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Run one SELECT and return its rows as Python values (times are naive UTC)."""

    def close(self) -> None:
        """Give the memory back."""


class KeepingEngine(Engine, Protocol):
    """An engine that can also put rows away for a later run."""

    def keep(self, sql: str, file: str) -> None:
        """Write the rows of one SELECT to a Parquet `file`, which must lie where the engine may read. Not durable."""


class Incoming(Protocol):
    """Rows that statements read under a name, exchanged from one run of a statement to the next."""

    def put(self, rows: pa.Table) -> None:
        """Show these rows from now on. They must have the columns of the schema; what does not fit is refused by Arrow."""


class SteadyEngine(Engine, Protocol):
    """An engine whose plans rest on nothing that is known of the rows: what was prepared stays right whatever they become."""

    def incoming(self, name: str, schema: pa.Schema) -> Incoming:
        """Make `name` readable: rows of `schema` that can be exchanged without a word to the engine. Empty at first."""
