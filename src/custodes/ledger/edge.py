"""What the full segments of a log leave open at its right edge: unfinished tiles above level 0, and where each chain ends.

The file `edge` keeps it, so that starting need not read the whole log. It is never trusted for more than time saved: everything in
it, and every full tile in `upper`, can be made again from the segments, by the functions below.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Final, NamedTuple

from custodes.ledger.chain import End, ends_of, slices
from custodes.ledger.merkle import TILE_BYTES, WIDTH, fold
from custodes.ledger.segments import SEGMENT, Segments, bounds, read_bytes, upper_count

_HEADER: Final = "custodes.edge/1"


class Edge(NamedTuple):
    """What `segments` full segments left open: hashes of the unfinished tiles of level 1 and above, and the chains' ends."""

    segments: int
    upper: list[bytes]
    ends: dict[int, End]

    def to_bytes(self) -> bytes:
        """Return the edge as text, with a check sum."""
        lines = [_HEADER, f"segments {self.segments}"]
        lines += [f"level {level} {base64.b64encode(hashes).decode('ascii')}" for level, hashes in enumerate(self.upper, 1)]
        lines += [f"source {source} {e.seq} {e.hour} {e.place} {e.head.hex()}" for source, e in sorted(self.ends.items())]
        text = "".join(f"{line}\n" for line in lines).encode()
        return text + sha256(text).hexdigest().encode() + b"\n"


def parse_edge(data: bytes) -> Edge | None:
    """Read what `Edge.to_bytes` gave; `None` if it is damaged or of another version (it can be made again)."""
    text, check = data[:-65], data[-65:]
    if check != sha256(text).hexdigest().encode() + b"\n" or not text.startswith(_HEADER.encode() + b"\n"):
        return None
    segments, upper, ends = 0, [], {}
    try:
        for line in text.decode().splitlines()[1:]:
            match line.split(" "):
                case ["segments", count]:
                    segments = int(count)
                case ["level", _, hashes]:
                    upper.append(base64.b64decode(hashes, validate=True))
                case ["source", source, seq, hour, place, head]:
                    ends[int(source)] = End(int(seq), int(hour), int(place), bytes.fromhex(head))
                case _:
                    return None
    except (ValueError, binascii.Error):
        return None
    return Edge(segments, upper, ends)


def tiles_ended_by(segments: Segments, segment: int) -> list[bytes]:
    """Return the tiles above level 0 that a full segment completes, lowest first; those of segments before it are in `upper`."""
    first = segment * SEGMENT // WIDTH
    tiles = [b"".join(fold(segments.tile(0, first + child)) for child in range(WIDTH))]
    while (segment + 1) % WIDTH ** len(tiles) == 0:
        level = len(tiles)
        start = (segment + 1) // WIDTH ** (level - 1) - WIDTH
        below = [segments.tile(level, start + child) for child in range(WIDTH - 1)]
        tiles.append(b"".join(fold(tile) for tile in (*below, tiles[-1])))
    return tiles


def first_without_tiles(segments: Segments) -> int:
    """Return the first segment of which `upper` may lack a tile."""
    path = segments.path / "upper"
    whole = path.stat().st_size // TILE_BYTES if path.exists() else 0
    segment = 0
    while upper_count(segment + 1) <= whole:
        segment += 1
    return segment


def unfinished_tiles(segments: Segments, closed: int) -> list[bytes]:
    """Return the unfinished tiles of level 1 and above after `closed` full segments."""
    upper = [b""]
    level, count = 1, closed
    while count:
        full = count - count % WIDTH
        upper.append(b"".join(fold(segments.tile(level, index)) for index in range(full, count)))
        level, count = level + 1, count // WIDTH
    return upper


def ends_in(segments: Segments, segment: int) -> dict[int, End]:
    """Return the end of each source's chain within a full segment."""
    data = segments.data(segment)
    entries = [entry[2:] for entry in slices(data, bounds(data))]
    return ends_of(entries, read_bytes(segments.hash_path(segment)), segment * SEGMENT)
