"""Making the draft of an access from the columns of a record. What the sender states is taken as stated, never mended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from custodes.model.draft import Draft, FieldUse, Raw, Resource, Selector, SubjectUse
from custodes.sources.access.columns import BadRecord, Row

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


def make_draft(raw: Raw, row: Row, extra: dict[str, str], latest: datetime) -> Draft:
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


def _people(draft: Draft, row: Row) -> None:
    """Set subjects, scope and bounds. What is stated stays as stated: a scope that names nobody is unbounded."""
    subjects = _each(row.subjects) if row.subjects else ()
    draft.subject_scope = scope = row.subject_scope or ("named" if subjects else "unknown")
    draft.subject_max = _most(scope, len(subjects))
    if subjects:
        draft.subjects = list(map(SubjectUse, subjects))
        draft.subject_basis, draft.subject_min = "source_named", len(subjects)
    if row.selector is not None:
        draft.selectors = [Selector(kind) for kind in ((row.selector,) if isinstance(row.selector, str) else row.selector)]


def _touched(draft: Draft, row: Row) -> None:
    """Set resources, fields, statement and counts. No list of fields is no statement about fields."""
    if row.resource:
        draft.resources = list(_resources(row.resource))
    if row.fields is None:
        draft.field_basis = "unknown"
    elif row.fields:
        place = 0 if len(draft.resources) == 1 else -1
        draft.fields = list(_fields(row.fields, place))
    if row.query:
        draft.query = row.query
    if row.rows is not None:
        draft.rows, draft.rows_basis = row.rows, "reported"
    if row.derived:
        draft.derived = row.derived
    if row.derived_from:
        draft.derived_from = row.derived_from


def _claims(draft: Draft, row: Row) -> None:
    """Set what the sender claims about the why."""
    if row.purpose:
        draft.purpose, draft.purpose_basis = row.purpose, "source_justification"
    if row.reason:
        draft.reason = row.reason
    if row.deliberate is not None:
        draft.deliberate = row.deliberate
    if row.break_glass is not None:
        draft.break_glass = row.break_glass


def _each(values: Sequence[str]) -> Sequence[str]:
    """Return each value once, in the order given, without empty ones."""
    if len(values) == 1:
        return values if values[0] else ()
    return [value for value in dict.fromkeys(values) if value]


def _most(scope: str, named: int) -> int | None:
    """Return the upper bound of persons: those named, if the scope says that these were all; else none is known."""
    if scope in ("named", "key_predicate"):
        return named or None
    return 0 if scope in ("none", "aggregate") and not named else None


@lru_cache(1024)
def _resources(stated: str | tuple[str, ...]) -> tuple[Resource, ...]:
    return tuple(Resource(name) for name in _each(stated.split(";") if isinstance(stated, str) else stated))


@lru_cache(1024)
def _fields(names: tuple[str, ...], place: int) -> tuple[FieldUse, ...]:
    return tuple(FieldUse(name, "projected", place) for name in _each(names))


def _time(value: str) -> datetime:
    """Return an aware UTC time from RFC 3339 text; a leap second becomes the first instant after it."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise BadRecord("time is not a time: expected RFC 3339, such as 2026-03-02T10:00:00Z")
    zone = match[2]
    if zone is None:
        raise BadRecord("time without zone: expected RFC 3339 with Z or an offset, such as 2026-03-02T10:00:00Z")
    try:
        if value[17:19] == "60":
            return datetime.fromisoformat(f"{value[:17]}59{zone.upper()}").astimezone(UTC) + timedelta(seconds=1)
        made = datetime.fromisoformat(value if zone == "Z" else value.upper())
        return made if made.tzinfo is UTC else made.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRecord("time is not a time: there is no such moment") from None
