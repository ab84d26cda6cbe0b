"""Segments: 65,536 entries a file, each as u16 length and bytes, which are the concatenated entry bundles byte for byte.

    seg/NNNNNN.log    the entries          seg/NNNNNN.hash   its level-0 tiles, written once, when the segment is full
    upper             full tiles of level ≥ 1, each 8,192 bytes, in the order in which segments complete them

Everything here reads; nothing is trusted before a root is computed from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from custodes.errors import PartMissing
from custodes.ledger.leaf import SIZE as LEAF_SIZE
from custodes.ledger.merkle import TILE_BYTES, WIDTH, fold, leaf_hashes

SEGMENT: Final = 65_536
"""Entries in a full segment."""
MOST_ENTRY: Final = 65_535
"""Bytes of the longest entry. The shortest has one byte: a length of zero is an unwritten tail."""
_STRIDE: Final = LEAF_SIZE + 2
_LEAF_HEAD: Final = LEAF_SIZE.to_bytes(2, "big")


class Segments:
    """Reads a log's directory. Keeps the offsets of the segment last read, nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: tuple[int, bytes, list[int]] = (-1, b"", [0])

    def log_path(self, segment: int) -> Path:
        """Return the path of a segment's entries."""
        return self.path / "seg" / f"{segment:06d}.log"

    def hash_path(self, segment: int) -> Path:
        """Return the path of a full segment's level-0 tiles."""
        return self.path / "seg" / f"{segment:06d}.hash"

    def data(self, segment: int) -> bytes:
        """Return the bytes of a segment's entries. Raises `PartMissing`."""
        return read_bytes(self.log_path(segment))

    def read(self, start: int, stop: int) -> list[bytes]:
        """Return entries `start` to `stop` (exclusive). Raises `PartMissing` if the files hold fewer."""
        entries: list[bytes] = []
        at = start
        while at < stop:
            segment, first = divmod(at, SEGMENT)
            last = min(SEGMENT, stop - segment * SEGMENT)
            data, offsets = self._load(segment, last)
            if len(offsets) <= last:
                raise PartMissing(f"segment {segment:06d} of the ledger ends before entry {segment * SEGMENT + last - 1}")
            entries += [data[a + 2 : b] for a, b in pairwise(offsets[first : last + 1])]
            at = segment * SEGMENT + last
        return entries

    def _load(self, segment: int, need: int) -> tuple[bytes, list[int]]:
        known, data, offsets = self._last
        if known != segment or len(offsets) <= need:
            data = self.data(segment)
            offsets = bounds(data)
            self._last = (segment, data, offsets)
        return data, offsets

    def tile(self, level: int, index: int, width: int = WIDTH) -> bytes:
        """Return the first `width` hashes of a tile: level 0 from `.hash` or the entries, above from `upper` or the tiles below."""
        if level == 0:
            segment, within = divmod(index, SEGMENT // WIDTH)
            if self.hash_path(segment).exists():
                return read_bytes(self.hash_path(segment), within * TILE_BYTES, width * 32)
            return leaf_hashes(self.read(index * WIDTH, index * WIDTH + width))
        position = upper_position(level, index) * TILE_BYTES
        path = self.path / "upper"
        if path.exists() and path.stat().st_size >= position + TILE_BYTES and self._is_full(level, index):
            return read_bytes(path, position, width * 32)
        return b"".join(fold(self.tile(level - 1, index * WIDTH + child)) for child in range(width))

    def _is_full(self, level: int, index: int) -> bool:
        # A full tile of level L ends with segment (index + 1) · 256^(L − 1) − 1, whose tiles of level 0 then exist.
        return self.hash_path((index + 1) * WIDTH ** (level - 1) - 1).exists()

    def bundle(self, index: int, width: int = WIDTH) -> bytes:
        """Return the first `width` entries of bundle `index` as they stand in the file: u16 length and bytes each."""
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in self.read(index * WIDTH, index * WIDTH + width))


def upper_position(level: int, index: int) -> int:
    """Return the place (counted in tiles) of a full tile of `level` ≥ 1 in `upper`."""
    segment = (index + 1) * WIDTH ** (level - 1) - 1
    return upper_count(segment) + level - 1


def upper_count(segments: int) -> int:
    """Return how many tiles of level ≥ 1 are full after `segments` full segments."""
    count = 0
    while segments:
        count += segments
        segments //= WIDTH
    return count


def frame(entries: Sequence[bytes]) -> bytes:
    """Return entries as a segment (and an entry bundle) holds them: u16 length and bytes each."""
    if set(map(len, entries)) == {LEAF_SIZE}:
        return _LEAF_HEAD + _LEAF_HEAD.join(entries)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def bounds(data: bytes) -> list[int]:
    """Return where each complete entry starts, and where the last one ends. Stops at an incomplete or empty entry."""
    count = len(data) // _STRIDE
    whole = count * _STRIDE
    if data[0:whole:_STRIDE] == bytes(count) and data[1:whole:_STRIDE] == bytes((LEAF_SIZE,)) * count:
        # Only leaves of 96 bytes: by induction each stands 98 bytes after the one before.
        offsets = list(range(0, whole + 1, _STRIDE))
    else:
        offsets = [0]
    at, end = offsets[-1], len(data)
    while at + 2 < end:
        size = data[at] << 8 | data[at + 1]
        at += 2 + size
        if not size or at > end:
            break
        offsets.append(at)
    return offsets


def read_bytes(path: Path, offset: int = 0, size: int = -1) -> bytes:
    """Return `size` bytes of a file from `offset` (all with −1). Raises `PartMissing` if it cannot be read or is too short."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as wrong:
        raise PartMissing(f"{path.name} of the ledger cannot be read ({wrong.strerror})") from None
    if size >= 0 and len(data) != size:
        raise PartMissing(f"{path.name} of the ledger is shorter than its entries ask for")
    return data
