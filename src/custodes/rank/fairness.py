"""How findings fall on groups of staff: per 1,000 accesses by department, unit, site, country of work, employer and tenure.

A number here is a question, never an answer: groups do different work. It shows where a rule weighs on some more than on others.
Groups of fewer than five people are counted together, so that no row is about somebody.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from custodes.engine import Engine
from custodes.model.run import Fairness, Group, Spread
from custodes.rank.coarse import LEAST, Coarse
from custodes.rank.people import About, last

DIMENSIONS: Final = ("department", "unit", "site", "country", "employer", "tenure")
ENOUGH: Final = 500
"""Accesses below which a group's rate says nothing about the ratio."""
FEW: Final = "(fewer than 5 people)"
UNKNOWN: Final = "(not on record)"
_Z: Final = 1.96
_YEAR: Final = 365

Findings = Mapping[frozenset[object], int]
"""Actors of a finding → how many findings have just these."""


@dataclass(frozen=True, slots=True)
class _Person:
    """An actor's accesses, and the words of each dimension."""

    accesses: int
    words: Mapping[str, str]


def measure(engine: Engine, found: Findings, coarse: Coarse, about: Mapping[str, About]) -> Fairness:
    """Return the table of one run. Reads the last `staff` row of each actor. `about`: the people of the window."""
    people = _people(engine, coarse, about)
    groups: list[Group] = []
    spreads: list[Spread] = []
    for dimension in DIMENSIONS:
        rows = _groups(dimension, people, found)
        groups += rows
        spreads.append(_spread(dimension, rows))
    new_looks, looks = _numbers(engine, "looks")
    new_residue, residue = _numbers(engine, "residue")
    return Fairness(tuple(groups), tuple(spreads), _share(new_looks, looks), _share(new_residue, residue))


def interval(count: int, accesses: int) -> tuple[float, float, float]:
    """Return findings per 1,000 accesses with the 95 % interval of a count (Byar), to two places."""
    if not accesses:
        return 0.0, 0.0, 0.0
    more = count + 1
    low = count * (1 - 1 / (9 * count) - _Z / (3 * math.sqrt(count))) ** 3 if count else 0.0
    high = more * (1 - 1 / (9 * more) + _Z / (3 * math.sqrt(more))) ** 3
    return round(1000 * count / accesses, 2), round(1000 * max(low, 0.0) / accesses, 2), round(1000 * high / accesses, 2)


def _people(engine: Engine, coarse: Coarse, about: Mapping[str, About]) -> dict[str, _Person]:
    staff = _staff(engine, last(about))
    people = {}
    for human, one in about.items():
        row = staff.get(human, {})
        words = {name: str(row.get(name) or UNKNOWN) for name in ("department", "site", "country", "employer")}
        unit = row.get("unit")
        words["unit"] = (coarse(str(unit)) or FEW) if unit else UNKNOWN
        words["tenure"] = _tenure(row.get("joined"), one.last)
        people[human] = _Person(one.accesses, words)
    return people


def _staff(engine: Engine, latest: object) -> dict[str, dict[str, object]]:
    """Return each actor's last row that had begun by the end of the window."""
    names = ("department", "unit", "site", "country", "employer", "joined")
    rows = engine.rows(f"select actor, valid_from, recorded, {', '.join(names)} from staff where actor is not null")
    begun = [row for row in rows if not (isinstance(row[1], datetime) and isinstance(latest, datetime) and row[1] > latest)]
    begun.sort(key=lambda row: (str(row[1] or ""), str(row[2] or ""), repr(row[3:])))
    return {str(row[0]): dict(zip(names, row[3:], strict=True)) for row in begun}


def _tenure(joined: object, last: object) -> str:
    if not isinstance(joined, datetime) or not isinstance(last, datetime):
        return UNKNOWN
    days = (last - joined).days
    if days < _YEAR // 2:
        return "under 6 months"
    return "6 months to 2 years" if days < 2 * _YEAR else "2 years and more"


def _groups(dimension: str, people: Mapping[str, _Person], found: Findings) -> list[Group]:
    size = Counter(person.words[dimension] for person in people.values())

    def name(actor: object) -> str:
        word = people[str(actor)].words[dimension] if str(actor) in people else UNKNOWN
        return FEW if word not in {UNKNOWN, FEW} and size[word] < LEAST else word

    actors: Counter[str] = Counter()
    accesses: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    for human, person in people.items():
        actors[name(human)] += 1
        accesses[name(human)] += person.accesses
    for who, count in found.items():
        # A finding about people of two groups falls on both, and once on each.
        for word in {name(actor) for actor in who}:
            findings[word] += count
    return [
        Group(dimension, word, actors[word], accesses[word], findings[word], *interval(findings[word], accesses[word]))
        for word in sorted(accesses, key=lambda word: (word.startswith("("), word))
    ]


def _spread(dimension: str, rows: list[Group]) -> Spread:
    known = [row for row in rows if row.accesses >= ENOUGH and row.name not in {UNKNOWN, FEW}]
    order: Callable[[Group], tuple[float, str]] = lambda row: (row.findings / row.accesses, row.name)  # noqa: E731  # used twice
    if len(known) < 2:
        return Spread(dimension, len(known), "", "", None)
    highest, lowest = max(known, key=order), min(known, key=order)
    ratio = None
    if lowest.findings:
        ratio = round(highest.findings * lowest.accesses / (highest.accesses * lowest.findings), 2)
    return Spread(dimension, len(known), highest.name, lowest.name, ratio)


def _numbers(engine: Engine, view: str) -> tuple[int, int]:
    new, every = engine.rows(
        f"select count(n.actor), count(*) from {view} l left join newcomers n on n.actor = l.human and l.time < n.until"
    )[0]
    return int(str(new)), int(str(every))


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
