"""The durable writer: an append is acknowledged when it is on disk, and two histories are never signed.

The order of a day, each arrow a sync: entries durable → acknowledged → tiles durable → checkpoint in `signed` durable → (seen by
witnesses) → published. A lock is held for one group commit or one signature, not for a process's life; who finds the log longer
than he left it reads the tail first, and starting is the same reading from the last full segment on. A failed write or sync ends
the object: it raises `NotDurable` for good, and a new one starts from what the disk holds. What an append writes is in `entries`,
what a signature compares in `signing`; here stand the locks, and the order of all this.

Order of locks: `publish.lock` (one process asks witnesses at a time), then the object's mutex, then `lock`. Nobody who holds a
later one waits for an earlier one, and the network is never waited for under the last two: appends go on meanwhile.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from custodes.errors import ConfigError, NotDurable, PartMissing
from custodes.ledger.chain import Batch, slices
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.disk import Disk
from custodes.ledger.entries import Entries
from custodes.ledger.merkle import EMPTY_ROOT, leaf_hashes
from custodes.ledger.note import Key
from custodes.ledger.proof import consistency
from custodes.ledger.published import Published
from custodes.ledger.segments import MOST_ENTRY
from custodes.ledger.signed import find_signed
from custodes.ledger.signer import Signer
from custodes.ledger.signing import Signing


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
        self._disk = disk
        self.published = Published(path, disk)
        self._entries = Entries(path, disk)
        self._signing = Signing(path / "signed", signer, disk)
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
                log._take_up()
        except BaseException:
            log.close()
            raise
        return log

    def close(self) -> None:
        """Give the files back. Nothing is written: everything acknowledged is on disk already."""
        self._entries.close()
        self._signing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What callers do

    @property
    def origin(self) -> str:
        """The log's name, as in its checkpoints."""
        return self.checkpoint.origin

    @property
    def size(self) -> int:
        """Entries on disk, as this object last saw them."""
        return self._entries.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The last signed checkpoint, as this object last saw it."""
        return self._signing.last

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
            first = self.size
            self._entries.commit(entries, hashes)
        return first

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Hold the lock while the body adds leaves to the batch; commit them when it ends, drop them if it raises.

        Inside, `seq`, `prev` and indexes are certain, also with other processes at work. What must be durable before the
        entries (a vault's record) is synced in the body. Keep it short: everybody else waits.

        Durable: all, when the body has ended. Order: as added, together, after all that the body made durable. Again: adds again.
        """
        with self._locked():
            batch = Batch(self.size, self._entries.ends)
            yield batch
            self._entries.commit(batch.entries, b"".join(batch.hashes))

    def read(self, start: int, stop: int) -> list[bytes]:
        """Return entries `start` to `stop` (exclusive) as they are on disk. Raises `PartMissing`."""
        if not 0 <= start <= stop <= self.size:
            raise ValueError("the log has no such entries")
        return self._entries.read(start, stop)

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
                self.published.show(self.checkpoint.note)
                return self.checkpoint
        with self._asking():
            with self._locked():
                self.published.refuse_after_fork()
                self._signing.believe(self._entries)
                grown = self.size != self.checkpoint.size
            if grown:
                witnesses.before_signing(self)
            with self._locked():
                self._sign_growth()
                point = self.checkpoint
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
            return consistency(self._entries, size, larger)

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
        return self._entries.tile(level, index, width)

    def _take_up(self) -> None:
        self._signing.take_up()
        self._entries.take_up(self._signing.size)
        self._signing.check_tree(self._entries)
        self.published.check(self.checkpoint)
        if not self.published.is_witnessed():  # else it is shown when they have seen it: by the next `publish`
            self.published.show(self.checkpoint.note)

    def _sign_growth(self) -> None:
        self.published.refuse_after_fork()
        self._signing.sign_growth(self._entries)

    # Locks

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            if self._broken is not None:
                raise NotDurable("this ledger object met a failed write and takes no more work; open the ledger again")
            try:
                with self._disk.lock(self.path / "lock"):
                    if self._entries.is_taken_up():
                        self._entries.catch_up(self._signing.size)
                    yield
            except NotDurable as wrong:
                self._broken = wrong
                raise

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Let one process, and one thread of it, ask witnesses at a time: their answers then come in the order of sizes."""
        with self._askers, self._disk.lock(self.path / "publish.lock"):
            yield
