"""The section *rows* of a sealed batch: what the store holds of it, so that a store can be completed or made again."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from custodes.store.manifest import Tally


class Rows(msgspec.Struct, array_like=True):
    """What a frame holds for the store: tables as Arrow streams (`leaf` = place in the batch), new field sets, counts, notes.

    `superseded`: leaves of rows that this batch replaces. `cannot_see`: of the source's coverage manifest.
    """

    accesses: bytes
    touches: bytes
    fieldsets: dict[str, list[tuple[str | None, ...]]]
    tally: Tally
    superseded: list[int]
    notes: list[dict[str, str]]
    cannot_see: list[str]


def to_ipc(table: pa.Table) -> bytes:
    """Return a table as an Arrow stream; nothing for an empty one."""
    if not table.num_rows:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_ipc(content: bytes, schema: pa.Schema) -> pa.Table:
    """Undo `to_ipc`."""
    return pa.ipc.open_stream(content).read_all() if content else schema.empty_table()
