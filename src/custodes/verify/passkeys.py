"""A passkey's assertion (WebAuthn), checked by an outsider: with what the record holds, and nothing of the company's.

    signed = authenticator data ‖ SHA-256(client data)      authenticator data = SHA-256(rp id) 32 | flags 1 | counter 4 | …

The guard has its own reading of the same (`custodes.guard.passkey`): two programs, one answer.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from custodes.ledger.policy import LOW_ORDER

PREFIX: Final = "passkey:"
_PRESENT, _VERIFIED, _HEAD = 0x01, 0x04, 37


class Passkey(NamedTuple):
    """What an enrolment says of a passkey, and the key itself."""

    credential: bytes
    origin: str
    rp_id: str
    key: EllipticCurvePublicKey | Ed25519PublicKey


def read_passkey(text: str) -> Passkey | None:
    """Read the word by which an enrolment names a passkey; None for anything else."""
    try:
        said = json.loads(_bytes(text.removeprefix(PREFIX)))
        public, algorithm = _bytes(said["public"]), said["algorithm"]
        key: EllipticCurvePublicKey | Ed25519PublicKey
        if algorithm == -8 and public not in LOW_ORDER:
            key = Ed25519PublicKey.from_public_bytes(public)
        elif algorithm == -7:
            key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public)
        else:
            return None
        found = Passkey(_bytes(said["credential"]), str(said["origin"]), str(said["rp_id"]), key)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return found if text.startswith(PREFIX) else None


def refuses(passkey: Passkey, recorded: bytes, challenge: bytes) -> str:
    """Return why a recorded assertion is not this passkey's over `challenge`, by a verified holder; "" if it is."""
    parts = _parts(recorded)
    if parts is None:
        return "it is no assertion of a passkey"
    credential, client_data, data, signature = parts
    client = _client(client_data)
    # 1. An assertion over this challenge, given to the page of the enrolment and to no frame of another.
    if client.get("type") != "webauthn.get" or client.get("challenge") != _text(challenge):
        return "the passkey signed something else"
    if client.get("origin") != passkey.origin or client.get("crossOrigin") not in {None, False}:
        return "the passkey signed for another page"
    # 2. For this service, by somebody who was there and was verified.
    if len(data) < _HEAD or data[:32] != sha256(passkey.rp_id.encode()).digest():
        return "the passkey signed for another service"
    if not data[32] & _PRESENT or not data[32] & _VERIFIED:
        return "the passkey did not verify its holder"
    # 3. By the credential that was enrolled.
    if credential != passkey.credential or not _is_signed(passkey, signature, data + sha256(client_data).digest()):
        return "it is not signed with the enrolled passkey"
    return ""


def counter_of(recorded: bytes) -> int:
    """Return how often the authenticator had signed; 0 where it does not count."""
    parts = _parts(recorded)
    return 0 if parts is None else int.from_bytes(parts[2][33:_HEAD], "big")


def _is_signed(passkey: Passkey, signature: bytes, signed: bytes) -> bool:
    try:
        if isinstance(passkey.key, Ed25519PublicKey):
            passkey.key.verify(signature, signed)
        else:
            passkey.key.verify(signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _parts(recorded: bytes) -> list[bytes] | None:
    """Return credential, client data, authenticator data and signature: each stands after its length in two bytes."""
    parts, at = [], 0
    while at < len(recorded):
        length = int.from_bytes(recorded[at : at + 2], "big")
        part = recorded[at + 2 : at + 2 + length]
        if len(part) != length or at + 2 > len(recorded):
            return None
        parts.append(part)
        at += 2 + length
    return parts if len(parts) == 4 else None


def _client(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(data) != text:
        raise ValueError("not base64url")
    return data
