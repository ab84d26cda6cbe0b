"""Worlds are scored by episode: what counts as found, as false, as quiet, and why something was missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.evaluate import scenarios, scenarios_score, scenarios_table
from custodes.evaluate.scenarios_score import Seen, Told, World

START = datetime(2026, 7, 6, tzinfo=UTC)


def episode(name: str = "S01-1", reads: tuple[str, ...] = ("r0", "r1", "r2"), **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "abuse",
        "scenario": name.partition("-")[0],
        "truth": dict.fromkeys(reads, "abuse"),
        "actors": ["a"],
        "subjects": ["s0", "s1", "s2"],
        "linked": [],
        "codes": ["V2", "V5"],
        "rules": ["D09", "D02"],
        "missing": ["E2:case_scope.subject"],
        "evidence": [{"table": "cases", "key": "k1"}],
        "explained_by": [],
        "outcome": None,
        **changes,
    }


def twin(outcome: str = "quiet", reads: tuple[str, ...] = ("b0", "b1")) -> dict[str, Any]:
    return episode("B01-1", reads, kind="benign", outcome=outcome, explained_by=["E2"], codes=[], rules=[], missing=[], evidence=[])


def told(*accesses: str, **changes: Any) -> Told:
    given_ = {
        "rank": 1,
        "level": "high",
        "shown": True,
        "codes": ("V2",),
        "rules": ("D09",),
        "missing": frozenset({"E2:case_scope.subject"}),
        "evidence": frozenset({("cases", "k1")}),
        "accesses": frozenset(accesses),
        "actors": frozenset({"a"}),
        "subjects": frozenset({"s0", "s1", "s2"}),
        "linked": frozenset(),
        "loud": frozenset(accesses),
        "explained_by": frozenset(),
    }
    return Told(**(given_ | changes))


def company(*episodes: dict[str, Any]) -> World:
    """Reads r0–r9 are of actor a, b0–b9 of actor b, x0–x9 of actor x; each touches the subject of its number."""
    names = [f"{letter}{number}" for letter in "rbx" for number in range(10)]
    pairs = {name: frozenset({("a" if name[0] == "r" else name[0], f"s{name[1]}")}) for name in names}
    times = {name: START + timedelta(hours=place) for place, name in enumerate(names)}
    return World(tuple(episodes), pairs, times, staff=100, days=30, events=10, pending=())


def seen(*campaigns: Told, loud: tuple[frozenset[str], ...] = ()) -> Seen:
    return Seen(campaigns, loud, (), "cold")


def test_a_campaign_with_a_third_of_the_pairs_and_mostly_its_own_finds_the_episode() -> None:
    figures = scenarios_score.score(company(episode()), seen(told("r0")))
    (one,) = figures["abuse"]
    assert one["found"]
    assert one["rank"] == 1
    assert one["first_code"]
    assert not one["all_codes"]
    assert one["codes_absent"] == ["V5"]
    assert (one["missing"], one["evidence"], one["actor_f1"], one["direct_f1"], one["linked_f1"]) == (1, 1, 1, 1, None)
    assert figures["false"]["shown"] == 0


@pytest.mark.parametrize(
    ("reads", "accesses", "why"),
    [
        (("r0", "r1", "r2"), ("r0", "x1", "x2"), "grouping: swallowed"),
        (tuple(f"r{n}" for n in range(10)), ("r0", "r1"), "rule: only 2 of 10"),
        (("r0", "r1"), ("x1",), "no rule"),
    ],
)
def test_too_small_a_part_or_too_much_else_is_a_miss_that_is_named(reads, accesses, why) -> None:
    (one,) = scenarios_score.score(company(episode(reads=reads)), seen(told(*accesses)))["abuse"]
    assert not one["found"]
    assert one["why"].startswith(why)


def test_an_episode_in_splinters_is_a_miss_of_grouping() -> None:
    reads = tuple(f"r{n}" for n in range(10))
    parts = [told(name, "x1", "x2", rank=rank) for rank, name in enumerate(reads[:5], 1)]
    (one,) = scenarios_score.score(company(episode(reads=reads)), seen(*parts))["abuse"]
    assert one["why"].startswith("grouping: split over 5")


def test_what_the_budget_cut_is_not_found() -> None:
    (one,) = scenarios_score.score(company(episode()), seen(told("r0", "r1", shown=False)))["abuse"]
    assert not one["found"]
    assert one["why"].startswith("budget")


def test_one_campaign_finds_one_episode_the_one_it_overlaps_most() -> None:
    both = company(episode("S01-1", ("r0", "r1")), episode("S02-1", ("r2", "r3", "r4")))
    first, second = scenarios_score.score(both, seen(told("r0", "r1", "r2", "r3", "r4")))["abuse"]
    assert not first["found"]
    assert second["found"]


def test_a_twin_is_loud_only_by_findings_at_medium_over_its_own_accesses() -> None:
    world = company(twin())
    (quiet,) = scenarios_score.score(world, seen(told("b0", "x1", loud=frozenset({"x1"}))))["innocent"]
    (loud,) = scenarios_score.score(world, seen(told("b0", "x1", loud=frozenset({"b0"}))))["innocent"]
    assert quiet["quiet"]
    assert not loud["quiet"]
    assert loud["loud_rules"] == ["D09"]


def test_help_without_a_ticket_must_rank_below_every_hit() -> None:
    world = company(episode(), twin("below"))
    above = [told("b0", rank=1, level="low", loud=frozenset()), told("r0", "r1", rank=2)]
    below = [told("b0", rank=3, level="low", loud=frozenset()), told("r0", "r1", rank=2)]
    assert not scenarios_score.score(world, seen(*above))["innocent"][0]["quiet"]
    assert scenarios_score.score(world, seen(*below))["innocent"][0]["quiet"]


def test_false_campaigns_and_findings_are_counted_against_the_innocent() -> None:
    world = company(episode())
    run = seen(told("r0"), told("x1", "x2", rank=2), told("x3", rank=3, level="low"), loud=(frozenset({"r0"}), frozenset({"x1"})))
    false = scenarios_score.score(world, run)["false"]
    assert (false["shown"], false["loud"], false["loud_findings"], false["benign_accesses"]) == (2, 1, 1, 27)
    assert false["loud_per_30_days"] == 1
    assert false["loud_findings_per_1000_benign"] == round(1000 / 27, 3)


def test_what_could_not_be_judged_counts_nowhere_and_is_named() -> None:
    judged = {"scenario": "S01", "seed": 3, **scenarios_score.score(company(episode()), seen(told("r0")))}
    figures = scenarios.totals([judged, {"scenario": "S17", "seed": 3, "not_judged": "it does not fit"}])
    assert figures["not_judged"] == {"S17, seed 3": "it does not fit"}
    assert (figures["overall"]["found"]["yes"], figures["overall"]["found"]["of"]) == (1, 1)
    assert "S17" not in figures["abuse"]


def test_a_trigger_is_in_time_within_72_hours_and_false_ones_count_by_events() -> None:
    body = episode(codes=["V10"])
    late, early = (scenarios_score.score(company(body), seen(told("r0"), told("x1", rank=2, codes=("V10",)))) for _ in range(2))
    late["abuse"][0]["detected"] = {"reads": 3, "of": 3, "hours": 72.1}
    early["abuse"][0]["detected"] = {"reads": 2, "of": 3, "hours": 72.0}
    worlds = [{"scenario": "S06", "seed": seed, **figures} for seed, figures in enumerate((late, early))]
    overall = scenarios.totals(worlds)["overall"]
    assert (overall["trigger_in_time"]["yes"], overall["trigger_in_time"]["of"]) == (1, 2)
    assert overall["trigger_false_per_100_events"] == 10


def test_the_table_says_what_the_figures_say() -> None:
    worlds = [
        {"scenario": "S01", "seed": 3, **scenarios_score.score(company(episode(), twin()), seen(told("r0")))},
        {"scenario": "S01", "seed": 4, **scenarios_score.score(company(episode(), twin()), seen())},
        {"scenario": "S17", "seed": 3, "not_judged": "it does not fit"},
    ]
    head = {"size": "tiny", "level": "medium", "seeds": [3, 4], "twins": 1, "goals": scenarios.GOALS}
    text = "\n".join(scenarios_table.lines(head | scenarios.totals(worlds)))
    for part in ("S01       1/2", "missed: no rule", "B01   quiet 2/2", "goal 0.9", "not judged: S17, seed 3: it does not fit"):
        assert part in text


@given(st.lists(st.booleans(), max_size=60))
def test_the_interval_of_a_share_holds_the_share(values: list[bool]) -> None:
    told_ = scenarios.share(values)
    if not values:
        assert told_["share"] is None
    else:
        assert 0 <= told_["from"] <= told_["share"] + 0.0005
        assert told_["share"] - 0.0005 <= told_["to"] <= 1


@given(st.sets(st.sampled_from("abcdef")), st.frozensets(st.sampled_from("abcdef")))
def test_f1_is_one_only_for_the_same_set(wanted: set[str], named: frozenset[str]) -> None:
    value = scenarios_score.f1(wanted, named)
    if value is None:
        assert not wanted
        assert not named
    else:
        assert (value == 1) == (wanted == named)
        assert (value == 0) == (not wanted & named)
