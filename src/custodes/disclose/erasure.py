"""Whether one subject may be erased. Pure: everything is handed in, also the clock.

To erase is the next move of whoever wants a look forgotten. So the answer is a refusal unless every condition holds, and what was
asked for and approved must be what is there now: a new access means a new request. How it is recorded and done: `erasing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from custodes.guard.approval import Refusal, written
from custodes.guard.book import COOLING, Answer, Asked
from custodes.guard.distance import Staff
from custodes.guard.enrolment import Keys
from custodes.model.canonical import Json

BASES: Final = {
    "GDPR-17-1-a": "no longer necessary for the purpose",
    "GDPR-17-1-b": "consent withdrawn, and no other ground",
    "GDPR-17-1-c": "the subject objects, and nothing overrides it",
    "GDPR-17-1-d": "processed unlawfully",
    "GDPR-17-1-e": "a legal obligation to erase",
    "GDPR-17-1-f": "collected from a child for an online service",
}
"""Legal bases: Article 17(1) of the GDPR, letters a to f."""
FLOOR: Final = timedelta(days=183)
"""No access younger than this is erased; settings may lengthen it."""


class Affected(Protocol):
    """What an erasure would blind (`custodes.store.erasure`)."""

    @property
    def accesses(self) -> int:
        """Accesses about the subject."""

    @property
    def touches(self) -> int:
        """Of these, looks at several people at once."""

    @property
    def leaves(self) -> Sequence[tuple[int, int]]:
        """Their leaves, as ranges (first, last)."""

    @property
    def actors(self) -> Sequence[str]:
        """Pseudonyms of who looked."""

    @property
    def first(self) -> date | None:
        """Day of the oldest access."""

    @property
    def last(self) -> date | None:
        """Day of the youngest access."""

    @property
    def findings(self) -> int:
        """Findings on the desk that name the subject."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long accesses are kept at least, and how long a request waits."""

    floor: timedelta = FLOOR
    cooling: timedelta = COOLING

    def stricter(self, other: Limits) -> Limits:
        """Return the longer of each."""
        return Limits(max(self.floor, other.floor), max(self.cooling, other.cooling))


@dataclass(frozen=True, slots=True)
class Present:
    """How things stand when an erasure is to be carried out.

    `youngest`: time of the youngest access, or of its recording if that is later. `held`: a legal hold on the subject or on
    everybody. `open_cases`: that name the subject or one of the actors. `limits`: the longest since the request.
    """

    affected: Affected
    youngest: datetime
    held: bool
    open_cases: int
    limits: Limits


def shown(affected: Affected, ref: str, basis: str) -> dict[str, Json]:
    """Return what a request says and approvers sign: everything that it blinds. `ref`: reference to the subject."""
    return {
        "ref": ref,
        "basis": basis,
        "accesses": affected.accesses,
        "touches": affected.touches,
        "ranges": [list(pair) for pair in affected.leaves],
        "actors": sorted(affected.actors),
        "first": affected.first.isoformat() if affected.first else None,
        "last": affected.last.isoformat() if affected.last else None,
        "findings": affected.findings,
    }


def decide(asked: Asked, keys: Keys, staff: Staff, here: Present, now: datetime) -> Refusal | None:
    """Say why an erasure may not be carried out at `now`, or None. The first condition that fails is named."""
    content, actors = asked.request.content, sorted(here.affected.actors)
    # 1. The law allows it, by one of its own words.
    if content.get("basis") not in BASES:
        return Refusal("no-basis", "the request names no legal basis that is known")
    # 2. Nobody denied it.
    if asked.denied:
        return Refusal("denied", "the request was denied, and one denial ends it")
    # 3. What was asked for and approved is what is there now.
    current = shown(here.affected, str(content.get("ref")), str(content["basis"]))
    asked_findings = content.get("findings")
    fewer = isinstance(asked_findings, int) and here.affected.findings <= asked_findings
    if not fewer or {**current, "findings": asked_findings} != dict(content):
        return Refusal("changed", "it would blind something else than was asked for: hand in a new request")
    # 4. Two people approve who may, none of them who asks; 5. one of them from outside.
    approvers, wrong = standing(asked, keys, staff, now)
    if wrong:
        return wrong
    near = [staff.near(approver, actors) for approver in approvers]
    if all(near):
        return next(found for found in near if found)
    # 6. No hold, 7. no open case.
    if here.held:
        return Refusal("on-hold", "a legal hold is in force")
    if here.open_cases:
        return Refusal("open-case", f"{here.open_cases} open case(s) name the subject or one of those who looked")
    # 8. Everything is older than the floor, 9. and the cooling-off period is over.
    if now < here.youngest + here.limits.floor:
        return Refusal("below-floor", f"the youngest access may be erased from {written(here.youngest + here.limits.floor)} on")
    if now < asked.at + here.limits.cooling:
        return Refusal("too-early", f"the cooling-off period ends at {written(asked.at + here.limits.cooling)}")
    return None


def standing(asked: Asked, keys: Keys, staff: Staff, now: datetime) -> tuple[list[str], Refusal | None]:
    """Return the accounts whose approvals count at `now`, one for each person, and why they are not enough, or None."""
    persons, good, wrong = {staff.person(asked.request.by)}, [], None
    for answer in asked.approvals:
        approver = answer.statement.approver
        lost = _lost(asked, answer, keys, staff, now)
        if lost is None and staff.person(approver) in persons:
            lost = Refusal("same-person", f"{approver} is a person who asked or approved already")
        if lost is None:
            persons.add(staff.person(approver))
            good.append(approver)
        wrong = wrong or lost
    return good, None if len(good) >= 2 else wrong or Refusal("alone", f"{len(good)} of two approvals are there")


def _lost(asked: Asked, answer: Answer, keys: Keys, staff: Staff, now: datetime) -> Refusal | None:
    """Say why an approval that counted when it was given counts no more, or None."""
    approver = answer.statement.approver
    if answer.statement.expires <= now:
        return Refusal("expired", f"the approval of {approver} expired at {written(answer.statement.expires)}")
    if not keys.still(approver, answer.at, now):
        return Refusal("revoked", f"the key with which {approver} approved is not in force any more")
    return staff.may_approve(approver, asked.at, now)
