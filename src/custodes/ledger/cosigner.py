"""A witness's keys: cosignatures of type 0x04 (Ed25519, what public witnesses make) and 0x06 (ML-DSA-44) over one checkpoint.

A cosignature states: at this time, this was the largest tree of this log that I had seen, and it extends all that I saw before.
So a key is worth what its memory is worth: it belongs to one witness with one state.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import TYPE_CHECKING, Final

from custodes.errors import ConfigError, MissingSecret
from custodes.ledger.note import (
    COSIGNED_ED25519,
    COSIGNED_MLDSA44,
    Key,
    Signature,
    cosigned_message,
    good_name,
    make_key,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

_HEADER: Final = "custodes.witness-key/1"


class Cosigner:
    """Cosigns checkpoints as the witness `name`. Holds private keys: keep it, and what `to_bytes` gives, out of reach."""

    def __init__(self, name: str, ed25519_seed: bytes, mldsa44_seed: bytes) -> None:
        """Both seeds have 32 random bytes. Raises `ConfigError` for a name that cannot stand in a note."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

        if not good_name(name) or len(name.encode()) > 255:
            raise ConfigError("a witness's name has 1 to 255 bytes and holds no space, plus or control character")
        self.name = name
        self._seeds = (ed25519_seed, mldsa44_seed)
        self._ed25519: Ed25519PrivateKey = Ed25519PrivateKey.from_private_bytes(ed25519_seed)
        self._mldsa44: MLDSA44PrivateKey = MLDSA44PrivateKey.from_seed_bytes(mldsa44_seed)
        self.keys: tuple[Key, ...] = (
            make_key(name, COSIGNED_ED25519, self._ed25519.public_key().public_bytes_raw()),
            make_key(name, COSIGNED_MLDSA44, self._mldsa44.public_key().public_bytes_raw()),
        )
        """The verifier keys, Ed25519 first."""

    @classmethod
    def generate(cls, name: str) -> Cosigner:
        """Return a witness with fresh keys."""
        return cls(name, secrets.token_bytes(32), secrets.token_bytes(32))

    def to_bytes(self) -> bytes:
        """Return the private keys as text for a file of mode 0600."""
        lines = (_HEADER, self.name, *(base64.b64encode(seed).decode("ascii") for seed in self._seeds))
        return "".join(f"{line}\n" for line in lines).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Cosigner:
        """Read what `to_bytes` gave. Raises `MissingSecret`."""
        try:
            header, name, first, second, end = data.decode().split("\n")
            seeds = base64.b64decode(first, validate=True), base64.b64decode(second, validate=True)
        except (UnicodeDecodeError, ValueError, binascii.Error):
            raise MissingSecret("the witness's key file is not readable") from None
        if header != _HEADER or end or any(len(seed) != 32 for seed in seeds):
            raise MissingSecret("the witness's key file is not readable")
        return cls(name, *seeds)

    def cosign(self, text: str, time: int) -> tuple[Signature, Signature]:
        """Return both cosignatures of the checkpoint `text` at `time` (POSIX seconds).

        Raises `ConfigError` if `text` is no checkpoint, or its origin is longer than a cosignature can name (255 bytes).
        """
        strong = cosigned_message(self.name, time, text)
        if strong is None:
            raise ConfigError("only the text of a checkpoint is cosigned")
        stamp = time.to_bytes(8, "big")
        plain = f"cosignature/v1\ntime {time}\n{text}".encode()
        first, second = self.keys
        return (
            Signature(first.name, first.key_id, stamp + self._ed25519.sign(plain)),
            Signature(second.name, second.key_id, stamp + self._mldsa44.sign(strong)),
        )
