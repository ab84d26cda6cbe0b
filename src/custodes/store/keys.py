"""`vault/keys`: random keys of sealed files, one small file each, so that one key can be destroyed and nothing else with it.

A key file belongs to one sealed file (stream and day) and holds a key for each kind of section, wrapped by the vault key:

    CVK1 | sections u8 | 3 reserved | per section: nonce 12, wrapped key 48

A slot of 60 zero bytes is a key that was destroyed. Keys are overwritten where they lie, synced, and only then unlinked; the file
is smaller than a sector, so it is never half written. What copies a disk or a snapshot keeps of it is beyond this program.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodes.errors import NotDurable, PartMissing, UnknownVersion
from custodes.ledger.disk import Disk

ID: Final = 8
"""Bytes of the random name of a key file."""
_MAGIC: Final = b"CVK1"
_HEAD: Final = 8
_SLOT: Final = 60
_GONE: Final = bytes(_SLOT)


class KeyDestroyed(PartMissing):
    """A key was destroyed on purpose: what it sealed is open to nobody any more."""


class Keys:
    """The key files of one vault. Reading needs the vault key; making and destroying is durable on return."""

    def __init__(self, folder: Path, key: bytes, disk: Disk | None = None) -> None:
        """`key`: the home's vault key, 32 bytes; it only wraps."""
        self._folder, self._disk = folder, disk or Disk()
        self._wrap = AESGCM(key)
        self._known: dict[tuple[str, bytes], list[AESGCM | None]] = {}

    def make(self, label: str, sections: Sequence[str], gone: Collection[int] = ()) -> bytes:
        """Make random keys for the sections of the sealed file `label`; return their name. Durable on return.

        `gone`: sections that get none, because their contents were destroyed already.
        """
        if not self._folder.is_dir():
            self._disk.make_folder(self._folder)
        name = os.urandom(ID)
        ciphers: list[AESGCM | None] = []
        slots = []
        for place, section in enumerate(sections):
            if place in gone:
                ciphers.append(None)
                slots.append(_GONE)
                continue
            key, nonce = os.urandom(32), os.urandom(12)
            ciphers.append(AESGCM(key))
            slots.append(nonce + self._wrap.encrypt(nonce, key, _about(label, name, section)))
        self._disk.replace(self._file(label, name), _MAGIC + bytes((len(slots), 0, 0, 0)) + b"".join(slots))
        self._known[(label, name)] = ciphers
        return name

    def cipher(self, label: str, name: bytes, sections: Sequence[str], place: int) -> AESGCM:
        """Return the cipher of a section. Raises `KeyDestroyed`, and `PartMissing` if the key file is absent or damaged."""
        known = self._known.get((label, name))
        if known is None:
            known = self._known[(label, name)] = self._read(label, name, sections)
        found = known[place]
        if found is None:
            raise KeyDestroyed(f"the key of {sections[place]} of {label} was destroyed")
        return found

    def gone(self, label: str, name: bytes, sections: Sequence[str]) -> set[int]:
        """Return the sections whose keys were destroyed. Raises `PartMissing`."""
        return {place for place, cipher in enumerate(self._read(label, name, sections)) if cipher is None}

    def destroy_section(self, label: str, name: bytes, place: int) -> None:
        """Overwrite the key of one section. Durable on return; doing it again changes nothing."""
        self._known.pop((label, name), None)
        _overwrite(self._disk, self._file(label, name), _HEAD + place * _SLOT, _SLOT)

    def destroy(self, label: str, name: bytes) -> None:
        """Overwrite all keys of a sealed file and remove the key file. Durable on return; repeatable."""
        self._known.pop((label, name), None)
        self._end(self._file(label, name))

    def sweep(self, stream: str, kept: Collection[tuple[str, bytes]]) -> int:
        """Destroy the keys of a stream's files save `kept` (label, name), and what a crash left half made. Returns how many.

        For the stream's writer: keys of a file that is being begun by another would be taken for left-overs.
        """
        names = {self._file(label, name).name for label, name in kept}
        left = [file for file in self._folder.glob(f"{stream}.*.key*") if file.name not in names]
        for file in left:
            self._end(file)
        return len(left)

    def _end(self, file: Path) -> None:
        if file.exists():
            # The head stays: should a crash keep the file, its keys read as destroyed, not as damaged.
            shred(self._disk, file, _HEAD)

    def _read(self, label: str, name: bytes, sections: Sequence[str]) -> list[AESGCM | None]:
        try:
            data = self._file(label, name).read_bytes()
        except FileNotFoundError:
            raise PartMissing(f"the keys of {label} are missing", hint="restore vault/keys from a backup") from None
        except OSError as wrong:
            raise PartMissing(f"the keys of {label} cannot be read: {wrong.strerror}") from None
        if data[:3] == _MAGIC[:3] and data[:4] != _MAGIC:
            raise UnknownVersion(f"the keys of {label} are of a version that this program does not know")
        if len(data) != _HEAD + len(sections) * _SLOT or data[:_HEAD] != _MAGIC + bytes((len(sections), 0, 0, 0)):
            raise PartMissing(f"the keys of {label} are damaged", hint="restore vault/keys from a backup")
        slots = [data[at : at + _SLOT] for at in range(_HEAD, len(data), _SLOT)]
        return [self._open(label, name, section, slot) for section, slot in zip(sections, slots, strict=True)]

    def _open(self, label: str, name: bytes, section: str, slot: bytes) -> AESGCM | None:
        if slot == _GONE:
            return None
        try:
            return AESGCM(self._wrap.decrypt(slot[:12], slot[12:], _about(label, name, section)))
        except InvalidTag:
            raise PartMissing(f"the key of {section} of {label} was changed", hint="restore vault/keys from a backup") from None

    def _file(self, label: str, name: bytes) -> Path:
        return self._folder / f"{label}.{name.hex()}.key"


def shred(disk: Disk, file: Path, start: int = 0) -> None:
    """Overwrite a small file where it lies, from `start` on, sync it, and unlink it. Durable on return. Raises `NotDurable`."""
    # Before this line what the file holds, or opens, can be read; after it by nobody, whatever else the disk still keeps.
    _overwrite(disk, file, start, max(0, file.stat().st_size - start))
    remove(disk, file)


def _overwrite(disk: Disk, file: Path, start: int, size: int) -> None:
    handle = disk.open(file)
    try:
        disk.write(handle, bytes(size), start)
        disk.sync(handle)
    finally:
        os.close(handle)


def remove(disk: Disk, file: Path) -> None:
    """Unlink a file durably; fine if it is gone. Raises `NotDurable`."""
    try:
        file.unlink(missing_ok=True)
    except OSError as wrong:
        raise NotDurable(f"{file.name} could not be removed: {wrong.strerror}") from None
    disk.sync_folder(file.parent)


def _about(label: str, name: bytes, section: str) -> bytes:
    return b"\0".join((label.encode(), name, section.encode()))
