"""Reading one record: a line of NDJSON, or a record of a CSV file under its header."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from custodes.sources.access.careful import check
from custodes.sources.access.columns import BadRecord, Row

_WIDTH: Final = len(Row.__struct_fields__)
_DECODE_ROW: Final = msgspec.json.Decoder(Row).decode
_DECODE: Final = msgspec.json.Decoder().decode


def json_row(data: bytes) -> tuple[Row, dict[str, str]]:
    """Decode one JSON object strictly; return it and, aside, its unknown columns. Raises `BadRecord`.

    Whatever is not plainly right is looked at again, more closely and slowly. Without blanks each key makes one `":`. If there are
    as many of them as columns that hold something, no key stands twice.
    """
    try:
        row = _DECODE_ROW(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return check(_json_object(data))
    keys = data.translate(None, b" \t\r").count(b'":')
    if keys + astuple(row).count(None) != _WIDTH or not (row.time and row.actor and row.system):
        return check(_json_object(data))
    return row, {}


def _json_object(data: bytes) -> dict[str, Any]:
    """Decode any object without duplicate keys, lone surrogates or infinite numbers."""
    try:
        row = _DECODE(data)
        if type(row) is not dict:
            raise BadRecord("not a JSON object")
        json.loads(data, object_pairs_hook=_once)
    except RecursionError:
        raise BadRecord("not JSON that can be read: nested too deeply") from None
    except UnicodeDecodeError:
        raise BadRecord("not UTF-8") from None
    except msgspec.ValidationError:
        raise BadRecord("a number is out of range") from None
    except ValueError:
        raise BadRecord("not JSON") from None
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise BadRecord("duplicate key: a name stands twice in one object")
    return row


def csv_row(columns: list[str], record: bytes) -> tuple[Row, dict[str, str]]:
    """Read one CSV record; return it and, aside, its unknown columns. Raises `BadRecord`."""
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRecord("not UTF-8") from None
    if '"' in text:
        try:
            rows = list(csv.reader([text], strict=True))
        except csv.Error:
            raise BadRecord("torn record: a quote is not closed, or text follows a closing quote") from None
        cells = rows[0] if len(rows) == 1 else []
    else:
        cells = text.split(",")
    if len(cells) != len(columns):
        raise BadRecord(f"wrong number of columns: expected {len(columns)}, as in the header")
    row: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell:
            convert = _FROM_TEXT.get(column)
            row[column] = convert(cell) if convert else cell
    return check(row)


def any_object(line: bytes) -> dict[str, Any] | None:
    """Return whatever JSON object the line is, or None."""
    try:
        row = _DECODE(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return row if type(row) is dict else None


def _number_from_text(cell: str) -> int | str:
    return int(cell) if re.fullmatch(r"-?[0-9]{1,30}", cell) else cell


def _truth_from_text(cell: str) -> bool | str:
    return {"true": True, "false": False, "1": True, "0": False}.get(cell.lower(), cell)


def _list_from_text(cell: str) -> list[str]:
    return cell.split(";")


_FROM_TEXT: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("fields", "subjects", "selector"), _list_from_text),
    **dict.fromkeys(("rows", "seq"), _number_from_text),
    **dict.fromkeys(("deliberate", "break_glass"), _truth_from_text),
}
