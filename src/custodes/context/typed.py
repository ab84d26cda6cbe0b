"""Text → the stored columns of a context table: pseudonyms, instants, yes and no, words. What does not fit is a reason per row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.tables import Column, Table

TIME: Final = pa.timestamp("us", tz="UTC")
KEYED: Final = {"actor": "actor", "subject": "subject", "person": "person", "ref": "ref", "text": "value"}
_TRUE: Final = frozenset({"true", "t", "yes", "y", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0"})

Faults = dict[int, str]
"""Row → why it is set aside. Reasons name what was expected, never what stood there."""


def typed(column: Column, values: Any, pseudonyms: Pseudonyms, faults: Faults) -> Any:
    """Return the stored form of one column (an Arrow array); rows that do not fit are null in it and stand in `faults`."""
    if column.kind == "time":
        return _times(column.name, values, faults)
    if column.kind == "bool":
        return _bools(column.name, values, faults)
    if column.kind == "words":
        return _words(values)
    values = _text(values)
    return keyed(KEYED[column.kind], values, pseudonyms) if column.kind in KEYED else values


def keyed(kind: str, values: Any, pseudonyms: Pseudonyms) -> Any:
    """Replace ids by pseudonyms, each distinct id once. `*` (everybody) stays `*`."""
    coded = values.dictionary_encode()
    names = [value if value in (None, "*") else pseudonyms.of(kind, value) for value in coded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(coded.indices, pa.array(names, pa.string())).dictionary_decode()


def row_keys(table: Table, columns: dict[str, Any], stored: dict[str, Any], count: int, faults: Faults) -> Any:
    """Name each row by its first filled key column: readable for reasons, a pseudonym for persons. A row without any is a fault."""
    kinds = {column.name: column.kind for column in table.columns}
    key = pa.nulls(count, pa.string())
    for name in table.key:
        source = columns.get(name) if kinds[name] in {"ref", "word"} else stored.get(name)
        if source is not None:
            key = pc.coalesce(key, _text(source))
    for row in _where(pc.is_null(key)):
        faults.setdefault(row, f"no {' and no '.join(table.key)}")
    return key


def missing_required(table: Table, stored: dict[str, Any], faults: Faults) -> None:
    """Note rows without a value that the table cannot do without."""
    for column in table.columns:
        if column.required:
            for row in _where(pc.is_null(stored[column.name])):
                faults.setdefault(row, f"{column.name} is empty")


def _text(values: Any) -> Any:
    """Return text with empty values as null."""
    if not pa.types.is_string(values.type):
        values = pa.array([_said(value) for value in values.to_pylist()], pa.string())
    return pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)


def _said(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return ";".join(str(item) for item in value)
    return None if value is None else str(value)


def _times(name: str, values: Any, faults: Faults) -> Any:
    if pa.types.is_timestamp(values.type):
        if values.type.tz is None:
            for row in _where(pc.is_valid(values)):
                faults.setdefault(row, f"{name}: a time without a zone")
            return pa.nulls(len(values), TIME)
        return values.cast(TIME, safe=False)
    values = _text(values)
    try:
        return values.cast(TIME)
    except pa.ArrowInvalid:
        return pa.array([_time(name, text, row, faults) for row, text in enumerate(values.to_pylist())], TIME)


def _time(name: str, text: str | None, row: int, faults: Faults) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text.strip().upper())
        if time.tzinfo is not None:
            return time.astimezone(UTC)
        faults.setdefault(row, f"{name}: a time without a zone")
    except (ValueError, OverflowError):
        faults.setdefault(row, f"{name}: expected a time such as 2026-01-31T09:00:00Z")
    return None


def _bools(name: str, values: Any, faults: Faults) -> Any:
    if pa.types.is_boolean(values.type):
        return values
    found: list[bool | None] = []
    for row, text in enumerate(_text(values).to_pylist()):
        word = None if text is None else text.strip().lower()
        found.append(None if word is None else word in _TRUE)
        if word is not None and word not in _TRUE | _FALSE:
            faults.setdefault(row, f"{name}: expected true or false")
    return pa.array(found, pa.bool_())


def _words(values: Any) -> Any:
    if pa.types.is_list(values.type):
        return values.cast(pa.list_(pa.string()))
    split = ([word.strip() for word in text.split(";") if word.strip()] if text else None for text in _text(values).to_pylist())
    return pa.array(list(split), pa.list_(pa.string()))


def _where(mask: Any) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found
