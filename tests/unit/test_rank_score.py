"""The cold-start score orders; more context never raises it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from custodes.rank.score import FEATURES, Reference

ROWS = st.lists(st.tuples(*[st.integers(0, 20)] * len(FEATURES)), min_size=1, max_size=60)


@given(ROWS, st.tuples(*[st.integers(0, 20)] * len(FEATURES)), st.integers(0, len(FEATURES) - 1), st.integers(1, 5))
def test_more_context_never_raises_the_score(rows: list[tuple[int, ...]], look: tuple[int, ...], feature: int, more: int) -> None:
    reference = Reference(rows)
    known = tuple(value + more if index == feature else value for index, value in enumerate(look))
    assert reference.per_mille(known) <= reference.per_mille(look)


def test_a_look_unlike_all_explained_ones_is_at_the_top() -> None:
    reference = Reference([(3, 2, 4, 50, 900)] * 50)
    assert reference.per_mille((0, 0, 0, 0, 0)) == 1000
    assert reference.per_mille((9, 9, 9, 99, 999)) == 0


def test_without_any_explained_look_nothing_is_called_usual() -> None:
    assert Reference([]).per_mille((0, 0, 0, 0, 0)) == 1000


def test_no_country_feature() -> None:
    assert not [name for name in FEATURES if "country" in name or "region" in name]
