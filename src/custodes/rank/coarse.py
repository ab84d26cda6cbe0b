"""Units as they are printed: pseudonyms hide names, not roles, so a unit of fewer than five is shown as the one above it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from custodes.engine import Engine

LEAST: Final = 5
"""People in a unit, with all below it, from which its path is printed."""


class Coarse:
    """Call it with a unit's path: it returns the longest part that at least `LEAST` people share, or nothing."""

    def __init__(self, members: Iterable[tuple[str, str]]) -> None:
        """`members`: (unit, person), each as often as it comes."""
        people: dict[str, set[str]] = defaultdict(set)
        for unit, person in members:
            parts = unit.split("/")
            for count in range(1, len(parts) + 1):
                people["/".join(parts[:count])].add(person)
        self._large = {path for path, members_of in people.items() if len(members_of) >= LEAST}

    def __call__(self, unit: str) -> str:
        """Return what may be printed, empty where even the top is small."""
        while unit and unit not in self._large:
            unit = unit.rpartition("/")[0]
        return unit


def of_staff(engine: Engine) -> Coarse:
    """Return the units of `staff` as they may be printed. People are counted by account where no person is named."""
    rows = engine.rows("select distinct unit, coalesce(person, actor) from staff where unit is not null and actor is not null")
    return Coarse((str(unit), str(person)) for unit, person in rows)
