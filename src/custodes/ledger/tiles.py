"""Tiles of 256 hashes (C2SP tlog-tiles v0.1.0): their paths, how many a tree has, and where a proof reads them from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from custodes.ledger.merkle import WIDTH

ENTRIES: Final = "entries"
_PATH: Final = re.compile(r"tile/(entries|0|[1-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Tiles(Protocol):
    """Where a reader gets hashes from: a log's directory, a static folder, a mirror."""

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes (joined) of tile `index` of `level`; raises `PartMissing` or `LedgerRewritten`."""
        ...


@dataclass(frozen=True, slots=True)
class TilePath:
    """A parsed path. `level`: 0 to 63, or -1 for entry bundles; `width`: 1 to 256."""

    level: int
    index: int
    width: int


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Return the path of a tile, or with `level` = "entries" of an entry bundle; below 256 entries a partial one."""
    groups = []
    rest = index
    while True:
        groups.append(f"{rest % 1000:03d}")
        rest //= 1000
        if not rest:
            break
    path = "/".join([*(f"x{group}" for group in reversed(groups[1:])), groups[0]])
    return f"tile/{level}/{path}" + ("" if width == WIDTH else f".p/{width}")


def parse_tile_path(path: str) -> TilePath | None:
    """Read a path; `None` if it is not exactly what `tile_path` writes."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level, digits, width = match.groups()
    parsed = TilePath(
        -1 if level == ENTRIES else int(level), int(digits.replace("/", "").replace("x", "")), int(width) if width else WIDTH
    )
    exact = tile_path(level, parsed.index, parsed.width) == path and (width is None or parsed.width < WIDTH)
    return parsed if exact else None


def tiles_of(size: int) -> list[tuple[int, int]]:
    """Return for each level, from 0, how many full tiles a tree of `size` entries has and how wide the partial one is (or 0)."""
    counts = []
    while size:
        counts.append((size // WIDTH, size % WIDTH))
        size //= WIDTH
    return counts
