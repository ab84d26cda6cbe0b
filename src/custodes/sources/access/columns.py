"""The columns of the contract `custodes.access/1`, with their types."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

REQUIRED: Final = ("time", "actor", "action", "system")


class BadRecord(Exception):
    """A record that cannot be read. Not an error of the tree: its text becomes the reason of a `Rejected`."""


_Action = Literal["read", "query", "list", "search", "export", "write", "delete", "approve", "grant", "login", "other"]
_Scope = Literal["none", "named", "key_predicate", "attribute_predicate", "join", "set", "aggregate", "unknown"]
_Selector = Literal["user_id", "handle", "email", "phone", "ip", "ip_range", "device", "location", "time_window", "other"]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Row(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """One record: what is plainly right is decoded by this in one go."""

    time: str
    actor: str
    action: _Action
    system: str
    id: str | None = None
    actor_kind: Literal["human", "service", "agent", "shared", "unknown"] | None = None
    on_behalf_of: str | None = None
    resource: str | tuple[str, ...] | None = None
    fields: tuple[str, ...] | None = None
    subjects: tuple[str, ...] | None = None
    subject_scope: _Scope | None = None
    selector: _Selector | tuple[_Selector, ...] | None = None
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
