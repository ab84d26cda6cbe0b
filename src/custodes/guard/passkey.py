"""Passkeys (WebAuthn): an assertion over an approval's challenge, checked with `cryptography` alone. Pure; nothing is fetched.

    signed = authenticator data ‖ SHA-256(client data)        client data: the browser's JSON with type, challenge and origin
    authenticator data = SHA-256(rp id) 32 | flags 1 | counter 4 | extensions, which are not read

Unlike a key file it shows that its holder was there: user presence *and* verification are required, never preferred. Origin and
rp id stand in the enrolled passkey, which two other people signed for, so a record is checked offline and against no setting.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from custodes.errors import ConfigError
from custodes.guard.approval import Refusal
from custodes.model.canonical import Json, canonical

METHOD: Final = "webauthn"
ES256, EDDSA = -7, -8
"""COSE numbers of the signature algorithms that are taken."""
PREFIX: Final = "passkey:"
_PRESENT, _VERIFIED = 0x01, 0x04
_HEAD: Final = 37
_MOST: Final = 4096
_POINT: Final = 65


class Passkey(NamedTuple):
    """An enrolled credential. `public`: for ES256 the uncompressed point of P-256 (65 bytes), for EdDSA the Ed25519 key (32)."""

    credential: bytes
    algorithm: int
    public: bytes
    rp_id: str
    origin: str

    def to_text(self) -> str:
        """Return the form that enrolments show and record; `passkey_of` reads it."""
        document: dict[str, Json] = {
            "algorithm": self.algorithm,
            "credential": _text(self.credential),
            "origin": self.origin,
            "public": _text(self.public),
            "rp_id": self.rp_id,
        }
        return PREFIX + _text(canonical(document))


class Assertion(NamedTuple):
    """What an authenticator answered. All four as the browser gives them."""

    credential: bytes
    client_data: bytes
    authenticator_data: bytes
    signature: bytes

    @property
    def counter(self) -> int:
        """How often the authenticator has signed; 0 where it does not count."""
        return int.from_bytes(self.authenticator_data[33:_HEAD], "big")

    def to_bytes(self) -> bytes:
        """Return the form that is recorded: each part after its length in two bytes."""
        return b"".join(len(part).to_bytes(2, "big") + part for part in self)


def assertion_of(data: bytes) -> Assertion | None:
    """Undo `Assertion.to_bytes`; None for anything else."""
    parts: list[bytes] = []
    at = 0
    while at < len(data) and len(parts) < len(Assertion._fields):
        length = int.from_bytes(data[at : at + 2], "big")
        parts.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    found = Assertion(*parts) if len(parts) == len(Assertion._fields) else None
    return found if found is not None and found.to_bytes() == data else None


def passkey_of(text: str) -> Passkey:
    """Read `Passkey.to_text`. Raises `ConfigError` for anything else, and for a key that is none."""
    try:
        if not text.startswith(PREFIX) or len(text) > _MOST:
            raise ValueError(text[:1])  # noqa: TRY301  # one way out for all that is wrong
        document = json.loads(_bytes(text.removeprefix(PREFIX)))
        origin, rp_id = document["origin"], document["rp_id"]
        found = Passkey(_bytes(document["credential"]), document["algorithm"], _bytes(document["public"]), rp_id, origin)
        if found.to_text() != text or not found.credential or not _is_of(origin, rp_id):
            raise ValueError(rp_id)  # noqa: TRY301  # likewise
        _load(found)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError("a passkey is the word that `custodes guard serve` made of its registration") from None
    return found


def registered(credential: bytes, spki: bytes, rp_id: str, origin: str) -> Passkey:
    """Return a passkey from what the browser says at registration (`getPublicKey()`, DER). Raises `ConfigError`."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    try:
        key = load_der_public_key(spki)
    except ValueError:
        raise ConfigError("this is no public key") from None
    match key:
        case EllipticCurvePublicKey(curve=SECP256R1()):
            made = Passkey(credential, ES256, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), rp_id, origin)
        case Ed25519PublicKey():
            made = Passkey(credential, EDDSA, key.public_bytes_raw(), rp_id, origin)
        case _:
            raise ConfigError("passkeys sign with ES256 or EdDSA")
    return passkey_of(made.to_text())


def check(assertion: Assertion, passkey: Passkey, challenge: bytes, counter: int) -> Refusal | None:
    """Say why an assertion is not this passkey's over `challenge`, or None. `counter`: the last one recorded of it."""
    client, data = _client(assertion.client_data), assertion.authenticator_data
    # 1. It is an assertion, 2. over this challenge, 3. given to this page and to no frame of another.
    if client.get("type") != "webauthn.get":
        return Refusal("signature", "this is no assertion of a passkey")
    if client.get("challenge") != _text(challenge):
        return Refusal("signature", "the passkey signed another statement")
    if client.get("origin") != passkey.origin or client.get("crossOrigin") not in {None, False}:
        return Refusal("signature", "the passkey signed for another page")
    # 4. The authenticator signed for this service, 5. its holder was there, 6. and was verified.
    if len(data) < _HEAD or not compare_digest(data[:32], sha256(passkey.rp_id.encode()).digest()):
        return Refusal("signature", "the passkey signed for another service")
    if not data[32] & _PRESENT:
        return Refusal("no-presence", "nobody touched the passkey")
    if not data[32] & _VERIFIED:
        return Refusal("no-verification", "the passkey did not verify its holder")
    # 7. It is the enrolled credential and its signature.
    if assertion.credential != passkey.credential:
        return Refusal("no-key", "another passkey signed than the one that is enrolled")
    if not _is_signed(assertion, passkey):
        return Refusal("signature", "this is not signed with the enrolled passkey")
    # 8. Its counter rises. Synced passkeys do not count: theirs stays at 0, and may not fall back to it.
    if assertion.counter <= counter and (assertion.counter, counter) != (0, 0):
        return Refusal("counter", "the passkey's counter did not rise: there may be a copy of it")
    return None


def _client(data: bytes) -> Mapping[str, object]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_signed(assertion: Assertion, passkey: Passkey) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.hashes import SHA256

    signed = assertion.authenticator_data + sha256(assertion.client_data).digest()
    key = _load(passkey)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(assertion.signature, signed)
        else:
            key.verify(assertion.signature, signed, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _load(passkey: Passkey):  # type: ignore[no-untyped-def]  # noqa: ANN202  # a class of `cryptography`, which is imported late
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from custodes.ledger.policy import LOW_ORDER

    if passkey.algorithm == EDDSA and passkey.public not in LOW_ORDER:
        return Ed25519PublicKey.from_public_bytes(passkey.public)
    if passkey.algorithm == ES256 and len(passkey.public) == _POINT:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), passkey.public)
    raise ValueError(passkey.algorithm)


def _is_of(origin: str, rp_id: str) -> bool:
    """Say whether a page may use passkeys of `rp_id`: https, or this machine; the id is its host or a domain above it."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    plain = f"{parts.scheme}://{parts.netloc}" == origin
    return plain and (parts.scheme == "https" or host == "localhost") and (host == rp_id or host.endswith(f".{rp_id}"))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _text(data) != text:
        raise ValueError("not base64url")
    return data
