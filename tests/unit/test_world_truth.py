"""The truth of every scenario at every level agrees with the files beside it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from world_reading import accesses, table

from custodes import world
from custodes.model.tables import TABLES
from custodes.world.language import LEVELS, library

SHELF = library()
ALL = list(SHELF.scenarios)
CAMPAIGN = {
    "id": str, "kind": str, "scenario": str, "level": str, "window": dict, "actors": list, "subjects": list, "linked": list,
    "derived": list, "accesses": list, "truth": dict, "codes": list, "rules": list, "missing": list, "facts": list,
    "explained_by": list, "tempts": list, "evidence": list,
}  # fmt: skip


def small(folder: Path, days: int = 400) -> Path:
    """Write a file whose company has a size for all of this: few people and looks, and days enough."""
    ours = json.loads((Path(world.__file__).with_name("scenarios.json")).read_text("utf-8"))
    sizes = ours["world"]["sizes"] | {"few": {"staff": 60, "subjects": 3000, "days": days, "accesses": 4000}}
    file = folder / "few.json"
    file.write_text(json.dumps({"schema": "custodes.scenarios/1", "world": ours["world"] | {"sizes": sizes}}), "utf-8")
    return file


def assert_true(folder: Path, wanted: list[str], level: str) -> None:
    """Compare the truth with the schema, the scenario file, the access files and the context tables."""
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    assert truth["schema"] == "custodes.truth/1"
    assert [one["id"] for one in truth["campaigns"]] == wanted
    logged = {one["id"]: one for one in accesses(folder)}
    staff = {row["actor"] for row in table(folder, "staff")}
    subjects = {row["subject"] for row in table(folder, "subjects")}

    @cache
    def keys(name: str) -> set[str]:
        return {line[part] for line in table(folder, name) for part in TABLES[name].key}

    for one in truth["campaigns"]:
        assert_campaign(one, level)
        assert set(one["accesses"]) <= set(logged), one["id"]
        own = [logged[name] for name in one["accesses"]]
        times = [access["time"] for access in own]
        assert times == sorted(times)
        assert (one["window"]["from"], one["window"]["to"]) == (times[0], times[-1])
        assert {access["actor"] for access in own} == set(one["actors"]) <= staff
        touched = {subject for access in own for subject in access.get("subjects", ())}
        assert touched <= set(one["subjects"]) | set(one["linked"]) <= subjects
        assert {v for a in own for v in (a.get("derived"), a.get("derived_from")) if v} == set(one["derived"])
        for row in one["evidence"]:
            assert row["key"] in keys(row["table"])


def assert_campaign(one: dict, level: str) -> None:
    scenario, expect = SHELF.scenario(one["scenario"]), SHELF.scenario(one["scenario"]).expect
    for name, kind in CAMPAIGN.items():
        assert isinstance(one[name], kind), (one["id"], name)
    assert (one["kind"], one["level"]) == (scenario.kind, level)
    assert one["accesses"], one["id"]
    assert len(set(one["accesses"])) == len(one["accesses"])
    assert set(one["truth"]) == set(one["accesses"])
    assert set(one["truth"].values()) <= ({"abuse", "path"} if scenario.kind == "abuse" else {"benign"})
    assert not set(one["subjects"]) & set(one["linked"])
    assert set(one["codes"]) <= {f"V{number}" for number in range(1, 26)}
    assert set(one["rules"]) | set(one["tempts"]) <= {f"D{number:02d}" for number in range(1, 23)}
    assert set(one["explained_by"]) <= {*(f"E{number}" for number in range(1, 14)), "public"}
    assert one["codes"] == list(expect.get("codes", []))
    assert one["evidence"] or not expect.get("evidence")
    if scenario.kind == "abuse":
        assert one["codes"], one["id"]
        assert set(one["truth"].values()) >= {"abuse"}
    else:
        assert one["outcome"] in {"quiet", "note", "below"}
        assert one["explained_by"] or one["outcome"] == "below" or one["scenario"] == "B15", "only public fields"


@pytest.mark.parametrize("level", LEVELS)
def test_the_truth_of_every_scenario_agrees_with_the_files_beside_it(tmp_path, level):
    world.build(ALL, seed=31, out=tmp_path / "w", level=level, twins=0, size="few", file=small(tmp_path))
    assert_true(tmp_path / "w", [f"{name}-1" for name in ALL], level)


def test_each_twin_comes_five_times_where_base_rates_are_asked_for(tmp_path):
    names = ["S01", "S08", "S13", "S19", "S31"]
    built = world.build(names, seed=32, out=tmp_path / "w", twins=5, size="few", file=small(tmp_path))
    wanted = [
        label
        for name in names
        for label in [f"{name}-1", *(f"{twin}-{at}" for twin in SHELF.scenario(name).twins for at in range(1, 6))]
    ]
    counts = {label.partition("-")[0]: 0 for label in wanted}
    for label in built.campaigns:
        counts[label.partition("-")[0]] += 1
    for name in names:
        assert counts[name] == 1
        assert all(counts[twin] >= 5 for twin in SHELF.scenario(name).twins)
    assert_true(tmp_path / "w", list(built.campaigns), "medium")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", sorted(SHELF.scenarios))
def test_every_scenario_in_the_size_it_names(tmp_path, name, level):
    built = world.build([name], seed=33, out=tmp_path / "w", level=level)
    assert_true(tmp_path / "w", list(built.campaigns), level)
