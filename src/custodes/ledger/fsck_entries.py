"""The contents' side of `fsck`: one pass over all entries, from their bytes up to every root that was signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Final

from custodes.ledger.chain import End, ends_of
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.edge import parse_edge
from custodes.ledger.fsck_report import FsckReport
from custodes.ledger.leaf import NO_PREV, SIZE, VERSION
from custodes.ledger.merkle import EMPTY_ROOT, TILE_BYTES, leaf_hashes
from custodes.ledger.segments import SEGMENT, Segments, bounds, upper_count
from custodes.ledger.tree import Tree

_LINKS: Final = Struct(">6xHQ64x16s").unpack
_SEQS: Final = 2**64

Progress = Callable[[int, int], None]
"""Called with entries done and entries signed."""


class Walk:
    """One pass over all segments."""

    def __init__(self, reader: Segments, records: list[Checkpoint], report: FsckReport, progress: Progress | None) -> None:
        self._reader = reader
        self._report = report
        self._progress = progress
        self._tree = Tree()
        self._waiting = sorted(records, key=lambda record: record.size, reverse=True)
        self._links: dict[int, tuple[int, bytes]] = {}
        self._ends: dict[int, End] = {}
        self._edge_ends: dict[int, End] = {}
        self._foreign = 0

    def run(self) -> None:
        """Walk, then say what is missing."""
        report = self._report
        self._check_roots(0)
        segment, more = 0, True
        while more:
            data = self._optional(self._reader.log_path(segment))
            more = data is not None and self._take(segment, data)
            segment += more
        report.entries = self._tree.size
        report.sources = len(self._links)
        for record in reversed(self._waiting):
            if not report.unread:
                report.problem(f"size {record.size} was signed, but the log ends at {report.entries}")
        self._check_files(segment)
        if self._foreign:
            report.notes.append(f"{self._foreign} entries are no leaves of version {VERSION}")
        if report.entries > report.signed_entries:
            report.notes.append(f"{report.entries - report.signed_entries} entries are not signed yet")

    def _take(self, segment: int, data: bytes) -> bool:
        """Check one segment; return whether there may be another."""
        report, first = self._report, self._tree.size
        offsets = bounds(data)
        entries = [data[start + 2 : end] for start, end in pairwise(offsets)]
        hashes = leaf_hashes(entries)
        if len(entries) > SEGMENT:
            report.problem(f"segment {segment:06d} holds more than {SEGMENT} entries")
            return False
        self._tree.add(hashes)
        report.segments += 1
        self._check_chain(entries, hashes, first)
        self._ends |= ends_of(entries, hashes, first)
        self._check_roots(first + len(entries))
        full = self._tree.is_full()
        if offsets[-1] < len(data):
            if full or first + len(entries) < report.signed_entries:
                report.problem(f"segment {segment:06d} does not hold whole entries from byte {offsets[-1]} on")
            else:
                report.notes.append(f"an unfinished entry of {len(data) - offsets[-1]} bytes; the next start cuts it")
        if full:
            self._check_tiles(segment)
        if self._progress is not None:
            self._progress(self._tree.size, report.signed_entries)
        return full

    def _check_roots(self, size: int) -> None:
        while self._waiting and self._waiting[-1].size <= size:
            record = self._waiting.pop()
            if (self._tree.root(record.size) if record.size else EMPTY_ROOT) != record.root:
                self._report.problem(f"the contents do not lead to the root that was signed at size {record.size}")

    def _check_chain(self, entries: list[bytes], hashes: bytes, first: int) -> None:
        links = self._links
        for at, entry in enumerate(entries):
            if len(entry) != SIZE or entry[0] != VERSION:
                self._foreign += 1
                continue
            source, seq, prev = _LINKS(entry)
            if (seq, prev) != links.get(source, (0, NO_PREV)):
                self._report.problem(f"entry {first + at} does not follow the last one of its source ({source})")
            links[source] = ((seq + 1) % _SEQS, hashes[at * 32 : at * 32 + 16])

    def _check_tiles(self, segment: int) -> None:
        """Compare the stored tiles of a full segment with those that its contents make."""
        report = self._report
        leaves, upper = self._tree.close()
        stored = self._optional(self._reader.hash_path(segment))
        if stored is None:
            report.notes.append(f"segment {segment:06d} has no stored tiles yet; the next start makes them")
        elif stored != leaves:
            report.problem(f"the stored tiles of segment {segment:06d} are not those of its entries")
        report.tiles += SEGMENT * 32 // TILE_BYTES + len(upper)
        position = upper_count(segment) * TILE_BYTES
        path = self._reader.path / "upper"
        for place, tile in zip(range(position, position + len(upper) * TILE_BYTES, TILE_BYTES), upper, strict=True):
            found = self._slice(path, place)
            if found is None:
                report.notes.append(f"upper lacks a tile of segment {segment:06d}; the next start makes it")
            elif found != tile:
                report.problem(f"a tile above segment {segment:06d} is not that of its entries")
        self._edge_ends = dict(self._ends)

    def _check_files(self, last: int) -> None:
        """Look for files and bytes that no writer has put there, and at the remembered edge."""
        path, segments = self._reader.path, self._tree.segments
        if not self._reader.log_path(last).exists() and self._reader.log_path(last + 1).exists():
            self._report.problem(f"segment {last:06d} is missing")
        upper = (path / "upper").stat().st_size if (path / "upper").exists() else 0
        closed = segments
        while self._reader.hash_path(closed).exists():
            closed += 1  # a writer at work may have gone on meanwhile
        if upper > upper_count(closed) * TILE_BYTES:
            self._report.problem("upper holds more tiles than the entries make")
        data = self._optional(path / "edge")
        if data is None:
            return
        edge = parse_edge(data)
        if edge is None:
            self._report.problem("edge is damaged; remove it, and the next start makes it again")
        elif edge.segments == segments and (edge.ends != self._edge_ends or edge.upper != [bytes(h) for h in self._boundary()]):
            self._report.problem("edge does not remember what the entries make")

    def _boundary(self) -> Iterator[bytes]:
        yield b""  # level 1 is empty after a full segment
        yield from (bytes(hashes) for hashes in self._tree.upper[1:])

    def _optional(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as wrong:
            self._report.unread.append(f"{path.name} cannot be read ({wrong.strerror})")
            return None

    def _slice(self, path: Path, place: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                file.seek(place)
                return file.read(TILE_BYTES) or None
        except OSError:
            return None
