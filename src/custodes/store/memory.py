"""What intake remembers between runs to take nothing twice: record ids, own ids, accesses that may come again, subject keys."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from custodes.ledger.leaf import tag
from custodes.store.contents import MARKS, NAMES, Marks, Names
from custodes.store.subject_keys import FILE, NONCE, WIDTH, Wrapping
from custodes.store.table import Table
from custodes.store.vault import Vault

_GIVEN: Final = struct.Struct("<16sQ?")
_MOST_TAGS: Final = 200_000


class Given(NamedTuple):
    """An access that was given out when its input ended and may come again, whole.

    `records`: keyed digest of the records it was made of; `leaf`: its index in the ledger; `resolved`: it named a subject.
    """

    records: bytes
    leaf: int
    resolved: bool


class Memory:
    """Five tables in `vault/tables`. Single writer (intake's lock). Keys of subjects lie wrapped: the table alone opens nothing."""

    def __init__(self, vault: Vault, *, table_key: bytes, origin: str) -> None:
        folder = vault.path / "tables"
        self._vault, self._wrapping, self._origin = vault, Wrapping(table_key), origin
        self.records = Table(folder / "records.table", 0)
        self.erased = Table(folder / "erased.table", 0)
        self.own_ids = Table(folder / "own-ids.table", 16)
        self._given = Table(folder / "given.table", _GIVEN.size)
        self._subjects = Table(folder / FILE, WIDTH)
        self._tags: dict[str, bytes] = {}
        self._epoch = ""
        self._fresh_keys: dict[str, bytes] = {}
        self._sealing: dict[str, bytes] = {}

    def replay(self, batches: int) -> None:
        """Put in what the first `batches` sealed batches hold and a kill or power failure may have kept out."""
        start = min(table.covered for table in self._tables())
        for frame in self._vault.intake.frames(start):
            if frame.number >= batches:
                break
            marks = msgspec.msgpack.decode(frame.section(MARKS), type=Marks)
            keys = marks.each()
            names = msgspec.msgpack.decode(frame.section(NAMES), type=Names)
            self.mark_erased([keys[place] for place in marks.erased])
            self.learn(frame.number, keys, names, [frame.first + place for _, _, place, _ in names.given])

    def learn(self, batch: int, keys: Sequence[bytes], names: Names, given_leaves: Sequence[int]) -> None:
        """Put in what batch number `batch` holds; it is durable in the vault and the ledger."""
        self.records.add(keys)
        self.own_ids.add([key + holder for key, holder in names.claimed])
        self._given.put(
            (key, _GIVEN.pack(records, leaf, resolved))
            for (key, records, _, resolved), leaf in zip(names.given, given_leaves, strict=True)
        )
        self._subjects.add(
            [self._wrapping.slot(subject) + self._wrapping.wrap(subject, key) for subject, key in names.subject_keys]
        )
        for table in self._tables():
            table.cover(batch + 1)

    def given(self, key: bytes) -> Given | None:
        """Return what is remembered of an access that was given out early, by its record key."""
        value = self._given.get(key)
        return None if value is None else Given(*_GIVEN.unpack(value))

    def tag_of(self, subject: str, epoch: str) -> bytes:
        """Return the tag of a subject (pseudonym) in an epoch; the first time the subject gets a random key of its own."""
        if epoch != self._epoch or len(self._tags) > _MOST_TAGS:
            self._tags, self._epoch = {}, epoch
        known = self._tags.get(subject)
        if known is None:
            known = self._tags[subject] = tag(self._subject_key(subject), self._origin, epoch)
        return known

    def mark_erased(self, keys: Sequence[bytes]) -> None:
        """Remember ids of erased records: no access is made of them again."""
        self.erased.add(keys)

    def forget(self, subject: str, nonce: bytes, *, own_ids: Iterable[bytes], given: Iterable[bytes]) -> None:
        """Destroy a subject's key (the one of that `nonce`), own ids and accesses that may come again. Durable, repeatable.

        Slots are overwritten with random bytes where they lie, so that no free slot keeps them.
        """
        slot = self._wrapping.slot(subject)
        if nonce and (self._subjects.get(slot) or b"")[:NONCE] == nonce:
            self._subjects.destroy(slot)
        for table, keys in ((self.own_ids, own_ids), (self._given, given)):
            for key in keys:
                table.destroy(key)
        for table in self._tables():
            table.sync()

    def take_fresh_keys(self) -> list[tuple[str, bytes]]:
        """Hand over keys made since the last call, to be sealed with the batch that needs them; `learn` puts them in."""
        fresh, self._fresh_keys, self._sealing = list(self._fresh_keys.items()), {}, self._fresh_keys
        return fresh

    def take_back(self, lost: Iterable[str]) -> None:
        """Forget keys handed over last: somebody else recorded a key for these subjects first. The others are handed over again."""
        gone = set(lost)
        self._fresh_keys = {name: key for name, key in {**self._sealing, **self._fresh_keys}.items() if name not in gone}
        self._sealing, self._tags = {}, {}

    def close(self) -> None:
        """Sync and close the tables."""
        for table in self._tables():
            table.close()

    def _tables(self) -> tuple[Table, ...]:
        return (self.records, self.erased, self.own_ids, self._given, self._subjects)

    def _subject_key(self, subject: str) -> bytes:
        wrapped = self._subjects.get(self._wrapping.slot(subject))
        if wrapped is not None:
            return self._wrapping.unwrap(subject, wrapped)
        key = self._fresh_keys.get(subject) or self._sealing.get(subject)
        if key is None:
            key = self._fresh_keys[subject] = os.urandom(32)
        return key
