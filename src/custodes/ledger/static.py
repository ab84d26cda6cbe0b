"""Reading the static folder of C2SP tlog-tiles: ours, Tessera's, or the hash tiles of Sunlight."""

from __future__ import annotations

from pathlib import Path

from custodes.ledger.merkle import WIDTH
from custodes.ledger.segments import read_bytes
from custodes.ledger.tiles import ENTRIES, tile_path


class Folder:
    """Hashes and entry bundles by level and index, as `tiles.Tiles` asks for them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tile(self, level: int, index: int, width: int = WIDTH) -> bytes:
        """Return the first `width` hashes of a tile, from the partial one or a fuller one. Raises `PartMissing`."""
        return self._read(level, index, width, 32 * width)

    def bundle(self, index: int, width: int = WIDTH) -> bytes:
        """Return an entry bundle, which may hold more than `width` entries. Raises `PartMissing`."""
        return self._read(ENTRIES, index, width, -1)

    def _read(self, level: int | str, index: int, width: int, size: int) -> bytes:
        exact = self.path / tile_path(level, index, width)
        if exact.exists():
            return read_bytes(exact, 0, size)
        full = self.path / tile_path(level, index)
        if not full.exists():
            partial = full.with_name(full.name + ".p")
            wider = [int(file.name) for file in partial.glob("*") if file.name.isdecimal() and int(file.name) > width]
            full = partial / str(min(wider, default=width))
        return read_bytes(full, 0, size)
