"""The features of a look in plain Python, row by row: what the engine's statements are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import NamedTuple


class Row(NamedTuple):
    time: int
    subject: str
    human: str
    team: str
    thing: str
    queued: int


def values(rows: Sequence[Row], time: int, subject: str, human: str, thing: str) -> Mapping[str, int]:
    """Return every feature of one look, from the rows strictly before it (given in their order)."""
    before = [row for row in rows if row.time < time]
    on = [row for row in before if row.subject == subject]
    teams = _teams(before, human)
    last = on[-1] if on else None
    others = list(dict.fromkeys(row.human for row in reversed(on) if row.human != human))
    shared = {other: len(_subjects(before, human) & _subjects(before, other)) for other in others}
    sims = [_likeness(shared[other], len(_subjects(before, human)), len(_subjects(before, other))) for other in others[:12]]
    subject_teams = sorted({row.team for row in on})
    hand_overs, passages, follows = _steps(before)
    top = sorted(teams, key=lambda team: (-teams[team], team))[:20]
    mine = sum(row.human == human for row in before)
    return {
        "own": int(any(row.human == human for row in on)),
        "assigned": int(last is not None and teams[last.team] > 0),
        "assigned_n": teams[last.team] if last else 0,
        "any_team": int(any(teams[team] for team in subject_teams)),
        "mate": sum(bool(set(_teams(before, other)) & set(teams)) for other in others),
        "collab": sum(count > 0 for count in shared.values()),
        "collab_max": max(shared.values(), default=0),
        "sim": max(sims, default=0),
        "sim_mean": sum(sims) // len(sims) if sims else 0,
        "aprod": sum(row.human == human and row.thing == thing for row in before),
        "tprod": sum(row.team in top and row.thing == thing and not row.queued for row in before),
        "hoa": hand_overs[last.human, human] if last else 0,
        "hot": 1000 * max((passages[last.team, team] for team in teams if team != last.team), default=0) // (1 + follows[last.team])
        if last
        else 0,
        "team_sim": max((_met(before, human, team) for team in subject_teams), default=0),
        "team_share": 1000 * sum(teams[team] for team in subject_teams) // (1 + mine),
        "an": mine,
        "cn": len(on),
        "nteams": len(teams),
        "tn": len(subject_teams),
        "people": len({row.human for row in on}),
        "cprod": sum(row.team in subject_teams and row.thing == thing and not row.queued for row in before),
    }


def _teams(rows: Sequence[Row], human: str) -> Counter[str]:
    return Counter(row.team for row in rows if row.human == human and not row.queued)


def _subjects(rows: Sequence[Row], human: str) -> set[str]:
    return {row.subject for row in rows if row.human == human}


def _met(rows: Sequence[Row], human: str, team: str) -> int:
    mine, theirs = _subjects(rows, human), {row.subject for row in rows if row.team == team}
    return _likeness(len(mine & theirs), len(mine), len(theirs))


def _likeness(shared: int, one: int, two: int) -> int:
    """Return floor(1000 · shared / sqrt(one · two)) without floats."""
    return isqrt(10**6 * shared * shared // (one * two)) if shared else 0


def _steps(rows: Sequence[Row]) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]], Counter[str]]:
    latest: dict[str, Row] = {}
    hand_overs, passages, follows = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[str]()
    for row in rows:
        before = latest.get(row.subject)
        if before:
            follows[before.team] += 1
            if before.human != row.human:
                hand_overs[before.human, row.human] += 1
                if before.team != row.team:
                    passages[before.team, row.team] += 1
        latest[row.subject] = row
    return hand_overs, passages, follows
