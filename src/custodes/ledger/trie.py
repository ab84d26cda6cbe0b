r"""The verifiable index, building half: from (tag, position) pairs of one epoch to a trie that answers for every tag.

The keys lie in order, cut into 2^b buckets by their first b bits; above the buckets lies a hash for each prefix of up to b bits. An
answer needs the keys of one bucket and b hashes, however many keys there are. A finished trie is one buffer, which can be written
out and read in place:

    "custodes.trie/1\n" ‖ u32 b ‖ u64 keys ‖ u64 positions stored below ‖ u64 positions in all
    rows        k 32 ‖ hash of its leaf 32 ‖ u64 place ‖ u64 count, for each key, ascending by k
    positions   u64 each, ascending, of the keys that have more than one; `place` is where a key's begin, or its only one itself
    bounds      u64 number of rows before each bucket, and after the last
    tops        32 bytes for each prefix in the order of a heap (1 the empty one, 2p and 2p + 1 the children of p); zero: no key

Memory while building: 40 bytes for each pair, 200 for each key, 60 for each position of the most frequent tag, and 300 for each
pair of the group of tags in work (65,536 pairs, or a 256th of all). The finished trie has 80 bytes for each key, 8 for each
position of keys that have several, and about 5 a key for bounds and tops.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING, Final

from custodes.errors import LedgerRewritten
from custodes.ledger.index import (
    BITS,
    EMPTY,
    Empty,
    End,
    Inner,
    Leaf,
    Lookup,
    Step,
    bit_of,
    inner_node,
    key_of,
    leaf_node,
    list_root,
    prefix_of,
)
from custodes.ledger.merkle import fold, leaf_hashes

if TYPE_CHECKING:
    from mmap import mmap

PAIR: Final = Struct(">32sQ")
"""A tag and a position that names it."""
_MAGIC: Final = b"custodes.trie/1\n"
_HEAD: Final = Struct(">16sIQQQ")
_ROW: Final = Struct(">32s32sQQ")
_PLACED: Final = Struct(">32s8s").iter_unpack
_HEADS: Final = Struct(">Q24x32s16x").iter_unpack
_INNER: Final = Struct(">BHQ24x").pack
_SPANS: Final = Struct(">QQ").unpack
_WHOLE: Final = Struct(">40s").iter_unpack
_ONE: Final = (1).to_bytes(8, "big")
_NONE: Final = bytes(32)
_MASKS: Final = tuple((1 << 64) - (1 << (64 - depth)) for depth in range(64))
_MOST_BITS: Final = 24
_BLOCK: Final = 2**16
_GROUP: Final = 2**16
"""Pairs whose tags are grouped at once."""

_Row = tuple[bytes, bytes, int, int]


class Trie:
    """A finished trie in `buffer`, as `build` gave it. Nothing in it is trusted: whoever hands an answer out has it verified."""

    def __init__(self, buffer: bytes | mmap) -> None:
        """Raises `LedgerRewritten` if the buffer is no trie (a stored one can be made again)."""
        if len(buffer) < _HEAD.size:
            raise LedgerRewritten("a stored trie is cut off")
        magic, self._bits, self.tags, stored, self.positions = _HEAD.unpack(buffer[: _HEAD.size])
        if magic != _MAGIC or self._bits > _MOST_BITS:
            raise LedgerRewritten("a stored trie is of another form")
        self.buffer = buffer
        self._positions = _HEAD.size + self.tags * _ROW.size
        self._bounds = self._positions + stored * 8
        self._tops = self._bounds + ((1 << self._bits) + 1) * 8
        if len(buffer) != self._tops + (2 << self._bits) * 32:
            raise LedgerRewritten("a stored trie is of another length")

    @property
    def root(self) -> bytes:
        """The hash that stands for the whole trie."""
        return self._top(0, 0) if self.tags else EMPTY

    def lookup(self, tag: bytes, epoch: str) -> Lookup:
        """Return the whole answer for a tag: its positions, or the node at which the search for it ends."""
        key, steps = key_of(tag), list[Step]()
        if not self.tags:
            return Lookup(tag, epoch, (), (), Empty())
        number = int.from_bytes(key, "big")
        # 1. Down the prefixes that have a hash of their own.
        for depth in range(1, self._bits + 1):
            prefix = number >> (BITS - depth)
            other = self._top(depth, prefix ^ 1)
            if self._top(depth, prefix) == _NONE:
                return Lookup(tag, epoch, (), tuple(steps), self._end(depth, prefix ^ 1))
            if other != _NONE:
                steps.append(Step(depth - 1, prefix_of(key, depth - 1), other))
        # 2. Within the bucket.
        rows = self._rows(number >> (BITS - self._bits))
        while len(rows) > 1:
            node = _parted(rows)
            if node.prefix != prefix_of(key, node.depth):
                return Lookup(tag, epoch, (), tuple(steps), node)
            right = bit_of(key, node.depth)
            steps.append(Step(node.depth, node.prefix, node.left if right else node.right))
            rows = [row for row in rows if bit_of(row[0], node.depth) == right]
        if rows[0][0] != key:
            return Lookup(tag, epoch, (), tuple(steps), self._leaf(rows[0]))
        return Lookup(tag, epoch, self._list(*rows[0][2:]), tuple(steps))

    def _end(self, depth: int, prefix: int) -> End:
        """Return the node that stands for a prefix under which there are keys."""
        for at in range(depth, self._bits):
            left, right = self._top(at + 1, 2 * prefix), self._top(at + 1, 2 * prefix + 1)
            if _NONE not in {left, right}:
                return Inner(at, (prefix << (BITS - at)).to_bytes(32, "big"), left, right)
            prefix = 2 * prefix + (left == _NONE)
        rows = self._rows(prefix)
        return self._leaf(rows[0]) if len(rows) == 1 else _parted(rows)

    def _leaf(self, row: _Row) -> Leaf:
        key, _, place, count = row
        return Leaf(key, count, list_root(self._list(place, count)))

    def _top(self, depth: int, prefix: int) -> bytes:
        at = self._tops + ((1 << depth) + prefix) * 32
        return self.buffer[at : at + 32]

    def _rows(self, bucket: int) -> list[_Row]:
        at = self._bounds + bucket * 8
        start, end = _SPANS(self.buffer[at : at + 16])
        return list(_ROW.iter_unpack(self.buffer[_HEAD.size + start * _ROW.size : _HEAD.size + end * _ROW.size]))

    def _list(self, place: int, count: int) -> tuple[int, ...]:
        if count == 1:
            return (place,)
        at = self._positions + place * 8
        return tuple(_numbers(self.buffer[at : at + count * 8]))


def build(chunks: Iterable[bytes]) -> Trie:
    """Return the trie over pairs: joined `PAIR`s in chunks, positions ascending, no pair twice."""
    rows: list[bytes] = []
    positions: list[bytes] = []
    stored = total = 0
    for pairs in _groups(list(chunks)):
        made, listed = _leaves(pairs, stored)
        rows += made
        positions.append(listed)
        stored += len(listed) // 8
        total += len(pairs) // PAIR.size
    count = len(rows)
    bits = min(_MOST_BITS, (count // 32).bit_length())
    parts, bounds, level = _ordered(rows, bits)
    head = _HEAD.pack(_MAGIC, bits, count, stored, total)
    return Trie(b"".join((head, *parts, *positions, Struct(f">{len(bounds)}Q").pack(*bounds), *_tops(level, bits))))


def _ordered(rows: list[bytes], bits: int) -> tuple[list[bytes], list[int], list[bytes]]:
    """Return the rows in order, joined in parts; the number of rows before each bucket and after the last; each bucket's hash.

    Empties `rows`. The first byte of a key sorts first: then what is sorted and hashed next fits into a processor's cache.
    """
    first = min(bits, 8)
    piles: list[list[bytes]] = [[] for _ in range(1 << first)]
    for row in rows:
        piles[row[0] >> (8 - first)].append(row)
    rows.clear()
    each, size = 1 << (bits - first), _ROW.size
    parts: list[bytes] = []
    bounds, level = [0], list[bytes]()
    for number, pile in enumerate(piles):
        pile.sort()
        part, before = b"".join(pile), bounds[-1]
        buckets = range(number * each, (number + 1) * each)
        edges = [bisect_left(pile, (bucket << (64 - bits)).to_bytes(8, "big")) for bucket in buckets] + [len(pile)]
        level += [bucket_root(part[start * size : end * size]) if end > start else _NONE for start, end in pairwise(edges)]
        bounds += [before + edge for edge in edges[1:]]
        parts.append(part)
        pile.clear()
    return parts, bounds, level


def _groups(chunks: list[bytes]) -> Iterator[bytes]:
    """Yield the pairs such that all of a tag come together, in order; free what was yielded."""
    parts = -(-sum(map(len, chunks)) // (_GROUP * PAIR.size))
    if parts <= 1:
        yield b"".join(chunks)
        return
    bins: list[list[bytes]] = [[] for _ in range(min(parts, 256))]
    for chunk in chunks:
        held: list[list[bytes]] = [[] for _ in bins]
        for (pair,) in _WHOLE(chunk):
            held[pair[0] % len(bins)].append(pair)
        for place, pairs in zip(bins, held, strict=True):
            place.append(b"".join(pairs))
    chunks.clear()
    while bins:
        yield b"".join(bins.pop())


def _leaves(pairs: bytes, stored: int) -> tuple[list[bytes], bytes]:
    """Return the rows of all tags of `pairs`, and the positions to store for them, after `stored` others."""
    once: dict[bytes, bytes] = {}
    often: dict[bytes, list[bytes]] = {}
    for tag, place in _PLACED(pairs):
        if (known := once.setdefault(tag, place)) is not place:
            often.setdefault(tag, [known]).append(place)
    for tag in often:
        del once[tag]
    # `key_of`, `list_root` and `leaf_node` of one position, spelled out: done for each of millions of tags.
    rows = [
        (key := sha256(b"\x30" + tag).digest())
        + sha256(b"\x31" + key + _ONE + sha256(b"\x00" + place).digest()).digest()
        + place
        + _ONE
        for tag, place in once.items()
    ]
    for tag, places in often.items():
        key, count = key_of(tag), len(places)
        rows.append(_ROW.pack(key, leaf_node(key, count, _listed(places)), stored, count))
        stored += count
    return rows, b"".join([place for places in often.values() for place in places])


def _listed(places: list[bytes]) -> bytes:
    """Do `list_root` for positions as bytes; a block at a time, since the tag of unresolved accesses may have millions."""
    return fold(b"".join([fold(leaf_hashes(places[at : at + _BLOCK])) for at in range(0, len(places), _BLOCK)]))


def _tops(level: list[bytes], bits: int) -> list[bytes]:
    """Return the heap of the hashes that stand for each prefix of up to `bits` bits; `level`: those of the buckets."""
    heap = [level]
    for depth in range(bits - 1, -1, -1):
        level = [
            left if right == _NONE else right if left == _NONE else inner_node(depth, _prefix(at, depth), left, right)
            for at, (left, right) in enumerate(zip(level[::2], level[1::2], strict=True))
        ]
        heap.append(level)
    return [_NONE, *(node for level in reversed(heap) for node in level)]


def _prefix(number: int, depth: int) -> bytes:
    return (number << (BITS - depth)).to_bytes(32, "big")


def bucket_root(rows: bytes) -> bytes:
    """Return the hash of the node over joined rows (at least one), ascending by key."""
    return _folded(rows) or root_over(list(_ROW.iter_unpack(rows)))


def root_over(rows: Sequence[_Row]) -> bytes:
    """Return the hash of the node over rows (at least one), ascending by key. Works for all keys; `_folded` is the fast way."""
    if len(rows) == 1:
        return rows[0][1]
    node = _parted(rows)
    return inner_node(*node)


def _folded(rows: bytes) -> bytes:
    """Do `root_over` for joined rows, by the first 64 bits of their keys; return nothing if two keys share these bits."""
    waiting: list[bytes] = []
    depths = [-1]
    top = -1
    each = _HEADS(rows)
    head: int
    node: bytes
    head, node = next(each)
    for after, fresh in each:
        depth = 64 - (head ^ after).bit_length()
        if depth == 64:
            return b""
        # Each node that parts deeper than this key and the next is complete.
        while top > depth:
            node = sha256(_INNER(0x32, top, head & _MASKS[top]) + waiting.pop() + node).digest()
            depths.pop()
            top = depths[-1]
        waiting.append(node)
        depths.append(depth)
        head, node, top = after, fresh, depth
    while waiting:
        top = depths.pop()
        node = sha256(_INNER(0x32, top, head & _MASKS[top]) + waiting.pop() + node).digest()
    return node


def _parted(rows: Sequence[_Row]) -> Inner:
    """Return the inner node over two or more rows."""
    first, last = rows[0][0], rows[-1][0]
    depth = BITS - (int.from_bytes(first, "big") ^ int.from_bytes(last, "big")).bit_length()
    middle = next(at for at, row in enumerate(rows) if bit_of(row[0], depth))
    return Inner(depth, prefix_of(first, depth), root_over(rows[:middle]), root_over(rows[middle:]))


def _numbers(data: bytes) -> array[int]:
    numbers = array("Q", data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
