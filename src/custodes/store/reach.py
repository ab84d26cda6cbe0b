"""How far the erasure of one subject reaches: which leaves, records, names and rows are about it.

Leaves are found by their tags, from the ledger alone. Records and free texts are found by the leaves made of them, and by the
subject's own id where it is long enough to be told from chance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from custodes.ledger.leaf import MANY_TAG, Kind, epoch_of, tag_under
from custodes.store.places import Read

_SHORTEST: Final = 6
"""Bytes of the shortest id that is searched for in contents: a shorter one would match other people's records by chance."""
_BLOCK: Final = 65_536
_NEVER: Final = rb"(?!)"


class Leaves(msgspec.Struct, array_like=True):
    """Ledger indexes of a subject's leaves. `single`: accesses about nobody else; `many`: accesses that the `touches` name."""

    single: list[int]
    touches: list[int]
    many: list[int]

    def all(self) -> list[int]:
        """Return them in order."""
        return sorted({*self.single, *self.touches, *self.many})


class Text(msgspec.Struct, array_like=True):
    """Rows (of `rows` in all) of one context load whose sealed texts go."""

    table: str
    load: str
    places: list[int]
    rows: int


class Reach(msgspec.Struct):
    """All that one erasure destroys, worked out before anything is touched. Itself sealed, and destroyed at the end.

    `nonce`: of the subject's key. `lines`: SHA-256 of raw records that go; `keys`: their keyed ids. `words`: pseudonyms whose
    originals nothing else uses; `text_words`: of free texts. `beside`: leaves of others of which a part goes, because it rests on a
    record that names the subject. `frames`: sealed batches that must be written anew.
    """

    subject: str
    nonce: bytes
    leaves: Leaves
    ids: list[bytes] = []
    lines: set[bytes] = set()
    keys: set[bytes] = set()
    access_ids: set[str] = set()
    own_ids: set[bytes] = set()
    given: set[bytes] = set()
    words: set[str] = set()
    text_words: set[str] = set()
    texts: list[Text] = []
    beside: set[int] = set()
    blanked: set[int] = set()
    frames: set[int] = set()
    accesses: int = 0
    actors: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    findings: int = 0


class Needles:
    """The forms in which a subject's own id stands in contents, as a whole word."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        forms = {form for own in ids if len(own) >= _SHORTEST for form in _forms(own)}
        # A word ends where no letter or digit follows, also not after one of the signs that join the parts of an id.
        body = b"|".join(re.escape(form) for form in sorted(forms)) or _NEVER
        self._near = re.compile(body).search
        self._exact = re.compile(
            rb"(?<![0-9A-Za-z_\x80-\xff])(?<![0-9A-Za-z][-.@+])(?:" + body + rb")(?![0-9A-Za-z_\x80-\xff]|[-.@+][0-9A-Za-z])"
        ).search

    def near(self, content: bytes) -> bool:
        """Say whether one of them stands in bytes of any kind, as a word or within one."""
        return self._near(content) is not None

    def within(self, content: bytes | None) -> bool:
        """Say whether one of them stands in `content`, a text, as a word."""
        return content is not None and self._near(content) is not None and self._exact(content) is not None


def _forms(own: bytes) -> Iterable[bytes]:
    yield own
    text = own.decode("utf-8", "replace")
    for plain in (False, True):
        yield json.dumps(text, ensure_ascii=plain)[1:-1].encode("utf-8", "surrogatepass")


def find_leaves_of(key: bytes, origin: str, read: Read, size: int, lists: Callable[[bytes], Sequence[bytes]]) -> Leaves:
    """Return the leaves that carry tags of the holder of `key` (k_tag) in the log `origin` (`read`, up to `size`).

    `lists`: the tags of a bulk leaf's list, by its SHA-256. The bulk leaf is about nobody in particular: only its access counts.
    """
    found = Leaves([], [], [])
    if not size:
        return found
    hours = [int.from_bytes(read(at, at + 1)[0][2:6], "big") for at in (0, size - 1)]
    tags = {tag_under(key, origin, epoch) for epoch in _epochs(*hours)}
    many: int | None = None
    seen: set[int] = set()
    for start in range(0, size, _BLOCK):
        for index, entry in enumerate(read(start, min(size, start + _BLOCK)), start):
            if entry[1] == Kind.ACCESS and entry[16:48] == MANY_TAG:
                many = index  # its touches or its bulk leaf follow it before the next access
            elif entry[1] == Kind.BULK and many is not None:
                if not tags.isdisjoint(lists(entry[16:48])):
                    seen.add(many)
            elif entry[16:48] in tags:
                if entry[1] == Kind.ACCESS:
                    found.single.append(index)
                elif entry[1] == Kind.TOUCH:
                    found.touches.append(index)
                    if many is not None:
                        seen.add(many)
    found.many = sorted(seen)
    return found


def _epochs(first: int, last: int) -> set[str]:
    """Return the months that tags of leaves of these hours may be of; one more on each side, for a clock that fell."""
    month = 24 * 28
    return {epoch_of(hour) for hour in (*range(max(0, first - month), last + month, month), first, last + month)}
