"""What people read instead of a pseudonym: `mossy-wren-4825`, two words and four digits, derived under a display key.

Rules of this page: the same key and the same set of pseudonyms give the same names, whatever the order; two pseudonyms of one set
never share a name; actors are animals and subjects are plants, so that nobody mixes up who looked and who was looked at. Without
the key a name cannot be led back to its pseudonym, and under another key (another case) the names are others, so cases cannot be
linked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from custodes.minimise.display_words import ADJECTIVES, ANIMALS, PLANTS

PSEUDONYM: Final = re.compile(r"(?<![0-9A-Za-z-])([as])-[a-z2-7]{16}(?![0-9A-Za-z-])")
"""An actor's or a subject's pseudonym inside a text."""
_NOUNS: Final = {"a": ANIMALS, "s": PLANTS}
_MAX_ATTEMPTS: Final = 10_000


class Display:
    """Display names of one set of pseudonyms. `key`: the display key, 16 to 64 random bytes.

    A collision (one in about 600 million per pair) is resolved in the order of the keyed hashes, never in the order of arrival.
    Pseudonyms of other kinds, and those outside the set, are returned as they are: still a pseudonym, still unique.
    """

    def __init__(self, key: bytes, pseudonyms: Iterable[str]) -> None:
        if not 16 <= len(key) <= 64:
            raise ValueError("the display key must have 16 to 64 bytes")
        known = {word for word in pseudonyms if PSEUDONYM.fullmatch(word)}
        self._names: dict[str, str] = {}
        taken: set[str] = set()
        for pseudonym in sorted(known, key=lambda word: (_digest(key, word, 0), word)):
            name = _first_free(key, pseudonym, taken)
            taken.add(name)
            self._names[pseudonym] = name

    def name(self, pseudonym: str) -> str:
        """Return the display name of one pseudonym."""
        return self._names.get(pseudonym, pseudonym)

    def text(self, text: str) -> str:
        """Return `text` with every known pseudonym replaced by its display name."""
        return PSEUDONYM.sub(lambda match: self.name(match[0]), text)


def found_in(texts: Iterable[str]) -> set[str]:
    """Return the pseudonyms of actors and subjects that occur in `texts`: what a `Display` needs to know."""
    return {match[0] for text in texts for match in PSEUDONYM.finditer(text)}


def _digest(key: bytes, pseudonym: str, attempt: int) -> bytes:
    return blake2b(f"{attempt} {pseudonym}".encode(), key=key, digest_size=16, person=b"custodes display").digest()


def _first_free(key: bytes, pseudonym: str, taken: set[str]) -> str:
    for attempt in range(_MAX_ATTEMPTS):
        name = _spell(int.from_bytes(_digest(key, pseudonym, attempt), "big"), _NOUNS[pseudonym[0]])
        if name not in taken:
            return name
    raise ValueError("more pseudonyms than display names")


def _spell(number: int, nouns: tuple[str, ...]) -> str:
    number, adjective = divmod(number, len(ADJECTIVES))
    number, noun = divmod(number, len(nouns))
    return f"{ADJECTIVES[adjective]}-{nouns[noun]}-{number % 10_000:04d}"
