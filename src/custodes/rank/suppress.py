"""Findings that two people agreed not to be shown for a while: taken out before anything is ranked, and said to be taken out.

A finding is held back only if a suppression in force covers all of it: its rule, each actor, each subject, and its level. One more
actor or subject, a louder level, a day too late: it is shown again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from custodes.guard.book import Book
from custodes.guard.suppressing import Scope, reference, scope_of
from custodes.model.finding import Finding
from custodes.model.run import Suppressed
from custodes.model.words import LEVELS
from custodes.rank.assemble import Place, within

Reference = Callable[[str], str | None]
"""Subject (pseudonym) → the word by which suppressions call it, or None if nobody can make it any more."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """A suppression in force. `number`: of its request; `by`, `second`: who asked and who approved; `until`: exclusive."""

    number: int
    scope: Scope
    by: str
    second: str
    until: datetime


def in_force(book: Book, now: datetime) -> tuple[Suppression, ...]:
    """Return the suppressions that count at a time, by number. One that has expired is not among them."""
    found = []
    for asked in book.suppressions():
        scope = scope_of(asked.request.content)
        if scope is None or asked.in_force is None:
            continue
        until = asked.in_force + timedelta(days=scope.days)
        if asked.in_force <= now < until:
            second = asked.approvals[0].statement.approver
            found.append(Suppression(asked.number, scope, asked.request.by, second, until))
    return tuple(found)


def referring(tag_key: Callable[[str], bytes | None]) -> Reference:
    """Return how suppressions call subjects whose keys `tag_key` opens."""

    def refer(subject: str) -> str | None:
        key = tag_key(subject)
        return None if key is None else reference(key)

    return refer


def divide(
    findings: Sequence[Finding], suppressions: Iterable[Suppression], refer: Reference, places: Mapping[str, Place]
) -> tuple[list[Finding], tuple[Suppressed, ...]]:
    """Return the findings to show, in the order given, and each suppression with how many findings it holds back (also none)."""
    kept, told = list(findings), []
    for one in suppressions:
        shown = [finding for finding in kept if not _covers(one.scope, finding, refer, places)]
        told.append(
            Suppressed(
                number=one.number,
                rule=one.scope.rule,
                unit=one.scope.unit,
                actors=one.scope.actors,
                subjects=len(one.scope.subjects),
                reason=one.scope.reason,
                by=one.by,
                approved_by=one.second,
                until=one.until,
                findings=len(kept) - len(shown),
            )
        )
        kept = shown
    return kept, tuple(told)


def _covers(scope: Scope, finding: Finding, refer: Reference, places: Mapping[str, Place]) -> bool:
    if finding.rule != scope.rule or LEVELS.index(finding.level) > LEVELS.index(scope.level):
        return False
    if scope.unit is None:
        inside = set(finding.actors) <= set(scope.actors)
    else:
        inside = all(actor in places and within(places[actor].unit, scope.unit) for actor in finding.actors)
    people = {*finding.subjects, *finding.linked_subjects}
    # References are made last and only for what is left: each opens a subject's key.
    return inside and bool(finding.actors) and bool(people) and {refer(who) for who in people} <= set(scope.subjects)
