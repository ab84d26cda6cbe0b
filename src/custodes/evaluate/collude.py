"""`custodes evaluate bpic13-collude`: rings planted into the real log, found by who shares subjects that little explains.

Injected looks go through the features, templates and score like all others; nothing presumes them unexplained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Final

from custodes.errors import PartMissing
from custodes.evaluate import bpic13, ranking, xes
from custodes.evaluate.bpic13 import TEST, TRAIN, Look, Row
from custodes.evaluate.state import Values, only, state_of
from custodes.rank import rings
from custodes.rank.features import FEATURES

SHAPES: Final[Mapping[str, tuple[int, int, float]]] = {
    "4x6": (4, 6, 0.5),
    "4x3": (4, 3, 0.67),
    "3x10": (3, 10, 0.3),
    "2x4": (2, 4, 0.75),
}
"""Name → actors, subjects, chance that an actor looks at a subject."""
RINGS: Final = 20
"""Of each shape and seed."""
LONE: Final = 60
"""Planted look-ups that belong to no ring."""
GOALS: Final = {
    "top_pair": {"4x6": 0.9, "4x3": 0.78, "3x10": 0.52, "2x4": 0.65},
    "share": {"4x6": 0.7, "4x3": 0.58, "3x10": 0.5, "2x4": 0.7},
    "false_rings_per_30_days": 1,
    "all_accesses_top_pair": 0.02,
}
REACH: Final = {"4x6": 0.95, "4x3": 0.9, "3x10": 0.75, "2x4": 0.8}
_TOP: Final = 10


@dataclass(frozen=True, slots=True)
class Planted:
    """A ring that nobody made: its actors and its looks."""

    shape: str
    actors: tuple[str, ...]
    looks: tuple[Look, ...]


def plant(real: Sequence[Look], seed: int) -> list[Planted]:
    """Return the rings of one seed: actors, subjects and times as the real accesses of the window have them."""
    random = Random(100 + seed)  # noqa: S311  # a benchmark must be repeatable
    actors, cases = sorted({look.actor for look in real}), sorted({look.case for look in real})
    times = [look.time for look in real]
    found = []
    for shape, (size, subjects, chance) in SHAPES.items():
        for _ in range(RINGS):
            ring, files = random.sample(actors, size), random.sample(cases, subjects)
            looks = [Look(random.choice(times), case, actor, shape) for actor in ring for case in files if random.random() < chance]
            found.append(Planted(shape, tuple(sorted(ring)), tuple(looks)))
    return found


def evaluate(path: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, object]:
    """Return `custodes.evaluation/1`: how often the strongest pair is a true one, by shape; false rings of the background.

    Raises `PartMissing` without scikit-learn, or if the log holds no access in the test window.
    """
    rows = bpic13.read(path)
    every = bpic13.accesses(rows)
    train, real = bpic13.within(every, TRAIN), bpic13.within(every, TEST)
    if not real:
        raise PartMissing(f"{path}: no access between {TEST[0]:%Y-%m-%d} and {TEST[1]:%Y-%m-%d}")
    planter, units = bpic13.Planter(rows), units_before(rows)
    results: list[tuple[str, dict[str, tuple[bool, float]]]] = []
    false_rings = []
    with state_of(rows) as state:
        for seed in seeds:
            say(f"seed {seed}: planting rings and looking for them")
            random = Random(seed)  # noqa: S311  # a benchmark must be repeatable
            looks = {"train": train, "test": real, "train R": planter.plant(train, "R", random)}
            looks["lone"] = random.sample(planter.plant(real, "R", random), LONE)
            planted = plant(real, seed)
            looks["ring"] = [look for ring in planted for look in ring.looks]
            background, injected = _touches(state.values(looks), looks, planted, seed)
            results += [(ring.shape, _found(ring, [*background, *own], units)) for ring, own in injected]
            shared = rings.firsts(background)
            pairs = rings.weights(shared, units)
            false_rings.append(len(rings.beyond_chance(rings.rings(shared, pairs), shared, *rings.opened(background))))
    days = (TEST[1] - TEST[0]).days
    return {
        "schema": "custodes.evaluation/1",
        "benchmark": "bpic13-collude",
        "data_sha256": xes.digest(path),
        "goals": GOALS,
        "reach_top_pair": REACH,
        "rings": RINGS * len(seeds),
        "mean": _means(results),
        "false_rings_per_30_days": round(fmean(false_rings) * 30 / days, 2) if false_rings else 0.0,
        "seeds": list(seeds),
    }


def units_before(rows: Iterable[Row]) -> dict[str, frozenset[str]]:
    """Return the teams of each actor before the test window."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.time < TEST[0] and not row.queued:
            found[row.actor].add(row.team)
    return {actor: frozenset(teams) for actor, teams in found.items()}


def _touches(
    values: Values, looks: Mapping[str, Sequence[Look]], planted: Sequence[Planted], seed: int
) -> tuple[list[rings.Touch], list[tuple[Planted, list[rings.Touch]]]]:
    """Score everything by the model of the train window; return the background, and each ring with its own looks."""
    model = ranking.fitted(values, FEATURES, seed)
    keys = iter(range(10**9))
    scored = {
        name: [
            rings.Touch(next(keys), look.actor, look.case, look.time, score)
            for look, score in zip(looks[name], model.per_mille(only(values[name], FEATURES)), strict=True)
        ]
        for name in ("test", "lone", "ring")
    }
    injected, start = [], 0
    for ring in planted:
        injected.append((ring, scored["ring"][start : start + len(ring.looks)]))
        start += len(ring.looks)
    return [*scored["test"], *scored["lone"]], injected


def _found(ring: Planted, touches: Sequence[rings.Touch], units: Mapping[str, frozenset[str]]) -> dict[str, tuple[bool, float]]:
    """Return measure → (the strongest pair is true, share of the ring's actors in true pairs among the ten strongest)."""
    soft = rings.firsts(touches)
    everything = rings.firsts(rings.Touch(touch.look, touch.actor, touch.subject, touch.time, 1000) for touch in touches)
    pairs = rings.weights(soft, units)
    return {
        "ring weight": _judged(ring, pairs),
        "told as a ring": _told(ring, rings.beyond_chance(rings.rings(soft, pairs), soft, *rings.opened(touches))),
        "shared subjects, score above .1": _judged(ring, _counts(soft)),
        "shared subjects, all accesses": _judged(ring, _counts(everything)),
    }


def _told(ring: Planted, found: Sequence[rings.Ring]) -> tuple[bool, float]:
    """Return whether a component is mostly the ring, and the share of its actors that the best one holds."""
    actors = set(ring.actors)
    mostly = [len(actors & set(one.actors)) for one in found if 2 * len(actors & set(one.actors)) > len(one.actors)]
    return bool(mostly), max(mostly, default=0) / len(actors)


def _counts(shared: Mapping[str, Mapping[str, rings.Touch]]) -> dict[rings.Pair, int]:
    counts: dict[rings.Pair, int] = defaultdict(int)
    for actors in shared.values():
        for pair in combinations(sorted(actors), 2):
            counts[pair] += 1
    return counts


def _judged(ring: Planted, pairs: Mapping[rings.Pair, int]) -> tuple[bool, float]:
    top = [pair for pair, _ in rings.ordered(pairs)[:_TOP]]
    true = [pair for pair in top if set(pair) <= set(ring.actors)]
    return bool(top) and top[0] in true, len({actor for pair in true for actor in pair}) / len(ring.actors)


def _means(results: Sequence[tuple[str, Mapping[str, tuple[bool, float]]]]) -> dict[str, dict[str, dict[str, float]]]:
    means: dict[str, dict[str, dict[str, float]]] = {}
    for measure in results[0][1] if results else ():
        means[measure] = {}
        for shape in SHAPES:
            own = [found[measure] for name, found in results if name == shape]
            means[measure][shape] = {
                "top_pair": round(fmean(top for top, _ in own), 4),
                "share": round(fmean(share for _, share in own), 4),
            }
    return means
