"""The vault: everything that identifies people, sealed. Raw records, group values and their salts, names behind pseudonyms.

The intake stream is the write-ahead record of the ledger: a batch is sealed here, durably, with the bytes of its leaves, before one
of them is appended. The own stream holds the records behind the home's own leaves (settings, loads, decisions). Readers open
only the section that they need: names · values · raws · rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b, sha256, shake_256
from pathlib import Path
from typing import Final

import msgspec

from custodes.errors import CouldNotCheck
from custodes.ledger import leaf as leaves
from custodes.ledger.merkle import EMPTY_ROOT, fold
from custodes.store.sealed import Drawer, Stream

NAMES, VALUES, RAWS, ROWS = range(4)
"""Sections of a frame of the intake stream."""
Read = Callable[[int, int], Sequence[bytes]]
"""Entries of the log from index (inclusive) to index (exclusive)."""
_BLOCK: Final = 65_536
_SALT: Final = 16

Groups = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]


def octets(text: str) -> bytes:
    """Return text as bytes that come back as the same text, lone surrogates of damaged logs and file names included."""
    return text.encode("utf-8", "surrogatepass")


def text_of(content: bytes) -> str:
    """Undo `octets`."""
    return content.decode("utf-8", "surrogatepass")


class Names(msgspec.Struct, array_like=True):
    """Who is behind the pseudonyms that a batch met first, new subjects' keys, and the source's own ids by access id.

    `claimed`: keyed hash of (source, own id) → the access that has it. `given`: accesses that may come again,
    whole, as `memory.Given` has them, save that the leaf is its place in the batch.
    """

    pseudonyms: list[tuple[str, bytes]]
    subject_keys: list[tuple[str, bytes]]
    ids: list[tuple[str, bytes]]
    claimed: list[tuple[bytes, bytes]]
    given: list[tuple[bytes, bytes, int, bool]]


class Values(msgspec.Struct, array_like=True):
    """The leaves of a batch (96 bytes each, joined), with the groups and seeds that open them, in the leaves' order.

    `first`: the index that the first of them was given. `lines_seed`: salts of the lines. `positions`: reading positions by keyed
    name, sealed in turn into `vault/positions`.
    """

    source: str
    number: int
    first: int
    leaves: bytes
    groups: list[Groups]
    seeds: list[bytes]
    lines_seed: bytes
    positions: list[tuple[bytes, bytes]]
    coverage: str


class Raws(msgspec.Struct, array_like=True):
    """Raw records of a batch in the order of the `lines` leaf: bytes, and where they stood (`files[file_of[i]]`, line).

    `prefixes[prefix_of[i]]` is what stands before the bytes in the record's keyed id. `rejected`: record → why it was not read.
    """

    files: list[bytes]
    prefixes: list[bytes]
    data: list[bytes]
    file_of: list[int]
    prefix_of: list[int]
    line: list[int]
    rejected: list[tuple[int, str]]


class Own(msgspec.Struct, array_like=True):
    """One record of the home itself: `first` is its index, `what` canonical JSON, `seed` opens its leaf."""

    first: int
    leaf: bytes
    seed: bytes
    what: bytes


@dataclass(slots=True)
class Openings:
    """What `Vault.check` found. `opened`: leaves whose contents fit; `problems`: sentences without content of records."""

    opened: int = 0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)
    indexes: set[int] = field(default_factory=set)


class Vault:
    """The sealed memory of one home. Reading needs the vault key; nothing here is ever printed or logged."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self.intake = Stream(path / "intake", key, ("names", "values", "raws", "rows"))
        self.own = Stream(path / "own", key, ("what",))
        self.rejected = Stream(path.parent / "rejected", key, ("lines",))
        self.texts = Stream(path / "texts", key, ("texts",))
        self.positions = Drawer(path / "positions", key)

    def keep(self, kind: str, content: bytes, day: date) -> None:
        """Seal what a context load must not leave open: `texts` (its free text) or `rejected` (its unreadable rows)."""
        {"texts": self.texts, "rejected": self.rejected}[kind].append([content], day)

    def names(self, pseudonyms: set[str]) -> dict[str, str]:
        """Return original ids of pseudonyms, as far as intake met them. The caller answers for who may ask."""
        found: dict[str, str] = {}
        for frame in self.intake.frames():
            part = msgspec.msgpack.decode(frame.section(NAMES), type=Names)
            found.update((made, text_of(original)) for made, original in part.pseudonyms if made in pseudonyms)
        return found

    def source_ids(self, access_ids: set[str]) -> dict[str, str]:
        """Return the source's own ids of accesses, where the log has them."""
        found: dict[str, str] = {}
        for frame in self.intake.frames():
            part = msgspec.msgpack.decode(frame.section(NAMES), type=Names)
            found.update((public, text_of(own)) for public, own in part.ids if public in access_ids)
        return found

    def own_records(self) -> Iterator[Own]:
        """Yield the home's own records in order, also one whose leaf a crash kept from the log."""
        for frame in self.own.frames():
            yield msgspec.msgpack.decode(frame.section(0), type=Own)

    def check(self, read: Read, size: int) -> Openings:
        """Open every commitment whose contents lie here and compare it with the log's entries (`read`, up to `size`).

        Each batch's leaves must lie in the log, in order, and each group and raw record must lead to what its leaf commits to.
        A last batch or own record of which the log has nothing is an orphan of a crash and no problem.
        """
        found = Openings()
        try:
            total = sum(1 for _ in self.intake.frames())
            for number, frame in enumerate(self.intake.frames()):
                values = msgspec.msgpack.decode(frame.section(VALUES), type=Values)
                raws = msgspec.msgpack.decode(frame.section(RAWS), type=Raws)
                at = find_leaves(values.leaves, read, values.first, size)
                if not at and number == total - 1:
                    found.orphans += 1
                    continue
                found.problems += [f"sealed batch {number}: {text}" for text in _check_batch(values, raws, at)]
                found.opened += len(at)
                found.indexes.update(at)
            self._check_own(read, size, found)
        except CouldNotCheck as wrong:
            found.problems.append(str(wrong))
        return found

    def _check_own(self, read: Read, size: int, found: Openings) -> None:
        for number, own in enumerate(self.own_records()):
            at = find_leaves(own.leaf, read, own.first, size)
            if not at:
                found.orphans += 1
            elif leaves.decode(own.leaf).commit != leaves.record_commitment(own.what, own.seed):
                found.problems.append(f"own record {number}: its contents are not what its leaf commits to")
            else:
                found.opened += 1
                found.indexes.update(at)


def find_leaves(wanted: bytes, read: Read, start: int, size: int) -> list[int]:
    """Return the log indexes of the joined leaves `wanted`, in order, from `start` on; fewer if the log has only the first ones.

    Other entries may lie between: another process may have appended.
    """
    entries = [wanted[at : at + leaves.SIZE] for at in range(0, len(wanted), leaves.SIZE)]
    found: list[int] = []
    while start < size and len(found) < len(entries):
        block = read(start, min(size, start + max(_BLOCK, len(entries)))) if found else read(start, min(size, start + len(entries)))
        if block == entries[len(found) : len(found) + len(block)]:
            found.extend(range(start, start + len(block)))
        else:
            for index, entry in enumerate(block, start):
                if len(found) < len(entries) and entry == entries[len(found)]:
                    found.append(index)
        start += len(block)
    return found


def lines_root(seed: bytes, digests: Sequence[bytes]) -> bytes:
    """Return the salted Merkle root over raw records, given by their SHA-256: the tree of RFC 6962 over salt ‖ digest.

    Each record's 16-byte salt is a slice of SHAKE-256(seed), so one record can be shown without making the others guessable.
    """
    salts = shake_256(seed).digest(_SALT * len(digests))
    places = range(0, len(salts), _SALT)
    hashes = b"".join(
        [sha256(b"\x00" + salts[at : at + _SALT] + digest).digest() for at, digest in zip(places, digests, strict=True)]
    )
    return fold(hashes) if hashes else EMPTY_ROOT


def record_key(key: bytes, prefix: bytes, digest: bytes) -> bytes:
    """Return the 16-byte keyed id of a raw record, given by its SHA-256; `prefix` says source and, if the log has one, `seq_of`."""
    return blake2b(prefix + digest, key=key, digest_size=16).digest()


def _check_batch(values: Values, raws: Raws, at: list[int]) -> list[str]:
    count = len(values.leaves) // leaves.SIZE
    if len(at) != count:
        return [f"the ledger has {len(at)} of its {count} leaves"]
    problems = []
    for index in range(count):
        leaf = leaves.decode(values.leaves[index * leaves.SIZE : (index + 1) * leaves.SIZE])
        if leaf.commit != leaves.commitment(values.groups[index], split_seeds(values.seeds[index])):
            problems.append(f"the contents of leaf {at[index]} are not what it commits to")
        if leaf.kind == leaves.Kind.LINES:
            what = msgspec.json.decode(values.groups[index][1] or b"{}")
            if what.get("count") != len(raws.data) or what.get("root") != _root_of(values, raws):
                problems.append(f"the raw records are not those that leaf {at[index]} commits to")
    return problems


def _root_of(values: Values, raws: Raws) -> str:
    return lines_root(values.lines_seed, [sha256(data).digest() for data in raws.data]).hex()


def split_seeds(joined: bytes) -> list[bytes]:
    """Return a leaf's seeds of 32 bytes from their joined form; one seed stands for both owners."""
    seeds = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    return seeds * 2 if len(seeds) == 1 else seeds
