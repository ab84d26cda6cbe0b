"""Findings become campaigns, campaigns become an order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from custodes.model.finding import Campaign, Evidence, Finding
from custodes.rank.assemble import Facts, Place, rank, route
from custodes.rank.campaigns import BROAD, group
from custodes.rank.order import lot, within_budget
from custodes.rank.sentence import campaign_sentence, common_unit, listed

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def finding(name: str, actor: str, *subjects: str, level: str = "medium", day: float = 0, **more: object) -> Finding:
    time = START + timedelta(days=day)
    base = Finding(
        finding=name,
        rule="D09",
        rule_version=1,
        title="watchdogs",
        level=level,
        confidence="high",
        actors=(actor,),
        subjects=subjects,
        accesses=(f"x-{name}",),
        leaves=(hash(name) % 1000,),
        first=time,
        last=time,
        sentence="…",
    )
    return replace(base, **more)  # type: ignore[arg-type]  # test shorthand


FACTS = Facts(
    fieldset={},
    fields={},
    categories={},
    places={"a-1": Place("audit/internal/austin", "US"), "a-2": Place("audit/internal/beijing", "CN")},
    scores={},
    outside_units=("privacy/office", "oversight"),
    codes_first={},
)


def names(groups: list[list[Finding]]) -> list[set[str]]:
    return [{member.finding for member in members} for members in groups]


def test_strong_findings_about_one_pair_are_one_campaign() -> None:
    assert names(group([finding("f1", "a-1", "s-1"), finding("f2", "a-1", "s-1", day=20)], {})) == [{"f1", "f2"}]


def test_a_shared_subject_alone_binds_no_strangers() -> None:
    assert len(group([finding("f1", "a-1", "s-1"), finding("f2", "a-2", "s-1")], {})) == 2


def test_a_finding_about_a_group_binds_its_actors() -> None:
    ring = finding("ring", "a-1", "s-1", actors=("a-1", "a-2"))
    assert len(group([finding("f1", "a-1", "s-1"), finding("f2", "a-2", "s-1"), ring], {})) == 1


def test_findings_are_of_one_matter_if_they_share_half_of_what_the_smaller_one_tells() -> None:
    border = finding("border", "a-1", *(f"s-{number}" for number in range(12)), rule="D05")

    def tickets(shared: int) -> Finding:
        subjects = [*(f"s-{number}" for number in range(shared)), *(f"t-{number}" for number in range(14))]
        return finding("tickets", "a-1", *subjects, rule="D21")

    assert names(group([border, tickets(6)], {})) == [{"border", "tickets"}]
    assert len(group([border, tickets(5)], {})) == 2


def test_a_weak_finding_joins_what_tells_at_least_half_of_it() -> None:
    loud = finding("loud", "a-1", "s-1", level="high")
    for others, together in ((1, 1), (2, 2)):
        weak = finding("weak", "a-1", "s-1", *(f"t-{number}" for number in range(others)), rule="D21", level="low")
        assert len(group([loud, weak], {})) == together


def test_people_linked_to_somebody_are_told_with_this_somebody() -> None:
    loud = finding("loud", "a-1", "s-1", rule="D10", level="high")
    ball = finding("ball", "a-1", "s-1", rule="D03", level="low", linked_subjects=("l-1", "l-2", "l-3"))
    assert names(group([loud, ball], {})) == [{"loud", "ball"}]


MANY = tuple(f"s-{number}" for number in range(BROAD))


def test_what_speaks_of_very_many_people_swallows_nothing_that_speaks_of_one() -> None:
    broad, narrow = finding("broad", "a-1", *MANY, rule="D12"), finding("narrow", "a-1", "s-1", rule="D02", level="high")
    assert sorted(map(sorted, names(group([broad, narrow], {})))) == [["broad"], ["narrow"]]
    assert names(group([finding("few", "a-1", *MANY[1:], rule="D12"), narrow], {})) == [{"few", "narrow"}]


def test_breadth_by_two_rules_is_one_matter_and_holds_the_actors_weak_findings_of_nothing_else() -> None:
    broad = [finding("broad", "a-1", *MANY, rule="D12"), finding("slow", "a-1", *MANY[::-1], "s-x", rule="D13", day=20)]
    narrow = finding("narrow", "a-1", "s-1", rule="D02", level="high")
    weak = [finding("w1", "a-1", "s-1", rule="D01", level="low"), finding("w2", "a-1", "s-2", rule="D01", level="low")]
    assert sorted(map(sorted, names(group([*broad, narrow, *weak], {})))) == [["broad", "slow", "w2"], ["narrow", "w1"]]


def test_a_note_that_nothing_was_missing_names_nobody_in_a_loud_campaign() -> None:
    loud = finding("f1", "a-1", "s-1", level="high", codes=("V5",))
    met = finding("f2", "a-1", "s-1", level="note", actors=("a-1", "a-2", "a-3"))
    unexplained = finding("f3", "a-1", "s-1", level="note", codes=("V1",))
    broken = replace(met, finding="f4", codes=("V3",), flagged=("V3",))
    own = replace(met, finding="f5", actors=("a-1",))
    assert names(group([loud, met, unexplained, broken, own], {})) == [{"f1", "f3", "f5"}, {"f2", "f4"}]


def test_a_pause_longer_than_a_month_parts_them() -> None:
    assert len(group([finding("f1", "a-1", "s-1"), finding("f2", "a-1", "s-1", day=31)], {})) == 2


def test_the_same_broken_reason_binds_actors_who_share_no_subject() -> None:
    found = [finding("f1", "a-1", "s-1", leaves=(1,)), finding("f2", "a-2", "s-2", leaves=(2,))]
    reason = (("cases", "K-1"),)
    assert len(group(found, {1: reason, 2: reason})) == 1
    assert len(group(found, {1: reason})) == 2


def test_evidence_that_nobody_cited_binds_nobody() -> None:
    near = {"evidence": (Evidence("tickets", "T-1"),)}
    assert len(group([finding("f1", "a-1", "s-1", **near), finding("f2", "a-2", "s-2", **near)], {})) == 2


def test_a_copy_binds_the_exporter_and_the_opener() -> None:
    assert len(group([finding("f1", "a-1", "s-1", derived=("o-1",)), finding("f2", "a-2", derived=("o-1",))], {})) == 1


def test_looks_that_made_and_opened_the_same_copy_are_bound_whatever_the_rule_names() -> None:
    found = [finding("f1", "a-1", "s-1", leaves=(1,)), finding("f2", "a-2", "s-2", leaves=(2,))]
    assert len(group(found, {}, {1: ("o-1",), 2: ("o-1",)})) == 1
    assert len(group(found, {}, {1: ("o-1",), 2: ("o-2",)})) == 2


def test_a_weak_finding_joins_what_is_told_of_a_copy_if_half_of_its_looks_made_or_opened_it() -> None:
    told = finding("f1", "a-1", leaves=(1, 2), derived=("c",))
    weak = [finding("f2", "a-1", level="low", leaves=(1, 3)), finding("f3", "a-1", level="note", leaves=(2, 4, 5), day=1)]
    copies = {1: ("c",), 2: ("c",)}
    assert names(group([told, weak[0]], {}, copies)) == [{"f1", "f2"}]
    assert names(group([told, weak[1]], {}, copies)) == [{"f1"}, {"f3"}]


def test_one_rule_that_sees_the_same_actor_again_makes_one_campaign() -> None:
    found = [finding("f1", "a-1", "s-1"), finding("f2", "a-1", "s-2")]
    assert len(group(found, {})) == 1
    assert len(group([found[0], replace(found[1], rule="D02")], {})) == 2
    assert len(group([found[0], replace(found[1], level="low")], {})) == 2
    assert len(group([replace(one, actors=("unknown",)) for one in found], {})) == 2
    assert len(group([replace(one, actors=("a-1", f"a-{one.finding}")) for one in found], {})) == 2


def test_a_ring_too_weak_to_be_told_alone_binds_the_actors_whom_it_ties() -> None:
    ring = finding("ring", "a-1", "s-1", "s-2", actors=("a-1", "a-2"), level="low", codes=("V9",))
    found = [finding("f1", "a-1", "s-1"), finding("f2", "a-2", "s-2")]
    assert len(group([*found, ring], {})) == 1
    assert len(group([*found, replace(ring, flagged=("V9",))], {})) == 3


def test_weak_findings_do_not_glue_campaigns_together() -> None:
    weak = finding("w", "a-3", "s-1", "s-2", level="low")
    assert len(group([finding("f1", "a-1", "s-1"), finding("f2", "a-2", "s-2"), weak], {})) == 3


def test_a_weak_finding_joins_the_campaign_of_its_own_actor_and_subject() -> None:
    assert names(group([finding("f1", "a-1", "s-1"), finding("w", "a-1", "s-1", level="note", day=2)], {})) == [{"f1", "w"}]


def test_weak_findings_of_one_pair_are_one_campaign() -> None:
    assert len(group([finding("w1", "a-1", "s-1", level="note"), finding("w2", "a-1", "s-1", level="note", day=3)], {})) == 1


@given(
    st.permutations(range(12)), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=12, max_size=12)
)
def test_the_order_of_findings_changes_no_campaign(order: list[int], drawn: list[tuple[int, int, bool]]) -> None:
    found = [
        finding(f"f{i}", f"a-{actor}", f"s-{subject}", level="medium" if strong else "note", day=i)
        for i, (actor, subject, strong) in enumerate(drawn)
    ]
    shuffled = [found[i] for i in order]
    assert rank(found, FACTS) == rank(shuffled, FACTS)


def test_level_comes_before_weight_and_ranks_count_from_one() -> None:
    many = [finding(f"m{i}", "a-1", f"s-{i}") for i in range(3)]
    ranked = rank([*many, finding("h", "a-2", "s-9", level="high")], FACTS)
    assert [campaign.level for campaign in ranked.campaigns][:1] == ["high"]
    assert [campaign.rank for campaign in ranked.campaigns] == list(range(1, len(ranked.campaigns) + 1))


def test_linked_subjects_are_told_apart_and_not_repeated() -> None:
    direct = finding("f1", "a-1", "s-1")
    linked = finding("f2", "a-1", "s-1", "s-2", "s-3", linked_subjects=("s-2", "s-3"), codes=("V6",))
    campaign = rank([direct, linked], FACTS).campaigns[0]
    assert campaign.subjects == ("s-1",)
    assert campaign.linked_subjects == ("s-2", "s-3")


def test_findings_about_a_unit_are_routed_outside_its_line() -> None:
    assert route(["audit/internal/austin"], ("privacy/office", "oversight")) == "privacy/office"
    assert route(["privacy/office/dublin"], ("privacy/office", "oversight")) == "oversight"
    assert "outside overseer" in route(["privacy/office/dublin"], ("privacy/office",))


def _campaign(name: str, position: int, day: int) -> Campaign:
    base = rank([finding(name, "a-1", "s-1")], FACTS).campaigns[0]
    return replace(base, campaign=name, rank=position, last=START + timedelta(days=day))


def test_budget_counts_campaigns_a_week_and_says_what_was_cut() -> None:
    ranked = [_campaign(f"c{i}", i + 1, 0) for i in range(5)] + [_campaign("later", 6, 8)]
    leads = {campaign.campaign: "D01" for campaign in ranked}
    shown, cut = within_budget(ranked, leads, budget=3, quotas={})
    assert [campaign.campaign for campaign in shown] == ["c0", "c1", "c2", "later"]
    assert cut == {"D01": 2}


def test_no_rule_fills_the_page() -> None:
    ranked = [_campaign(f"c{i}", i + 1, 0) for i in range(4)]
    leads = {"c0": "D01", "c1": "D01", "c2": "D01", "c3": "D09"}
    shown, cut = within_budget(ranked, leads, budget=10, quotas={"D01": 2})
    assert [campaign.campaign for campaign in shown] == ["c0", "c1", "c3"]
    assert cut == {"D01": 1}


def test_what_a_rule_saw_comes_before_what_stands_against_the_reasons_cited() -> None:
    """A bulk reader who also cites a ticket of their own making: the matter is the bulk."""
    bulk = finding("f1", "a-1", "s-1", codes=("V12", "V3"), flagged=("V3",))
    weak = finding("f2", "a-1", "s-1", level="low", codes=("V1",))
    assert rank([bulk, weak], FACTS).campaigns[0].codes == ("V12", "V1", "V3")


def test_audit_slots_follow_the_checkpoint() -> None:
    assert lot(b"root", 1000, 5) == lot(b"root", 1000, 5)
    assert lot(b"root", 1000, 5) != lot(b"other", 1000, 5)
    assert sorted(lot(b"root", 3, 9)) == [0, 1, 2]


def test_the_sentence_says_who_what_whose_when_and_what_was_missing() -> None:
    said = campaign_sentence(
        actors=["a-1", "a-2"],
        subjects=2,
        linked=14,
        accesses=61,
        units=["audit/internal/austin", "audit/internal/beijing"],
        countries=["CN", "US"],
        categories=["device", "ip_address"],
        codes=["V2", "V5", "V1"],
        reasons=[("cases", "K-7")],
        first=START,
        last=START + timedelta(days=20),
    )
    assert said == (
        "2 actors (audit/internal, CN, US) looked at device and IP address data of 2 subjects and of 14 linked to them 61 times "
        "between 2026-03-02 and 2026-03-22: the case cited (K-7) does not name these subjects; a duty of protection was not met."
    )


def test_the_sentence_says_of_what_was_refused_that_nothing_was_looked_at() -> None:
    parts: dict[str, Any] = {
        "actors": ["a-1"],
        "subjects": 1,
        "linked": 0,
        "accesses": 2,
        "units": ["audit/internal"],
        "countries": [],
        "categories": ["ip_address"],
        "reasons": [],
        "first": START,
        "last": START,
    }
    asked = campaign_sentence(**parts, codes=["V19"], deeds=["asked the guard for"])
    assert asked.startswith("a-1 (audit/internal) asked the guard for IP address data of 1 subject 2 times on 2026-03-02: ")
    both = campaign_sentence(**parts, codes=["V14"], deeds=["asked the guard for", "opened"])
    assert "looked at and asked the guard for IP address data" in both
    assert both.endswith(": an approval came from the wrong person.")


def test_words_are_listed_as_people_say_them() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"
    assert common_unit(["support/tier1/dublin", "fraud/x"]) == "fraud and support"
