"""How an erasure is recorded and done: each step is a leaf before it happens, and each may be done again after a crash.

    request (leaf) → approvals (leaves) → 14 days → intent (leaf) → keys destroyed, files rewritten → slips torn → done (leaf)

A refusal is a leaf too. After *done* no record names the subject: requests and holds name them by a reference whose secret was on a
slip (`custodes.store.slips`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final, NoReturn, Protocol

from custodes.disclose.erasure import BASES, Affected, Limits, Present, decide, shown, standing
from custodes.errors import CouldNotCheck, Refused
from custodes.guard.approval import Refusal, Request, Statement, written
from custodes.guard.asking import Asking
from custodes.guard.book import ERASE, EVERYBODY, HOLD, Asked, Book
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json

STALE: Final = timedelta(hours=24)
"""An intent without *done* is reported after this."""
_LAST: Final = "carry-out"


class Eraser(Protocol):
    """Who destroys (`custodes.store.erasure.Eraser`)."""

    def preview(self, subject: str) -> Affected:
        """Return what an erasure would blind."""

    def destroy(self, subject: str) -> object:
        """Destroy. Repeatable after a crash."""


class Slips(Protocol):
    """Who is meant (`custodes.store.slips.Slips`)."""

    def write(self, subject: str) -> str:
        """Write a slip and return its reference."""

    def read(self, ref: str) -> str | None:
        """Return whom a reference means; None if torn."""

    def tear(self, ref: str) -> None:
        """Destroy a slip."""

    def references(self) -> Iterable[str]:
        """Return all that are not torn."""


@dataclass(frozen=True, slots=True)
class Seams:
    """What erasing stands on, handed in by the composition root.

    `quiet`: held while it is judged and done, so that no intake adds an access. `recorded`: start of the hour in which a leaf was
    recorded. `open_cases`: how many name the subject or one of the actors. `settings`: the limits that settings ask for.
    """

    asking: Asking
    eraser: Eraser
    slips: Slips
    record: Callable[[int, Mapping[str, Json], datetime], int]
    quiet: Callable[[], AbstractContextManager[None]]
    recorded: Callable[[int], datetime]
    open_cases: Callable[[str, Sequence[str], datetime], int]
    settings: Limits


class Erasing:
    """Erasures and legal holds of one home. Every step is durable when it returns; a refusal raises `Refused` after its leaf."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._asking = seams.asking

    # — asking —

    def draft(self, subject: str, basis: str, by: str, now: datetime) -> tuple[Request, Statement]:
        """Return a request to erase a subject (pseudonym) and the statement with which `by` signs it. Leaves a slip.

        Raises `Refused` for an unknown basis, and if nothing is recorded about the subject.
        """
        self._record_limits(now)
        if basis not in BASES:
            self._refuse(Refusal("no-basis", f"a legal basis is one of {', '.join(BASES)}"), now, "request", by)
        affected = self._seams.eraser.preview(subject)
        if not affected.accesses:
            self._refuse(Refusal("unknown", "no access to data of this subject is recorded"), now, "request", by)
        return self._asking.draft(ERASE, by, shown(affected, self._seams.slips.write(subject), basis), now)

    def draft_hold(self, subject: str | None, reason: str, by: str, now: datetime) -> tuple[Request, Statement]:
        """Return a request to hold on to a subject, or to everybody (`None`), and the statement with which `by` signs it."""
        ref = EVERYBODY if subject is None else self._seams.slips.write(subject)
        return self._asking.draft(HOLD, by, {"ref": ref, "reason": reason}, now)

    def hand_in(self, request: Request, statement: Statement, signature: bytes, now: datetime) -> Asked:
        """Record a signed request; a refused one leaves no slip. Raises `Refused`."""
        with self._asking.lock():
            try:
                return self._asking.hand_in(request, statement, signature, now)
            except Refused:
                self._seams.slips.tear(str(request.content.get("ref")))
                raise

    def answer(self, number: int, statement: Statement, signature: bytes, now: datetime) -> Asked:
        """Record a signed answer. What ends a request or a hold for good tears its slip. Raises `Refused`."""
        with self._asking.lock():
            asked = self._asking.answer(number, statement, signature, now)
            ended = asked.number if asked.denied else asked.request.content.get("hold") if asked.in_force else None
            if isinstance(ended, int):
                self._seams.slips.tear(str(self._asking.book().requests[ended].request.content.get("ref")))
        return asked

    def subject_of(self, asked: Asked) -> str | None:
        """Return whom a request means, for the eyes of those who must decide; None once its slip is torn."""
        return self._seams.slips.read(str(asked.request.content.get("ref")))

    # — carrying out —

    def carry_out(self, number: int, now: datetime) -> Asked:
        """Erase what request `number` asks for; a second call completes what a crash cut short. Raises `Refused`."""
        now = now.replace(microsecond=0)
        self._record_limits(now)
        with self._asking.lock(), self._seams.quiet():
            book = self._asking.book()
            asked = book.requests.get(number)
            if asked is None or asked.request.act != ERASE or asked.done:
                self._refuse(Refusal("unknown", f"there is no request {number} to be carried out"), now, _LAST, "", number)
            subject = self.subject_of(asked)
            if asked.intent is None:
                approvers = self._judge(book, asked, subject, now)
                # Before this line nothing is destroyed; after it the record says that it will be, and by whose signatures.
                self._step("intent", asked, approvers, now)
            elif subject is not None and self._is_held(book, subject):
                self._refuse(Refusal("on-hold", "a legal hold was added since it was begun"), now, _LAST, "", number)
            if subject is not None:
                self._destroy(asked, subject, now)
            # A torn slip behind an intent: the keys are destroyed, and a crash kept the record of that.
            self._step("done", asked, self._asking.book().requests[number].approvers, now)
            return self._asking.book().requests[number]

    def _judge(self, book: Book, asked: Asked, subject: str | None, now: datetime) -> Sequence[str]:
        """Return whose approvals carry the erasure."""
        if subject is None:
            ended = Refusal("denied" if asked.denied else "unknown", "the request has ended: its slip is torn")
            self._refuse(ended, now, _LAST, "", asked.number)
        staff = self._asking.staff()
        wrong = decide(asked, book.keys, staff, self._present(book, asked, subject, now), now)
        if wrong:
            self._refuse(wrong, now, _LAST, "", asked.number)
        return standing(asked, book.keys, staff, now)[0]

    def _present(self, book: Book, asked: Asked, subject: str, now: datetime) -> Present:
        affected = self._seams.eraser.preview(subject)
        ends = [self._seams.recorded(last) + timedelta(hours=1) for _, last in affected.leaves]
        if affected.last is not None:
            ends.append(datetime.combine(affected.last + timedelta(days=1), time(), UTC))
        return Present(
            affected=affected,
            youngest=max(ends, default=now),
            held=self._is_held(book, subject),
            open_cases=self._seams.open_cases(subject, sorted(affected.actors), now),
            limits=_longest(book, asked.at).stricter(self._seams.settings),
        )

    def _is_held(self, book: Book, subject: str) -> bool:
        for hold in book.holds():
            ref = hold.request.content["ref"]
            held = None if ref == EVERYBODY else self.subject_of(hold)
            if held in {None, subject}:  # a hold whose slip somebody removed holds everybody
                return True
        return False

    def _destroy(self, asked: Asked, subject: str, now: datetime) -> None:
        """Destroy and tear every slip that names the subject; each part may be done again after a crash."""
        if not _within(self._seams.eraser.preview(subject).leaves, asked.request.content["ranges"]):
            self._refuse(Refusal("changed", "there are new accesses since the intent"), now, _LAST, "", asked.number)
        self._seams.eraser.destroy(subject)
        # Slips are torn only now: an intent whose slip is gone is a finished destruction.
        mine = str(asked.request.content["ref"])
        for ref in [*(ref for ref in self._seams.slips.references() if ref != mine), mine]:
            if self._seams.slips.read(ref) == subject:
                self._seams.slips.tear(ref)

    def _step(self, step: str, asked: Asked, approvers: Sequence[str], now: datetime) -> None:
        content = asked.request.content
        self._seams.record(
            Kind.ERASURE,
            {
                "what": "erasure",
                "step": step,
                "request": asked.number,
                "basis": content["basis"],
                "ranges": content["ranges"],
                "accesses": content["accesses"],
                "approvers": list(approvers),
                "at": written(now),
            },
            now,
        )

    # — limits and refusals —

    def _record_limits(self, now: datetime) -> None:
        """Record the limits of settings where they differ from the last recorded: a shorter one counts for later requests only."""
        wanted, recorded = self._seams.settings, self._asking.book().limits
        if wanted != (_limits_of(recorded[-1][1]) if recorded else Limits()):
            what: dict[str, Json] = {
                "what": "erasure limits",
                "floor_days": wanted.floor.days,
                "cooling_days": wanted.cooling.days,
                "at": written(now),
            }
            self._seams.record(Kind.POLICY, what, now)

    def _refuse(self, why: Refusal, now: datetime, step: str, by: str, number: int | None = None) -> NoReturn:
        self._asking.refuse(why, now, act=ERASE, step=step, by=by, number=number)


def _longest(book: Book, since: datetime) -> Limits:
    """Return the longest limits in force at any time since."""
    found = Limits()
    for place, (_, what) in enumerate(book.limits):
        ended = book.limits[place + 1][0] if place + 1 < len(book.limits) else None
        if ended is None or ended >= since:
            found = found.stricter(_limits_of(what))
    return found


def _limits_of(what: Mapping[str, Json]) -> Limits:
    floor, cooling = what.get("floor_days"), what.get("cooling_days")
    if not (isinstance(floor, int) and isinstance(cooling, int)):
        raise CouldNotCheck("a recorded floor cannot be read")
    return Limits(timedelta(days=floor), timedelta(days=cooling)).stricter(Limits())


def _within(found: Sequence[Sequence[int]], allowed: Json) -> bool:
    """Say whether all ranges lie within the allowed ones."""
    pairs = allowed if isinstance(allowed, list) else []
    return all(any(low <= first and last <= high for low, high in pairs) for first, last in found)
