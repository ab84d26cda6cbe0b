"""The ranking half of `bpic13-snoop`: does the score put planted look-ups before real accesses, and before what others would try?

The models learn from the train window alone: real accesses against look-ups planted at random (R). Kinds C and P stay unseen, and
so does *busy*: anybody at cases as real work chooses them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from random import Random
from statistics import fmean
from typing import Final

from custodes.errors import PartMissing
from custodes.evaluate import measures, opponents
from custodes.evaluate.bpic13 import KINDS, Look
from custodes.evaluate.state import Values, only
from custodes.rank import trained
from custodes.rank.features import DESIGN, FEATURES, TAIL
from custodes.rank.tail import Reference

BUDGETS: Final = (20, 50)
COLD: Final = "cold start: one-sided tail sum"
TRAINED: Final = "trained: monotone boosting"
SIXTEEN: Final = "trained: sixteen features"
GOALS: Final = {
    COLD: {"auc": {"R": 0.965, "C": 0.97, "P": 0.935}, "recall@20": {"R": 0.65, "C": 0.65, "P": 0.45}},
    TRAINED: {
        "auc": {"R": 0.985, "C": 0.985, "P": 0.97},
        "recall@20": {"R": 0.86, "C": 0.84, "P": 0.68},
        "calibration": {"R": 0.03, "C": 0.03, "P": 0.08},
    },
}
"""At least for area and recall, at most for calibration; means of seeds 3 to 7."""
REACH: Final = {"R": 0.92, "C": 0.9, "P": 0.8}
"""Recall at twenty a day that was hoped for."""

Scores = dict[str, list[float]]
Ranker = Callable[[Values, int], Scores]
BUSY: Final = "busy"
_PLANTED: Final = (*KINDS, BUSY)
_JUDGED: Final = ("test", *_PLANTED)


def rankers() -> tuple[dict[str, Ranker], dict[str, str]]:
    """Return name → ranker, the baselines first, and name → why for those that cannot run here."""
    found: dict[str, Ranker] = {"random": lambda values, _: {name: [0.0] * len(values[name]) for name in _JUDGED}}
    found.update((name, _counted(measure)) for name, measure in opponents.COUNTS.items())
    boosted: dict[str, Ranker] = {
        "IsolationForest, 300 trees": lambda values, seed: _split(
            values, opponents.isolation_forest(only(values["train"], DESIGN), _judged(values, DESIGN), seed)
        ),
        "ECOD, two-sided": lambda values, _: _split(values, opponents.ecod(only(values["train"], DESIGN), _judged(values, DESIGN))),
        SIXTEEN: lambda values, seed: _margins(values, DESIGN, seed),
        TRAINED: lambda values, seed: _margins(values, FEATURES, seed),
    }
    found[COLD] = _cold
    try:
        trained.library()
    except PartMissing as missing:
        return found, dict.fromkeys(boosted, str(missing))
    return {**found, **boosted}, {}


def judge(values: Values, looks: Mapping[str, Sequence[Look]], seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return ranker → measure → kind → figure for one seed."""
    figures = {}
    for name, ranker in rankers()[0].items():
        scores = ranker(values, seed)
        figures[name] = {"auc": {kind: trained.area(scores["test"], scores[kind]) for kind in _PLANTED}}
        random = Random(seed)  # noqa: S311  # a benchmark must be repeatable
        real = _by_day(looks["test"], scores["test"])
        for budget in BUDGETS:
            figures[name][f"recall@{budget}"] = {}
        for kind in _PLANTED:
            found = measures.recall_at(BUDGETS, real, _by_day(looks[kind], scores[kind]), random)
            for budget, share in zip(BUDGETS, found, strict=True):
                figures[name][f"recall@{budget}"][kind] = share
    if TRAINED in figures:
        figures[TRAINED]["calibration"] = _calibration(values, seed)
    return figures


def summary(per_seed: Sequence[Mapping[str, Mapping[str, Mapping[str, float]]]]) -> dict[str, dict[str, dict[str, object]]]:
    """Return ranker → measure → kind → mean and standard deviation over seeds."""
    names = per_seed[0] if per_seed else {}
    return {
        name: {
            measure: {
                kind: {
                    "mean": round(fmean(entry[name][measure][kind] for entry in per_seed), 4),
                    "sd": round(measures.spread([entry[name][measure][kind] for entry in per_seed]), 4),
                }
                for kind in _PLANTED
            }
            for measure in names[name]
        }
        for name in names
    }


def _counted(measure: opponents.Measure) -> Ranker:
    return lambda values, _: {name: [measure(row) for row in only(values[name], DESIGN)] for name in _JUDGED}


def _cold(values: Values, _: int) -> Scores:
    reference = Reference(only(values["train"], TAIL))
    return {name: [reference.tail_sum(row) for row in only(values[name], TAIL)] for name in _JUDGED}


def fitted(values: Values, names: Sequence[str], seed: int) -> trained.Model:
    """Return the model of the train window."""
    return trained.Model(only(values["train"], names), only(values["train R"], names), names, seed)


def _margins(values: Values, names: Sequence[str], seed: int) -> Scores:
    return _split(values, fitted(values, names, seed).margins(_judged(values, names)))


def _calibration(values: Values, seed: int) -> dict[str, float]:
    model = fitted(values, FEATURES, seed)
    promised = {name: model.per_mille(only(values[name], FEATURES)) for name in _JUDGED}
    return {kind: measures.calibration(promised["test"], promised[kind]) for kind in _PLANTED}


def _judged(values: Values, names: Sequence[str]) -> list[tuple[int, ...]]:
    return [row for group in _JUDGED for row in only(values[group], names)]


def _split(values: Values, scores: Sequence[float]) -> Scores:
    found: Scores = {}
    start = 0
    for name in _JUDGED:
        found[name] = list(scores[start : start + len(values[name])])
        start += len(values[name])
    return found


def _by_day(looks: Sequence[Look], scores: Sequence[float]) -> dict[date, list[float]]:
    days: dict[date, list[float]] = defaultdict(list)
    for look, score in zip(looks, scores, strict=True):
        days[look.time.date()].append(score)
    return days
