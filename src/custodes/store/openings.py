"""The five groups of an access that its leaf commits to, as canonical bytes of the company's own values (sealed in the vault).

Every column of `custodes.access/1` stands in exactly one group, so that each can be shown alone. Absent values are left out; a
group without any is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import msgspec

from custodes.model.canonical import Json, canonical
from custodes.model.draft import Draft

COLUMNS: Final = {
    "who": ("actor", "actor_kind", "on_behalf_of"),
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
    "where": ("client_country", "session", "device"),
    "raw": ("id", "seq", "seq_of", "query", "extra"),
}
"""Column of the input contract → group, in the leaf's order of groups. Group *raw* also holds the SHA-256 of each raw record."""

_encode: Final = msgspec.json.Encoder().encode


def who(draft: Draft) -> bytes:
    """Return group *who*."""
    value: dict[str, Json] = {"actor": draft.actor, "actor_kind": draft.actor_kind}
    if draft.on_behalf_of is not None:
        value["on_behalf_of"] = draft.on_behalf_of
    return _bytes(value)


def what(draft: Draft, resources: Sequence[str], fields: Sequence[str], subject: str | None) -> bytes:
    """Return group *what* for one subject (or none); keys are put in sorted, as canonical bytes want them."""
    value: dict[str, Json] = {"action": draft.action}
    if draft.deliberate is not None:
        value["deliberate"] = draft.deliberate
    if draft.derived is not None:
        value["derived"] = draft.derived
    if draft.derived_from is not None:
        value["derived_from"] = draft.derived_from
    if fields:
        value["fields"] = fields
    if draft.outcome is not None:
        value["outcome"] = draft.outcome
    if resources:
        value["resource"] = resources
    if draft.rows is not None:
        value["rows"] = draft.rows
    if draft.selectors:
        value["selector"] = [item.kind for item in draft.selectors]
    value["subject_scope"] = draft.subject_scope
    if subject is not None:
        value["subjects"] = [subject]
    value["system"] = draft.system
    value["time"] = rfc3339(draft.time)
    return _bytes(value)


def touch(access: bytes, what_of_subject: bytes, relation: str, certainty: str) -> bytes:
    """Return group *what* of a touch leaf: that of the access for this subject, naming the access's leaf by its hash."""
    return b'{"access":"%b","certainty":"%b","relation":"%b","what":%b}' % (
        access.hex().encode("ascii"),
        certainty.encode("ascii"),
        relation.encode("ascii"),
        what_of_subject,
    )


def why(draft: Draft) -> bytes | None:
    """Return group *why*, or None."""
    if draft.purpose is None and draft.reason is None and draft.break_glass is None:
        return None
    value: dict[str, Json] = {}
    if draft.break_glass is not None:
        value["break_glass"] = draft.break_glass
    if draft.purpose is not None:
        value["purpose"] = draft.purpose
    if draft.reason is not None:
        value["reason"] = draft.reason
    return _bytes(value)


def where(draft: Draft) -> bytes | None:
    """Return group *where*, or None."""
    value: dict[str, Json] = {}
    if draft.client_country is not None:
        value["client_country"] = draft.client_country
    if draft.device is not None:
        value["device"] = draft.device
    if draft.session is not None:
        value["session"] = draft.session
    return _bytes(value) if value else None


def raw(draft: Draft) -> bytes:
    """Return group *raw*: the source's own id and place, the statement, unknown columns, and a digest of each raw record."""
    value: dict[str, Json] = {}
    if draft.extra:
        value["extra"] = _extra(draft.extra)
    if draft.id is not None:
        value["id"] = draft.id
    if draft.query is not None:
        value["query"] = draft.query
    if draft.seq is not None:
        value["seq"] = draft.seq
    if draft.seq_of is not None:
        value["seq_of"] = draft.seq_of
    value["sha256"] = [sha256(record.data).hexdigest() for record in draft.raws]
    return _bytes(value)


def rfc3339(time: datetime) -> str:
    """Return an aware time in UTC as text ending in Z."""
    text = time.isoformat()
    if not text.endswith("+00:00"):
        text = time.astimezone(UTC).isoformat()
    return text[:-6] + "Z"


def _extra(extra: Mapping[str, str]) -> Json:
    """Return unknown columns as a map, or as pairs where a name is outside what canonical keys allow."""
    if all(name.isascii() for name in extra):
        return dict(sorted(extra.items()))
    return [list(pair) for pair in sorted(extra.items())]


def _bytes(value: Mapping[str, Json]) -> bytes:
    try:
        return _encode(value)  # equal to `canonical` for sorted keys (a test); four times as fast
    except (UnicodeEncodeError, msgspec.MsgspecError):
        return canonical(value)  # lone surrogates of damaged logs
