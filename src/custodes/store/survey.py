"""Works out what the erasure of one subject reaches, before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from custodes.ledger.blobs import Blobs
from custodes.ledger.leaf import tag_key
from custodes.store import contents
from custodes.store.contents import Names, Raws, octets, record_key
from custodes.store.cutting import Batch, cut, lines_that_name, open_batch, records_in
from custodes.store.erased_rows import look_at_accesses, look_at_context
from custodes.store.gather import prefix_of
from custodes.store.keys import KeyDestroyed
from custodes.store.reach import Leaves, Needles, Reach, find_leaves_of
from custodes.store.subject_keys import Wrapping, find_key

if TYPE_CHECKING:
    from custodes.ledger.log import Log
    from custodes.store.sealed import Frame
    from custodes.store.vault import Vault


class Survey:
    """Looks at one home. Changes nothing; costs one pass over the ledger, and for `whole` one over the vault and the store."""

    def __init__(self, home: Path, log: Log, vault: Vault, wrapping: Wrapping, key: bytes) -> None:
        """`key`: makes ids of records."""
        self._home, self._log, self._vault, self._wrapping, self._key = home, log, vault, wrapping, key

    def leaves(self, subject: str) -> Reach:
        """Return the subject's leaves, and who looked when."""
        reach = Reach(subject, b"", Leaves([], [], []))
        key = find_key(self._vault, self._wrapping, subject)
        if key is not None:
            reach.nonce = key.nonce
            reach.leaves = find_leaves_of(
                tag_key(key.key), self._log.origin, self._log.read, self._log.size, Blobs(self._log.path).read
            )
        looked = look_at_accesses(self._home / "accesses", reach.leaves, words=False)
        reach.accesses = len(reach.leaves.single) + len(reach.leaves.many)
        reach.actors = tuple(sorted(looked.actors))
        reach.first, reach.last = min(looked.days, default=""), max(looked.days, default="")
        return reach

    def whole(self, subject: str) -> Reach:
        """Return everything that an erasure destroys. Every batch of the vault must be in the store (`Intake.settle`)."""
        reach = self.leaves(subject)
        looked = look_at_accesses(self._home / "accesses", reach.leaves, words=True)
        context = look_at_context(self._home / "context", subject)
        reach.texts, reach.text_words = context.texts, context.words - context.held
        reach.access_ids = looked.access_ids
        reach.words = (looked.words | context.words) - context.held
        original = self._vault.names({subject}).get(subject)
        reach.ids = [] if original is None else [octets(original)]
        needles = Needles(reach.ids)
        frames = list(self._vault.intake.frames())
        found = self._named(frames, reach, needles)
        self._records(frames, found, reach, needles)
        before = -1
        while before < len(reach.keys):  # a record that one batch shows to be gone may be named in another
            before = len(reach.keys)
            for frame in frames:
                if frame.number in found and cut(open_batch(frame, self._log.read, self._log.size), reach, needles):
                    reach.frames.add(frame.number)
        return reach

    def _named(self, frames: list[Frame], reach: Reach, needles: Needles) -> set[int]:
        """Return the numbers of the frames that hold something of the subject, by leaf, name or id."""
        mine = reach.leaves.all()
        found: set[int] = set()
        firsts = [frame.first for frame in frames[1:]]
        at = 0
        for frame, end in zip(frames, [*firsts, self._log.size], strict=True):
            start = at
            while at < len(mine) and mine[at] < end:
                at += 1
            names = msgspec.msgpack.decode(frame.section(contents.NAMES), type=Names)
            known = {made for made, _ in names.pseudonyms}
            if at > start or reach.subject in known or not known.isdisjoint(reach.words) or _within(frame, needles):
                found.add(frame.number)
        return found

    def _records(self, frames: list[Frame], found: set[int], reach: Reach, needles: Needles) -> None:
        """Find the raw records that go, and add to `found` the frames of those that an earlier batch brought."""
        carried: set[bytes] = set()
        mine = {*reach.leaves.single, *reach.leaves.many}
        for frame in frames:
            if frame.number in found:
                batch = open_batch(frame, self._log.read, self._log.size)
                records = dict(_records_of(batch, mine, self._key))
                reach.keys.update(records.values())
                reach.lines |= records.keys() | lines_that_name(batch.raws, needles)
                carried |= records.keys() - _digests(batch.raws)
        for frame in reversed(frames) if carried else ():
            here = _digests(_raws(frame)) & carried
            if here:
                found.add(frame.number)
                carried -= here
            if not carried:
                break


def _records_of(batch: Batch, indexes: set[int], key: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the SHA-256 and the keyed id of each raw record of the accesses at `indexes`."""
    for place, index in enumerate(batch.at):
        group = batch.values.groups[place][4]
        if index in indexes and group is not None:
            prefix = prefix_of(batch.values.source, msgspec.json.decode(group).get("seq_of"))
            for digest in records_in(group):
                yield digest, record_key(key, prefix, digest)


def _within(frame: Frame, needles: Needles) -> bool:
    for section in (contents.RAWS, contents.VALUES, contents.NAMES):
        try:
            if needles.near(frame.section(section)):
                return True
        except KeyDestroyed:
            continue
    return False


def _raws(frame: Frame) -> Raws | None:
    try:
        return msgspec.msgpack.decode(frame.section(contents.RAWS), type=Raws)
    except KeyDestroyed:
        return None


def _digests(raws: Raws | None) -> set[bytes]:
    return set() if raws is None else {sha256(data).digest() for data in raws.data}
