"""The score orders looks that nothing explains; more context never raises it, trained or not; country and person play no part."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.errors import PartMissing
from custodes.rank import features, plain, score, trained
from custodes.rank.features import CONTEXT, COUNTS, FEATURES, TAIL
from custodes.rank.tail import Reference, Scale

ROWS = st.lists(st.tuples(*[st.integers(0, 20)] * len(TAIL)), min_size=1, max_size=60)
LOOK = st.tuples(*[st.integers(0, 1000)] * len(FEATURES))


@given(ROWS, st.tuples(*[st.integers(0, 20)] * len(TAIL)), st.integers(0, len(TAIL) - 1), st.integers(1, 5))
def test_more_context_never_raises_the_cold_score(
    rows: list[tuple[int, ...]], look: tuple[int, ...], feature: int, more: int
) -> None:
    reference = Reference(rows)
    known = tuple(value + more if index == feature else value for index, value in enumerate(look))
    assert reference.tail_sum(known) <= reference.tail_sum(look)


@cache
def _model() -> trained.Model:
    """Learned from looks in which context is, on purpose, the wrong way round half of the time."""
    pytest.importorskip("sklearn")
    random = Random(5)
    real = [[random.randrange(200) for _ in FEATURES] for _ in range(600)]
    drawn = [
        [random.randrange(100) if place % 2 else random.randrange(100, 400) for place, _ in enumerate(FEATURES)] for _ in range(600)
    ]
    return trained.Model(real, drawn, FEATURES)


@given(LOOK, st.sampled_from(sorted(CONTEXT)), st.integers(1, 500))
def test_more_context_never_raises_the_score(look: tuple[int, ...], feature: str, more: int) -> None:
    known = tuple(value + more if name == feature else value for name, value in zip(FEATURES, look, strict=True))
    before, after = _model().margins([look, known])
    assert after <= before
    before_mille, after_mille = _model().per_mille([look, known])
    assert after_mille <= before_mille


def test_the_trained_score_tells_the_classes_apart_and_is_the_same_again() -> None:
    random = Random(1)
    real = [[random.randrange(5, 30) for _ in FEATURES] for _ in range(400)]
    drawn = [[random.randrange(8) for _ in FEATURES] for _ in range(400)]
    one, other = trained.Model(real, drawn, FEATURES), trained.Model(real, drawn, FEATURES)
    assert trained.area(one.margins(real), one.margins(drawn)) > 0.99
    assert one.margins(real[:50]) == other.margins(real[:50])


def test_a_subject_whom_nobody_ever_had_a_reason_to_open_is_not_taken_for_usual() -> None:
    pytest.importorskip("sklearn")
    random = Random(2)
    counts = [name in COUNTS for name in FEATURES]
    real = [[random.randrange(1, 30) for _ in FEATURES] for _ in range(400)]
    drawn = [[random.randrange(1, 30) if count else random.randrange(3) for count in counts] for _ in range(400)]
    model = trained.Model(real, drawn, FEATURES)
    unknown = score._opened((0,) * len(FEATURES))
    known = tuple(0 if count else 10 for count in counts)
    assert [FEATURES[place] for place, value in enumerate(unknown) if value] == ["cn", "tn", "people"]
    assert model.margins([unknown])[0] > model.margins([score._opened(known)])[0]
    assert score._opened(tuple(real[0])) == tuple(real[0])


def test_too_few_looks_are_said() -> None:
    pytest.importorskip("sklearn")
    with pytest.raises(PartMissing, match="needs 300 looks of each class, and has 10 and 400"):
        trained.Model([[0] * len(FEATURES)] * 10, [[0] * len(FEATURES)] * 400, FEATURES)


def test_without_the_library_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    with pytest.raises(PartMissing, match="needs scikit-learn"):
        trained.library()


def test_no_country_feature() -> None:
    words = {**CONTEXT, **COUNTS}
    assert set(words) == set(FEATURES)
    personal = ("country", "region", "entity", "employer", "manager", "age", "gender", "tenure", "site")
    assert not [name for name, told in words.items() if any(word in f"{name} {told}".split() for word in personal)]
    sql = " ".join((*features._STATE, *features._ON_SUBJECT, *features._SHARED, *features._TEAMS, features._FEATURES))
    assert "country" not in sql


def test_every_feature_of_context_has_its_direction_and_counts_have_none() -> None:
    assert [trained.direction(name) for name in FEATURES] == [-1] * len(CONTEXT) + [0] * len(COUNTS)
    assert set(TAIL) <= set(CONTEXT)


def test_a_recipe_names_the_sample_of_a_large_window_and_all_its_relations_are_context() -> None:
    assert set(plain.FEATURES) == trained.PLAIN
    assert [trained.direction(name) for name in plain.FEATURES] == [-1] * len(plain.FEATURES)
    whole = trained.Recipe("2026-01-01", "2026-03-01", 0, plain.FEATURES, "scikit-learn 1")
    part = trained.Recipe("2026-01-01", "2026-03-01", 0, plain.FEATURES, "scikit-learn 1", "the first 6000 of 500000 looks")
    assert whole.digest() != part.digest()
    assert "sample" not in whole.as_values()
    assert part.as_values()["sample"] == "the first 6000 of 500000 looks"


@pytest.mark.parametrize("count", [0, 20_000, 50_000, 10_000_000])
def test_a_sample_reads_about_twice_as_many_ids_as_it_takes(count: int) -> None:
    condition = plain._below("access_id", "x-", count, 20_000)
    if count <= 40_000:
        assert condition == "true"
        return
    word = condition.removeprefix("access_id < 'x-").removesuffix("'")
    place = 0
    for letter in word:
        place = place * 32 + "234567abcdefghijklmnopqrstuvwxyz".index(letter)
    assert 0.99 < place / 32**4 * count / 40_000 <= 1.0


def test_a_look_unlike_all_others_is_at_the_top_of_the_scale() -> None:
    scale = Scale([0.5] * 50 + [2.0] * 50)
    assert [scale.per_mille(value) for value in (0.1, 0.5, 1.0, 2.0, 3.0)] == [0, 0, 500, 500, 1000]


def test_without_anything_to_compare_with_nothing_is_called_usual() -> None:
    assert Scale([]).per_mille(0.0) == 1000
    assert Reference([]).tail_sum((0,) * len(TAIL)) == 0.0


def test_the_recipe_has_one_digest_and_each_part_changes_it() -> None:
    recipe = trained.Recipe("2026-01-01", "2026-03-01", 0, FEATURES, "scikit-learn 1")
    assert recipe.digest() == trained.Recipe("2026-01-01", "2026-03-01", 0, FEATURES, "scikit-learn 1").digest()
    assert recipe.digest() != trained.Recipe("2026-01-01", "2026-03-01", 1, FEATURES, "scikit-learn 1").digest()
    assert recipe.digest() != trained.Recipe("2026-01-01", "2026-03-01", 0, FEATURES[:-1], "scikit-learn 1").digest()


def test_area_counts_ties_half() -> None:
    assert trained.area([0.0, 1.0], [1.0, 2.0]) == 0.875
    assert trained.area([1.0], [1.0]) == 0.5
