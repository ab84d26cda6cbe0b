"""The gate: the one place where something is released, and only after it is recorded. Everything it stands on is handed to it.

    registry → Cedar → grant → quota → decision and access leaf in one commit, durable → value or lease → outcome leaf

The reader's transaction cannot undo the record, because the record is not in it. A ledger that is slow, full or down means no.
Requests that wait while one is being recorded are recorded together: a commit costs the same for twenty.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from custodes.errors import InputError, Outage, Refused
from custodes.guard.approval import Refusal, read_time, written
from custodes.guard.book import Asked, Book
from custodes.guard.grants import covers, ends, name_of, number_of, state
from custodes.guard.group import Group
from custodes.guard.seams import Facts, Lease, Seams
from custodes.guard.taken import DECISION, OUTCOME, Intent, Taken, Used
from custodes.guard.use import Counting, refuses_use, standing
from custodes.guard.words import BREAK_GLASS, NEEDS_APPROVAL, NOT_PERMITTED, UNAVAILABLE, Decision, Known, Released
from custodes.model.canonical import Json, canonical
from custodes.model.draft import Draft, FieldUse, Resource, SubjectUse

if TYPE_CHECKING:
    from custodes.guard.words import Identity, Request
    from custodes.store.released import Sitting

_OBLIGATIONS: Final = {"log_before_release", "max_rows", "minimise", "notify_subject_after"}
"""What this program knows how to keep; any other obligation is a refusal."""


@dataclass(slots=True)
class _Wanted:
    """One request waiting to be recorded, and what became of it; `note` instead: a record that allows nothing.

    `only`: it is decided and recorded, and nothing is taken or released. `wrong`: why this one alone was not judged.
    """

    now: datetime
    request: Request | None = None
    identity: Identity | None = None
    facts: Facts | None = None
    digest: str = ""
    note: Mapping[str, Json] | None = None
    only: bool = False
    wrong: Exception | None = None
    decision: Decision | None = None
    number: str = ""
    index: int = -1
    access: int | None = None
    until: datetime | None = None
    lease: str | None = None
    again: bool = False


class Gate:
    """Releases of one home. Safe to call from several threads and processes; quotas hold over all of them."""

    def __init__(self, seams: Seams, *, outcomes_later: bool = False) -> None:
        """`outcomes_later`: an answer does not wait until the record says how the release ended. Then `close` must be called."""
        self._seams, self._outcomes_later = seams, outcomes_later
        self._book, self._taken = Book.of(()), Taken()
        self._latest = datetime.fromtimestamp(0, UTC)
        self._group = Group(self._sit)

    def release(self, request: Request, identity: Identity, now: datetime, *, key: str) -> Released:
        """Decide, record, release. `key`: the company's id of the subject (its pseudonym is `request.subject`); never kept.

        A refusal is recorded, too, and returned (`decision.allowed` is False). Durable: decision and access leaf before any value
        is read. Again with the same `idempotency`: the same release, no quota taken. Raises `Outage` (exit 5) if the ledger or the
        database cannot: then nothing was released, or the record says that it may have been.
        """
        seams = self._seams
        if seams.subject(key) != request.subject or identity.actor != request.actor:
            raise InputError("the request names another subject or actor than the one it came with")
        digest = self._digest(request)
        wanted = _Wanted(now, request, identity, seams.facts(request, identity, now, key), digest)
        try:
            self._record(wanted)
        except Outage:
            if seams.glass is None or request.reason_code not in BREAK_GLASS:
                raise
            return Gate(seams.glass(seams)).release(request, identity, now, key=key)
        assert wanted.decision is not None  # `_record` fills it or raises  # noqa: S101
        made = Released(wanted.decision, wanted.number, wanted.index, wanted.access, again=wanted.again)
        if not wanted.decision.allowed:
            return made
        if request.mode == "lease":
            return self._lease(wanted, made, key, now)
        rows = seams.reader.read(request.system, request.fields, key, request.max_rows)
        if len(rows) > request.max_rows:
            rows = rows[: request.max_rows]
        shown = self._answers(request, rows) if request.mode == "compare" else [self._cut(request, row) for row in rows]
        if not wanted.again:
            self._note(wanted, now, rows=len(rows))
        return replace(made, values=tuple(shown))

    def evaluate(self, request: Request, identity: Identity, now: datetime, *, key: str = "") -> Released:
        """Decide and record, durably; take nothing and release nothing. `key`: without it the region is unknown, which is a no."""
        if identity.actor != request.actor or (key and self._seams.subject(key) != request.subject):
            raise InputError("the request names another subject or actor than the one it came with")
        facts = self._seams.facts(request, identity, now, key)
        wanted = _Wanted(now, request, identity, facts, self._digest(request), only=True)
        self._record(wanted)
        assert wanted.decision is not None  # `_record` fills it or raises  # noqa: S101
        return Released(wanted.decision, wanted.number, wanted.index)

    def grants(self, now: datetime) -> list[tuple[Asked, str, Used]]:
        """Return all grants ever asked for, each with its state and what was taken, as the record says it now."""
        self._catch_up(now)
        book, taken = self._book, self._taken
        return [
            (asked, state(asked, now, taken=taken.of(number).releases, parent=book.parent(asked)), taken.of(number))
            for number, asked in book.requests.items()
            if book.grant(number) is not None
        ]

    def leases(self, now: datetime) -> Mapping[int, Intent]:
        """Return all leases that the record allows, by the ledger index of their decision: any other row is forged."""
        self._catch_up(now)
        return dict(self._taken.leases)

    def unknown(self, now: datetime) -> list[Intent]:
        """Return releases without an outcome: a crash came between, and they count as accesses."""
        self._catch_up(now)
        return list(self._taken.unknown.values())

    def close(self) -> None:
        """Record the outcomes that nobody waited for, and give back what is held open at guarded databases.

        Raises what kept an outcome from being recorded: the record then says "release unknown" of it.
        """
        try:
            self._group.close()
        finally:
            self._seams.close()

    def end_leases(self, grant: str) -> int:
        """End a grant's leases and the transactions that still see them. Call it after the revocation is recorded."""
        return self._seams.leases.end(grant)

    # — recording —

    def _record(self, wanted: _Wanted) -> None:
        """Have it recorded, together with whatever else waits. Raises what kept it from being recorded."""
        began = time.monotonic()
        self._group.commit(wanted)
        if wanted.wrong is not None:
            raise wanted.wrong
        if time.monotonic() - began > self._seams.limits.patience.total_seconds():
            raise Outage("the ledger answers too slowly: nothing is released")  # it is on record, and counts

    def _sit(self, batch: Sequence[_Wanted]) -> None:
        """Judge and record a group in one commit. Raises what kept it from being recorded: then nobody of the group is."""
        now = max(wanted.now for wanted in batch)
        numbers: list[tuple[_Wanted, int]] = []
        with self._seams.sitting(now) as sitting:
            self._take(sitting)
            # What this commit adds counts at once, and is read back as news by the next one.
            counting = Counting(self._taken)
            for wanted in batch:
                number = self._one(wanted, sitting, counting, max(now, self._latest))
                if number is not None:
                    numbers.append((wanted, number))
        for wanted, number in numbers:
            wanted.access = sitting.access(number)

    def _take(self, sitting: Sitting) -> None:
        for leaf in sitting.news:
            self._book.take(leaf)
            self._taken.take(leaf)
            self._latest = max(self._latest, leaf.hour, read_time(leaf.what.get("at")) or leaf.hour)

    def _catch_up(self, now: datetime) -> None:
        with self._group.alone(), self._seams.sitting(now) as sitting:
            self._take(sitting)

    def _one(self, wanted: _Wanted, sitting: Sitting, counting: Counting, now: datetime) -> int | None:
        """Judge one request under the ledger's lock and add its leaves. Returns its number among the sitting's accesses."""
        if wanted.note is not None:
            wanted.index, _ = sitting.add(wanted.note, None)
            return None
        request, facts, identity = wanted.request, wanted.facts, wanted.identity
        assert request is not None and facts is not None and identity is not None  # not a note  # noqa: PT018, S101
        again = None if wanted.only else _again(request)
        if again is not None and (before := counting.again(again)) is not None and before.request != wanted.digest:
            wanted.wrong = InputError("this idempotency key was used for another request")
            return None
        known, asked, wrong = self._known(request, identity, facts, counting, again, now)
        decision = self._seams.judge.decide(request, known)
        if decision.allowed and (wrong is not None or not {name for item in decision.obligations for name in item} <= _OBLIGATIONS):
            decision = replace(decision, allowed=False, reason_class=NOT_PERMITTED, reasons=("obligation",), requestable=())
        before = counting.again(again) if again is not None else None
        if decision.allowed and before is not None:
            wanted.decision, wanted.number, wanted.index, wanted.again = decision, before.number, before.index, True
            wanted.lease, wanted.until = before.lease, self._until(asked, now)
            return None
        if decision.allowed and not wanted.only and not self._quota(asked, counting):
            decision = replace(decision, allowed=False, reason_class=NEEDS_APPROVAL, reasons=("used up",), obligations=())
        if wrong is not None:
            decision = replace(decision, reasons=(*decision.reasons, wrong.code))
        wanted.decision = self._obliged(decision, request) if decision.allowed else decision
        wanted.number = f"d-{secrets.token_hex(10)}"
        if wanted.only:
            wanted.index, _ = sitting.add({**self._what(wanted, request, asked, None, now), "act": "evaluated"}, None)
            return None
        if decision.allowed and request.mode == "lease":
            wanted.lease, wanted.until = f"l-{secrets.token_hex(10)}", self._until(asked, now)
        what = self._what(wanted, request, asked, again, now)
        wanted.index, number = sitting.add(what, _draft(request, identity, wanted, self._seams.category, sitting.now))
        if decision.allowed:
            counting.add(wanted.index, what)
        return number

    # — judging —

    def _known(  # noqa: PLR0917  # all that a grant is held against
        self, request: Request, identity: Identity, facts: Facts, counting: Counting, again: str | None, now: datetime
    ) -> tuple[Known, Asked | None, Refusal | None]:
        """Complete what is known by what the book says of the grant, and say why the grant is not for this, if it is not."""
        asked = self._book.grant(number_of(request.grant))
        terms = asked.terms if asked is not None else None
        known = facts.known
        if asked is None or terms is None:
            return known, None, Refusal("no-grant", "there is no such grant")
        wrong, approvals, outside = standing(asked, self._book, self._seams.staff(), now)
        taken = counting.of(asked.number)
        same = again is not None and counting.again(again) is not None
        is_now = state(asked, now, taken=0 if same else taken.releases, parent=self._book.parent(asked))
        beyond = covers(terms, request)
        wrong = beyond or refuses_use(terms, request, identity, taken, counting, same=same) or wrong
        if is_now != "approved" and beyond is None:  # who stretches a grant is told of, also after its end
            wrong = Refusal(is_now, "the grant is not in force")
        if known.region is not None and terms.region not in {None, known.region}:
            wrong = Refusal("out-of-scope", "the grant is for another region")
        return (
            replace(
                known,
                granted=wrong is None,
                break_glass=terms.break_glass,
                approvals=approvals,
                outside_approvals=outside,
                approver_countries=self._countries(asked, now),
                reason_stands=facts.reason_since is not None and facts.reason_since <= asked.at,
            ),
            asked,
            wrong,
        )

    def _countries(self, asked: Asked, now: datetime) -> tuple[str, ...]:
        """Return where those work who approved a grant, or the one that it narrows."""
        answers = (self._book.parent(asked) or asked).approvals
        found = (self._seams.country(answer.statement.approver, now) for answer in answers)
        return tuple(sorted({country for country in found if country}))

    def _quota(self, asked: Asked | None, counting: Counting) -> bool:
        terms = asked.terms if asked is not None else None
        if asked is None or terms is None:
            return False
        parent, taken = self._book.parent(asked), counting.of(asked.number).releases
        chain = [(asked.number, terms.reveals, taken)]
        if parent is not None and (over := parent.terms) is not None:
            # What a narrower grant takes is taken from the one that was approved.
            chain.append((parent.number, over.reveals, counting.of(parent.number).releases))
        return all(taken < limit and self._seams.quotas.take(number, limit, taken) for number, limit, taken in chain)

    def _until(self, asked: Asked | None, now: datetime) -> datetime | None:
        end = ends(asked, self._book.parent(asked)) if asked is not None else None
        return None if end is None else min(end, now + self._seams.limits.lease_max)

    def _obliged(self, decision: Decision, request: Request) -> Decision:
        cut = {name: how for name in request.fields if (how := self._how(request.system, name)) != "none"}
        more: tuple[Mapping[str, Json], ...] = ({"minimise": dict(cut)},) if cut and request.mode == "value" else ()
        return replace(decision, obligations=(*decision.obligations, *more))

    # — what is written —

    def _what(self, wanted: _Wanted, request: Request, asked: Asked | None, again: str | None, now: datetime) -> dict[str, Json]:
        decision = wanted.decision
        assert decision is not None  # decided just before  # noqa: S101
        parent = self._book.parent(asked) if asked is not None else None
        return {
            "what": DECISION,
            "act": "released" if decision.allowed else "denied",
            "id": wanted.number,
            "who": request.actor,
            "mode": request.mode,
            "system": request.system,
            "fields": list(request.fields),
            "subject": request.subject,
            "purpose": request.purpose,
            "reason_code": request.reason_code,
            "grant": None if asked is None else asked.number,
            "parent": None if parent is None else parent.number,
            "request": wanted.digest,
            "class": decision.reason_class,
            "reasons": list(decision.reasons),
            "policy_hash": decision.policy_hash,
            "epoch": decision.epoch,
            "again": again if decision.allowed else None,
            "lease": wanted.lease,
            "until": None if wanted.until is None else written(wanted.until),
            "at": written(now),
        }

    def _note(self, wanted: _Wanted, now: datetime, *, rows: int) -> None:
        """Record how a release ended. Without it the record says: release unknown."""
        asked = 0 if wanted.request is None else wanted.request.max_rows
        act = "over-reach" if rows < asked and rows == 0 else "read"
        what: dict[str, Json] = {
            "what": OUTCOME,
            "act": act,
            "id": wanted.number,
            "who": "" if wanted.request is None else wanted.request.actor,
            "rows": rows,
            "decision": wanted.index,
            "at": written(now),
        }
        if self._outcomes_later:
            self._group.later(_Wanted(now, note=what))
        else:
            self._record(_Wanted(now, note=what))

    def _digest(self, request: Request) -> str:
        document = request.document()
        if request.operand is not None:
            document["operand"] = self._seams.keyed(request.operand)
        return "sha256:" + sha256(canonical(document)).hexdigest()

    # — releasing —

    def _lease(self, wanted: _Wanted, made: Released, key: str, now: datetime) -> Released:
        request, identity = wanted.request, wanted.identity
        if request is None or identity is None or wanted.lease is None or wanted.until is None or identity.login is None:
            raise Outage("the lease was recorded and could not be opened")
        grant = request.grant or name_of(-1)
        lease = Lease(wanted.lease, grant, identity.login, key, request.fields[0], wanted.until, wanted.index)
        if not wanted.again:
            self._seams.leases.open(request.system, lease)
            self._note(wanted, now, rows=request.max_rows)
        return replace(made, lease=wanted.lease, until=wanted.until)

    def _how(self, system: str, name: str) -> str:
        return self._seams.limits.minimise.get(self._seams.category(system, name) or "", "none")

    def _cut(self, request: Request, row: Mapping[str, Json]) -> Mapping[str, Json]:
        return {name: self._seams.shown(row.get(name), self._how(request.system, name)) for name in request.fields}

    def _answers(self, request: Request, rows: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
        predicate, operand = request.predicate or "", request.operand or ""
        return [{name: self._seams.answer(predicate, operand, [row.get(name) for row in rows]) for name in request.fields}]


def _again(request: Request) -> str | None:
    if request.idempotency is None:
        return None
    return sha256(f"{request.actor}\0{request.idempotency}".encode()).hexdigest()


def _draft(
    request: Request, identity: Identity, wanted: _Wanted, category: Callable[[str, str], str | None], now: datetime
) -> Draft:
    """Return the access as the record has it. Names that the data map does not know are somebody's text, and are not kept."""
    decision = wanted.decision
    known = [name for name in request.fields if category(request.system, name) is not None]
    tables = list(dict.fromkeys(name.rpartition(".")[0] for name in known))
    return Draft(
        raws=[],
        time=now,
        actor=request.actor,
        actor_kind="human" if identity.human else "service",
        action="read",
        system=request.system if known else "(unknown)",
        operation=f"guard {request.mode}",
        id=wanted.number,
        outcome="success" if decision is not None and decision.allowed else "denied",
        resources=[Resource(name) for name in tables],
        fields=[FieldUse(column, "projected", tables.index(table)) for table, _, column in (n.rpartition(".") for n in known)],
        subjects=[SubjectUse(request.subject)],
        subject_scope="named",
        subject_basis="source_named",
        subject_min=1,
        subject_max=1,
        purpose=request.purpose,
        purpose_basis="source_justification",
        # Broken glass has no ticket: the grant itself is what its review is found by.
        reason=request.grant if request.reason_code in BREAK_GLASS else request.reason,
        client_country=identity.session_country,
        deliberate=True,
        break_glass=request.reason_code in BREAK_GLASS,
    )


def refused(released: Released) -> Refused:
    """Return the error with which a door that has no other words says no: the class, nothing else."""
    words = {NEEDS_APPROVAL: "an approval is missing", NOT_PERMITTED: "not permitted", UNAVAILABLE: "not available now"}
    return Refused(words.get(str(released.decision.reason_class), "not permitted"))
