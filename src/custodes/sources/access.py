r"""`access`: the public contract `custodes.access/1`, as NDJSON, CSV or Parquet. Columns: see docs/reference/formats.md.

Every record can be read by itself, today and from the vault in years: an NDJSON record is its line; a CSV record is the header
line, `\n`, and the record (so a changed header makes other records: it changes what they say); a Parquet record is the row as
canonical JSON without nulls. The parser therefore needs no state. What the sender states is taken as stated, never mended.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec.structs import astuple

from custodes.errors import InputError
from custodes.lines import read_head, read_lines
from custodes.lines.tables import PARQUET, columns_of, first_line, read_csv, read_parquet
from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, FieldUse, Parsed, Raw, Rejected, Resource, Selector, SubjectUse
from custodes.model.words import ACTIONS, ACTOR_KINDS, OUTCOMES, SCOPES, SELECTORS
from custodes.source import CannotSee, Chunk, Coverage, Follow, Position

REQUIRED: Final = ("time", "actor", "action", "system")
_LARGEST: Final = 2**63 - 1
_LOOKED_AT: Final = 20
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(days=1)

MANIFEST: Final = Coverage(
    source="access",
    version="access/1",
    sees=("whatever the sender states: actor, subjects, fields, purpose, reason, rows",),
    cannot_see=(
        CannotSee(
            "accesses that the sender does not report",
            "the file is the sender's own account",
            "read a log of the data store itself as well (pgaudit, cloudtrail), or put the gate in front of it",
        ),
        CannotSee(
            "records that were dropped before sending",
            "only `seq` within `seq_of` numbers them, and both are optional",
            "fill `seq` from a counter without holes, one per session, shard or file",
        ),
        CannotSee(
            "whether a statement in `query` reached more persons than `subjects` names",
            "the sender's list is taken as complete where the scope is `named` or `key_predicate`",
            "state the scope as it is (`set`, `attribute_predicate`), or read the data store's own log",
        ),
        CannotSee(
            "whether purpose and reason are true",
            "they are claims of the sender",
            "load tickets, cases and grants as context: they are what explains, not the claim",
        ),
    ),
    subject="named",
    fields="reported",
    rows=True,
    purpose="purpose",
    gap_proof="none",
    tail_proof=False,
    deletable_by=("the sender", "whoever can write the file before it is read"),
    checked="2026-11-22",
)


class _Bad(Exception):
    """A record that cannot be read. Not an error of the tree: its text becomes the reason of a `Rejected`."""


@dataclass(frozen=True, slots=True)
class AccessSource:
    """The source. `clock` says what counts as the future."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def name(self) -> str:
        """Return `access`."""
        return MANIFEST.source

    @property
    def version(self) -> str:
        """Return the parser's version."""
        return MANIFEST.version

    @property
    def manifest(self) -> Coverage:
        """Say what such a file cannot show."""
        return MANIFEST

    def sniff(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - content decides, names lie
        """Recognise Parquet, or at least three of the four required columns (so that an error can name the fourth)."""
        if head.startswith(PARQUET):
            return True
        if _is_csv(head):
            return _enough({cell.strip() for cell in first_line(head).decode("utf-8", "replace").replace('"', "").split(",")})
        return any(map(_looks_like_ours, _first_lines(head)))

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        """Yield raw records. Raises `InputError` if a CSV header or Parquet schema lacks a required column."""
        head = read_head(path)
        if head.startswith(PARQUET):
            return read_parquet(path, position, REQUIRED)
        if _is_csv(head):
            return read_csv(path, position, REQUIRED, follow=follow)
        return read_lines(path, position, follow=follow)

    def parser(self, datamap: DataMap, state: bytes | None = None) -> AccessParser:  # noqa: ARG002 - contract of all sources
        """Return a parser; it keeps nothing between records."""
        return AccessParser(self.clock)


class AccessParser:
    """Turns records into drafts, one by one, whatever their order."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._header: bytes = b""
        self._columns: list[str] = []

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        """Parse each record by itself; a bad one is rejected with its reason, a CSV header counted."""
        parsed = Parsed()
        latest = self._clock() + _AHEAD
        headers = 0
        for raw in raws:
            try:
                if b"\n" not in raw.data:
                    row, extra = _json_row(raw.data)
                elif raw.cut or not raw.data.endswith(b"\n"):
                    row, extra = _careful(self._csv_row(raw))
                else:
                    headers += 1
                    continue
                parsed.drafts.append(_draft(raw, row, extra, latest))
            except (_Bad, InputError) as bad:
                parsed.rejected.append(Rejected(raw, str(bad)))
        if headers:
            parsed.counted["header"] = headers
        return parsed

    def finish(self) -> Parsed:
        """Nothing is held back."""
        return Parsed()

    def state(self) -> bytes:
        """Nothing is kept."""
        return b""

    def _csv_row(self, raw: Raw) -> dict[str, Any]:
        if raw.cut:
            raise _Bad("record longer than the limit: kept by its first bytes, its length and its SHA-256")
        header, _, record = raw.data.partition(b"\n")
        if header != self._header:
            self._header, self._columns = header, columns_of(header, REQUIRED)
        return _csv_row(self._columns, record)


_Action = Literal["read", "query", "list", "search", "export", "write", "delete", "approve", "grant", "login", "other"]
_Scope = Literal["none", "named", "key_predicate", "attribute_predicate", "join", "set", "aggregate", "unknown"]
_Selector = Literal["user_id", "handle", "email", "phone", "ip", "ip_range", "device", "location", "time_window", "other"]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """The columns of the contract with their types: what is plainly right is decoded by this in one go."""

    time: str
    actor: str
    action: _Action
    system: str
    id: str | None = None
    actor_kind: Literal["human", "service", "agent", "shared", "unknown"] | None = None
    on_behalf_of: str | None = None
    resource: str | list[str] | None = None
    fields: list[str] | None = None
    subjects: list[str] | None = None
    subject_scope: _Scope | None = None
    selector: _Selector | list[_Selector] | None = None
    rows: _Count | None = None
    query: str | None = None
    purpose: str | None = None
    reason: str | None = None
    client_country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z]\Z")] | None = None
    session: str | None = None
    device: str | None = None
    deliberate: bool | None = None
    break_glass: bool | None = None
    derived: str | None = None
    derived_from: str | None = None
    outcome: Literal["success", "denied", "failure"] | None = None
    seq: _Count | None = None
    seq_of: str | None = None


_WIDTH: Final = len(_Row.__struct_fields__)
_DECODE_ROW: Final = msgspec.json.Decoder(_Row).decode
_DECODE: Final = msgspec.json.Decoder().decode


def _json_row(data: bytes) -> tuple[_Row, dict[str, str]]:
    """Decode one JSON object strictly. Whatever is not plainly right is looked at again, more closely and slowly.

    Without blanks each key makes one `":`. If there are as many of them as columns that hold something, no key stands twice.
    """
    try:
        row = _DECODE_ROW(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _careful(_json_object(data))
    keys = data.translate(None, b" \t\r").count(b'":')
    if keys + astuple(row).count(None) != _WIDTH or not (row.time and row.actor and row.system):
        return _careful(_json_object(data))
    return row, {}


def _json_object(data: bytes) -> dict[str, Any]:
    """Decode any object without duplicate keys, lone surrogates or infinite numbers."""
    try:
        row = _DECODE(data)
        if type(row) is not dict:
            raise _Bad("not a JSON object")
        json.loads(data, object_pairs_hook=_once)
    except RecursionError:
        raise _Bad("not JSON that can be read: nested too deeply") from None
    except UnicodeDecodeError:
        raise _Bad("not UTF-8") from None
    except msgspec.ValidationError:
        raise _Bad("a number is out of range") from None
    except ValueError:
        raise _Bad("not JSON") from None
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise _Bad("duplicate key: a name stands twice in one object")
    return row


def _csv_row(columns: list[str], record: bytes) -> dict[str, Any]:
    try:
        text = record.decode("utf-8")
    except UnicodeDecodeError:
        raise _Bad("not UTF-8") from None
    if '"' in text:
        try:
            rows = list(csv.reader([text], strict=True))
        except csv.Error:
            raise _Bad("torn record: a quote is not closed, or text follows a closing quote") from None
        cells = rows[0] if len(rows) == 1 else []
    else:
        cells = text.split(",")
    if len(cells) != len(columns):
        raise _Bad(f"wrong number of columns: expected {len(columns)}, as in the header")
    row: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if cell:
            convert = _FROM_TEXT.get(column)
            row[column] = convert(cell) if convert else cell
    return row


def _careful(row: Mapping[str, Any]) -> tuple[_Row, dict[str, str]]:
    """Check column by column, so that the reason can name the column; put unknown columns aside."""
    made: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        check = _CHECKS.get(name)
        if check is not None:
            made[name] = check(name, value)
        else:
            extra[name] = value if type(value) is str else msgspec.json.encode(value).decode("utf-8")
    for name in REQUIRED:
        if name not in made:
            raise _Bad(f"missing {name}")
    return _Row(**made), extra


def _draft(raw: Raw, row: _Row, extra: dict[str, str], latest: datetime) -> Draft:
    """Make the draft. Only what is stated is set, which is quicker than setting all: most columns of most records are empty."""
    time = _time(row.time)
    draft = Draft([raw], time, row.actor, row.action, row.system, row.action, row.id or None)
    _people(draft, row)
    _touched(draft, row)
    _claims(draft, row)
    if row.actor_kind is not None:
        draft.actor_kind = row.actor_kind
    if row.on_behalf_of:
        draft.on_behalf_of, draft.behalf_basis = row.on_behalf_of, "declared"
    if row.session:
        draft.session = row.session
    if row.device:
        draft.device = row.device
    if row.client_country is not None:
        draft.client_country = row.client_country
    if row.outcome is not None:
        draft.outcome = row.outcome
    if row.seq is not None:
        draft.seq = row.seq
    if row.seq_of:
        draft.seq_of = row.seq_of
    if not _EARLIEST <= time <= latest:
        draft.coverage.append("clock_skew")
    if extra:
        draft.extra = extra
    return draft


def _people(draft: Draft, row: _Row) -> None:
    """Set subjects, scope and bounds. What is stated stays as stated: a scope that names nobody is unbounded."""
    subjects = _each(row.subjects) if row.subjects else ()
    draft.subject_scope = scope = row.subject_scope or ("named" if subjects else "unknown")
    draft.subject_max = _most(scope, len(subjects))
    if subjects:
        draft.subjects = [_NEW(SubjectUse, (subject, "user_id", "accessed", "certain", "source_named")) for subject in subjects]
        draft.subject_basis, draft.subject_min = "source_named", len(subjects)
    if row.selector is not None:
        draft.selectors = [Selector(kind) for kind in (row.selector if isinstance(row.selector, list) else (row.selector,))]


def _touched(draft: Draft, row: _Row) -> None:
    """Set resources, fields, statement and counts. No list of fields is no statement about fields."""
    if row.resource:
        draft.resources = _resources(row.resource)
    if row.fields is None:
        draft.field_basis = "unknown"
    elif row.fields:
        place = 0 if len(draft.resources) == 1 else -1
        draft.fields = [_field(name, place) for name in _each(row.fields)]
    if row.query:
        draft.query = row.query
    if row.rows is not None:
        draft.rows, draft.rows_basis = row.rows, "reported"
    if row.derived:
        draft.derived = row.derived
    if row.derived_from:
        draft.derived_from = row.derived_from


def _claims(draft: Draft, row: _Row) -> None:
    """Set what the sender claims about the why."""
    if row.purpose:
        draft.purpose, draft.purpose_basis = row.purpose, "source_justification"
    if row.reason:
        draft.reason = row.reason
    if row.deliberate is not None:
        draft.deliberate = row.deliberate
    if row.break_glass is not None:
        draft.break_glass = row.break_glass


def _each(values: list[str]) -> list[str]:
    """Return each value once, in the order given, without empty ones."""
    if len(values) == 1:
        return values if values[0] else []
    return [value for value in dict.fromkeys(values) if value]


def _most(scope: str, named: int) -> int | None:
    """Return the upper bound of persons: those named, if the scope says that these were all; else none is known."""
    if scope in ("named", "key_predicate"):
        return named or None
    return 0 if scope in ("none", "aggregate") and not named else None


def _resources(value: str | list[str]) -> list[Resource]:
    if not isinstance(value, str):
        return [_resource(name) for name in _each(value)]
    return [_resource(name) for name in _each(value.split(";"))] if ";" in value else [_resource(value)]


_NEW: Final = tuple.__new__
_resource = lru_cache(4096)(Resource)
_field = lru_cache(4096)(lambda name, place: FieldUse(name, "projected", place))


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _Bad(f"{name} is not text: expected text, got {_kind(value)}")
    return value


def _word(name: str, value: Any) -> str:
    words = _WORDS[name]
    if type(value) is not str or value not in words:
        raise _Bad(f"{name} is none of the words {', '.join(sorted(words))}")
    return value


def _words(name: str, value: Any) -> list[str]:
    return [_word(name, item) for item in (value if type(value) is list else [value])]


def _texts(name: str, value: Any) -> list[str]:
    if type(value) is not list:
        raise _Bad(f"{name} is not a list: expected a list of texts, got {_kind(value)}")
    for item in value:
        if type(item) is not str:
            raise _Bad(f"{name} holds something that is not text: got {_kind(item)}")
    return value


def _text_or_texts(name: str, value: Any) -> str | list[str]:
    return value if type(value) is str else _texts(name, value)


def _number(name: str, value: Any) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise _Bad(f"{name} is not a number: expected a whole number, got {_kind(value)}")
    if value < 0:
        raise _Bad(f"negative count in {name}")
    if value > _LARGEST:
        raise _Bad(f"{name} is out of range")
    return value


def _truth(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise _Bad(f"{name} is neither true nor false: got {_kind(value)}")
    return value


def _country(name: str, value: Any) -> str:
    if type(value) is not str or len(value) != 2 or not (value.isascii() and value.isalpha() and value.isupper()):
        raise _Bad(f"{name} is not a country: expected two capital letters (ISO 3166)")
    return value


def _time(value: str) -> datetime:
    """Return an aware UTC time from RFC 3339 text; a leap second becomes the first instant after it."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise _Bad("time is not a time: expected RFC 3339, such as 2026-03-02T10:00:00Z")
    zone = match[2]
    if zone is None:
        raise _Bad("time without zone: expected RFC 3339 with Z or an offset, such as 2026-03-02T10:00:00Z")
    try:
        if value[17:19] == "60":
            return datetime.fromisoformat(f"{value[:17]}59{zone.upper()}").astimezone(UTC) + timedelta(seconds=1)
        made = datetime.fromisoformat(value if zone == "Z" else value.upper())
        return made if made.tzinfo is UTC else made.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Bad("time is not a time: there is no such moment") from None


def _kind(value: Any) -> str:
    """Name the JSON type of a value, never the value."""
    return _KINDS.get(type(value), "something else")


def _number_from_text(cell: str) -> int | str:
    return int(cell) if re.fullmatch(r"-?[0-9]{1,30}", cell) else cell


def _truth_from_text(cell: str) -> bool | str:
    return {"true": True, "false": False, "1": True, "0": False}.get(cell.lower(), cell)


def _list_from_text(cell: str) -> list[str]:
    return cell.split(";")


_KINDS: Final = {str: "text", int: "a number", float: "a number", bool: "a truth value", list: "a list", dict: "an object"}
_WORDS: Final = {
    "action": ACTIONS,
    "actor_kind": ACTOR_KINDS,
    "outcome": OUTCOMES,
    "subject_scope": SCOPES,
    "selector": SELECTORS,
}
_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    **dict.fromkeys(("time", "id", "actor", "on_behalf_of", "system", "query", "purpose", "reason", "session", "device"), _text),
    **dict.fromkeys(("derived", "derived_from", "seq_of"), _text),
    **dict.fromkeys(("action", "actor_kind", "outcome", "subject_scope"), _word),
    **dict.fromkeys(("fields", "subjects"), _texts),
    **dict.fromkeys(("rows", "seq"), _number),
    **dict.fromkeys(("deliberate", "break_glass"), _truth),
    "resource": _text_or_texts,
    "selector": _words,
    "client_country": _country,
}
_FROM_TEXT: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("fields", "subjects", "selector"), _list_from_text),
    **dict.fromkeys(("rows", "seq"), _number_from_text),
    **dict.fromkeys(("deliberate", "break_glass"), _truth_from_text),
}


def _looks_like_ours(line: bytes) -> bool:
    row = _object(line)
    if row is None:  # perhaps longer than what is looked at: the names in quotes are proof enough
        return line.lstrip().startswith(b"{") and all(b'"%b"' % name.encode() in line for name in REQUIRED)
    return _enough(set(row))


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        row = _DECODE(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return row if type(row) is dict else None


def _enough(names: set[str]) -> bool:
    return len(names & set(REQUIRED)) >= len(REQUIRED) - 1


def _is_csv(head: bytes) -> bool:
    """Tell CSV from NDJSON, whose first line may be damaged: it names columns, and no line nearby is a JSON object."""
    first = first_line(head)
    if first.lstrip()[:1] in (b"{", b"[") or not (b"," in first or sum(name.encode() in first for name in REQUIRED) > 1):
        return False
    return not any(_object(line) is not None for line in _first_lines(head))


def _first_lines(head: bytes) -> list[bytes]:
    return [line for line in head.split(b"\n", _LOOKED_AT)[:_LOOKED_AT] if line.strip()]


SOURCE: Final = AccessSource()
