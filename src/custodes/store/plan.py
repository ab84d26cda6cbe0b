"""The leaves of a batch: what each commits to, in the order in which they will stand in the ledger.

First the `lines` leaf over every raw record, then what was noticed about the log, then the accesses: one leaf each, with the
subject's tag if there is exactly one subject, zero if there is none, 0xFF and a touch leaf for each subject if there are several.
More than a thousand share one bulk leaf: it names the list of their tags, which lies beside the log.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from custodes.ledger.leaf import MANY_TAG, NO_TAG, Kind, commitment, epoch_of, record_commitment
from custodes.model.canonical import Json, canonical
from custodes.model.draft import Draft, SubjectUse
from custodes.store import openings
from custodes.store.contents import Groups, lines_root
from custodes.store.rows import FieldSet

if TYPE_CHECKING:
    from custodes.ledger.blobs import Blobs
    from custodes.ledger.chain import Batch
    from custodes.minimise.pseudonym import Pseudonyms


class _Touch(NamedTuple):
    """A touch leaf waits for the hash of its access's leaf. `place`, `access`: places of both in the batch."""

    place: int
    access: int
    tag: bytes
    what: bytes
    use: SubjectUse
    seed: bytes


class _Bulk(NamedTuple):
    """A bulk leaf waits for the hash of its access's leaf, and for the month in which its tags are made."""

    place: int
    access: int
    subjects: Sequence[str]
    seed: bytes


MOST_TOUCHES: Final = 1_000
"""Subjects of one access that have a touch leaf each."""
_Leaf = tuple[int, bytes, bytes]
"""Kind, tag, commitment."""
_WAITING: Final[_Leaf] = (Kind.TOUCH, NO_TAG, b"")
_ABSENT: Final[Groups] = (None, None, None, None, None)
_SEEDS: Final = 64 * 1024


class Tags(Protocol):
    """Whoever knows the subjects' keys (`store.memory.Memory`)."""

    def tag_of(self, subject: str, epoch: str) -> bytes:
        """Return the tag of a subject (pseudonym) in an epoch."""


class Plan:
    """Leaves to come. `add_*` return places in the batch; `write` puts the leaves into the ledger's batch.

    `groups` and `seeds` open the leaves, in their order; those of touches are there after `write`.
    """

    def __init__(self, pseudonyms: Pseudonyms, memory: Tags, epoch: str) -> None:
        self._subject, self._memory, self._epoch = pseudonyms, memory, epoch
        self._leaves: list[_Leaf] = []
        self._waiting: list[_Touch | _Bulk] = []
        self._who: dict[tuple[str, str, str | None, str | None, str | None], bytes] = {}
        self._why: dict[tuple[str | None, str | None, bool | None], bytes | None] = {}
        self._where: dict[str | None, bytes | None] = {}
        self._tags: dict[str, bytes] = {}
        self._random, self._at = b"", 0
        self.groups: list[Groups] = []
        self.seeds: list[bytes] = []
        self.lines_seed = os.urandom(32)

    def add_lines(self, digests: Sequence[bytes]) -> int:
        """Add the `lines` leaf over raw records, given by their SHA-256."""
        return self.add_record(Kind.LINES, {"count": len(digests), "root": lines_root(self.lines_seed, digests).hex()})

    def add_record(self, kind: int, what: Mapping[str, Json]) -> int:
        """Add a leaf of kinds 4 to 10."""
        content, seed = canonical(dict(what)), self._seed(32)
        return self._add((kind, NO_TAG, record_commitment(content, seed)), (None, content, None, None, None), seed)

    def add_access(self, draft: Draft, fieldset: FieldSet, digests: Sequence[bytes]) -> tuple[int, Sequence[int]]:
        """Add an access and, for several subjects, their touches. `digests`: SHA-256 of its records.

        Returns its place, and a place for each entry of `subjects`.
        """
        uses = draft.subjects
        one = uses[0].id if len(uses) == 1 or (uses and len({use.id for use in uses}) == 1) else None
        who, why, where = self._shared(draft)
        what = openings.what(draft, fieldset.resources, fieldset.fields, one)
        groups = (who, what, why, where, openings.raw(draft, digests))
        if one is not None:
            seeds = self._seed(64)
            tag = self._tags.get(one) or self._tag(one)
            place = self._add((1, tag, commitment(groups, (seeds[:32], seeds[32:]))), groups, seeds)
            return place, (place,) * len(uses)
        seeds = self._seed(96)
        commit = commitment(groups, (seeds[:32], seeds[32:64], seeds[64:]))
        place = self._add((1, MANY_TAG if uses else NO_TAG, commit), groups, seeds)
        return place, self._add_touches(place, draft, fieldset) if uses else ()

    def _add_touches(self, access: int, draft: Draft, fieldset: FieldSet) -> Sequence[int]:
        subjects = {use.id for use in draft.subjects}
        if len(subjects) > MOST_TOUCHES:
            return (self._add_bulk(access, list(subjects)),) * len(draft.subjects)
        places: dict[str, int] = {}
        for use in draft.subjects:
            if use.id not in places:
                seed = self._seed(32)
                what = openings.what(draft, fieldset.resources, fieldset.fields, use.id)
                place = places[use.id] = self._add(_WAITING, _ABSENT, seed)
                self._waiting.append(_Touch(place, access, self._tag(use.id), what, use, seed))
        return [places[use.id] for use in draft.subjects]

    def _add_bulk(self, access: int, subjects: list[str]) -> int:
        for subject in subjects:
            self._tag(subject)  # its key is made now, and sealed with the batch
        seed = self._seed(32)
        place = self._add(_WAITING, _ABSENT, seed)
        self._waiting.append(_Bulk(place, access, subjects, seed))
        return place

    def write(self, batch: Batch, source: int, hour: int, lists: Blobs) -> None:
        """Put all leaves into the ledger's open batch. Tag lists of bulk leaves are durable in `lists` when this returns."""
        epoch = epoch_of(batch.hour(hour))
        if epoch != self._epoch:
            self._turn_to(epoch)
        done = 0
        for item in self._waiting:
            batch.add_all(hour, source, self._leaves[done : item.place])
            access = batch.hashes[item.access]
            if isinstance(item, _Bulk):
                # Before its leaf: a leaf whose list is missing would leave the month's index for nobody to make.
                tag, root = lists.put([self._tags[subject] for subject in item.subjects])
                kind, what = Kind.BULK, openings.bulk(access, len(item.subjects), root)
            else:
                kind, tag, what = Kind.TOUCH, item.tag, openings.touch(access, item.what, item.use.relation, item.use.certainty)
            batch.add_all(hour, source, [(kind, tag, record_commitment(what, item.seed))])
            self.groups[item.place] = (None, what, None, None, None)
            done = item.place + 1
        batch.add_all(hour, source, self._leaves[done:])

    def _turn_to(self, epoch: str) -> None:
        """Make all tags again for another month: it began while this was planned, or the clock went back into an earlier one."""
        tags = {subject: self._memory.tag_of(self._subject.of("subject", subject), epoch) for subject in self._tags}
        turned = {old: tags[subject] for subject, old in self._tags.items()}
        self._leaves = [(kind, turned.get(tag, tag), commit) for kind, tag, commit in self._leaves]
        self._waiting = [item._replace(tag=turned[item.tag]) if isinstance(item, _Touch) else item for item in self._waiting]
        self._tags, self._epoch = tags, epoch

    def __len__(self) -> int:
        return len(self._leaves)

    def _add(self, leaf: _Leaf, groups: Groups, seeds: bytes) -> int:
        self._leaves.append(leaf)
        self.groups.append(groups)
        self.seeds.append(seeds)
        return len(self.seeds) - 1

    def _shared(self, draft: Draft) -> tuple[bytes, bytes | None, bytes | None]:
        """Return groups *who*, *why* and *where*; many accesses of a batch share them."""
        person = (draft.actor, draft.actor_kind, draft.on_behalf_of, draft.session, draft.device)
        who = self._who.get(person)
        if who is None:
            who = self._who[person] = openings.who(draft)
        stated = (draft.purpose, draft.reason, draft.break_glass)
        if stated not in self._why:
            self._why[stated] = openings.why(draft)
        country = draft.client_country
        if country not in self._where:
            self._where[country] = openings.where(draft)
        return who, self._why[stated], self._where[country]

    def _tag(self, subject: str) -> bytes:
        known = self._tags.get(subject)
        if known is None:
            known = self._tags[subject] = self._memory.tag_of(self._subject.of("subject", subject), self._epoch)
        return known

    def _seed(self, size: int) -> bytes:
        """Return random bytes; the system is asked for many at once."""
        at = self._at
        if at + size > len(self._random):
            self._random, at = os.urandom(_SEEDS), 0
        self._at = at + size
        return self._random[at : at + size]
