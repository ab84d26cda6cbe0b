"""The trained score: monotone boosting of a company's own looks of a past window against as many drawn at random.

Rules this page keeps: more context never raises the score (a constraint of the fit, and a test); no country and no attribute of a
person; nothing is pickled: a model is refitted from its recipe (window, seed, features, library), whose digest stands with what it
ordered; scikit-learn is an extra, and without it the caller is told so, never silently served something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from math import exp
from threading import Thread
from typing import Any, Final

from custodes.errors import PartMissing
from custodes.model.canonical import Json, canonical
from custodes.rank.bins import Bins
from custodes.rank.features import CONTEXT

PLAIN: Final = frozenset({"own", "mates", "others", "habit", "unit_habit"})
"""The relations of `rank.plain`, all of them context."""
LEAST: Final = 300
"""Looks of each class without which nothing is learned."""
ROUNDS: Final = 300
_SETTINGS: Final[dict[str, Any]] = {
    "learning_rate": 0.05,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 40,
    "l2_regularization": 1.0,
    "early_stopping": False,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a model is refitted from, given the same record. Times in RFC 3339; `library`: name and version.

    `sample`: which looks of a large window it learned from; empty where those are told by the window alone.
    """

    since: str
    until: str
    seed: int
    features: tuple[str, ...]
    library: str
    sample: str = ""

    def as_values(self) -> dict[str, Json]:
        """Return what a policy leaf records."""
        values: dict[str, Json] = {**asdict(self), "features": list(self.features)}
        if not self.sample:
            del values["sample"]
        return values

    def digest(self) -> str:
        """Return the SHA-256 of the canonical bytes, hexadecimal."""
        return sha256(canonical(self.as_values())).hexdigest()


def library() -> str:
    """Return name and version of the library, without the second that its import takes. Raises `PartMissing` where it is not."""
    if find_spec("sklearn") is None:
        raise PartMissing("the trained score needs scikit-learn", hint="pip install 'custodes[rank]'")
    return f"scikit-learn {version('scikit-learn')}"


def fetch_library() -> None:
    """Begin to import the library beside whatever else is done: it takes seconds, and the engine leaves time for it.

    Whoever needs it waits for it, by importing it. Nothing is said of failures here: whoever needs it meets them again.
    """
    if find_spec("sklearn") is not None:
        Thread(target=_fetch, name="scikit-learn").start()


def _fetch() -> None:
    with suppress(Exception):
        import_module("sklearn.ensemble")


def direction(feature: str) -> int:
    """Return −1 if more of the feature never raises the score, 0 if it is bound to no direction."""
    return -1 if feature in CONTEXT or feature in PLAIN else 0


class Model:
    """A fitted model. The same rows in the same order give the same model with the same library."""

    def __init__(
        self, real: Sequence[Sequence[int]], drawn: Sequence[Sequence[int]], features: Sequence[str], seed: int = 0
    ) -> None:
        """Fit. Raises `PartMissing` without the library, or with fewer than `LEAST` looks of either class."""
        library()
        if min(len(real), len(drawn)) < LEAST:
            raise PartMissing(f"the trained score needs {LEAST} looks of each class, and has {len(real)} and {len(drawn)}")
        import numpy as np
        from sklearn.ensemble import HistGradientBoostingClassifier

        known = [*real, *drawn]
        kind = np.array([0] * len(real) + [1] * len(drawn))
        weight = np.array([1.0] * len(real) + [len(real) / len(drawn)] * len(drawn))
        self._bins = Bins(known, weight)
        with _one_thread():
            self._fitted = HistGradientBoostingClassifier(
                max_iter=ROUNDS, monotonic_cst=[direction(name) for name in features], random_state=seed, **_SETTINGS
            ).fit(self._bins.put(known), kind, sample_weight=weight)

    def margins(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Return the measure that orders, log odds at equal numbers: higher is more like a look drawn at random."""
        if not rows:
            return []
        with _one_thread():
            found: list[float] = self._fitted.decision_function(self._bins.put(rows)).tolist()
        return found

    def per_mille(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """Return how many of a thousand such looks were drawn at random, if as many were drawn as were made."""
        return shares(self.margins(rows))


def shares(margins: Sequence[float]) -> list[int]:
    """Return how many of a thousand looks of such margins were drawn at random."""
    return [round(1000 * (1 / (1 + exp(-margin)))) for margin in margins]


def _one_thread() -> AbstractContextManager[object]:
    """Hold the library to one thread: on so few rows the others mostly wait, and wait busily; the numbers are the same."""
    from threadpoolctl import threadpool_limits

    held: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="openmp")
    return held


def area(real: Sequence[float], planted: Sequence[float]) -> float:
    """Return the chance that a planted look stands above a real one, ties counted half (the area under the ROC curve)."""
    ordered = sorted([(value, 0) for value in real] + [(value, 1) for value in planted])
    total, below, start = 0.0, 0, 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and ordered[end][0] == ordered[start][0]:
            end += 1
        hits = sum(kind for _, kind in ordered[start:end])
        misses = end - start - hits
        total += hits * (below + misses / 2)
        below += misses
        start = end
    return total / (len(real) * len(planted))
