"""Where the leaves of a sealed batch lie in the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from custodes.ledger.leaf import SIZE

Read = Callable[[int, int], Sequence[bytes]]
"""Entries of the log from index (inclusive) to index (exclusive)."""
_BLOCK: Final = 65_536


def find_leaves(wanted: bytes, read: Read, start: int, size: int) -> list[int]:
    """Return the log indexes of the joined leaves `wanted`, in order, from `start` on; fewer if the log has only the first ones.

    Other entries may lie between: another process may have appended.
    """
    entries = [wanted[at : at + SIZE] for at in range(0, len(wanted), SIZE)]
    found: list[int] = []
    while start < size and len(found) < len(entries):
        block = read(start, min(size, start + max(_BLOCK, len(entries)))) if found else read(start, min(size, start + len(entries)))
        if block == entries[len(found) : len(found) + len(block)]:
            found.extend(range(start, start + len(block)))
        else:
            for index, entry in enumerate(block, start):
                if len(found) < len(entries) and entry == entries[len(found)]:
                    found.append(index)
        start += len(block)
    return found
