"""Declarations: ways to a protected field that two people know of and accept for a while. Pure: made from the book alone.

A declaration covers one way of one principal in one system, word by word, for at most 90 days from the second signature. A way that
changes by one step is another way, and open.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from custodes.guard.approval import Refusal
from custodes.model.canonical import Json, canonical

SCHEMA: Final = "custodes.declaration/1"
LONGEST_DAYS: Final = 90
_KEYS: Final = {"schema", "system", "principal", "via", "reason", "owner", "days"}


def way_id(principal: str, via: tuple[str, ...]) -> str:
    """Return the short name of a way, by which people call it."""
    return sha256(canonical([principal, *via])).hexdigest()[:10]


def content(  # noqa: PLR0917  # the fields of the document
    system: str, principal: str, via: tuple[str, ...], reason: str, owner: str, days: int
) -> dict[str, Json]:
    """Return what is asked for and signed. `owner`: who answers for the way (a unit, a function), no person's name."""
    return {
        "schema": SCHEMA,
        "system": system,
        "principal": principal,
        "via": list(via),
        "reason": reason,
        "owner": owner,
        "days": days,
    }


def refuses_declaration(given: Mapping[str, Json]) -> Refusal | None:
    """Say why nothing of the kind can be declared, or None."""
    texts = all(isinstance(given.get(name), str) and given.get(name) for name in ("system", "principal", "reason", "owner"))
    via, days = given.get("via"), given.get("days")
    steps = isinstance(via, list) and bool(via) and all(isinstance(step, str) for step in via)
    if set(given) != _KEYS or given.get("schema") != SCHEMA or not texts or not steps:
        return Refusal("form", f"the request is no {SCHEMA}: it names system, principal, steps, reason, owner and days")
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= LONGEST_DAYS:
        return Refusal("too-long", f"a way is declared for 1 to {LONGEST_DAYS} days")
    return None
