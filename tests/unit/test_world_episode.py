"""How the interpreter executes the language: who looks at whom, when, and under which rows."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import pytest
from world_stage import LOOK, act, mine, staged

from custodes.errors import InputError
from custodes.world.clock import DAY, HOUR, MINUTE, SECOND
from custodes.world.episode import statement

T0 = 30 * DAY + 9 * HOUR


def played(folder, *, level="medium", seed=1, **changes):
    episode = staged(mine(folder, **changes), "X01", seed=seed, level=level)
    return episode, episode.play(T0, 1)


@pytest.mark.parametrize(
    ("per", "n", "looks", "subjects_each"),
    [("pair", 2, 24, 1), ("subject", 2, 8, 1), ("actor", 2, 6, 1), ("paired", 2, 8, 1), ("set", 2, 2, 4), ("total", 5, 5, 1)],
)
def test_per_says_who_looks_at_whom(tmp_path, per, n, looks, subjects_each):
    _, play = played(tmp_path, acts=[act(per=per, n=n)])
    assert len(play.accesses) == looks
    assert {len(made.access.subjects) for made in play.accesses} == {subjects_each}


def test_paired_gives_each_subject_the_actor_of_its_turn(tmp_path):
    episode, play = played(tmp_path, acts=[act(per="paired")])
    by_subject = {made.subjects[0].id: made.staff for made in play.accesses}
    whom, who = episode.cast["whom"], episode.cast["who"]
    assert [by_subject[one.id] for one in whom] == [who[0], who[1], who[2], who[0]]


def test_per_subject_lets_every_actor_take_part(tmp_path):
    _, play = played(tmp_path, acts=[act(n=1)])
    assert len({made.staff.id for made in play.accesses}) == 3


def test_on_none_names_nobody(tmp_path):
    _, play = played(tmp_path, acts=[act(on="none", per="total", n=3)])
    assert [made.access.subjects for made in play.accesses] == [None] * 3


def test_spread_stays_in_the_window_and_on_shift(tmp_path):
    _, play = played(tmp_path, acts=[act(n=20)])
    assert all(T0 <= made.time <= T0 + 5.1 * DAY for made in play.accesses)
    assert all(made.staff.on_shift(made.time) for made in play.accesses)


def test_a_service_works_day_and_night_and_on_weekends(tmp_path):
    cast = {"who": {"is": "service", "n": 1, "unit": "sre/platform/austin"}, "whom": {"is": "subject", "n": 1}}
    _, play = played(tmp_path, cast=cast, acts=[act(n=200, to="T0+14d")])
    assert {made.time // DAY % 7 for made in play.accesses} == set(range(7))
    assert len({made.time % DAY // HOUR for made in play.accesses}) == 24


def test_off_hours_are_off_shift(tmp_path):
    _, play = played(tmp_path, acts=[act(n=20, pattern="off_hours")])
    assert not any(made.staff.on_shift(made.time) for made in play.accesses)


def test_burst_lasts_less_than_six_minutes(tmp_path):
    _, play = played(tmp_path, acts=[act(n=3, pattern="burst", to="T0+20m")])
    for subject in {made.subjects[0].id for made in play.accesses}:
        times = [made.time for made in play.accesses if made.subjects[0].id == subject]
        assert max(times) - min(times) < 6 * MINUTE


@pytest.mark.parametrize(("pattern", "length"), [("daily", DAY), ("weekly", 7 * DAY)])
def test_daily_and_weekly_are_distinct_days_and_weeks(tmp_path, pattern, length):
    _, play = played(tmp_path, acts=[act(on="whom.0", n=4, pattern=pattern, to="T0+40d")])
    assert len({made.time // length for made in play.accesses}) == 4


def test_a_session_is_seconds_apart(tmp_path):
    _, play = played(tmp_path, acts=[act(by="who.0", n=10, pattern="session")])
    times = sorted(made.time for made in play.accesses)
    assert all(2 * SECOND <= later - earlier <= 8 * SECOND for earlier, later in itertools.pairwise(times))


def test_cycle_goes_in_turn_split_by_actor_and_a_knob_is_drawn_once(tmp_path):
    columns = {
        **LOOK,
        "fields": {"cycle": [["name"], ["email"]]},
        "system": {"split": ["crm", "admin-tool", "warehouse"]},
        "rows": "$k",
    }
    knobs = {"k": {"easy": 1, "medium": [10, 99], "hard": 1}}
    _, play = played(tmp_path, acts=[act(per="pair", set=columns)], knobs=knobs)
    assert [made.access.fields for made in play.accesses][:4] == [["name"], ["email"], ["name"], ["email"]]
    systems = {made.staff.id: made.access.system for made in play.accesses}
    assert sorted(systems.values()) == ["admin-tool", "crm", "warehouse"]
    assert len({made.access.rows for made in play.accesses}) == 1


def test_a_drawn_number_is_drawn_each_time_and_an_empty_text_is_absent(tmp_path):
    _, play = played(tmp_path, acts=[act(n=20, set={**LOOK, "rows": [1, 99], "purpose": ""})])
    assert len({made.access.rows for made in play.accesses}) > 5
    assert all(1 <= made.access.rows <= 99 and made.access.purpose is None for made in play.accesses)


def test_rows_follow_their_group_and_times_follow_rows(tmp_path):
    rows = [
        {
            "table": "tickets",
            "as": "T1",
            "for": "whom",
            "set": {"subject": "@whom", "inbound": "msg-1", "opened": "T0+0..9d", "closed": "#T1.opened+4..10m"},
        },
        {
            "table": "assignments",
            "as": "N1",
            "for": "whom",
            "set": {"ticket": "#T1", "actor": "@who~", "valid_from": "#T1.opened", "assigned_by": "queue"},
        },
    ]
    looks = [act(per="paired", **{"from": "#T1.opened+1..3m", "to": None}, set={**LOOK, "reason": "#T1"})]
    episode, play = played(tmp_path, rows=rows, acts=looks)
    tickets, assigned = play.rows["T1"], play.rows["N1"]
    assert [row["subject"] for row in tickets] == [one.id for one in episode.cast["whom"]]
    assert [row["ticket"] for row in assigned] == [row["ticket"] for row in tickets]
    assert len({row["inbound"] for row in tickets}) == 4, "each person wrote a message of their own"
    for made in play.accesses:
        ticket = next(row for row in tickets if row["subject"] == made.subjects[0].id)
        assert made.access.reason == ticket["ticket"]
        assert ticket["opened"] + MINUTE <= made.time <= ticket["opened"] + 3 * MINUTE
        assert next(row for row in assigned if row["ticket"] == ticket["ticket"])["actor"] == made.staff.id


def test_acts_follow_acts_whatever_their_order(tmp_path):
    late = act(id="a1", **{"from": "a2.last+1h", "to": "a2.last+40h"})
    early = act(id="a2")
    _, play = played(tmp_path, acts=[late, early])
    first = {made.act: made.time for made in sorted(play.accesses, key=lambda made: -made.time)}
    assert first["a1"] > max(made.time for made in play.accesses if made.act == "a2")


def test_acts_that_wait_for_each_other_are_refused(tmp_path):
    loop = [act(id="a1", **{"from": "a2.last+1h"}), act(id="a2", **{"from": "a1.last+1h"})]
    with pytest.raises(InputError, match="waits for itself"):
        played(tmp_path, acts=loop)


def test_labels_become_fresh_ids_of_the_background_and_stay_the_same_in_one_play(tmp_path):
    columns = {**LOOK, "derived": "obj-1", "device": "dev-b", "reason": "unknown-77"}
    _, play = played(tmp_path, acts=[act(set=columns)])
    assert {len({getattr(made.access, name) for made in play.accesses}) for name in ("derived", "device", "reason")} == {1}
    access = play.accesses[0].access
    assert access.derived.startswith("obj-")
    assert access.derived != "obj-1"
    assert access.reason.startswith("tkt-")


def test_a_fixed_offset_is_blurred_alike_everywhere(tmp_path):
    rows = [
        {"table": "assignments", "as": "N1", "set": {"actor": "@who.0", "valid_to": "T0+8h"}},
        {"table": "assignments", "as": "N2", "set": {"actor": "@who.1", "valid_from": "T0+8h"}},
    ]
    _, play = played(tmp_path, rows=rows, acts=[act()])
    assert play.rows["N1"][0]["valid_to"] == play.rows["N2"][0]["valid_from"]
    assert 0 < abs(play.rows["N1"][0]["valid_to"] - T0 - 8 * HOUR) < 6 * MINUTE


def test_protection_links_accounts_managers_and_moves_of_the_cast(tmp_path):
    cast = {
        "head": {"is": "actor", "n": 1, "unit": "fraud/investigations/dublin", "role": "head"},
        "who": {"is": "actor", "n": 2, "unit": "*", "manager": "@head", "was": "sre/platform/austin", "moved": "T0-2d"},
        "bot": {"is": "service", "n": 1, "unit": "sre/platform/austin"},
        "whom": {"is": "subject", "n": 10, "region": "EU", "protected": {"tenth": "vip"}, "linked_ring": "follows"},
        "near": {"is": "subject", "n": 3, "linked_to": "whom", "link": {"pick": ["contact"]}},
        "own": {"is": "subject", "n": 2, "kind": "staff_account", "account_of": "who"},
    }
    episode, play = played(tmp_path, cast=cast, acts=[act()])
    who = episode.cast["who"]
    assert all(one.manager is episode.cast["head"][0] for one in who)
    assert not any(one.unit.startswith(("audit", "oversight")) for one in who)
    assert [one.protected for one in episode.cast["whom"]].count("vip") == 1
    assert [one.person for one in episode.cast["own"]] == [one.person for one in who]
    assert episode.cast["bot"][0].kind == "service"
    assert {column for _, column, _ in play.staff_times} == {"moved"}
    from custodes.world.dice import Dice

    words = Counter(word for _, _, word in episode.links(Dice(1, "links")))
    assert words == {"follows": 10, "contact": 3}
    assert episode.linked() == {one.id for one in episode.cast["near"]}


@pytest.mark.parametrize(
    ("raw", "protected"),
    [
        ("journalist", 4),
        ({"first": "vip"}, 1),
        ({"half": "vip"}, 2),
        ({"tenth": "vip"}, 1),
        ("none", 0),
        ({"half": "vip", "first": "journalist"}, 2),
    ],
)
def test_protection_of_all_first_half_or_tenth(tmp_path, raw, protected):
    cast = {"who": {"is": "actor", "n": 1, "unit": "*"}, "whom": {"is": "subject", "n": 4, "protected": raw}}
    episode, _ = played(tmp_path, cast=cast, acts=[act()])
    assert sum(one.protected is not None for one in episode.cast["whom"]) == protected


def test_a_value_of_the_wrong_type_is_refused(tmp_path):
    with pytest.raises(InputError, match="X01, act a1"):
        played(tmp_path, acts=[act(set={**LOOK, "rows": "many"})])
    with pytest.raises(InputError, match="none of pick, cycle, split"):
        played(tmp_path, acts=[act(set={**LOOK, "rows": {"guess": [1]}})])
    with pytest.raises(InputError, match="is no time"):
        played(tmp_path, acts=[act(**{"from": "noon"})])


def test_statements_are_written_out_as_sql(tmp_path):
    episode, _ = played(tmp_path, acts=[act()])
    one, two = episode.cast["whom"][:2]
    assert statement("select … from t where account in (…literal ids…)", ["email"], (one, two)) == (
        f"select email from t where account in ('{one.id}', '{two.id}')"
    )
    assert (
        statement("select … from t where account = …literal id…", ["a", "b"], (one,))
        == f"select a, b from t where account = '{one.id}'"
    )
    assert statement("select … where abs(x - y) < 15 min", None, ()) == "select * where abs(x - y) < interval '15 minutes'"


def test_every_statement_of_our_file_parses():
    import sqlglot

    from custodes.world.language import library

    shelf = library()
    for name, scenario in shelf.scenarios.items():
        if any("query" in one.columns for one in scenario.acts.values()):
            texts = {made.access.query for made in staged(shelf, name).play(T0, 1).accesses} - {None}
            assert texts
            for text in texts:
                assert "…" not in text
                sqlglot.parse_one(text, dialect="postgres")


def test_no_module_of_the_world_names_a_scenario():
    import re
    from pathlib import Path

    from custodes import world

    names = re.compile(r"\b[SBF]\d\d\b")
    for path in Path(world.__file__).parent.glob("*.py"):
        assert not names.search(path.read_text("utf-8")), path.name
    assert json.loads((Path(world.__file__).parent / "scenarios.json").read_text("utf-8"))["schema"] == "custodes.scenarios/1"
