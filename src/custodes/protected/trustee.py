"""The list from which a registry is enrolled anew under another key: sealed to a trustee outside, whose private key is not here.

    record = ephemeral public key 32 | nonce 12 | length u32 | sealed       key = HKDF-SHA256(X25519 shared secret)

Who holds the home can add records and read none. Each is padded, so that its length tells little of how many people it names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custodes.errors import ConfigError, InputError
from custodes.ledger.disk import Disk
from custodes.protected.registry import Enrolment

Row = tuple[str, Enrolment]
"""A subject's pseudonym, and one class of theirs."""
FILE: Final = "for-the-trustee"
_PUBLIC, _NONCE, _LENGTH = 32, 12, 4
_STEP: Final = 4096


def keygen() -> tuple[str, str]:
    """Return a private and a public key in hex. The private one belongs on no machine of the company."""
    key = X25519PrivateKey.generate()
    return key.private_bytes_raw().hex(), key.public_key().public_bytes_raw().hex()


def public_of(text: str) -> bytes:
    """Return the bytes of a trustee's public key in hex. Raises `ConfigError`."""
    try:
        key = bytes.fromhex(text)
        X25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise ConfigError("registry.trustee is 64 hex digits, as `custodes guard registry keygen` prints them") from None
    return key


def seal(rows: Iterable[Row], public: bytes) -> bytes:
    """Return one record that only the trustee opens."""
    ephemeral = X25519PrivateKey.generate()
    head = ephemeral.public_key().public_bytes_raw()
    plain = json.dumps([[subject, e.cls, _text(e.enrolled), _text(e.expires)] for subject, e in rows]).encode()
    plain += b" " * (-len(plain) % _STEP)
    nonce = os.urandom(_NONCE)
    key = _key(ephemeral.exchange(X25519PublicKey.from_public_bytes(public)), head + public)
    sealed = ChaCha20Poly1305(key).encrypt(nonce, plain, head)
    return head + nonce + len(sealed).to_bytes(_LENGTH, "big") + sealed


def add(folder: Path, record: bytes) -> None:
    """Add a record to the list of a registry's folder. Durable on return. Raises `NotDurable`."""
    disk = Disk()
    disk.make_folder(folder)
    descriptor = disk.open(folder / FILE, create=True)
    try:
        disk.write(descriptor, record, os.fstat(descriptor).st_size)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def open_list(data: bytes, private: str) -> list[Row]:
    """Return all rows of a list, each once. For the trustee. Raises `InputError` for another key or a changed list."""
    try:
        key = X25519PrivateKey.from_private_bytes(bytes.fromhex(private))
        public = key.public_key().public_bytes_raw()
        rows: dict[Row, None] = {}
        for head, nonce, sealed in _records(data):
            shared = key.exchange(X25519PublicKey.from_public_bytes(head))
            plain = ChaCha20Poly1305(_key(shared, head + public)).decrypt(nonce, sealed, head)
            for subject, cls, enrolled, expires in json.loads(plain):
                rows[subject, Enrolment(cls, _time(enrolled), _time(expires))] = None
    except (InvalidTag, ValueError):
        raise InputError("the list was sealed to another key, or it was changed") from None
    return list(rows)


def _records(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    at = 0
    while at < len(data):
        head = at + _PUBLIC
        body = head + _NONCE + _LENGTH
        length = int.from_bytes(data[body - _LENGTH : body], "big")
        if len(data) < body + length:
            raise ValueError("the list was cut")
        yield data[at:head], data[head : head + _NONCE], data[body : body + length]
        at = body + length


def _key(shared: bytes, about: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, b"custodes registry list/1" + about).derive(shared)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
