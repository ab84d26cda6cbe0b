"""One record of PostgreSQL's csvlog or jsonlog, and the AUDIT message that pgaudit puts into it."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

import msgspec

from custodes.model.draft import Raw

csv.field_size_limit(max(csv.field_size_limit(), 1 << 26))

WIDTHS: Final = frozenset({23, 24, 26})
"""Columns of a csvlog record: up to application_name (before 13), with backend_type (13), with leader_pid and query_id (14 on)."""

STARTS: Final = re.compile(
    rb'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [^,"\s]{1,12},"[^"]+","[^"]+",\d+,(?:"[^"]*")?,[0-9a-f]+\.[0-9a-f]+,\d+,'
)
"""How a client's csvlog record begins. It cannot occur inside a quoted value, for quotes are doubled there."""
_STAMP: Final = re.compile(r"\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \S+\Z")
_SESSION: Final = re.compile(r"[0-9a-f]{1,16}\.[0-9a-f]{1,16}\Z")

_QUOTED: Final = r'"(?:[^"]++|"")*+"'
_AUDIT: Final = re.compile(
    rf'AUDIT: (SESSION|OBJECT),(\d{{1,18}}),(\d{{1,18}}),([^,"]*+),([^,"]*+),([^,"]*+),({_QUOTED}|[^,"]*+),({_QUOTED}|[^,"]*+),'
    rf'({_QUOTED}|[^,"]*+)(?:,(\d*))?',
    re.DOTALL,
)
HIDDEN: Final = frozenset({"<not logged>", "<previously logged>"})


class Unreadable(ValueError):
    """A record that cannot be read. Its text is the reason, and never holds content of the record."""


class Line(msgspec.Struct, gc=False):
    """The fields of a record that matter here, under the names of jsonlog."""

    timestamp: str = ""
    session_id: str = ""
    line_num: int = 0
    user: str = ""
    dbname: str = ""
    remote_host: str = ""
    ps: str = ""
    error_severity: str = ""
    state_code: str = ""
    message: str = ""
    statement: str = ""
    context: str = ""
    internal_query: str = ""
    application_name: str = ""
    backend_type: str = ""
    damaged: bool = msgspec.field(default=False, name="(damaged)")


class Audit(NamedTuple):
    """An AUDIT message. `parameters`: None where there are none or the log hides them; `rows`: None where not logged."""

    statement: int
    substatement: int
    kind: str
    command: str
    object_type: str
    object_name: str
    text: str
    parameters: str | None
    rows: int | None


_FOREIGN: Final = re.compile(r"[\udc80-\udcff]")
_DECODE: Final = msgspec.json.Decoder(Line).decode


def decode(raw: Raw) -> Line:
    """Read one record of either format. Raises `Unreadable`."""
    data = raw.data
    if raw.cut:
        raise Unreadable("record longer than the limit: kept by its first bytes, its length and its SHA-256")
    if data[:1] != b"{":
        return _of_row(_row(data))
    try:
        line = _DECODE(data)
    except msgspec.ValidationError:
        raise Unreadable("a field of the record has another type than PostgreSQL writes") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        line = _damaged(data)
    if not line.session_id or line.line_num < 1:
        raise Unreadable("missing session_id or line_num: not a PostgreSQL log record")
    return line


def _damaged(data: bytes) -> Line:
    """Read a record whose only fault is its encoding: foreign bytes are shown by their number."""
    text = data.decode("utf-8", "surrogateescape")
    if not _FOREIGN.search(text):
        raise Unreadable("not JSON")
    try:
        line = _DECODE(_FOREIGN.sub(lambda found: f"\\\\x{ord(found[0]) - 0xDC00:02x}", text).encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        raise Unreadable("not JSON") from None
    line.damaged = True
    return line


def rows_of(datas: Sequence[bytes]) -> list[list[str]] | None:
    """Read many csvlog records at once; None if any of them is not a whole record by itself."""
    try:
        rows = list(csv.reader([data.decode() for data in datas], strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    return rows if len(rows) == len(datas) else None


def is_whole(data: bytes) -> bool:
    """Say whether several lines are one csvlog record."""
    try:
        rows = list(csv.reader([data.decode("utf-8", "backslashreplace")], strict=True))
    except csv.Error:
        return False
    return len(rows) == 1 and len(rows[0]) in WIDTHS and _looks_right(rows[0])


def _row(data: bytes) -> list[str]:
    try:
        rows = list(csv.reader([data.decode()], strict=True))
    except UnicodeDecodeError:
        rows = _damaged_row(data)
    except csv.Error:
        raise Unreadable("torn: quotes do not end") from None
    if len(rows) != 1:
        raise Unreadable("torn: quotes do not end")
    return rows[0]


def _damaged_row(data: bytes) -> list[list[str]]:
    try:
        rows = list(csv.reader([data.decode("utf-8", "backslashreplace")], strict=True))
    except csv.Error:
        raise Unreadable("torn: quotes do not end") from None
    for row in rows:
        row.append("damaged")
    return rows


def _looks_right(row: Sequence[str]) -> bool:
    return bool(_STAMP.match(row[0]) and _SESSION.match(row[5]) and row[6].isdecimal())


def _of_row(row: list[str]) -> Line:
    """Make a line of a csvlog row. Raises `Unreadable`."""
    damaged = len(row) - 1 in WIDTHS and row[-1] == "damaged"
    if damaged:
        row.pop()
    if len(row) not in WIDTHS:
        raise Unreadable(
            "torn: fewer columns than a csvlog record has" if len(row) < 23 else "more columns than a csvlog record has"
        )
    if not _looks_right(row):
        raise Unreadable("not a csvlog record: time, session or line number is missing")
    return Line(
        row[0], row[5], int(row[6]), row[1], row[2], _host(row[4]), row[7], row[11], row[12],
        row[13], row[19], row[18], row[16], row[22], row[23] if len(row) > 23 else "", damaged,
    )  # fmt: skip


of_row = _of_row


def _host(origin: str) -> str:
    """Return the address of `address:port`."""
    host, colon, port = origin.rpartition(":")
    return host if colon and port.isdecimal() else origin


def audit_of(message: str) -> Audit | None:
    """Read an AUDIT message; None if it is not as pgaudit writes it."""
    return _common(message) or _any_audit(message)


def _common(message: str) -> Audit | None:
    """Read a message without parameters whose object name needs no quotes, as most are."""
    parts = message.split(",", 7)
    if len(parts) < 8 or parts[0] != "AUDIT: SESSION":
        return None
    _, statement, substatement, kind, command, object_type, name, rest = parts
    head, _, rows = rest.rpartition(",")
    if not (head.endswith(",<none>") and rows.isdecimal() and statement.isdecimal() and substatement.isdecimal()):
        return None
    text = head[:-7]
    if text[:1] == '"':
        text = text[1:-1] if text[-1] == '"' and len(text) > 1 else '"'
        if '"' in text:
            if '"' in text.replace('""', ""):
                return None
            text = text.replace('""', '"')
    elif '"' in text or "," in text:
        return None
    if '"' in name or '"' in object_type or '"' in command or '"' in kind or len(statement) + len(substatement) + len(rows) > 36:
        return None
    return Audit(int(statement), int(substatement), kind, command, object_type, name, text, None, int(rows))


def _any_audit(message: str) -> Audit | None:
    found = _AUDIT.fullmatch(message)
    if found is None:
        return None
    _, statement, substatement, kind, command, object_type, name, text, parameters, rows = found.groups()
    return Audit(
        int(statement),
        int(substatement),
        kind,
        command,
        object_type,
        name if name[:1] != '"' else name[1:-1].replace('""', '"'),
        text if text[:1] != '"' else text[1:-1].replace('""', '"'),
        None
        if parameters == "<none>" or parameters in HIDDEN
        else parameters
        if parameters[:1] != '"'
        else parameters[1:-1].replace('""', '"'),
        int(rows) if rows and len(rows) < 19 else None,
    )


_ZONES: Final = {
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 60, "CET": 60, "CEST": 120, "EET": 120, "EEST": 180, "MSK": 180, "JST": 540,
    "KST": 540, "EST": -300, "EDT": -240, "PST": -480, "PDT": -420, "MDT": -360, "SGT": 480, "HKT": 480, "NZST": 720, "NZDT": 780,
    "AEST": 600, "AEDT": 660,
}  # fmt: skip
"""Abbreviations that mean one thing only. PostgreSQL writes `log_timezone` so; others (IST, CST, BST, MST) name several zones."""
_OFFSET: Final = re.compile(r"([+-])(\d\d):?(\d\d)?\Z")


def time_of(stamp: str) -> datetime:
    """Return the time of a record in UTC. Raises `Unreadable` for a zone that names no one place on the clock."""
    moment, _, zone = stamp.rpartition(" ")
    try:
        if zone == "UTC":
            return datetime.fromisoformat(moment + "+00:00")
        minutes = _ZONES.get(zone)
        if minutes is None and (found := _OFFSET.match(zone)):
            minutes = (int(found[2]) * 60 + int(found[3] or 0)) * (-1 if found[1] == "-" else 1)
        if minutes is None:
            raise Unreadable("time zone abbreviation is ambiguous: set log_timezone to UTC")
        local = datetime.fromisoformat(moment).replace(tzinfo=timezone(timedelta(minutes=minutes)))
        return local.astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise wrong if isinstance(wrong, Unreadable) else Unreadable("timestamp is not a time") from None
