"""The order in words: only relations, the weightiest first, told by the measure that ordered, and never more than it did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from custodes.model.finding import Campaign, Finding
from custodes.rank import plain
from custodes.rank.features import CONTEXT, COUNTS, FEATURES, TAIL
from custodes.rank.reasons import ABSENT, MOST, Reasoned, Yardstick
from custodes.rank.tail import Reference

TIME = datetime(2026, 3, 2, 9, tzinfo=UTC)
USUAL = {"own": 1, "assigned": 1, "assigned_n": 40, "any_team": 1, "mate": 3, "collab": 2, "aprod": 30, "people": 4, "cn": 9}
ROW = tuple(USUAL.get(name, 0) for name in FEATURES)
ROWS = st.lists(st.tuples(*[st.integers(0, 9)] * len(FEATURES)), min_size=1, max_size=40)


def _but(**values: int) -> tuple[int, ...]:
    return tuple(values.get(name, value) for name, value in zip(FEATURES, ROW, strict=True))


def _weighed(**weights: int) -> Yardstick:
    """Return a yardstick whose measure falls with each relation by its weight."""

    def measure(rows: object) -> list[float]:
        return [-sum(weights.get(name, 0) * value for name, value in zip(FEATURES, row, strict=True)) for row in rows]  # type: ignore[attr-defined]  # rows of numbers

    return Yardstick(FEATURES, ROW, measure)


def _finding(name: str, *leaves: int, score: int = 900) -> Finding:
    return Finding(
        *(name, "D01", 1, "t", "low", "low", ("a",), ("s",), ("x",), leaves, TIME, TIME, "words"),
        score=score,
    )


def _campaign(*findings: str) -> Campaign:
    return Campaign(
        *("c-1", 1, "low", 900, "words", (), (), (), findings, ("x",), ("a",), ("s",), (), (), (), (), TIME, TIME, (), "route")
    )


def test_each_relation_that_is_scored_has_words_for_its_absence_and_no_count_has() -> None:
    assert set(ABSENT) == {*CONTEXT, *plain.FEATURES}
    assert not set(ABSENT) & set(COUNTS)
    assert set(plain.WORDS) == set(plain.FEATURES)


def test_words_name_no_attribute_of_a_person() -> None:
    said = " ".join((*ABSENT.values(), *CONTEXT.values(), *plain.WORDS.values())).split()
    assert not {"country", "region", "site", "employer", "tenure", "age", "gender", "manager", "role"} & set(said)


def test_a_stranger_to_the_subject_is_told_by_the_relations_that_weigh_most() -> None:
    row = _but(assigned=0, assigned_n=0, any_team=0, collab=0)
    told = _weighed(any_team=9, assigned=1, collab=2).reasons([row])[row]
    assert told == ("none of the actor's teams was ever on the subject", "nobody on the subject had worked with the actor")


def test_a_weak_relation_is_told_in_numbers_beside_what_is_usual() -> None:
    row = _but(aprod=2)
    assert _weighed(aprod=1).reasons([row])[row] == (
        "earlier work of the actor on this kind of thing: 2, where half of the looks have 30 or more",
    )


def test_where_nobody_else_is_known_nothing_is_said_about_others() -> None:
    row = _but(mate=0, collab=0, people=0, own=0, cn=0)
    told = _weighed(mate=5, collab=4, own=3).reasons([row])[row]
    assert told == ("nobody else is known to have worked on the subject", "the actor had not worked on the subject before")


def test_what_the_measure_does_not_weigh_is_not_told() -> None:
    row = _but(own=0, any_team=0)
    assert _weighed(own=1).reasons([row])[row] == ("the actor had not worked on the subject before",)
    assert _weighed(own=1).reasons([ROW])[ROW] == ()


@given(ROWS, st.tuples(*[st.integers(0, 9)] * len(FEATURES)))
def test_reasons_are_few_and_fall_away_with_the_relations(known: list[tuple[int, ...]], row: tuple[int, ...]) -> None:
    reference = Reference([tuple(one[FEATURES.index(name)] for name in TAIL) for one in known])
    yardstick = Yardstick.of(
        FEATURES, known, lambda rows: [reference.tail_sum(tuple(one[FEATURES.index(name)] for name in TAIL)) for one in rows]
    )
    told = yardstick.reasons([row])[row]
    assert len(told) <= MOST
    assert len(set(told)) == len(told)
    raised = tuple(max(value, usual) for value, usual in zip(row, yardstick.typical, strict=True))
    assert yardstick.reasons([raised])[raised] == ()


def test_a_finding_tells_of_its_most_unusual_look_and_names_the_recipe_that_ordered_it() -> None:
    stranger = _but(any_team=0)
    reasoned = Reasoned({1: 200, 2: 900}, {1: ROW, 2: stranger}, _weighed(any_team=1), "ab" * 32)
    campaigns, findings = reasoned.tell([_campaign("f-1", "f-2")], {"f-1": _finding("f-1", 1, 2), "f-2": _finding("f-2", 7)})
    assert findings["f-1"].score_reasons == ("none of the actor's teams was ever on the subject",)
    assert findings["f-1"].score_recipe == "ab" * 32
    assert findings["f-2"] == _finding("f-2", 7), "nothing without a reason is in it: the score did not order it"
    assert campaigns == [replace(_campaign("f-1", "f-2"), score_reasons=findings["f-1"].score_reasons)]


def test_a_window_without_looks_gives_no_reasons() -> None:
    assert Yardstick.of(FEATURES, [], lambda rows: [0.0 for _ in rows]).reasons([ROW])[ROW] == ()
