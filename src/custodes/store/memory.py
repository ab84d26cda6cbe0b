"""What intake remembers between runs to take nothing twice: record ids, own ids, accesses that may come again, subject keys."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

import msgspec

from custodes.ledger.leaf import tag
from custodes.store.table import Table
from custodes.store.vault import NAMES, RAWS, Names, Raws, Vault, record_key

_GIVEN: Final = struct.Struct("<16sQ?")
_NONCE: Final = 8
_MOST_TAGS: Final = 200_000


class Given(NamedTuple):
    """An access that was given out when its input ended and may come again, whole.

    `records`: keyed digest of the records it was made of; `leaf`: its index in the ledger; `resolved`: it named a subject.
    """

    records: bytes
    leaf: int
    resolved: bool


class Memory:
    """Four tables in `vault/tables`. Single writer (intake's lock). Keys of subjects lie wrapped: the table alone opens nothing."""

    def __init__(self, vault: Vault, *, record_key: bytes, table_key: bytes, origin: str) -> None:
        folder = vault.path / "tables"
        self._vault, self._record_key, self._key, self._origin = vault, record_key, table_key, origin
        self.records = Table(folder / "records.table", 0)
        self.own_ids = Table(folder / "own-ids.table", 16)
        self._given = Table(folder / "given.table", _GIVEN.size)
        self._subjects = Table(folder / "subjects.table", _NONCE + 32)
        self._tags: dict[str, bytes] = {}
        self._epoch = ""
        self._fresh_keys: dict[str, bytes] = {}

    def replay(self, batches: int) -> None:
        """Put in what the first `batches` sealed batches hold and a kill or power failure may have kept out."""
        start = min(table.covered for table in self._tables())
        for frame in self._vault.intake.frames(start):
            if frame.number >= batches:
                break
            raws = msgspec.msgpack.decode(frame.section(RAWS), type=Raws)
            keys = [
                record_key(self._record_key, raws.prefixes[prefix], sha256(data).digest())
                for prefix, data in zip(raws.prefix_of, raws.data, strict=True)
            ]
            names = msgspec.msgpack.decode(frame.section(NAMES), type=Names)
            first = msgspec.msgpack.decode(frame.section(1), type=list)[2]
            self.learn(frame.number, keys, names, [first + place for _, _, place, _ in names.given])

    def learn(self, batch: int, keys: Sequence[bytes], names: Names, given_leaves: Sequence[int]) -> None:
        """Put in what batch number `batch` holds; it is durable in the vault and the ledger."""
        self.records.add(keys)
        self.own_ids.add([key + holder for key, holder in names.claimed])
        self._given.put(
            (key, _GIVEN.pack(records, leaf, resolved))
            for (key, records, _, resolved), leaf in zip(names.given, given_leaves, strict=True)
        )
        self._subjects.add([self._slot(subject) + self._wrap(subject, key) for subject, key in names.subject_keys])
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

    def take_fresh_keys(self) -> list[tuple[str, bytes]]:
        """Hand over keys made since the last call, to be sealed with the batch that needs them."""
        fresh, self._fresh_keys = list(self._fresh_keys.items()), {}
        return fresh

    def close(self) -> None:
        """Sync and close the tables."""
        for table in self._tables():
            table.close()

    def _tables(self) -> tuple[Table, ...]:
        return (self.records, self.own_ids, self._given, self._subjects)

    def _subject_key(self, subject: str) -> bytes:
        wrapped = self._subjects.get(self._slot(subject))
        if wrapped is not None:
            return _xor(wrapped[_NONCE:], self._pad(subject, wrapped[:_NONCE]))
        key = self._fresh_keys.get(subject)
        if key is None:
            key = self._fresh_keys[subject] = os.urandom(32)
        return key

    def _wrap(self, subject: str, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + _xor(key, self._pad(subject, nonce))

    def _slot(self, subject: str) -> bytes:
        return blake2b(subject.encode(), key=self._key, digest_size=16, person=b"slot").digest()

    def _pad(self, subject: str, nonce: bytes) -> bytes:
        return blake2b(nonce + subject.encode(), key=self._key, digest_size=32, person=b"wrap").digest()


def _xor(left: bytes, right: bytes) -> bytes:
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(32, "big")
