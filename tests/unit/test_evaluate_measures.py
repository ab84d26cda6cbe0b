"""Plain measures of an order: recall at a budget, calibration, spread."""

from __future__ import annotations

from datetime import date
from random import Random

from custodes.evaluate.measures import calibration, recall_at, spread

DAY = date(2012, 5, 3)


def test_a_perfect_order_finds_all_and_a_reversed_one_none() -> None:
    real, planted = {DAY: [0.0] * 200}, {DAY: [1.0] * 9}
    assert recall_at((5, 20), real, planted, Random(1)) == [1.0, 1.0]
    assert recall_at((20,), real, {DAY: [-1.0] * 9}, Random(1)) == [0.0]


def test_ties_are_broken_by_chance_and_quiet_days_are_left_out() -> None:
    real, planted = {DAY: [0.0] * 95 + [0.0] * 5}, {DAY: [0.0] * 50}
    (found,) = recall_at((21,), real, planted, Random(1))
    assert 0.05 < found < 0.4
    assert recall_at((20,), {DAY: [0.0] * 99}, planted, Random(1)) == [0.0]


def test_calibration_is_nothing_where_promise_and_share_agree() -> None:
    assert calibration([0] * 90, [1000] * 90) == 0.0
    assert calibration([1000] * 10, [0] * 10) == 1.0
    assert calibration([500] * 30, [500] * 90) < 1e-9


def test_one_seed_has_no_spread() -> None:
    assert spread([0.5]) == 0.0
