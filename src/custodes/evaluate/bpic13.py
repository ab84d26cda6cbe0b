"""A real service-desk log (BPI Challenge 2013) as accesses and context, with look-ups planted that nobody made.

Case = trace, team = group, actor = name and country (hashed while reading). A row of the log is a look at its case; the first
row of an actor on a case and day that is not the case's first is an *access*, presumed innocent. Planted look-ups come in
three kinds: R any actor at any open case, C an actor of the country in which the case is handled, P an actor of a team that
knows the product. None of them enters the state that later looks are judged by.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from random import Random
from secrets import token_bytes
from typing import Final

from custodes.evaluate.xes import moment, traces

TRAIN: Final = (datetime(2012, 4, 23, tzinfo=UTC), datetime(2012, 5, 3, tzinfo=UTC))
TEST: Final = (datetime(2012, 5, 3, tzinfo=UTC), datetime(2012, 5, 15, tzinfo=UTC))
KINDS: Final = ("R", "C", "P")
_BACK: Final = timedelta(days=14)
_TRIES: Final = 50
_MACHINE: Final = "Siebel"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the log. `queued`: the row hands the case to `team`; it says nothing about the actor's own teams."""

    time: datetime
    case: str
    actor: str
    team: str
    country: str
    product: str
    queued: bool


@dataclass(frozen=True, slots=True)
class Look:
    """A look to be judged: a real access, or a planted one (`kind` R, C, P; empty: real). `first`: the pair's first look."""

    time: datetime
    case: str
    actor: str
    kind: str = ""
    first: bool = False


def read(path: Path) -> list[Row]:
    """Return the rows in stable time order, without the system account's.

    Names are hashed under a key that is thrown away, and stand as numbers in the order in which the file first has them: a seed
    plants the same look-ups in every run.
    """
    key = token_bytes(32)
    numbers: dict[bytes, str] = {}

    def hashed(text: str) -> str:
        return numbers.setdefault(blake2b(text.encode(), key=key).digest(), f"{len(numbers):06d}")

    rows = []
    for trace in traces(path):
        case = hashed(trace.attributes["concept:name"])
        for event in trace.events:
            if event.get("org:resource") == _MACHINE:
                continue
            country = event.get("resource country", "")
            rows.append(
                Row(
                    moment(event["time:timestamp"]),
                    case,
                    hashed(f"{event.get('org:resource', '')}|{country}"),
                    hashed("team " + event.get("org:group", "")),
                    hashed("country " + country),
                    hashed("product " + event.get("product", "")),
                    event.get("concept:name") == "Queued",
                )
            )
    rows.sort(key=lambda row: row.time)
    return rows


def accesses(rows: Iterable[Row]) -> list[Look]:
    """Return the real accesses: first row of (actor, case, UTC day) that is not the first row of its case."""
    started: set[str] = set()
    days: set[tuple[str, str, object]] = set()
    pairs: set[tuple[str, str]] = set()
    found = []
    for row in rows:
        day = (row.actor, row.case, row.time.date())
        pair = (row.actor, row.case)
        if row.case in started and day not in days:
            found.append(Look(row.time, row.case, row.actor, first=pair not in pairs))
        started.add(row.case)
        days.add(day)
        pairs.add(pair)
    return found


def within(looks: Iterable[Look], span: tuple[datetime, datetime]) -> list[Look]:
    """Return the looks of a half-open window."""
    return [look for look in looks if span[0] <= look.time < span[1]]


class Planter:
    """Draws planted look-ups, day by day: as many as real ones, at the times of real ones."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._times = [row.time for row in rows]
        self._begun: dict[str, datetime] = {}
        self._ended: dict[str, datetime] = {}
        self._product: dict[str, str] = {}
        for row in rows:
            self._begun.setdefault(row.case, row.time)
            self._ended[row.case] = row.time
            self._product[row.case] = row.product
        self._pairs: dict[tuple[str, str], datetime] = {}
        for row in rows:
            self._pairs.setdefault((row.actor, row.case), row.time)

    def plant(self, real: Sequence[Look], kind: str, random: Random) -> list[Look]:
        """Return planted look-ups of one kind for the days of `real`."""
        by_day: dict[object, list[Look]] = defaultdict(list)
        for look in real:
            by_day[look.time.date()].append(look)
        planted: list[Look] = []
        for day in sorted(by_day, key=str):
            times = [look.time for look in by_day[day]]
            planted.extend(self._of_day(times, kind, random))
        return planted

    def plant_busy(self, real: Sequence[Look], random: Random) -> list[Look]:
        """Return look-ups of anybody at cases as real work chooses them: one for each real access, at its day.

        Kinds R, C and P draw every open case alike, also the many that nobody touches; this one tells whether a score has learned
        that instead of who belongs to whom.
        """
        by_day: dict[object, list[Look]] = defaultdict(list)
        for look in real:
            by_day[look.time.date()].append(look)
        planted = []
        for day in sorted(by_day, key=str):
            actors = sorted({row.actor for row in self._window([look.time for look in by_day[day]])})
            for _ in by_day[day]:
                chosen = random.choice(by_day[day])
                planted.append(Look(chosen.time, chosen.case, random.choice(actors), "busy"))
        return planted

    def _window(self, times: Sequence[datetime]) -> Sequence[Row]:
        start = times[0].replace(hour=0, minute=0, second=0, microsecond=0)
        return self._rows[bisect_left(self._times, start - _BACK) : bisect_right(self._times, max(times))]

    def _of_day(self, times: Sequence[datetime], kind: str, random: Random) -> list[Look]:
        start = times[0].replace(hour=0, minute=0, second=0, microsecond=0)
        scene = _Scene(
            self._window(times), [c for c, begun in self._begun.items() if begun < start <= self._ended[c]], self._product
        )
        looks = []
        for _ in times:
            for _ in range(_TRIES):
                drawn = scene.draw(kind, random)
                if drawn is None:
                    continue
                actor, case = drawn
                time = random.choice(times)
                seen = self._pairs.get((actor, case))
                looks.append(Look(time, case, actor, kind, first=seen is None or seen >= time))
                break
        return looks


class _Scene:
    """Who and what was around on one day."""

    def __init__(self, window: Sequence[Row], cases: Iterable[str], product: Mapping[str, str]) -> None:
        self.cases = sorted(cases)
        self.product = product
        self.actors = sorted({row.actor for row in window})
        self.actor_teams: dict[str, set[str]] = defaultdict(set)
        self.case_teams: dict[str, set[str]] = defaultdict(set)
        self.country: dict[str, str] = {}
        of_country: dict[str, set[str]] = defaultdict(set)
        self._team_actors: dict[str, set[str]] = defaultdict(set)
        self._product_teams: dict[str, set[str]] = defaultdict(set)
        for row in window:
            self.case_teams[row.case].add(row.team)
            self.country[row.case] = row.country
            of_country[row.country].add(row.actor)
            self._product_teams[row.product].add(row.team)
            if not row.queued:
                self.actor_teams[row.actor].add(row.team)
                self._team_actors[row.team].add(row.actor)
        self.of_country = {country: sorted(actors) for country, actors in of_country.items()}

    def draw(self, kind: str, random: Random) -> tuple[str, str] | None:
        """Return (actor, case), or None if this try does not fit."""
        case = random.choice(self.cases)
        actors = self._candidates(kind, case, random)
        if not actors:
            return None
        actor = random.choice(actors)
        if kind != "R" and self.actor_teams.get(actor, set()) & self.case_teams.get(case, set()):
            return None
        return actor, case

    def _candidates(self, kind: str, case: str, random: Random) -> Sequence[str]:
        if kind == "R":
            return self.actors
        if kind == "C":
            return self.of_country.get(self.country.get(case, ""), ())
        teams = sorted(self._product_teams.get(self.product.get(case, ""), set()) - self.case_teams.get(case, set()))
        return sorted(self._team_actors.get(random.choice(teams), ())) if teams else ()


def shape(rows: Sequence[Row]) -> dict[str, int]:
    """Return the counts by which a reader checks that the log was read as defined."""
    return {
        "rows": len(rows),
        "actors": len({row.actor for row in rows}),
        "cases": len({row.case for row in rows}),
        "teams": len({row.team for row in rows}),
        "products": len({row.product for row in rows}),
        "accesses_train": len(within(accesses(rows), TRAIN)),
        "accesses_test": len(within(accesses(rows), TEST)),
    }
