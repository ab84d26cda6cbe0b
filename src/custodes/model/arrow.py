"""Arrow schemas of what is stored. The only module of `model/` that knows Arrow; the ledger and `verify` never import it."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from custodes.model.tables import TABLES, Column

_WORD: Final = pa.dictionary(pa.int32(), pa.string())
_TIME: Final = pa.timestamp("us", tz="UTC")
VIEW_TYPES: Final = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
"""The types of `custodes.model.views`, as Arrow; engine times are UTC without a zone."""

ACCESSES: Final = pa.schema(
    [
        pa.field("leaf", pa.int64(), nullable=False),  # ledger index of the access leaf
        pa.field("access_id", pa.string(), nullable=False),  # `x-` + 26 base32: keyed hash of (source, seq_of, first raw record)
        pa.field("id_ref", pa.string()),  # keyed hash of the source's own id (pseudonym kind `object`)
        pa.field("seq_of", _WORD),
        pa.field("seq", pa.int64()),
        pa.field("source", _WORD, nullable=False),
        pa.field("parser", _WORD, nullable=False),
        pa.field("schema", _WORD, nullable=False),
        pa.field("time", _TIME, nullable=False),
        pa.field("time_end", _TIME),
        pa.field("observed", _TIME, nullable=False),
        pa.field("actor", _WORD, nullable=False),
        pa.field("actor_kind", _WORD, nullable=False),
        pa.field("on_behalf_of", _WORD),
        pa.field("behalf_basis", _WORD),
        pa.field("effective", _WORD),
        pa.field("delegation", _WORD),
        pa.field("action", _WORD, nullable=False),
        pa.field("operation", _WORD),
        pa.field("outcome", _WORD),
        pa.field("system", _WORD, nullable=False),
        pa.field("fieldset", _WORD, nullable=False),  # key into FIELDSETS
        pa.field("field_basis", _WORD, nullable=False),
        pa.field("subject_scope", _WORD, nullable=False),
        pa.field("subject_basis", _WORD, nullable=False),
        pa.field("subject_count", pa.int64(), nullable=False),
        pa.field("subject_min", pa.int64(), nullable=False),
        pa.field("subject_max", pa.int64()),
        pa.field(
            "selectors",
            pa.list_(pa.struct([("kind", pa.string()), ("ref", pa.string()), ("width", pa.int32())])),
            nullable=False,
        ),
        pa.field("template", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("rows_basis", _WORD, nullable=False),
        pa.field("purpose", _WORD),
        pa.field("purpose_ref", pa.string()),  # keyed hash of the stated text, so that equal texts meet
        pa.field("purpose_basis", _WORD, nullable=False),
        pa.field("reason", pa.string()),
        pa.field("client_country", _WORD),
        pa.field("client_net", _WORD),
        pa.field("client_ref", pa.string()),
        pa.field("session", pa.string()),
        pa.field("device", _WORD),
        pa.field("deliberate", pa.bool_()),
        pa.field("break_glass", pa.bool_()),
        pa.field("derived", pa.string()),
        pa.field("derived_from", pa.string()),
        pa.field("coverage", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row per access. The raw records, query text, unknown columns and original ids lie sealed in the vault."""

TOUCHES: Final = pa.schema(
    [
        pa.field("leaf", pa.int64(), nullable=False),  # ledger index of the *access* leaf: joins ACCESSES
        pa.field("touch_leaf", pa.int64(), nullable=False),  # of the touch itself (the same where one subject)
        pa.field("access_id", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("id_kind", _WORD, nullable=False),
        pa.field("relation", _WORD, nullable=False),
        pa.field("certainty", _WORD, nullable=False),
        pa.field("basis", _WORD, nullable=False),
    ]
)
"""0..n rows per access: fan out here, never by copying the access."""

FIELDSETS: Final = pa.schema(
    [
        pa.field("fieldset", pa.string(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("resource", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("via", pa.string()),
        pa.field("field", pa.string()),
        pa.field("role", pa.string()),
    ]
)
"""Distinct combinations of what an access touched, each stored once: some hundreds of rows for millions of accesses."""

_TYPES: Final = {"time": _TIME, "bool": pa.bool_(), "words": pa.list_(pa.string())}


def context_schema(table: str) -> pa.Schema:
    """Return the stored schema of a context table: its columns (ids as pseudonyms), `row_key`, `recorded`."""

    def of(column: Column) -> pa.Field:
        return pa.field(column.name, _TYPES.get(column.kind, pa.string()))

    columns = [of(column) for column in TABLES[table].columns]
    return pa.schema([*columns, pa.field("row_key", pa.string()), pa.field("recorded", _TIME)])
