"""Keys of subjects, wrapped: 32 random bytes each, of which a subject's tags are made. Destroying one ends its tags for ever.

They lie in `vault/tables/subjects.table` and, sealed, in the frame of the batch that met the subject first.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from custodes.store.contents import NAMES, Names
from custodes.store.table import look
from custodes.store.vault import Vault

FILE: Final = "subjects.table"
NONCE: Final = 8
WIDTH: Final = NONCE + 32


class Wrapping:
    """Wraps subjects' keys under `key` (32 bytes): the table alone opens nothing, not even which subjects have one."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def slot(self, subject: str) -> bytes:
        """Return the table's key for a subject (pseudonym)."""
        return blake2b(subject.encode(), key=self._key, digest_size=16, person=b"slot").digest()

    def wrap(self, subject: str, key: bytes) -> bytes:
        """Return a subject's key as the table holds it: a fresh nonce, and the key under it."""
        nonce = os.urandom(NONCE)
        return nonce + self._mask(subject, nonce, key)

    def unwrap(self, subject: str, wrapped: bytes) -> bytes:
        """Undo `wrap`."""
        return self._mask(subject, wrapped[:NONCE], wrapped[NONCE:])

    def _mask(self, subject: str, nonce: bytes, key: bytes) -> bytes:
        pad = blake2b(nonce + subject.encode(), key=self._key, digest_size=32, person=b"wrap").digest()
        return (int.from_bytes(key, "big") ^ int.from_bytes(pad, "big")).to_bytes(32, "big")


class SubjectKey(NamedTuple):
    """A subject's key. `nonce` tells it from one that the subject may get later; empty if the table does not hold it yet."""

    key: bytes
    nonce: bytes


def stored_key(vault: Vault, wrapping: Wrapping, subject: str) -> tuple[SubjectKey | None, int]:
    """Return the key of a subject as the table has it, and the number of the first batch of which the table may lack keys."""
    wrapped, covered = look(vault.path / "tables" / FILE, WIDTH, wrapping.slot(subject))
    return None if wrapped is None else SubjectKey(wrapping.unwrap(subject, wrapped), wrapped[:NONCE]), covered


def find_key(vault: Vault, wrapping: Wrapping, subject: str) -> SubjectKey | None:
    """Return the key of a subject (pseudonym), or None if it has none, or none any more. Needs no lock and changes nothing."""
    stored, covered = stored_key(vault, wrapping, subject)
    if stored is not None:
        return stored
    for frame in vault.intake.frames(covered):
        names = msgspec.msgpack.decode(frame.section(NAMES), type=Names)
        for known, key in names.subject_keys:
            if known == subject:
                return SubjectKey(key, b"")
    return None
