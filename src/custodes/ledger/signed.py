"""Every checkpoint ever signed, in order: the store that makes two histories impossible for whoever keeps it.

The file is the notes, each followed by one empty line. A note ends with its signatures, so a record that a crash cut off is never
taken for a whole one: it was signed but never shown, and is dropped.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final

from custodes.errors import LedgerRewritten, PartMissing
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.note import Malformed
from custodes.ledger.segments import read_bytes

_MOST_RECORD: Final = 1 << 20
_DIVIDER: Final = "\n\n— ".encode()


def split(data: bytes) -> tuple[list[bytes], int]:
    """Return the complete records of `signed` (each a note) and the length of what they fill."""
    blocks = data.split(b"\n\n")[:-1]
    notes = [blocks[at] + b"\n\n" + blocks[at + 1] + b"\n" for at in range(0, len(blocks) - 1, 2)]
    return notes, sum(len(note) + 1 for note in notes)


def read_signed(path: Path) -> list[Checkpoint]:
    """Return all records, unverified, oldest first. Raises `LedgerRewritten` if one is no checkpoint, `PartMissing`."""
    return [_read(note) for note in split(read_bytes(path))[0]]


def read_last(path: Path, size: int) -> tuple[Checkpoint, int]:
    """Return the last complete record of the file, of which the first `size` bytes are read, and where it ends.

    Raises `LedgerRewritten` if there is none.
    """
    # Two notes and their dividers fit into the tail that is read first; a foreign, longer one makes it read all.
    for tail in (65_536, size):
        start = max(0, size - tail)
        data = read_bytes(path, start, size - start)
        skip = 0
        if start:
            inside = data.find(_DIVIDER)  # within a note; the next record starts after its signatures
            skip = data.find(b"\n\n", inside + 2) + 2 if inside >= 0 else len(data)
        notes, length = split(data[skip:])
        if notes:
            return _read(notes[-1]), start + skip + length
    raise LedgerRewritten("the store of signed checkpoints is empty; a log signs its empty tree when it is made")


def find_signed(path: Path, origin: str, size: int) -> Checkpoint | None:
    """Return the record of exactly this size, unverified; `None` if there is none. Memory does not grow with the file.

    Raises `PartMissing`, or `LedgerRewritten` if the record is damaged.
    """
    head = f"{origin}\n{size}\n".encode()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            # A record starts the file or follows an empty line, and nothing else in the file does but signatures.
            start = 0 if data[: len(head)] == head else data.find(b"\n\n" + head) + 2
            if start == 1:
                return None
            notes, _ = split(data[start : start + _MOST_RECORD])
    except (OSError, ValueError):
        raise PartMissing("the store of signed checkpoints cannot be read") from None
    return _read(notes[0]) if notes else None


def first_beyond(path: Path, index: int) -> Checkpoint | None:
    """Return the first record, unverified, that covers the entry at `index`; `None` if none does yet.

    Later records never change the answer. Raises `PartMissing`, or `LedgerRewritten` if a record is damaged.
    """
    return next((point for point in read_signed(path) if point.size > index), None)


def _read(note: bytes) -> Checkpoint:
    try:
        return read_unverified(note)
    except Malformed as wrong:
        raise LedgerRewritten(f"a record in the store of signed checkpoints is damaged: {wrong}") from None
