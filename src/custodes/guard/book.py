"""The guard's book: who asked for what, who answered, which keys and holds follow from it. Made from leaves alone, in their order.

A record counts if its signature is by a key that was in force when its leaf was recorded, if it answers the request as it stands,
and if its nonce is new. Everything else in a leaf is somebody's word and counts for nothing. One denial ends a request.

    erase              who asks does not count; two others approve; carried out later (`custodes.disclose.erasure`)
    enrol revoke lift  two people: who asks and one other; in force with the second signature, an enrolment 24 hours later
    hold               one person, at once: to hold on is the safe side. Likewise to revoke one's own key
    grant              who asks does not count; each set that it names is filled by another person (`custodes.guard.grants`)
    revoke-grant       one person, at once: to end a grant is the safe side
    review             one person, not who broke the glass, says what they found
    suppress           two people, the second outside all chains concerned (`custodes.guard.suppressing`)
    declare            two people, the second from outside: a way around the guard that is known (`custodes.guard.declaring`)
    policy             two people, the second from outside: a changed policy, in force 24 hours later (`custodes.guard.policing`)
    show-again         one person, at once, ends a suppression: to see more is the safe side
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

from custodes.errors import ConfigError
from custodes.guard import passkey as passkeys
from custodes.guard.approval import (
    APPROVE,
    DENY,
    METHOD,
    REQUEST,
    Refusal,
    Request,
    Statement,
    check,
    is_signed,
    read_time,
    request_of,
    statement_of,
)
from custodes.guard.declaring import refuses_declaration
from custodes.guard.enrolment import DELAY, Key, Keys, first_keys, key_of
from custodes.guard.grants import PENDING, Terms, ends, narrows, open_sets, refuses_terms, state, terms_of
from custodes.guard.policing import ACT, refuses_change
from custodes.guard.suppressing import refuses_scope
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json

ERASE, ENROL, REVOKE, HOLD, LIFT = "erase", "enrol", "revoke", "hold", "lift"
GRANT, REVOKE_GRANT, REVIEW = "grant", "revoke-grant", "review"
SUPPRESS, SHOW_AGAIN = "suppress", "show-again"
DECLARE: Final = "declare"
POLICY: Final = ACT
WEIGHTY: Final = frozenset({ENROL, DECLARE, "registry", POLICY})
"""Acts for which an Ed25519 key is not taken of who has a passkey. Broken glass is always a passkey's (`grants`)."""
SLOT: Final = "two-people"
"""The one set of approvals that these acts have: two people, one of them from outside."""
COOLING: Final = timedelta(days=14)
"""Nothing is erased sooner after the request; settings may lengthen it."""
EVERYBODY: Final = "*"
"""In a hold in place of a reference: nobody is erased while it lasts."""
_REFERENCE: Final = re.compile(r"[0-9a-f]{64}")
_FIRST_KEYS: Final = 1
"""Place of the leaf with the first keys among the home's own."""


class Leaf(Protocol):
    """A leaf of the home's own with its contents (`custodes.store.own_leaves.OwnLeaf`)."""

    @property
    def number(self) -> int:
        """Its ledger index."""

    @property
    def kind(self) -> int:
        """Its kind."""

    @property
    def hour(self) -> datetime:
        """Start of the hour of recording; never falls from leaf to leaf."""

    @property
    def what(self) -> Mapping[str, Json]:
        """Its contents, which it was checked to commit to."""


class Answer(NamedTuple):
    """One person's answer to a request. `at`: when it was recorded."""

    at: datetime
    statement: Statement


@dataclass(slots=True)
class Asked:
    """A request that counts. `number`: its ledger index, by which people call it.

    `in_force`: when an act that needs no carrying out took effect. `intent`, `done`: when an erasure was begun and completed.
    `approvers`: whose approvals carried it. `lifted`: when a hold, grant or suppression ended. `reviewed`: when broken glass was.
    `terms`: of a grant.
    """

    number: int
    at: datetime
    request: Request
    answers: list[Answer] = field(default_factory=list)
    denied: datetime | None = None
    in_force: datetime | None = None
    intent: datetime | None = None
    done: datetime | None = None
    approvers: tuple[str, ...] = ()
    lifted: datetime | None = None
    reviewed: datetime | None = None
    terms: Terms | None = field(init=False)

    def __post_init__(self) -> None:
        """Read the terms once: what was asked for never changes."""
        self.terms = terms_of(self.request.content) if self.request.act == GRANT else None

    @property
    def approvals(self) -> list[Answer]:
        """Approvals, of each account the latest."""
        return list({a.statement.approver: a for a in self.answers if a.statement.decision == APPROVE}.values())


class Book:
    """All requests, keys and holds of a home, as of the leaves it was made from."""

    def __init__(self) -> None:
        """Use `of` instead."""
        self.keys = Keys()
        self.requests: dict[int, Asked] = {}
        self.refusals: list[tuple[datetime, Mapping[str, Json]]] = []
        self.limits: list[tuple[datetime, Mapping[str, Json]]] = []
        """Recorded floors and cooling-off periods, oldest first."""
        self.unfounded: list[str] = []
        """Erasure leaves that no approved request stands behind: evidence of tampering."""
        self.unfounded_leaves: set[int] = set()
        self._nonces: set[str] = set()
        self._counters: dict[bytes, int] = {}
        self._place = 0

    @classmethod
    def of(cls, leaves: Iterable[Leaf]) -> Book:
        """Read all of the home's own leaves, in order."""
        book = cls()
        for leaf in leaves:
            book.take(leaf)
        return book

    def take(self, leaf: Leaf) -> None:
        """Read the next of the home's own leaves."""
        self._read(self._place, leaf)
        self._place += 1

    def grant(self, number: int | None) -> Asked | None:
        """Return the grant asked for in leaf `number`, or None."""
        asked = self.requests.get(number) if number is not None else None
        return asked if asked is not None and asked.request.act == GRANT else None

    def parent(self, asked: Asked) -> Asked | None:
        """Return the grant that this one narrows, or None."""
        number = asked.request.content.get("parent")
        return self.grant(number) if isinstance(number, int) else None

    def unreviewed(self, actor: str, before: datetime) -> list[Asked]:
        """Return the glass that an actor broke before a time and that nobody reviewed."""
        return [
            asked
            for asked in self.requests.values()
            if asked.request.act == GRANT
            and asked.request.by == actor
            and asked.request.content.get("break_glass") is True
            and asked.reviewed is None
            and asked.at <= before
        ]

    def holds(self) -> list[Asked]:
        """Return the legal holds in force."""
        return [asked for asked in self.requests.values() if asked.request.act == HOLD and asked.lifted is None]

    def suppressions(self) -> list[Asked]:
        """Return the suppressions that were approved and not ended; whether they have expired their reader says."""
        return [a for a in self.requests.values() if a.request.act == SUPPRESS and a.in_force is not None and a.lifted is None]

    def declarations(self) -> list[Asked]:
        """Return the declared ways that were approved; whether they have expired their reader says."""
        return [asked for asked in self.requests.values() if asked.request.act == DECLARE and asked.in_force is not None]

    def counts(self, statement: Statement) -> bool:
        """Say whether a recorded statement counted when its leaf was read."""
        return statement.nonce in self._nonces

    def refuses(  # noqa: PLR0917  # a signed statement, and what it is about
        self,
        asked: Asked | None,
        request: Request,
        statement: Statement,
        signature: bytes,
        at: datetime,
        method: str = METHOD,
    ) -> Refusal | None:
        """Say why a signed statement does not count at `at`, or None. `asked` is None for who hands the request in.

        `method`: how it was signed.
        """
        # 1. It is about this request as it stands, and alive.
        wrong = check(statement, request, at)
        if wrong:
            return wrong
        # 2. Its nonce is new: the same statement again is no second one.
        if statement.nonce in self._nonces:
            return Refusal("replayed", "this statement was handed in before")
        # 3. It is signed with the key that is in force for this person now.
        wrong = self._refuses_signature(request.act, statement, signature, method, at)
        if wrong:
            return wrong
        # 4. Who hands in is who asks; what is asked for can be; who answers may.
        if asked is None:
            ours = statement.decision == REQUEST and statement.approver == request.by
            if not ours:
                return Refusal("edited", "the request is not signed by who asks")
            return self._refuses_grant(request, method, at) if request.act == GRANT else self._refuses_content(request)
        return self._refuses_answer(asked, statement, at)

    def _refuses_signature(self, act: str, statement: Statement, signature: bytes, method: str, at: datetime) -> Refusal | None:
        approver = statement.approver
        passkey, key = self.keys.passkey(approver, at), self.keys.of(approver, at)
        none = Refusal("no-key", f"no key of {approver} is in force: not enrolled, not for 24 hours yet, or revoked")
        if method == passkeys.METHOD:
            assertion = passkeys.assertion_of(signature)
            if passkey is None:
                return none
            if assertion is None:
                return Refusal("signature", "this is no assertion of a passkey")
            last = self._counters.get(passkey, 0)
            return passkeys.check(assertion, passkeys.passkey_of(passkey.decode()), statement.challenge(), last)
        if method != METHOD:
            return Refusal("signature", "this kind of signature is not known")
        if passkey is not None and act in WEIGHTY:
            return Refusal("weak-key", f"{approver} has a passkey, and it is asked for here: it shows that its holder was there")
        if key is None:
            return none
        return (
            None if is_signed(statement, signature, key) else Refusal("signature", f"this is not signed with the key of {approver}")
        )

    def _counted(self, statement: Statement, signature: bytes, method: str, at: datetime) -> None:
        """Remember what counts once: the nonce, and how often a passkey has signed."""
        self._nonces.add(statement.nonce)
        passkey, assertion = self.keys.passkey(statement.approver, at), passkeys.assertion_of(signature)
        if method == passkeys.METHOD and passkey is not None and assertion is not None:
            self._counters[passkey] = assertion.counter

    # — reading —

    def _read(self, place: int, leaf: Leaf) -> None:
        said = read_time(leaf.what.get("at"))
        at = max(leaf.hour, said) if said else leaf.hour  # who writes a time of the past is held to the log's hour
        match leaf.kind, leaf.what.get("what"):
            case Kind.POLICY, "approvers" if place == _FIRST_KEYS:
                for key in first_keys(leaf.what, at):
                    self.keys.add(key)
            case Kind.POLICY, "erasure limits":
                self.limits.append((at, leaf.what))
            case Kind.DECISION, "request":
                self._read_request(leaf, at)
            case Kind.DECISION, "answer":
                self._read_answer(leaf, at)
            case Kind.DECISION, "refusal":
                self.refusals.append((at, leaf.what))
            case Kind.ERASURE, "erasure":
                self._read_erasure(leaf, at)
            case Kind.ERASURE, "erased beside" if not any(asked.intent and not asked.done for asked in self.requests.values()):
                self.unfounded_leaves.add(leaf.number)
                self.unfounded.append(f"leaf {leaf.number} records what went with an erasure, and none was under way")

    def _read_request(self, leaf: Leaf, at: datetime) -> None:
        request, signed = request_of(leaf.what.get("request")), _signed(leaf.what)
        if request is not None and _was_spooled(request, leaf.what):
            at = read_time(leaf.what.get("at")) or at  # glass was broken then; a time of the past only ends it sooner
        if request is None or signed is None or self.refuses(None, request, signed[0], signed[1], at, signed[2]):
            return
        asked = self.requests[leaf.number] = Asked(leaf.number, at, request)
        self._counted(*signed, at)
        own = request.act == REVOKE and request.by == request.content["actor"]
        # Broken glass and a narrower grant need no approval; the first is reviewed, the second has its parent's.
        free = request.act == GRANT and (request.content["break_glass"] is True or request.content["parent"] is not None)
        if own or free or request.act in {HOLD, REVOKE_GRANT, REVIEW, SHOW_AGAIN}:
            self._take_effect(asked, at)

    def _read_answer(self, leaf: Leaf, at: datetime) -> None:
        number, signed = leaf.what.get("request"), _signed(leaf.what)
        asked = self.requests.get(number) if isinstance(number, int) else None
        if asked is None or signed is None or self.refuses(asked, asked.request, signed[0], signed[1], at, signed[2]):
            return
        self._counted(*signed, at)
        asked.answers.append(Answer(at, signed[0]))
        if signed[0].decision == DENY:
            asked.denied = at
            self.keys.drop(asked.number)
        elif asked.request.act == GRANT:
            if not open_sets(asked):
                self._take_effect(asked, at)
        elif asked.request.act != ERASE:
            self._take_effect(asked, at)

    def _take_effect(self, asked: Asked, at: datetime) -> None:
        content, asked.in_force = asked.request.content, at
        match asked.request.act:
            case "enrol":
                self.keys.add(Key(str(content["actor"]), key_of(str(content["key"])), at + DELAY, asked.number))
            case "revoke":
                self.keys.revoke(str(content["actor"]), key_of(str(content["key"])), at)
            case "lift":
                self.requests[int(str(content["hold"]))].lifted = at
            case "revoke-grant":
                self.requests[int(str(content["grant"]))].lifted = at
            case "review":
                self.requests[int(str(content["grant"]))].reviewed = at
            case "show-again":
                self.requests[int(str(content["suppression"]))].lifted = at

    def _read_erasure(self, leaf: Leaf, at: datetime) -> None:
        number, step = leaf.what.get("request"), leaf.what.get("step")
        asked = self.requests.get(number) if isinstance(number, int) else None
        if asked is None or _unfounded(asked, leaf.what, at):
            self.unfounded_leaves.add(leaf.number)
            self.unfounded.append(f"leaf {leaf.number} records an erasure that nobody approved as it is recorded")
        elif step == "intent":
            asked.intent = asked.intent or at
            approvers = leaf.what.get("approvers")
            asked.approvers = tuple(map(str, approvers)) if isinstance(approvers, list) else ()
        elif step == "done":
            asked.done = asked.done or at

    # — what may not be —

    def _refuses_content(self, request: Request) -> Refusal | None:
        content = request.content
        match request.act:
            case "enrol":
                if not isinstance(content.get("actor"), str):
                    return Refusal("unknown", "the request names nobody")
                if content["actor"] == request.by:
                    return Refusal("self-enrolled", "nobody enrols a key of their own: two others do")
                try:
                    taken = self.keys.holder(key_of(str(content.get("key"))))
                except ConfigError as wrong:
                    return Refusal("no-key", str(wrong))
                return Refusal("no-key", f"this key was enrolled before, for {taken}") if taken else None
            case "revoke":
                found = any(key.actor == content.get("actor") and key.written() == content.get("key") for key in self.keys)
                return None if found else Refusal("unknown", "no such key is enrolled")
            case "lift":
                found = any(hold.number == content.get("hold") for hold in self.holds())
                return None if found else Refusal("unknown", "no such hold is in force")
            case "revoke-grant":
                grant = self.grant(_number(content.get("grant")))
                found = grant is not None and grant.lifted is None
                return None if found else Refusal("unknown", "there is no such grant to be revoked")
            case "review":
                grant = self.grant(_number(content.get("grant")))
                broken = grant is not None and grant.request.content["break_glass"] is True and grant.reviewed is None
                if grant is None or not broken or content.get("found") not in {"justified", "not-justified"}:
                    return Refusal("unknown", "there is no such broken glass to be reviewed")
                return Refusal("requester", "who broke the glass does not review it") if grant.request.by == request.by else None
            case "suppress":
                return refuses_scope(content)
            case "declare":
                return refuses_declaration(content)
            case "policy":
                return refuses_change(content)
            case "show-again":
                found = any(asked.number == content.get("suppression") for asked in self.suppressions())
                return None if found else Refusal("unknown", "no such suppression is in force")
            case "erase" | "hold":
                everybody = request.act == HOLD and content.get("ref") == EVERYBODY
                named = everybody or _REFERENCE.fullmatch(str(content.get("ref")))
                return None if named else Refusal("unknown", "the request names nobody")
        return Refusal("unknown", "no such act is known")

    def _refuses_grant(self, request: Request, method: str, at: datetime) -> Refusal | None:
        terms = terms_of(request.content)
        wrong = refuses_terms(terms, request.by, method)
        if wrong or terms is None or terms.parent is None:
            return wrong
        parent = self.grant(terms.parent)
        over = None if parent is None else parent.terms
        if parent is None or over is None or over.parent is not None or state(parent, at) != "approved":
            return Refusal("unknown", "there is no such grant in force to be narrowed")
        inside = narrows(terms, over) and terms.sets == over.sets and ends(parent) is not None
        return None if inside else Refusal("widened", "a narrower grant lies within its parent; anything else is asked for anew")

    def _refuses_grant_answer(self, asked: Asked, statement: Statement, at: datetime) -> Refusal | None:
        if asked.denied or asked.lifted:
            return Refusal("denied", "the request was denied or the grant revoked, and that ends it")
        if statement.decision == DENY:
            return None  # at any time, also once it is in force: one denial ends it
        if statement.decision != APPROVE or statement.approver == asked.request.by:
            return Refusal("requester", "who asks does not approve")
        if at >= asked.at + PENDING:
            return Refusal("expired", "nobody answered within 24 hours: it must be asked for anew")
        if statement.approver in {answer.statement.approver for answer in asked.approvals}:
            return Refusal("same-person", "one person approves once")
        if statement.slot not in open_sets(asked):
            return Refusal("too-late", "this set of approvals is filled, or the request has none of that name")
        return None

    def _refuses_answer(self, asked: Asked, statement: Statement, at: datetime) -> Refusal | None:
        if asked.request.act == GRANT:
            return self._refuses_grant_answer(asked, statement, at)
        if asked.denied:
            return Refusal("denied", "the request was denied, and one denial ends it")
        begun = asked.intent or (asked.in_force and (at >= asked.in_force + DELAY or asked.request.act not in {ENROL, POLICY}))
        if begun or (asked.in_force and statement.decision == APPROVE):
            return Refusal("too-late", "the request has taken effect already")
        if statement.decision == DENY:
            return None
        if statement.decision != APPROVE or statement.approver == asked.request.by:
            return Refusal("requester", "who asks does not approve")
        if asked.request.act == ENROL and statement.approver == asked.request.content["actor"]:
            return Refusal("self-enrolled", "nobody approves a key of their own")
        return self._refuses_content(asked.request)  # another request may have taken effect since


def _was_spooled(request: Request, what: Mapping[str, Json]) -> bool:
    return "spooled" in what and request.act == GRANT and request.content.get("break_glass") is True


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _signed(what: Mapping[str, Json]) -> tuple[Statement, bytes, str] | None:
    statement, signature, method = statement_of(what.get("statement")), what.get("signature"), what.get("method")
    if statement is None or not isinstance(signature, str) or not isinstance(method, str):
        return None
    try:
        return statement, bytes.fromhex(signature), method
    except ValueError:
        return None


def _unfounded(asked: Asked, what: Mapping[str, Json], at: datetime) -> bool:
    """Say whether an erasure leaf goes beyond what two people approved: other leaves, too early, or too few signatures alive."""
    alive = [answer for answer in asked.approvals if answer.statement.expires > (asked.intent or at)]
    return (
        asked.request.act != ERASE
        or what.get("ranges") != asked.request.content.get("ranges")
        or len(alive) < 2
        or at < asked.at + COOLING
        or asked.denied is not None
    )
