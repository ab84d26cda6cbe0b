"""From rows to findings: grouping, words, codes, and that order, threads and a failing neighbour change nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.model.finding import Evidence, Finding
from custodes.model.tables import TABLES
from custodes.rule import ShelfRun, load_shelf, run_shelf
from custodes.rule_trial import fill
from custodes.rule_words import counted

SHELF = {rule.code: rule for rule in load_shelf()}
LOADED = set(TABLES)
Tables = dict[str, list[dict[str, Any]]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(memory_mb=256, threads=2, directory=tmp_path) as opened:
        yield opened


def _look(access: int, subject: str | None = "s-a", actor: str = "a-x", day: int = 2, **more: Any) -> dict[str, Any]:
    time = datetime(2026, 3, day, 9, access % 60)  # noqa: DTZ001  # engine times are UTC without a zone
    base = {"access": access, "subject": subject, "actor": actor, "human": actor, "time": time, "fieldset": "f-1", "public_only": 0}
    return {**base, "deliberate": True, "system": "crm", "via": "direct", **more}


def _world(looks: list[dict[str, Any]], **more: list[dict[str, Any]]) -> Tables:
    leaves = sorted({look["access"] for look in looks})
    accesses = [{"access": leaf, "access_id": f"x-{leaf:03}", "fieldset": "f-1"} for leaf in leaves]
    fieldsets = [
        {"fieldset": "f-1", "system": "crm", "resource": "page", "field": "email", "category": "contact"},
        {"fieldset": "f-1", "system": "crm", "resource": "page", "field": "ip", "category": "ip_address"},
        {"fieldset": "f-1", "system": "crm", "resource": "page", "field": "nick", "category": "public"},
    ]
    return {"looks": looks, "accesses": accesses, "fieldsets": fieldsets, **more}


def _run(engine: Engine, tables: Tables, *codes: str, loaded: set[str] = LOADED) -> ShelfRun:
    fill(engine, tables)
    return run_shelf(engine, [SHELF[code] for code in codes], loaded)


def _only(run: ShelfRun) -> Finding:
    assert not run.failed
    (finding,) = run.findings
    return finding


def test_looks_of_one_pair_within_the_days_are_one_finding(engine: Engine) -> None:
    finding = _only(_run(engine, _world([_look(1, day=2), _look(2, day=5), _look(3, day=8)]), "D01"))
    assert finding.accesses == ("x-001", "x-002", "x-003")
    assert finding.leaves == (1, 2, 3)
    assert finding.first == datetime(2026, 3, 2, 9, 1, tzinfo=UTC)
    assert finding.last == datetime(2026, 3, 8, 9, 3, tzinfo=UTC)


def test_looks_further_apart_than_the_days_are_two(engine: Engine) -> None:
    run = _run(engine, _world([_look(1, day=2), _look(2, day=9), _look(3, day=10)]), "D01")
    assert [finding.accesses for finding in run.findings] == [("x-001",), ("x-002", "x-003")]


def test_one_statement_about_many_subjects_is_one_finding(engine: Engine) -> None:
    finding = _only(_run(engine, _world([_look(1, subject=f"s-{n}") for n in range(5)]), "D01"))
    assert finding.subjects == ("s-0", "s-1", "s-2", "s-3", "s-4")
    assert "of 5 subjects in 1 look" in finding.sentence


def test_sentence_says_who_whom_what_when_and_what_was_missing(engine: Engine) -> None:
    lacks = [
        {"access": 1, "subject": "s-a", "token": "E3:grants.grant"},
        {"access": 1, "subject": "s-a", "token": "E2:case_scope.subject", "evidence_table": "cases", "evidence_key": "K1"},
        {"access": 1, "subject": "s-a", "token": "E12:incidents.incident"},
    ]
    finding = _only(_run(engine, _world([_look(1), _look(2)], lacks=lacks), "D01"))
    assert finding.sentence == (
        "a-x opened contact and IP address data in crm of s-a in 2 looks between 2026-03-02 09:01 and 2026-03-02 09:02 UTC: "
        "the cited case does not name this subject (case K1); no approved grant exists."
    )
    assert finding.missing == ("E2:case_scope.subject", "E3:grants.grant")
    assert finding.evidence == (Evidence("cases", "K1"),)


def test_person_whom_the_log_does_not_name_is_said(engine: Engine) -> None:
    finding = _only(_run(engine, _world([_look(1, subject=None)]), "D01"))
    assert finding.subjects == ()
    assert finding.level == "note"
    assert "of a person the log does not name" in finding.sentence


def test_codes_are_the_rules_own_first_then_what_templates_flagged(engine: Engine) -> None:
    flags = [
        {"access": 1, "subject": "s-a", "template": "E2", "code": "V4", "evidence_table": "cases", "evidence_key": "K1"},
        {"access": 1, "subject": "s-a", "template": "E2", "code": "V2", "evidence_table": "cases", "evidence_key": "K1"},
        {"access": 1, "subject": "s-other", "template": "E2", "code": "V16"},
    ]
    duties = [{"access": 1, "subject": "s-a", "duty": "two_person", "met": 0}]
    finding = _only(_run(engine, _world([_look(1)], flags=flags, obligations=duties), "D02"))
    assert finding.codes == ("V5", "V2", "V4")
    assert finding.evidence == (Evidence("cases", "K1"),)


def test_flags_of_an_unresolved_look_reach_its_finding(engine: Engine) -> None:
    flags = [{"access": 1, "template": "E2", "code": "V4", "evidence_table": "cases", "evidence_key": "K1"}]
    assert _only(_run(engine, _world([_look(1, subject=None)], flags=flags), "D01")).codes == ("V4",)


def test_finding_says_by_what_it_is_explained(engine: Engine) -> None:
    told = [{"access": 1, "subject": "s-a", "template": "E2", "strength": 3, "evidence_table": "cases", "evidence_key": "K1"}]
    duties = [{"access": 1, "subject": "s-a", "duty": "two_person", "met": 0}]
    finding = _only(_run(engine, _world([_look(1)], explanations=told, obligations=duties), "D02"))
    assert finding.explained_by == ("E2",)
    assert finding.level == "medium"
    assert "on record: an assigned case that names the subject (E2)" in finding.sentence


def test_target_and_linked_persons_are_told_apart(engine: Engine) -> None:
    links = [{"subject": "s-t", "other": f"s-{n}", "kind": kind} for n, kind in enumerate(("contact", "follows", "household"))]
    looks = [_look(1, subject="s-t", day=1), *(_look(2 + n, subject=f"s-{n}") for n in range(3))]
    crowd = [_look(100 + n, subject=f"s-c{n}", actor="a-z", time="2026-01-01 00:00") for n in range(80)]
    explained = [{"access": 100 + n, "subject": f"s-c{n}", "template": "E1", "strength": 4} for n in range(80)]
    finding = _only(_run(engine, _world([*looks, *crowd], links=links, explanations=explained), "D03"))
    assert finding.subjects == ("s-t",)
    assert finding.linked_subjects == ("s-0", "s-1", "s-2")
    assert finding.accesses == ("x-002", "x-003", "x-004")
    assert finding.facts["link"] == "contact, follows and household"
    assert "3 of 3 subjects that the same actor opened without a reason" in finding.sentence


def test_copy_is_named(engine: Engine) -> None:
    looks = [_look(1, derived="o-1", country="US"), _look(2, actor="a-y", day=3, derived_from="o-1", country="CN")]
    finding = _only(_run(engine, _world(looks), "D06"))
    assert finding.derived == ("o-1",)
    assert "a-y in CN opened a copy" in finding.sentence
    assert "within 25 hours after a-x had exported it in US" in finding.sentence


def test_same_input_same_findings(tmp_path: Path) -> None:
    chance = random.Random(7)
    looks = [_look(n, subject=f"s-{n % 7}", actor=f"a-{n % 5}", day=1 + n % 27, system=f"sys-{n % 4}") for n in range(1, 200)]
    flags = [{"access": n, "subject": f"s-{n % 7}", "template": "E2", "code": f"V{2 + n % 3}"} for n in range(1, 200, 3)]
    seen = []
    for threads in (1, 2):
        with open_engine(memory_mb=256, threads=threads, directory=tmp_path) as engine:
            for _ in range(3):
                chance.shuffle(looks)
                chance.shuffle(flags)
                seen.append(_run(engine, _world(looks, flags=flags), "D01").findings)
    assert seen[0]
    assert all(findings == seen[0] for findings in seen)


def test_id_follows_rule_version_and_accesses(engine: Engine) -> None:
    one = _only(_run(engine, _world([_look(1)]), "D01"))
    again = _only(_run(engine, _world([_look(1)], lacks=[{"access": 1, "subject": "s-a", "token": "E1:tickets.subject"}]), "D01"))
    other = _only(_run(engine, _world([_look(2)]), "D01"))
    fill(engine, _world([_look(1)]))
    newer = _only(run_shelf(engine, [replace(SHELF["D01"], version=99)], LOADED))
    assert one.finding == again.finding
    assert len({one.finding, other.finding, newer.finding}) == 3


def test_a_rule_that_raises_fails_alone(engine: Engine) -> None:
    fill(engine, _world([_look(1)]))
    broken = replace(SHELF["D05"], code="X01", sql="SELECT access, actor, subject, time FROM no_such_view")
    shapeless = replace(
        SHELF["D05"], code="X02", sql="SELECT actor AS access, actor, subject, time, 'EU' AS region FROM looks",
        columns=("access", "actor", "subject", "time", "region"),
    )  # fmt: skip
    run = run_shelf(engine, [broken, shapeless, SHELF["D01"]], LOADED)
    assert [failure.what for failure in run.failed] == ["border (X01)", "border (X02)"]
    assert "no_such_view" in run.failed[0].why
    assert run.failed[1].why == "raised TypeError"
    assert [use.code for use in run.uses] == ["D01"]
    assert len(run.findings) == 1


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("access", "NULL", "TypeError"),
        ("actor", "NULL", "TypeError"),
        ("time", "NULL", "TypeError"),
        ("time", "'soon'", "TypeError"),
        ("level", "NULL", "ValueError"),
        ("level", "'loud'", "ValueError"),
        ("codes", "'V1 V9'", "ValueError"),
    ],
)
def test_one_row_of_which_no_finding_can_be_made_fails_its_rule_alone(engine: Engine, column: str, value: str, why: str) -> None:
    fill(engine, _world([_look(1), _look(2, subject="s-b")]))
    cells = {"access": "access", "actor": "actor", "subject": "subject", "time": "time", "level": "'high'", "codes": "'V1'"}
    cells[column] = value if value == "'soon'" else f"CASE WHEN access = 1 THEN {cells[column]} ELSE {value} END"
    sql = f"SELECT {', '.join(f'{cell} AS {name}' for name, cell in cells.items())} FROM looks"
    bad = replace(SHELF["D01"], code="X01", sql=sql, columns=tuple(cells), codes=("V1",))
    run = run_shelf(engine, [bad, SHELF["D01"]], LOADED)
    assert [(item.what, item.why) for item in run.failed] == [("unexplained access (X01)", f"raised {why}")]
    assert [finding.rule for finding in run.findings] == ["D01", "D01"]
    assert [(use.code, use.findings) for use in run.uses] == [("D01", 2)]


def test_rules_that_return_nothing_count_as_run(engine: Engine) -> None:
    fill(engine, _world([_look(1)]))
    run = run_shelf(engine, [SHELF["D02"]], LOADED)
    assert run.findings == []
    assert [(use.code, use.findings) for use in run.uses] == [("D02", 0)]


def test_missing_table_is_could_not_check(engine: Engine) -> None:
    run = _run(engine, _world([_look(1)]), "D01", "D03", loaded={"staff"})
    assert run.findings == []
    assert [(item.what, item.why) for item in run.not_checked] == [
        ("unexplained access (D01)", "needs at least one of the context tables tickets, cases, grants; none is loaded"),
        ("linked person (D03)", "needs the context table links, which is not loaded"),
    ]


def test_empty_column_and_stale_table_are_could_not_check(engine: Engine) -> None:
    empty = replace(SHELF["D01"], requires=replace(SHELF["D01"].requires, columns=("subjects.region",)))
    stale = replace(SHELF["D01"], requires=replace(SHELF["D01"].requires, freshness={"tickets": 2}))
    tickets = [{"ticket": "k-1", "recorded": "2026-02-27 09:01"}]
    fill(engine, _world([_look(1, day=2)], subjects=[{"subject": "s-a"}], tickets=tickets))
    run = run_shelf(engine, [empty, stale], LOADED)
    assert [item.why for item in run.not_checked] == [
        "needs region in the context table subjects, where it is empty",
        "the context table tickets was loaded more than 2 days before the last access",
    ]
    fill(engine, _world([_look(1, day=1)], subjects=[{"subject": "s-a", "region": "EU"}], tickets=tickets))
    assert run_shelf(engine, [empty, stale], LOADED).not_checked == []


def test_what_a_rule_had_to_leave_out_is_counted(engine: Engine) -> None:
    regions = [{"region": "EU", "kind": "country", "value": "IE"}]
    subjects = [{"subject": "s-a", "region": "EU"}]
    looks = [_look(1, country="IE"), _look(2), _look(3, subject="s-unknown", country="IE")]
    run = _run(engine, _world(looks, subjects=subjects, policy_regions=regions), "D05")
    assert run.findings == []
    (item,) = run.not_checked
    assert item.what == "border (D05)"
    assert item.why.startswith("2 looks could not be placed: 1 where the subject or a region that policy knows is missing, 1 where")


def test_retired_rules_do_not_run(engine: Engine) -> None:
    fill(engine, _world([_look(1)]))
    run = run_shelf(engine, [replace(SHELF["D01"], state="retired")], LOADED)
    assert (run.findings, run.uses) == ([], [])


def test_nothing_of_the_run_stays_in_the_engine(engine: Engine) -> None:
    fill(engine, _world([_look(1)]))
    before = engine.rows("SELECT table_name FROM information_schema.tables ORDER BY table_name")
    assert run_shelf(engine, [SHELF["D01"]], LOADED).findings
    assert engine.rows("SELECT table_name FROM information_schema.tables ORDER BY table_name") == before


@pytest.mark.parametrize(("number", "noun", "words"), [(1, "look", "1 look"), (3, "country", "3 countries"), (0, "day", "0 days")])
def test_counts_are_words(number: int, noun: str, words: str) -> None:
    assert counted(number, noun) == words
