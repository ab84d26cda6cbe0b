"""Chains of leaves, one for each source: gap-free `seq`, `prev` naming the leaf before, and an hour that never falls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Final, NamedTuple

from custodes.ledger.leaf import NO_PREV, SIZE, VERSION, encode


class End(NamedTuple):
    """The last leaf of a source. `place`: its index in the log; `head`: first 16 bytes of its hash."""

    seq: int
    hour: int
    place: int
    head: bytes


NEW: Final = End(-1, 0, -1, NO_PREV)
"""The end of a source that has no leaf yet: its first leaf has seq 0."""


def ends_of(entries: Sequence[bytes], hashes: bytes, first: int) -> dict[int, End]:
    """Return the end of each source's chain within entries that start at index `first`; entries that are no leaves are skipped."""
    last = {entry[6:8]: at for at, entry in enumerate(entries) if len(entry) == SIZE and entry[0] == VERSION}
    ends = {}
    for source, at in last.items():
        entry = entries[at]
        seq, hour = int.from_bytes(entry[8:16], "big"), int.from_bytes(entry[2:6], "big")
        ends[int.from_bytes(source, "big")] = End(seq, hour, first + at, hashes[at * 32 : at * 32 + 16])
    return ends


def lost_its_end(entry: bytes, ends: dict[int, End]) -> bool:
    """Say whether an entry that ends in zeros, the last of a log, is not whole: then it was never acknowledged.

    A leaf ends with a commitment, a hash, and with `prev`, which its source's chain tells; a JSON entry ends with a brace. Of other
    entries nothing is known.
    """
    if len(entry) == SIZE and entry[0] == VERSION:
        end = ends.get(int.from_bytes(entry[6:8], "big"), NEW)
        # A source's first leaf has no `prev` to tell by; that four bytes of a hash are zero happens once in 2^32.
        return (int.from_bytes(entry[8:16], "big"), entry[80:]) != (end.seq + 1, end.head) or not any(entry[76:])
    return entry[:1] == b"{" and entry[-1:] != b"}"


class Batch:
    """Leaves about to be appended together. `first`: index that the first of them will have."""

    def __init__(self, first: int, ends: dict[int, End]) -> None:
        self.first = first
        self._ends = dict(ends)
        self._fresh: dict[int, tuple[int, bytes]] = {}  # source → (seq, head); a plain pair, made millions of times
        self._hour = max((end.hour for end in ends.values()), default=0)
        self.entries: list[bytes] = []
        self.hashes: list[bytes] = []

    def next_of(self, source: int) -> tuple[int, bytes]:
        """Return the `seq` and `prev` that the next leaf of a source will have."""
        known = self._fresh.get(source)
        if known is None:
            end = self._ends.get(source, NEW)
            known = (end.seq, end.head)
        return known[0] + 1, known[1]

    def add(self, kind: int, hour: int, source: int, tag: bytes, commit: bytes) -> tuple[int, bytes]:
        """Add a leaf and return its index and leaf hash; `seq` and `prev` follow the source's chain, `hour` never falls."""
        seq, prev = self.next_of(source)
        self._hour = hour = max(hour, self._hour)
        entry = encode(kind, hour, source, seq, tag, commit, prev)
        leaf = sha256(b"\x00" + entry).digest()
        self._fresh[source] = (seq, leaf[:16])
        self.entries.append(entry)
        self.hashes.append(leaf)
        return self.first + len(self.entries) - 1, leaf

    def add_entry(self, entry: bytes) -> int:
        """Add an entry that is no leaf (of a log of something else than leaves) and return its index."""
        self.entries.append(entry)
        self.hashes.append(sha256(b"\x00" + entry).digest())
        return self.first + len(self.entries) - 1

    def hour(self, hour: int) -> int:
        """Return the hour that a leaf added now would have: `hour`, or the last one's if the clock went back."""
        return max(hour, self._hour)

    def add_all(self, hour: int, source: int, leaves: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Add leaves (kind, tag, commitment) of one source in order, as `add` does; `hashes` then has their hashes."""
        seq, prev = self.next_of(source)
        self._hour = hour = max(hour, self._hour)
        keep, keep_hash = self.entries.append, self.hashes.append
        for kind, tag, commit in leaves:
            entry = encode(kind, hour, source, seq, tag, commit, prev)
            leaf = sha256(b"\x00" + entry).digest()
            prev = leaf[:16]
            seq += 1
            keep(entry)
            keep_hash(leaf)
        self._fresh[source] = (seq - 1, prev)


def slices(buffer: bytes, offsets: Sequence[int]) -> list[bytes]:
    """Return the entries `buffer[offsets[i]:offsets[i + 1]]`."""
    return [buffer[start:end] for start, end in pairwise(offsets)]
