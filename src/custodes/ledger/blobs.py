"""Tag lists of bulk leaves: one file a list, named by its SHA-256, so that any mirror finds it by the leaf's tag field.

    blobs/<hex of SHA-256>    the tags, 32 bytes each, ascending, none twice

A list is durable before its leaf is appended. A list without a leaf is what a crash in between left, and harmless.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from struct import iter_unpack
from typing import TYPE_CHECKING, Final

from custodes.errors import LedgerRewritten, PartMissing
from custodes.ledger.merkle import fold, leaf_hashes
from custodes.ledger.segments import read_bytes

if TYPE_CHECKING:
    from custodes.ledger.disk import Disk  # which readers need not have

FOLDER: Final = "blobs"
_NAME: Final = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """The lists of one log (its directory, or an exported folder). Reading needs no key."""

    def __init__(self, log: Path, disk: Disk | None = None) -> None:
        self.path = log / FOLDER
        self._disk = disk

    def put(self, tags: Collection[bytes]) -> tuple[bytes, bytes]:
        """Write a list durably; return its SHA-256 and the RFC 6962 root over its tags. Repeatable; raises `NotDurable`.

        Durable: on return. Order: before the leaf that names the list. Again: the same tags are the same file, which is left as it
        is.
        """
        from custodes.ledger.disk import Disk

        ordered = sorted(set(tags))
        data = b"".join(ordered)
        digest = sha256(data).digest()
        file = self.path / digest.hex()
        if not file.exists():
            disk = self._disk or Disk()
            if not self.path.exists():
                disk.make_folder(self.path)
            disk.replace(file, data)
        return digest, fold(leaf_hashes(ordered))

    def read(self, digest: bytes) -> list[bytes]:
        """Return the tags of a list. Raises `PartMissing`, or `LedgerRewritten` if it is not the list that was recorded."""
        if not (self.path / digest.hex()).exists():
            raise PartMissing(f"the tag list {digest.hex()[:16]}… of a bulk leaf is missing")
        data = read_bytes(self.path / digest.hex())
        if sha256(data).digest() != digest:
            raise LedgerRewritten(f"the tag list {digest.hex()[:16]}… is not the one that its leaf names")
        if len(data) % 32 or not data:
            raise LedgerRewritten(f"the tag list {digest.hex()[:16]}… does not hold whole tags")
        tags = [tag for (tag,) in iter_unpack("32s", data)]
        if any(one >= other for one, other in pairwise(tags)):
            raise LedgerRewritten(f"the tag list {digest.hex()[:16]}… is not in order")
        return tags

    def names(self) -> list[str]:
        """Return the names of all lists here, in order; files with other names are none."""
        if not self.path.is_dir():
            return []
        return sorted(file.name for file in self.path.iterdir() if _NAME.fullmatch(file.name))
