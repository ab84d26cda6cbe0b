"""`custodes evaluate scenarios` builds a company, watches it as anybody would, and scores what was shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custodes.cli import run
from custodes.evaluate.scenarios import GATES, NEVER_LOUD


def figures_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    assert run(["evaluate", "scenarios", *arguments]) == code
    return json.loads(capsys.readouterr().out)


def test_the_leak_hunt_is_found_in_a_small_company_and_its_twins_stay_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    figures = figures_of(capsys, "--only", "S01", "--seeds", "11", "--size", "tiny", "--wrong-labels", "20")
    assert figures["schema"] == "custodes.evaluation/1"
    (world,) = figures["worlds"]
    (one,) = world["abuse"]
    assert one["found"]
    assert one["rank"] <= 20
    assert one["first_code"]
    assert one["own_rule"]
    assert {twin["scenario"] for twin in world["innocent"]} == {"B01", "B07", "B08"}
    assert figures["overall"]["quiet"]["share"] == 1
    assert world["false"]["benign_accesses"] > 10_000
    assert world["labels"]["labelled"] == world["campaigns"]
    assert world["labels"]["wrong"] == world["campaigns"] // 5 > 0
    assert figures["overall"]["wrong_labels_cost_points"] == 0, "nothing learns from labels, so wrong ones cost nothing"


def test_what_does_not_fit_is_said_and_never_counted_as_found(capsys: pytest.CaptureFixture[str]) -> None:
    figures = figures_of(capsys, "--only", "S17", "--seeds", "3", "--size", "tiny", code=5)
    assert "does not fit" in figures["not_judged"]["S17, seed 3"]
    assert figures["overall"]["found"] == {"yes": 0, "of": 0, "share": None, "from": None, "to": None}
    assert figures["abuse"] == {}


def test_an_unknown_scenario_is_refused_before_anything_is_built(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "scenarios", "--only", "S99"]) == 2
    assert "S99" in capsys.readouterr().err


@pytest.mark.slow
def test_gate_found(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("medium", "hard"):
        figures = figures_of(capsys, "--only", ",".join(GATES), "--seeds", "100-119", "--size", "demo", "--level", level)
        assert figures["overall"]["gates_found"]["share"] == 1
        assert all(one["rank"] <= 20 for world in figures["worlds"] for one in world["abuse"])
        assert figures["overall"]["first_code"]["share"] == 1


@pytest.mark.slow
def test_gate_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("easy", "medium", "hard"):
        figures = figures_of(capsys, "--only", ",".join(NEVER_LOUD), "--seeds", "100-119", "--size", "demo", "--level", level)
        assert figures["overall"]["never_loud"]["share"] == 1


@pytest.mark.slow
def test_no_code_per_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from custodes import world

    ours = json.loads(Path(world.__file__).with_name("scenarios.json").read_text("utf-8"))
    body = next(one for one in ours["abuse"] if one["id"] == "S05")
    renamed = {**body, "id": "Z77", "knobs": {**body["knobs"], "ring": {"easy": 6, "medium": 6, "hard": 6}}}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"schema": "custodes.scenarios/1", "abuse": [renamed]}), "utf-8")
    figures = figures_of(capsys, "--only", "Z77", "--seeds", "3", "--size", "demo", "--twins", "0", "--file", str(file))
    assert figures["abuse"]["Z77"]["found"]["share"] == 1
