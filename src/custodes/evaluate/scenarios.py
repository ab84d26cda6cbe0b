"""`custodes evaluate scenarios`: every scenario of the handbook, or of a file of one's own, built, watched and scored by episode.

Each world is judged in a process of its own. A scenario that cannot be judged is said, with the reason, and counts nowhere.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from custodes.errors import ConfigError
from custodes.evaluate.scenarios_world import Case, Load, judge
from custodes.world.language import library

GATES: Final = ("S01", "S02", "S03", "S04", "S05")
FOUNDING: Final = "F01"
NEVER_LOUD: Final = ("B01", "B08", "B10", "B17")
GOALS: Final = {
    "found": 0.9,
    "gates_found": 1.0,
    "actor_f1": 0.9,
    "subject_f1": 0.8,
    "quiet": 0.95,
    "never_loud": 1.0,
    "loud_findings_per_1000_benign": 0.5,
    "trigger_in_time": 0.9,
    "trigger_false_per_100_events": 1,
    "founding_case_reads": 3,
    "founding_case_hours": 24,
    "wrong_labels_cost_points": 5,
}
TRIGGER_READS: Final = 3
TRIGGER_HOURS: Final = 72
"""A campaign after an event counts from so many reads, and is seen in time if it is shown within so many hours of the first."""
BASE_RATE: Final = 2
"""Episodes per 1,000 staff-years in the field, for the precision that a reader there would meet."""
Say = Callable[[str], None]


def evaluate(
    load: Load,
    *,
    only: Sequence[str] = (),
    seeds: Sequence[int],
    level: str = "medium",
    size: str | None = None,
    twins: int = 1,
    replay: bool = False,
    jobs: int = 1,
    together: bool = False,
    file: Path | None = None,
    wrong_labels: int | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Return `custodes.evaluation/1`: one entry per world, means per scenario and twin, and the figures beside their goals.

    `load` puts a folder of exports into a home and must be importable by name. Without `only` all abuse scenarios and composites
    run; each brings every one of its twins `twins` times. `together`: all in one company per seed, which is cheaper, and harder, as
    they compete for the same 20 places a week. `wrong_labels`: per cent of what is shown that is labelled wrongly before a second
    watch. Raises `ConfigError` for an unknown scenario.
    """
    shelf = library(file)
    names = list(only) or [one.id for one in shelf.scenarios.values() if one.kind == "abuse"]
    for name in names:
        shelf.scenario(name)
    if not names or not seeds:
        raise ConfigError("nothing to evaluate: no scenario or no seed")
    groups = [tuple(names)] if together else [(name,) for name in names]
    cases = [Case(group, seed, level, size, twins, replay, file, wrong_labels) for seed in seeds for group in groups]
    worlds = list(_judged(cases, load, jobs, say))
    worlds.sort(key=lambda one: (one["scenario"], one["seed"]))
    return {
        "schema": "custodes.evaluation/1",
        "benchmark": "scenarios",
        "seeds": list(seeds),
        "level": level,
        "size": size or "as named",
        "twins": twins,
        "together": together,
        "goals": GOALS,
        **totals(worlds),
        "worlds": worlds,
    }


def _judged(cases: Sequence[Case], load: Load, jobs: int, say: Say) -> Iterable[dict[str, Any]]:
    """Judge each case in a fresh process, so that memory ends with it."""
    context = get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context, initializer=_one_thread, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(judge, case, load): case for case in cases}
        for done, future in enumerate(as_completed(waiting), 1):
            case, figures = waiting[future], future.result()
            say(f"{done} of {len(cases)}: {'+'.join(case.scenarios)} seed {case.seed}: {_word(figures)}")
            yield figures


def _one_thread() -> None:
    """Learn with one thread: on shared cores threads that wait for each other spin, and a fit of seconds takes minutes."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the library is loaded, which happens late


def _word(figures: Mapping[str, Any]) -> str:
    if "not_judged" in figures:
        return f"not judged: {figures['not_judged']}"
    parts = [f"rank {one['rank']}" if one["found"] else f"missed ({one['why']})" for one in figures["abuse"]]
    loud = [one["id"] for one in figures["innocent"] if not one["quiet"]]
    return ", ".join(parts + [f"{name} loud" for name in loud]) or "quiet"


def totals(worlds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means per scenario and per twin, the figures over all, and what was not judged."""
    judged = [one for one in worlds if "not_judged" not in one]
    abuse: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    innocent: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in judged:
        for episode in one["abuse"]:
            abuse[episode["scenario"]].append(episode)
        for episode in one["innocent"]:
            innocent[episode["scenario"]].append(episode)
    episodes = [episode for group in abuse.values() for episode in group]
    twins = [twin for group in innocent.values() for twin in group]
    found = [one for one in episodes if one["found"]]
    gates = [one for one in episodes if one["scenario"] in GATES]
    never = [one for one in twins if one["scenario"] in NEVER_LOUD]
    return {
        "not_judged": {f"{one['scenario']}, seed {one['seed']}": one["not_judged"] for one in worlds if "not_judged" in one},
        "overall": {
            "found": share(one["found"] for one in episodes),
            "gates_found": share(one["found"] for one in gates),
            "scenarios_always_found": sum(all(one["found"] for one in group) for group in abuse.values()),
            "scenarios": len(abuse),
            "first_code": share(one["first_code"] for one in found),
            "all_codes": share(one["all_codes"] for one in found),
            "own_rule": share(one["own_rule"] for one in found),
            **{name: mean(found, name) for name in ("missing", "evidence", "actor_f1", "direct_f1", "linked_f1", "subject_f1")},
            "quiet": share(one["quiet"] for one in twins),
            "never_loud": share(one["quiet"] for one in never),
            **_false(judged, found, episodes),
            **_trigger(judged, episodes),
            **_detected(found),
            "wrong_labels_cost_points": _labels_cost(judged),
        },
        "abuse": {name: _scenario(abuse[name]) for name in sorted(abuse)},
        "innocent": {name: _twin(innocent[name]) for name in sorted(innocent)},
    }


def _scenario(group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = [one for one in group if one["found"]]
    detected = [one["detected"] for one in found if "detected" in one]
    return {
        "found": share(one["found"] for one in group),
        "rank": mean(found, "rank"),
        "first_code": share(one["first_code"] for one in found),
        "codes_absent": sorted({code for one in found for code in one["codes_absent"]}),
        **{name: mean(found, name) for name in ("missing", "evidence", "actor_f1", "direct_f1", "linked_f1", "subject_f1")},
        "detected": {name: mean(detected, name) for name in ("reads", "of", "hours")} if detected else None,
        "misses": sorted(one["why"] for one in group if not one["found"]),
    }


def _twin(group: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "quiet": share(one["quiet"] for one in group),
        "loud_rules": sorted({rule for one in group for rule in one["loud_rules"]}),
        "above_a_hit": sum(one["above_a_hit"] for one in group),
        "reason_named": share(one["reason_named"] for one in group if one["reason_named"] is not None),
    }


def _false(
    judged: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], episodes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the innocent cost, and the precision at the natural rate of misuse instead of the enriched one."""
    parts = [one["false"] for one in judged]
    benign = sum(part["benign_accesses"] for part in parts)
    findings = sum(part["loud_findings"] for part in parts)
    rate = mean(parts, "loud_per_1000_staff_weeks")
    recall = len(found) / len(episodes) if episodes else 0.0
    yearly = recall * BASE_RATE
    return {
        "false_loud_per_30_days": mean(parts, "loud_per_30_days"),
        "false_loud_per_1000_staff_weeks": rate,
        "loud_findings_per_1000_benign": round(findings * 1000 / benign, 3) if benign else None,
        "precision_at_base_rate": round(yearly / (yearly + rate * 52), 4) if rate is not None and yearly else None,
    }


def _trigger(judged: Sequence[Mapping[str, Any]], episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many campaigns after an event were seen in time (where replayed), and the false ones per 100 events in 30 days."""
    replayed = [
        one for one in episodes if one["trigger"] and one["accesses"] >= TRIGGER_READS and ("detected" in one or not one["found"])
    ]
    if not any("detected" in one for one in episodes):
        replayed = []
    parts = [one["false"] for one in judged if one["false"]["events"]]
    rates = [part["trigger_loud"] * 30 / part["days"] * 100 / part["events"] for part in parts]
    return {
        "trigger_in_time": share("detected" in one and one["detected"]["hours"] <= TRIGGER_HOURS for one in replayed),
        "trigger_false_per_100_events": round(sum(rates) / len(rates), 2) if rates else None,
    }


def _detected(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the time to detect, where replayed: abusive reads, hours after the first; means, and the founding case's latest."""
    detected = [one["detected"] for one in found if "detected" in one]
    founding = [one["detected"] for one in found if one["scenario"] == FOUNDING and "detected" in one]
    return {
        **{f"detected_after_{name}": mean(detected, name) for name in ("reads", "hours")},
        **{f"founding_case_{name}": max((one[name] for one in founding), default=None) for name in ("reads", "hours")},
    }


def _labels_cost(judged: Sequence[Mapping[str, Any]]) -> float | None:
    """Return how many points of recall within the budget wrong labels cost, None where nothing was labelled."""
    parts = [(one["labels"], len(one["abuse"])) for one in judged if "labels" in one]
    episodes = sum(count for _, count in parts)
    return round(100 * sum(part["found_before"] - part["found_after"] for part, _ in parts) / episodes, 1) if episodes else None


def mean(group: Iterable[Mapping[str, Any]], name: str) -> float | None:
    """Return the mean of a figure over those that have it, None if none has."""
    values = [one[name] for one in group if one.get(name) is not None]
    return round(sum(values) / len(values), 3) if values else None


def share(values: Iterable[bool]) -> dict[str, Any]:
    """Return how many of how many, the share, and its 95 % interval after Wilson."""
    told = list(values)
    yes, n = sum(told), len(told)
    if not n:
        return {"yes": 0, "of": 0, "share": None, "from": None, "to": None}
    z, p = 1.96, yes / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low, high = max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)
    return {"yes": yes, "of": n, "share": round(p, 3), "from": round(low, 3), "to": round(high, 3)}
