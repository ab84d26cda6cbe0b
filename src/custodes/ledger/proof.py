"""Roots and proofs from stored tiles, and the text of one proof (C2SP tlog-proof).

A proof is a list of subtree roots. Each is put together from at most one tile a level, so a proof over a thousand million entries
reads a few tiles. `extra` carries the entry itself: it is not authenticated by the format, but the proof is checked over its hash.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from custodes.ledger.merkle import EMPTY_ROOT, WIDTH, fold, node_hash
from custodes.ledger.note import Malformed
from custodes.ledger.tiles import Tiles

HEADER: Final = "c2sp.org/tlog-proof@v1"
_MOST_BYTES: Final = 1 << 20


def root_of(tiles: Tiles, size: int) -> bytes:
    """Return the root of the first `size` entries."""
    return _Nodes(tiles, size).subtree(0, size) if size else EMPTY_ROOT


def inclusion(tiles: Tiles, index: int, size: int) -> list[bytes]:
    """Return the inclusion proof of entry `index` in the tree of `size` entries, sibling of the leaf first."""
    if not 0 <= index < size:
        raise ValueError("the index is not below the tree's size")
    nodes = _Nodes(tiles, size)
    return [nodes.subtree(start, end) for start, end in reversed(list(_path(index, size)))]


def consistency(tiles: Tiles, size1: int, size2: int) -> list[bytes]:
    """Return the proof that the tree of `size1` entries (at least one) is a prefix of the tree of `size2`."""
    if not 0 < size1 <= size2:
        raise ValueError("a consistency proof leads from a tree that is not empty to one that is not smaller")
    nodes = _Nodes(tiles, size2)
    return [nodes.subtree(start, end) for start, end in reversed(list(_steps(size1, size2)))]


def _split(start: int, end: int) -> int:
    """Return where the tree over `start` to `end` divides: after the largest power of two below its size."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _path(index: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the sibling ranges of an entry from the root down."""
    start, end = 0, size
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            yield middle, end
            end = middle
        else:
            yield start, middle
            start = middle


def _steps(size1: int, size2: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a consistency proof from the root down (RFC 6962, 2.1.2)."""
    start, end = 0, size2
    while end != size1:
        middle = _split(start, end)
        if size1 <= middle:
            yield middle, end
            end = middle
        else:
            yield start, middle
            start = middle
    if start:
        yield start, end


class _Nodes:
    """Roots of ranges of one tree, each tile read once."""

    def __init__(self, tiles: Tiles, size: int) -> None:
        self._tiles = tiles
        self._size = size
        self._known: dict[tuple[int, int], bytes] = {}

    def subtree(self, start: int, end: int) -> bytes:
        """Return the root over entries `start` to `end`, a node of the tree."""
        length = end - start
        if length & (length - 1) == 0:
            return self._complete(start, length.bit_length() - 1)
        middle = _split(start, end)
        return node_hash(self.subtree(start, middle), self.subtree(middle, end))

    def _complete(self, start: int, height: int) -> bytes:
        """Return the root of the 2^height entries from `start`, from the tile that holds the nodes just below or at it."""
        level, within = divmod(height, 8)
        index, at = divmod(start >> (8 * level), WIDTH)
        if (level, index) not in self._known:
            width = min(WIDTH, (self._size >> (8 * level)) - index * WIDTH)
            self._known[level, index] = self._tiles.tile(level, index, width)
        return fold(self._known[level, index][at * 32 : (at + (1 << within)) * 32])


@dataclass(frozen=True, slots=True)
class Proof:
    """One entry's proof. `checkpoint`: the note, verbatim; `extra`: opaque and not authenticated."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def to_bytes(self) -> bytes:
        """Return the proof as text."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {base64.b64encode(self.extra).decode('ascii')}")
        lines += [f"index {self.index}", *(base64.b64encode(value).decode("ascii") for value in self.hashes), ""]
        return "".join(f"{line}\n" for line in lines).encode() + self.checkpoint


def parse_proof(data: bytes) -> Proof:
    """Read the text of a proof; its checkpoint is not looked at. Raises `Malformed`."""
    if len(data) > _MOST_BYTES:
        raise Malformed("the proof is longer than any proof is")
    head, divider, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Malformed("a proof is ASCII up to its checkpoint") from None
    # 1. The header.
    if not divider or lines.pop(0) != HEADER:
        raise Malformed(f"a proof starts with the line {HEADER}")
    # 2. Extra data, if any.
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = _base64(lines.pop(0).removeprefix("extra "))
    # 3. The index, without leading zeros.
    if not lines or not lines[0].startswith("index "):
        raise Malformed("a proof names its index")
    digits = lines.pop(0).removeprefix("index ")
    if not digits.isdecimal() or (digits[0] == "0" and digits != "0") or int(digits) >= 2**63:
        raise Malformed("a proof's index is a decimal number without leading zeros")
    # 4. The hashes, 32 bytes each.
    hashes = tuple(_base64(line) for line in lines)
    if any(len(value) != 32 for value in hashes) or len(hashes) > 63:
        raise Malformed("a proof has at most 63 hashes of 32 bytes")
    return Proof(int(digits), hashes, checkpoint, extra)


def _base64(text: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("a line of the proof is not base64") from None
    if base64.b64encode(value).decode("ascii") != text:
        raise Malformed("a line of the proof is not base64 in its one form")
    return value
