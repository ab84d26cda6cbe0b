"""The five groups of an access that its leaf commits to, as canonical bytes of the company's own values (sealed in the vault).

Every column of `custodes.access/1` stands in exactly one group, so that each can be shown alone. Absent values are left out; a
group without any is absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from custodes.model.canonical import canonical
from custodes.model.draft import Draft

COLUMNS: Final = {
    "who": ("actor", "actor_kind", "on_behalf_of", "session", "device"),
    "what": (
        "time",
        "action",
        "system",
        "resource",
        "fields",
        "subjects",
        "subject_scope",
        "selector",
        "rows",
        "deliberate",
        "derived",
        "derived_from",
        "outcome",
    ),
    "why": ("purpose", "reason", "break_glass"),
    "where": ("client_country",),
    "raw": ("id", "seq", "seq_of", "query", "extra"),
}
"""Column of the input contract → group, in the leaf's order of groups. Group *raw* also holds the SHA-256 of each raw record."""

_encode: Final = msgspec.json.Encoder().encode


class _Who(msgspec.Struct, omit_defaults=True):
    """Fields of these classes stand in the order of canonical keys; an absent value is left out (a test compares)."""

    actor: str
    actor_kind: str
    device: str | None = None
    on_behalf_of: str | None = None
    session: str | None = None


class _What(msgspec.Struct, omit_defaults=True):
    action: str
    deliberate: bool | None = None
    derived: str | None = None
    derived_from: str | None = None
    fields: Sequence[str] | None = None
    outcome: str | None = None
    resource: Sequence[str] | None = None
    rows: int | None = None
    selector: list[str] | None = None
    subject_scope: str | None = None
    subjects: tuple[str] | None = None
    system: str | None = None
    time: datetime | None = None


class _Why(msgspec.Struct, omit_defaults=True):
    break_glass: bool | None = None
    purpose: str | None = None
    reason: str | None = None


class _Where(msgspec.Struct, omit_defaults=True):
    client_country: str | None = None


class _Raw(msgspec.Struct, omit_defaults=True):
    extra: dict[str, str] | list[list[str]] | None = None
    id: str | None = None
    query: str | None = None
    seq: int | None = None
    seq_of: str | None = None
    sha256: list[str] | None = None


def who(draft: Draft) -> bytes:
    """Return group *who*. Session and device tell an actor's looks apart, so they are shown where the name is, and nowhere else."""
    return _bytes(_Who(draft.actor, draft.actor_kind, draft.device, draft.on_behalf_of, draft.session))


def what(draft: Draft, resources: Sequence[str], fields: Sequence[str], subject: str | None) -> bytes:
    """Return group *what* for one subject (or none)."""
    return _bytes(
        _What(
            draft.action,
            draft.deliberate,
            draft.derived,
            draft.derived_from,
            fields or None,
            draft.outcome,
            resources or None,
            draft.rows,
            [item.kind for item in draft.selectors] if draft.selectors else None,
            draft.subject_scope,
            None if subject is None else (subject,),
            draft.system,
            draft.time if draft.time.tzinfo is UTC else draft.time.astimezone(UTC),
        )
    )


def touch(access: bytes, what_of_subject: bytes, relation: str, certainty: str) -> bytes:
    """Return group *what* of a touch leaf: that of the access for this subject, naming the access's leaf by its hash."""
    return b'{"access":"%b","certainty":"%b","relation":"%b","what":%b}' % (
        access.hex().encode("ascii"),
        certainty.encode("ascii"),
        relation.encode("ascii"),
        what_of_subject,
    )


def bulk(access: bytes, count: int, root: bytes) -> bytes:
    """Return group *what* of a bulk leaf: how many subjects, and the RFC 6962 root over their sorted tags."""
    return b'{"access":"%b","count":%d,"root":"%b"}' % (access.hex().encode("ascii"), count, root.hex().encode("ascii"))


def why(draft: Draft) -> bytes | None:
    """Return group *why*, or None."""
    if draft.purpose is None and draft.reason is None and draft.break_glass is None:
        return None
    return _bytes(_Why(draft.break_glass, draft.purpose, draft.reason))


def where(draft: Draft) -> bytes | None:
    """Return group *where*, or None."""
    return None if draft.client_country is None else _bytes(_Where(draft.client_country))


def raw(draft: Draft, digests: Sequence[bytes]) -> bytes:
    """Return group *raw*: the source's own id and place, the statement, unknown columns, and the SHA-256 of each raw record."""
    words = [digest.hex() for digest in digests]
    return _bytes(_Raw(_extra(draft.extra) if draft.extra else None, draft.id, draft.query, draft.seq, draft.seq_of, words))


def _extra(extra: dict[str, str]) -> dict[str, str] | list[list[str]]:
    """Return unknown columns as a map, or as pairs where a name is outside what canonical keys allow."""
    if "".join(extra).isascii():
        return dict(sorted(extra.items())) if len(extra) > 1 else extra
    return [list(pair) for pair in sorted(extra.items())]


def _bytes(value: msgspec.Struct) -> bytes:
    try:
        return _encode(value)  # equal to `canonical` (a test); several times as fast
    except UnicodeEncodeError:  # lone surrogates of damaged logs
        given = {name: getattr(value, name) for name in value.__struct_fields__}
        if isinstance(value, _What) and value.time is not None:
            given["time"] = msgspec.json.decode(_encode(value.time))
        return canonical({name: item for name, item in given.items() if item is not None})
