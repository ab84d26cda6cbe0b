"""A sealed spool of fixed size: records that could not go into the ledger, chained, until they can. Made while the disk has room.

    header: `CSP1` | salt 32        frame: length u32 | nonce 12 | sealed        the rest of the file: zeros
    digest of a state = SHA-256(digest of the state before ‖ frame); the empty state's is SHA-256(header)

The digest before a frame is authenticated with it: no frame can be changed, left out, exchanged or taken from another spool. What
is cut from the end is told by who was given a later digest (`custodes.guard.glass` puts each into notices, outside). The file is as
long as it will ever be: a full disk does not keep it from being written, and a full spool is full.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodes.errors import LedgerRewritten, NotDurable
from custodes.ledger.disk import Disk

SIZE: Final = 256 * 1024
"""Bytes of the file: room for some fifty releases with their requests. It never grows."""
_MAGIC: Final = b"CSP1"
_HEAD: Final = len(_MAGIC) + 32
_LENGTH, _NONCE, _TAG = 4, 12, 16


class Frame(NamedTuple):
    """One record, and the digest of the spool that ends with it."""

    content: bytes
    digest: bytes


class Spool:
    """One spool file. `key`: 32 bytes. Several processes may append: each append holds the file's lock."""

    def __init__(self, path: Path, key: bytes, disk: Disk | None = None, size: int = SIZE) -> None:
        self.path, self._cipher, self._disk, self._size = path, AESGCM(key), disk or Disk(), size

    def prepare(self) -> None:
        """Take the room, if the file is not there. Durable on return; again: nothing. Raises `NotDurable`."""
        if not self.path.exists():
            self._disk.make_folder(self.path.parent)
            self._disk.replace(self.path, _fresh(self._size))

    def is_empty(self) -> bool:
        """Say whether nothing is kept; also true where no spool was ever prepared."""
        try:
            with self.path.open("rb") as file:
                return file.read(_HEAD + _LENGTH)[_HEAD:] in {b"", bytes(_LENGTH)}
        except FileNotFoundError:
            return True
        except OSError as wrong:
            raise NotDurable(f"the spool cannot be read: {wrong.strerror}") from None

    def frames(self) -> list[Frame]:
        """Return all records in order. Raises `LedgerRewritten` if one byte of them is not as it was written."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as wrong:
            raise NotDurable(f"the spool cannot be read: {wrong.strerror}") from None
        return self._read(data)[0]

    def append(self, content: bytes) -> bytes:
        """Add a record; return the digest of the spool with it. Durable on return. Raises `NotDurable`: also when it is full.

        Order: after all that was appended before, by any process. Again: adds again.
        """
        with self._opened() as descriptor:
            frames, digest, end = self._read(os.pread(descriptor, self._size + 1, 0))
            frame = self._sealed(content, digest)
            if end + len(frame) + _LENGTH > self._size:
                raise NotDurable(f"the spool of broken glass is full after {len(frames)} records", hint="mend the ledger first")
            # The end mark behind it, then the frame without its length: a crash up to here leaves what is not there yet.
            self._disk.write(descriptor, frame[_LENGTH:] + bytes(_LENGTH), end + _LENGTH)
            self._disk.sync(descriptor)
            # Before this line it is not kept; from here on a frame that does not open was changed by somebody.
            self._disk.write(descriptor, frame[:_LENGTH], end)
            self._disk.sync(descriptor)
        return sha256(digest + frame).digest()

    def clear(self) -> None:
        """Start anew, under a fresh salt. Call it when all is in the ledger, durably. Durable on return; again: the same."""
        self._disk.replace(self.path, _fresh(self._size))

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = self._disk.open(self.path)  # never made here: the room was taken while there was some
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)  # closing gives the lock back

    def _sealed(self, content: bytes, digest: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return (len(content) + _TAG).to_bytes(_LENGTH, "big") + nonce + self._cipher.encrypt(nonce, content, digest)

    def _read(self, data: bytes) -> tuple[list[Frame], bytes, int]:
        """Return the records, the last digest, and where the next one goes."""
        if len(data) != self._size or not data.startswith(_MAGIC):
            raise _changed()
        found: list[Frame] = []
        digest, at = sha256(data[:_HEAD]).digest(), _HEAD
        while at + _LENGTH <= len(data) and (length := int.from_bytes(data[at : at + _LENGTH], "big")):
            end = at + _LENGTH + _NONCE + length
            frame = data[at:end]
            if len(frame) != end - at:
                raise _changed()
            try:
                content = self._cipher.decrypt(frame[_LENGTH : _LENGTH + _NONCE], frame[_LENGTH + _NONCE :], digest)
            except (InvalidTag, ValueError):
                raise _changed() from None
            digest = sha256(digest + frame).digest()
            found.append(Frame(content, digest))
            at = end
        return found, digest, at


def _fresh(size: int) -> bytes:
    return (_MAGIC + os.urandom(32)).ljust(size, b"\0")


def _changed() -> LedgerRewritten:
    return LedgerRewritten(
        "the sealed spool of broken glass was changed", hint="keep the file as evidence: what it held is not in the record"
    )
