"""Refusals: one text and one time for each class, so that an answer tells nothing about registry, policy or grants.

A refusal leaves at the next whole step of `STEP_S` after the request came in, whatever was looked up for it. What is released is
not held back: who receives a value knows already that it was allowed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from custodes.guard.words import NEEDS_APPROVAL, NOT_PERMITTED, UNAVAILABLE
from custodes.model.canonical import Json

STEP_S: Final = 0.05
"""Above what a decision with its record takes on a busy machine; a slower one waits for the next step."""
TEXTS: Final = {
    NEEDS_APPROVAL: (403, "This needs an approval that is not there."),
    NOT_PERMITTED: (403, "This is not permitted."),
    UNAVAILABLE: (503, "Not available now. Nothing was released."),
    "not_identified": (401, "Nobody was identified."),
    "malformed": (400, "The request could not be read."),
    "too_large": (413, "The request is too large."),
    "too_slow": (408, "The request did not arrive in time."),
    "too_many": (429, "Too many requests. Try again later."),
    "unknown": (404, "There is nothing here."),
}
"""Class → status and text."""


def wait_s(elapsed: float) -> float:
    """Return how long a refusal still waits that took `elapsed` seconds so far."""
    return max(1, math.ceil(elapsed / STEP_S)) * STEP_S - elapsed


def refusal(kind: str, context: Mapping[str, Json] | None = None) -> tuple[int, dict[str, Json]]:
    """Return status and body of a refusal. `context`: AuthZEN's, for decisions."""
    status, text = TEXTS[kind]
    body: dict[str, Json] = {"decision": False, "reason_class": kind, "text": text}
    return status, body if context is None else {**body, "context": dict(context)}
