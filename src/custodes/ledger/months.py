"""Which leaves belong to which month, and which tags they name: the index's map function, over a log's leaves as they are stored.

It needs no key and no seed, so a mirror computes from tiles and blobs what the log's owner computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from struct import Struct
from typing import Final

from custodes.errors import UnknownVersion
from custodes.ledger.leaf import MANY_TAG, NO_TAG, SIZE, VERSION, Kind, epoch_of, hour_of
from custodes.ledger.merkle import WIDTH
from custodes.ledger.segments import SEGMENT, Segments, read_bytes
from custodes.ledger.static import Folder

STRIDE: Final = SIZE + 2
"""Bytes of a leaf in a segment or bundle, with its u16 length."""
_LEAVES: Final = Struct(">3xBI10x32s48x").iter_unpack
_PLACE: Final = Struct(">Q").pack
_DECEMBER: Final = 12
_END_OF_TIME: Final = hour_of(datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(slots=True)
class Month:
    """What one epoch's leaves say so far. `pairs`: joined `trie.PAIR`s, in chunks; `unresolved` and `many` as in the entry."""

    pairs: list[bytes] = field(default_factory=list)
    unresolved: int = 0
    many: int = 0


class Months:
    """Takes leaves in order, and sorts what they name by month. `tags_of`: the tags of a bulk list by its SHA-256."""

    def __init__(self, tags_of: Callable[[bytes], list[bytes]]) -> None:
        self._tags_of = tags_of
        self._by_epoch: dict[str, Month] = {}
        self.last_hour = 0
        self.met: set[str] = set()
        """Epochs of the leaves taken since this was last cleared."""
        self.lists: set[str] = set()
        """Hex names of the bulk lists met."""

    def of(self, epoch: str) -> Month:
        """Return a month; without leaves it is empty."""
        return self._by_epoch.setdefault(epoch, Month())

    def forget(self, epoch: str) -> None:
        """Free a month that nobody will ask for again."""
        self._by_epoch.pop(epoch, None)

    def add(self, data: bytes, first: int) -> None:
        """Take framed leaves, the first of which has index `first`. Raises `UnknownVersion` for anything else."""
        check_leaves(data)
        leaves = list(_LEAVES(data))
        if not leaves:
            return
        self.last_hour = leaves[-1][1]
        if max(leaves, key=itemgetter(1))[1] >= _END_OF_TIME:
            raise UnknownVersion("a leaf of the log is of a year that this reader does not know")
        epochs = {epoch_of(hour) for hour in {leaf[1] for leaf in leaves}}
        self.met |= epochs
        bulk = [at for at, leaf in enumerate(leaves) if leaf[0] == Kind.BULK]
        start = 0
        for at in (*bulk, len(leaves)):
            for epoch in epochs:
                self._take(self.of(epoch), leaves[start:at], first + start, hours_of(epoch))
            if at < len(leaves):
                self._take_list(leaves[at], first + at)
            start = at + 1

    def _take(self, month: Month, leaves: list[tuple[int, int, bytes]], first: int, hours: range) -> None:
        low, high = hours.start, hours.stop  # and kinds 1 and 2 below are access and touch
        tags = [tag for kind, hour, tag in leaves if 0 < kind < 3 and low <= hour < high]
        if not tags:
            return
        month.unresolved += tags.count(NO_TAG)
        month.many += sum(1 for kind, hour, tag in leaves if tag == MANY_TAG and kind == Kind.ACCESS and low <= hour < high)
        month.pairs.append(
            b"".join(
                [
                    tag + _PLACE(at)
                    for at, (kind, hour, tag) in enumerate(leaves, first)
                    if 0 < kind < 3 and low <= hour < high and tag != MANY_TAG
                ]
            )
        )

    def _take_list(self, leaf: tuple[int, int, bytes], at: int) -> None:
        _, hour, digest = leaf
        place = _PLACE(at)
        self.lists.add(digest.hex())
        self.of(epoch_of(hour)).pairs.append(b"".join([tag + place for tag in self._tags_of(digest)]))


def stored_leaves(source: Segments | Folder, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Yield the framed leaves `start` to `stop` (exclusive) in pieces, each with the index of its first. Raises `PartMissing`."""
    width = SEGMENT if isinstance(source, Segments) else WIDTH
    at = start
    while at < stop:
        number, within = divmod(at, width)
        count = min(width - within, stop - at)
        if isinstance(source, Segments):
            yield at, read_bytes(source.log_path(number), within * STRIDE, count * STRIDE)
        else:
            yield at, source.bundle(number, within + count)[within * STRIDE : (within + count) * STRIDE]
        at += count


def check_leaves(data: bytes) -> None:
    """Raise `UnknownVersion` unless `data` is framed leaves of the version that this reader knows, and nothing else."""
    count, rest = divmod(len(data), STRIDE)
    if rest or any(data[at::STRIDE] != bytes((octet,)) * count for at, octet in enumerate(((SIZE >> 8), SIZE & 0xFF, VERSION))):
        raise UnknownVersion("an entry of the log is no leaf of the version that this reader knows")


def hour_at(log: Segments, index: int) -> int:
    """Return the hour of the leaf at `index`."""
    (_, data), *_ = stored_leaves(log, index, index + 1)
    check_leaves(data)
    return int.from_bytes(data[4:8], "big")


def hours_of(epoch: str) -> range:
    """Return the hours (since 1970, UTC) of an epoch."""
    year, month = int(epoch[:4]), int(epoch[5:])
    return range(hour_of(datetime(year, month, 1, tzinfo=UTC)), hour_of(datetime(*_next(year, month), 1, tzinfo=UTC)))


def epochs_between(first: str, last: str) -> Iterator[str]:
    """Yield all epochs from `first` to `last`, both included."""
    epoch = first
    while epoch <= last:
        yield epoch
        epoch = epoch_after(epoch)


def epoch_after(epoch: str) -> str:
    """Return the month after `epoch`."""
    year, month = _next(int(epoch[:4]), int(epoch[5:]))
    return f"{year:04d}-{month:02d}"


def _next(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == _DECEMBER else (year, month + 1)
