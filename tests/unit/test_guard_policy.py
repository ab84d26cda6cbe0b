"""Other rules take two people and a day: company Cedar files and a changed policy; what nobody decided on is not taken over."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from gate_stage import POLICY, GateStage

from custodes import decisions
from custodes.cli.load import load_folder
from custodes.decisions.in_force import policy_files
from custodes.errors import Refused
from custodes.guard.approval import DENY
from custodes.guard.book import POLICY as ACT
from custodes.guard.book import Asked
from custodes.guard.policing import change, in_force, refuses_change, undecided
from custodes.model.canonical import Json

DAY = timedelta(hours=24)
NARROWS = b'@id("nobody before noon") @class("not_permitted") forbid (principal, action, resource);'
WIDENS = b'@id("everybody") permit (principal, action, resource);'
CEDAR = "policies/noon.cedar"


def ask(stage: GateStage, **files: bytes) -> Asked:
    """Ask for `noon` as the Cedar file, `policy` as policy.yaml."""
    wanted = {"policy.yaml": files.get("policy", POLICY.encode()), **({CEDAR: files["noon"]} if "noon" in files else {})}
    return stage.ask_for(ACT, "dora", change(wanted, 0))


def put(stage: GateStage, content: bytes) -> None:
    file = stage.home.path / CEDAR
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)


def decided(stage: GateStage) -> dict[str, str]:
    leaves = stage.home.own_leaves()
    return in_force(leaves, decisions.asking(stage.home).book().requests, stage.now)


def test_a_company_rule_is_in_force_a_day_after_two_people_decided(stage: GateStage) -> None:
    asked = stage.granted(reveals=5)
    first = stage.release(asked).decision
    assert first.allowed
    stage.answer(ask(stage, noon=NARROWS), "cleo")
    put(stage, NARROWS)
    kept = stage.release(asked).decision
    assert (kept.allowed, kept.epoch, kept.policy_hash) == (True, first.epoch, first.policy_hash)
    stage.now += DAY
    later = stage.release(stage.granted()).decision
    assert (later.allowed, later.epoch) == (False, first.epoch + 1)
    assert "nobody before noon" in later.reasons
    assert later.policy_hash != first.policy_hash


def test_a_rule_that_nobody_decided_on_keeps_the_last_good_set_and_starts_nothing(
    stage: GateStage, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = stage.granted(reveals=5)
    assert stage.release(asked).decision.allowed
    put(stage, WIDENS)
    assert stage.release(asked).decision.allowed
    assert not stage.release(None).decision.allowed  # the `permit` is not in force
    assert capsys.readouterr().err.count("nobody decided on it: policies/noon.cedar") == 1  # it says so, once
    assert stage.release(asked, gate=stage.fresh_gate()).decision.reason_class == "unavailable"  # a service that starts now
    (stage.home.path / CEDAR).unlink()
    assert stage.release(asked, gate=stage.fresh_gate()).decision.allowed


def test_a_policy_that_was_edited_by_hand_is_not_taken_over(stage: GateStage) -> None:
    asked = stage.granted(reveals=5)
    first = stage.release(asked).decision
    (stage.home.path / "policy.yaml").write_text(POLICY.replace("units_without_subject_duty: [audit]", ""))
    second = stage.release(asked).decision
    assert (second.allowed, second.policy_hash) == (True, first.policy_hash)
    assert stage.release(asked, gate=stage.fresh_gate()).decision.reason_class == "unavailable"


def test_a_changed_policy_is_in_force_a_day_after_two_people_decided(stage: GateStage) -> None:
    fresh = POLICY.replace("support: [ip_address, identity]", "support: [identity]").encode()
    stage.answer(ask(stage, policy=fresh), "cleo")
    (stage.home.path / "policy.yaml").write_bytes(fresh)
    stage.now += DAY
    assert stage.release(stage.granted()).decision.reason_class == "not_permitted"


def test_one_person_changes_no_rule_and_neither_do_two_of_one_unit(stage: GateStage) -> None:
    asked = ask(stage, noon=NARROWS)
    with pytest.raises(Refused):
        stage.answer(asked, "dora")
    with pytest.raises(Refused, match="same-unit"):
        stage.answer(asked, "finn")
    stage.now += DAY
    assert CEDAR not in decided(stage)


def test_one_denial_within_the_day_stops_it(stage: GateStage) -> None:
    asked = ask(stage, noon=NARROWS)
    stage.answer(asked, "cleo")
    stage.answer(asked, "ada", DENY)
    stage.now += DAY
    assert CEDAR not in decided(stage)


def test_a_rule_goes_only_as_it_came(stage: GateStage) -> None:
    stage.answer(ask(stage, noon=NARROWS), "cleo")
    put(stage, NARROWS)
    stage.now += DAY
    assert undecided(policy_files(stage.home), decided(stage)) == []
    (stage.home.path / CEDAR).unlink()
    assert undecided(policy_files(stage.home), decided(stage)) == [CEDAR]
    stage.answer(ask(stage), "cleo")
    stage.now += DAY
    assert undecided(policy_files(stage.home), decided(stage)) == []


@pytest.mark.parametrize(
    "text", [b"forbid (principal, action, resource) when { context.nothing };", b"permit everything", b"\xff\xfe"]
)
def test_a_decided_rule_that_does_not_fit_keeps_the_last_good_set(stage: GateStage, text: bytes) -> None:
    asked = stage.granted(reveals=3, lasts_s=8 * 3600)
    first = stage.release(asked).decision
    stage.answer(ask(stage, noon=text), "cleo")
    put(stage, text)
    stage.now += DAY
    again = stage.release(stage.granted()).decision
    assert (again.allowed, again.epoch, again.policy_hash) == (True, first.epoch, first.policy_hash)


def test_rules_change_under_load_and_every_decision_is_by_one_whole_set(stage: GateStage) -> None:
    asked = stage.granted(reveals=40)
    stop, seen = threading.Event(), list[tuple[int, str]]()

    def release() -> None:
        while not stop.is_set() and len(seen) < 24:
            decision = stage.release(asked).decision
            seen.append((decision.epoch, decision.policy_hash))

    threads = [threading.Thread(target=release) for _ in range(4)]
    for thread in threads:
        thread.start()
    for minutes in range(1, 4):
        stage.home.adopt("policy.yaml", (POLICY + f"late_record_minutes: {minutes}\n").encode())
    for thread in threads:
        thread.join()
    stop.set()
    assert len(dict(seen)) == len(set(seen))  # one digest for each epoch
    decided_on = [leaf.what for leaf in stage.home.own_leaves() if leaf.what.get("what") == "decision"]
    assert {(what["epoch"], what["policy_hash"]) for what in decided_on} == set(seen)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"schema": "custodes.policy-change/1", "files": {"../x.cedar": "0" * 64}, "permits": 0},
        {"schema": "custodes.policy-change/1", "files": {"policy.yaml": "short"}, "permits": 0},
        {"schema": "custodes.policy-change/1", "files": {}, "permits": None},
        {"schema": "custodes.policy-change/1", "files": {}, "permits": 0, "more": 1},
    ],
)
def test_what_is_no_change_of_rules_is_refused(content: dict[str, Json]) -> None:
    assert refuses_change(content) is not None


def test_what_lies_there_is_held_against_what_was_decided() -> None:
    files = {"policy.yaml": b"a", CEDAR: b"b"}
    said = change(files, 0)["files"]
    assert isinstance(said, dict)
    assert undecided(files, {name: str(sha) for name, sha in said.items()}) == []
    assert undecided({"policy.yaml": b"a"}, {name: str(sha) for name, sha in said.items()}) == [CEDAR]
    assert undecided(files, {}) == [CEDAR, "policy.yaml"]


def test_a_data_map_that_was_edited_by_hand_starts_nothing(stage: GateStage) -> None:
    asked = stage.granted(reveals=5)
    assert stage.release(asked).decision.allowed
    file = stage.home.path / "datamap.yaml"
    file.write_text(file.read_text().replace("note: message", "note: public"))
    assert stage.release(asked, gate=stage.fresh_gate()).decision.reason_class == "unavailable"


def test_once_the_guard_decided_anything_load_changes_no_rule(stage: GateStage, tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "policy.yaml").write_text(POLICY + "late_record_minutes: 7\n")
    stage.release(None)
    with pytest.raises(Refused, match="differs from the one in force"):
        load_folder(stage.home, exports)
