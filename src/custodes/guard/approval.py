r"""Approvals: a signature over a canonical statement. Pure: keys, clock and randomness are handed in.

    challenge = SHA-256("custodes.approval/1\n" ‖ canonical bytes of the statement)

The statement holds all that its signer was shown, the digest of the request, and a nonce that counts once; so an edited statement
is another request, and a signature given for one act opens no other. Ed25519 signs the challenge on the command line. It shows that
the key was used, not that its holder was present: the record says `ed25519`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from custodes.model.canonical import Json, canonical

SCHEMA: Final = "custodes.approval/1"
REQUEST_SCHEMA: Final = "custodes.request/1"
METHOD: Final = "ed25519"
REQUEST, APPROVE, DENY = "request", "approve", "deny"
"""Decisions. Who asks signs the request in the same form."""
LONGEST: Final = timedelta(days=30)
"""No approval lives longer than this."""
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_WRITTEN: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Refusal(NamedTuple):
    """Why something may not be done. `code`: for the record; `text`: for the person who asked."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. `content` is everything that approvers are shown, and what they sign; `by`: pseudonym of who asks."""

    act: str
    by: str
    content: Mapping[str, Json]
    nonce: str

    def document(self) -> dict[str, Json]:
        """Return the form that is recorded."""
        return {"schema": REQUEST_SCHEMA, "act": self.act, "by": self.by, "content": dict(self.content), "nonce": self.nonce}

    def digest(self) -> str:
        """Return what statements call this request by: any edit gives another."""
        return "sha256:" + sha256(REQUEST_SCHEMA.encode() + b"\n" + canonical(self.document())).hexdigest()


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person signs. `slot`: the set of approvals it counts in; `checkpoint`: size and root that the signer stood on.

    `expires`: aware, whole seconds. An approval past it counts for nothing; a denial does not expire.
    """

    act: str
    request: str
    shown: Mapping[str, Json]
    decision: str
    approver: str
    slot: str
    policy_hash: str
    checkpoint: str
    nonce: str
    expires: datetime

    def document(self) -> dict[str, Json]:
        """Return the form that is signed and recorded."""
        return {
            "schema": SCHEMA,
            "act": self.act,
            "request": self.request,
            "shown": dict(self.shown),
            "decision": self.decision,
            "approver": self.approver,
            "slot": self.slot,
            "policy_hash": self.policy_hash,
            "checkpoint": self.checkpoint,
            "nonce": self.nonce,
            "expires": written(self.expires),
        }

    def to_bytes(self) -> bytes:
        """Return the canonical bytes (RFC 8785): what a person reads is rendered from these and nothing else."""
        return canonical(self.document())

    def challenge(self) -> bytes:
        """Return the 32 bytes that are signed."""
        return sha256(SCHEMA.encode() + b"\n" + self.to_bytes()).digest()


def statement_of(document: object) -> Statement | None:
    """Read a recorded statement; None unless it has exactly the fields of its schema, each of its type."""
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        return None
    fields = {name: value for name, value in document.items() if name != "schema"}
    expires, shown = read_time(fields.pop("expires", None)), fields.pop("shown", None)
    if expires is None or not isinstance(shown, Mapping) or fields.keys() != _WORDS:
        return None
    if not all(isinstance(value, str) for value in fields.values()) or fields["decision"] not in {REQUEST, APPROVE, DENY}:
        return None
    return Statement(shown=shown, expires=expires, **fields)


_WORDS: Final = {"act", "request", "decision", "approver", "slot", "policy_hash", "checkpoint", "nonce"}


def request_of(document: object) -> Request | None:
    """Read a recorded request; None unless it has exactly the fields of its schema, each of its type."""
    if not isinstance(document, Mapping) or document.keys() != {"schema", "act", "by", "content", "nonce"}:
        return None
    act, by, content, nonce = (document[name] for name in ("act", "by", "content", "nonce"))
    if document["schema"] != REQUEST_SCHEMA or not isinstance(content, Mapping):
        return None
    if not (isinstance(act, str) and isinstance(by, str) and isinstance(nonce, str)):
        return None
    return Request(act, by, content, nonce)


def sign(statement: Statement, seed: bytes) -> bytes:
    """Return the Ed25519 signature (64 bytes) over the statement's challenge. `seed`: 32 bytes, the private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).sign(statement.challenge())


def is_signed(statement: Statement, signature: bytes, key: bytes) -> bool:
    """Say whether `signature` is over this statement by the holder of `key` (32 bytes, public)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement.challenge())
    except (InvalidSignature, ValueError):
        return False
    return True


def check(statement: Statement, request: Request, now: datetime) -> Refusal | None:
    """Say why this statement does not answer `request` at `now`, or None. Signature, key and nonce are checked where they are kept.

    1. It is about this act and this request as it stands, 2. and shows what the request shows; 3. an approval has not expired,
    4. and does not live too long.
    """
    if statement.act != request.act or statement.request != request.digest():
        return Refusal("edited", "the statement is about another request: an edited request must be approved anew")
    if canonical(dict(statement.shown)) != canonical(dict(request.content)):
        return Refusal("edited", "the statement shows something else than the request")
    if statement.decision != DENY and statement.expires <= now:
        return Refusal("expired", f"the approval expired at {written(statement.expires)}")
    if statement.expires > now + LONGEST:
        return Refusal("expired", f"an approval lives at most {LONGEST.days} days")
    return None


def written(time: datetime) -> str:
    """Return a time as records and statements have it: UTC, whole seconds."""
    return time.astimezone(UTC).strftime(_TIME)


def read_time(text: object) -> datetime | None:
    """Undo `written`; None for anything else."""
    if not isinstance(text, str) or not _WRITTEN.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
