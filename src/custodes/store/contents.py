"""What the sealed frames of the vault hold, as bytes that any later version of this program must read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256, shake_256
from typing import Final

import msgspec

from custodes.ledger import leaf as leaves
from custodes.ledger.merkle import EMPTY_ROOT, fold

NAMES, VALUES, RAWS, ROWS, MARKS = range(5)
"""Sections of a frame of the intake stream."""
SECTIONS: Final = ("names", "values", "raws", "rows", "marks")
_SALT: Final = 16

Groups = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]
Parts = tuple[bytes | None, bytes | None, bytes | None, bytes | None, bytes | None]
"""One salt or digest for each group of a leaf, None where there is none."""


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


class Remains(msgspec.Struct, array_like=True):
    """What is left of a leaf's opening after an erasure. The leaf stands at `place` of its batch and has no seeds any more.

    `salts`: of the groups that still open. `digests`: d_g of the groups that are gone; their salts are, so nothing can be tested.
    """

    place: int
    salts: Parts
    digests: Parts


class Values(msgspec.Struct, array_like=True):
    """The leaves of a batch (96 bytes each, joined), with the groups and seeds that open them, in the leaves' order.

    `first`: the index that the first of them was given. `lines_seed`: salts of the lines, empty once a line is gone. `positions`:
    reading positions by keyed name, sealed in turn into `vault/positions`. `remains`: of leaves of which a part was erased.
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
    remains: list[Remains] = []


class Raws(msgspec.Struct, array_like=True):
    """Raw records of a batch in the order of the `lines` leaf: bytes, and where they stood (`files[file_of[i]]`, line).

    `prefixes[prefix_of[i]]` is what stands before the bytes in the record's keyed id. `rejected`: record → why it was not read.
    `gone`: places of erased records, each with its hash in the tree of the `lines` leaf; `salts`: those of all records, joined,
    once one is gone (its own is zero).
    """

    files: list[bytes]
    prefixes: list[bytes]
    data: list[bytes]
    file_of: list[int]
    prefix_of: list[int]
    line: list[int]
    rejected: list[tuple[int, str]]
    gone: list[tuple[int, bytes]] = []
    salts: bytes = b""


class Marks(msgspec.Struct, array_like=True):
    """Keyed ids of a batch's raw records (16 bytes each, joined): what is known by them is not taken again, whatever else is gone.

    `erased`: places of those whose records were erased; an access made of one is not taken again either.
    """

    keys: bytes
    erased: list[int] = []

    def each(self) -> list[bytes]:
        """Return the ids."""
        return [self.keys[at : at + 16] for at in range(0, len(self.keys), 16)]


class Own(msgspec.Struct, array_like=True):
    """One record of the home itself: `first` is its index, `what` canonical JSON, `seed` opens its leaf."""

    first: int
    leaf: bytes
    seed: bytes
    what: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """What the vault can show of one leaf. A group that is None was absent or is erased.

    `salts`: of the groups that are here (`ledger.leaf.group_digest` makes d_g of salt and content); `digests`: d_g of every group,
    erased ones included, None where the leaf has no such group. `seeds`: the leaf's own, empty once a part is `erased`. So salts
    and digests are what a proof needs, erased or not.
    """

    index: int
    leaf: bytes
    groups: Groups
    seeds: tuple[bytes, ...]
    erased: bool
    salts: Parts
    digests: Parts


def opening(index: int, leaf: bytes, groups: Groups, seeds: bytes, remains: Remains | None = None) -> Opening:
    """Return the opening of a leaf from what its frame holds."""
    mine = tuple(split_seeds(seeds)) if remains is None else ()
    salts = salts_of(groups, mine) if remains is None else remains.salts
    lost: Parts = (None,) * 5 if remains is None else remains.digests
    digests = [
        lost[group] if content is None or (salt := salts[group]) is None else leaves.group_digest(group, salt, content)
        for group, content in enumerate(groups)
    ]
    return Opening(index, leaf, groups, mine, remains is not None, salts, five(digests))


def fits(found: Opening) -> bool:
    """Say whether the contents are those that the leaf commits to."""
    return leaves.decode(found.leaf).commit == leaves.join([digest or bytes(32) for digest in found.digests])


def salts_of(groups: Groups, seeds: Sequence[bytes]) -> Parts:
    """Return the salts of the groups that are there: actor's seed for *who* and *where*, subject's, or one more for *raw*."""
    owners = (seeds[0], seeds[1], seeds[1], seeds[0], seeds[-1])
    return five([None if content is None else leaves.salt(owners[g], g) for g, content in enumerate(groups)])


def split_seeds(joined: bytes) -> list[bytes]:
    """Return a leaf's seeds of 32 bytes from their joined form; one seed stands for both owners."""
    seeds = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    return seeds * 2 if len(seeds) == 1 else seeds


def line_salts(seed: bytes, count: int) -> bytes:
    """Return the 16-byte salts of a batch's records, joined: slices of SHAKE-256(seed)."""
    return shake_256(seed).digest(_SALT * count)


def lines_root(seed: bytes, digests: Sequence[bytes]) -> bytes:
    """Return the salted Merkle root over raw records, given by their SHA-256: the tree of RFC 6962 over salt ‖ digest.

    Each record has a salt of its own, so one can be shown without making the others guessable.
    """
    return root_of_lines(line_hashes(line_salts(seed, len(digests)), digests))


def line_hashes(salts: bytes, digests: Sequence[bytes]) -> list[bytes]:
    """Return the hashes of records in the tree of their `lines` leaf."""
    places = range(0, len(salts), _SALT)
    return [sha256(b"\x00" + salts[at : at + _SALT] + digest).digest() for at, digest in zip(places, digests, strict=True)]


def root_of_lines(hashes: Sequence[bytes]) -> bytes:
    """Return the root over hashes of records."""
    return fold(b"".join(hashes)) if hashes else EMPTY_ROOT


def record_key(key: bytes, prefix: bytes, digest: bytes) -> bytes:
    """Return the 16-byte keyed id of a raw record, given by its SHA-256; `prefix` says source and, if the log has one, `seq_of`."""
    return blake2b(prefix + digest, key=key, digest_size=16).digest()


def five(items: Sequence[bytes | None]) -> Parts:
    """Return five items, one for each group."""
    first, second, third, fourth, fifth = items
    return (first, second, third, fourth, fifth)
