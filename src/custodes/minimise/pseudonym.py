"""Keyed pseudonyms: the same id gives the same word within a home, and nobody without the key can test a guess.

A pseudonym is a letter for its kind, a dash, and 16 base32 characters (80 bits of keyed BLAKE2b): short enough to print and to
stay inline in columns. Kinds: `a` actor · `s` subject · `p` person (HR) · `k` key of a reason (ticket, case, grant, …) · `o` object
(session, device, derived copy) · `v` selector value.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

KINDS: Final = {"actor": "a", "subject": "s", "person": "p", "ref": "k", "object": "o", "value": "v"}
_CACHE_LIMIT: Final = 200_000
_PAIRS: Final = [a + b for a in "abcdefghijklmnopqrstuvwxyz234567" for b in "abcdefghijklmnopqrstuvwxyz234567"]


class Pseudonyms:
    """Pseudonyms of one home. `key`: 32 random bytes from the home's `keys/`."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("the pseudonym key must have 32 bytes")
        self._key = key
        self._known: dict[tuple[str, str], str] = {}
        self._fresh: list[tuple[str, str]] = []

    def of(self, kind: str, value: str) -> str:
        """Return the pseudonym of `value`, an id of `kind` (a key of `KINDS`)."""
        known = self._known.get((kind, value))
        if known is not None:
            return known
        made = self.once(kind, value)
        if len(self._known) >= _CACHE_LIMIT:
            self._known.clear()
        self._known[(kind, value)] = made
        self._fresh.append((made, value))
        return made

    def once(self, kind: str, value: str) -> str:
        """Return the same word as `of` without remembering it: for values that are new each time or must not be named again."""
        data = value.encode("utf-8", "surrogatepass")
        return f"{KINDS[kind]}-{base32(blake2b(data, key=self._key, digest_size=10, person=kind.encode()).digest())}"

    def take_fresh(self) -> list[tuple[str, str]]:
        """Hand over (pseudonym, original id) pairs computed since the last call, for the sealed name table; may repeat pairs."""
        fresh, self._fresh = self._fresh, []
        return fresh


def base32(data: bytes) -> str:
    """Return base32 in small letters without padding. `data` has 10 or 16 bytes; the standard library takes half as long again."""
    pairs = _PAIRS
    if len(data) == 10:
        number = int.from_bytes(data, "big")
        head, tail = number >> 40, number & 0xFFFFFFFFFF
        return _eight(head, pairs) + _eight(tail, pairs)
    number = int.from_bytes(data, "big") << 2
    front, middle, back = number >> 90, number >> 50 & 0xFFFFFFFFFF, number & 0x3FFFFFFFFFFFF
    return _eight(front, pairs) + _eight(middle, pairs) + pairs[back >> 40] + _eight(back & 0xFFFFFFFFFF, pairs)


def _eight(number: int, pairs: list[str]) -> str:
    """Return the eight letters of 40 bits; small numbers are cheap."""
    return pairs[number >> 30] + pairs[number >> 20 & 1023] + pairs[number >> 10 & 1023] + pairs[number & 1023]
