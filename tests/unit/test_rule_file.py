"""A rule file is read strictly: what is not understood is an error with file and key, never ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import custodes.rules
from custodes.errors import BadRule, ConfigError, UnknownKey
from custodes.rule_file import Rule, read_rule, split_sentence

GOOD = (Path(next(iter(custodes.rules.__path__))) / "D01_unexplained_access.yml").read_text()


def _read(**changes: Any) -> Rule:
    body = yaml.safe_load(GOOD)
    body.update(changes)
    if True in body:  # YAML 1.1 takes `on` for a truth value; our reader does not
        body["on"] = body.pop(True)
    return read_rule(yaml.safe_dump({key: value for key, value in body.items() if value != "gone"}), "D01_x.yml")


def test_the_untouched_file_is_read() -> None:
    rule = _read()
    assert (rule.code, rule.on, rule.dedup_key, rule.per_week) == ("D01", "residue", ("actor", "subject"), 8)
    assert {parameter.name: parameter.default for parameter in rule.params} == {"burst_minutes": 6, "burst_systems": 3}
    assert ":burst" not in rule.sql


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"severity": "high"}, "D01_x.yml: unknown key 'severity'"),
    "unknown key inside": ({"dedup": {"key": ["actor"], "days": 7, "hours": 1}}, "dedup: unknown key 'hours'"),
    "unknown key of a parameter": (
        {"params": {"burst_minutes": {"default": 1, "min": 1, "max": 2, "unit": "m", "why": "x", "step": 1}}},
        "params.burst_minutes: unknown key 'step'",
    ),
    "wrong schema": ({"schema": "custodes.rule/2"}, "custodes.rule/1"),
    "missing title": ({"title": "gone"}, "title: expected a text"),
    "missing words": ({"questions": "gone"}, "questions"),
    "bad code": ({"code": "rule-1"}, "no code"),
    "bad level": ({"level": "critical"}, "level: expected one of note, low, medium, high"),
    "bad state": ({"state": "done"}, "state"),
    "bad V code": ({"codes": ["X9"]}, "'X9' is no code"),
    "bad template": ({"asks": ["T1"]}, "'T1' is no code"),
    "version as text": ({"version": "1"}, "version: expected a whole number"),
    "truth value as number": ({"version": True}, "version: expected a whole number"),
    "bad sql": ({"sql": "SELECT getenv('HOME') AS x FROM residue"}, r"D01_x.yml.sql: line 1: function getenv"),
    "undeclared parameter": ({"sql": "SELECT access FROM residue WHERE access > :more"}, ":more is not declared"),
    "idle parameter": ({"sql": "SELECT access, actor, subject, time, 1 AS level FROM residue"}, "'burst_minutes' is declared"),
    "parameter outside its limits": (
        {"params": {"burst_minutes": {"default": 9, "min": 1, "max": 2, "unit": "minutes", "why": "x"}}},
        "default 9 lies outside 1 to 2",
    ),
    "parameter as float": (
        {"params": {"burst_minutes": {"default": 1.5, "min": 1, "max": 2, "unit": "minutes", "why": "x"}}},
        "default: expected a whole number",
    ),
    "sentence names nothing": ({"sentence": "{actors} and {nobody}"}, "{nobody} is neither"),
    "key that is no column": ({"dedup": {"key": ["session"], "days": 7}}, "no 'session'"),
    "unknown table": ({"requires": {"tables": ["protected"]}}, "'protected' is no context table"),
    "unknown column": ({"requires": {"columns": ["subjects.name"]}}, "no column 'name'"),
    "no tests": ({"tests": "gone"}, "without tests"),
    "empty tests": ({"tests": []}, "0 fire"),
    "not a mapping": ({"dedup": "actor"}, "expected a mapping"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_what_breaks_the_contract_is_refused_by_place(name: str) -> None:
    changes, words = BAD[name]
    with pytest.raises(ConfigError) as caught:
        _read(**changes)
    assert words in str(caught.value)
    assert "D01_x.yml" in str(caught.value)


def test_unknown_keys_are_their_own_error() -> None:
    with pytest.raises(UnknownKey):
        _read(severity="high")


def test_a_key_written_twice_is_refused() -> None:
    with pytest.raises(BadRule, match="'level' stands twice"):
        read_rule(GOOD + "\nlevel: high\n", "D01_x.yml")


def test_yaml_that_builds_objects_is_refused() -> None:
    with pytest.raises(BadRule):
        read_rule("schema: !!python/object/apply:os.system ['true']\n", "D01_x.yml")


@pytest.mark.parametrize("text", ["", "[]", "just words", "a: [", "\x00"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(BadRule, match=r"D01_x\.yml"):
        read_rule(text, "D01_x.yml")


@pytest.mark.parametrize("kind", ["fire", "stay quiet", "stand on a boundary"])
def test_a_rule_shows_that_it_fires_stays_quiet_and_knows_its_boundary(kind: str) -> None:
    tests = yaml.safe_load(GOOD)["tests"]
    kept = {
        "fire": [trial for trial in tests if trial.get("boundary") or not trial["rows"]],
        "stay quiet": [trial for trial in tests if trial.get("boundary") or trial["rows"]],
        "stand on a boundary": [trial for trial in tests if not trial.get("boundary")],
    }
    with pytest.raises(BadRule, match=kind):
        _read(tests=kept[kind])


def test_a_test_names_only_columns_that_exist() -> None:
    tests = yaml.safe_load(GOOD)["tests"]
    tests[0]["tables"]["looks"][0]["colour"] = "red"
    with pytest.raises(BadRule, match="colour"):
        _read(tests=tests)


def test_residue_rule_that_reads_all_looks_is_refused() -> None:
    sql = yaml.safe_load(GOOD)["sql"].replace("residue", "looks")
    with pytest.raises(BadRule, match="judges the residue"):
        _read(sql=sql)


def test_digest_follows_the_file() -> None:
    assert read_rule(GOOD, "D01_x.yml").digest != read_rule(GOOD + "# a remark\n", "D01_x.yml").digest


def test_a_sentence_is_cut_into_text_name_and_noun() -> None:
    assert split_sentence("{actors} in {n:system}.") == [("", "actors", ""), (" in ", "n", "system"), (".", "", "")]
