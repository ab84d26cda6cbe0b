"""What the record says about itself: holes, silence, newcomers, and the home's own uses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.explain import wholeness
from custodes.home_making import make_home
from custodes.own_use import Names, own_record

START = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001  # times of engines are UTC without a zone
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Stored = tuple[int, str, datetime, int | None, str]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_engine(memory_mb=512, threads=1, directory=tmp_path_factory.mktemp("engine")) as opened:
        yield opened


def _store(engine: Engine, rows: list[Stored], staff: list[tuple[str, datetime | None]] | None = None) -> None:
    """Store (leaf, system, time, seq, actor) rows of one source."""
    table = {
        "leaf": pa.array([row[0] for row in rows], pa.int64()),
        "source": ["log"] * len(rows),
        "seq_of": [row[1] for row in rows],
        "system": [row[1] for row in rows],
        "time": pa.array([row[2] for row in rows], pa.timestamp("us")),
        "seq": pa.array([row[3] for row in rows], pa.int64()),
        "actor": [row[4] for row in rows],
    }
    engine.table("stored_accesses", pa.table(table))
    people = {"actor": pa.array([name for name, _ in staff or []], pa.string())}
    engine.table("staff", pa.table({**people, "joined": pa.array([when for _, when in staff or []], pa.timestamp("us"))}))


def _gaps(engine: Engine) -> list[tuple[object, ...]]:
    wholeness.build_gaps(engine)
    return engine.rows("SELECT kind, system, access, first_missing, last_missing, missing FROM gaps ORDER BY kind, system, access")


def test_missing_numbers_are_told_with_the_access_before_them(engine: Engine) -> None:
    _store(engine, [(7, "crm", START, 1, "a"), (8, "crm", START + HOUR, 4, "a"), (9, "crm", START + 2 * HOUR, 5, "a")])
    assert _gaps(engine) == [("sequence", "crm", 7, 2, 3, 2)]


def test_lines_in_another_order_and_lines_twice_are_no_hole(engine: Engine) -> None:
    _store(
        engine,
        [(7, "crm", START, 2, "a"), (8, "crm", START + HOUR, 1, "a"), (9, "crm", START + HOUR, 2, "a"), (10, "crm", START, 3, "a")],
    )
    assert _gaps(engine) == []


def test_logs_without_numbers_have_no_holes_that_can_be_counted(engine: Engine) -> None:
    _store(engine, [(7, "crm", START, None, "a"), (8, "crm", START + HOUR, None, "a")])
    assert _gaps(engine) == []


@pytest.mark.parametrize(("hours", "told"), [(24, True), (23, False)])
def test_silence_is_more_than_three_times_the_longest_other_pause(engine: Engine, hours: int, told: bool) -> None:
    times = [START + number * HOUR for number in range(120)] + [START + 119 * HOUR + 8 * HOUR]
    after = times[-1] + timedelta(hours=hours, minutes=1)
    rows: list[Stored] = [(number, "crm", time, None, "a") for number, time in enumerate([*times, after, after + HOUR])]
    _store(engine, rows)
    assert [row[:3] for row in _gaps(engine)] == ([("silence", "crm", 120)] if told else [])


def test_a_source_that_stopped_while_others_went_on_is_silent(engine: Engine) -> None:
    ends: list[Stored] = [(number, "crm", START + number * HOUR, None, "a") for number in range(110)]
    goes_on: list[Stored] = [(500 + number, "dwh", START + number * HOUR, None, "a") for number in range(140)]
    _store(engine, [*ends, *goes_on])
    assert [row[:3] for row in _gaps(engine)] == [("silence", "crm", 109)]


def test_newcomers_are_new_in_a_record_that_was_kept_before(engine: Engine) -> None:
    rows: list[Stored] = [
        (1, "crm", START, None, "a-old"),
        (2, "crm", START + 14 * DAY, None, "a-early"),
        (3, "crm", START + 20 * DAY, None, "a-new"),
        (4, "crm", START + 20 * DAY, None, "a-moved-in"),
        (5, "crm", START + 20 * DAY, None, "a-hired"),
    ]
    _store(engine, rows, [("a-moved-in", START - 90 * DAY), ("a-hired", START + 19 * DAY), ("a-new", None)])
    wholeness.build_newcomers(engine)
    found = engine.rows('SELECT actor, "until" FROM newcomers ORDER BY actor')
    assert found == [("a-hired", START + 34 * DAY), ("a-new", START + 34 * DAY)]


def test_a_use_of_custodes_is_recorded_once_an_hour_and_shown_to_rules(tmp_path: Path, engine: Engine) -> None:
    with make_home(tmp_path / "home") as home:
        before = home.log().size
        hour = datetime.now(UTC).hour
        home.note_use("explain", "x-1")
        home.note_use("explain", "x-1")
        home.note_use("explain", "x-2")
        if datetime.now(UTC).hour == hour:  # else the hour turned while this ran
            assert home.log().size == before + 2
        wholeness.build_own(engine, wholeness.Own(own_record(home.own_leaves(), Names(str, str))))
        uses = engine.rows("SELECT kind, what, act, about FROM own_record WHERE what = 'use' ORDER BY leaf")
        who = engine.rows("SELECT DISTINCT actor FROM own_record WHERE what = 'use'")
    assert ("decision", "use", "explain", "x-1") in uses
    assert ("decision", "use", "explain", "x-2") in uses
    assert len(who) == 1
    assert str(who[0][0]).startswith("a-")
