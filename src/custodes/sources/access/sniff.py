"""Recognising a file of this contract by its beginning: content decides, names lie."""

from __future__ import annotations

from custodes.lines import first_lines
from custodes.lines.tables import PARQUET, first_line
from custodes.sources.access.columns import REQUIRED
from custodes.sources.access.record import any_object


def is_access(head: bytes) -> bool:
    """Recognise Parquet, or at least three of the four required columns (so that an error can name the fourth)."""
    if head.startswith(PARQUET):
        return True
    if is_csv(head):
        return _enough({cell.strip() for cell in first_line(head).decode("utf-8", "replace").replace('"', "").split(",")})
    return any(map(_looks_like_ours, first_lines(head)))


def is_csv(head: bytes) -> bool:
    """Tell CSV from NDJSON, whose first line may be damaged: it names columns, and no line nearby is a JSON object."""
    first = first_line(head)
    if first.lstrip()[:1] in (b"{", b"[") or not (b"," in first or sum(name.encode() in first for name in REQUIRED) > 1):
        return False
    return not any(any_object(line) is not None for line in first_lines(head))


def _looks_like_ours(line: bytes) -> bool:
    row = any_object(line)
    if row is None:  # perhaps longer than what is looked at: the names in quotes are proof enough
        return line.lstrip().startswith(b"{") and all(b'"%b"' % name.encode() in line for name in REQUIRED)
    return _enough(set(row))


def _enough(names: set[str]) -> bool:
    return len(names & set(REQUIRED)) >= len(REQUIRED) - 1
