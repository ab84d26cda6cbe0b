"""Whatever scenario, level and seed: an episode keeps to its own rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world_stage import act, mine, staged

from custodes.model.tables import TABLES
from custodes.world.clock import DAY, HOUR, Calendar
from custodes.world.dice import Curve, Dice
from custodes.world.language import LEVELS, library

SHELF = library()
SMALL = [name for name in SHELF.scenarios if name not in {"S14", "S15", "S16"}]


@given(name=st.sampled_from(SMALL), level=st.sampled_from(LEVELS), seed=st.integers(0, 10_000))
def test_every_scenario_plays_at_every_level(name, level, seed):
    episode = staged(SHELF, name, seed=seed, level=level)
    play = episode.play(30 * DAY + 9 * HOUR, 1)
    assert play.accesses
    cast = {one.id for group in episode.cast.values() for one in group}
    for made in play.accesses:
        assert made.staff.id in cast
        assert set(made.access.subjects or ()) <= cast
        assert made.access.action
        assert made.access.system in SHELF.charter.datamap
    for row_name, rows in play.rows.items():
        table = TABLES[episode.scenario.rows[row_name].table]
        for row in rows:
            assert any(row.get(column) for column in table.key), f"{row_name} has no key"
            for column in table.columns:
                if column.kind == "time" and row.get(column.name) is not None:
                    assert isinstance(row[column.name], int)


@given(
    name=st.sampled_from(["S01", "S02", "S03", "S04", "S05", "F01"]), level=st.sampled_from(LEVELS[1:]), seed=st.integers(0, 10_000)
)
def test_the_gate_scenarios_stay_under_twelve_reads_of_one_subject(name, level, seed):
    play = staged(SHELF, name, seed=seed, level=level).play(30 * DAY + 9 * HOUR, 1)
    reads: dict[str, int] = {}
    for made in play.accesses:
        for subject in made.access.subjects or () if made.access.action == "read" else ():
            reads[subject] = reads.get(subject, 0) + 1
    assert max(reads.values(), default=0) <= 12


@given(seed=st.integers(0, 10_000), level=st.sampled_from(LEVELS))
def test_the_same_episode_is_played_the_same_twice(seed, level):
    first, second = (staged(SHELF, "F01", seed=seed, level=level).play(40 * DAY, 1) for _ in range(2))
    assert [(made.time, made.access) for made in first.accesses] == [(made.time, made.access) for made in second.accesses]
    assert first.rows == second.rows


@given(
    actors=st.integers(1, 7),
    subjects=st.integers(1, 9),
    n=st.integers(1, 6),
    per=st.sampled_from(["pair", "subject", "actor", "paired", "set", "total"]),
    pattern=st.sampled_from(["spread", "burst", "off_hours", "session"]),
)
def test_counts_follow_from_per(tmp_path_factory, *, actors, subjects, n, per, pattern):
    cast = {"who": {"is": "actor", "n": actors, "unit": "*"}, "whom": {"is": "subject", "n": subjects, "region": "US"}}
    shelf = mine(tmp_path_factory.mktemp("x"), cast=cast, acts=[act(per=per, n=n, pattern=pattern)])
    made = staged(shelf, "X01").play(30 * DAY, 1).accesses
    wanted = {"pair": actors * subjects, "subject": subjects, "actor": actors, "paired": subjects, "set": 1, "total": 1}
    assert len(made) == n * wanted[per]
    used = {one.staff.id for one in made}
    assert len(used) == min(actors, len(made) if per in ("subject", "set", "total") else {"paired": subjects}.get(per, actors))


@given(seed=st.integers(0, 10_000))
def test_draws_stay_in_their_bounds(seed):
    dice = Dice(seed, "draws")
    assert all(3 <= dice.between(3, 5) <= 5 for _ in range(50))
    assert all(0 <= dice.below(4) < 4 for _ in range(50))
    items = list(range(10))
    dice.shuffle(items)
    assert sorted(items) == list(range(10))
    assert len(set(dice.some(items, 4))) == 4
    assert sorted(dice.some(items, 99)) == list(range(10))
    assert dice.wait(10) >= 0
    curve = Curve((0, 1), (0.5, 4), (1, 100))
    assert 1 <= curve.at(dice.roll()) <= 100.0001


@given(time=st.integers(-400 * DAY, 400 * DAY))
def test_times_are_written_in_order_and_never_rounded_up(time):
    from datetime import datetime, timedelta

    calendar = Calendar(90)
    shown = datetime.fromisoformat(calendar.millis(time))
    exact = datetime.fromisoformat(f"{calendar.begin}T00:00:00+00:00") + timedelta(microseconds=time)
    assert timedelta(0) <= exact - shown < timedelta(milliseconds=1)
    assert timedelta(0) <= exact - datetime.fromisoformat(calendar.seconds(time)) < timedelta(seconds=1)
    assert calendar.begin.weekday() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["S14", "S15", "S16"])
@pytest.mark.parametrize("level", LEVELS)
def test_the_large_scenarios_play_too(name, level):
    assert len(staged(SHELF, name, level=level).play(30 * DAY, 1).accesses) > 200
