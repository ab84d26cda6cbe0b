"""The scenario file is read strictly: whatever it names must exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custodes.errors import ConfigError, InputError, UnreadableFile
from custodes.model.tables import TABLES
from custodes.world import DEMO
from custodes.world.access import COLUMNS
from custodes.world.language import LEVELS, library


def written(folder: Path, **changes: object) -> Path:
    body: dict[str, object] = {
        "id": "X01",
        "kind": "abuse",
        "size": "tiny",
        "cast": {
            "who": {"is": "actor", "n": 1, "unit": "audit/internal/austin"},
            "whom": {"is": "subject", "n": 1, "region": "US"},
        },
        "rows": [],
        "acts": [
            {
                "id": "a1",
                "by": "who",
                "on": "whom",
                "n": "$reads",
                "per": "subject",
                "from": "T0",
                "to": "T0+2d",
                "set": {"action": "read", "system": "admin-tool", "resource": "account_detail", "fields": ["ip_log"]},
            }
        ],
        "knobs": {"reads": {"easy": 3, "medium": 2, "hard": 1}},
        "expect": {},
        "twins": [],
    }
    path = folder / "mine.json"
    path.write_text(json.dumps({"schema": "custodes.scenarios/1", "abuse": [{**body, **changes}]}), "utf-8")
    return path


def test_our_file_holds_thirty_abuses_twenty_twins_and_the_founding_case():
    ours = library()
    kinds = [one.kind for one in ours.scenarios.values()]
    assert kinds.count("abuse") == 31 + 1, "S31 is ours: no scenario of the handbook has earlier cases"
    assert kinds.count("benign") == 20 + 2
    assert ours.scenario("F01").twins == ("B01", "B07", "B08", "B10", "B12", "B17")


def test_a_world_is_a_name_for_scenarios_that_stand_beside_each_other(tmp_path):
    shelf = library(DEMO)
    assert [one.id for one in shelf.named(["demo", "S05"])] == ["F01", "F02", "F03", "F04", "F05", "F06", "F07", "S05"]
    twins = [twin for one in shelf.named(["demo"]) for twin in one.twins]
    assert len(twins) == len(set(twins)), "each innocent twin stands in the company once"
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"schema": "custodes.scenarios/1", "worlds": {"w": ["S05", "S99"]}}), "utf-8")
    with pytest.raises(InputError, match="S99"):
        library(file)


def test_the_parts_of_the_demo_expect_what_the_scenarios_that_they_make_smaller_expect():
    ours = library()
    file = json.loads(DEMO.read_text("utf-8"))
    for body in file["composites"]:
        assert body["expect"] == ours.scenario(body["extends"]).expect, body["id"]


def test_every_row_and_column_is_in_the_contract():
    for one in library().scenarios.values():
        for row in one.rows.values():
            assert set(row.columns) <= {column.name for column in TABLES[row.table].columns}
        for act in one.acts.values():
            assert set(act.columns) <= COLUMNS


def test_twins_are_symmetrical():
    ours = library()
    for one in ours.scenarios.values():
        if one.id.startswith("F"):
            continue
        for twin in one.twins:
            assert one.id in ours.scenario(twin).twins


def test_every_knob_has_three_levels_and_is_used():
    for one in library().scenarios.values():
        text = repr((one.cast, one.rows, one.acts, one.after))
        for knob, levels in one.knobs.items():
            assert set(levels) == set(LEVELS)
            assert f"${knob}" in text


def test_what_a_scenario_extends_comes_first_and_own_names_win():
    founding, bare = library().scenario("F01"), library().scenario("S01")
    assert list(founding.acts) == ["a1", "a2", "a3", "a4", "a5", "a6"]
    assert founding.acts["a1"] == bare.acts["a1"]
    assert library().scenario("S28").knobs["opens"]["easy"] == [20, 50]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": [{"table": "gossip", "as": "G1", "set": {}}]}, "no context table 'gossip'"),
        ({"rows": [{"table": "tickets", "as": "T1", "set": {"mood": "bad"}}]}, "no column 'mood'"),
        ({"rows": [{"table": "tickets", "as": "T1", "for": "nobody", "set": {}}]}, "no group 'nobody'"),
        ({"rows": [{"table": "tickets", "as": "T1", "set": {"subject": "@nobody"}}]}, "names @nobody"),
        ({"rows": [{"table": "tickets", "as": "T1", "set": {"opened": "#K9.opened"}}]}, "names #K9"),
        ({"cast": {"who": {"is": "ghost"}}}, "is an actor, a service or a subject"),
        ({"cast": {"who": {"is": "actor", "unit": "moon/base"}}}, "unknown unit 'moon/base'"),
        ({"cast": {"who": {"is": "actor", "unit": "*", "mood": 1}}}, "unknown key 'mood'"),
        ({"knobs": {"reads": {"easy": 1}}}, "needs the levels"),
        ({"knobs": {}}, r"names \$reads"),
        ({"after": [{"do": "burn"}]}, "'burn' is none of"),
        ({"twins": ["B99"]}, "twin 'B99' does not exist"),
        ({"size": "huge"}, "no size 'huge'"),
        ({"extends": "S99"}, "extends 'S99'"),
        ({"extends": "X01"}, "extend each other"),
        ({"kind": "odd"}, "abuse or benign"),
    ],
)
def test_a_slip_of_the_pen_is_refused_with_its_place(tmp_path, changes, says):
    with pytest.raises(InputError, match=says):
        library(written(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pattern": "zigzag"}, "expected one of"),
        ({"per": "month"}, "expected one of"),
        ({"truth": "maybe"}, "truth is one of"),
        ({"from": None}, "`by` and `from`"),
        ({"set": {"action": "read", "system": "crm", "mood": 1}}, "no column 'mood'"),
        ({"set": {"action": "read", "system": "crm", "fields": ["shoe_size"]}}, "no field 'shoe_size'"),
        ({"from": "a9.first+1d"}, "names the act a9"),
        ({"on": "nobody"}, "no group 'nobody'"),
    ],
)
def test_a_slip_in_an_act_is_refused_with_its_place(tmp_path, changes, says):
    act = {"id": "a1", "by": "who", "on": "whom", "n": "$reads", "from": "T0", "set": {"action": "read", "system": "crm"}}
    with pytest.raises(InputError, match=says):
        library(written(tmp_path, acts=[{**act, **changes}]))


def test_a_file_of_ones_own_stands_before_ours_and_extends_it(tmp_path):
    both = library(written(tmp_path, extends="S01", knobs={"reads": {"easy": 1, "medium": 1, "hard": 1}}))
    assert list(both.scenario("X01").acts) == ["a1"]
    assert "targets" in both.scenario("X01").cast
    assert both.scenario("S01").title == "Leak hunt by internal audit"


def test_an_unknown_scenario_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match="no scenario 'S99'") as caught:
        library().scenario("S99")
    assert "F01" in caught.value.hint


def test_a_file_that_is_no_scenario_file_is_refused(tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text("{", "utf-8")
    with pytest.raises(InputError, match="not JSON"):
        library(broken)
    broken.write_text('{"schema": "other/1"}', "utf-8")
    with pytest.raises(InputError, match=r"custodes\.scenarios/1"):
        library(broken)
    with pytest.raises(UnreadableFile):
        library(tmp_path / "absent.json")
