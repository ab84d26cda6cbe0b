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
_DIGITS: Final = 10**10


class Ids:
    """Fresh ids of every kind: a short prefix and ten random digits, never given twice."""

    def __init__(self, dice: Dice) -> None:
        self._bits = dice.bits
        self._given: set[int] = set()

    def new(self, kind: str) -> str:
        """Return a fresh id of `kind`, a key of `PREFIX` or a prefix itself."""
        while True:
            number = self._bits(48) % _DIGITS
            if number not in self._given:
                self._given.add(number)
                return f"{PREFIX.get(kind, kind)}-{number:010d}"
