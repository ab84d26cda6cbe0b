"""The leaves of a batch: what each commits to, in the order in which they will stand in the ledger.

First the `lines` leaf over every raw record, then what was noticed about the log, then the accesses: one leaf each, with the
subject's tag if there is exactly one subject, zero if there is none, 0xFF and a touch leaf for each subject if there are several.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from custodes.ledger.leaf import MANY_TAG, NO_TAG, Kind, commitment, record_commitment
from custodes.model.canonical import Json, canonical
from custodes.model.draft import Draft, SubjectUse
from custodes.store import openings
from custodes.store.memory import Memory
from custodes.store.rows import FieldSet
from custodes.store.vault import Groups, lines_root

if TYPE_CHECKING:
    from custodes.ledger.chain import Batch
    from custodes.minimise.pseudonym import Pseudonyms


class _Entry(NamedTuple):
    kind: int
    tag: bytes
    groups: Groups
    seeds: bytes
    commit: bytes


class _Touch(NamedTuple):
    """A touch leaf waits for the hash of its access's leaf. `access`: place of that leaf in the batch."""

    tag: bytes
    access: int
    what: bytes
    use: SubjectUse
    seed: bytes


class Plan:
    """Leaves to come. `add_*` return places in the batch; `write` puts the leaves into the ledger's batch."""

    def __init__(self, pseudonyms: Pseudonyms, memory: Memory, epoch: str) -> None:
        self._subject, self._memory, self._epoch = pseudonyms, memory, epoch
        self._entries: list[_Entry | _Touch] = []
        self._who: dict[tuple[str, str, str | None], bytes] = {}
        self._why: dict[tuple[str | None, str | None, bool | None], bytes | None] = {}
        self._where: dict[tuple[str | None, str | None, str | None], bytes | None] = {}
        self._tags: dict[str, bytes] = {}
        self._random, self._at = b"", 0
        self.groups: list[Groups] = []
        self.seeds: list[bytes] = []
        self.lines_seed = os.urandom(32)

    def add_lines(self, data: Sequence[bytes]) -> int:
        """Add the `lines` leaf over raw records."""
        return self.add_record(Kind.LINES, {"count": len(data), "root": lines_root(self.lines_seed, data).hex()})

    def add_record(self, kind: int, what: Mapping[str, Json]) -> int:
        """Add a leaf of kinds 4 to 10."""
        content, seed = canonical(dict(what)), self._seed(32)
        groups = (None, content, None, None, None)
        self._entries.append(_Entry(kind, NO_TAG, groups, seed, record_commitment(content, seed)))
        return len(self._entries) - 1

    def add_access(self, draft: Draft, fieldset: FieldSet) -> tuple[int, Sequence[int]]:
        """Add an access and, for several subjects, their touches. Returns its place, and a place for each entry of `subjects`."""
        entries = self._entries
        place = len(entries)
        subjects = dict.fromkeys([use.id for use in draft.subjects]) if draft.subjects else ()
        one = next(iter(subjects)) if len(subjects) == 1 else None
        what = openings.what(draft, fieldset.resources, fieldset.fields, one)
        who, why, where = self._shared(draft)
        groups = (who, what, why, where, openings.raw(draft))
        if one is not None:
            seeds = self._seed(64)
            commit = commitment(groups, (seeds[:32], seeds[32:]))
            entries.append(_Entry(Kind.ACCESS, self._tag(one), groups, seeds, commit))
            return place, [place] * len(draft.subjects)
        seeds = self._seed(96)
        commit = commitment(groups, (seeds[:32], seeds[32:64], seeds[64:]))
        entries.append(_Entry(Kind.ACCESS, MANY_TAG if subjects else NO_TAG, groups, seeds, commit))
        if not subjects:
            return place, ()
        places = {}
        for use in draft.subjects:
            if use.id not in places:
                places[use.id] = len(entries)
                mine = openings.what(draft, fieldset.resources, fieldset.fields, use.id)
                entries.append(_Touch(self._tag(use.id), place, mine, use, self._seed(32)))
        return place, [places[use.id] for use in draft.subjects]

    def write(self, batch: Batch, source: int, hour: int) -> None:
        """Put all leaves into the ledger's open batch; `groups` and `seeds` then open them, in order."""
        hashes: list[bytes] = []
        add, keep, groups, seeds = batch.add, hashes.append, self.groups, self.seeds
        for entry in self._entries:
            if isinstance(entry, _Touch):
                what = openings.touch(hashes[entry.access], entry.what, entry.use.relation, entry.use.certainty)
                opened = (None, what, None, None, None)
                _, digest = add(Kind.TOUCH, hour, source, entry.tag, record_commitment(what, entry.seed))
                groups.append(opened)
                seeds.append(entry.seed)
            else:
                _, digest = add(entry.kind, hour, source, entry.tag, entry.commit)
                groups.append(entry.groups)
                seeds.append(entry.seeds)
            keep(digest)

    def __len__(self) -> int:
        return len(self._entries)

    def _shared(self, draft: Draft) -> tuple[bytes, bytes | None, bytes | None]:
        """Return groups *who*, *why* and *where*; many accesses of a batch share them."""
        person = (draft.actor, draft.actor_kind, draft.on_behalf_of)
        who = self._who.get(person)
        if who is None:
            who = self._who[person] = openings.who(draft)
        stated = (draft.purpose, draft.reason, draft.break_glass)
        if stated not in self._why:
            self._why[stated] = openings.why(draft)
        place = (draft.client_country, draft.session, draft.device)
        if place not in self._where:
            self._where[place] = openings.where(draft)
        return who, self._why[stated], self._where[place]

    def _tag(self, subject: str) -> bytes:
        known = self._tags.get(subject)
        if known is None:
            known = self._tags[subject] = self._memory.tag_of(self._subject.of("subject", subject), self._epoch)
        return known

    def _seed(self, size: int) -> bytes:
        """Return random bytes; the system is asked for many at once."""
        if self._at + size > len(self._random):
            self._random, self._at = os.urandom(65_536), 0
        self._at += size
        return self._random[self._at - size : self._at]
