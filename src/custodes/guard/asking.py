"""Where people hand in requests and answers: each is checked, then recorded; what is refused is recorded too.

The book (`custodes.guard.book`) says what the leaves say. What only the present knows is asked here: whether somebody still works
here, stands near, or signed under another policy or another history. Callers hold the guard's lock (`lock`), so that a denial and
an erasure cannot pass each other.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from custodes.errors import CouldNotCheck, Outage, Refused
from custodes.guard.approval import APPROVE, LONGEST, METHOD, REQUEST, Refusal, Request, Statement, written
from custodes.guard.book import DECLARE, ENROL, GRANT, POLICY, SLOT, SUPPRESS, Asked, Book, Leaf
from custodes.guard.distance import Staff
from custodes.guard.grants import OUTSIDE, RECIPROCITY, REVIEW, Terms, open_sets, terms_of
from custodes.guard.suppressing import scope_of
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json

_TOLD = 3
"""Who must be told of broken glass: privacy office, an outside body, a second person on call."""


@dataclass(frozen=True, slots=True)
class Seams:
    """What asking stands on, handed in by the composition root.

    `leaves`: all of the home's own, checked. `record`: appends one (kind, contents, time) durably and returns its index.
    `checkpoint`: the last signed one as `size:root`; `knows`: whether such a word is of this log. `policy_hash`: of the policy in
    force. `lock`: held for one step; another process waits. `refuses_terms`: why policy and settings grant nobody these terms, or
    None (without it no grant is taken). `notify`: tells those who must know of broken glass, and raises if it cannot. `glass`:
    where glass is broken while the ledger takes no records (`custodes.guard.glass`); without it that is refused.
    """

    leaves: Callable[[], Iterable[Leaf]]
    record: Callable[[int, Mapping[str, Json], datetime], int]
    staff: Callable[[], Staff]
    checkpoint: Callable[[], str]
    knows: Callable[[str], bool]
    policy_hash: str
    lock: Callable[[], AbstractContextManager[None]]
    refuses_terms: Callable[[Terms, datetime], Refusal | None] | None = None
    notify: Callable[[Request, datetime], Sequence[str]] | None = None
    glass: Callable[[], Asking] | None = None


class Asking:
    """Requests and answers of one home. Recorded means durable. A refusal raises `Refused` after its own leaf is durable."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self.lock = seams.lock

    def book(self) -> Book:
        """Return the book as of now. Raises `CouldNotCheck` or `LedgerRewritten` if a leaf's contents are missing or changed."""
        return Book.of(self._seams.leaves())

    def staff(self) -> Staff:
        """Return the staff as of now."""
        return self._seams.staff()

    # — asking —

    def draft(self, act: str, by: str, content: Mapping[str, Json], now: datetime) -> tuple[Request, Statement]:
        """Return a request and the statement with which `by` signs it. Nothing is recorded."""
        request = Request(act, by, content, secrets.token_hex(16))
        return request, self._statement(request, by, REQUEST, now)

    def hand_in(self, request: Request, statement: Statement, signature: bytes, now: datetime, method: str = METHOD) -> Asked:
        """Check and record a signed request. `method`: how it was signed. Raises `Refused`."""
        try:
            return self._hand_in(request, statement, signature, now.replace(microsecond=0), method)
        except Outage:
            if self._seams.glass is None or not _breaks_glass(request):
                raise
            return self._seams.glass().hand_in(request, statement, signature, now, method)

    def _hand_in(self, request: Request, statement: Statement, signature: bytes, now: datetime, method: str) -> Asked:
        wrong = self.book().refuses(None, request, statement, signature, now, method) or self._present(statement, (SLOT,))
        wrong = wrong or self.staff().may_approve(request.by, now, now) or self._may_enrol(request, None)
        wrong = wrong or self._may_be_granted(request, now) or self._may_suppress(request, None)
        if wrong:
            self.refuse(wrong, now, act=request.act, step="request", by=request.by)
        if _breaks_glass(request):
            self._give_notice(request, now)
        number = self._record({"what": "request", "request": request.document()}, statement, signature, now, method)
        return self._read_back(number, statement)

    def statement(self, number: int, approver: str, decision: str, now: datetime) -> Statement:
        """Return the statement with which `approver` would answer request `number`. Raises `Refused` if there is none.

        In a request for a grant it fills the set that fewest others could.
        """
        asked = self.book().requests.get(number)
        if asked is None:
            self.refuse(Refusal("unknown", f"there is no request {number}"), now, act="", step="answer", by=approver)
        return self._statement(asked.request, approver, decision, now, self._slot(asked, approver))

    def answer(self, number: int, statement: Statement, signature: bytes, now: datetime, method: str = METHOD) -> Asked:
        """Check and record a signed answer. `method`: how it was signed. Raises `Refused`."""
        now, book = now.replace(microsecond=0), self.book()
        asked = book.requests.get(number)
        if asked is None:
            self.refuse(Refusal("unknown", f"there is no request {number}"), now, act=statement.act, step="answer", by="")
        slots = (SLOT,) if asked.request.act != GRANT else (statement.slot,)
        wrong = book.refuses(asked, asked.request, statement, signature, now, method) or self._present(statement, slots)
        if not wrong and statement.decision == APPROVE:
            wrong = self._may_answer(asked, statement, now)
        if wrong:
            self.refuse(wrong, now, act=asked.request.act, step="answer", by=statement.approver, number=number)
        self._record({"what": "answer", "request": number}, statement, signature, now, method)
        return self._read_back(number, statement)

    def refuse(self, why: Refusal, now: datetime, *, act: str, step: str, by: str, number: int | None = None) -> NoReturn:
        """Record a refusal, durably, and raise it."""
        what = {"what": "refusal", "act": act, "step": step, "request": number, "by": by, "why": why.code, "at": written(now)}
        self._seams.record(Kind.DECISION, what, now)
        raise Refused(f"refused ({why.code}): {why.text}")

    # — checks of the present —

    def _present(self, statement: Statement, slots: Sequence[str]) -> Refusal | None:
        if statement.slot not in slots:
            return Refusal("edited", "the statement is for another set of approvals")
        if statement.policy_hash != self._seams.policy_hash:
            return Refusal("edited", "the statement was signed under another policy than the one in force")
        if not self._seams.knows(statement.checkpoint):
            return Refusal("edited", "the statement was signed on another history than this ledger's")
        return None

    def _may_answer(self, asked: Asked, statement: Statement, now: datetime) -> Refusal | None:
        staff, request, approver = self.staff(), asked.request, statement.approver
        wrong = staff.may_approve(approver, asked.at, now)
        if wrong:
            return wrong
        before = (request.by, *(answer.statement.approver for answer in asked.approvals))
        if staff.person(approver) in {staff.person(other) for other in before}:
            return Refusal("same-person", "the same person has asked or approved already: one person counts once")
        if request.act == GRANT:
            return self._may_grant(asked, statement, now)
        if request.act in {DECLARE, POLICY}:  # known ways around the guard and other rules are accepted with somebody from outside
            return staff.near(approver, [request.by])
        return self._may_enrol(request, approver) or self._may_suppress(request, approver)

    def _may_grant(self, asked: Asked, statement: Statement, now: datetime) -> Refusal | None:
        """An approver stands outside the requester's unit and chain, and was not granted anything by the requester lately."""
        staff, asker, approver = self.staff(), asked.request.by, statement.approver
        wrong = staff.near(approver, [asker])
        if wrong:
            return wrong
        if statement.slot == OUTSIDE and not staff.is_outside(approver):
            return Refusal("same-unit", f"{approver} is of no unit that policy lists as outside")
        for other in self.book().requests.values():
            theirs = other.request.act == GRANT and staff.person(other.request.by) == staff.person(approver)
            gave = {staff.person(a.statement.approver) for a in other.approvals if a.at > now - RECIPROCITY}
            if theirs and staff.person(asker) in gave:
                return Refusal("reciprocity", f"{asker} approved a grant of {approver} in the last 30 days: ask another approver")
        return None

    def _may_be_granted(self, request: Request, now: datetime) -> Refusal | None:
        if request.act != GRANT:
            return None
        terms, judge = terms_of(request.content), self._seams.refuses_terms
        if terms is None or judge is None:
            return Refusal("unavailable", "grants are not set up here")
        if terms.break_glass and self.book().unreviewed(request.by, now - REVIEW):
            return Refusal("locked-out", "glass that was broken more than 72 hours ago has not been reviewed")
        return judge(terms, now)

    def _give_notice(self, request: Request, now: datetime) -> None:
        """Tell those who must know that glass is broken, and record that they were told: before anything is released."""
        if self._seams.notify is None:
            why = Refusal("no-notice", "nobody is named who would be told that glass is broken")
            self.refuse(why, now, act=request.act, step="request", by=request.by)
        told = self._seams.notify(request, now)
        if len(set(told)) < _TOLD:
            why = Refusal("no-notice", "privacy office, an outside body and a second person on call must be told first")
            self.refuse(why, now, act=request.act, step="request", by=request.by)
        what = {"what": "notice", "request": request.digest(), "to": sorted(set(told)), "at": written(now)}
        self._seams.record(Kind.DECISION, what, now)

    def _slot(self, asked: Asked, approver: str) -> str:
        if asked.request.act != GRANT:
            return SLOT
        left = open_sets(asked)
        if OUTSIDE in left and (len(left) == 1 or self.staff().is_outside(approver)):
            return OUTSIDE
        return left[0] if left else SLOT

    def _may_enrol(self, request: Request, second: str | None) -> Refusal | None:
        """Two others enrol a key, and one of the two (the second, once there is one) stands outside the person's unit and chain.

        A person has keys for one account only: with two they would be two people to the book.
        """
        if request.act != ENROL:
            return None
        staff, whose = self.staff(), str(request.content["actor"])
        person, people = staff.person(whose), [request.by, *([second] if second else [])]
        if person is None:
            return Refusal("unplaced", f"staff names no person behind {whose}: load a staff row for them")
        if person in {staff.person(actor) for actor in people}:
            return Refusal("self-enrolled", "two other people enrol a key, not the person it is for")
        if person in {staff.person(key.actor) for key in self.book().keys if key.actor != whose}:
            return Refusal("same-person", "this person has a key for another account")
        if second and all(found := [staff.near(actor, [whose]) for actor in people]):
            return found[-1]
        return None

    def _may_suppress(self, request: Request, second: str | None) -> Refusal | None:
        """Nobody suppresses what is about them; the second stands outside the chains of who asks and of all that it covers."""
        scope = scope_of(request.content) if request.act == SUPPRESS else None
        if scope is None:
            return None
        staff = self.staff()
        covered = scope.actors or staff.members(str(scope.unit))
        if not covered:
            return Refusal("unknown", f"staff names nobody of the unit {scope.unit}")
        people = {staff.person(actor) for actor in covered} | set(covered)
        for who in (request.by, *([second] if second else [])):
            if who in people or staff.person(who) in people:
                return Refusal("oneself", "nobody suppresses findings about themselves")
        return staff.near(second, [request.by, *covered]) if second else None

    # — writing —

    def _statement(self, request: Request, by: str, decision: str, now: datetime, slot: str = SLOT) -> Statement:
        return Statement(
            act=request.act,
            request=request.digest(),
            shown=request.content,
            decision=decision,
            approver=by,
            slot=slot,
            policy_hash=self._seams.policy_hash,
            checkpoint=self._seams.checkpoint(),
            nonce=secrets.token_hex(16),
            expires=now.replace(microsecond=0) + LONGEST,
        )

    def _record(self, what: Mapping[str, Json], statement: Statement, signature: bytes, now: datetime, method: str) -> int:
        signed: dict[str, Json] = {
            "statement": statement.document(),
            "signature": signature.hex(),
            "method": method,
            "at": written(now),
        }
        return self._seams.record(Kind.DECISION, {**what, **signed}, now)

    def _read_back(self, number: int, statement: Statement) -> Asked:
        book = self.book()
        if not book.counts(statement):
            raise CouldNotCheck("what was recorded does not count by the log's hour", hint="set the clock right and sign again")
        return book.requests[number]


def _breaks_glass(request: Request) -> bool:
    return request.act == GRANT and request.content.get("break_glass") is True
