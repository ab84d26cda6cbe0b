"""What was taken under grants, as the record says it: the count that quotas are held against. Made from leaves alone.

Nothing is ever given back: a release whose outcome is missing ("release unknown") counts like any other. A table elsewhere may be
quicker, but whoever edits or restores it refills nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json

if TYPE_CHECKING:
    from custodes.guard.book import Leaf

DECISION: Final = "decision"
OUTCOME: Final = "outcome"
ANSWERS: Final = 32
"""Yes/no answers per actor, subject and field: as many are an address."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A recorded decision to release. `index`: of its leaf; `request`: digest of what was asked."""

    index: int
    number: str
    request: str
    grant: int
    subject: str
    lease: str | None


@dataclass(slots=True)
class Used:
    """What was taken under one grant."""

    releases: int = 0
    subjects: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Taken:
    """All releases so far. `unknown`: intents without an outcome yet, by decision id."""

    used: dict[int, Used] = field(default_factory=dict)
    again: dict[str, Intent] = field(default_factory=dict)
    answers: dict[tuple[str, str, str], int] = field(default_factory=dict)
    unknown: dict[str, Intent] = field(default_factory=dict)
    leases: dict[int, Intent] = field(default_factory=dict)

    def of(self, grant: int) -> Used:
        """Return what was taken under a grant."""
        return self.used.get(grant) or Used()

    def take(self, leaf: Leaf) -> None:
        """Read the next of the home's own leaves."""
        if leaf.kind == Kind.DECISION and leaf.what.get("what") == DECISION and leaf.what.get("act") == "released":
            self.add(leaf.number, leaf.what)
        elif leaf.kind == Kind.DECISION and leaf.what.get("what") == OUTCOME:
            self.unknown.pop(str(leaf.what.get("id")), None)

    def add(self, index: int, what: Mapping[str, Json]) -> Intent:
        """Count one release that is, or is about to be, in the ledger at `index`."""
        grant, subject = what.get("grant"), str(what.get("subject"))
        lease = what.get("lease")
        intent = Intent(
            index,
            str(what.get("id")),
            str(what.get("request")),
            grant if isinstance(grant, int) else -1,
            subject,
            None if lease is None else str(lease),
        )
        for number in (intent.grant, what.get("parent")):  # what a narrower grant takes is taken from its parent, too
            if isinstance(number, int):
                used = self.used.setdefault(number, Used())
                used.releases += 1
                used.subjects.add(subject)
        if what.get("again") is not None:
            self.again[str(what["again"])] = intent
        fields = what.get("fields")
        if what.get("mode") == "compare" and isinstance(fields, list):
            for name in fields:
                key = (str(what.get("who")), subject, str(name))
                self.answers[key] = self.answers.get(key, 0) + 1
        self.unknown[intent.number] = intent
        if intent.lease is not None:
            self.leases[index] = intent
        return intent
