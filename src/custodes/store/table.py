"""A hash table in a mapped file: 16-byte keys to values of a fixed width, for any number of keys in bounded memory.

It remembers what sealed batches hold (record ids, own ids, subject keys) so that nothing is taken twice; the vault is the truth and
the table can be made again from it. A batch's entries are put in after the batch is durable, and putting them again changes
nothing: so after a kill the batches since `covered` are put in once more. Pages of a mapped file outlive a killed process but not
a power failure; the header remembers the boot of the machine to tell these apart.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from custodes.errors import NotDurable, PartMissing
from custodes.ledger.disk import Disk

_MAGIC: Final = b"CVT1"
_HEAD: Final = struct.Struct("<4sIQQQQ16s")
_START: Final = 64
_KEY: Final = 16
_EMPTY: Final = bytes(_KEY)
_FIRST: Final = 4096
_FULL: Final = 0.6
_FAST_GROWTH: Final = 1 << 20
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Table:
    """One table. Single writer, single thread. Keys are keyed hashes: evenly spread, never all zero."""

    def __init__(self, path: Path, width: int) -> None:
        """`width`: bytes of a value (0: a set). The file is made if it is absent."""
        self._path, self._width = path, width
        self._slot = _KEY + width
        self._boot = _boot_id()
        if not path.exists():
            fresh = path.with_name(path.name + ".new")
            self._make(fresh, _FIRST, 0, 0).close()
            Disk().rename(fresh, path)
        self._map = self._open(path)
        magic, stored, capacity, count, inserted, synced, boot = _HEAD.unpack_from(self._map)
        self._capacity: int = capacity
        self._count: int = count
        self._inserted: int = inserted
        self._synced: int = synced
        if magic != _MAGIC or stored != width or len(self._map) < _START + self._capacity * self._slot:
            raise PartMissing(f"vault/tables/{path.name} is damaged", hint="remove this file; it is made again from the vault")
        if boot != self._boot:
            self._inserted = self._synced
        self._dirty = 0

    @property
    def covered(self) -> int:
        """How many batches of the vault are certainly in the table."""
        return self._inserted

    def __len__(self) -> int:
        return self._count

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        at = self._find(key)
        return self._map[at + _KEY : at + self._slot] if self._map[at : at + _KEY] == key else None

    def known(self, keys: Sequence[bytes]) -> list[bool]:
        """Say for each key whether the table has it."""
        table, slot, mask = self._map, self._slot, self._capacity - 1
        end = _START + self._capacity * slot
        answers = []
        for key in keys:
            at = _START + (int.from_bytes(key[:8], "little") & mask) * slot
            found = table[at : at + 16]
            while found not in (key, _EMPTY):
                at += slot
                if at == end:
                    at = _START
                found = table[at : at + 16]
            answers.append(found == key)
        return answers

    def put(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Put entries in; an entry whose key is there already gets the new value."""
        for key, value in items:
            if self._count >= self._capacity * _FULL:
                self._grow()
            at = self._find(key)
            if self._map[at : at + _KEY] != key:
                self._count += 1
            self._map[at : at + self._slot] = key + value

    def add(self, slots: Sequence[bytes]) -> None:
        """Put slots (key and value joined; of a set the keys) in; what has its key there already is left as it is."""
        while self._count + len(slots) > self._capacity * _FULL:
            self._grow()
        self._count += _add_all(self._map, self._capacity, slots, self._slot)

    def destroy(self, key: bytes) -> bool:
        """Overwrite the slot of `key` with random bytes; return whether it was there. Durable after `sync`.

        The slot stays taken, by a key that nobody asks for: what was put in after it is still found.
        """
        at = self._find(key)
        if self._map[at : at + _KEY] != key:
            return False
        self._map[at : at + self._slot] = os.urandom(self._slot)
        return True

    def cover(self, batches: int, *, sync_every: int = 64) -> None:
        """Note that the first `batches` batches of the vault are in; sync to disk every so many of them."""
        self._inserted = batches
        if batches - self._synced >= sync_every:
            self.sync()
        else:
            self._write_head()

    def sync(self) -> None:
        """Make everything durable."""
        try:
            self._map.flush()
            self._synced = self._inserted
            self._write_head()
            self._map.flush(0, mmap.PAGESIZE)
        except OSError as wrong:
            raise NotDurable(f"vault/tables/{self._path.name} could not be synced: {wrong.strerror}") from None

    def close(self) -> None:
        """Sync and give the mapping back."""
        self.sync()
        self._map.close()

    def _find(self, key: bytes) -> int:
        """Return where `key` lies, or the empty slot where it belongs."""
        slot, table = self._slot, self._map
        at = _START + (int.from_bytes(key[:8], "little") & (self._capacity - 1)) * slot
        end = _START + self._capacity * slot
        while table[at : at + _KEY] not in (key, _EMPTY):
            at += slot
            if at == end:
                at = _START
        return at

    def _grow(self) -> None:
        capacity = self._capacity * (4 if self._capacity < _FAST_GROWTH else 2)
        fresh = self._path.with_name(self._path.name + ".new")
        table = self._make(fresh, capacity, self._count, self._inserted)
        slot, old = self._slot, self._map
        slots = (old[at : at + slot] for at in range(_START, _START + self._capacity * slot, slot))
        _add_all(table, capacity, [item for item in slots if item[:_KEY] != _EMPTY], slot)
        table.flush()
        Disk().rename(fresh, self._path)
        old.close()
        self._map, self._capacity = table, capacity
        self._synced = self._inserted

    def _make(self, path: Path, capacity: int, count: int, covered: int) -> mmap.mmap:
        size = _START + capacity * self._slot
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)  # a full disk must be an error here, not a signal later
                table = mmap.mmap(handle, size)
            finally:
                os.close(handle)
        except OSError as wrong:
            raise NotDurable(f"vault/tables/{path.name} could not be made: {wrong.strerror}") from None
        table[: _HEAD.size] = _HEAD.pack(_MAGIC, self._width, capacity, count, covered, covered, self._boot)
        return table

    def _open(self, path: Path) -> mmap.mmap:
        try:
            with path.open("r+b") as handle:
                return mmap.mmap(handle.fileno(), 0)
        except (OSError, ValueError) as wrong:
            raise NotDurable(f"vault/tables/{path.name} could not be opened: {wrong}") from None

    def _write_head(self) -> None:
        values = (_MAGIC, self._width, self._capacity, self._count, self._inserted, self._synced, self._boot)
        self._map[: _HEAD.size] = _HEAD.pack(*values)


def look(path: Path, width: int, key: bytes) -> tuple[bytes | None, int]:
    """Return the value of `key` in the table at `path`, or None, and how many batches are certainly in it. Changes nothing.

    For readers beside the writer. An absent table is an empty one. Raises `PartMissing` if it is damaged.
    """
    try:
        with path.open("rb") as handle:
            found = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return None, 0
    except (OSError, ValueError):
        raise PartMissing(f"vault/tables/{path.name} cannot be read") from None
    with found as table:
        whole = len(table) >= _START
        magic, stored, capacity, _, inserted, synced, boot = _HEAD.unpack(table[: _HEAD.size] if whole else bytes(_HEAD.size))
        slot = _KEY + width
        if magic != _MAGIC or stored != width or len(table) < _START + capacity * slot:
            raise PartMissing(f"vault/tables/{path.name} is damaged", hint="remove this file; it is made again from the vault")
        place = int.from_bytes(key[:8], "little") & (capacity - 1)
        while (there := table[(at := _START + place * slot) : at + _KEY]) not in (key, _EMPTY):
            place = (place + 1) % capacity
        value = table[at + _KEY : at + slot] if there == key else None
        return value, inserted if boot == _boot_id() else synced


def _add_all(table: mmap.mmap, capacity: int, items: Sequence[bytes], slot: int) -> int:
    """Put slots (key and value joined) in and return how many keys were new."""
    mask, end, fresh = capacity - 1, _START + capacity * slot, 0
    for item in items:
        key = item[:16]
        at = _START + (int.from_bytes(item[:8], "little") & mask) * slot
        found = table[at : at + 16]
        while found not in (key, _EMPTY):
            at += slot
            if at == end:
                at = _START
            found = table[at : at + 16]
        if found != key:
            table[at : at + slot] = item
            fresh += 1
    return fresh


def _boot_id() -> bytes:
    try:
        return bytes.fromhex(_BOOT.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(16)  # never equal: every start trusts only what was synced
