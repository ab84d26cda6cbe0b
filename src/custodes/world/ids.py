"""Ids: one generator for everything, background and plants alike, so that no id, its order or parity gives anything away."""

from __future__ import annotations

from typing import Final

from custodes.world.dice import Dice

PREFIX: Final = {
    "actor": "emp",
    "service": "svc",
    "person": "per",
    "subject": "acc",
    "tickets": "tkt",
    "cases": "cas",
    "grants": "gra",
    "incidents": "inc",
    "legal": "lgl",
    "jobs": "job",
    "claims": "clm",
    "press": "prs",
    "object": "obj",
    "device": "dev",
    "session": "ses",
}
INBOUND: Final = ("msg", "call", "form", "mail")
_HALF: Final = 100_000
_MASK: Final = 2**64 - 1


class Ids:
    """Fresh ids of every kind: a short prefix and ten digits in no visible order, never given twice.

    The digits are a running number, shuffled in four rounds that can be undone: no two are alike, and none need be remembered.
    """

    def __init__(self, dice: Dice) -> None:
        self._keys = [dice.bits(62) | 1 for _ in range(4)]
        self._given = 0

    def new(self, kind: str) -> str:
        """Return a fresh id of `kind`, a key of `PREFIX` or a prefix itself."""
        high, low = divmod(self._given, _HALF)
        self._given += 1
        for key in self._keys:
            mixed = (low + 1) * key & _MASK
            high, low = low, (high + (mixed * mixed >> 61)) % _HALF
        return f"{PREFIX.get(kind, kind)}-{high:05d}{low:05d}"
