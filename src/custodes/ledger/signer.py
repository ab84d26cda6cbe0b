"""The log's signing keys: Ed25519, which public witnesses ask for, and ML-DSA-44 beside it from the first day.

Ed25519 alone may be disputed in ten years; whoever forges a checkpoint then must forge both lines. Both keys bear the name of the
log. The ML-DSA-44 line carries time zero: it states the tree, and leaves its age to witnesses.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from custodes.errors import ConfigError, MissingSecret
from custodes.ledger.note import COSIGNED_MLDSA44, ED25519, Key, Note, Signature, cosigned_message, good_name, make_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

_HEADER: Final = "custodes.signer/1"


class Signer:
    """Signs checkpoints of the log `name`. Holds private keys: keep it, and what `to_bytes` gives, out of reach."""

    def __init__(self, name: str, ed25519_seed: bytes, mldsa44_seed: bytes) -> None:
        """Both seeds have 32 random bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        if not good_name(name):
            raise ConfigError("the log's name must not be empty and holds no space, plus or control character")
        self.name = name
        self._seeds = (ed25519_seed, mldsa44_seed)
        self._ed25519: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(ed25519_seed)
        self._mldsa44: MLDSA44PrivateKey = MLDSA44PrivateKey.from_seed_bytes(mldsa44_seed)
        self.keys: tuple[Key, ...] = (
            make_key(name, ED25519, self._ed25519.public_key().public_bytes_raw()),
            make_key(name, COSIGNED_MLDSA44, self._mldsa44.public_key().public_bytes_raw()),
        )
        """The verifier keys, Ed25519 first."""

    @classmethod
    def generate(cls, name: str) -> Signer:
        """Return a signer with fresh keys."""
        import secrets

        return cls(name, secrets.token_bytes(32), secrets.token_bytes(32))

    def to_bytes(self) -> bytes:
        """Return the private keys as text for a file of mode 0600."""
        lines = (_HEADER, self.name, *(base64.b64encode(seed).decode("ascii") for seed in self._seeds))
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Signer:
        """Read what `to_bytes` gave. Raises `MissingSecret`."""
        try:
            header, name, first, second, end = data.decode().split("\n")
            seeds = base64.b64decode(first, validate=True), base64.b64decode(second, validate=True)
        except (UnicodeDecodeError, ValueError, binascii.Error):
            raise MissingSecret("the signing key's file is not readable") from None
        if header != _HEADER or end or any(len(seed) != 32 for seed in seeds):
            raise MissingSecret("the signing key's file is not readable")
        return cls(name, *seeds)

    def sign(self, text: str) -> Note:
        """Return `text`, a checkpoint's body, signed with both keys."""
        message = cosigned_message(self.name, 0, text)
        if message is None:
            raise ConfigError("only the text of a checkpoint is signed")
        classic, strong = self.keys
        return Note(
            text,
            (
                Signature(classic.name, classic.key_id, self._ed25519.sign(text.encode())),
                Signature(strong.name, strong.key_id, bytes(8) + self._mldsa44.sign(message)),
            ),
        )
