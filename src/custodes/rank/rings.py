"""Rings: several actors who look at the same few subjects, each of them with little reason.

Weight of a pair of actors = (subjects shared beyond chance) x Σ over shared subjects of `score · score / ln(1 + actors on the
subject)`, over looks above a low score; subjects with many actors are skipped. Two people who open hundreds without a reason share
some by chance: several times what drawing would give is taken off. Two people of one unit meet anyway: their pair counts a third.
A pair whose two sides both meet the same third actor is lifted by half of the weaker tie: a ring is more than its pairs.

The strongest pairs make components. One that is too large for a ring is cut at its weaker ties until the rest is small enough, or
falls apart altogether. Each is told by the smallest set of looks that holds it together. Values in, values out; no dependence on
the order of looks; weights are whole numbers, thousandths of the formula's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from math import log
from typing import Final

LEAST_SCORE: Final = 100
"""Per mille: looks below have context enough to be left out."""
MOST_ACTORS: Final = 60
"""Actors on one subject beyond which sharing it says nothing."""
WITHIN: Final = timedelta(days=30)
"""Two looks at one subject further apart have nothing to do with each other."""
LEAST_WEIGHT: Final = 2_000
"""Of a pair that makes a ring, in thousandths: a little more than half of two subjects that two actors share without any reason."""
LEAST_SUBJECTS: Final = 2
CROWD: Final = 12
"""Actors in a component beyond which it is cut."""
_BEYOND: Final = 5
"""Times what chance would give the rest of both actors' looks; those who do like work draw from a smaller pool."""
_ONE_UNIT: Final = 3
_THIRD: Final = 0.5

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Touch:
    """A look that little explains. `score`: per mille; `look`: the caller's own key, returned with a ring."""

    look: int
    actor: str
    subject: str
    time: datetime
    score: int


@dataclass(frozen=True, slots=True)
class Ring:
    """Actors who are tied to each other, the subjects that tie them, all looks that do, and those without which it falls apart."""

    actors: tuple[str, ...]
    subjects: tuple[str, ...]
    weight: int
    looks: tuple[int, ...]
    witnesses: tuple[int, ...]


def firsts(touches: Iterable[Touch]) -> dict[str, dict[str, Touch]]:
    """Return subject → actor → the earliest look above `LEAST_SCORE`, of subjects with two to `MOST_ACTORS` actors."""
    found: dict[str, dict[str, Touch]] = defaultdict(dict)
    for touch in touches:
        known = found[touch.subject].get(touch.actor)
        if known is None or (touch.time, touch.look) < (known.time, known.look):
            found[touch.subject][touch.actor] = touch
    low = {
        subject: {actor: touch for actor, touch in actors.items() if touch.score > LEAST_SCORE} for subject, actors in found.items()
    }
    return {subject: low[subject] for subject in sorted(low) if 2 <= len(low[subject]) <= MOST_ACTORS}


def weights(shared: Mapping[str, Mapping[str, Touch]], units: Mapping[str, frozenset[str]]) -> dict[Pair, int]:
    """Return pair → weight in thousandths. `units`: units of each actor, as of the window's start."""
    sums: dict[Pair, float] = defaultdict(float)
    times: dict[Pair, int] = defaultdict(int)
    reach = Counter(actor for actors in shared.values() for actor in actors)
    for actors in shared.values():
        rarity = log(1 + len(actors))
        for one, two in combinations(sorted(actors), 2):
            if abs(actors[one].time - actors[two].time) > WITHIN:
                continue
            sums[one, two] += actors[one].score * actors[two].score / 1e6 / rarity
            times[one, two] += 1
    own: dict[Pair, float] = {}
    for (one, two), value in sums.items():
        both = times[one, two]
        beyond = both - _BEYOND * (reach[one] - both) * (reach[two] - both) / len(shared)
        if beyond > 0:
            own[one, two] = value * beyond / (_ONE_UNIT if units.get(one, frozenset()) & units.get(two, frozenset()) else 1)
    near: dict[str, dict[str, float]] = defaultdict(dict)
    for (one, two), value in own.items():
        near[one][two] = near[two][one] = value
    return {pair: round(1000 * (value + _THIRD * _through_third(near[pair[0]], near[pair[1]]))) for pair, value in own.items()}


def _through_third(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    return sum(sorted(min(one[actor], two[actor]) for actor in one.keys() & two.keys()))


def ordered(pairs: Mapping[Pair, int]) -> list[tuple[Pair, int]]:
    """Return the pairs, the strongest first, ties by name."""
    return sorted(pairs.items(), key=lambda item: (-item[1], item[0]))


def rings(shared: Mapping[str, Mapping[str, Touch]], pairs: Mapping[Pair, int]) -> list[Ring]:
    """Return the groups that pairs of `LEAST_WEIGHT` or more tie, if they hang on `LEAST_SUBJECTS` or more; strongest first."""
    found = []
    opened: dict[str, list[str]] = defaultdict(list)
    for subject, touches in shared.items():
        for actor in touches:
            opened[actor].append(subject)
    for actors in _groups(pairs):
        met = Counter(subject for actor in actors for subject in opened[actor])
        own = {
            subject: [shared[subject][actor] for actor in actors if actor in shared[subject]]
            for subject in sorted(met)
            if met[subject] >= 2
        }
        if len(own) < LEAST_SUBJECTS:
            continue
        weight = sum(pairs[pair] for pair in combinations(actors, 2) if pair in pairs)
        looks = tuple(sorted(touch.look for touches in own.values() for touch in touches))
        found.append(Ring(actors, tuple(sorted(own)), weight, looks, _witnesses(actors, own)))
    return sorted(found, key=lambda ring: (-ring.weight, ring.actors))


def _groups(pairs: Mapping[Pair, int]) -> list[tuple[str, ...]]:
    """Return the components of at most `CROWD` actors; of larger ones what is left of them at twice the weight, and so on."""
    found, waiting = [], [(dict(pairs), LEAST_WEIGHT)]
    while waiting:
        near, least = waiting.pop()
        ties: dict[str, set[str]] = defaultdict(set)
        for (one, two), weight in near.items():
            if weight >= least:
                ties[one].add(two)
                ties[two].add(one)
        for actors in _components(ties):
            if len(actors) <= CROWD:
                found.append(actors)
            else:
                inside = set(actors)
                waiting.append(({pair: weight for pair, weight in near.items() if inside.issuperset(pair)}, 2 * least))
    return found


def _components(ties: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    seen: set[str] = set()
    found = []
    for start in sorted(ties):
        if start in seen:
            continue
        waiting, members = [start], {start}
        while waiting:
            for other in ties[waiting.pop()] - members:
                members.add(other)
                waiting.append(other)
        seen |= members
        found.append(tuple(sorted(members)))
    return found


def _witnesses(actors: Sequence[str], own: Mapping[str, Sequence[Touch]]) -> tuple[int, ...]:
    """Return a smallest set of looks that still ties all actors together.

    Subjects are taken while they join parts that were apart, those that join most first; of each, one look per part joined. A tree
    over n actors needs every look it has: without any one of them an actor stands alone.
    """
    part = {actor: actor for actor in actors}

    def root(actor: str) -> str:
        while part[actor] != actor:
            actor = part[actor]
        return actor

    kept: list[int] = []
    left = dict(own)
    while left and len({root(actor) for actor in actors}) > 1:
        joined = {
            subject: {root(touch.actor): touch for touch in sorted(touches, key=lambda touch: (touch.score, -touch.look))}
            for subject, touches in left.items()
        }
        best = min(joined, key=lambda subject: (-len(joined[subject]), subject))
        if len(joined[best]) < 2:
            break
        kept += [touch.look for touch in joined[best].values()]
        first, *others = joined[best]
        for other in others:
            part[other] = first
        del left[best]
    return tuple(sorted(kept))
