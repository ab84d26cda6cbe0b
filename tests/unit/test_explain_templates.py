"""The shelf of templates: each file keeps the contract and the dialect, and its own tests pass on a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from custodes.dialect import check_sql
from custodes.engines.duckdb_engine import open_engine
from custodes.errors import BadRule
from custodes.explain import load_templates
from custodes.explain.template import READABLE, load_folder, parse
from custodes.explain.trial import run_trials, world
from custodes.explain.verdicts import in_order, run
from custodes.model.policy import Policy
from custodes.model.tables import TABLES

SHELF = load_templates()
FOLDER = Path(__file__).resolve().parents[2] / "src" / "custodes" / "explain" / "templates"


def test_the_shelf_holds_thirteen_codes_in_files_of_their_name() -> None:
    assert [template.code for template in SHELF] == [f"E{number}" for number in range(1, 14)]
    assert sorted(int(path.name[1:3]) for path in FOLDER.glob("*.yml")) == list(range(1, 14))


@pytest.mark.parametrize("template", SHELF, ids=lambda template: template.code)
def test_every_template_keeps_the_dialect(template) -> None:
    check_sql(template.bound(), READABLE)
    for absence in template.absent:
        check_sql(f"SELECT l.look FROM looks l WHERE {absence.when}", READABLE)


@pytest.mark.parametrize("template", SHELF, ids=lambda template: template.code)
def test_the_tests_inside_a_template_pass(template, tmp_path: Path) -> None:
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as engine:
        assert run_trials(engine, template, SHELF) == []


@pytest.mark.parametrize("template", SHELF, ids=lambda template: template.code)
def test_every_template_says_why_and_what_it_cannot_see(template) -> None:
    for page in ("finds", "why", "innocent", "forger_needs", "known_gaps", "since", "strength"):
        assert page in template.pages
    assert template.tests
    assert any(test.get("explains") for test in template.tests)
    for check in template.checks:
        table, _, column = check.lacks.partition(".")
        assert table in {*TABLES, "accesses", "policy"}
        if table in TABLES:
            assert column in {entry.name for entry in TABLES[table].columns}


def test_a_false_expectation_in_a_template_is_noticed(tmp_path: Path) -> None:
    text = (
        (FOLDER / "E13_public_fields.yml").read_text().replace("strength: 3, evidence_key: crm", "strength: 4, evidence_key: crm")
    )
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as engine:
        problems = run_trials(engine, parse(text, "changed.yml"), SHELF)
    assert len(problems) == 2  # what was expected is not there, and what is there was not expected


def test_deleting_a_check_turns_its_tests_red(tmp_path: Path) -> None:
    text = (FOLDER / "E01_subject_ticket.yml").read_text()
    loose = text.replace("CASE WHEN h.assigned_by = h.human OR k.actor IS NOT NULL THEN 0 ELSE 1 END AS c_by", "1 AS c_by")
    assert loose != text
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as engine:
        assert run_trials(engine, parse(loose, "loose.yml"), SHELF)


def changed(**parts: object) -> str:
    body = yaml.safe_load((FOLDER / "E13_public_fields.yml").read_text())
    body.update(parts)
    return yaml.safe_dump({key: value for key, value in body.items() if value is not None})


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"schema": "custodes.rule/2"}, "schema"),
        ({"kind": "flag"}, "kind explain"),
        ({"mined": True}, "unknown key"),
        ({"version": "one"}, "whole number"),
        ({"title": None}, "title"),
        ({"sql": "SELECT l.look FROM looks l"}, "expected look, evidence_table"),
        ({"sql": "SELECT 1 FROM read_csv('/etc/passwd')"}, "function"),
        ({"checks": {"c_x": {"lacks": "a.b", "says": "x"}}}, "expected look"),
        ({"checks": {"c_x": {"lacks": "a.b", "says": "x", "flag": "always"}}}, "flag"),
        ({"requires": {"tables": ["users"]}}, "unknown table"),
        ({"params": {"n": {"default": 9, "min": 0, "max": 5, "unit": "x", "why": "y"}}}, "bounds"),
        ({"absent": [{"lacks": "a.b", "says": "x", "when": "getenv('HOME') = ''"}]}, "getenv"),
        ({"steps": ["elsewhere"]}, "elsewhere"),
        ({"steps": ["tickets"]}, "the name of a view"),
    ],
)
def test_a_broken_template_is_an_error_that_names_the_place(parts: dict[str, object], said: str) -> None:
    with pytest.raises(BadRule, match=said):
        parse(changed(**parts), "broken.yml")


def test_a_template_cannot_read_verdicts_it_does_not_wait_for() -> None:
    body = yaml.safe_load((FOLDER / "E09_handover_or_quality.yml").read_text())
    body.pop("after")
    with pytest.raises(BadRule, match="after"):
        parse(yaml.safe_dump(body, sort_keys=False), "greedy.yml")
    for view in ("residue", "flags", "obligations"):
        with pytest.raises(BadRule):
            check_sql(f"SELECT access FROM {view}", READABLE)


def test_what_is_alive_in_a_step_is_asked_of_its_own_columns() -> None:
    body = yaml.safe_load((FOLDER / "E01_subject_ticket.yml").read_text())
    body["alive"]["given"] = "r.opened <= :until"
    with pytest.raises(BadRule, match="opened"):
        parse(yaml.safe_dump(body, sort_keys=False), "late.yml")


def test_templates_that_wait_for_each_other_are_refused() -> None:
    one, two = parse(changed(code="A1", after=["A2"]), "1"), parse(changed(code="A2", after=["A1"]), "2")
    with pytest.raises(BadRule, match="wait for each other"):
        in_order([one, two])


def test_templates_of_a_folder_of_ones_own_run_on_a_world_of_two_views(tmp_path: Path) -> None:
    """The way an evaluation brings its own templates: looks, one context table, and own earlier accesses in time order."""
    (tmp_path / "T1.yml").write_text(
        changed(
            code="T1",
            sql="""SELECT l.look, 'assignments' AS evidence_table, a.row_key AS evidence_key, 3 AS strength, 0 AS claimed
                   FROM looks l INNER JOIN assignments a ON a.ticket = l.reason AND a.actor = l.human AND a.valid_from < l.time""",
        )
    )
    (tmp_path / "T3.yml").write_text(
        changed(
            code="T3",
            after=["T1"],
            repeat=True,
            sql="""SELECT l.look, 'looks' AS evidence_table, l.reason AS evidence_key, 2 AS strength, 0 AS claimed
                   FROM looks l INNER JOIN looks e ON e.reason = l.reason AND e.human = l.human AND e.time < l.time
                   WHERE EXISTS (SELECT 1 FROM explanations x WHERE x.look = e.look)""",
        )
    )
    templates = load_folder(tmp_path)
    looks = [
        {"look": 1, "access": 1, "human": "a1", "reason": "T1", "time": "2026-03-02T10:00:00Z"},  # before anything explains it
        {"look": 2, "access": 2, "human": "a1", "reason": "T1", "time": "2026-03-02T12:00:00Z"},
        {"look": 3, "access": 3, "human": "a2", "reason": "T1", "time": "2026-03-02T13:00:00Z"},
    ]
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as engine:
        row = {"ticket": "T1", "actor": "a1", "valid_from": "2026-03-02T11:00:00Z", "row_key": "T1"}
        world(engine, {"looks": looks, "assignments": [row]})
        done = run(engine, templates, Policy(), {"assignments"})
        assert engine.rows("SELECT access FROM residue ORDER BY access") == [(1,), (3,)]
        assert done.explained == {"T1": 1}
        engine.run("DROP TABLE looks")
        chain = [{**looks[1], "look": n, "access": n, "time": f"2026-03-02T{12 + n}:00:00Z"} for n in range(5)]
        world(engine, {"looks": chain, "assignments": [{**row, "valid_from": "2026-03-02T11:00:00Z"}]})
        assert run(engine, templates, Policy(), {"assignments"}).explained == {"T1": 5, "T3": 4}
