"""Does the vault hold what the leaves commit to? Everything is opened; nothing is raised for content.

A part that is not here is *erased* or *expired* if a leaf of the home says so (kind 6, its range covers it), else it is missing,
and missing is a problem: whoever deletes files or keys by hand leaves no such leaf.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec

from custodes.errors import CouldNotCheck
from custodes.ledger import leaf as leaves
from custodes.store import contents
from custodes.store.contents import Own, Raws, Values
from custodes.store.keys import KeyDestroyed
from custodes.store.places import Read, find_leaves
from custodes.store.sealed import Frame, Stream

_MOST_RANGES: Final = 20


@dataclass(slots=True)
class Openings:
    """What `Vault.check` found; `problems` are sentences without content of records.

    `opened`: leaves whose contents fit, as far as they are here; `erased`: those of them of which a part was erased with a record;
    `expired`: `lines` leaves whose raw records expired with a record; `orphans`: sealed, but a crash kept them from the log.
    """

    opened: int = 0
    erased: int = 0
    expired: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)
    indexes: set[int] = field(default_factory=set)


class Ranges:
    """Ranges of indexes (first, last; both inclusive), joined."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        self.pairs: list[tuple[int, int]] = []
        for first, last in sorted(pairs):
            if self.pairs and first <= self.pairs[-1][1] + 1:
                self.pairs[-1] = (self.pairs[-1][0], max(last, self.pairs[-1][1]))
            else:
                self.pairs.append((first, last))
        self._firsts = [first for first, _ in self.pairs]

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._firsts, index) - 1
        return at >= 0 and index <= self.pairs[at][1]


def check(own: Stream, intake: Stream, read: Read, size: int) -> Openings:
    """Open every commitment whose contents lie here and compare it with the log's entries (`read`, up to `size`).

    Each batch's leaves must lie in the log, in order; each group and raw record must lead to what its leaf commits to; each leaf
    of the log must have contents. A last batch or own record of which the log has nothing is an orphan of a crash and no problem.
    """
    return _Check(own, intake, read, size).run()


class _Check:
    """One check."""

    def __init__(self, own: Stream, intake: Stream, read: Read, size: int) -> None:
        self._own, self._intake, self._read, self._size = own, intake, read, size
        self._found = Openings()
        self._erased, self._expired = Ranges(()), Ranges(())

    def run(self) -> Openings:
        """Check the home's own records first: they say what may be absent from the batches."""
        found, told = self._found, set[int]()
        self._check_own()
        frames = self._frames(self._intake)
        for frame in frames:
            try:
                values = msgspec.msgpack.decode(frame.section(contents.VALUES), type=Values)
                at = find_leaves(values.leaves, self._read, values.first, self._size)
                if not at and frame is frames[-1]:
                    found.orphans += 1
                    continue
                problems = self._check_batch(frame, values, at)
            except CouldNotCheck as wrong:
                problems = [str(wrong)]
                told.update(range(frame.first, frame.first + frame.span))
            found.problems += [f"sealed batch {frame.number}: {text}" for text in problems]
        self._check_missing(told)
        return found

    def _frames(self, stream: Stream) -> list[Frame]:
        frames: list[Frame] = []
        try:
            frames.extend(stream.frames(gaps=self._found.problems))
        except CouldNotCheck as wrong:
            self._found.problems.append(str(wrong))
        return frames

    def _check_own(self) -> None:
        found = self._found
        said = _Said()
        for number, frame in enumerate(self._frames(self._own)):
            try:
                own = msgspec.msgpack.decode(frame.section(0), type=Own)
            except CouldNotCheck as wrong:
                found.problems.append(f"own record {number}: {wrong}")
                continue
            leaf = leaves.decode(own.leaf)
            if not find_leaves(own.leaf, self._read, own.first, self._size):
                found.orphans += 1
            elif leaf.commit != leaves.record_commitment(own.what, own.seed):
                found.problems.append(f"own record {number}: its contents are not what its leaf commits to")
            else:
                found.opened += 1
                found.indexes.add(own.first)
                if leaf.kind == leaves.Kind.ERASURE:
                    said.take(own.what)
        self._erased, self._expired = Ranges(said.erased), Ranges(said.expired)

    def _check_batch(self, frame: Frame, values: Values, at: list[int]) -> list[str]:
        """Check one batch, whose leaves lie at `at`."""
        found = self._found
        found.opened += len(at)
        found.indexes.update(at)
        if len(at) * leaves.SIZE != len(values.leaves):
            return [f"the ledger has {len(at)} of its {len(values.leaves) // leaves.SIZE} leaves"]
        problems = []
        remains = {item.place: item for item in values.remains}
        for place, index in enumerate(at):
            entry = values.leaves[place * leaves.SIZE : (place + 1) * leaves.SIZE]
            leaf, left = leaves.decode(entry), remains.get(place)
            if left is None:
                fits = leaf.commit == leaves.commitment(values.groups[place], contents.split_seeds(values.seeds[place]))
            else:
                fits = contents.fits(contents.opening(index, entry, values.groups[place], b"", left))
                problems += self._account(index, "contents of")
            if not fits:
                problems.append(f"the contents of leaf {index} are not what it commits to")
            if leaf.kind == leaves.Kind.LINES:
                problems += self._check_lines(frame, values, place, index)
        return problems

    def _account(self, index: int, what: str) -> list[str]:
        """Count a leaf of which a part was removed as erased, if a record says so."""
        if index in self._erased:
            self._found.erased += 1
            return []
        return [f"{what} leaf {index} are missing, and no record says that they were erased"]

    def _check_lines(self, frame: Frame, values: Values, place: int, index: int) -> list[str]:
        """Check the raw records of a batch against their `lines` leaf at `index`."""
        try:
            raws = msgspec.msgpack.decode(frame.section(contents.RAWS), type=Raws)
        except KeyDestroyed:
            if index in self._expired:
                self._found.expired += 1
                return []
            return [f"the raw records under leaf {index} are missing, and no record says that they expired"]
        what = msgspec.json.decode(values.groups[place][1] or b"{}")
        problems = self._account(index, "raw records under") if raws.gone else []
        if what.get("count") != len(raws.data) or what.get("root") != contents.root_of_lines(hashes_of(values, raws)).hex():
            problems.append(f"the raw records are not those that leaf {index} commits to")
        return problems

    def _check_missing(self, told: set[int]) -> None:
        found = self._found
        absent = ranges_of(index for index in range(self._size) if index not in found.indexes and index not in told)
        for first, last in absent[:_MOST_RANGES]:
            found.problems.append(f"the contents of leaves {first} to {last} are missing")
        if len(absent) > _MOST_RANGES:
            found.problems.append(f"contents are missing in {len(absent) - _MOST_RANGES} more ranges")


class _Said:
    """What leaves of kind 6 say was destroyed.

    What an erasure destroyed beside the subject's own leaves counts only between its *intent* and its *done*, which need two
    people.
    """

    def __init__(self) -> None:
        self.erased: list[tuple[int, int]] = []
        self.expired: list[tuple[int, int]] = []
        self._open = False

    def take(self, what: bytes) -> None:
        """Take in one record; they come in order."""
        record = msgspec.json.decode(what)
        given = record.get("ranges")
        pairs = [(pair[0], pair[1]) for pair in given if len(pair) == 2] if isinstance(given, list) else []
        match record.get("what"):
            case "erasure":
                self.erased += pairs
                self._open = record.get("step") != "done"
            case "erased beside" if self._open:
                self.erased += pairs
            case "expiry":
                self.expired += pairs


def hashes_of(values: Values, raws: Raws) -> list[bytes]:
    """Return the hashes of a batch's raw records in the tree of their `lines` leaf, erased ones included."""
    salts = raws.salts or contents.line_salts(values.lines_seed, len(raws.data))
    hashes = contents.line_hashes(salts, [sha256(data).digest() for data in raws.data])
    for place, digest in raws.gone:
        hashes[place] = digest
    return hashes


def ranges_of(indexes: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending indexes as ranges (first, last; both inclusive)."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and index == found[-1][1] + 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found
