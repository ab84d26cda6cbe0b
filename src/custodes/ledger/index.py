"""The verifiable index, reading half: "these are all leaves that bear your tag in this month", or "there is none", checked offline.

Each month (epoch) has a trie: tag → all positions of the main log that name it. Its root stands in an entry of the index log, which
is signed and witnessed like the main log. The map from leaves to keys is fixed for the life of a log and needs no secret:

    access (1), touch (2)   the tag, leaf[16:48]; none for 32 × 0xFF (several subjects: touches or a bulk leaf follow).
                            32 × 0x00 is a key like any other: its positions are the leaves that name nobody
    bulk (3)                every 32-byte tag of `blobs/<hex of leaf[16:48]>`, whose SHA-256 is leaf[16:48]
    others                  nothing

A leaf belongs to the month (UTC) of its `hour`, leaf[2:6]. Only leaves below the entry's `size` count.

Bytes (SHA-256 throughout, integers big-endian, ‖ joins, bit 0 is the most significant bit of the first byte):

    k        = H(0x30 ‖ tag)                                        the key's path, 256 bits
    list     = RFC 6962 root over the positions, ascending, each an entry of 8 bytes (u64)
    leaf     = H(0x31 ‖ k ‖ u64 count ‖ list)                       count = number of positions, at least 1
    inner    = H(0x32 ‖ u16 depth ‖ prefix ‖ left ‖ right)          depth: the first bit in which keys of both sides differ;
                                                                    prefix: the first `depth` bits of k, then zeros, 32 bytes;
                                                                    left: keys with bit `depth` 0, right: with 1
    empty    = H(0x33)

Every inner node has two children (paths are compressed), so a set of keys has one trie. A `Lookup` of a present tag carries its
positions and the path root → leaf; of an absent one the node at which the search for k leaves the trie: a leaf of another key, an
inner node whose prefix is not that of k, or the empty trie.

`custodes.lookup/1` (JSON; hashes, prefixes and tags in lower-case hex, 64 digits):

    {"schema":"custodes.lookup/1","tag":T,"epoch":"YYYY-MM","positions":[…],"path":[[depth,prefix,sibling],…],"end":E}
    E: null (present) | {"leaf":[k,count,list]} | {"inner":[depth,prefix,left,right]} | "empty"

`custodes.index/1`, an entry of the index log: canonical JSON (RFC 8785: keys sorted, no spaces) of exactly these keys

    {"epoch":"YYYY-MM","final":bool,"index":"<hex trie root>","many":n,"origin":"<of the main log>","positions":n,
     "root":"<hex root of the main log at size>","schema":"custodes.index/1","size":n,"tags":n,"unresolved":n}

`tags`: keys of the trie; `positions`: sum of their counts; `unresolved`: positions of the zero tag; `many`: accesses (kind 1) with
tag 32 × 0xFF; `final`: the leaf at `size − 1` is of a later month. Hours never fall, so no leaf of the epoch can follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final, NamedTuple

from custodes.errors import BadInclusion, UnknownVersion
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.merkle import EMPTY_ROOT, fold, leaf_hashes
from custodes.ledger.note import Malformed
from custodes.model.canonical import canonical

SCHEMA: Final = "custodes.index/1"
LOOKUP: Final = "custodes.lookup/1"
EMPTY: Final = sha256(b"\x33").digest()
"""Root of the trie without keys."""
BITS: Final = 256
_KEYS: Final = ("epoch", "final", "index", "many", "origin", "positions", "root", "schema", "size", "tags", "unresolved")
_EPOCH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_LARGEST: Final = 2**53
_MOST_ENTRY: Final = 65_535
_BLOCK: Final = 2**16


class Step(NamedTuple):
    """An inner node on the way down: its depth and prefix, and the hash of the side not taken."""

    depth: int
    prefix: bytes
    sibling: bytes


class Leaf(NamedTuple):
    """The entry of another key, at which a search ends. `number`: of its positions; `root`: of the list of them."""

    key: bytes
    number: int
    root: bytes


class Inner(NamedTuple):
    """An inner node that the sought key is not under, at which a search ends."""

    depth: int
    prefix: bytes
    left: bytes
    right: bytes


class Empty(NamedTuple):
    """A trie without keys, at which every search ends."""


End = Leaf | Inner | Empty | None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The answer for one tag in one epoch. `positions`: ascending, empty if absent; `path`: root → leaf; `end`: None if present."""

    tag: bytes
    epoch: str
    positions: tuple[int, ...]
    path: tuple[Step, ...]
    end: End = None

    def to_json(self) -> dict[str, object]:
        """Return the answer as `custodes.lookup/1`."""
        return {
            "schema": LOOKUP,
            "tag": self.tag.hex(),
            "epoch": self.epoch,
            "positions": list(self.positions),
            "path": [[step.depth, step.prefix.hex(), step.sibling.hex()] for step in self.path],
            "end": _end_to_json(self.end),
        }


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One entry of the index log; see the module for its fields."""

    origin: str
    epoch: str
    size: int
    root: bytes
    index: bytes
    tags: int
    positions: int
    unresolved: int
    many: int
    final: bool

    def to_bytes(self) -> bytes:
        """Return the entry as it stands in the index log."""
        fields = {name: getattr(self, name) for name in _KEYS if name != "schema"}
        return canonical({**fields, "root": self.root.hex(), "index": self.index.hex(), "schema": SCHEMA})


# Hashes


def key_of(tag: bytes) -> bytes:
    """Return k, the path of a 32-byte tag."""
    return sha256(b"\x30" + tag).digest()


def list_root(positions: Sequence[int]) -> bytes:
    """Return the RFC 6962 root over positions in the order given (callers give them ascending)."""
    blocks = [positions[start : start + _BLOCK] for start in range(0, len(positions), _BLOCK)]
    # Whole blocks are subtrees of equal depth, so they can be folded one by one: a list may have millions of positions.
    roots = [fold(leaf_hashes([at.to_bytes(8, "big") for at in block])) for block in blocks]
    return fold(b"".join(roots)) if roots else EMPTY_ROOT


def leaf_node(key: bytes, count: int, root: bytes) -> bytes:
    """Return the hash of the trie's leaf for `key`. `root`: of its list of `count` positions."""
    return sha256(b"\x31" + key + count.to_bytes(8, "big") + root).digest()


def inner_node(depth: int, prefix: bytes, left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x32" + depth.to_bytes(2, "big") + prefix + left + right).digest()


def prefix_of(key: bytes, depth: int) -> bytes:
    """Return the first `depth` bits (0 to 256) of a key, then zeros: 32 bytes."""
    rest = BITS - depth
    return (int.from_bytes(key, "big") >> rest << rest).to_bytes(32, "big")


def bit_of(key: bytes, depth: int) -> int:
    """Return bit `depth` (0 to 255, most significant first) of a key."""
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


# Checks


def verify_lookup(lookup: Lookup, root: bytes) -> None:
    """Check that `lookup` is the whole answer for its tag under the trie root `root`. Raises `BadInclusion`.

    Passes only if the trie holds exactly these positions for the tag, or, without positions, no entry for it.
    """
    if len(lookup.tag) != 32:
        raise BadInclusion("a tag has 32 bytes")
    key = key_of(lookup.tag)
    # 1. Every inner node on the way lies on the way of this key, each deeper than the one before.
    reached = -1
    for step in lookup.path:
        if not reached < step.depth < BITS:
            raise BadInclusion("the index path does not lead downwards")
        if step.prefix != prefix_of(key, step.depth) or len(step.sibling) != 32:
            raise BadInclusion("the index path is not that of this tag")
        reached = step.depth
    # 2. It ends in the entry of this key, or at a node that this key is not under.
    node = _bottom(lookup, key, reached)
    # 3. From there it leads back to the root.
    for step in reversed(lookup.path):
        sides = (step.sibling, node) if bit_of(key, step.depth) else (node, step.sibling)
        node = inner_node(step.depth, step.prefix, *sides)
    if node != root:
        raise BadInclusion("the index path does not lead to the root of the index")


def _bottom(lookup: Lookup, key: bytes, reached: int) -> bytes:
    """Return the hash of the last node; `reached`: depth of the inner node above it, −1 if it is the root."""
    positions, end = lookup.positions, lookup.end
    if end is None:
        if not positions or positions[0] < 0 or positions[-1] >= 2**64:
            raise BadInclusion("a tag that is present has positions")
        if any(one >= other for one, other in pairwise(positions)):
            raise BadInclusion("positions ascend, and none stands twice")
        return leaf_node(key, len(positions), list_root(positions))
    if positions:
        raise BadInclusion("a tag that is absent has no positions")
    match end:
        case Leaf(other, number, root):
            if other == key or len(other) != 32 or len(root) != 32 or not 0 < number < 2**64:
                raise BadInclusion("the entry at which the search ends is not one of another tag")
            _under_the_same(other, key, reached)
            return leaf_node(other, number, root)
        case Inner(depth, prefix, left, right):
            if not reached < depth < BITS or len(prefix) != 32 or prefix != prefix_of(prefix, depth):
                raise BadInclusion("the node at which the search ends is malformed")
            if prefix == prefix_of(key, depth) or len(left) != 32 or len(right) != 32:
                raise BadInclusion("the search does not end at this node: the tag may be under it")
            _under_the_same(prefix, key, reached)
            return inner_node(depth, prefix, left, right)
        case Empty():
            if lookup.path:
                raise BadInclusion("an empty trie has no path")
            return EMPTY


def _under_the_same(other: bytes, key: bytes, reached: int) -> None:
    if prefix_of(other, reached + 1) != prefix_of(key, reached + 1):
        raise BadInclusion("the node at which the search ends does not lie where the search leads")


def verify_in_entry(lookup: Lookup, entry: IndexEntry) -> None:
    """Check that `lookup` is the whole answer for its tag in `entry`'s epoch below `entry`'s size. Raises `BadInclusion`."""
    if lookup.epoch != entry.epoch:
        raise BadInclusion("the index entry is of another month")
    if lookup.positions and lookup.positions[-1] >= entry.size:
        raise BadInclusion("a position lies beyond what the index entry covers")
    if lookup.tag == NO_TAG and len(lookup.positions) != entry.unresolved:
        raise BadInclusion("the index entry counts other leaves without a name than its trie has")
    verify_lookup(lookup, entry.index)


# Forms


def parse_entry(data: bytes) -> IndexEntry:
    """Read an entry of the index log. Raises `UnknownVersion` for another schema, `Malformed` for anything not in its one form."""
    try:
        document = json.loads(data) if len(data) <= _MOST_ENTRY else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("schema"), str):
        raise Malformed("an entry of the index log is no JSON document with a schema")
    if document["schema"] != SCHEMA:
        raise UnknownVersion("an entry of the index log is of an unknown version")
    if tuple(sorted(document)) != _KEYS:
        raise Malformed("an entry of the index log has exactly the keys of its version")
    count = {name: _count(document[name]) for name in ("many", "positions", "size", "tags", "unresolved")}
    entry = IndexEntry(
        origin=_text(document["origin"]),
        epoch=_epoch(document["epoch"]),
        root=_hash(document["root"]),
        index=_hash(document["index"]),
        final=document["final"] is True,
        **count,
    )
    if entry.to_bytes() != data:
        raise Malformed("an entry of the index log is not in its one form")
    if not entry.size or entry.unresolved > entry.positions or entry.tags > entry.positions:
        raise Malformed("the counts of an entry of the index log contradict each other")
    if (entry.positions == 0) != (entry.index == EMPTY) or (entry.tags == 0) != (entry.positions == 0):
        raise Malformed("the counts of an entry of the index log contradict its root")
    return entry


def parse_lookup(document: object) -> Lookup:
    """Read `custodes.lookup/1` (a parsed JSON document). Raises `UnknownVersion` or `Malformed`; its truth is `verify_lookup`'s."""
    if not isinstance(document, dict) or document.get("schema") != LOOKUP:
        raise UnknownVersion("an index answer is of an unknown version")
    if set(document) != {"schema", "tag", "epoch", "positions", "path", "end"}:
        raise Malformed("an index answer has exactly the keys of its version")
    positions, path = document["positions"], document["path"]
    if not isinstance(positions, list) or not isinstance(path, list):
        raise Malformed("an index answer lists positions and a path")
    steps = []
    for step in path:
        depth, prefix, sibling = _parts(step, 3)
        steps.append(Step(_count(depth), _hash(prefix), _hash(sibling)))
    return Lookup(
        _hash(document["tag"]),
        _epoch(document["epoch"]),
        tuple(_count(at) for at in positions),
        tuple(steps),
        _end_of(document["end"]),
    )


def _end_to_json(end: End) -> object:
    match end:
        case Leaf(key, number, root):
            return {"leaf": [key.hex(), number, root.hex()]}
        case Inner(depth, prefix, left, right):
            return {"inner": [depth, prefix.hex(), left.hex(), right.hex()]}
        case Empty():
            return "empty"
    return None


def _end_of(value: object) -> End:
    if value is None:
        return None
    if value == "empty":
        return Empty()
    if isinstance(value, Mapping) and set(value) == {"leaf"}:
        key, number, root = _parts(value["leaf"], 3)
        return Leaf(_hash(key), _count(number), _hash(root))
    if isinstance(value, Mapping) and set(value) == {"inner"}:
        depth, prefix, left, right = _parts(value["inner"], 4)
        return Inner(_count(depth), _hash(prefix), _hash(left), _hash(right))
    raise Malformed("an index answer ends in nothing, a leaf, an inner node or the empty trie")


def _parts(value: object, count: int) -> list[object]:
    if not isinstance(value, list) or len(value) != count:
        raise Malformed("a node of an index answer has other parts")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise Malformed("a count or position of the index is a whole number below 2^53")
    return value


def _hash(value: object) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Malformed("a hash of the index is 64 digits of lower-case hex")
    return bytes.fromhex(value)


def _epoch(value: object) -> str:
    if not isinstance(value, str) or not _EPOCH.fullmatch(value):
        raise Malformed("an epoch of the index is YYYY-MM")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise Malformed("the origin of an index entry is not empty")
    return value
