"""What people may do with findings: label them, agree with a second person not to see some, and be told of every change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from approval_stage import DAY, FIRST, LATER, Stage, seed_of, staff_row
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from custodes import decisions
from custodes.cli import run
from custodes.guard.approval import written
from custodes.home import Home
from custodes.rank.suppress import in_force

OPENS_ALL = "a passphrase for tests"
AT = ["--at", written(LATER)]
CUSTOMERS = ["customer-4711", "customer-4712"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A home with looks that nothing explains; `dora` has a key and looked without a reason, too."""
    stage = Stage.built(tmp_path_factory.mktemp("built"), simulated=True)
    stage.load("tickets", [{"ticket": "T-1", "subject": "customer-9", "opened": "2026-01-01T00:00:00Z", "origin": "subject"}])
    stage.look("dora", [CUSTOMERS[0]], 2)
    stage.look("finn", [], 8, action="login")
    stage.home.checkpoint()
    stage.home.close()
    return stage


@pytest.fixture
def home(built: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    built.copied(tmp_path).home.close()
    for name in FIRST:
        key = Ed25519PrivateKey.from_private_bytes(seed_of(name))
        sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(OPENS_ALL.encode()))
        (tmp_path / f"{name}.key").write_bytes(sealed)
    (tmp_path / "pass").write_text(f"{OPENS_ALL}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTODES_HOME", "home")
    return tmp_path / "home"


def _as(name: str) -> list[str]:
    return ["--key", f"{name}.key", "--passphrase-file", "pass", "--yes"]


def _watch(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(["watch", "--format", "json", "--exit-zero"]) == 0
    watched: dict[str, Any] = json.loads(capsys.readouterr().out)
    return watched


def _of(watched: dict[str, Any], home: Path, name: str) -> list[dict[str, Any]]:
    with Home.open(home) as opened:
        actor = opened.pseudonyms.once("actor", name)
    return [finding for finding in watched["findings"] if finding["actors"] == [actor]]


def _ask(capsys: pytest.CaptureFixture[str], finding: dict[str, Any], by: str, *more: str, code: int = 0) -> str:
    capsys.readouterr()
    asked = ["findings", "suppress", finding["finding"], "--reason", "known-work", *more, *_as(by)]
    assert run(asked) == code
    return capsys.readouterr().out.strip()


def _refused(home: Path) -> object:
    with Home.open(home) as opened:
        return decisions.asking(opened).book().refusals[-1][1]["why"]


def test_suppression_without_second_person_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finding = _of(_watch(capsys), home, "reader")[0]
    number = _ask(capsys, finding, "ada")
    assert finding["finding"] in {one["finding"] for one in _of(_watch(capsys), home, "reader")}
    for second, why in (("ada", "requester"), ("finn", "same-unit"), ("hugo", "same-unit"), ("dora", "same-unit")):
        assert run(["findings", "approve", number, *_as(second)]) == 4, second
        assert _refused(home) == why, second
    watched = _watch(capsys)
    assert finding["finding"] in {one["finding"] for one in watched["findings"]}
    assert watched["suppressed"] == []
    assert run(["findings", "approve", number, *_as("cleo")]) == 0
    held = _watch(capsys)
    assert finding["finding"] not in {one["finding"] for one in held["findings"]}
    assert [(one["rule"], one["request"], one["findings"] > 0) for one in held["suppressed"]] == [
        (finding["rule"], int(number), True)
    ]
    assert not [one for one in held["changes"] if one["finding"] == finding["finding"]]


def test_what_is_held_back_stands_in_every_report_and_one_person_ends_it(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = _of(_watch(capsys), home, "reader")[0]
    number = _ask(capsys, finding, "ada")
    assert run(["findings", "approve", number, *_as("cleo")]) == 0
    capsys.readouterr()
    assert run(["watch", "--exit-zero", "--report", str(tmp_path / "out.html")]) == 0
    assert "Held back: " in capsys.readouterr().out
    assert "Held back: " in (tmp_path / "out.html").read_text()
    assert run(["findings", "show-again", number, *_as("dora")]) == 0
    watched = _watch(capsys)
    assert finding["finding"] in {one["finding"] for one in watched["findings"]}
    assert watched["suppressed"] == []
    assert run(["findings", "suppressions"]) == 0
    assert "state ended" in capsys.readouterr().out


def test_nobody_suppresses_what_is_about_themselves(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = _of(_watch(capsys), home, "dora")[0]
    _ask(capsys, own, "dora", code=4)
    assert _refused(home) == "oneself"
    _ask(capsys, own, "dora", "--unit", "support", code=4)
    assert _refused(home) == "oneself"
    number = _ask(capsys, own, "ada", "--unit", "support/tier2")
    assert run(["findings", "approve", number, *_as("cleo")]) == 0
    assert not [one for one in _of(_watch(capsys), home, "dora") if one["rule"] == own["rule"]]


def test_another_subject_another_actor_a_day_too_late_is_shown(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finding = next(one for one in _of(_watch(capsys), home, "reader") if len(one["subjects"]) == 1)
    assert run(["findings", "approve", _ask(capsys, finding, "ada", "--days", "1"), *_as("cleo")]) == 0
    others = {one["finding"] for one in _watch(capsys)["findings"]}
    assert others
    assert finding["finding"] not in others
    assert {one["subjects"][0] for one in _of(_watch(capsys), home, "reader") if one["subjects"]} - set(finding["subjects"])
    assert run(["findings", "suppressions", *AT]) == 0
    assert "state expired" in capsys.readouterr().out
    with Home.open(home) as opened:
        book = decisions.asking(opened).book()
    assert len(in_force(book, LATER - 199 * DAY - DAY / 2)) == 1
    assert in_force(book, LATER) == ()  # nothing is held back by it any more


def test_labels_stand_apart_and_change_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched = _watch(capsys)
    assert watched["audit_of"] > 0
    slot, campaign = watched["audit"][0], watched["campaigns"][0]["campaign"]
    assert run(["findings", "label", slot, "misuse"]) == 0
    assert run(["findings", "label", campaign, "innocent"]) == 0
    assert run(["findings", "label", "x-" + "a" * 26, "innocent"]) == 2
    capsys.readouterr()
    assert run(["findings", "labels", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["slots"]["labelled"], told["slots"]["misuse"], told["slots"]["share"]) == (1, 1, 1.0)
    assert told["campaigns"] == {"misuse": 0, "innocent": 1, "unclear": 0}
    again = _watch(capsys)
    assert [one["finding"] for one in again["findings"]] == [one["finding"] for one in watched["findings"]]
    assert again["campaigns"] == watched["campaigns"]
    assert again["changes"] == []


def test_late_rows_change_only_what_they_touch(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _watch(capsys)
    touched = _of(before, home, "mole")
    assert touched
    stage = Stage(home.parent, Home.open(home))
    stage.load("staff", [staff_row("mole", valid_from="2026-01-01T00:00:00Z")])
    grants = [{"ticket": f"T-{name}", "subject": name, "kind": "question", "origin": "subject", "inbound": f"in-{name}",
               "opened": "2026-01-09T00:00:00Z"} for name in CUSTOMERS]  # fmt: skip
    stage.load("tickets", grants)
    given = [{"ticket": f"T-{name}", "actor": "mole", "valid_from": "2026-01-09T01:00:00Z", "assigned_by": "queue-a"}
             for name in CUSTOMERS]  # fmt: skip
    stage.load("assignments", given)
    stage.home.close()
    after = _watch(capsys)
    changed = {one["finding"]: one for one in after["changes"]}
    assert {one["finding"] for one in touched if one["rule"] == "D01"} <= set(changed)
    assert {one["change"] for one in changed.values()} <= {"withdrawn", "weakened"}
    assert set(changed) <= {one["finding"] for one in touched}
    left = {one["finding"]: one["level"] for one in after["findings"]}
    assert {name: left.get(name) for name in left} == {
        one["finding"]: one["level"] for one in before["findings"] if one["finding"] in left
    }
    with Home.open(home) as opened:
        leaves = [json.loads(json.dumps(leaf.what)) for leaf in opened.own_leaves() if leaf.what.get("what") == "verdicts"]
        assert [one["finding"] for one in leaves[0]["changes"]] == [one["finding"] for one in after["changes"]]
        kept = opened.desk().verdicts()
    assert {one["finding"] for one in kept} == set(changed)
    assert all(one["before"] for one in kept)
    assert _watch(capsys)["changes"] == []


def test_a_repeat_raises_a_count_on_the_open_finding(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _of(_watch(capsys), home, "reader")
    stage = Stage(home.parent, Home.open(home))
    stage.look("reader", [CUSTOMERS[0]], 5)
    stage.home.checkpoint()
    stage.home.close()
    watched = _watch(capsys)
    grown = {name: count for name, count in watched["repeats"].items() if count}
    assert grown
    assert set(grown.values()) == {1}
    with Home.open(home) as opened:
        kept = {str(row["finding"]): row.get("repeats") for row in opened.desk().findings()}
    assert {kept[name] for name in grown} == {1}
    gone = {one["finding"] for one in before} - {one["finding"] for one in watched["findings"]}
    assert gone
    assert gone.isdisjoint(kept)
    assert _watch(capsys)["repeats"] == watched["repeats"]
