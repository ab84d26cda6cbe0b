"""A static folder (C2SP tlog-tiles), hashed again from its entry bundles up.

Each stored tile, partial ones that fuller ones have replaced included, must be a prefix of what the entries make.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from custodes.errors import LedgerRewritten, PartMissing
from custodes.ledger.merkle import WIDTH, fold, fold_levels, leaf_hashes
from custodes.ledger.segments import bounds
from custodes.ledger.static import Folder
from custodes.ledger.tiles import ENTRIES, tile_path


def walk(path: Path, size: int) -> tuple[bytes, int, int]:
    """Return root, number of entries and number of tile files compared, of the first `size` entries.

    Raises `PartMissing` for a bundle or tile that is absent, `LedgerRewritten` for one that is not what the entries make.
    """
    walker = _Walker(path)
    for index in range(size // WIDTH):
        walker.bundle(index, WIDTH)
    if size % WIDTH:
        walker.bundle(size // WIDTH, size % WIDTH)
    walker.unfinished(size)
    return fold_levels([bytes(hashes) for hashes in walker.levels]), walker.entries, walker.tiles


class _Walker:
    def __init__(self, path: Path) -> None:
        self._folder = Folder(path)
        self.levels = [bytearray()]
        self.entries = 0
        self.tiles = 0

    def bundle(self, index: int, width: int) -> None:
        """Hash one bundle and take it in."""
        data = self._folder.bundle(index, width)
        offsets = bounds(data)
        if len(offsets) <= width or (len(offsets) == width + 1 and offsets[-1] != len(data)):
            raise LedgerRewritten(f"entry bundle {index} does not hold whole entries")
        self._compare(ENTRIES, index, data, offsets)
        entries = [data[start + 2 : end] for start, end in pairwise(offsets[: width + 1])]
        self.entries += len(entries)
        self.levels[0] += leaf_hashes(entries)
        if width == WIDTH:
            self._full(0, index)

    def _full(self, level: int, index: int) -> None:
        """A tile is complete: compare it, and hand its root up."""
        hashes = bytes(self.levels[level])
        self._tile(level, index, hashes)
        self.levels[level].clear()
        if level + 1 == len(self.levels):
            self.levels.append(bytearray())
        self.levels[level + 1] += fold(hashes)
        if len(self.levels[level + 1]) == WIDTH * 32:
            self._full(level + 1, index // WIDTH)

    def unfinished(self, size: int) -> None:
        """Compare the partial tiles at the right edge."""
        for level, hashes in enumerate(self.levels):
            if hashes:
                self._tile(level, size >> (8 * level + 8), bytes(hashes))

    def _tile(self, level: int, index: int, hashes: bytes) -> None:
        if self._folder.tile(level, index, len(hashes) // 32) != hashes:
            raise LedgerRewritten(f"tile {index} of level {level} is not what the entries make")
        self.tiles += 1
        self._compare(level, index, hashes, range(0, len(hashes) + 1, 32))

    def _compare(self, level: int | str, index: int, data: bytes, ends: list[int] | range) -> None:
        """Check older partial files of the same tile: each is a prefix. `ends[w]`: bytes of the first w items."""
        older = self._folder.path / (tile_path(level, index) + ".p")
        if not older.is_dir():
            return
        for file in older.iterdir():
            width = int(file.name) if file.name.isascii() and file.name.isdecimal() else 0
            if 0 < width < len(ends) and self._bytes(file) != data[: ends[width]]:
                raise LedgerRewritten(f"partial tile {width} of tile {index} of level {level} is not a prefix of the fuller one")
            self.tiles += level != ENTRIES

    def _bytes(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as wrong:
            raise PartMissing(f"a partial tile cannot be read ({wrong.strerror})") from None
