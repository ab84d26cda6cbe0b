"""The shape of work at a service desk: how looks spread over people, teams, cases and days, measured alike in any log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from world_reading import accesses, moment, table

SHARES = (0.5, 0.75, 0.9, 0.99)
REAL: dict[str, tuple[float, ...]] = {
    "looks per actor": (4, 13, 27, 100),
    "looks per actor and active day": (1, 3, 5, 18),
    "looks per case": (2, 4, 6, 13),
    "teams per actor": (1, 2, 4, 12),
    "actors per team": (3, 5, 9, 28),
    "actors per case": (2, 3, 5, 9),
    "teams per case": (2, 2, 3, 5),
    "changes of actor per case": (1, 3, 5, 13),
    "days open": (0.6, 7, 18, 112),
}
"""Quantiles of the real log at `SHARES`; looks are those of 22 days."""
REAL_GINI = {"rows per actor": 0.74, "rows per product": 0.79}
REAL_FIRST = (0.56, 0.71)
REAL_WEEKEND = 0.02
WINDOW = timedelta(days=22)


class Work(NamedTuple):
    """One row of a log. `team`: empty where the log does not tell; `queued`: it hands the case to a team and is nobody's work."""

    time: datetime
    case: str
    actor: str
    team: str
    product: Hashable
    queued: bool = False


class Visit(NamedTuple):
    """The looks of one actor at one case on one day, counted once. `first`: the first of this pair."""

    day: object
    case: str
    actor: str
    first: bool


def quantiles(values: Iterable[float]) -> tuple[float, ...]:
    ordered = sorted(values)
    return tuple(ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in SHARES)


def per_median(name: str, found: Sequence[float]) -> list[float]:
    """Return rates of actors by their ratio to the median: how busy people are grows with the size of a company."""
    return [value / found[0] if name.startswith("looks per actor") else value for value in found]


def gini(values: Iterable[float]) -> float:
    ordered = sorted(values)
    count = len(ordered)
    return 2 * sum(place * value for place, value in enumerate(ordered, 1)) / (count * sum(ordered)) - (count + 1) / count


def visits(rows: Iterable[Work]) -> list[Visit]:
    """Return visits in the order of `rows`, which are in the order of time."""
    seen: set[tuple[str, str, object]] = set()
    pairs: set[tuple[str, str]] = set()
    found = []
    for row in rows:
        pair = (row.actor, row.case)
        day = (*pair, row.time.date())
        if day not in seen:
            found.append(Visit(row.time.date(), row.case, row.actor, pair not in pairs))
        seen.add(day)
        pairs.add(pair)
    return found


def per_visit(found: Sequence[Visit]) -> dict[str, tuple[float, ...]]:
    return {
        "looks per actor": quantiles(Counter(one.actor for one in found).values()),
        "looks per actor and active day": quantiles(Counter((one.actor, one.day) for one in found).values()),
        "looks per case": quantiles(Counter(one.case for one in found).values()),
    }


def per_row(rows: Sequence[Work]) -> dict[str, tuple[float, ...]]:
    """Return how people, teams and cases hang together. `rows` are in the order of time."""
    worked = [row for row in rows if not row.queued]
    teamed = [row for row in worked if row.team]
    by_case = defaultdict(list)
    for row in rows:
        by_case[row.case].append(row)
    return {
        "teams per actor": _different(teamed, lambda row: row.actor, lambda row: row.team),
        "actors per team": _different(teamed, lambda row: row.team, lambda row: row.actor),
        "actors per case": _different(worked, lambda row: row.case, lambda row: row.actor),
        "teams per case": _different([row for row in rows if row.team], lambda row: row.case, lambda row: row.team),
        "changes of actor per case": quantiles(
            sum(one.actor != other.actor for one, other in pairwise(chain)) for chain in by_case.values()
        ),
        "days open": quantiles((chain[-1].time - chain[0].time) / timedelta(days=1) for chain in by_case.values()),
    }


def _different(rows: Iterable[Work], key: Callable[[Work], str], value: Callable[[Work], str]) -> tuple[float, ...]:
    found = defaultdict(set)
    for row in rows:
        found[key(row)].add(value(row))
    return quantiles(len(members) for members in found.values())


def spread(rows: Sequence[Work]) -> dict[str, float]:
    return {
        "rows per actor": gini(Counter(row.actor for row in rows).values()),
        "rows per product": gini(Counter(row.product for row in rows).values()),
    }


def desk_of(folder: Path) -> list[Work]:
    """Return the looks of a simulated company's support at tickets. Team: the queue that handed the ticket on, up to then."""
    tickets = {row["ticket"] for row in table(folder, "tickets") if row["kind"] != "change"}
    teams: dict[tuple[str, str], str] = {}
    queue: dict[str, str] = {}
    for row in sorted(table(folder, "assignments"), key=lambda row: row["valid_from"]):
        if row["ticket"] in tickets:
            by = row["assigned_by"]
            queue[row["ticket"]] = by if by.startswith("queue") else queue.get(row["ticket"], "")
            teams[row["ticket"], row["actor"]] = queue[row["ticket"]]
    return [
        Work(
            moment(one["time"]),
            one["reason"],
            one["actor"],
            teams.get((one["reason"], one["actor"])) or teams.get((one["reason"], ""), ""),
            (one["resource"], *sorted(one.get("fields", ()))),
        )
        for one in accesses(folder)
        if one.get("reason") in tickets
    ]
