"""The tree of RFC 6962 by recursion, straight from its text: what every other way of computing it is compared with.

Shares nothing with `custodes`. Slow where it may be; roots of ranges are kept, so that a million entries take seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256


class Reference:
    """All roots and proofs over the entries that `entry` gives for an index."""

    def __init__(self, entry: Callable[[int], bytes]) -> None:
        @cache
        def mth(start: int, end: int) -> bytes:
            if end == start:
                return sha256(b"").digest()
            if end - start == 1:
                return sha256(b"\x00" + entry(start)).digest()
            middle = split(start, end)
            return sha256(b"\x01" + mth(start, middle) + mth(middle, end)).digest()

        self.mth = mth
        """The Merkle tree hash over entries `start` to `end` (2.1)."""

    def path(self, index: int, start: int, end: int) -> list[bytes]:
        """The audit path of an entry (2.1.1)."""
        if end - start == 1:
            return []
        middle = split(start, end)
        if index < middle:
            return [*self.path(index, start, middle), self.mth(middle, end)]
        return [*self.path(index, middle, end), self.mth(start, middle)]

    def steps(self, size: int, start: int, end: int, *, whole: bool = True) -> list[bytes]:
        """The consistency proof between the first `size` entries and all (2.1.2)."""
        if size == end:
            return [] if whole else [self.mth(start, end)]
        middle = split(start, end)
        if size <= middle:
            return [*self.steps(size, start, middle, whole=whole), self.mth(middle, end)]
        return [*self.steps(size, middle, end, whole=False), self.mth(start, middle)]


def split(start: int, end: int) -> int:
    """Return where a range is divided: after the largest power of two below its length."""
    return start + (1 << (end - start - 1).bit_length() - 1)
