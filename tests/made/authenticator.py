"""An authenticator in software, for tests: signs as a passkey would, and as one that lies."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from custodes.guard.passkey import Assertion, Passkey, registered

RP_ID, ORIGIN = "guard.example", "https://guard.example"
VERIFIED = 0x05


def text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


@dataclass
class Authenticator:
    """One device of one person."""

    key: EllipticCurvePrivateKey | Ed25519PrivateKey
    credential: bytes
    counter: int = 0

    @classmethod
    def of(cls, name: str, *, curve: bool = True) -> Authenticator:
        seed = sha256(name.encode()).digest()
        key = (
            derive_private_key(int.from_bytes(seed[:31], "big"), SECP256R1())
            if curve
            else Ed25519PrivateKey.from_private_bytes(seed)
        )
        return cls(key, seed[:16])

    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def passkey(self) -> Passkey:
        return registered(self.credential, self.spki(), RP_ID, ORIGIN)

    def cose(self) -> bytes:
        """Return the public key as COSE has it: what the second opinion wants."""
        if isinstance(self.key, Ed25519PrivateKey):
            return b"\xa4\x01\x01\x03\x27\x20\x06\x21\x58\x20" + self.key.public_key().public_bytes_raw()
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20" + point[1:33] + b"\x22\x58\x20" + point[33:]

    def answer(self, challenge: bytes, /, *, flags: int = VERIFIED, rp_id: str = RP_ID, **client: Any) -> Assertion:
        """Sign a challenge. `client`: changes of the client data; None takes a member out."""
        said = {"type": "webauthn.get", "challenge": text(challenge), "origin": ORIGIN, "crossOrigin": False, **client}
        written = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        data = sha256(rp_id.encode()).digest() + bytes([flags]) + self.counter.to_bytes(4, "big")
        signed = data + sha256(written).digest()
        if isinstance(self.key, Ed25519PrivateKey):
            return Assertion(self.credential, written, data, self.key.sign(signed))
        return Assertion(self.credential, written, data, self.key.sign(signed, ECDSA(SHA256())))
