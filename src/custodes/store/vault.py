"""The vault: everything that identifies people, sealed. Raw records, group values and their salts, names behind pseudonyms.

The intake stream is the write-ahead record of the ledger: a batch is sealed here, durably, with the bytes of its leaves, before one
of them is appended. The own stream holds the records behind the home's own leaves (settings, loads, decisions). Readers open
only the frames and sections that they need: names · values · raws · rows · marks. What is erased is destroyed by `store.erasure`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from hashlib import blake2b
from itertools import groupby
from pathlib import Path

import msgspec

from custodes.ledger.disk import Disk
from custodes.ledger.leaf import SIZE
from custodes.store.check import Openings, check
from custodes.store.contents import NAMES, SECTIONS, VALUES, Names, Opening, Own, Values, opening, text_of
from custodes.store.drawer import Drawer
from custodes.store.keys import Keys
from custodes.store.places import Read, find_leaves
from custodes.store.sealed import Frame, Stream
from custodes.store.spool import Spool

_OWN_SOURCE = b"\0\0"


class Vault:
    """The sealed memory of one home. Reading needs the vault key; nothing here is ever printed or logged."""

    def __init__(self, path: Path, key: bytes, disk: Disk | None = None) -> None:
        self.path = path
        self.keys = Keys(path / "keys", key, disk)
        self.intake = Stream(path / "intake", self.keys, SECTIONS, disk=disk)
        self.own = Stream(path / "own", self.keys, ("what",), disk=disk)
        self.rejected = Stream(path.parent / "rejected", self.keys, ("lines",), disk=disk)
        self.rejected_rows = Stream(path.parent / "rejected" / "rows", self.keys, ("lines",), name="rejected-rows", disk=disk)
        self.texts = Stream(path / "texts", self.keys, ("texts",), disk=disk)
        self.positions = Drawer(path / "positions", key, disk)
        self._disk = disk or Disk()
        self._spool_key = blake2b(b"glass spool", key=key, digest_size=32).digest()

    def spool(self, path: Path) -> Spool:
        """What takes broken glass while the ledger takes no records; it lies best on another disk."""
        return Spool(path, self._spool_key, self._disk)

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock of what context loads seal; others wait. Intake's streams have intake's lock, own records the ledger's."""
        return self._disk.lock(self.path / "lock")

    def keep(self, kind: str, content: bytes, day: date) -> None:
        """Seal what a context load must not leave open: `texts` (its free text) or `rejected` (its unreadable rows). Durable."""
        stream = {"texts": self.texts, "rejected": self.rejected_rows}[kind]
        with self.locked():
            stream.look_again()
            stream.append([content], day)

    def names(self, pseudonyms: set[str]) -> dict[str, str]:
        """Return original ids of pseudonyms, as far as intake met them. The caller answers for who may ask."""
        found: dict[str, str] = {}
        for part in self._names():
            found.update((made, text_of(original)) for made, original in part.pseudonyms if made in pseudonyms)
        return found

    def source_ids(self, access_ids: set[str]) -> dict[str, str]:
        """Return the source's own ids of accesses, where the log has them."""
        found: dict[str, str] = {}
        for part in self._names():
            found.update((public, text_of(own)) for public, own in part.ids if public in access_ids)
        return found

    def own_records(self) -> Iterator[Own]:
        """Yield the home's own records in order, also one whose leaf a crash kept from the log."""
        for frame in self.own.frames():
            yield msgspec.msgpack.decode(frame.section(0), type=Own)

    def openings(self, indexes: Iterable[int], read: Read, size: int) -> Iterator[Opening]:
        """Yield what opens the leaves `indexes` of the log (`read`, up to `size`), in ascending order, each once.

        Only the frames that hold them are opened. A leaf of which the vault holds nothing is left out. The contents are compared
        with the log's entry, not with its commitment (`contents.fits`). Raises `PartMissing` where a file or key is gone.
        """
        wanted = [(index, read(index, index + 1)[0]) for index in sorted({index for index in indexes if 0 <= index < size})]
        own = {index for index, entry in wanted if entry[6:8] == _OWN_SOURCE}
        records = list(self._own_openings(own, dict(wanted))) if own else []
        batches = self._batch_openings([item for item in wanted if item[0] not in own], read, size)
        yield from sorted([*records, *batches], key=lambda found: found.index) if records else batches

    def check(self, read: Read, size: int) -> Openings:
        """Open every commitment whose contents lie here and compare it with the log's entries; see `store.check`."""
        return check(self.own, self.intake, read, size)

    def _names(self) -> Iterator[Names]:
        for frame in self.intake.frames():
            yield msgspec.msgpack.decode(frame.section(NAMES), type=Names)

    def _own_openings(self, indexes: set[int], entries: dict[int, bytes]) -> Iterator[Opening]:
        for frame in self.own.frames():
            if frame.first in indexes:
                own = msgspec.msgpack.decode(frame.section(0), type=Own)
                if own.leaf == entries[frame.first]:  # else a crash kept that one from the log
                    yield opening(frame.first, own.leaf, (None, own.what, None, None, None), own.seed)

    def _batch_openings(self, wanted: list[tuple[int, bytes]], read: Read, size: int) -> Iterator[Opening]:
        if not wanted:
            return
        frames = list(self.intake.frames())
        firsts = [frame.first for frame in frames]
        # A batch is completed before the next one begins, so a leaf's frame is the last that began at or before it.
        for place, items in groupby(wanted, key=lambda item: bisect_right(firsts, item[0]) - 1):
            if place >= 0:
                yield from _from_frame(frames[place], list(items), read, size)


def _from_frame(frame: Frame, wanted: list[tuple[int, bytes]], read: Read, size: int) -> Iterator[Opening]:
    values = msgspec.msgpack.decode(frame.section(VALUES), type=Values)
    remains = {item.place: item for item in values.remains}
    places: dict[int, int] | None = None
    for index, entry in wanted:
        place = index - frame.first if places is None else places.get(index, -1)
        if places is None and (place >= frame.span or values.leaves[place * SIZE : (place + 1) * SIZE] != entry):
            # A crash let others append between this batch's leaves.
            places = {at: number for number, at in enumerate(find_leaves(values.leaves, read, values.first, size))}
            place = places.get(index, -1)
        if place >= 0:
            yield opening(index, entry, values.groups[place], values.seeds[place], remains.get(place))
