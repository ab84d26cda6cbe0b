"""Slips: who is meant by a keyed reference in the record, sealed, one file each, under a key that is destroyed with it.

The record of a request outlives the person it is about. So it names them by `ref` only, a hash under a secret that stands nowhere
else than on the slip: BLAKE2b-256(key = secret, pseudonym). A slip that was exchanged does not fit its reference; once it is torn,
nobody can tell whom the record meant.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag

from custodes.errors import PartMissing
from custodes.ledger.disk import Disk
from custodes.store.keys import ID, KeyDestroyed, Keys, remove

_SECTIONS: Final = ("who",)
_SECRET: Final = 32


class Slips:
    """The slips of one home. Writing and tearing are durable on return; tearing again changes nothing."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._folder, self._keys, self._disk = folder, keys, Disk()

    def write(self, subject: str) -> str:
        """Write a slip for a subject's pseudonym and return its reference: 64 hex digits, another one each time."""
        secret, nonce = os.urandom(_SECRET), os.urandom(12)
        ref = _reference(secret, subject)
        if not self._folder.is_dir():
            self._disk.make_folder(self._folder)
        name = self._keys.make(_label(ref), _SECTIONS)
        cipher = self._keys.cipher(_label(ref), name, _SECTIONS, 0)
        self._disk.replace(self._file(ref), name + nonce + cipher.encrypt(nonce, secret + subject.encode(), ref.encode()))
        return ref

    def read(self, ref: str) -> str | None:
        """Return the pseudonym that `ref` stands for, None if the slip is torn. Raises `PartMissing` if it was changed."""
        try:
            data = self._file(ref).read_bytes()
        except FileNotFoundError:
            return None
        try:
            cipher = self._keys.cipher(_label(ref), data[:ID], _SECTIONS, 0)
        except KeyDestroyed:
            return None  # a crash kept the file
        try:
            plain = cipher.decrypt(data[ID : ID + 12], data[ID + 12 :], ref.encode())
        except (InvalidTag, ValueError):
            raise PartMissing("a slip of vault/slips was changed") from None
        secret, subject = plain[:_SECRET], plain[_SECRET:].decode()
        if _reference(secret, subject) != ref:
            raise PartMissing("a slip of vault/slips names somebody else than its reference")
        return subject

    def tear(self, ref: str) -> None:
        """Destroy a slip: its key, then the file, then what is left of the key's file."""
        file = self._file(ref)
        if file.is_file():
            name = file.read_bytes()[:ID]
            # Before this line the slip can be read, after it by nobody; a crash from here on leaves files that open nothing.
            self._keys.destroy_section(_label(ref), name, 0)
            remove(self._disk, file)
            self._keys.destroy(_label(ref), name)

    def references(self) -> Iterator[str]:
        """Yield the references of all slips that are not torn."""
        yield from sorted(file.stem for file in self._folder.glob("*.slip"))

    def _file(self, ref: str) -> Path:
        return self._folder / f"{ref}.slip"


def _label(ref: str) -> str:
    return f"slip.{ref[:16]}"


def _reference(secret: bytes, subject: str) -> str:
    return blake2b(subject.encode(), key=secret, digest_size=32).hexdigest()
