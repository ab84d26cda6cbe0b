"""The verifiable index, publishing half: the second log, whose entries are the roots of months, and answers from it.

Each entry covers a size that the main log has published. A month is closed by the first leaf of a later one; then it gets its final
root. The month that is still open gets one when there are new leaves and the last one covered is of an earlier day. Entries name
their size, so publishing again after a crash adds what is missing and nothing twice.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from custodes.errors import BadInclusion, LedgerRewritten, PartMissing
from custodes.ledger.blobs import Blobs
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.disk import Disk
from custodes.ledger.index import IndexEntry, Lookup, parse_entry, verify_in_entry
from custodes.ledger.leaf import epoch_of, hour_of
from custodes.ledger.log import Log, Witnesses
from custodes.ledger.months import Months, epoch_after, epochs_between, hour_at, hours_of, stored_leaves
from custodes.ledger.segments import Segments, read_bytes
from custodes.ledger.signer import Signer
from custodes.ledger.trie import Trie, build
from custodes.model.canonical import Json

TRIES: Final = "tries"
"""Folder of the index log with tries of closed months: `<epoch>.trie`. Recomputable; answers from them are checked."""
WORTH_KEEPING: Final = 200_000
"""Positions whose trie takes about a second to build."""
_DAY: Final = 24


def open_index(main: Log, path: Path, key: Path, record: Callable[[dict[str, Json]], object], disk: Disk | None = None) -> IndexLog:
    """Open the index log of `main` in the folder `path`; make it, with its key in the file `key`, if there was never one.

    `record` puts origin and verifier keys of a new index log into the main log, before its first checkpoint is signed. May be
    repeated after a crash at any moment: one key comes of it, recorded at least once. The caller closes both logs. Raises
    `PartMissing` if an index log that was made is gone: a second one under the same key would be a second history.

    Durable: on return. Order: key, record in the main log, index log, the key's own name. Again: opens what is there.
    """
    disk = disk or Disk()
    with disk.lock(path.with_name("index.lock")):
        if not key.exists():
            _make(main, path, key, record, disk)
    signer = Signer.from_bytes(read_bytes(key))
    return IndexLog(main, Log.open(path, signer, disk), disk)


def _make(main: Log, path: Path, key: Path, record: Callable[[dict[str, Json]], object], disk: Disk) -> None:
    # The key gets its name last: as long as it has another, nobody has seen a checkpoint under it.
    making = key.with_name(key.name + ".making")
    if not making.exists():
        disk.replace(making, Signer.generate(f"{main.origin}/index").to_bytes())
    signer = Signer.from_bytes(read_bytes(making))
    if not (path / "signed").exists():
        record({"what": "index", "origin": signer.name, "keys": [one.vkey() for one in signer.keys]})
        Log.create(path, signer.name, signer, disk).close()
    disk.rename(making, key)


class IndexLog:
    """The index of `main` in the log `index`. Publishing takes the index log's lock, and may run in several processes."""

    def __init__(self, main: Log, index: Log, disk: Disk | None = None) -> None:
        """The caller opens and closes both logs."""
        self.main, self.log = main, index
        self._leaves, self._blobs, self._disk = Segments(main.path), Blobs(main.path), disk or Disk()
        self._entries: list[IndexEntry] = []
        self._known: dict[tuple[str, int], Trie] = {}
        self.keep_from = WORTH_KEEPING
        """Positions from which on the trie of a closed month is kept on disk."""

    # What callers do

    def publish(self, now: datetime, *, force: bool = False, witnesses: Witnesses | None = None) -> list[IndexEntry]:
        """Append and publish the roots that are due at `now`, and return them; none is the usual case, and cheap.

        `force`: also a root of the open month if there is a leaf that none covers. Covers what the main log has published, so
        that is published first. Durable on return; raises `NotDurable`, `LedgerRewritten` if the main log is not what was signed.

        Durable: on return. Order: main log published, then entries, then their checkpoint. Again: adds what is missing, nothing
        twice.
        """
        point = self._published()
        fresh: list[IndexEntry] = []
        if point.size and self._is_due(point.size, now, force=force):
            with self.log.batch() as batch:
                self._read_entries(batch.first)
                for entry in self._due(point, now, force=force):
                    batch.add_entry(entry.to_bytes())
                    fresh.append(entry)
        # Before this line a crash leaves entries that nobody was shown; the next call signs them, after it they are public.
        self.log.publish(witnesses)
        self._read_entries(self.log.checkpoint.size)
        return fresh

    def month_to_close(self, now: datetime) -> str | None:
        """Return the month of the main log's last leaf if it is over: a leaf recorded now closes it, even if nobody looks."""
        size = self.main.size
        epoch = epoch_of(hour_at(self._leaves, size - 1)) if size else None
        return epoch if epoch is not None and epoch < epoch_of(hour_of(now)) else None

    def entries(self) -> list[IndexEntry]:
        """Return all published entries, oldest first; one that witnesses have yet to see is none."""
        note = self.log.published.read()
        size = min(read_unverified(note).size, self.log.size) if note else 0
        self._read_entries(size)
        return self._entries[:size]

    def lookup(self, tag: bytes, epoch: str) -> tuple[Lookup, int]:
        """Return the answer for a tag under the newest published root of a month, checked, and that root's place in the index log.

        Raises `PartMissing` if the month has no root yet, `LedgerRewritten` if the main log does not lead to the published one.

        Durable: a trie of a closed month may be kept to save time. Order: none. Again: the same answer until a newer root is
        published.
        """
        entries = self.entries()
        places = [at for at, entry in enumerate(entries) if entry.epoch == epoch]
        if not places:
            raise PartMissing(f"the index has no root of {epoch} yet")
        entry = entries[places[-1]]
        for again in (False, True):
            lookup = self._trie(entry, again=again).lookup(tag, epoch)
            try:
                verify_in_entry(lookup, entry)
            except BadInclusion:
                continue
            return lookup, places[-1]
        raise LedgerRewritten(f"the leaves of {epoch} do not lead to the root that was published for it; run fsck")

    # What is due

    def _published(self) -> Checkpoint:
        """Return the main log's published checkpoint, which must be one that it has signed."""
        note = self.main.published.read()
        point = read_unverified(note) if note else self.main.checkpoint
        last = self.main.checkpoint
        signed = last if last.size == point.size else self.main.signed_at(point.size)
        if signed is None or signed.root != point.root:
            raise LedgerRewritten("the published checkpoint is not one that was signed")
        return point

    def _is_due(self, size: int, now: datetime, *, force: bool) -> bool:
        self._read_entries(self.log.checkpoint.size)
        closed, last = self._first_open(), epoch_of(hour_at(self._leaves, size - 1))
        return closed < last or self._open_is_due(last, size, now, force=force)

    def _due(self, point: Checkpoint, now: datetime, *, force: bool) -> Iterator[IndexEntry]:
        last = epoch_of(hour_at(self._leaves, point.size - 1))
        for epoch in epochs_between(self._first_open(), last):
            if epoch < last or self._open_is_due(epoch, point.size, now, force=force):
                yield self._entry(epoch, point, final=epoch < last)

    def _first_open(self) -> str:
        """Return the first month without a final root."""
        final = max((entry.epoch for entry in self._entries if entry.final), default=None)
        return epoch_of(hour_at(self._leaves, 0)) if final is None else epoch_after(final)

    def _open_is_due(self, epoch: str, size: int, now: datetime, *, force: bool) -> bool:
        covered = max((entry.size for entry in self._entries if entry.epoch == epoch), default=0)
        if covered == 0 or force:
            return covered < size
        return covered < size and hour_at(self._leaves, covered - 1) // _DAY < hour_of(now) // _DAY

    def _entry(self, epoch: str, point: Checkpoint, *, final: bool) -> IndexEntry:
        month = self._gather(epoch, point.size)
        trie = build(month.of(epoch).pairs)
        self._remember(epoch, point.size, trie, keep=final)
        facts = month.of(epoch)
        return IndexEntry(
            origin=point.origin,
            epoch=epoch,
            size=point.size,
            root=point.root,
            index=trie.root,
            tags=trie.tags,
            positions=trie.positions,
            unresolved=facts.unresolved,
            many=facts.many,
            final=final,
        )

    def _read_entries(self, size: int) -> None:
        for data in self.log.read(len(self._entries), size) if size > len(self._entries) else ():
            self._entries.append(parse_entry(data))

    # Tries

    def _gather(self, epoch: str, size: int) -> Months:
        """Return what the leaves below `size` say of a month. Hours never fall, so its leaves stand together."""
        hours, months = hours_of(epoch), Months(self._blobs.read)
        start, stop = (bisect_left(range(size), hour, key=self._hour_at) for hour in (hours.start, hours.stop))
        for first, data in stored_leaves(self._leaves, start, stop):
            months.add(data, first)
        return months

    def _hour_at(self, index: int) -> int:
        return hour_at(self._leaves, index)

    def _trie(self, entry: IndexEntry, *, again: bool) -> Trie:
        """Return the trie of an entry: from memory, from disk, or (`again`: always) built from the main log."""
        known = self._known.get((entry.epoch, entry.size)) or self._stored(entry)
        if known is None or again:
            known = build(self._gather(entry.epoch, entry.size).of(entry.epoch).pairs)
            self._remember(entry.epoch, entry.size, known, keep=entry.final)
        return known

    def _stored(self, entry: IndexEntry) -> Trie | None:
        file = self._file(entry.epoch)
        if not entry.final or not file.exists():
            return None
        try:
            with file.open("rb") as handle:
                return Trie(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError, LedgerRewritten):
            return None  # damaged; it is built again

    def _remember(self, epoch: str, size: int, trie: Trie, *, keep: bool) -> None:
        self._known = {(epoch, size): trie}
        if keep and trie.positions >= self.keep_from:
            self._disk.make_folder(self.log.path / TRIES)
            self._disk.replace(self._file(epoch), trie.buffer[:])

    def _file(self, epoch: str) -> Path:
        return self.log.path / TRIES / f"{epoch}.trie"
