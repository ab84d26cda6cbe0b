"""The growing end of a log: entries made durable, segments ended, and what others have appended taken in.

Everything that writes here expects the log's lock to be held. An object knows the log up to what it has taken in; what lies beyond
it on disk, appended by another process or left by a dying one, is read by the same steps at every start and on every normal day.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from custodes.errors import LedgerRewritten
from custodes.ledger.chain import End, ends_of, lost_its_end, slices
from custodes.ledger.disk import Disk
from custodes.ledger.edge import Edge, ends_in, first_without_tiles, parse_edge, tiles_ended_by, unfinished_tiles
from custodes.ledger.merkle import TILE_BYTES, WIDTH, leaf_hashes
from custodes.ledger.proof import root_of
from custodes.ledger.segments import SEGMENT, Segments, bounds, frame, read_bytes, upper_count
from custodes.ledger.tree import Tree


class Entries:
    """The entries of one log as far as they were taken in. `ends`: of the chains; `descriptor`: of the open segment's file."""

    def __init__(self, path: Path, disk: Disk) -> None:
        """Nothing is read before `take_up`."""
        self._path = path
        self._disk = disk
        self._segments = Segments(path)
        self._tree = Tree()
        self._filled = 0  # bytes of complete entries in the open segment
        self.ends: dict[int, End] = {}
        self.descriptor = -1

    @property
    def size(self) -> int:
        """Entries taken in."""
        return self._tree.size

    def is_taken_up(self) -> bool:
        """Say whether `take_up` has come so far that there is an open segment, and `close` has not come yet."""
        return self.descriptor >= 0

    def close(self) -> None:
        """Give the file back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1

    # Reading

    def read(self, start: int, stop: int) -> list[bytes]:
        """Return entries `start` to `stop` (exclusive) as they are on disk. Raises `PartMissing`."""
        return self._segments.read(start, stop)

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` entries, at most those taken in."""
        if size >= self._tree.segments * SEGMENT:
            return self._tree.root(size)
        return root_of(self._segments, size)

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile of the tree in memory or on disk (for proofs; see `tiles.Tiles`)."""
        if level == 0 and index * WIDTH >= self._tree.segments * SEGMENT:
            start = (index * WIDTH - self._tree.segments * SEGMENT) * 32
            return bytes(self._tree.leaves[start : start + width * 32])
        if 0 < level <= len(self._tree.upper) and index == self._tree.size >> (8 * level + 8):
            return bytes(self._tree.upper[level - 1][: width * 32])
        return self._segments.tile(level, index, width)

    # One group commit

    def commit(self, entries: list[bytes], hashes: bytes) -> None:
        """Append entries, of which `hashes` are the leaf hashes, joined.

        Durable: all, on return. Order: one after the other; a segment is ended before the next begins. Again: appends again.
        """
        at = 0
        while at < len(entries):
            stop = min(len(entries), at + self._tree.room())
            self._append(entries[at:stop], hashes[at * 32 : stop * 32])
            at = stop

    def _append(self, entries: list[bytes], hashes: bytes) -> None:
        data = frame(entries)
        self._disk.write(self.descriptor, data, self._filled)
        # Before this line a crash may leave a part of the entries, after it all of them; the caller learns of them only after it.
        self._disk.sync(self.descriptor)
        self._filled += len(data)
        self._grow(entries, hashes)

    def _grow(self, entries: list[bytes], hashes: bytes) -> None:
        """Take entries that are on disk into the tree; end the segment if they fill it."""
        self.ends |= ends_of(entries, hashes, self._tree.size)
        self._tree.add(hashes)
        if self._tree.is_full():
            self._end_segment()

    def _end_segment(self) -> None:
        """Write the full segment's tiles and go on to the next. Each step may be found done already, by another process."""
        segment = self._tree.segments
        leaves, tiles = self._tree.close()
        if not self._is_closed(segment):
            self._disk.replace(self._segments.hash_path(segment), leaves)
        self._write_upper(segment, tiles)
        self._disk.replace(self._path / "edge", self._edge().to_bytes())
        self._go_to(segment + 1)

    def _write_upper(self, segment: int, tiles: list[bytes]) -> None:
        descriptor = self._disk.open(self._path / "upper", create=True)
        try:
            self._disk.write(descriptor, b"".join(tiles), upper_count(segment) * TILE_BYTES)
            # Before this line the tiles may be a hole of zeros after a power cut; `edge`, written after it, says which are not.
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _edge(self) -> Edge:
        return Edge(self._tree.segments, [bytes(hashes) for hashes in self._tree.upper], self.ends)

    def _go_to(self, segment: int) -> None:
        fresh = self._disk.open(self._segments.log_path(segment), create=True)
        self._disk.sync_folder(self._path / "seg")  # a process that died may have made the file, and not its name durable
        self.close()
        self.descriptor, self._filled = fresh, 0

    def _is_closed(self, segment: int) -> bool:
        path = self._segments.hash_path(segment)
        return path.exists() and path.stat().st_size == SEGMENT * 32

    # Reading the tail: at every start, and when another process has appended

    def take_up(self, signed: Callable[[], int]) -> None:
        """Build the tree's right edge and the chains' ends from disk, then `catch_up`.

        Durable: what was made again of tiles and `edge`, and all entries taken in. Order: tiles, `edge`, entries. Again: changes
        nothing.
        """
        closed = 0
        while self._is_closed(closed):
            closed += 1
        kept = self._path / "edge"
        edge = parse_edge(read_bytes(kept)) if kept.exists() else None
        if edge is None or edge.segments > closed:
            edge = Edge(0, [], {})
        for segment in range(min(edge.segments, first_without_tiles(self._segments)), closed):
            self._write_upper(segment, tiles_ended_by(self._segments, segment))
        self.ends = dict(edge.ends)
        for segment in range(edge.segments, closed):
            self.ends |= ends_in(self._segments, segment)
        self._tree = Tree(closed, unfinished_tiles(self._segments, closed))
        if edge.segments != closed:
            self._disk.replace(kept, self._edge().to_bytes())
        self._go_to(closed)
        self.catch_up(signed)

    def catch_up(self, signed: Callable[[], int]) -> None:
        """Take in what the disk holds beyond what this object knows; cut an incomplete last entry. Raises `LedgerRewritten`.

        `signed` tells the size that was last signed, by whichever process; it is asked only if an entry looks torn.

        Durable: all entries taken in, whoever wrote them. Order: before anything is built on them. Again: nothing, until somebody
        has appended.
        """
        while True:
            length = os.fstat(self.descriptor).st_size
            if length < self._filled:
                raise LedgerRewritten(f"the ledger is shorter than it was: entries below {self._tree.size} are gone")
            if length == self._filled:
                return
            segment = self._tree.segments
            data = read_bytes(self._segments.log_path(segment), self._filled)
            offsets = self._without_torn(data, bounds(data)[: self._tree.room() + 1], signed)
            if offsets[-1] < len(data):
                self._disk.truncate(self.descriptor, self._filled + offsets[-1])
            # What a dying process left unsynced is made durable before anybody builds on it.
            self._disk.sync(self.descriptor)
            self._filled += offsets[-1]
            entries = [entry[2:] for entry in slices(data, offsets)]
            self._grow(entries, leaf_hashes(entries))
            if self._tree.segments == segment:
                return

    def _without_torn(self, data: bytes, offsets: list[int], signed: Callable[[], int]) -> list[int]:
        """Leave out the last entry if a hole of zeros reaches into it: some file systems tear in the middle of what was not synced.

        What was signed is never left out, nor an entry that follows its source's chain.
        """
        end = offsets[-1]
        if not end or data[end - 1] or any(data[end : end + 2]):
            return offsets
        *whole, last = (entry[2:] for entry in slices(data, offsets))
        if not lost_its_end(last, self.ends | ends_of(whole, leaf_hashes(whole), self._tree.size)):
            return offsets
        return offsets if self._tree.size + len(whole) < signed() else offsets[:-1]
