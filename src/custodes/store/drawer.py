"""Small sealed files by keyed name, each replaced whole: reading positions with the states of their parsers."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodes.errors import PartMissing
from custodes.ledger.disk import Disk
from custodes.store.keys import shred


class Drawer:
    """Sealed contents by name. One writer at a time (the caller's lock)."""

    def __init__(self, folder: Path, key: bytes, disk: Disk | None = None) -> None:
        self._folder = folder
        self._naming = blake2b(b"names", key=key, digest_size=32, person=folder.name.encode()[:16]).digest()
        self._cipher = AESGCM(blake2b(b"content", key=key, digest_size=32, person=folder.name.encode()[:16]).digest())
        self._disk = disk or Disk()

    def get(self, name: str) -> bytes | None:
        """Return what was put under `name`, or None. Raises `PartMissing` if the file was changed."""
        return self._open(self._file(name))

    def put(self, name: str, content: bytes) -> None:
        """Put `content` in place of what lies under `name`. Durable on return."""
        if not self._folder.is_dir():
            self._disk.make_folder(self._folder)
        nonce, file = os.urandom(12), self._file(name)
        self._disk.replace(file, nonce + self._cipher.encrypt(nonce, content, file.name.encode()))

    def drop(self, holds: Callable[[bytes], bool]) -> int:
        """Remove the contents of which `holds` is true, and what a crash left half-written. Durable; returns how many.

        The bytes are overwritten before their file is unlinked.
        """
        dropped = 0
        for file in sorted(self._folder.glob("*.sealed*")):
            if file.suffix == ".new" or ((content := self._open(file)) is not None and holds(content)):
                shred(self._disk, file)
                dropped += 1
        return dropped

    def _open(self, file: Path) -> bytes | None:
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self._cipher.decrypt(data[:12], data[12:], file.name.encode())
        except (InvalidTag, ValueError):
            raise PartMissing(f"a sealed file of {self._folder.name} was changed") from None

    def _file(self, name: str) -> Path:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), key=self._naming, digest_size=16).hexdigest()
        return self._folder / f"{digest}.sealed"
