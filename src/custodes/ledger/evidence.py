"""What a bundle takes from a log and its index: the tiles and proofs of some entries, and the index's answer for one month. Pure.

Nothing here looks at a group or a key: what is shown of an entry is decided above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from custodes.errors import LedgerRewritten
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.index import Lookup, list_root
from custodes.ledger.leaf import leaf_hash
from custodes.ledger.merkle import WIDTH, fold, leaf_hashes
from custodes.ledger.proof import Proof, consistency, inclusion, root_of
from custodes.ledger.segments import read_bytes
from custodes.ledger.tiles import Tiles, tile_path, tiles_of
from custodes.model.canonical import Json, canonical


class Kept:
    """Tiles of one tree, each read once. `size`: entries of the tree."""

    def __init__(self, tiles: Tiles, size: int) -> None:
        self._tiles, self.size = tiles, size
        self._known: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile; see `tiles.Tiles`."""
        known = self._known.get((level, index), b"")
        if len(known) < width * 32:
            whole = max(width, min(WIDTH, (self.size >> 8 * level) - index * WIDTH))
            known = self._known[level, index] = self._tiles.tile(level, index, whole)
        return known[: width * 32]


def hash_tiles(tiles: Kept, indexes: Iterable[int]) -> dict[str, bytes]:
    """Return the fewest tiles from which all paths of these entries and the root can be computed, by their names in a bundle."""
    wanted = set()
    for level, (full, partial) in enumerate(tiles_of(tiles.size)):
        if partial:
            wanted.add((level, full))
    for index in indexes:
        for level in range(len(tiles_of(tiles.size))):
            wanted.add((level, index >> 8 * level + 8))
    found = {}
    for level, index in wanted:
        width = min(WIDTH, (tiles.size >> 8 * level) - index * WIDTH)
        if width > 0:
            found[f"log/{tile_path(level, index, width)}"] = tiles.tile(level, index, width)
    return found


def prove(tiles: Kept, checkpoint: Checkpoint, entries: Iterable[tuple[int, bytes]]) -> dict[str, bytes]:
    """Return the proof of each (index, entry), by its name in a bundle. Raises `LedgerRewritten` if the tiles do not fit."""
    if root_of(tiles, checkpoint.size) != checkpoint.root:
        raise LedgerRewritten("the stored tiles do not lead to the published root; run fsck")
    found = {}
    for index, entry in entries:
        within = tiles.tile(0, index // WIDTH, index % WIDTH + 1)[-32:]
        if within != leaf_hash(entry):
            raise LedgerRewritten(f"the stored tiles hold another entry {index}; run fsck")
        hashes = inclusion(tiles, index, checkpoint.size)
        found[f"proofs/{index}.tlog-proof"] = Proof(index, tuple(hashes), checkpoint.note, entry).to_bytes()
    return found


def list_proof(tags: Sequence[bytes], tag: bytes) -> tuple[int, list[bytes]]:
    """Return the place of a tag in the sorted list of a bulk entry, and its inclusion proof under the list's root."""
    at = tags.index(tag)
    return at, _list_path(leaf_hashes(tags), at)


def _list_path(hashes: bytes, at: int) -> list[bytes]:
    count = len(hashes) // 32
    if count == 1:
        return []
    middle = 1 << (count - 1).bit_length() - 1
    left, right = hashes[: middle * 32], hashes[middle * 32 :]
    return [*_list_path(left, at), fold(right)] if at < middle else [*_list_path(right, at - middle), fold(left)]


class MonthProofs(NamedTuple):
    """What places an answer in the signed logs: an `entry` of the index log, its place `at` there and the proof of it, the proof
    that the log which it covers is the beginning of the checkpoint's, and for bulk entries the place of the tag in their `lists`.
    """

    entry: bytes
    at: int
    inclusion: Sequence[bytes]
    consistency: Sequence[bytes]
    lists: Mapping[int, tuple[int, Sequence[bytes]]]


def month_file(proofs: MonthProofs, lookup: Lookup, nobody: Lookup) -> bytes:
    """Return `index/<YYYY-MM>.json`: the answers of the index for a tag and for the zero tag, with what proves them.

    Of the zero tag only the number of positions is told, with the root of their list: which accesses nobody could resolve is not
    the reader's business, how many is.
    """
    told = nobody.to_json()
    count = len(nobody.positions)
    document: dict[str, Json] = {
        "at": proofs.at,
        "entry": proofs.entry.decode(),
        "inclusion": [value.hex() for value in proofs.inclusion],
        "consistency": [value.hex() for value in proofs.consistency],
        "lists": {str(index): {"at": at, "hashes": [value.hex() for value in path]} for index, (at, path) in proofs.lists.items()},
        "lookup": lookup.to_json(),  # type: ignore[dict-item]  # JSON by its contract
        "unresolved": {
            "count": count,
            "list": list_root(nobody.positions).hex() if count else "",
            "path": told["path"],  # type: ignore[dict-item]  # likewise
            "end": told["end"],  # type: ignore[dict-item]  # likewise
        },
    }
    return canonical(document)


def covers(tiles: Kept, size: int) -> list[bytes]:
    """Return the proof that the first `size` entries (at least one) are the beginning of the whole tree."""
    return consistency(tiles, size, tiles.size)


def policy_of(log: Path, index: Path) -> bytes:
    """Return the policy lines of both logs (C2SP tlog-policy), for readers to get from people they trust. It names no witness."""
    files = [folder / "vkey" for folder in (log, index) if (folder / "vkey").exists()]
    keys = [line for file in files for line in read_bytes(file).decode().splitlines()]
    return "".join([*(f"log {key}\n" for key in keys), "quorum none\n"]).encode()
