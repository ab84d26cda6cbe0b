"""The `protected` file: read once, for enrolment. Nothing of it is kept here; rows that cannot be read are named by their line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from custodes.context.typed import Faults, typed
from custodes.context.values import format_of, read_bytes, read_rows
from custodes.errors import InputError
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.tables import Column

_COLUMNS: Final = (Column("subject", "subject"), Column("class"), Column("enrolled", "time"), Column("expires", "time"))


@dataclass(frozen=True, slots=True)
class Protected:
    """One row: a subject's pseudonym, a class, and when it is in force."""

    subject: str
    cls: str
    enrolled: datetime | None
    expires: datetime | None


def read_protected(file: Path, pseudonyms: Pseudonyms) -> tuple[list[Protected], list[tuple[int, str]]]:
    """Return the rows of a `protected` file and (line, reason) of those that could not be read.

    Raises `UnreadableFile`, `UnknownFormat`, and `InputError` where subject or class is missing altogether.
    """
    rows = read_rows(read_bytes(file), format_of(file), file.name, exact=True)
    if rows.columns and not {"subject", "class"} <= set(rows.columns):
        raise InputError(f"{file.name}: the protected file needs the columns subject and class")
    faults: Faults = {}
    absent = pa.nulls(rows.count, pa.string())
    values: list[list[Any]] = [
        typed(column, rows.columns.get(column.name, absent), pseudonyms, faults).to_pylist() for column in _COLUMNS
    ]
    found = []
    for number, (subject, cls, enrolled, expires) in enumerate(zip(*values, strict=True)):
        if subject is None or cls is None:
            faults.setdefault(number, "subject or class is empty")
        if number not in faults:
            found.append(Protected(subject, cls, enrolled, expires))
    bad = [(line, reason) for line, _, reason in rows.bad] + [(rows.line(number), reason) for number, reason in faults.items()]
    return found, sorted(bad)
