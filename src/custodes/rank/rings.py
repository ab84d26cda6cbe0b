"""Rings: several actors who look at the same few subjects, each of them with little reason.

Weight of a pair of actors = (subjects shared beyond chance) x Σ over shared subjects of `score · score / ln(1 + actors on the
subject)`, over looks above a low score; subjects with many actors are skipped. Two people who open hundreds without a reason share
some by chance: several times what drawing would give is taken off. Two people of one unit meet anyway: their pair counts a third.
A pair whose two sides both meet the same third actor is lifted by half of the weaker tie: a ring is more than its pairs.

The strongest pairs make components. One that is too large for a ring is cut at its weaker ties until the rest is small enough, or
falls apart altogether. People who open very many meet two by two all the time, and hardly ever most of them on the same few: of
what a ring shares, that is kept which so many of it share beyond chance. Each is told by the smallest set of looks that holds it
together. Values in, values out; no dependence on the order of looks; weights are whole numbers, thousandths of the formula's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from math import log
from typing import Final, NamedTuple

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
_TIMES: Final = 10
"""Times what chance would give, in that smaller pool, from which on two share subjects for another reason. For each one more in a
ring as many times again: of many possible rings the largest was picked.
"""
_ONE_UNIT: Final = 3
_THIRD: Final = 0.5

Pair = tuple[str, str]


class Touch(NamedTuple):
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
    subjects_of: dict[str, list[str]] = defaultdict(list)
    for subject, touches in shared.items():
        for actor in touches:
            subjects_of[actor].append(subject)
    for actors in _groups(pairs):
        met = Counter(subject for actor in actors for subject in subjects_of[actor])
        own = {
            subject: [shared[subject][actor] for actor in actors if actor in shared[subject]]
            for subject in sorted(met)
            if met[subject] >= 2
        }
        if len(own) >= LEAST_SUBJECTS:
            found.append(_ring(own, sum(pairs[pair] for pair in combinations(actors, 2) if pair in pairs)))
    return sorted(found, key=lambda ring: (-ring.weight, ring.actors))


def opened(touches: Iterable[Touch]) -> tuple[dict[str, int], int]:
    """Return actor → how many subjects it looked at with little reason, and how many subjects anybody did."""
    found = {(touch.actor, touch.subject) for touch in touches if touch.score > LEAST_SCORE}
    return Counter(actor for actor, _ in found), len({subject for _, subject in found})


def beyond_chance(
    found: Iterable[Ring], shared: Mapping[str, Mapping[str, Touch]], reach: Mapping[str, int], everybody: int
) -> list[Ring]:
    """Return the rings with the subjects, and the actors on these, that so many of a ring share where chance gives far fewer.

    `shared`: what the rings were made of; `reach`, `everybody`: see `opened`. Chance: each actor draws as many subjects as it
    opened from a fifth of all, since those who do like work draw from a smaller pool. A ring of which nothing is left is left out.
    """
    pool = max(everybody / _BEYOND, 1.0)
    kept = []
    for ring in found:
        looks = set(ring.looks)
        own = {subject: [touch for touch in shared[subject].values() if touch.look in looks] for subject in ring.subjects}
        core = _core(own, [min(reach[actor] / pool, 1.0) for actor in ring.actors], pool)
        if core:
            kept.append(_ring(core, ring.weight))
    return kept


def _core(own: Mapping[str, list[Touch]], shares: Sequence[float], pool: float) -> dict[str, list[Touch]]:
    """Return the subjects that at least so many share, for the least number at which chance gives far fewer; or none."""
    chance, least = _chance(shares), _TIMES * (len(shares) - 1) * pool
    for many in range(2, len(shares) + 1):
        core = {subject: touches for subject, touches in own.items() if len(touches) >= many}
        if len(core) >= max(LEAST_SUBJECTS, least * sum(chance[many:])):
            return core
    return {}


def _chance(shares: Sequence[float]) -> list[float]:
    """Return the chances that none, one, two … of these actors opened a subject, each of them with its share, on its own."""
    found = [1.0]
    for share in shares:
        found = [one * (1 - share) + other * share for one, other in zip([*found, 0.0], [0.0, *found], strict=True)]
    return found


def _ring(own: Mapping[str, Sequence[Touch]], weight: int) -> Ring:
    """Put together what these subjects tie. The looks on each subject are of different actors, in the order of their names."""
    actors = tuple(sorted({touch.actor for touches in own.values() for touch in touches}))
    looks = tuple(sorted(touch.look for touches in own.values() for touch in touches))
    return Ring(actors, tuple(sorted(own)), weight, looks, _witnesses(actors, own))


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
