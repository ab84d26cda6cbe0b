"""Reading the static folder of C2SP tlog-tiles: ours, Tessera's, or the hash tiles of Sunlight."""

from __future__ import annotations

from pathlib import Path

from custodes.errors import LedgerRewritten, PartMissing
from custodes.ledger.merkle import WIDTH
from custodes.ledger.segments import read_bytes
from custodes.ledger.tiles import ENTRIES, tile_path


class Folder:
    """Hashes and entry bundles by level and index, as `tiles.Tiles` asks for them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def tile(self, level: int, index: int, width: int = WIDTH) -> bytes:
        """Return the first `width` hashes of a tile, from the partial one or a fuller one.

        Raises `PartMissing` for a file that is absent or cut, `LedgerRewritten` for one that holds more than its hashes.
        """
        data, held = self._read(level, index, width)
        if len(data) < 32 * held:
            raise PartMissing(f"tile {index} of level {level} is shorter than its {held} hashes")
        if len(data) > 32 * held:
            raise LedgerRewritten(f"tile {index} of level {level} holds more than its {held} hashes")
        return data[: 32 * width]

    def bundle(self, index: int, width: int = WIDTH) -> bytes:
        """Return an entry bundle, which may hold more than `width` entries. Raises `PartMissing`."""
        return self._read(ENTRIES, index, width)[0]

    def _read(self, level: int | str, index: int, width: int) -> tuple[bytes, int]:
        """Return the bytes of the narrowest file that reaches to `width`, and its own width."""
        full = self.path / tile_path(level, index)
        partial = full.with_name(full.name + ".p")
        if width == WIDTH or (full.exists() and not (partial / str(width)).exists()):
            return read_bytes(full), WIDTH
        names = [file.name for file in partial.glob("*")]
        held = min((int(name) for name in names if name.isascii() and name.isdecimal() and int(name) >= width), default=width)
        return read_bytes(partial / str(held)), held
