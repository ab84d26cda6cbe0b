"""Detectors that the score has to beat, run on the same looks: counts that anybody would try first, and two outlier detectors.

Development-only: the outlier detectors need scikit-learn (numpy) and are left out, with a reason, where it is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from custodes.rank.features import DESIGN

Row = Sequence[int]
Measure = Callable[[Row], float]


def _at(name: str) -> int:
    return DESIGN.index(name)


_TEMPLATES: Final = tuple(_at(name) for name in ("assigned", "any_team", "own", "mate", "collab"))

COUNTS: Final[Mapping[str, Measure]] = {
    "rare actor first": lambda row: -row[_at("an")],
    "actor-product frequency": lambda row: -row[_at("aprod")],
    "hand-over probability": lambda row: -row[_at("hot")],
    "group similarity": lambda row: -row[_at("sim_mean")],
    "count of T1-T5": lambda row: -sum(row[place] > 0 for place in _TEMPLATES),
}
"""One number of a look each, on the sixteen features: higher is shown first."""


def isolation_forest(known: Sequence[Row], asked: Sequence[Row], seed: int) -> list[float]:
    """Return how isolated each asked look is among the known ones: 300 trees, all features as ln(1 + x)."""
    import numpy as np
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=300, random_state=seed, n_jobs=1).fit(np.log1p(np.array(known)))
    found: list[float] = (-forest.score_samples(np.log1p(np.array(asked)))).tolist()
    return found


def ecod(known: Sequence[Row], asked: Sequence[Row]) -> list[float]:
    """Return the two-sided empirical tail measure: per feature the larger of the left and the right one, summed."""
    import numpy as np

    base, looks = np.log1p(np.array(known)), np.log1p(np.array(asked))
    total: Any = np.zeros(len(looks))
    for column, values in zip(np.sort(base, axis=0).T, looks.T, strict=True):
        size = len(column)
        left = -np.log((np.searchsorted(column, values, side="right") + 1) / (size + 1))
        right = -np.log((size - np.searchsorted(column, values, side="left") + 1) / (size + 1))
        total += np.maximum(left, right)
    found: list[float] = total.tolist()
    return found
