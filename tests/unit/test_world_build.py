"""A built world as files: what is planted is unexplained, what is innocent mostly explained, and nothing gives a plant away."""

from __future__ import annotations

import bisect
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import yaml
from desk_shape import (
    REAL,
    REAL_FIRST,
    REAL_GINI,
    REAL_WEEKEND,
    SHARES,
    WINDOW,
    Visit,
    Work,
    desk_of,
    per_median,
    per_row,
    per_visit,
    spread,
    visits,
)
from world_reading import Reading, accesses, moment, table
from world_stage import act, mine, with_middle_size

from custodes import world
from custodes.errors import ConfigError, CouldNotCheck
from custodes.evaluate import bpic13
from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.world.language import library


@pytest.fixture(scope="module")
def founding(tmp_path_factory) -> Reading:
    folder = tmp_path_factory.mktemp("founding")
    world.build(["F01"], seed=11, out=folder)
    return Reading(folder)


@pytest.fixture(scope="module")
def innocent(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("innocent")
    world.build([], seed=12, out=folder / "w", file=with_middle_size(folder), size="middle")
    return folder / "w"


def campaign(reading: Reading, name: str) -> dict:
    return next(one for one in reading.truth["campaigns"] if one["scenario"] == name)


# --- the founding case and its twins ---


def test_the_founding_case_is_four_actors_few_reads_and_one_case(founding):
    case = campaign(founding, "F01")
    assert len(case["actors"]) == 4
    assert len(case["accesses"]) == len(case["truth"]) > 20
    assert set(case["truth"].values()) == {"abuse"}
    assert 10 <= len(case["linked"]) <= 20
    assert not set(case["linked"]) & set(case["subjects"])
    planted = [one for one in founding.accesses if one["id"] in case["truth"]]
    reads = Counter(subject for one in planted if one["action"] == "read" for subject in one.get("subjects", ()))
    assert max(reads.values()) <= 12
    assert len({one["reason"] for one in planted if one.get("reason")}) == 1
    assert case["derived"]
    key = next(row["key"] for row in case["evidence"] if row["table"] == "cases")
    assert founding.case[key]["scope_kind"] == "staff"


def test_nothing_explains_what_is_planted_and_its_codes_explain_each_twin(founding):
    for one in founding.truth["campaigns"]:
        for access in founding.accesses:
            truth = one["truth"].get(access["id"])
            if truth == "abuse":
                assert founding.explains(access) == set()
            elif truth == "benign":
                assert set(one["explained_by"]) & (
                    founding.explains(access) | {"E9"} if one["scenario"] == "B12" else founding.explains(access)
                )


def test_four_to_eight_of_a_hundred_innocent_looks_stay_unexplained(founding):
    planted = {access for one in founding.truth["campaigns"] for access in one["truth"]}
    looks = [one for one in founding.accesses if founding.is_look(one) and one["id"] not in planted][::4]
    explained = sum(bool(founding.explains(one)) for one in looks) / len(looks)
    assert len(looks) > 40_000
    assert 0.92 <= explained <= 0.96


def test_the_size_is_reached_and_times_lie_inside(founding):
    assert len(founding.accesses) >= 200_000
    times = [one["time"] for one in founding.accesses]
    assert times == sorted(times)
    assert moment(times[-1]) - moment(times[0]) < (moment("2026-10-05T00:00:00Z") - moment("2026-07-06T00:00:00Z"))
    assert len({one["id"] for one in founding.accesses}) == len(times)


def test_sequence_numbers_have_no_hole(founding):
    last: dict[str, int] = {}
    for one in founding.accesses:
        assert one["seq"] == last.get(one["seq_of"], 0) + 1
        last[one["seq_of"]] = one["seq"]


def test_every_actor_subject_and_reason_is_known(founding):
    staff, subjects = set(founding.staff), set(founding.subject)
    assert {one["actor"] for one in founding.accesses} <= staff
    assert {subject for one in founding.accesses for subject in one.get("subjects", ())} <= subjects
    known = set(founding.ticket) | set(founding.case) | set(founding.incident)
    cited = [one["reason"] for one in founding.accesses if str(one.get("reason", "")).startswith("tkt-")]
    assert 0.95 < sum(reason in known for reason in cited) / len(cited) < 1


def test_innocent_looks_keep_to_the_regions(founding):
    regions = founding.policy["regions"]
    broken = total = 0
    for one in founding.accesses:
        country = founding.row_of(one["actor"], moment(one["time"])).get("country")
        for subject in one.get("subjects", ()):
            rule = regions.get(founding.subject[subject]["region"])
            total += 1
            broken += rule is not None and country not in rule["countries"] + rule.get("support_only", [])
    assert 0 < broken < total * 0.002


def test_journalists_and_well_known_people_stand_in_the_background(founding):
    cast = {subject for one in founding.truth["campaigns"] for subject in one["subjects"] + one["linked"]}
    protected = Counter(word for subject, word in founding.protected.items() if subject not in cast)
    assert protected["journalist"] == 30
    assert protected["vip"] == 60


def test_truth_names_keys_that_stand_in_the_tables(founding):
    for one in founding.truth["campaigns"]:
        assert one["evidence"]
        for row in one["evidence"]:
            keys = {line[column] for line in table(founding.folder, row["table"]) for column in TABLES[row["table"]].key}
            assert row["key"] in keys


# --- the innocent background ---


def test_whatever_kind_of_row_a_plant_uses_stands_in_the_background(innocent):
    rows = {name: table(innocent, name) for name in TABLES}
    assert all(rows.values()), [name for name, found in rows.items() if not found]
    scoped = {row["case"] for row in rows["case_scope"]}
    staff_cases = [row for row in rows["cases"] if row["scope_kind"] == "staff"]
    assert any(row["case"] not in scoped for row in staff_cases), "cases about staff that name nobody"
    assert any(row["actor"] for row in rows["case_scope"]), "cases about staff that name somebody"
    kinds = {row["kind"] for row in rows["cases"]}
    assert {"trust_safety", "security", "fraud", "internal_audit", "code_of_conduct", "quality", "training", "oversight"} <= kinds
    assert {row["break_glass"] for row in rows["grants"]} == {"true", "false"}
    assert {row["decision"] for row in rows["approvals"]} >= {"approve", "review_ok"}
    assert {row["verified"] for row in rows["legal"]} == {"true", "false"}
    assert {row["targeted"] for row in rows["jobs"]} == {"true", "false"}
    assert {"self", "family", "ex_partner", "neighbour", "colleague"} <= {row["kind"] for row in rows["relations"]}
    assert {row["kind"] for row in rows["links"]} == {"follows", "contact", "household", "device", "employer"}
    assert {row["result"] for row in rows["outcomes"]} == {"proven", "unproven"}
    assert {bool(row["subject"]) for row in rows["outcomes"]} == {True, False}
    assert any(row["incident"] for row in rows["roster"])
    assert any(row["unit"] for row in rows["roster"])
    assert any(row["origin"] == "staff" and row["kind"] != "change" for row in rows["tickets"])
    assert 15 <= len(rows["press"]) <= 45
    assert any(row["valid_to"] for row in rows["staff"])
    assert any(row["notice_from"] for row in rows["staff"])


def test_whatever_kind_of_access_a_plant_uses_stands_in_the_background(innocent):
    found = accesses(innocent)
    assert {one["action"] for one in found} >= {"read", "query", "export", "search", "login"}
    scopes = {"named", "key_predicate", "attribute_predicate", "join", "set", "aggregate", "none", "unknown"}
    assert scopes <= {one.get("subject_scope") for one in found}
    assert any(one.get("break_glass") for one in found)
    opened = {one["derived_from"] for one in found if "derived_from" in one}
    assert opened
    assert opened <= {one["derived"] for one in found if "derived" in one}
    assert any("on_behalf_of" in one for one in found)
    assert any(one.get("deliberate") is False for one in found)
    assert any(one["actor_kind"] == "service" for one in found)
    resources = {one.get("resource") for one in found}
    assert {"corp.accounts", "staff.vpn_log", "events.logins", "core.accounts", "disclosure_export", "access_rows"} <= resources
    shielded = {row["subject"] for row in table(innocent, "protected")}
    assert sum(bool(shielded & set(one.get("subjects", ()))) for one in found) > 50


def test_marginals_are_those_of_a_real_service_desk(innocent):
    """Within a factor 1.5 of the real log; what grows with the size of a company is taken by its ratio to the median."""
    rows = desk_of(innocent)
    begin = rows[0].time + timedelta(days=45)  # work of earlier weeks goes on by then, as in the real log
    found = visits(rows)
    late = [one for one in found if begin.date() <= one.day < (begin + WINDOW).date()]
    shape = {**per_visit(late), **per_row(rows)}
    for name, real in REAL.items():
        for share, seen, wanted in zip(SHARES, *(per_median(name, one) for one in (shape[name], real)), strict=True):
            if name == "days open" and share == 0.99:
                wanted = min(wanted, 90)  # noqa: PLW2901  # no ticket is open for longer than this world lasts
            assert wanted / 1.5 <= seen <= wanted * 1.5, (name, share, seen, wanted)
    for name, seen in spread(rows).items():
        assert REAL_GINI[name] - 0.15 <= seen <= REAL_GINI[name] + 0.1, (name, seen)
    assert REAL_FIRST[0] <= sum(one.first for one in late) / len(late) <= REAL_FIRST[1]
    looks = [one for one in accesses(innocent) if one["action"] != "login"]
    weekend = sum(datetime.fromisoformat(one["time"]).weekday() >= 5 for one in looks) / len(looks)
    assert REAL_WEEKEND / 1.5 <= weekend <= REAL_WEEKEND * 1.5
    tickets = Counter(row["subject"] for row in table(innocent, "tickets"))
    subjects = table(innocent, "subjects")
    assert sum(tickets[row["subject"]] <= 2 for row in subjects) > 0.7 * len(subjects)


def test_the_marginals_to_reach_are_those_of_the_real_log(shared_data):
    """The constants are measured again, by the code that measures the simulated company."""
    log = shared_data / "bpic13" / "bpi_challenge_2013_incidents.xes.gz"
    if not log.is_file():
        pytest.skip("the real service-desk log is not here")
    lines = bpic13.read(log)
    rows = [Work(one.time, one.case, one.actor, one.team, one.product, queued=one.queued) for one in lines]
    begin, end = bpic13.TRAIN[0], bpic13.TEST[1]
    real = bpic13.within(bpic13.accesses(lines), (begin, end))
    shape = {**per_visit([Visit(one.time.date(), one.case, one.actor, one.first) for one in real]), **per_row(rows)}
    for name, wanted in REAL.items():
        assert shape[name] == pytest.approx(wanted, rel=0.1), name
    assert spread(rows) == pytest.approx(REAL_GINI, abs=0.01)
    assert REAL_FIRST[0] < sum(one.first for one in real) / len(real) < REAL_FIRST[1]
    assert sum(one.time.weekday() >= 5 for one in real) / len(real) == pytest.approx(REAL_WEEKEND, abs=0.002)


def test_the_documents_are_those_of_the_contract(innocent):
    Policy.of(yaml.safe_load((innocent / "policy.yaml").read_text("utf-8")))
    DataMap.of(yaml.safe_load((innocent / "datamap.yaml").read_text("utf-8")))
    for name, contract in TABLES.items():
        header = (innocent / "context" / f"{name}.csv").read_text("utf-8").partition("\n")[0].split(",")
        assert header == [column.name for column in contract.columns]


# --- nothing gives a plant away ---


def auc(planted: list[float], others: list[float]) -> float:
    others = sorted(others)
    wins = sum((bisect.bisect_left(others, one) + bisect.bisect_right(others, one)) / 2 for one in planted)
    return wins / len(planted) / len(others)


FEATURES = {
    "id": lambda one: int(one["id"][4:], 16),
    "parity of the id": lambda one: int(one["id"][-1], 16) % 2,
    "last digits of the id": lambda one: int(one["id"][-4:], 16),
    "length of the id": lambda one: len(one["id"]),
    "millisecond": lambda one: int(one["time"][20:23]),
    "last digit of the time": lambda one: int(one["time"][22]),
    "second": lambda one: int(one["time"][17:19]),
    "last digit of the second": lambda one: int(one["time"][18]),
    "minute": lambda one: int(one["time"][14:16]),
    "digits of the subject": lambda one: sum(map(int, one["subjects"][0][4:])) if one.get("subjects") else 45,
    "subject": lambda one: int(one["subjects"][0][4:]) if one.get("subjects") else 5 * 10**9,
    "length of the subject": lambda one: len(one["subjects"][0]) if one.get("subjects") else 14,
    "digits of the session": lambda one: int(one["session"][4:]) if one.get("session") else 5 * 10**9,
    "last digit of the device": lambda one: int(one["device"][-1]) if one.get("device") else 4.5,
    "reason": lambda one: int(one["reason"][4:]) if one.get("reason", "")[4:].isdigit() else 5 * 10**9,
    "sequence": lambda one: one["seq"] % 10,
    "fields": lambda one: len(one.get("fields", ())),
    "subjects": lambda one: len(one.get("subjects", ())),
    "length of the statement": lambda one: len(one.get("query", "")),
    **{
        f"has {name}": lambda one, name=name: name in one
        for name in ("id", "actor_kind", "client_country", "session", "device", "outcome", "seq", "seq_of", "fields", "query")
    },
}
"""What the log adds by itself, and the form of what was asked. Whether a purpose or a reason is given is part of a scenario."""
ONLY_PLANTED = {"actor_kind": {"agent"}}
"""What the background still lacks: nobody but S30 lets an agent work."""
WIDE = {"fields", "subjects", "has fields", "has query", "length of the statement"}
"""What a scenario writes itself: no single value of these may tell its looks, but they lean a little."""


@pytest.mark.parametrize(("seed", "level"), [(21, "hard"), pytest.param(22, "easy", marks=pytest.mark.slow)])
def test_trivial_features_cannot_tell_a_plant_from_the_background(tmp_path, seed, level):
    """All scenarios that fit beside each other, with their twins; each episode counts with at most 30 looks."""
    shelf = library().scenarios.values()
    names = [one.id for one in shelf if one.kind == "abuse" and one.size != "long" and one.id not in ("F01", "S14", "S15", "S16")]
    folder = tmp_path / "w"
    world.build(names, seed=seed, out=folder, file=with_middle_size(tmp_path), size="middle", level=level)
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    chance = Random(seed)
    marked = {name for one in truth["campaigns"] for name in chance.sample(one["accesses"], min(30, len(one["accesses"])))}
    episodes = {access for one in truth["campaigns"] for access in one["truth"]}
    found = accesses(folder)
    planted = [(place, one) for place, one in enumerate(found) if one["id"] in marked]
    others = [(place, one) for place, one in enumerate(found) if one["id"] not in episodes]
    assert len(planted) > 600
    assert 0.45 <= auc([place % 97 for place, _ in planted], [place % 97 for place, _ in others]) <= 0.55
    for name, feature in FEATURES.items():
        margin = 0.1 if name in WIDE else 0.05
        seen = auc([float(feature(one)) for _, one in planted], [float(feature(one)) for _, one in others])
        assert 0.5 - margin <= seen <= 0.5 + margin, (name, seen)
    for column in ("actor_kind", "action", "subject_scope", "selector", "outcome", "system"):
        common = Counter(one.get(column) for _, one in others)
        rare = {one.get(column) for _, one in planted} - {value for value, count in common.items() if count >= 5}
        assert rare <= ONLY_PLANTED.get(column, set()), column


def test_context_rows_of_plants_are_written_like_any_other(innocent):
    """Scenarios let things happen at one moment that often do not in real companies: so does the background."""
    opened = {row["ticket"]: row["opened"] for row in table(innocent, "tickets") if row["kind"] != "change"}
    first = {}
    for row in sorted(table(innocent, "assignments"), key=lambda row: row["valid_from"]):
        if row["ticket"] in opened:
            first.setdefault(row["ticket"], row["valid_from"])
    assert 0.2 < sum(time == opened[ticket] for ticket, time in first.items()) / len(first) < 0.6
    cases = {row["case"]: row for row in table(innocent, "cases") if row["scope_kind"] == "subjects"}
    scope = [row for row in table(innocent, "case_scope") if row["case"] in cases]
    assert 0.1 < sum(row["added"] == cases[row["case"]]["opened"] for row in scope) / len(scope) < 0.7
    assert 0.4 < sum(row["recorded_at"] == row["opened"] for row in cases.values()) / len(cases) < 0.9


# --- the same arguments, the same bytes ---


def digest(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path):
    world.build(["S05"], seed=4, out=tmp_path / "here", size="tiny")
    code = "import sys; from custodes import world; world.build(['S05'], seed=4, out=sys.argv[1], size='tiny')"
    there = {**os.environ, "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=there)
    assert digest(tmp_path / "here") == digest(tmp_path / "there")


def test_another_seed_gives_another_world(tmp_path):
    for seed in (1, 2):
        world.build(["S05"], seed=seed, out=tmp_path / str(seed), size="tiny", twins=0)
    assert digest(tmp_path / "1")["truth.json"] != digest(tmp_path / "2")["truth.json"]


def test_an_earlier_world_is_replaced_and_any_other_folder_refused(tmp_path):
    world.build(["S05"], seed=1, out=tmp_path / "w", size="tiny", twins=0)
    before = digest(tmp_path / "w")
    world.build(["S13"], seed=1, out=tmp_path / "w", size="tiny", twins=0)
    world.build(["S05"], seed=1, out=tmp_path / "w", size="tiny", twins=0)
    assert digest(tmp_path / "w") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("keep", "utf-8")
    with pytest.raises(ConfigError, match="not empty"):
        world.build(["S05"], seed=1, out=tmp_path / "mine", size="tiny")
    assert (tmp_path / "mine" / "precious.txt").read_text("utf-8") == "keep"


# --- what is asked for after the accesses, and what cannot be ---


def test_dropped_lines_leave_a_hole_in_the_numbers_and_in_the_truth(tmp_path):
    built = world.build(["S26"], seed=3, out=tmp_path, size="tiny", level="easy", twins=0)
    found = accesses(tmp_path)
    assert built.lost > 0
    numbers = sorted(one["seq"] for one in found if one["seq_of"] == "admin-tool")
    assert numbers[-1] - len(numbers) == built.lost or numbers[-1] - len(numbers) <= built.lost
    assert set(range(1, numbers[-1] + 1)) - set(numbers)
    truth = json.loads((tmp_path / "truth.json").read_text("utf-8"))
    assert set(truth["campaigns"][0]["truth"]) <= {one["id"] for one in found}
    assert "rollback_ledger" in built.pending[0]
    assert truth["pending"] == list(built.pending)


def test_a_claim_becomes_a_row_and_evidence(tmp_path):
    world.build(["S28"], seed=3, out=tmp_path, size="tiny", twins=0)
    truth = json.loads((tmp_path / "truth.json").read_text("utf-8"))
    keys = [row["key"] for row in truth["campaigns"][0]["evidence"] if row["table"] == "claims"]
    row = next(row for row in table(tmp_path, "claims") if row["claim"] in keys)
    assert json.loads(row["predicate"])["none"]["actor_country"] == ["CN"]
    assert row["window_from"] < row["window_to"]


def test_a_rollback_of_the_ledger_names_what_is_missing(tmp_path):
    file = tmp_path / "in"
    file.mkdir()
    mine(file, acts=[act()], after=[{"do": "rollback_ledger", "to": "a1.first-1h"}])
    with pytest.raises(CouldNotCheck, match="witnessed checkpoint"):
        world.build(["X01"], seed=1, out=tmp_path / "out", file=file / "mine.json", size="tiny")
    assert not (tmp_path / "out" / "truth.json").exists()


def test_an_episode_that_cannot_fit_names_the_smallest_size(tmp_path):
    with pytest.raises(ConfigError, match="does not fit") as caught:
        world.build(["S17"], seed=1, out=tmp_path, size="demo", twins=0)
    assert caught.value.hint == "smallest size that holds it: long"
    assert not list(tmp_path.iterdir()), "what cannot be built writes nothing"


def test_an_unknown_level_size_or_number_of_twins_is_refused(tmp_path):
    for wrong in ({"level": "odd"}, {"size": "odd"}, {"twins": -1}):
        with pytest.raises(ConfigError):
            world.build(["S05"], seed=1, out=tmp_path / "w", **wrong)


def test_a_renamed_copy_of_a_scenario_builds_with_other_knobs(tmp_path):
    ours = json.loads((Path(world.__file__).parent / "scenarios.json").read_text("utf-8"))
    body = next(one for one in ours["abuse"] if one["id"] == "S05")
    renamed = {**body, "id": "Z77", "knobs": {**body["knobs"], "ring": {"easy": 6, "medium": 6, "hard": 6}}}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"schema": "custodes.scenarios/1", "abuse": [renamed]}), "utf-8")
    built = world.build(["Z77"], seed=1, out=tmp_path / "w", file=file, size="tiny", twins=0)
    assert built.campaigns == ("Z77-1",)
    reading = Reading(tmp_path / "w")
    one = reading.truth["campaigns"][0]
    assert len(one["actors"]) == 6
    assert all(reading.explains(access) == set() for access in reading.accesses if access["id"] in one["truth"])


def test_nobody_works_before_joining_or_after_leaving(innocent):
    staff = table(innocent, "staff")
    left = {row["actor"]: moment(row["left"]) for row in staff if row["left"]}
    joined = {row["actor"]: moment(row["joined"]) for row in staff if row["joined"]}
    times = [(one["actor"], moment(one["time"])) for one in accesses(innocent)]
    gone = {actor for actor, time in times if actor in left and time < left[actor]}
    assert gone, "some who left had worked here"
    assert not [actor for actor, time in times if actor in left and time >= left[actor]]
    assert not [actor for actor, time in times if actor in joined and time < joined[actor]]


def test_twins_come_as_often_as_asked(tmp_path):
    built = world.build(["S13"], seed=1, out=tmp_path / "a", size="tiny", twins=3)
    assert built.campaigns == ("S13-1", "B06-1", "B06-2", "B06-3")
    built = world.build(["S13", "B06"], seed=1, out=tmp_path / "b", size="tiny", twins=0)
    assert built.campaigns == ("S13-1", "B06-1")


def test_the_rosters_that_a_scenario_writes_are_the_only_ones(tmp_path):
    folder = tmp_path / "w"
    world.build(["S21"], seed=2, out=folder, file=with_middle_size(tmp_path), size="middle", twins=0)
    reading = Reading(folder)
    one = reading.truth["campaigns"][0]
    (owner,) = one["actors"]
    rows = [row for row in table(folder, "roster") if row["actor"] == owner]
    assert len(rows) == 1
    end = moment(rows[0]["valid_to"])
    after = [access for access in reading.accesses if access["actor"] == owner and moment(access["time"]) > end]
    assert {access["id"] for access in after} <= set(one["truth"])


def test_a_tiny_world_is_quick(tmp_path):
    import time

    start = time.process_time()
    built = world.build(["S01"], seed=1, out=tmp_path, size="tiny", level="easy")
    assert built.accesses >= 12_000
    assert time.process_time() - start < 5
