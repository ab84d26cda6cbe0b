"""Bins of a model are those of the library: what a model says is equal to the last bit, with any weights and kinds of values."""

from __future__ import annotations

from random import Random

import pytest

from custodes.rank import trained
from custodes.rank.bins import MOST, Bins

pytest.importorskip("sklearn", reason="scikit-learn (custodes[rank]) is not installed")

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

NAMES = ("own", "habit", "an", "cn")

Rows = list[tuple[int, ...]]


def rows_like(random: Random, count: int) -> Rows:
    """Few values, many, more than there are bins with gaps between them, and two heaps far apart."""
    return [
        (
            random.randrange(4),
            int(random.paretovariate(0.7) * 10),
            random.randrange(3_000) * 7,
            random.choice([random.randrange(400), 10_000 + random.randrange(400)]),
        )
        for _ in range(count)
    ]


def fitted_directly(real: Rows, drawn: Rows) -> HistGradientBoostingClassifier:
    weight = np.array([1.0] * len(real) + [len(real) / len(drawn)] * len(drawn))
    steps = [trained.direction(name) for name in NAMES]
    model = HistGradientBoostingClassifier(max_iter=trained.ROUNDS, monotonic_cst=steps, random_state=0, **trained._SETTINGS)
    with trained._one_thread():
        return model.fit(np.array([*real, *drawn], dtype=np.float64), [0] * len(real) + [1] * len(drawn), sample_weight=weight)


@pytest.mark.parametrize(("seed", "real", "drawn"), [(1, 400, 400), (2, 900, 333), (3, 1_000, 777)])
def test_a_model_says_what_the_library_alone_would_say(seed: int, real: int, drawn: int) -> None:
    random = Random(seed)
    known, unknown, other = (rows_like(random, count) for count in (real, drawn, 2_000))
    said = trained.Model(known, unknown, NAMES).margins([*other, *known, *unknown])
    directly = fitted_directly(known, unknown).decision_function(np.array([*other, *known, *unknown], dtype=np.float64))
    assert said == directly.tolist()
    assert len(set(said)) > 100, "a model that says the same of all looks would hold anything"


def test_a_feature_of_few_values_is_left_as_it_is() -> None:
    rows = [(value, 2 * value) for value in range(MOST)]
    assert Bins(rows, np.ones(MOST)).put(rows).tolist() == [list(row) for row in rows]


def test_a_feature_of_many_values_has_no_more_bins_than_the_library_takes() -> None:
    rows = [(value * value,) for value in range(2_000)]
    put = Bins(rows, np.ones(len(rows))).put([*rows, (-5,), (10**9,)])[:, 0].tolist()
    assert put[:-2] == sorted(put[:-2])
    assert set(put) == set(range(MOST)), "each bin holds something, and what lies beyond all is in the first or the last"
