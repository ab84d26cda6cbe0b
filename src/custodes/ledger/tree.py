"""The right edge of a growing tree: what is not yet in a full tile, and nothing else.

Memory: the leaf hashes of the open segment (at most 2 MiB) and, for each level above, those of its unfinished tile (8 KiB).
Each inner node is hashed once, when the tile that it stands in is complete.
"""

from __future__ import annotations

from custodes.ledger.merkle import TILE_BYTES, fold, fold_levels
from custodes.ledger.segments import SEGMENT


class Tree:
    """`size` entries. `upper`: for level 1 and above, the joined hashes of the unfinished tile."""

    def __init__(self, segments: int = 0, upper: list[bytes] | None = None) -> None:
        """Start with `segments` full segments behind; `upper` as they left it."""
        self.segments = segments
        self.leaves = bytearray()
        """Leaf hashes of the open segment."""
        self.upper = [bytearray(hashes) for hashes in upper or [b""]]

    @property
    def size(self) -> int:
        """Entries in the tree."""
        return self.segments * SEGMENT + len(self.leaves) // 32

    def room(self) -> int:
        """Return how many entries the open segment still takes (at least one)."""
        return SEGMENT - len(self.leaves) // 32

    def add(self, hashes: bytes) -> None:
        """Append leaf hashes (joined), at most `room()` of them. With a full segment, `close` is due before anything else."""
        done = len(self.leaves) // TILE_BYTES
        self.leaves += hashes
        for tile in range(done, len(self.leaves) // TILE_BYTES):
            self.upper[0] += fold(bytes(self.leaves[tile * TILE_BYTES : (tile + 1) * TILE_BYTES]))

    def is_full(self) -> bool:
        """Say whether the open segment is full."""
        return len(self.leaves) == SEGMENT * 32

    def close(self) -> tuple[bytes, list[bytes]]:
        """End the full segment: return its level-0 tiles and the tiles of level 1 and above that it completes, lowest first."""
        leaves, done = bytes(self.leaves), []
        self.leaves.clear()
        self.segments += 1
        for level in range(len(self.upper)):
            hashes = self.upper[level]
            if len(hashes) < TILE_BYTES:
                break
            done.append(bytes(hashes))
            if level + 1 == len(self.upper):
                self.upper.append(bytearray())
            self.upper[level + 1] += fold(bytes(hashes))
            hashes.clear()
        return leaves, done

    def levels(self, size: int | None = None) -> list[bytes]:
        """Return the right edge of the tree of `size` entries, which ends in the open segment; by default of the whole tree."""
        count = len(self.leaves) // 32 if size is None else size - self.segments * SEGMENT
        if not 0 <= count * 32 <= len(self.leaves):
            raise ValueError("this tree's open segment does not reach to that size")
        tiles = count * 32 // TILE_BYTES
        return [
            bytes(self.leaves[tiles * TILE_BYTES : count * 32]),
            bytes(self.upper[0][: tiles * 32]),
            *(bytes(hashes) for hashes in self.upper[1:]),
        ]

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the tree of `size` entries, which ends in the open segment; by default of the whole tree."""
        return fold_levels(self.levels(size))
