"""One sealed batch without what an erasure destroys. Pure: contents in, contents out, and the same again changes nothing.

Of a leaf that lost a part, the salts of the groups that stay and the digests of those that went are kept in place of the seeds:
what is left still leads to the leaf's commitment, and nothing that went can be guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import msgspec

from custodes.ledger.leaf import SIZE, Kind
from custodes.model.arrow import ACCESSES, TOUCHES
from custodes.store import contents
from custodes.store.contents import Groups, Marks, Names, Raws, Remains, Values
from custodes.store.erased_rows import cut_tables
from custodes.store.keys import KeyDestroyed
from custodes.store.places import Read, find_leaves
from custodes.store.reach import Needles, Reach
from custodes.store.rowset import Rows, from_ipc, to_ipc
from custodes.store.sealed import Frame

_WHAT, _WHY, _RAW = 1, 2, 4
_SUBJECTS: Final = frozenset({_WHAT, _WHY, _RAW})
"""Groups that belong to the subject."""
_DIGEST: Final = re.compile(rb'"([0-9a-f]{64})"')
_SALT: Final = 16


@dataclass(slots=True)
class Batch:
    """The contents of one frame. `at`: ledger index of each leaf; `raws` is None once the day's raw records have expired."""

    names: Names
    values: Values
    raws: Raws | None
    rows: Rows
    marks: Marks
    at: Sequence[int]


def open_batch(frame: Frame, read: Read, size: int) -> Batch:
    """Return a frame's contents. Raises `PartMissing`."""
    values = msgspec.msgpack.decode(frame.section(contents.VALUES), type=Values)
    entries = read(values.first, min(size, values.first + frame.span))
    straight = len(entries) == frame.span and b"".join(entries) == values.leaves
    try:
        raws = msgspec.msgpack.decode(frame.section(contents.RAWS), type=Raws)
    except KeyDestroyed:
        raws = None
    return Batch(
        names=msgspec.msgpack.decode(frame.section(contents.NAMES), type=Names),
        values=values,
        raws=raws,
        rows=msgspec.msgpack.decode(frame.section(contents.ROWS), type=Rows),
        marks=msgspec.msgpack.decode(frame.section(contents.MARKS), type=Marks),
        at=range(frame.first, frame.first + frame.span) if straight else find_leaves(values.leaves, read, values.first, size),
    )


def sections_of(batch: Batch) -> list[bytes]:
    """Return a batch as the sections of a frame."""
    parts = (batch.names, batch.values, batch.raws, batch.rows, batch.marks)
    return [b"" if part is None else msgspec.msgpack.encode(part) for part in parts]


def records_in(group: bytes | None) -> set[bytes]:
    """Return the SHA-256 of the raw records that a group *raw* names."""
    return {bytes.fromhex(word.decode()) for word in _digests_in(group)} if group else set()


def _digests_in(group: bytes) -> list[bytes]:
    """Return the digests in hexadecimal; their list is the last of the names of a group *raw*."""
    found: list[bytes] = _DIGEST.findall(group, max(0, group.rfind(b'"sha256":[')))
    return found


def cut(batch: Batch, reach: Reach, needles: Needles) -> bool:
    """Take out of `batch` what the erasure destroys; return whether anything changed.

    Leaves of others that lost a part are put into `reach.beside`, those whose rows must be blanked into `reach.blanked`.
    """
    changed = [
        _cut_groups(batch, reach, needles),
        _cut_raws(batch, reach, needles),
        _cut_names(batch.names, reach, needles),
        _cut_marks(batch.marks, reach),
        any(needles.near(content) for _, content in batch.values.positions),
    ]
    if not any(changed):
        return False
    batch.values.positions = []  # they hold records that a parser keeps back; a batch that is stored has no more use for them
    _cut_rows(batch, reach)
    return True


def lines_that_name(raws: Raws | None, needles: Needles) -> set[bytes]:
    """Return the SHA-256 of the raw records in which the subject's id stands."""
    return set() if raws is None else {sha256(data).digest() for data in raws.data if needles.within(data)}


def _cut_groups(batch: Batch, reach: Reach, needles: Needles) -> bool:
    single, touches, many = set(reach.leaves.single), set(reach.leaves.touches), set(reach.leaves.many)
    lines = {digest.hex().encode() for digest in reach.lines}
    values, changed = batch.values, False
    left = {item.place: item for item in values.remains}
    for place, (index, groups) in enumerate(zip(batch.at, values.groups, strict=True)):
        if values.leaves[place * SIZE + 1] > Kind.BULK:
            continue
        gone = set(_SUBJECTS) if index in single or index in touches else _touching(groups, lines, needles)
        if index in many:
            gone.add(_RAW)
        gone = {group for group in gone if groups[group] is not None}
        if not gone:
            continue
        left[place] = _leave(values, place, gone, left.get(place))
        changed = True
        if index not in single | touches | many:
            reach.beside.add(index)
        if _RAW in gone and index not in single:
            reach.blanked.add(index)
    values.remains = [left[place] for place in sorted(left)]
    return changed


def _touching(groups: Groups, lines: set[bytes], needles: Needles) -> set[int]:
    """Return the subject's groups of another leaf that rest on a destroyed record, or in which the subject's id stands."""
    gone = {group for group in _SUBJECTS if (content := groups[group]) is not None and needles.within(content)}
    raw = groups[_RAW]
    if lines and raw is not None and not lines.isdisjoint(_digests_in(raw)):
        gone.add(_RAW)
    return gone


def _leave(values: Values, place: int, gone: set[int], left: Remains | None) -> Remains:
    """Take groups of one leaf away, with their salts; return what the others need. `left`: by an earlier erasure."""
    groups = values.groups[place]
    entry = values.leaves[place * SIZE : (place + 1) * SIZE]
    before = contents.opening(0, entry, groups, values.seeds[place], left)
    kept = [content is not None and group not in gone for group, content in enumerate(groups)]
    values.groups[place] = contents.five([content if keep else None for content, keep in zip(groups, kept, strict=True)])
    values.seeds[place] = b""
    return Remains(
        place,
        contents.five([salt if keep else None for salt, keep in zip(before.salts, kept, strict=True)]),
        contents.five([None if keep else digest for digest, keep in zip(before.digests, kept, strict=True)]),
    )


def _cut_raws(batch: Batch, reach: Reach, needles: Needles) -> bool:
    raws, values = batch.raws, batch.values
    if raws is None:
        return False
    gone = dict(raws.gone)
    digests = [sha256(data).digest() for data in raws.data]
    fresh = [
        place
        for place, (data, digest) in enumerate(zip(raws.data, digests, strict=True))
        if place not in gone and (digest in reach.lines or needles.within(data))
    ]
    if not fresh:
        return False
    salts = bytearray(raws.salts or contents.line_salts(values.lines_seed, len(raws.data)))
    hashes = contents.line_hashes(bytes(salts), digests)
    keys = batch.marks.each()
    for place in fresh:
        gone[place] = hashes[place]
        raws.data[place] = b""
        salts[place * _SALT : (place + 1) * _SALT] = bytes(_SALT)
        reach.keys.add(keys[place])
    raws.gone, raws.salts, values.lines_seed = sorted(gone.items()), bytes(salts), b""
    reach.beside.update(index for place, index in enumerate(batch.at) if values.leaves[place * SIZE + 1] == Kind.LINES)
    return True


def _cut_names(names: Names, reach: Reach, needles: Needles) -> bool:
    before = _count(names)
    names.pseudonyms = [
        (made, original)
        for made, original in names.pseudonyms
        if made != reach.subject and made not in reach.words and not (made[0] in "vko" and needles.within(original))
    ]
    names.subject_keys = [(subject, key) for subject, key in names.subject_keys if subject != reach.subject]
    names.ids = [(public, own) for public, own in names.ids if public not in reach.access_ids and not needles.within(own)]
    reach.own_ids.update(key for key, holder in names.claimed if holder in reach.keys)
    names.claimed = [(key, holder) for key, holder in names.claimed if holder not in reach.keys]
    reach.given.update(item[0] for item in names.given if item[0] in reach.keys)
    names.given = [item for item in names.given if item[0] not in reach.keys]
    return _count(names) < before


def _count(names: Names) -> int:
    return len(names.pseudonyms) + len(names.subject_keys) + len(names.ids) + len(names.claimed) + len(names.given)


def _cut_marks(marks: Marks, reach: Reach) -> bool:
    erased = {place for place, key in enumerate(marks.each()) if key in reach.keys}
    fresh = erased - set(marks.erased)
    marks.erased = sorted(erased | set(marks.erased))
    return bool(fresh)


def _cut_rows(batch: Batch, reach: Reach) -> None:
    """Rows are kept for a store that must be made again from the vault; their `leaf` is the place within the batch."""
    rows = batch.rows
    places = {index: place for place, index in enumerate(batch.at)}
    accesses, touches = cut_tables(
        from_ipc(rows.accesses, ACCESSES),
        from_ipc(rows.touches, TOUCHES),
        subject=reach.subject,
        gone=[places[index] for index in reach.leaves.single if index in places],
        many=[places[index] for index in reach.leaves.many if index in places],
        blanked=[places[index] for index in {*reach.blanked, *reach.leaves.many} if index in places],
    )
    rows.accesses, rows.touches = to_ipc(accesses), to_ipc(touches)
