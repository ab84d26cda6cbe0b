"""`custodes evaluate bpic13-snoop`: what share of real and of planted look-ups is explained, and how well the score ranks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

import pyarrow as pa

from custodes.errors import PartMissing
from custodes.evaluate import bpic13, ranking, street, xes
from custodes.evaluate.bpic13 import KINDS, TEST, TRAIN, Look, Row
from custodes.evaluate.state import state_of

GOALS: Final = {"real": 0.93, "first": 0.89, "R": 0.045, "C": 0.015, "P": 0.08}
"""At least for real and first looks, at most for planted ones; strict recursion, seeds 3 to 7."""
_STEPS: Final = (("T1", ("T1",)), ("T1-T2", ("T1", "T2")), ("strict", ("T1", "T2", "T3")))


def evaluate(path: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, object]:
    """Return `custodes.evaluation/1` with the shares explained per template step and the ranking figures, per seed and as means.

    Raises `PartMissing` if the log holds no access in the test window.
    """
    rows = bpic13.read(path)
    real = bpic13.within(bpic13.accesses(rows), TEST)
    if not real:
        raise PartMissing(f"{path}: no access between {TEST[0]:%Y-%m-%d} and {TEST[1]:%Y-%m-%d}")
    train = bpic13.within(bpic13.accesses(rows), TRAIN)
    context = context_of(rows)
    planter = bpic13.Planter(rows)
    per_seed, ranked = [], []
    with state_of(rows) as state:
        for seed in seeds:
            say(f"seed {seed}: planting, explaining and ranking")
            random = Random(seed)  # noqa: S311  # a benchmark must be repeatable
            looks = {"train": train, "test": real, "train R": planter.plant(train, "R", random)}
            looks.update((kind, planter.plant(real, kind, random)) for kind in KINDS)
            looks[ranking.BUSY] = planter.plant_busy(real, Random(f"busy {seed}"))  # noqa: S311  # of its own, to leave the others be
            per_seed.append({"seed": seed, **_shares(rows, real, {kind: looks[kind] for kind in KINDS}, context)})
            ranked.append(ranking.judge(state.values(looks), looks, seed))
    return {
        "schema": "custodes.evaluation/1",
        "benchmark": "bpic13-snoop",
        "data_sha256": xes.digest(path),
        "log": bpic13.shape(rows),
        "goals": GOALS,
        "mean": _means(per_seed),
        "seeds": per_seed,
        "ranking": {
            "goals": ranking.GOALS,
            "reach_recall@20": ranking.REACH,
            "not_run": ranking.rankers()[1],
            "mean": ranking.summary(ranked),
        },
    }


def context_of(rows: Sequence[Row]) -> dict[str, pa.Table]:
    """Return the log as context: a row puts its case with a team (`assignments`), and shows a team of its actor (`staff`)."""
    opened: dict[str, Row] = {}
    member: dict[tuple[str, str], Row] = {}
    for row in rows:
        opened.setdefault(row.case, row)
        if not row.queued:
            member.setdefault((row.actor, row.team), row)
    return {
        "assignments": street.context_table(
            "assignments",
            (
                {"ticket": row.case, "actor": row.actor, "unit": row.team, "valid_from": row.time, "row_key": f"row-{place:06d}"}
                for place, row in enumerate(rows)
            ),
        ),
        "staff": street.context_table(
            "staff",
            ({"actor": actor, "unit": team, "valid_from": row.time, "row_key": actor} for (actor, team), row in member.items()),
        ),
        "tickets": street.context_table(
            "tickets",
            (
                {"ticket": case, "subject": case, "opened": row.time, "opened_by": row.actor, "row_key": case}
                for case, row in opened.items()
            ),
        ),
    }


def _shares(
    rows: Sequence[Row], real: Sequence[Look], planted: Mapping[str, Sequence[Look]], context: Mapping[str, pa.Table]
) -> dict[str, object]:
    """Judge every row (for the recursion) and every look, and return the shares of each group."""
    groups = {"real": list(real), **{kind: list(looks) for kind, looks in planted.items()}}
    everything = [(row.time, row.actor, row.case, "write") for row in rows]
    spans: dict[str, range] = {}
    for name, looks in groups.items():
        spans[name] = range(len(everything), len(everything) + len(looks))
        everything.extend((look.time, look.actor, look.case, "read") for look in looks)
    found = street.explained_by(street.looks_table(everything), context, "snoop_templates")
    shares: dict[str, object] = {}
    for step, codes in _STEPS:
        explained = set().union(*(found[code] for code in codes))
        shares[step] = {name: _share(span, explained) for name, span in spans.items()}
        firsts = {name: [n for n, look in zip(spans[name], groups[name], strict=True) if look.first] for name in groups}
        shares[f"{step} first"] = {name: _share(span, explained) for name, span in firsts.items()}
    shares["planted"] = {kind: len(looks) for kind, looks in planted.items()}
    return shares


def _share(span: Sequence[int], explained: set[int]) -> float:
    return round(sum(look in explained for look in span) / len(span), 4) if span else 0.0


def _means(per_seed: Sequence[Mapping[str, object]]) -> dict[str, dict[str, float]]:
    means: dict[str, dict[str, float]] = {}
    for key in per_seed[0] if per_seed else ():
        values = [entry[key] for entry in per_seed]
        if isinstance(values[0], dict):
            means[key] = {
                name: round(sum(value[name] for value in values if isinstance(value, dict)) / len(values), 4) for name in values[0]
            }
    return means
