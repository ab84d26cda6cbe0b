r"""Reading tables, CSV and Parquet, as records that can each be read by itself, today and from the vault in years.

A CSV record is the header line, `\n`, and the record; the header by itself is `header\n`. So a changed header makes other records:
it changes what they say. A Parquet record is the row as canonical JSON without nulls.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from custodes.errors import InputError, UnreadableFile
from custodes.lines.content import read_head
from custodes.lines.follow import read_lines
from custodes.lines.framing import CHUNK, LIMIT, Quoted
from custodes.model.canonical import canonical
from custodes.model.draft import Raw
from custodes.model.reading import Chunk, Follow, Position

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET: Final = b"PAR1"
csv.field_size_limit(
    LIMIT
)  # the module's own limit of 128 KiB would refuse long statements; records are bounded when they are read


def read_csv(path: str, position: Position, required: Sequence[str], *, follow: Follow | None = None) -> Iterator[Chunk]:
    """Yield the records of a CSV file. Raises `InputError` if its header lacks a required column, and `UnreadableFile`.

    A record may span several lines if it then has as many columns as the header; otherwise its first line stands alone, so that one
    damaged line costs one line.
    """
    header = first_line(read_head(path))
    width = len(columns_of(header, required, path))

    def whole(candidate: bytes) -> bool:
        try:
            rows = list(csv.reader([candidate.decode("latin-1")], strict=True))
        except csv.Error:
            return False
        return len(rows) == 1 and len(rows[0]) == width

    file, line = path, position.line
    for chunk in read_lines(path, position, follow=follow, quoted=Quoted(whole=whole)):
        raws: list[Raw] = []
        for raw in chunk.raws:
            if raw.file != file or raw.line <= line:  # another file, or the same one from its beginning
                header = first_line(read_head(raw.file))
                width = len(columns_of(header, required, raw.file))
            file, line = raw.file, raw.line
            if raw.cut:
                raws.append(raw)
            elif raw.data == header:
                raws.append(raw._replace(data=header + b"\n"))
            else:
                raws.append(raw._replace(data=b"%b\n%b" % (header, raw.data)))
        yield chunk._replace(raws=raws)


def first_line(head: bytes) -> bytes:
    """Return the first line that holds anything, without its newline."""
    return next((line.removesuffix(b"\r") for line in head.split(b"\n") if line.strip()), b"")


def columns_of(header: bytes, required: Sequence[str], path: str = "") -> list[str]:
    """Return the column names of a CSV header. Raises `InputError` naming what is missing or double."""
    try:
        names = [name.strip() for name in next(csv.reader([header.decode("utf-8")], strict=True), [])]
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: the CSV header is not readable UTF-8 text", hint=_expected(required)) from None
    _check_columns(names, required, path)
    return names


def _check_columns(names: Sequence[str], required: Sequence[str], path: str) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        raise InputError(f"{path}: missing column{'s' * (len(missing) > 1)} {', '.join(missing)}", hint=_expected(required))
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a column name stands twice", hint=_expected(required))


def _expected(required: Sequence[str]) -> str:
    return f"expected comma-separated columns, at least {', '.join(required)}: see docs/reference/formats.md"


def read_parquet(path: str, position: Position, required: Sequence[str]) -> Iterator[Chunk]:
    """Yield rows as records; `offset` and `line` count rows. A Parquet file does not grow: there is nothing to follow.

    Raises `InputError` if a required column is missing or `time` has a type without zone, and `UnreadableFile`.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        inode, digest = _identity(path)
        if position.digest != digest:
            position = Position()
        with ParquetFile(path) as file:
            _check_columns(file.schema_arrow.names, required, path)
            _check_zone(file.schema_arrow, path)
            row = 0
            for batch in file.iter_batches(batch_size=CHUNK):
                start, row = row, row + batch.num_rows
                if row <= position.offset:
                    continue
                rows = _utc(batch).to_pylist()[max(0, position.offset - start) :]
                first = row - len(rows) + 1
                raws = [Raw(_canonical_row(values), path, number) for number, values in enumerate(rows, first)]
                yield Chunk(raws, Position(row, row, inode, digest))
    except (ArrowException, OSError) as error:
        raise UnreadableFile(f"{path} is no readable Parquet file", hint="write it again; its end may be missing") from error


def _identity(path: str) -> tuple[int, str]:
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 4096))
        return Path(path).stat().st_ino, sha256(b"%d " % size + file.read()).hexdigest()


def _check_zone(schema: pa.Schema, path: str) -> None:
    from pyarrow import types

    kind = schema.field("time").type
    if types.is_timestamp(kind) and kind.tz is None:
        raise InputError(f"{path}: time without zone", hint="expected the column type timestamp[us, UTC]")


def _utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with all times in microseconds: Python knows no finer ones."""
    import pyarrow as pa

    columns = [
        column.cast(pa.timestamp("us", tz="UTC" if column.type.tz else None), safe=False)
        if pa.types.is_timestamp(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _canonical_row(values: Mapping[str, Any]) -> bytes:
    """Return a row as canonical JSON; what JSON lacks becomes text, a whole number stored as a float becomes a number."""
    try:
        return canonical({name: _plain(value) for name, value in values.items() if value is not None})
    except TypeError:
        raise InputError("a Parquet column has a name beyond the basic characters", hint="rename it") from None


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value if -(2**53) < value < 2**53 else str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return msgspec.json.encode(value, enc_hook=str).decode("utf-8").strip('"')
