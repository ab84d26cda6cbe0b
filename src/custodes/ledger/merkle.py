"""The tree of RFC 6962: hashes, and the verifiers of inclusion and consistency.

A verifier raises `BadInclusion` or returns nothing. Two sizes are never consistent when the first is zero: there is nothing to
be consistent with, and a caller that accepts "from nothing" says so itself. Lengths of roots are the checkpoint reader's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from custodes.errors import BadInclusion

EMPTY_ROOT: Final = sha256(b"").digest()
WIDTH: Final = 256
"""Hashes in a full tile."""
TILE_BYTES: Final = WIDTH * 32


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def leaf_hashes(entries: Sequence[bytes]) -> bytes:
    """Return the leaf hashes of entries, joined (32 bytes each)."""
    return b"".join([sha256(b"\x00" + entry).digest() for entry in entries])


def fold(hashes: bytes) -> bytes:
    """Return the root over joined hashes (at least one) of equally deep subtrees; only the last may be incomplete.

    Joining neighbours and carrying an odd last one up gives the tree of RFC 6962.
    """
    while len(hashes) > 32:
        odd = len(hashes) & 32
        pairs = [sha256(b"\x01" + hashes[at : at + 64]).digest() for at in range(0, len(hashes) - odd, 64)]
        if odd:
            pairs.append(hashes[-32:])
        hashes = b"".join(pairs)
    return hashes


def fold_levels(levels: Sequence[bytes]) -> bytes:
    """Return the root of a tree given by its right edge: `levels[k]` are the joined hashes of the unfinished tile of level k."""
    carry = b""
    for hashes in levels:
        hashes = bytes(hashes) + carry  # noqa: PLW2901  # the unfinished part below is the last child of this level
        carry = fold(hashes) if hashes else b""
    return carry or EMPTY_ROOT


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the entry with hash `leaf` is number `index` of the tree of `size` entries under `root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise BadInclusion("the index is not below the tree's size")
    if len(leaf) != 32:
        raise BadInclusion("a leaf hash has 32 bytes")
    inner, last, reached = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise BadInclusion("the inclusion proof is too long")
        if inner & 1 or inner == last:
            reached = node_hash(sibling, reached)
            while inner and not inner & 1:
                inner >>= 1
                last >>= 1
        else:
            reached = node_hash(reached, sibling)
        inner >>= 1
        last >>= 1
    if last != 0:
        raise BadInclusion("the inclusion proof is too short")
    if reached != root:
        raise BadInclusion("the inclusion proof does not lead to the root")


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `size1` entries is a prefix of the tree of `size2`; `0 < size1 ≤ size2` or the proof is bad."""
    if size1 == 0:
        raise BadInclusion("a tree of size zero proves nothing about a larger one")
    verify_subtree_consistency(0, size1, size2, root1, root2, proof)


def is_subtree(start: int, end: int) -> bool:
    """Say whether entries `start` to `end` form a subtree: `start` is a multiple of the smallest power of two that covers them."""
    return 0 <= start < end and start % (1 << (end - start - 1).bit_length()) == 0


def verify_subtree_inclusion(  # noqa: PLR0917  # the order of the draft and of the functions beside it
    index: int, start: int, end: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that entry `index` with hash `leaf` is in the subtree of entries `start` to `end` under `root`."""
    if not is_subtree(start, end):
        raise BadInclusion("these entries form no subtree")
    verify_inclusion(index - start, end - start, leaf, proof, root)


def verify_subtree_consistency(  # noqa: PLR0917  # the order of the draft and of the functions beside it
    start: int, end: int, size: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the subtree of entries `start` to `end` under `root1` is part of the tree of `size` entries under `root2`.

    The empty subtree (`start == end`) is part of every tree.
    """
    # 1. The range is a subtree and inside the tree.
    if start == end <= size and root1 == EMPTY_ROOT and not proof:
        return
    if not is_subtree(start, end) or end > size:
        raise BadInclusion("the first size is no subtree of the second")
    first, second, last = start, end - 1, size - 1
    # 2. Climb to the smallest complete node that the proof starts from.
    while first != second and (second == last or second & 1):
        first, second, last = first >> 1, second >> 1, last >> 1
    rest = list(proof)
    if first == second:
        old = new = root1
    elif rest:
        old = new = rest.pop(0)
    else:
        raise BadInclusion("the consistency proof is empty")
    # 3. Fold in the proof: left siblings belong to both trees, right ones to the larger.
    for sibling in rest:
        if last == 0:
            raise BadInclusion("the consistency proof is too long")
        if second & 1 or second == last:
            if first < second:
                old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not second & 1:
                first, second, last = first >> 1, second >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        first, second, last = first >> 1, second >> 1, last >> 1
    # 4. Both roots are reached, and nothing of the tree is left over.
    if last != 0 or old != root1 or new != root2:
        raise BadInclusion("the consistency proof does not lead to both roots")
