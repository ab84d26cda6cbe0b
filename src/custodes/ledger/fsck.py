"""`fsck`: does this directory hold what was signed? Everything is hashed again from its contents; no stored state is believed.

    contents → leaf hashes → stored tiles → the root of every record in `signed` → its signatures → `checkpoint` is the last
    record, byte for byte → `seq` and `prev` of every source → what a vault says of the contents behind the leaves
    → the index log, likewise, and each of its roots from the leaves and tag lists

The outcome is a report, also for the worst log; nothing is raised for content. `problems` mean that nobody should trust the log
(exit 3), `unread` that a part could not be looked at (exit 2), `notes` are facts worth knowing that prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Final, Protocol

from custodes.errors import CustodesError
from custodes.ledger.chain import End, ends_of
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.edge import parse_edge
from custodes.ledger.index_check import IndexReport, check_index
from custodes.ledger.leaf import NO_PREV, SIZE, VERSION
from custodes.ledger.merkle import EMPTY_ROOT, TILE_BYTES, leaf_hashes
from custodes.ledger.note import Key, Note, parse, parse_key, verify
from custodes.ledger.published import FORK, WITNESSES, is_proven_fork
from custodes.ledger.segments import SEGMENT, Segments, bounds, upper_count
from custodes.ledger.signed import split
from custodes.ledger.tree import Tree

_LINKS: Final = Struct(">6xHQ64x16s").unpack
_MOST_TOLD: Final = 100
"""Problems that are spelled out; what comes after them is counted only."""
_SEQS: Final = 2**64


class Findings(Protocol):
    """What a vault says of itself: leaves whose contents fit, and sentences about those that do not."""

    opened: int
    erased: int
    expired: int
    problems: list[str]


class Vault(Protocol):
    """Whoever holds the contents behind the leaves."""

    def check(self, read: Callable[[int, int], list[bytes]], size: int) -> Findings:
        """Compare the contents held with the log's entries; `read(start, stop)` gives them, up to `size`."""
        ...


@dataclass(slots=True)
class FsckReport:
    """What was checked and found. `entries`: all complete ones; `signed_entries`: those below the last signed size."""

    origin: str = ""
    entries: int = 0
    signed_entries: int = 0
    segments: int = 0
    tiles: int = 0
    records: int = 0
    signatures: int = 0
    sources: int = 0
    opened: int = 0
    erased: int = 0
    """Leaves of which a part was erased, with a record."""
    expired: int = 0
    """Batches whose raw records expired, with a record."""
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untold: int = 0
    index: IndexReport | None = None
    """What was found about the roots of the index, if they were looked at; its problems are among `problems`."""
    last: Checkpoint | None = None
    """The last record of `signed`, if it can be read (its signatures are a matter of `problems`)."""

    @property
    def exit_code(self) -> int:
        """3 broken, 2 a part could not be read, 0 sound."""
        return 3 if self.problems else 2 if self.unread else 0

    def problem(self, text: str) -> None:
        """Take down a problem."""
        if len(self.problems) < _MOST_TOLD:
            self.problems.append(text)
        else:
            self.untold += 1


Progress = Callable[[int, int], None]
"""Called with entries done and entries signed."""


def fsck(
    path: Path,
    vault: Vault | None = None,
    *,
    keys: Sequence[Key] | None = None,
    index: Path | None = None,
    progress: Progress | None = None,
) -> FsckReport:
    """Check the log in the directory `path`, with `vault` the contents behind its leaves, with `index` its index log there.

    `keys`: the reader's keys; without them the log's own (`vkey`) are used, which find damage but not an exchanged log.
    May run while a writer appends: what is not signed yet is checked for its form only.
    """
    report = FsckReport()
    # 0. The index log on its own, and before the log that it covers: a writer may be at work.
    index_report = None if index is None else fsck(index)
    # 1. The keys that every record must be signed with. A log's own list must name all signers, a reader's need not.
    own = keys is None
    known = _vkeys(path / "vkey", report) if keys is None else list(keys)
    # 2. Every checkpoint ever signed: its form, its order, its signatures.
    published, signed = _published_and_signed(path, report)
    records = _records(signed, report) if signed is not None else []
    for at, record in enumerate(records):
        _check_signatures(at, record, known, report, strict=own)
    # 3. `checkpoint` is the last of them, or the last that enough witnesses have seen; none of those has seen another history.
    if published is not None and records:
        _check_published(path, published, records, report)
    if (path / FORK).exists():
        _check_fork(path, known, report)
    # 4. Contents → leaf hashes → tiles → the root of every record; `seq` and `prev` on the way.
    reader = Segments(path)
    _Walk(reader, records, report, progress).run()
    # 5. What lies behind the leaves.
    if vault is not None:
        _check_vault(vault, reader, report)
    # 6. Each root of the index, from the leaves and tag lists.
    if index is not None and index_report is not None:
        _check_index(index, index_report, path, report)
    return report


def _check_index(index: Path, own: FsckReport, path: Path, report: FsckReport) -> None:
    for text in own.problems:
        report.problem(f"index log: {text}")
    report.untold += own.untold
    report.unread += [f"index log: {text}" for text in own.unread]
    if own.last is None or report.last is None or own.problems or own.unread:
        return
    found = report.index = check_index(path, index, own.origin, own.signed_entries, report.last)
    for text in found.problems:
        report.problem(f"index: {text}")
    report.unread += [f"index: {text}" for text in found.unread]
    report.notes += found.notes


def _read(path: Path, report: FsckReport) -> bytes | None:
    """Return a file's bytes. Absent is a problem, unreadable is unread."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        report.problem(f"{path.name} is missing")
    except OSError as wrong:
        report.unread.append(f"{path.name} cannot be read ({wrong.strerror})")
    return None


def _vkeys(path: Path, report: FsckReport) -> list[Key]:
    data = _read(path, report)
    if data is None:
        return []
    try:
        keys = [parse_key(line) for line in data.decode().splitlines()]
    except (CustodesError, UnicodeDecodeError):
        report.problem(f"{path.name} does not hold verifier keys")
        return []
    if "".join(f"{key.vkey()}\n" for key in keys).encode() != data or not keys:
        report.problem(f"{path.name} is not exactly a list of verifier keys")
    return keys


def _published_and_signed(path: Path, report: FsckReport) -> tuple[bytes | None, bytes | None]:
    """Read both, the published one first; again if they differ: a writer at work appends to `signed` before it publishes."""
    for _ in range(5):
        published, signed = (_peek(path / name) for name in ("checkpoint", "signed"))
        if published is None or signed is None or published.partition(b"\n\n")[0] in signed:
            break
    return _read(path / "checkpoint", report) if published is None else published, (
        _read(path / "signed", report) if signed is None else signed
    )


def _peek(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _records(data: bytes, report: FsckReport) -> list[Checkpoint]:
    notes, length = split(data)
    if length < len(data):
        report.notes.append("signed ends with a record that a crash cut off; it was never shown")
    records: list[Checkpoint] = []
    for at, note in enumerate(notes):
        try:
            record = read_unverified(note)
        except CustodesError as wrong:
            report.problem(f"record {at} of signed is damaged: {wrong}")
            continue
        if records and (record.origin != records[0].origin or record.size <= records[-1].size):
            report.problem(f"record {at} of signed is of another log, or not larger than the one before")
        records.append(record)
    if not records:
        report.problem("signed holds no checkpoint; a log signs its empty tree when it is made")
        return []
    report.records, report.origin, report.last = len(records), records[0].origin, records[-1]
    report.signed_entries = records[-1].size
    return records


def _check_signatures(at: int, record: Checkpoint, keys: list[Key], report: FsckReport, *, strict: bool) -> None:
    if not keys:
        return
    try:
        opened = verify(parse(record.note), keys)
    except CustodesError as wrong:
        report.problem(f"record {at} of signed (size {record.size}): {wrong}")
        return
    report.signatures += len(opened.verified)
    if strict and (opened.unverified or len(opened.verified) != len(keys)):
        report.problem(f"record {at} of signed (size {record.size}) is not signed by exactly the log's keys")


def _check_published(path: Path, data: bytes, records: list[Checkpoint], report: FsckReport) -> None:
    """The published note is a record of `signed`, byte for byte, and after it lines of the log's witnesses alone."""
    at = next((at for at in reversed(range(len(records))) if data.startswith(records[at].note)), None)
    if at is None:
        report.problem("checkpoint is not the last record of signed, byte for byte")
        return
    witnessed = (path / WITNESSES).exists()
    waiting = len(records) - 1 - at
    if waiting and witnessed:
        report.notes.append(f"{waiting} signed checkpoints after size {records[at].size} wait for enough witnesses")
    elif waiting == 1:
        # A crash (or a writer at this moment) between the two steps of publishing: the next start publishes the last.
        report.notes.append("the last signed checkpoint is not published yet")
    elif waiting:
        report.problem("checkpoint is not the last record of signed, byte for byte")
    if data != records[at].note:
        _check_cosigned(
            data, _vkeys(path / WITNESSES, report) if witnessed else [], len(parse(records[at].note).signatures), report
        )


def _check_fork(path: Path, keys: list[Key], report: FsckReport) -> None:
    """A second history under this log's key is a problem; one that a witness only claims keeps the first from being believed."""
    if is_proven_fork(path, keys):
        report.problem(f"this log has signed another history, which a witness has seen: {FORK}")
    else:
        report.unread.append(f"a witness claims to have seen another history, and {FORK} does not prove it")


def _check_cosigned(data: bytes, keys: list[Key], own: int, report: FsckReport) -> None:
    """Check the lines after the log's own: each verifies under a key in `witnesses`."""
    try:
        note = parse(data)
        opened = verify(Note(note.text, note.signatures[own:]), keys)
    except CustodesError as wrong:
        report.problem(f"a cosignature of checkpoint: {wrong}")
        return
    if opened.unverified or note.to_bytes() != data:
        report.problem("checkpoint has a line that no witness of this log has made")
    report.signatures += len(opened.verified)


def _check_vault(vault: Vault, reader: Segments, report: FsckReport) -> None:
    try:
        found = vault.check(reader.read, report.entries)
    except CustodesError as wrong:
        report.unread.append(f"the vault could not be checked: {wrong}")
        return
    report.opened, report.erased, report.expired = found.opened, found.erased, found.expired
    for text in found.problems:
        report.problem(f"vault: {text}")


class _Walk:
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
