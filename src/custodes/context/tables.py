"""The context store: files in, Parquet per table, views out.

A load is whole or absent: the Parquet file gets its name only after the load's leaf is in the ledger, so a crash leaves nothing
that counts, and the same file again adds nothing. Of rows that a later load brings anew (same key; for tables without a unique
key, the same row apart from its ends) the later load counts; within one load every row is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pa_parquet

from custodes.context.typed import Faults, missing_required, row_keys, typed
from custodes.context.values import Bad, Rows, format_of, read_bytes, read_rows
from custodes.errors import InputError, NotDurable, UnknownTable
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.arrow import context_schema
from custodes.model.canonical import Json
from custodes.model.tables import TABLES, Table

if TYPE_CHECKING:
    from custodes.engine import Engine

POLICY_LEAF: Final = 7
_UNIQUE: Final = frozenset({"tickets", "cases", "grants", "incidents", "legal", "jobs", "press", "claims", "subjects"})
"""Tables whose key names one row."""
_ENDS: Final = frozenset({"valid_to", "closed", "left", "notice_from", "expires"})
"""Columns that a later export of the same row fills in."""
_QUEUES: Final = frozenset({"assigned_by"})
"""Actor columns that may hold the name of a queue."""

Record = Callable[[int, Mapping[str, Json]], int]
Keep = Callable[[str, bytes, date], None]
"""Seals what must not lie open: `texts` (free text of a load) and `rejected` (rows that could not be read)."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was set aside. `line`: 1-based line, for Parquet the row."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of one file. `added` is False if the same file had been loaded before.

    `unknown_actors`: distinct actors that no staff row names; None while no staff is loaded. `duplicates`: keys of a table with a
    unique key that stand in more than one row. `dropped`: names of columns that the contract does not know.
    """

    table: str
    file: str
    rows: int
    added: bool
    rejected: tuple[Reject, ...] = ()
    dropped: tuple[str, ...] = ()
    duplicates: int = 0
    unknown_actors: int | None = None


class ContextStore:
    """The context tables of one home, in `folder`.

    `record` appends the load's leaf (kind, contents); `keep` seals texts and rejected rows. Without them (tests, evaluations)
    nothing is recorded or kept beyond the tables themselves.
    """

    def __init__(self, folder: Path, pseudonyms: Pseudonyms, *, record: Record | None = None, keep: Keep | None = None) -> None:
        self._folder = folder
        self._pseudonyms = pseudonyms
        self._record = record
        self._keep = keep

    def tables(self) -> set[str]:
        """Return the tables that were loaded, also those that turned out empty."""
        return {name for name in TABLES if self._files(name)}

    def sizes(self) -> dict[str, int]:
        """Return the rows of each loaded table, counting those that a later load replaced."""
        return {name: sum(pa_parquet.read_metadata(file).num_rows for file in self._files(name)) for name in sorted(self.tables())}

    def load(self, table: str, file: str | Path, *, now: datetime | None = None) -> LoadReport:
        """Load one file into `table`. Durable and recorded on return; idempotent.

        `now`: the load's time, which parts of one load share. Raises `UnknownTable`, `UnreadableFile`, `UnknownFormat`, and
        `InputError` if a column is missing without which no row can be read.
        """
        kind = TABLES.get(table)
        if kind is None:
            raise UnknownTable(f"there is no context table {table!r}", hint=f"one of: {', '.join(TABLES)}")
        path, recorded = Path(file), now or datetime.now(UTC)
        data = read_bytes(path)
        digest = self._pseudonyms.of("value", f"context {table} {sha256(data).hexdigest()}").removeprefix("v-")
        target = self._folder / table / f"{digest}.parquet"
        if target.exists():
            return LoadReport(table, path.name, pa_parquet.read_metadata(target).num_rows, added=False)
        stored, rows, faults = self._read(kind, data, path, recorded)
        bad = _all_bad(rows, faults)
        self._seal(kind, rows, bad, digest, recorded.date())
        temporary = _write(target, stored)
        if self._record is not None:
            self._record(
                POLICY_LEAF,
                {"what": "context", "table": table, "digest": digest, "rows": stored.num_rows, "rejected": len(bad)},
            )
        temporary.replace(target)  # from here on the load counts; before it, only a leaf says that it was begun
        return LoadReport(
            table,
            path.name,
            stored.num_rows,
            added=True,
            rejected=tuple(Reject(path.name, line, reason) for line, _, reason in bad),
            dropped=tuple(sorted(set(rows.columns) - {column.name for column in kind.columns})),
            duplicates=_duplicates(kind, stored),
            unknown_actors=self._unknown_actors(kind, stored),
        )

    def register(self, engine: Engine) -> None:
        """Make one view per context table, with `row_key` and `recorded`; empty where nothing was loaded."""
        for name in TABLES:
            files = self._files(name)
            engine.parquet(f"loaded_{name}", [str(file) for file in files], context_schema(name))
            shown = newest(name, f"loaded_{name}") if len(files) > 1 else f"SELECT * FROM loaded_{name}"
            engine.run(f"CREATE OR REPLACE VIEW {name} AS {shown}")

    def register_loads(self, engine: Engine, table: str, loads: Collection[str], name: str) -> None:
        """Make view `name` of all rows that these loads brought (words of `version`), replaced by another load or not."""
        files = [str(file) for file, word in zip(self._files(table), self.version(table), strict=True) if word in loads]
        engine.parquet(name, files, context_schema(table))

    def loaded(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that any load brought to `table`, replaced by a later load or not; times are aware."""
        for file in self._files(table):
            read = pa_parquet.read_table(file, columns=list(columns), partitioning=None)
            yield from zip(*(read[name].to_pylist() for name in columns), strict=True)

    def version(self, table: str) -> tuple[str, ...]:
        """Return a word for each load of `table`: equal as long as nothing was loaded, and nobody erased from it."""
        try:
            with os.scandir(self._folder / table) as files:
                found = [(file.name, file.stat()) for file in files if file.name.endswith(".parquet")]
        except FileNotFoundError:
            return ()
        return tuple(f"{name} {at.st_ino} {at.st_mtime_ns}" for name, at in sorted(found, key=lambda item: item[0]))

    def _files(self, table: str) -> list[Path]:
        return sorted((self._folder / table).glob("*.parquet"))

    def _read(self, table: Table, data: bytes, path: Path, recorded: datetime) -> tuple[Any, Rows, Faults]:
        """Read fast; if any row is at fault, read once more with the line and bytes of each."""
        kind = format_of(path)
        for exact in (False, True):
            rows = read_rows(data, kind, path.name, exact=exact)
            _check_header(table, rows, path)
            stored, faults = self._typed(table, rows, recorded)
            if not faults or rows.raw is not None or kind == "parquet":
                break
        if faults:
            good = pa.array([row not in faults for row in range(rows.count)], pa.bool_())
            stored = stored.filter(good)
        return stored, rows, faults

    def _typed(self, table: Table, rows: Rows, recorded: datetime) -> tuple[Any, Faults]:
        faults: Faults = {}
        columns: dict[str, Any] = {}
        absent = pa.nulls(rows.count, pa.string())
        for column in table.columns:
            columns[column.name] = typed(column, rows.columns.get(column.name, absent), self._pseudonyms, faults)
        missing_required(table, columns, faults)
        columns["row_key"] = row_keys(table, rows.columns, columns, rows.count, faults)
        columns["recorded"] = pa.array([recorded], pa.timestamp("us", tz="UTC")).take(pa.array([0] * rows.count, pa.int32()))
        schema = context_schema(table.name)
        return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema), faults

    def _seal(self, table: Table, rows: Rows, bad: Sequence[Bad], digest: str, day: date) -> None:
        if self._keep is None:
            return
        texts = {
            column.name: rows.columns[column.name]
            for column in table.columns
            if column.kind == "text" and column.name in rows.columns
        }
        if texts:
            held = {name: values.to_pylist() for name, values in texts.items()}
            self._keep("texts", msgspec.msgpack.encode({"table": table.name, "load": digest, "columns": held}), day)
        if bad:
            lines = [(line, data, reason) for line, data, reason in bad]
            self._keep("rejected", msgspec.msgpack.encode({"table": table.name, "load": digest, "lines": lines}), day)

    def _unknown_actors(self, table: Table, stored: Any) -> int | None:
        staff = [pa_parquet.read_table(file, columns=["actor"]).column("actor") for file in self._files("staff")]
        if not staff:
            return None
        known = pa.chunked_array([chunk for column in staff for chunk in column.chunks], pa.string()).unique()
        named = [stored.column(c.name).unique() for c in table.columns if c.kind == "actor" and c.name not in _QUEUES]
        if not named:
            return 0
        actors = pa.chunked_array([pa.concat_arrays([_whole(column) for column in named])]).unique().drop_null()
        unknown = actors.filter(pc.invert(pc.is_in(actors, value_set=pa.concat_arrays([_whole(known), pa.array(["*"])]))))
        return len(unknown)


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _check_header(table: Table, rows: Rows, path: Path) -> None:
    """A file without a column that every row needs is no file of this table; so is one that names no key at all."""
    if not rows.count and not rows.columns:
        return
    absent = [column.name for column in table.columns if column.required and column.name not in rows.columns]
    if not absent and not set(table.key) & set(rows.columns):
        absent = list(table.key)
    if absent:
        raise InputError(
            f"{path.name}: a {table.name} table needs the column {' and '.join(absent)}", hint="see docs/reference/formats.md"
        )


def _all_bad(rows: Rows, faults: Faults) -> list[Bad]:
    found = list(rows.bad)
    for row, reason in faults.items():
        found.append(Bad(rows.line(row), rows.raw[row] if rows.raw else b"", reason))
    return sorted(found)


def _duplicates(table: Table, stored: Any) -> int:
    if table.name not in _UNIQUE or not stored.num_rows:
        return 0
    counts = pc.value_counts(stored.column("row_key"))
    return int(pc.sum(pc.greater(counts.field("counts"), 1)).as_py() or 0)


def _write(target: Path, table: Any) -> Path:
    """Write and sync a Parquet file under a temporary name; return it. Raises `NotDurable`."""
    temporary = target.with_suffix(".new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pa_parquet.write_table(table, temporary, compression="zstd")
        for path in (temporary, target.parent):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as wrong:
        raise NotDurable(f"context/{target.parent.name} could not be written: {wrong.strerror}") from None
    return temporary


def newest(name: str, source: str) -> str:
    """Return the SELECT that keeps, of the rows of a table in `source` (brought by several loads), those of the latest."""
    table = TABLES[name]
    same = list(table.key) if name in _UNIQUE else [column.name for column in table.columns if column.name not in _ENDS]
    columns = ", ".join(f'"{column}"' for column in context_schema(name).names)
    listed = ", ".join(f'"{column}"' for column in same)
    return (
        f"SELECT {columns} FROM (SELECT *, max(recorded) OVER (PARTITION BY {listed}) AS newest FROM {source}) "
        "WHERE recorded = newest"
    )
