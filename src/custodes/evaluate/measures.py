"""How well an order puts planted looks before real ones: plain arithmetic, without a library."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from random import Random
from statistics import fmean, stdev
from typing import Final

PLANTED_A_DAY: Final = 5
DRAWS: Final = 10
LEAST_REAL: Final = 100
"""Days with fewer real accesses are left out: there every order looks good."""


def recall_at(
    budgets: Sequence[int],
    real: Mapping[date, Sequence[float]],
    planted: Mapping[date, Sequence[float]],
    random: Random,
) -> list[float]:
    """Return for each budget the share of five planted looks a day that stand within the first so many; by day.

    Days with `LEAST_REAL` real looks or more; ten draws of five a day; ties in random order.
    """
    found: dict[int, list[float]] = defaultdict(list)
    for day in sorted(real):
        if len(real[day]) < LEAST_REAL or len(planted.get(day, ())) < PLANTED_A_DAY:
            continue
        for _ in range(DRAWS):
            drawn = random.sample(range(len(planted[day])), PLANTED_A_DAY)
            field = [(-value, random.random(), 0) for value in real[day]]
            field += [(-planted[day][which], random.random(), 1) for which in drawn]
            field.sort()
            for budget in budgets:
                found[budget].append(sum(kind for _, _, kind in field[:budget]) / PLANTED_A_DAY)
    return [fmean(found[budget]) if found[budget] else 0.0 for budget in budgets]


def calibration(real: Sequence[int], planted: Sequence[int], bins: int = 10) -> float:
    """Return how far promised per mille and share of planted looks lie apart on equal numbers: mean over bins, by size."""
    weight = len(real) / len(planted)
    promised: dict[int, float] = defaultdict(float)
    hits: dict[int, float] = defaultdict(float)
    sizes: dict[int, float] = defaultdict(float)
    for values, own, hit in ((real, 1.0, 0.0), (planted, weight, weight)):
        for value in values:
            place = min(value * bins // 1000, bins - 1)
            promised[place] += own * value / 1000
            hits[place] += hit
            sizes[place] += own
    return sum(abs(promised[place] - hits[place]) for place in sizes) / sum(sizes.values())


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation over seeds, 0 for one."""
    return stdev(values) if len(values) > 1 else 0.0
