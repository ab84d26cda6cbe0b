"""Is every root of the index what the main log's leaves and tag lists make? Computed again by whoever holds them, without a key.

    entries of the index log → form, order, origin → size and root are the main log's → leaves and lists below that size → trie
    root and counts → a final root's month is over, and no leaf of it follows → stored tries are those of their entries

The main log and the index log are checked on their own before (`fsck`, `verify`); here only what ties them together is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from custodes.errors import CouldNotCheck, CustodesError, LedgerRewritten, UnknownVersion
from custodes.ledger.blobs import Blobs
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.index import IndexEntry, parse_entry
from custodes.ledger.leaf import epoch_of
from custodes.ledger.merkle import WIDTH
from custodes.ledger.months import Months, stored_leaves
from custodes.ledger.proof import root_of
from custodes.ledger.segments import Segments, bounds, read_bytes
from custodes.ledger.static import Folder
from custodes.ledger.trie import Trie, build


@dataclass(slots=True)
class IndexReport:
    """What was checked and found. `months`: with a root; `lists`: of bulk leaves; `covered`: entries of the main log."""

    entries: int = 0
    months: int = 0
    covered: int = 0
    lists: int = 0
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 broken, 2 a part could not be read, 0 sound."""
        return 3 if self.problems else 2 if self.unread else 0


def recompute(folder: Path) -> IndexReport:
    """Check the index of an exported folder (`ledger.export`), as a mirror does. The tiles themselves are `verify`'s matter.

    Nothing is raised for content; a missing tag list is `unread`.
    """
    report = IndexReport()
    try:
        main = read_unverified(read_bytes(folder / "checkpoint"))
        index = read_unverified(read_bytes(folder / "index" / "checkpoint"))
        entries = _bundled(Folder(folder / "index"), index.size)
        _Check(Folder(folder), main, Blobs(folder), report).run(index.origin, entries)
    except CouldNotCheck as wrong:
        report.unread.append(str(wrong))
    except CustodesError as wrong:
        report.problems.append(str(wrong))
    return report


def check_index(log: Path, index: Path, name: str, size: int, signed: Checkpoint) -> IndexReport:
    """Check the index log `name` of `size` entries in `index` against the main log in `log`, last signed as `signed`.

    Nothing is raised for content. These are the files of the log's owner: a missing one is a problem.
    """
    report = IndexReport()
    try:
        check = _Check(Segments(log), signed, Blobs(log), report)
        check.tries = {file.stem: file for file in (index / "tries").glob("*.trie")}
        check.run(name, Segments(index).read(0, size))
        check.other_lists()
    except UnknownVersion as wrong:
        report.unread.append(str(wrong))
    except CustodesError as wrong:
        report.problems.append(str(wrong))
    return report


def _bundled(folder: Folder, size: int) -> list[bytes]:
    entries: list[bytes] = []
    for number in range(-(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        data = folder.bundle(number, width)
        ends = bounds(data)
        if len(ends) <= width:
            raise LedgerRewritten(f"entry bundle {number} of the index log does not hold whole entries")
        entries += [data[start + 2 : end] for start, end in pairwise(ends[: width + 1])]
    return entries


class _Check:
    """One pass over the main log, in the order in which the index log has covered it."""

    def __init__(self, source: Segments | Folder, main: Checkpoint, blobs: Blobs, report: IndexReport) -> None:
        self._source, self._main, self._blobs, self._report = source, main, blobs, report
        self._months = Months(blobs.read)
        self._final: set[str] = set()
        self._at = 0
        self.tries: dict[str, Path] = {}

    def run(self, name: str, entries: Sequence[bytes]) -> None:
        """Check all entries of the index log `name`."""
        if name != f"{self._main.origin}/index":
            raise LedgerRewritten("the index log here is that of another log")
        covered: dict[str, int] = {}
        for place, data in enumerate(entries):
            entry = parse_entry(data)
            for text in self._wrong(entry, covered):
                self._report.problems.append(f"root {place} of the index ({entry.epoch}): {text}")
            covered[entry.epoch] = entry.size
        for epoch in self.tries.keys() - self._final:
            self._report.problems.append(f"the stored trie of {epoch} is of a month without a final root")
        self._take(self._main.size)
        report = self._report
        report.entries, report.months, report.lists = len(entries), len(covered), len(self._months.lists)
        report.covered = max(covered.values(), default=0)
        if report.covered < self._main.size:
            report.notes.append(f"{self._main.size - report.covered} signed entries are under no root of the index yet")

    def other_lists(self) -> None:
        """Look at tag lists that no leaf names."""
        others = [name for name in self._blobs.names() if name not in self._months.lists]
        for name in others:
            self._blobs.read(bytes.fromhex(name))
        if others:
            self._report.notes.append(f"{len(others)} tag lists are named by no signed leaf; a crash may leave one")

    def _wrong(self, entry: IndexEntry, covered: Mapping[str, int]) -> Iterator[str]:
        # 1. Its place in the order.
        if entry.origin != self._main.origin:
            yield "it is of another log"
        if entry.size < self._at or entry.size <= covered.get(entry.epoch, 0) or entry.epoch in self._final:
            yield "it does not go on from the roots before it"
            return
        if entry.size > self._main.size:
            yield f"it covers size {entry.size}, but the log was published up to {self._main.size}"
            return
        # 2. The main log at that size.
        if root_of(self._source, entry.size) != entry.root:
            yield f"the log had another root at size {entry.size}"
        # 3. What the leaves below it make.
        self._take(entry.size)
        month = self._months.of(entry.epoch)
        trie = build(month.pairs)
        if trie.root != entry.index:
            yield "the leaves and tag lists make another root"
        made = (trie.tags, trie.positions, month.unresolved, month.many)
        if made != (entry.tags, entry.positions, entry.unresolved, entry.many):
            yield "the leaves and tag lists lead to other counts"
        if entry.final != (entry.epoch < epoch_of(self._months.last_hour)):
            yield (
                "it is called final, but the month was not over"
                if entry.final
                else "the month was over, but it is not called final"
            )
        if entry.final:
            self._final.add(entry.epoch)
            self._months.forget(entry.epoch)
            yield from self._stored(entry.epoch, trie)

    def _stored(self, epoch: str, trie: Trie) -> Iterator[str]:
        file = self.tries.get(epoch)
        if file is not None and read_bytes(file) != trie.buffer:
            yield "its stored trie is damaged; remove it, and it is made again"

    def _take(self, size: int) -> None:
        """Take the leaves up to `size`; none may belong to a month that has its final root."""
        for first, data in stored_leaves(self._source, self._at, size):
            self._months.add(data, first)
        self._at = size
        for epoch in sorted(self._months.met & self._final):
            self._report.problems.append(f"a leaf below {size} is of {epoch}, which had its final root")
        self._months.met.clear()
