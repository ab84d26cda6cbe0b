"""`custodes world` at the command line: data on stdout, talk on stderr, exit codes of the house."""

from __future__ import annotations

import json

import pytest

from custodes.cli import run
from custodes.world.language import library


def test_list_shows_every_scenario(capsys):
    assert run(["world", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(library().scenarios)
    assert next(line for line in lines if line.startswith("F01")).split()[1:3] == ["abuse", "demo"]


def test_build_writes_a_folder_of_exports_and_says_where(tmp_path, capsys):
    out = tmp_path / "company"
    assert run(["world", "build", "--scenario", "S08", "--size", "tiny", "--level", "hard", "--seed", "3", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert "S08-1, B07-1, B13-1" in said.err
    truth = json.loads((out / "truth.json").read_text("utf-8"))
    assert (truth["schema"], truth["scenario"], truth["seed"]) == ("custodes.truth/1", "S08", 3)
    assert {"accesses-001.ndjson", "context", "datamap.yaml", "policy.yaml", "truth.json"} == {path.name for path in out.iterdir()}
    assert (out / "context" / "protected.csv").exists()


def test_two_scenarios_are_joined_in_the_truth_and_none_brings_its_twins(tmp_path):
    arguments = ["world", "build", "--scenario", "S13", "--scenario", "S05", "--twins", "0", "--size", "tiny", "--seed", "1"]
    assert run([*arguments, "--out", str(tmp_path / "w")]) == 0
    truth = json.loads((tmp_path / "w" / "truth.json").read_text("utf-8"))
    assert truth["scenario"] == "S13+S05"
    assert [one["id"] for one in truth["campaigns"]] == ["S13-1", "S05-1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scenario", "S99", "--seed", "1"], "no scenario 'S99'"),
        (["--scenario", "S01", "--seed", "1", "--size", "odd"], "no size 'odd'"),
        (["--scenario", "S17", "--seed", "1", "--size", "tiny"], "smallest size that holds it: long"),
        (["--scenario", "S01", "--seed", "one"], "not a valid"),
        (["--seed", "1"], "--scenario"),
        (["--scenario", "S01", "--seed", "1", "--file", "absent.json"], "absent.json"),
    ],
)
def test_what_cannot_be_built_ends_with_two_and_a_sentence(tmp_path, capsys, arguments, says):
    assert run(["world", "build", *arguments, "--out", str(tmp_path / "w")]) == 2
    assert says in capsys.readouterr().err


def test_a_folder_with_other_things_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("keep", "utf-8")
    assert run(["world", "build", "--scenario", "S05", "--seed", "1", "--size", "tiny", "--out", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err
