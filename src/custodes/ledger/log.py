"""The durable writer: an append is acknowledged when it is on disk, and two histories are never signed.

The order of a day, each arrow a sync: entries durable → acknowledged → tiles durable → checkpoint in `signed` durable → published.
A lock is held for one group commit or one publish, not for a process's life; who finds the log longer than he left it reads the
tail first, and starting is the same reading from the last full segment on. A failed write or sync ends the object: it raises
`NotDurable` for good, and a new one starts from what the disk holds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from custodes.errors import BadInclusion, BadSignature, ConfigError, LedgerRewritten, MissingSecret, NotDurable, PartMissing
from custodes.ledger.chain import Batch, Edge, End, ends_of, parse_edge, slices
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import SIZE as LEAF_SIZE
from custodes.ledger.merkle import EMPTY_ROOT, TILE_BYTES, WIDTH, fold, leaf_hashes, verify_consistency
from custodes.ledger.note import Malformed, Unsigned, parse, verify
from custodes.ledger.proof import consistency, root_of
from custodes.ledger.segments import MOST_ENTRY, SEGMENT, Segments, bounds, read_bytes, upper_count
from custodes.ledger.signed import read_last
from custodes.ledger.signer import Signer
from custodes.ledger.tree import Tree

_LEAF_HEAD: Final = LEAF_SIZE.to_bytes(2, "big")


class Log:
    """One log in a directory. Make it with `create` or `open`. Not acknowledged means: no index was returned."""

    def __init__(self, path: Path, signer: Signer | None, disk: Disk) -> None:
        """Use `create` or `open` instead."""
        self.path = path
        self._signer = signer
        self._disk = disk
        self._segments = Segments(path)
        self._tree = Tree()
        self._ends: dict[int, End] = {}
        self._entries = self._signed = -1  # descriptors
        self._filled = 0  # bytes of complete entries in the open segment
        self._signed_end = 0
        self._last = Checkpoint("", 0, EMPTY_ROOT)
        self._broken: NotDurable | None = None
        self._mutex = threading.RLock()

    # Making, opening, closing

    @classmethod
    def create(cls, path: Path, origin: str, signer: Signer, disk: Disk | None = None) -> Log:
        """Make an empty log and sign its empty tree. Raises `ConfigError` if there is one already."""
        disk = disk or Disk()
        if signer.name != origin:
            raise ConfigError("the log's key bears the name of the log: its origin")
        if (path / "signed").exists():
            raise ConfigError("there is a ledger here already; nothing was changed")
        disk.make_folder(path / "seg")
        with disk.lock(path / "lock"):
            os.close(disk.open(path / "seg" / "000000.log", create=True))
            disk.replace(path / "vkey", "".join(f"{key.vkey()}\n" for key in signer.keys).encode())
            note = signer.sign(Checkpoint(origin, 0, EMPTY_ROOT).body()).to_bytes()
            # Before this line there is no log, and `create` may run again; after it there is one of size 0.
            disk.replace(path / "signed", note + b"\n")
        return cls.open(path, signer, disk)

    @classmethod
    def open(cls, path: Path, signer: Signer | None = None, disk: Disk | None = None) -> Log:
        """Open a log: cut an incomplete tail, keep complete entries, and check the tree against the last signed root.

        Raises `LedgerRewritten` if the log is shorter than what was signed or has another root. Without `signer` it can be
        appended to but not published.
        """
        log = cls(path, signer, disk or Disk())
        if not (path / "signed").exists():
            raise PartMissing("there is no ledger in this directory")
        try:
            with log._locked():
                log._start()
        except BaseException:
            log.close()
            raise
        return log

    def close(self) -> None:
        """Give the files back. Nothing is written: everything acknowledged is on disk already."""
        for descriptor in (self._entries, self._signed):
            if descriptor >= 0:
                os.close(descriptor)
        self._entries = self._signed = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What callers do

    @property
    def origin(self) -> str:
        """The log's name, as in its checkpoints."""
        return self._last.origin

    @property
    def size(self) -> int:
        """Entries on disk, as this object last saw them."""
        return self._tree.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The last signed checkpoint, as this object last saw it."""
        return self._last

    def append_batch(self, buffer: bytes, offsets: Sequence[int]) -> int:
        """Append the entries `buffer[offsets[i]:offsets[i + 1]]` as one group commit; return the index of the first.

        All are durable when this returns. Entries have 1 to 65,535 bytes. Raises `NotDurable`: none is acknowledged, although
        some may be found complete at the next start.
        """
        entries = slices(buffer, offsets)
        if not all(0 < len(entry) <= MOST_ENTRY for entry in entries):
            raise ValueError("an entry has 1 to 65,535 bytes")
        hashes = leaf_hashes(entries)
        with self._locked():
            first = self._tree.size
            self._commit(entries, hashes)
        return first

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Hold the lock while the body adds leaves to the batch; commit them when it ends, drop them if it raises.

        Inside, `seq`, `prev` and indexes are certain, also with other processes at work. What must be durable before the
        entries (a vault's record) is synced in the body. Keep it short: everybody else waits.
        """
        with self._locked():
            batch = Batch(self._tree.size, self._ends)
            yield batch
            self._commit(batch.entries, b"".join(batch.hashes))

    def read(self, start: int, stop: int) -> list[bytes]:
        """Return entries `start` to `stop` (exclusive) as they are on disk. Raises `PartMissing`."""
        if not 0 <= start <= stop <= self._tree.size:
            raise ValueError("the log has no such entries")
        return self._segments.read(start, stop)

    def publish(self) -> Checkpoint:
        """Sign the tree as it is now and publish it; without new entries return the last checkpoint.

        Raises `LedgerRewritten` rather than sign a tree that does not extend the last signed one, `MissingSecret` without a key.
        """
        with self._locked():
            self._believe()
            if self._tree.size != self._last.size:
                self._sign()
            self._show()
            return self._last

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile of the tree in memory or on disk (for proofs; see `tiles.Tiles`)."""
        if level == 0 and index * WIDTH >= self._tree.segments * SEGMENT:
            start = (index * WIDTH - self._tree.segments * SEGMENT) * 32
            return bytes(self._tree.leaves[start : start + width * 32])
        if 0 < level <= len(self._tree.upper) and index == self._tree.size >> (8 * level + 8):
            return bytes(self._tree.upper[level - 1][: width * 32])
        return self._segments.tile(level, index, width)

    # One group commit

    def _commit(self, entries: list[bytes], hashes: bytes) -> None:
        at = 0
        while at < len(entries):
            stop = min(len(entries), at + self._tree.room())
            self._append(entries[at:stop], hashes[at * 32 : stop * 32])
            at = stop

    def _append(self, entries: list[bytes], hashes: bytes) -> None:
        data = frame(entries)
        self._disk.write(self._entries, data, self._filled)
        # Before this line a crash may leave a part of the entries, after it all of them; the caller learns of them only after it.
        self._disk.sync(self._entries)
        self._filled += len(data)
        self._grow(entries, hashes)

    def _grow(self, entries: list[bytes], hashes: bytes) -> None:
        """Take entries that are on disk into the tree; end the segment if they fill it."""
        self._ends |= ends_of(entries, hashes, self._tree.size)
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
        self._disk.replace(self.path / "edge", self._edge().to_bytes())
        self._go_to(segment + 1)

    def _write_upper(self, segment: int, tiles: list[bytes]) -> None:
        position = upper_count(segment) * TILE_BYTES
        path = self.path / "upper"
        data = b"".join(tiles)
        if path.exists() and path.stat().st_size >= position + len(data):
            return
        descriptor = self._disk.open(path, create=True)
        try:
            self._disk.write(descriptor, data, position)
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _edge(self) -> Edge:
        return Edge(self._tree.segments, [bytes(hashes) for hashes in self._tree.upper], self._ends)

    def _go_to(self, segment: int) -> None:
        fresh = self._disk.open(self._segments.log_path(segment), create=True)
        if self._entries >= 0:
            os.close(self._entries)
        self._entries, self._filled = fresh, 0

    def _is_closed(self, segment: int) -> bool:
        path = self._segments.hash_path(segment)
        return path.exists() and path.stat().st_size == SEGMENT * 32

    # Reading the tail: at every start, and when another process has appended

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            if self._broken is not None:
                raise NotDurable("this ledger object met a failed write and takes no more work; open the ledger again")
            try:
                with self._disk.lock(self.path / "lock"):
                    if self._entries >= 0:
                        self._catch_up()
                    yield
            except NotDurable as wrong:
                self._broken = wrong
                raise

    def _start(self) -> None:
        self._signed = self._disk.open(self.path / "signed")
        self._last, self._signed_end = read_last(self.path / "signed", os.fstat(self._signed).st_size)
        if os.fstat(self._signed).st_size > self._signed_end:
            self._disk.truncate(self._signed, self._signed_end)  # a record that was never shown
        self._check_key()
        self._read_log(parse_edge(read_bytes(self.path / "edge")) if (self.path / "edge").exists() else None)
        self._check_tree(self._last)
        self._check_shown()
        self._show()

    def _read_log(self, edge: Edge | None) -> None:
        """Build the tree's right edge and the chains' ends from disk."""
        closed = 0
        while self._is_closed(closed):
            closed += 1
        for segment in range(self._upper_done(), closed):
            levels = [level for level in range(1, 8) if (segment + 1) % WIDTH ** (level - 1) == 0]
            tiles = [self._segments.tile(level, segment // WIDTH ** (level - 1)) for level in levels]
            self._write_upper(segment, tiles)
        if edge is None or edge.segments > closed:
            edge = Edge(0, [], {})
        self._ends = dict(edge.ends)
        for segment in range(edge.segments, closed):
            self._read_ends(segment)
        self._tree = Tree(closed, self._upper_at(closed))
        if edge.segments != closed:
            self._disk.replace(self.path / "edge", self._edge().to_bytes())
        self._go_to(closed)
        self._catch_up()

    def _upper_done(self) -> int:
        """Return the first segment of which `upper` may lack a tile."""
        path = self.path / "upper"
        whole = path.stat().st_size // TILE_BYTES if path.exists() else 0
        segment = 0
        while upper_count(segment + 1) <= whole:
            segment += 1
        return segment

    def _upper_at(self, closed: int) -> list[bytes]:
        """Return the unfinished tiles of level 1 and above after `closed` full segments."""
        upper = [b""]
        level, count = 1, closed
        while count:
            full = count - count % WIDTH
            upper.append(b"".join(fold(self._segments.tile(level, index)) for index in range(full, count)))
            level, count = level + 1, count // WIDTH
        return upper

    def _read_ends(self, segment: int) -> None:
        data = self._segments.data(segment)
        entries = [entry[2:] for entry in slices(data, bounds(data))]
        hashes = read_bytes(self._segments.hash_path(segment))
        self._ends |= ends_of(entries, hashes, segment * SEGMENT)

    def _catch_up(self) -> None:
        """Take in what the disk holds beyond what this object knows; cut an incomplete last entry. The lock is held."""
        while True:
            length = os.fstat(self._entries).st_size
            if length < self._filled:
                raise LedgerRewritten(f"the ledger is shorter than it was: entries below {self._tree.size} are gone")
            if length == self._filled:
                return
            segment = self._tree.segments
            data = read_bytes(self._segments.log_path(segment), self._filled)
            offsets = bounds(data)[: self._tree.room() + 1]
            if offsets[-1] < len(data):
                self._disk.truncate(self._entries, self._filled + offsets[-1])
            # What a dying process left unsynced is made durable before anybody builds on it.
            self._disk.sync(self._entries)
            self._filled += offsets[-1]
            entries = [entry[2:] for entry in slices(data, offsets)]
            self._grow(entries, leaf_hashes(entries))
            if self._tree.segments == segment:
                return

    # Signing

    def _believe(self) -> None:
        """Compare and swap, first half: the last record of `signed` is the one this object believes in, or is checked now."""
        length = os.fstat(self._signed).st_size
        if length == self._signed_end:
            return
        last, end = read_last(self.path / "signed", length)
        if length < self._signed_end or last.size < self._last.size:
            raise LedgerRewritten(f"the store of signed checkpoints was cut: size {self._last.size} is missing from it")
        self._last, self._signed_end = last, end
        if length > end:
            self._disk.truncate(self._signed, end)
        self._check_key()
        self._check_tree(last)

    def _sign(self) -> None:
        if self._signer is None:
            raise MissingSecret("this ledger was opened without its signing key and cannot sign")
        fresh = Checkpoint(self._last.origin, self._tree.size, self._tree.root())
        if self._last.size:
            try:
                proof = consistency(self, self._last.size, fresh.size)
                verify_consistency(self._last.size, fresh.size, self._last.root, fresh.root, proof)
            except BadInclusion:
                raise LedgerRewritten(f"the tree does not extend the one signed at size {self._last.size}") from None
        note = self._signer.sign(fresh.body()).to_bytes()
        self._disk.write(self._signed, note + b"\n", self._signed_end)
        # Before this line nobody has seen the checkpoint and a crash drops it; after it this size has one root for ever.
        self._disk.sync(self._signed)
        self._signed_end += len(note) + 1
        self._last = Checkpoint(fresh.origin, fresh.size, fresh.root, note)

    def _show(self) -> None:
        path = self.path / "checkpoint"
        if not path.exists() or read_bytes(path) != self._last.note:
            self._disk.replace(path, self._last.note)

    def _check_shown(self) -> None:
        """Refuse a store of checkpoints that is older than what was published: `signed` is durable before anything is shown."""
        path = self.path / "checkpoint"
        try:
            shown = read_unverified(read_bytes(path)) if path.exists() else self._last
        except Malformed:
            return  # damaged; `_show` writes it again
        if shown.size > self._last.size or (shown.size == self._last.size and shown.root != self._last.root):
            raise LedgerRewritten(
                f"size {shown.size} was published, but the store of signed checkpoints ends at {self._last.size}",
                hint="nothing was changed; put back the store of signed checkpoints that belongs to this log",
            )

    def _check_key(self) -> None:
        if self._signer is None:
            return
        try:
            signers = verify(parse(self._last.note), self._signer.keys).verified
        except Unsigned:
            raise ConfigError("the signing key is not the one that has signed this ledger") from None
        except BadSignature:
            raise LedgerRewritten("the last signed checkpoint does not verify under this ledger's key") from None
        if len(signers) != len(self._signer.keys):
            raise LedgerRewritten("the last signed checkpoint lacks a signature of this ledger's keys")

    def _check_tree(self, signed: Checkpoint) -> None:
        """Refuse a log that is not what was signed: cut, restored from an old copy, or changed."""
        if signed.size > self._tree.size:
            raise LedgerRewritten(
                f"the ledger ends at {self._tree.size}, but size {signed.size} was signed",
                hint="nothing was changed; refill the tail from a mirror, or close this log and open a new origin",
            )
        open_from = self._tree.segments * SEGMENT
        root = self._tree.root(signed.size) if signed.size >= open_from else root_of(self._segments, signed.size)
        if root != signed.root:
            raise LedgerRewritten(f"the ledger's first {signed.size} entries are not the ones that were signed")


def frame(entries: Sequence[bytes]) -> bytes:
    """Return entries as a segment (and an entry bundle) holds them: u16 length and bytes each."""
    if entries and all(len(entry) == LEAF_SIZE for entry in entries):
        return _LEAF_HEAD + _LEAF_HEAD.join(entries)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])
