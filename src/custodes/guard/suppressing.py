"""Suppressions: what a second person agreed need not be shown for a while. Pure: made from the book alone.

A suppression covers one rule, named actors or one unit, and named subjects, up to one level, for at most 90 days. A finding that
goes beyond it in any of these is shown. Subjects stand in it as references made with their own keys: erasing a subject leaves
words that nobody can match to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import Final

from custodes.guard.approval import Refusal
from custodes.model.canonical import Json
from custodes.model.words import LEVELS

SCHEMA: Final = "custodes.suppression/1"
NEVER: Final = ("D09", "D19", "D22")
"""Rules about those who watch, about the record itself and about captured approvals: nobody can agree not to see these."""
LONGEST_DAYS: Final = 90
MOST_SUBJECTS: Final = 200
REASONS: Final[Mapping[str, str]] = {
    "context-missing": "a reason exists that no context table holds",
    "known-work": "work that was reviewed and found in order",
    "known-relation": "a relation that was declared and reviewed",
    "test-activity": "a test that was announced",
}
_RULE: Final = re.compile(r"[A-Z]\d{2,3}")
_ACTOR: Final = re.compile(r"a-[a-z2-7]{16}")
_REFERENCE: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = {"schema", "rule", "level", "actors", "unit", "subjects", "reason", "days"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What is covered. Either `actors` (pseudonyms) or `unit` (a path) is filled; `subjects` are references.

    `level`: the loudest finding that is covered; `days`: from the approval on; `reason`: a word of `REASONS`.
    """

    rule: str
    level: str
    actors: tuple[str, ...]
    unit: str | None
    subjects: tuple[str, ...]
    reason: str
    days: int

    def content(self) -> dict[str, Json]:
        """Return what both people are shown and sign."""
        return {
            "schema": SCHEMA,
            "rule": self.rule,
            "level": self.level,
            "actors": list(self.actors),
            "unit": self.unit,
            "subjects": list(self.subjects),
            "reason": self.reason,
            "days": self.days,
        }


def reference(key: bytes) -> str:
    """Return the word by which suppressions call a subject. `key`: of its tags; once that is destroyed nobody can make it."""
    return digest(key, SCHEMA.encode(), sha256).hex()


def scope_of(content: Mapping[str, Json]) -> Scope | None:
    """Read what was asked for; None unless it has exactly the fields of its schema, each of its type, lists sorted."""
    if content.keys() != _KEYS or content["schema"] != SCHEMA:
        return None
    actors, subjects = _words(content["actors"], _ACTOR), _words(content["subjects"], _REFERENCE)
    rule, level, unit, reason, days = (content[name] for name in ("rule", "level", "unit", "reason", "days"))
    if actors is None or subjects is None or not (unit is None or isinstance(unit, str)):
        return None
    if not (isinstance(rule, str) and _RULE.fullmatch(rule) and level in LEVELS and isinstance(reason, str)):
        return None
    if not isinstance(days, int) or isinstance(days, bool):
        return None
    return Scope(rule, str(level), actors, unit, subjects, reason, days)


def refuses_scope(content: Mapping[str, Json]) -> Refusal | None:
    """Say why nobody may ask for this, or None."""
    scope = scope_of(content)
    if scope is None:
        return Refusal("unknown", "the request names no rule, people and reason as a suppression does")
    if scope.rule in NEVER:
        return Refusal("never", f"findings of {scope.rule} are always shown")
    if bool(scope.actors) == bool(scope.unit):
        return Refusal("too-wide", "a suppression names actors, or one unit")
    if not 0 < len(scope.subjects) <= MOST_SUBJECTS:
        return Refusal("too-wide", f"a suppression names its subjects, at most {MOST_SUBJECTS}")
    if not 0 < scope.days <= LONGEST_DAYS:
        return Refusal("too-long", f"a suppression lasts at most {LONGEST_DAYS} days")
    return None if scope.reason in REASONS else Refusal("unknown", f"a reason is one of {', '.join(REASONS)}")


def _words(value: Json, form: re.Pattern[str]) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(word, str) and form.fullmatch(word) for word in value):
        return None
    words = tuple(str(word) for word in value)
    return words if words == tuple(sorted(set(words))) else None
