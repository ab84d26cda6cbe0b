"""Grants, `custodes.grant/1`: what somebody may have released, about whom, how often, until when. Pure: made from the book alone.

A grant is a request of the act `grant` whose sets of approvals are all filled, each by another person. It is called by the ledger
index of that request ("g-57"): there is no other list of grants, so a row forged elsewhere grants nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from custodes.guard.approval import METHOD, Refusal, Statement, written
from custodes.guard.approval import Request as Signed
from custodes.guard.words import BREAK_GLASS, MODES, REASON_CODES, Request
from custodes.model.canonical import Json

SCHEMA: Final = "custodes.grant/1"
PERSON, OUTSIDE = "one-person", "outside"
"""Sets of approvals; each is filled by one person who fills no other. `outside`: of the units that policy lists for that."""
PENDING: Final = timedelta(hours=24)
"""A request that is not answered by then has died."""
LONGEST: Final = timedelta(hours=8)
BREAK_GLASS_LONGEST: Final = timedelta(minutes=30)
BREAK_GLASS_SUBJECTS: Final = 20
REVIEW: Final = timedelta(hours=72)
"""Broken glass is reviewed within this, else its actor breaks no other."""
RECIPROCITY: Final = timedelta(days=30)
_SUBJECT: Final = re.compile(r"s-[a-z2-7]{16}")
_FIELD: Final = re.compile(r"[^.\s]+\.[^.\s]+\.[^.\s]+")
_MOST: Final = {"rows": 10_000, "distinct_subjects": 1_000, "reveals": 10_000}


class Approval(Protocol):
    """One recorded answer."""

    @property
    def at(self) -> datetime:
        """When it was recorded."""

    @property
    def statement(self) -> Statement:
        """What was signed."""


class Asked(Protocol):
    """A request that counts, as the book has it (`custodes.guard.book.Asked`)."""

    number: int
    at: datetime
    request: Signed
    denied: datetime | None
    in_force: datetime | None
    lifted: datetime | None
    terms: Terms | None

    @property
    def approvals(self) -> Sequence[Approval]:
        """Approvals, of each account the latest."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for. `fields`: "schema.table.column"; `lasts_s`: seconds from the last approval on.

    `reveals`: releases in all; `rows`: of each; `distinct_subjects`: at most. `parent`: a grant that this one only narrows.
    """

    actor: str
    purpose: str
    reason_code: str
    reason: str
    system: str
    fields: tuple[str, ...]
    subjects: tuple[str, ...]
    mode: str = "value"
    rows: int = 1
    reveals: int = 1
    distinct_subjects: int = 1
    lasts_s: int = 3600
    region: str | None = None
    range: tuple[str, str] | None = None
    break_glass: bool = False
    parent: int | None = None
    sets: tuple[str, ...] = (PERSON,)

    def content(self) -> dict[str, Json]:
        """Return what approvers are shown and sign."""
        return {
            "schema": SCHEMA,
            "actor": self.actor,
            "purpose": self.purpose,
            "reason_code": self.reason_code,
            "reason": self.reason,
            "scope": {
                "system": self.system,
                "fields": list(self.fields),
                "subjects": list(self.subjects),
                "range": None if self.range is None else list(self.range),
                "region": self.region,
            },
            "mode": self.mode,
            "limits": {"rows": self.rows, "distinct_subjects": self.distinct_subjects, "reveals": self.reveals},
            "lasts_s": self.lasts_s,
            "break_glass": self.break_glass,
            "parent": self.parent,
            "sets": list(self.sets),
        }


def terms_of(content: Mapping[str, Json]) -> Terms | None:
    """Read what a request asks for; None unless it has exactly the fields of its schema, each of its type."""
    scope, limits, sets = content.get("scope"), content.get("limits"), content.get("sets")
    if not isinstance(scope, Mapping) or not isinstance(limits, Mapping) or not isinstance(sets, list):
        return None
    try:
        between = scope["range"]
        found = Terms(
            **{name: _text(content[name]) for name in ("actor", "purpose", "reason_code", "reason", "mode")},
            system=_text(scope["system"]),
            fields=_texts(scope["fields"]),
            subjects=_texts(scope["subjects"]),
            rows=_whole(limits["rows"]),
            reveals=_whole(limits["reveals"]),
            distinct_subjects=_whole(limits["distinct_subjects"]),
            lasts_s=_whole(content["lasts_s"]),
            region=None if scope["region"] is None else _text(scope["region"]),
            range=None if between is None else _pair(between),
            break_glass=content["break_glass"] is True,
            parent=None if content["parent"] is None else _whole(content["parent"]),
            sets=_texts(sets),
        )
    except (KeyError, TypeError):
        return None
    return found if found.content() == dict(content) else None


def refuses_terms(terms: Terms | None, by: str, method: str) -> Refusal | None:
    """Say why nobody could be granted this, or None. `method`: how the request was signed. Policy is not asked here."""
    if terms is None:
        return Refusal("form", "the request is no custodes.grant/1: a grant names who, what, about whom, how often, how long")
    if terms.actor != by:
        return Refusal("requester", "who is to be granted something asks for it")
    if terms.mode not in MODES or terms.reason_code not in REASON_CODES or not terms.reason:
        return Refusal("form", "mode and reason code are words of their lists, and the reason cites an id")
    if not terms.fields or not all(_FIELD.fullmatch(name) for name in terms.fields):
        return Refusal("form", "fields are named schema.table.column")
    if not terms.subjects or not all(_SUBJECT.fullmatch(subject) for subject in terms.subjects):
        return Refusal("cohort", "a grant names its subjects; nobody is granted everybody")
    counts = {"rows": terms.rows, "reveals": terms.reveals, "distinct_subjects": terms.distinct_subjects}
    if any(not 1 <= count <= _MOST[name] for name, count in counts.items()) or len(set(terms.subjects)) > terms.distinct_subjects:
        return Refusal("form", "a limit is too high or too low for what is asked")
    if not 0 < terms.lasts_s <= LONGEST.total_seconds():
        return Refusal("form", f"a grant lasts at most {LONGEST.total_seconds() / 3600:g} hours")
    if len(set(terms.sets)) < len(terms.sets) or not set(terms.sets) <= {PERSON, OUTSIDE}:
        return Refusal("form", "a set of approvals is not known")
    return _refuses_glass(terms, method)


def _refuses_glass(terms: Terms, method: str) -> Refusal | None:
    if not terms.break_glass:
        if terms.reason_code in BREAK_GLASS:
            return Refusal("break-glass", f"{terms.reason_code} is a reason for break-glass alone")
        return None if terms.sets else Refusal("form", "nobody is granted anything without an approval")
    if terms.reason_code not in BREAK_GLASS:
        return Refusal("break-glass", f"glass is broken for {' or '.join(BREAK_GLASS)} only")
    if method == METHOD:
        return Refusal("break-glass", "glass is broken with a passkey, which shows that a person was there")
    if terms.lasts_s > BREAK_GLASS_LONGEST.total_seconds() or len(terms.subjects) > BREAK_GLASS_SUBJECTS:
        return Refusal("break-glass", "glass is broken for at most 30 minutes and 20 subjects")
    return Refusal("form", "broken glass has no approvals; it is reviewed") if terms.sets or terms.parent is not None else None


def narrows(terms: Terms, parent: Terms) -> bool:
    """Say whether every part of `terms` lies within `parent`: then no new approval is needed. Widening and renewal do need one."""
    same = ("actor", "purpose", "reason_code", "reason", "system", "mode", "region", "break_glass")
    inside = terms.range == parent.range or (
        terms.range is not None and (parent.range is None or parent.range[0] <= terms.range[0] <= terms.range[1] <= parent.range[1])
    )
    return (
        all(getattr(terms, name) == getattr(parent, name) for name in same)
        and set(terms.fields) <= set(parent.fields)
        and set(terms.subjects) <= set(parent.subjects)
        and all(getattr(terms, name) <= getattr(parent, name) for name in ("rows", "reveals", "distinct_subjects", "lasts_s"))
        and inside
    )


def open_sets(asked: Asked) -> tuple[str, ...]:
    """Return the sets of a request that nobody has filled yet."""
    terms = asked.terms
    filled = {answer.statement.slot for answer in asked.approvals}
    return () if terms is None else tuple(name for name in terms.sets if name not in filled)


def ends(asked: Asked, parent: Asked | None = None) -> datetime | None:
    """Return when a grant ends, exclusive; None while it is not in force. A narrowed one ends with its parent at the latest."""
    terms = asked.terms
    if terms is None or asked.in_force is None:
        return None
    end = asked.in_force + timedelta(seconds=terms.lasts_s)
    within = None if parent is None else ends(parent)
    return end if within is None else min(end, within)


def state(asked: Asked, now: datetime, *, taken: int = 0, parent: Asked | None = None) -> str:
    """Return pending · approved · denied · expired · revoked · used up. `taken`: releases recorded under it."""
    terms, end = asked.terms, ends(asked, parent)
    if asked.denied or (parent is not None and parent.denied):
        return "denied"
    if asked.lifted or (parent is not None and parent.lifted):
        return "revoked"
    if terms is None or end is None:
        return "pending" if now < asked.at + PENDING else "expired"
    if not (asked.in_force is not None and asked.in_force <= now < end):
        return "expired"
    return "used up" if taken >= terms.reveals else "approved"


def covers(terms: Terms, request: Request) -> Refusal | None:
    """Say why a grant is not for this request, or None: subject and field, mode, purpose and reason, rows."""
    if request.actor != terms.actor:
        return Refusal("not-yours", "the grant is somebody else's")
    parts = ("purpose", "reason_code", "reason", "system", "mode")
    if any(getattr(terms, name) != getattr(request, name) for name in parts):
        return Refusal("other-terms", "the grant was approved for another purpose, reason, system or mode")
    if request.subject not in terms.subjects or not set(request.fields) <= set(terms.fields):
        return Refusal("out-of-scope", "the grant covers neither more fields nor other subjects than it names")
    return Refusal("out-of-scope", "the grant covers fewer rows") if request.max_rows > terms.rows else None


def number_of(grant: str | None) -> int | None:
    """Return the ledger index in "g-57"; None for anything else."""
    found = re.fullmatch(r"g-(0|[1-9]\d{0,15})", grant or "")
    return int(found[1]) if found else None


def name_of(number: int) -> str:
    """Return how people and requests call the grant asked for in leaf `number`."""
    return f"g-{number}"


def document(asked: Asked, now: datetime, *, taken: int = 0, parent: Asked | None = None) -> dict[str, Json]:
    """Return a grant as it is shown and listed: its terms, its state, who approved."""
    end = ends(asked, parent)
    return {
        **dict(asked.request.content),
        "grant": name_of(asked.number),
        "request": asked.request.digest(),
        "state": state(asked, now, taken=taken, parent=parent),
        "asked": written(asked.at),
        "valid_from": None if asked.in_force is None else written(asked.in_force),
        "valid_to": None if end is None else written(end.astimezone(UTC)),
        "requested_by": asked.request.by,
        "approvals": [{"approver": a.statement.approver, "set": a.statement.slot, "at": written(a.at)} for a in asked.approvals],
        "open_sets": list(open_sets(asked)),
        "taken": taken,
    }


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(item) for item in value)


def _pair(value: Json) -> tuple[str, str]:
    first, second = _texts(value) if isinstance(value, Sequence) and len(value) == 2 else ("", "")
    if not first or not second:
        raise TypeError
    return first, second


def _whole(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value
