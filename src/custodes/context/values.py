"""One file of a context table → its rows as text, with the line each row began on. Three formats, gzip or plain.

A file is read twice at most: once fast and whole; if anything in it cannot be read, once more line by line, so that each bad row
costs itself and nothing else.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from custodes.errors import UnknownFormat, UnreadableFile
from custodes.lines.whole import read_whole

FORMATS: Final = ("csv", "ndjson", "parquet")
_LIMIT: Final = 1 << 20
"""Characters of one CSV value, as everywhere: a cell of more than a megabyte is no context."""


class Bad(NamedTuple):
    """A row that could not be read: 1-based line (row for Parquet), its bytes, and a reason without its content."""

    line: int
    data: bytes
    reason: str


@dataclass(slots=True)
class Rows:
    """Columns by name (text, or an Arrow type of its own from Parquet), lines by row, and rows that are no rows."""

    columns: dict[str, pa.Array]
    count: int
    lines: list[int] | None = None
    bad: list[Bad] = field(default_factory=list)
    raw: list[bytes] | None = None

    def line(self, row: int) -> int:
        """Return the line (row for Parquet) a row began on."""
        return row + 1 if self.lines is None else self.lines[row]


def format_of(path: Path) -> str:
    """Return `csv`, `ndjson` or `parquet` by the file's name. Raises `UnknownFormat`."""
    name = path.name.lower().removesuffix(".gz")
    for ending, kind in (
        (".csv", "csv"),
        (".ndjson", "ndjson"),
        (".jsonl", "ndjson"),
        (".json", "ndjson"),
        (".parquet", "parquet"),
    ):
        if name.endswith(ending):
            return kind
    raise UnknownFormat(f"{path.name}: expected a name that ends in .csv, .ndjson or .parquet (or .gz of one)")


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes, unzipped if it is gzip. Raises `UnreadableFile`."""
    try:
        data = read_whole(path)
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError) as wrong:
        why = getattr(wrong, "strerror", None) or "it is cut off or damaged"
        raise UnreadableFile(f"{path.name} cannot be read: {why}") from None


def read_rows(data: bytes, kind: str, name: str, *, exact: bool) -> Rows:
    """Read a file's rows. `exact` keeps each row's line and bytes (slower). Raises `UnreadableFile`."""
    if kind == "parquet":
        return _parquet(data, name)
    if kind == "ndjson":
        return _ndjson(data)
    if not exact and (rows := _csv_fast(data)) is not None:
        return rows
    return _csv_exact(data)


def _parquet(data: bytes, name: str) -> Rows:
    try:
        table = pa_parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError):
        raise UnreadableFile(f"{name} is no readable Parquet file") from None
    columns = {column: _plain(table.column(column).combine_chunks()) for column in table.column_names}
    return Rows(columns, table.num_rows)


def _plain(array: Any) -> Any:
    """Return a column without dictionary coding; integers and other scalars as text."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_timestamp(array.type) or pa.types.is_boolean(array.type) or pa.types.is_list(array.type):
        return array
    return array.cast(pa.string())


def _ndjson(data: bytes) -> Rows:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    found: list[dict[str, Any]] = []
    lines: list[int] = []
    raw: list[bytes] = []
    bad: list[Bad] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            bad.append(Bad(number, line, "not one JSON object"))
            continue
        lines.append(number)
        raw.append(line)
    names = dict.fromkeys(name for row in found for name in row)
    columns = {name: _json_column([row.get(name) for row in found]) for name in names}
    return Rows(columns, len(found), lines, bad, raw)


def _json_column(values: list[Any]) -> pa.Array:
    """Return JSON values as text; lists as `;`-joined words, so that all formats meet in one form."""
    return pa.array([_json_text(value) for value in values], pa.string())


def _json_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, list):
        text = ";".join(str(item) for item in value)
    elif isinstance(value, dict):
        text = msgspec.json.encode(value).decode()
    else:
        text = str(value)
    return None if text is None else text.encode("utf-8", "replace").decode()


def _csv_fast(data: bytes) -> Rows | None:
    """Read a well-formed CSV file by Arrow, or return None if anything in it is odd."""
    odd: list[int] = []

    def note(_: Any) -> str:
        odd.append(1)
        return "skip"

    header = data[:_LIMIT].split(b"\n", 1)[0]
    try:
        names = next(csv.reader([header.decode("utf-8-sig")]), [])
        if not names or len(set(names)) != len(names) or b"\0" in data:
            return None
        table = pa_csv.read_csv(
            io.BytesIO(data),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError, csv.Error):
        return None
    if odd:
        return None
    return Rows({column: _plain(table.column(column)) for column in table.column_names}, table.num_rows)


def _csv_exact(data: bytes) -> Rows:
    """Read CSV record by record with line and bytes; a broken record costs its first line only, never the file."""
    csv.field_size_limit(_LIMIT)
    lines = _Lines(data.decode("utf-8-sig", "surrogateescape"))
    names: list[str] | None = None
    found: list[list[str]] = []
    at: list[int] = []
    raw: list[bytes] = []
    bad: list[Bad] = []
    while True:
        line = lines.begin()
        try:
            record = next(csv.reader(lines, strict=True), None)
            reason = ""
        except csv.Error:
            lines.give_back()
            record, reason = [], "not CSV: quotes do not close, or a value is too long"
        if record is None:
            break
        if names is None and not reason:
            names = record
            continue
        if not record and not reason:
            continue
        reason = reason or _row_fault(record, names or [])
        if reason:
            bad.append(Bad(line, lines.taken(), reason))
            continue
        found.append(record)
        at.append(line)
        raw.append(lines.taken())
    columns = {
        name: pa.array([record[position] or None for record in found], pa.string()) for position, name in enumerate(names or [])
    }
    return Rows(columns, len(found), at, bad, raw)


class _Lines:
    """Physical lines of a text; those of a record that turned out broken are given back, all but its first."""

    def __init__(self, text: str) -> None:
        self._lines = list(io.StringIO(text, newline=""))
        self._next = self._start = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._next >= len(self._lines):
            raise StopIteration
        self._next += 1
        return self._lines[self._next - 1]

    def begin(self) -> int:
        """Begin a record; return the 1-based line it begins on."""
        self._start = self._next
        return self._start + 1

    def give_back(self) -> None:
        """Go on after the first line of the record."""
        self._next = self._start + 1

    def taken(self) -> bytes:
        """Return the bytes of the lines that the record took."""
        return "".join(self._lines[self._start : self._next]).encode("utf-8", "surrogateescape")


def _row_fault(record: list[str], names: list[str]) -> str:
    if len(record) != len(names):
        return f"{len(record)} values where the header names {len(names)}"
    try:
        for value in record:
            value.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    return ""
