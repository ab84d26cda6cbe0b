"""The durable writer: an append is acknowledged when it is on disk, and two histories are never signed.

The order of a day, each arrow a sync: entries durable → acknowledged → tiles durable → checkpoint in `signed` durable → (seen by
witnesses) → published. A lock is held for one group commit or one signature, not for a process's life; who finds the log longer
than he left it reads the tail first, and starting is the same reading from the last full segment on. A failed write or sync ends
the object: it raises `NotDurable` for good, and a new one starts from what the disk holds.

Order of locks: `publish.lock` (one process asks witnesses at a time), then the object's mutex, then `lock`. Nobody who holds a
later one waits for an earlier one, and the network is never waited for under the last two: appends go on meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol, Self

from custodes.errors import BadInclusion, BadSignature, ConfigError, LedgerRewritten, MissingSecret, NotDurable, PartMissing
from custodes.ledger.chain import Batch, Edge, End, ends_of, lost_its_end, parse_edge, slices
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import SIZE as LEAF_SIZE
from custodes.ledger.merkle import EMPTY_ROOT, TILE_BYTES, WIDTH, fold, leaf_hashes, verify_consistency
from custodes.ledger.note import Key, Unsigned, parse, verify
from custodes.ledger.proof import consistency, root_of
from custodes.ledger.published import Published
from custodes.ledger.segments import MOST_ENTRY, SEGMENT, Segments, bounds, read_bytes, upper_count
from custodes.ledger.signed import find_signed, read_last
from custodes.ledger.signer import Signer
from custodes.ledger.tree import Tree

_LEAF_HEAD: Final = LEAF_SIZE.to_bytes(2, "big")


class Witnesses(Protocol):
    """Whoever countersigns checkpoints (`witness_client`). Both methods may take seconds, and are called without the log's lock."""

    keys: tuple[Key, ...]
    """The keys that may stand in a published checkpoint beside the log's own."""

    def before_signing(self, log: Log) -> None:
        """Raise `LedgerRewritten` if any of them has seen more of this log than `log` holds. Cheap after the first time."""

    def cosign(self, log: Log, point: Checkpoint) -> bytes | None:
        """Return the note to publish for `point`, which is signed durably; `None` leaves what is published as it is.

        Raises `LedgerRewritten` if a witness has seen another history; the evidence was then given to `log.stop_signing`.
        """


class Log:
    """One log in a directory. Make it with `create` or `open`. Not acknowledged means: no index was returned."""

    def __init__(self, path: Path, signer: Signer | None, disk: Disk) -> None:
        """Use `create` or `open` instead."""
        self.path = path
        self._signer = signer
        self._disk = disk
        self.published = Published(path, disk)
        self._segments = Segments(path)
        self._tree = Tree()
        self._ends: dict[int, End] = {}
        self._entries = self._signed = -1  # descriptors
        self._filled = 0  # bytes of complete entries in the open segment
        self._signed_end = 0
        self._last = Checkpoint("", 0, EMPTY_ROOT)
        self._broken: NotDurable | None = None
        self._mutex = threading.RLock()
        self._askers = threading.Lock()

    # Making, opening, closing

    @classmethod
    def create(cls, path: Path, origin: str, signer: Signer, disk: Disk | None = None) -> Log:
        """Make an empty log and sign its empty tree. Raises `ConfigError` if there is one already.

        Durable: on return. Order: everything, then `signed`, which makes it a log. Again: refused, unless a crash came before
        `signed`.
        """
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

        Durable: what it repairs, before anything is built on it. Order: `signed`, entries, tiles, then `checkpoint`. Again: changes
        nothing.
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

        Durable: all, on return. Order: one after the other, in one place in the log, whatever other processes do. Again: appends
        again; the caller drops what it knows.
        """
        entries = slices(buffer, offsets)
        if not all(0 < length <= MOST_ENTRY for length in set(map(len, entries))):
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

        Durable: all, when the body has ended. Order: as added, together, after all that the body made durable. Again: adds again.
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

    def publish(self, witnesses: Witnesses | None = None) -> Checkpoint:
        """Sign the tree as it is now and publish it; without new entries return the last checkpoint. Repeatable.

        With `witnesses` the checkpoint is durable in `signed` before they see it, and `checkpoint` is what they let be shown: the
        returned one is signed, and published only if they were enough. Raises `LedgerRewritten` rather than sign a tree that
        does not extend the last signed one, and for good once a witness has shown another history; `MissingSecret` without a key.

        Durable: on return. Order: entries and tiles, `signed`, witnesses, `checkpoint`. Again: without new entries the same
        checkpoint.
        """
        if witnesses is None:
            with self._locked():
                self._sign_growth()
                self.published.show(self._last.note)
                return self._last
        with self._asking():
            with self._locked():
                self.published.refuse_after_fork()
                self._believe()
                grown = self._tree.size != self._last.size
            if grown:
                witnesses.before_signing(self)
            with self._locked():
                self._sign_growth()
                point = self._last
            # Before this line nobody outside knows the checkpoint; witnesses may know it from here on, readers only below.
            note = witnesses.cosign(self, point)
            if note is not None:
                with self._locked():
                    self.published.keep_keys(witnesses.keys)
                    self.published.show(note)
            return point

    def prove(self, size: int, larger: int) -> list[bytes]:
        """Return the consistency proof between two trees of this log, `0 < size ≤ larger ≤` its size.

        Durable: nothing of its own (like every method it first takes in, and repairs, what a dying process left). Order: none.
        Again: the same.
        """
        with self._locked():
            return consistency(self, size, larger)

    def signed_at(self, size: int) -> Checkpoint | None:
        """Return the checkpoint that was signed at exactly this size, by whichever process; `None` if there is none."""
        return find_signed(self.path / "signed", self.origin, size)

    def stop_signing(self, evidence: bytes) -> None:
        """Keep the evidence of a second history in `fork.json`, durably. From then on no object of this log signs; appends go on.

        The first evidence stays; taking the file away is a decision of people.

        Durable: on return. Order: before the next signature of any process. Again: the first evidence stays.
        """
        with self._locked():
            self.published.keep_fork(evidence)

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
        descriptor = self._disk.open(self.path / "upper", create=True)
        try:
            self._disk.write(descriptor, b"".join(tiles), upper_count(segment) * TILE_BYTES)
            # Before this line the tiles may be a hole of zeros after a power cut; `edge`, written after it, says which are not.
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)

    def _edge(self) -> Edge:
        return Edge(self._tree.segments, [bytes(hashes) for hashes in self._tree.upper], self._ends)

    def _go_to(self, segment: int) -> None:
        fresh = self._disk.open(self._segments.log_path(segment), create=True)
        self._disk.sync_folder(self.path / "seg")  # a process that died may have made the file, and not its name durable
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
        # A process that died may have left the last record unsynced: it is durable before anybody believes, or is shown, it.
        self._disk.sync(self._signed)
        self._check_key()
        self._read_log(parse_edge(read_bytes(self.path / "edge")) if (self.path / "edge").exists() else None)
        self._check_tree(self._last)
        self.published.check(self._last)
        if not self.published.is_witnessed():  # else it is shown when they have seen it: by the next `publish`
            self.published.show(self._last.note)

    def _read_log(self, edge: Edge | None) -> None:
        """Build the tree's right edge and the chains' ends from disk."""
        closed = 0
        while self._is_closed(closed):
            closed += 1
        if edge is None or edge.segments > closed:
            edge = Edge(0, [], {})
        for segment in range(min(edge.segments, self._upper_done()), closed):
            self._write_upper(segment, self._upper_tiles(segment))
        self._ends = dict(edge.ends)
        for segment in range(edge.segments, closed):
            self._read_ends(segment)
        self._tree = Tree(closed, self._upper_at(closed))
        if edge.segments != closed:
            self._disk.replace(self.path / "edge", self._edge().to_bytes())
        self._go_to(closed)
        self._catch_up()

    def _upper_tiles(self, segment: int) -> list[bytes]:
        """Return the tiles above level 0 that a full segment completes. Those of the segments before it are in `upper`."""
        first = segment * SEGMENT // WIDTH
        tiles = [b"".join(fold(self._segments.tile(0, first + child)) for child in range(WIDTH))]
        while (segment + 1) % WIDTH ** len(tiles) == 0:
            level = len(tiles)
            start = (segment + 1) // WIDTH ** (level - 1) - WIDTH
            below = [self._segments.tile(level, start + child) for child in range(WIDTH - 1)]
            tiles.append(b"".join(fold(tile) for tile in (*below, tiles[-1])))
        return tiles

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
            offsets = self._without_torn(data, bounds(data)[: self._tree.room() + 1])
            if offsets[-1] < len(data):
                self._disk.truncate(self._entries, self._filled + offsets[-1])
            # What a dying process left unsynced is made durable before anybody builds on it.
            self._disk.sync(self._entries)
            self._filled += offsets[-1]
            entries = [entry[2:] for entry in slices(data, offsets)]
            self._grow(entries, leaf_hashes(entries))
            if self._tree.segments == segment:
                return

    def _without_torn(self, data: bytes, offsets: list[int]) -> list[int]:
        """Leave out the last entry if a hole of zeros reaches into it: some file systems tear in the middle of what was not synced.

        What was signed is never left out, nor an entry that follows its source's chain.
        """
        end = offsets[-1]
        if not end or data[end - 1] or any(data[end : end + 2]) or self._tree.size + len(offsets) - 1 <= self._last.size:
            return offsets
        *whole, last = (entry[2:] for entry in slices(data, offsets))
        return offsets[:-1] if lost_its_end(last, self._ends | ends_of(whole, leaf_hashes(whole), self._tree.size)) else offsets

    # Signing

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Let one process, and one thread of it, ask witnesses at a time: their answers then come in the order of sizes."""
        with self._askers, self._disk.lock(self.path / "publish.lock"):
            yield

    def _sign_growth(self) -> None:
        """Sign the tree if it has grown; else the last checkpoint stands."""
        self.published.refuse_after_fork()
        self._believe()
        if self._tree.size != self._last.size:
            self._sign()

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
        self._disk.sync(self._signed)  # another process wrote it, and may have died before its sync
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
    if set(map(len, entries)) == {LEAF_SIZE}:
        return _LEAF_HEAD + _LEAF_HEAD.join(entries)
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])
