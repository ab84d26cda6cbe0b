"""May a grant be used now, for this? Judged again at every use, against the people, keys and counts of the moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from custodes.guard.approval import Refusal
from custodes.guard.book import Asked, Book
from custodes.guard.grants import Terms, open_sets
from custodes.guard.taken import ANSWERS, Intent, Taken, Used
from custodes.model.canonical import Json

if TYPE_CHECKING:
    from custodes.guard.distance import Staff
    from custodes.guard.words import Identity, Request

PREDICATES: Final = ("same_network", "seen_from", "count_distinct")


class Counting:
    """What was taken, with what the commit at hand adds: dropped with it if it fails."""

    def __init__(self, taken: Taken) -> None:
        self._taken, self._plus = taken, Taken()

    def add(self, index: int, what: Mapping[str, Json]) -> None:
        """Count a release that the commit at hand adds."""
        self._plus.add(index, what)

    def again(self, key: str) -> Intent | None:
        """Return the release that an idempotency key stands for."""
        return self._taken.again.get(key) or self._plus.again.get(key)

    def of(self, grant: int) -> Used:
        """Return what was taken under a grant."""
        here, more = self._taken.of(grant), self._plus.of(grant)
        return Used(here.releases + more.releases, here.subjects | more.subjects)

    def answers(self, actor: str, subject: str, name: str) -> int:
        """Return how many predicates somebody had answered about a subject's field."""
        key = (actor, subject, name)
        return self._taken.answers.get(key, 0) + self._plus.answers.get(key, 0)


def standing(asked: Asked, book: Book, staff: Staff, now: datetime) -> tuple[Refusal | None, int, int]:
    """Judge a grant's people as of now: why it is dead (None if it is not), approvals that stand, and those from outside.

    An approver who left, whose key was revoked, or who came near the requester kills the grant; so does a requester who left.
    """
    origin = book.parent(asked) or asked
    people, outside, wrong = {staff.person(asked.request.by)}, 0, staff.may_approve(asked.request.by, asked.at, now)
    for answer in origin.approvals:
        approver = answer.statement.approver
        found = staff.may_approve(approver, origin.at, now) or staff.near(approver, [asked.request.by])
        if found is None and not book.keys.stands(approver, now):
            found = Refusal("no-key", f"no key of {approver} is in force")
        if found is None and staff.person(approver) in people:
            found = Refusal("same-person", "one person counts once")
        people.add(staff.person(approver))
        outside += found is None and staff.is_outside(approver)
        wrong = wrong or found
    if open_sets(origin):
        wrong = wrong or Refusal("pending", "a set of approvals is not filled")
    return wrong, len(people) - 1, outside


def refuses_use(
    terms: Terms, request: Request, identity: Identity, used: Used, counting: Counting, *, same: bool
) -> Refusal | None:
    """Say why this use goes beyond what the grant's limits leave. `same`: the release is one that was recorded before."""
    if terms.break_glass and not identity.user_verified:
        return Refusal("break-glass", "glass is broken by a person who is there")
    if len(used.subjects | {request.subject}) > terms.distinct_subjects:
        return Refusal("out-of-scope", "the grant covers fewer subjects")
    if request.mode == "aggregate":
        return Refusal("cohort", "nothing is counted over people here")
    if request.mode == "lease" and (len(request.fields) != 1 or identity.login is None):
        return Refusal("form", "a lease is for one field, and for a login of one's own")
    if request.mode == "compare":
        if request.predicate not in PREDICATES or not request.operand:
            return Refusal("form", f"a predicate is one of {', '.join(PREDICATES)}")
        spent = max(counting.answers(request.actor, request.subject, name) for name in request.fields)
        return (
            Refusal("budget", f"{ANSWERS} answers are an address: the budget is spent") if spent >= ANSWERS and not same else None
        )
    return None
