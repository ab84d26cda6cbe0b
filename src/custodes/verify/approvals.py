r"""Requests and approvals that a bundle shows, checked offline: is each signed by whose name it bears, with a key that was theirs?

    challenge = SHA-256("custodes.approval/1\n" ‖ canonical statement)       the statement names the request by its digest
    key       = of the home's second own entry, or enrolled by two other people 24 hours before, and not revoked

Everything is taken from entries that were proven before; this is the outsider's own reading of what the guard's book decides in the
house (`custodes.guard.book`). Two things no bundle shows, and no line here claims: that no revocation was left out of it, and how
far from each other the people stand, which is in the company's staff table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from custodes.ledger.leaf import Kind, Leaf
from custodes.ledger.policy import LOW_ORDER
from custodes.model.canonical import canonical
from custodes.verify import passkeys
from custodes.verify.verdict import Verdict, VerifyReport

_DELAY: Final = timedelta(hours=24)
_WEIGHTY: Final = frozenset({"enrol", "declare", "registry", "policy"})
"""Acts that who has a passkey signs with it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATEMENT: Final = {
    "schema", "act", "request", "shown", "decision", "approver", "slot", "policy_hash", "checkpoint", "nonce", "expires"
}  # fmt: skip


class Record(NamedTuple):
    """One own entry of the home that is proven and shown."""

    at: int
    leaf: Leaf
    what: Mapping[str, Any]


@dataclass(slots=True)
class _Key:
    """One key of one person. `text`: as enrolments name it; `enrolled`: the entry that it stands in."""

    actor: str
    text: str
    begins: datetime
    enrolled: int
    revoked: datetime | None = None


@dataclass(slots=True)
class _Asked:
    """A request whose signature holds. `answers`: approver → (decision, set); `since`: when all that it needs was signed."""

    record: Record
    by: str
    act: str
    content: Mapping[str, Any]
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)
    since: datetime | None = None

    def is_approved(self) -> bool:
        """Say whether what the act needs was signed, as far as the bundle shows."""
        slots = {slot for decision, slot in self.answers.values() if decision == "approve"}
        if any(decision == "deny" for decision, _ in self.answers.values()):
            return False
        if self.act == "grant":
            free = self.content.get("break_glass") is True or self.content.get("parent") is not None
            sets = self.content.get("sets")
            return free or (isinstance(sets, list) and bool(sets) and set(sets) <= slots)
        return bool(slots) or (self.act == "revoke" and self.content.get("actor") == self.by)


class _Unproven(Exception):
    """The bundle lacks what would tell."""


class _Wrong(Exception):
    """The record holds what was never signed like that."""


def check_approvals(records: Mapping[int, Record], doubt: str, report: VerifyReport) -> None:
    """Check all requests, answers and releases among the shown own entries, in their order, and take down what came of each."""
    reading = _Reading()
    for at in sorted(records):
        record = records[at]
        try:
            said = reading.take(record)
        except _Wrong as wrong:
            report.claim(Verdict.BROKEN, f"entry {at}", str(wrong))
        except (TypeError, ValueError, KeyError, AttributeError):
            report.claim(Verdict.BROKEN, f"entry {at}", "a part of it has another form than such entries have")
        except _Unproven as wrong:
            report.claim(Verdict.UNVERIFIED, f"entry {at}", str(wrong))
        else:
            if said:
                report.prove(Verdict.INCLUDED, f"entry {at}: {said}", doubt)
    if reading.signed:
        report.step(f"approvals: {reading.signed} signatures over canonical statements checked, {len(reading.keys)} keys followed")


class _Reading:
    """What the entries said so far."""

    def __init__(self) -> None:
        self.keys: list[_Key] = []
        self.signed = 0
        self._asked: dict[int, _Asked] = {}
        self._nonces: set[str] = set()
        self._counters: dict[str, int] = {}

    def take(self, record: Record) -> str:
        """Read the next entry; return what it proves, "" for entries of another kind."""
        what, kind = record.what.get("what"), record.leaf.kind
        if (kind, what) == (Kind.POLICY, "approvers"):
            return self._first_keys(record)
        if kind != Kind.DECISION:
            return ""
        if what == "request":
            return self._request(record)
        if what == "answer":
            return self._answer(record)
        if what == "decision" and record.what.get("act") == "released":
            return self._release(record)
        return ""

    def _first_keys(self, record: Record) -> str:
        listed = record.what.get("keys")
        if (record.leaf.source, record.leaf.seq) != (0, 1) or not isinstance(listed, Mapping):
            raise _Wrong("it says who approves, and is not the home's second own entry: nobody's first key stands there")
        begins = _EPOCH + timedelta(hours=record.leaf.hour)
        self.keys += [_Key(str(actor), str(text), begins, record.at) for actor, text in listed.items()]
        return f"the first keys of {len(listed)} people"

    def _request(self, record: Record) -> str:
        request = record.what.get("request")
        if not isinstance(request, Mapping) or request.keys() != {"schema", "act", "by", "content", "nonce"}:
            raise _Wrong("the request has another form than requests have")
        content = request["content"]
        if not isinstance(content, Mapping):
            raise _Wrong("the request has no content")
        glass = request["act"] == "grant" and content.get("break_glass") is True
        at = _time(record, spooled=glass and "spooled" in record.what)
        statement, how = self._statement(record, request, at)
        if (statement["decision"], statement["approver"]) != ("request", request["by"]):
            raise _Wrong("the request is not signed by who asks")
        asked = self._asked[record.at] = _Asked(record, str(request["by"]), str(request["act"]), content)
        self._take_effect(asked, at)
        return f"request {record.at} ({asked.act}) by {asked.by}, {how}"

    def _answer(self, record: Record) -> str:
        number = record.what.get("request")
        asked = self._asked.get(number) if isinstance(number, int) else None
        if asked is None:
            raise _Unproven("the request that it answers is not in the bundle, or does not hold")
        at = _time(record)
        statement, how = self._statement(record, asked.record.what["request"], at)
        approver, decision = str(statement["approver"]), statement["decision"]
        if decision not in {"approve", "deny"} or (decision == "approve" and approver == asked.by):
            raise _Wrong("who asks does not approve")
        if asked.act == "enrol" and decision == "approve" and approver == asked.content.get("actor"):
            raise _Wrong("nobody approves a key of their own")
        asked.answers[approver] = (str(decision), str(statement["slot"]))
        self._take_effect(asked, at)
        word = "approved" if decision == "approve" else "denied"
        state = "; with it all that the request needs is signed" if asked.is_approved() else ""
        return f"{approver} {word} request {asked.record.at} for the set {statement['slot']}, {how}{state}"

    def _release(self, record: Record) -> str:
        """A release stands on a grant, and on its parent's approvals if it narrows one."""
        asked = self._asked.get(record.what["grant"]) if isinstance(record.what.get("grant"), int) else None
        parent = None if asked is None else asked.content.get("parent")
        origin = self._asked.get(parent) if isinstance(parent, int) else asked
        if asked is None or origin is None:
            raise _Unproven("the grant that it was released under is not in the bundle, or does not hold")
        if not origin.is_approved():
            raise _Wrong(f"it was released under request {origin.record.at}, and that was not approved")
        at, lasts = _time(record, spooled="spooled" in record.what), asked.content.get("lasts_s")
        if asked.since is None or not isinstance(lasts, int) or not asked.since <= at < asked.since + timedelta(seconds=lasts):
            raise _Wrong(f"it was released at another time than request {asked.record.at} was approved for")
        if record.what.get("who") != asked.by or record.what.get("purpose") != asked.content.get("purpose"):
            raise _Wrong("it was released to somebody else, or for another purpose, than the grant says")
        return f"released under request {asked.record.at}, approved as it asks"

    # — signatures —

    def _statement(self, record: Record, request: Mapping[str, Any], at: datetime) -> tuple[Mapping[str, Any], str]:
        """Return the signed statement of an entry and how it was signed. Raises `_Wrong`, `_Unproven`."""
        statement, signature = record.what.get("statement"), record.what.get("signature")
        if not isinstance(statement, Mapping) or statement.keys() != _STATEMENT or not isinstance(signature, str):
            raise _Wrong("there is no approval statement")
        # 1. It is about this request as it stands, 2. shows what the request shows, 3. counts once, 4. and had not expired.
        digest = "sha256:" + sha256(b"custodes.request/1\n" + canonical(dict(request))).hexdigest()
        if (statement["schema"], statement["act"], statement["request"]) != ("custodes.approval/1", request["act"], digest):
            raise _Wrong("the statement is about another request: something was edited after it was signed")
        if canonical(statement["shown"]) != canonical(request["content"]):
            raise _Wrong("the signer was shown something else than what was asked for")
        if statement["nonce"] in self._nonces:
            raise _Wrong("the statement was used before")
        if statement["decision"] != "deny" and not at < _read_time(statement["expires"]):
            raise _Wrong("the statement had expired when it was recorded")
        # 5. It is signed, with a key that was this person's then.
        challenge = sha256(b"custodes.approval/1\n" + canonical(dict(statement))).digest()
        how = self._is_signed(record, statement, challenge, _unhex(signature), at)
        self._nonces.add(str(statement["nonce"]))
        self.signed += 1
        return statement, how

    def _is_signed(self, record: Record, statement: Mapping[str, Any], challenge: bytes, signature: bytes, at: datetime) -> str:
        method, approver = record.what.get("method"), str(statement["approver"])
        if method not in {"ed25519", "webauthn"}:
            raise _Unproven("it is signed in a way that this reader does not know")
        key = self._key(approver, at, passkey=method == "webauthn")
        if key is None:
            raise _Unproven(f"no entry of the bundle enrols the key that {approver} signed with")
        weighty = statement["act"] in _WEIGHTY and self._key(approver, at, passkey=True) is not None
        if method == "ed25519" and (weighty or _breaks_glass(statement)):
            raise _Wrong("it is signed with a key file, and asks for a passkey, which shows that its holder was there")
        if method == "ed25519":
            if not _ed25519(key.text, signature, challenge):
                raise _Wrong(f"this is not signed with the key of {approver}")
            return f"signed with the Ed25519 key of entry {key.enrolled}, which shows nobody's presence"
        found = passkeys.read_passkey(key.text)
        wrong = "the enrolled passkey cannot be read" if found is None else passkeys.refuses(found, signature, challenge)
        if wrong:
            raise _Wrong(wrong)
        counter, last = passkeys.counter_of(signature), self._counters.get(key.text, 0)
        if counter <= last and (counter, last) != (0, 0):
            raise _Wrong("the passkey's counter did not rise: there may be a copy of it")
        self._counters[key.text] = counter
        return f"signed with the passkey of entry {key.enrolled}, its holder verified"

    def _key(self, actor: str, at: datetime, *, passkey: bool) -> _Key | None:
        """Return the key of its kind that began last; a revoked one uncovers no older."""
        mine = [key for key in self.keys if key.actor == actor and key.text.startswith(passkeys.PREFIX) is passkey]
        begun = [key for key in mine if key.begins <= at and not (key.revoked and key.revoked <= key.begins)]
        last = max(begun, key=lambda key: key.begins, default=None)
        return last if last is not None and (last.revoked is None or at < last.revoked) else None

    def _take_effect(self, asked: _Asked, at: datetime) -> None:
        """Add or end a key when its request is signed by all it needs; one denial before it begins stops an enrolment."""
        if asked.since is None and asked.is_approved():
            asked.since = at
        actor, text = str(asked.content.get("actor")), str(asked.content.get("key"))
        if asked.act == "enrol" and any(decision == "deny" for decision, _ in asked.answers.values()):
            self.keys = [key for key in self.keys if key.enrolled != asked.record.at]
        elif asked.act == "enrol" and asked.is_approved() and asked.by != actor:
            self.keys.append(_Key(actor, text, at + _DELAY, asked.record.at))
        elif asked.act == "revoke" and asked.is_approved():
            for key in self.keys:
                if (key.actor, key.text) == (actor, text) and key.revoked is None:
                    key.revoked = at


def _breaks_glass(statement: Mapping[str, Any]) -> bool:
    shown = statement["shown"]
    return statement["act"] == "grant" and statement["decision"] == "request" and shown.get("break_glass") is True


def _time(record: Record, *, spooled: bool = False) -> datetime:
    """Return when an entry counts from: what it says, and no earlier than the log's hour, but for broken glass out of a spool."""
    hour, said = _EPOCH + timedelta(hours=record.leaf.hour), _read_time(record.what.get("at"))
    return said if spooled else max(hour, said)


def _read_time(text: object) -> datetime:
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _Wrong("a time in it is none") from None


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _Wrong("its signature is none") from None


def _ed25519(text: str, signature: bytes, challenge: bytes) -> bool:
    try:
        public = bytes.fromhex(text)
        if public in LOW_ORDER:
            return False
        Ed25519PublicKey.from_public_bytes(public).verify(signature, challenge)
    except (InvalidSignature, ValueError):
        return False
    return True
