"""Words of the guard: what is asked, what is known about it, what is decided. Pure values; company ids never stand in them.

The wire form is that of OpenID AuthZEN 1.0, in which *subject* means who asks and *resource* whose data it is; only this file and
the door translate. What a caller says about itself, about time, region or protection is not read here at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from custodes.errors import InputError
from custodes.model.canonical import Json

MODES: Final = ("value", "lease", "compare", "aggregate")
REASON_CODES: Final = (
    "SUBJECT_REPORT",
    "SUPPORT_CASE",
    "LEGAL_PROCESS",
    "INCIDENT",
    "FRAUD_CASE",
    "OVERSIGHT",
    "LIFE_SAFETY",
    "ACTIVE_INCIDENT",
)
"""Why, from a list. The last two are for break-glass alone."""
BREAK_GLASS: Final = ("LIFE_SAFETY", "ACTIVE_INCIDENT")
NEEDS_APPROVAL, NOT_PERMITTED, UNAVAILABLE = "needs_approval", "not_permitted", "unavailable"
"""Classes of refusals: all that a caller is told."""
OBLIGATIONS: Final = ("outside_approver", "two_person", "reason")


@dataclass(frozen=True, slots=True)
class Request:
    """One request for data about one subject. `fields`: "schema.table.column" names; `max_rows`: at least 1.

    `predicate`, `operand`: the question of mode `compare`; the operand may be an address and stands in no record.
    """

    actor: str
    mode: str
    system: str
    fields: tuple[str, ...]
    subject: str
    purpose: str
    reason_code: str
    reason: str
    grant: str | None = None
    max_rows: int = 1
    idempotency: str | None = None
    predicate: str | None = None
    operand: str | None = None

    def document(self) -> dict[str, Json]:
        """Return the canonical form: what is recorded, digested and shown to approvers."""
        return {
            "schema": "custodes.ask/1",
            "actor": self.actor,
            "mode": self.mode,
            "system": self.system,
            "fields": list(self.fields),
            "subject": self.subject,
            "purpose": self.purpose,
            "reason_code": self.reason_code,
            "reason": self.reason,
            "grant": self.grant,
            "max_rows": self.max_rows,
            "predicate": self.predicate,
        }


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as the door verified it. `actor`: pseudonym of the account; `login`: their own login at guarded databases.

    `session_country`: ISO 3166, from `country_source` (idp, mtls, os, none); None is unknown. `human`: False for service accounts.
    `method`: how they signed in (webauthn, oidc, mtls, os); `user_verified`: whether a person's presence was shown.
    """

    actor: str
    login: str | None = None
    session_country: str | None = None
    country_source: str = "none"
    human: bool = True
    method: str = "os"
    user_verified: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about a request, each from where it is kept: staff, data map, registry, database, grants. None is *unknown*.

    `categories`: of the fields. `duties`: what the registry obliges to, decoys alike; None if the registry is down, which means
    everything. `region`: of the subject's data. `no_duty`: the actor's unit has no duty towards subjects. `approver_countries`:
    places of work of those whose approvals stand.
    """

    unit: str | None = None
    place_of_work: str | None = None
    entity: str | None = None
    session_country: str | None = None
    employed: bool = False
    human: bool = False
    no_duty: bool = False
    region: str | None = None
    categories: tuple[str | None, ...] = ()
    duties: tuple[str, ...] | None = None
    approvals: int = 0
    outside_approvals: int = 0
    approver_countries: tuple[str, ...] = ()
    reason_stands: bool = False
    granted: bool = False
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """`reasons` are for the record alone; a caller sees `reason_class` and `requestable`. `obligations` bind whoever releases."""

    allowed: bool
    policy_hash: str
    epoch: int
    reason_class: str | None = None
    reasons: tuple[str, ...] = ()
    obligations: tuple[Mapping[str, Json], ...] = ()
    requestable: tuple[str, ...] = ()
    expires_at: datetime | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)

    def told(self, number: str) -> dict[str, Json]:
        """Return the answer to the caller, AuthZEN's form."""
        context: dict[str, Json] = {
            "id": number,
            "policy_hash": self.policy_hash,
            "policy_epoch": self.epoch,
            "reason_class": self.reason_class,
            "obligations": [dict(item) for item in self.obligations] if self.allowed else [],
            "requestable": list(self.requestable) or None,
        }
        if self.expires_at is not None:
            context["expires_at"] = self.expires_at.isoformat().replace("+00:00", "Z")
        return {"decision": self.allowed, "context": context}


@dataclass(frozen=True, slots=True)
class Released:
    """What became of one request. `number`: the decision's id ("d-…"); `index`: ledger index of its leaf, durable.

    `access`: index of the access leaf with the subject's tag. `values`: rows of field → value, for modes other than lease.
    `lease`: id of the lease ("l-…"), and `until` when it ends. `again`: the same idempotency key was given before: same release.
    """

    decision: Decision
    number: str
    index: int
    access: int | None = None
    values: tuple[Mapping[str, Json], ...] | None = None
    lease: str | None = None
    until: datetime | None = None
    again: bool = False


def request_of(document: object, actor: str) -> Request:
    """Read an AuthZEN evaluation request of an authenticated `actor`. Raises `InputError` naming the field; others are not read."""
    action, resource, context = (_part(document, name) for name in ("action", "resource", "context"))
    properties, data = _part(action, "properties"), _part(resource, "properties")
    if action.get("name") != "reveal" or resource.get("type") != "subject":
        raise InputError("expected the action `reveal` on a resource of type `subject`")
    fields = properties.get("fields")
    if not isinstance(fields, list) or not fields or not all(isinstance(item, str) for item in fields):
        raise InputError("action.properties.fields: expected a list of field names")
    mode, rows = _word(properties, "mode"), properties.get("max_rows", 1)
    if mode not in MODES:
        raise InputError(f"action.properties.mode: expected one of {', '.join(MODES)}")
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise InputError("action.properties.max_rows: expected a whole number, at least 1")
    code = _word(context, "reason_code")
    if code not in REASON_CODES:
        raise InputError(f"context.reason_code: expected one of {', '.join(REASON_CODES)}")
    return Request(
        actor=actor,
        mode=mode,
        system=_word(data, "system"),
        fields=tuple(dict.fromkeys(fields)),
        subject=_word(resource, "id"),
        purpose=_word(context, "purpose"),
        reason_code=code,
        reason=_word(context, "reason"),
        grant=_optional(context, "grant"),
        max_rows=rows,
        idempotency=_optional(context, "idempotency"),
        predicate=_optional(properties, "predicate"),
        operand=_optional(properties, "operand"),
    )


def _part(document: object, name: str) -> Mapping[str, object]:
    found = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(found, Mapping):
        raise InputError(f"{name}: expected an object")
    return found


def _word(part: Mapping[str, object], name: str) -> str:
    found = part.get(name)
    if not isinstance(found, str) or not found:
        raise InputError(f"{name}: expected a word")
    return found


def _optional(part: Mapping[str, object], name: str) -> str | None:
    return None if part.get(name) is None else _word(part, name)
