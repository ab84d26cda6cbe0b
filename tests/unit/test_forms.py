"""JSON, SARIF and text forms of a run say the same and fit their formats."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel
from sarif_pydantic import Sarif

from custodes.disclose.document import as_json, as_lines
from custodes.disclose.sarif import as_sarif
from custodes.disclose.text import as_text
from custodes.minimise.display import Display
from custodes.model.finding import Campaign, Evidence, Finding
from custodes.model.run import ActorFacts, Checkpoint, NotChecked, RuleUse, SourceCoverage, WatchRun

FIRST = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=UTC)
ACTOR, SUBJECT, LINKED = "a-" + "b" * 16, "s-" + "c" * 16, "s-" + "d" * 16

FINDING = Finding(
    finding="f-1",
    rule="D09",
    rule_version=1,
    title="Oversight unit without a fitting reason",
    level="high",
    confidence="high",
    actors=(ACTOR,),
    subjects=(SUBJECT,),
    accesses=("x-" + "e" * 26,),
    leaves=(17,),
    first=FIRST,
    last=FIRST,
    sentence=f"{ACTOR} read ip_log of {SUBJECT}",
    codes=("V2", "V5"),
    missing=("E2:case_scope.subject",),
    evidence=(Evidence("cases", "K-1"),),
    questions=("who asked?",),
    innocent=("the case was extended by word of mouth",),
)
CAMPAIGN = Campaign(
    campaign="c-1",
    rank=1,
    level="high",
    score=990,
    sentence=f"{ACTOR} looked at {SUBJECT}",
    codes=("V2", "V5"),
    missing=("E2:case_scope.subject",),
    evidence=(Evidence("cases", "K-1"),),
    findings=("f-1",),
    accesses=FINDING.accesses,
    actors=(ACTOR,),
    subjects=(SUBJECT,),
    linked_subjects=(LINKED,),
    derived=("o-" + "f" * 16,),
    units=("audit/internal/austin",),
    countries=("US",),
    first=FIRST,
    last=FIRST,
    fields=("ip_log",),
    route="privacy/office",
)
RUN = WatchRun(
    simulated=True,
    since=FIRST,
    until=FIRST,
    budget=20,
    accesses=1000,
    looks=900,
    residue=60,
    explained={"E1": 800, "E2": 40},
    campaigns=(CAMPAIGN,),
    findings={"f-1": FINDING},
    cut={"D01": 41},
    audit=("x-" + "g" * 26,),
    not_checked=(NotChecked("relations (D10)", "the table relations is not loaded"),),
    failed_rules=(),
    coverage=(SourceCoverage("access", 1000, 950, ("trusts the sender",)),),
    rejected={"time without a zone": 3},
    checkpoint=Checkpoint("custodes.example/access", 1100, "AAAA"),
    rules=(RuleUse("D09", FINDING.title, 1, "ab" * 32, 1),),
    actors={ACTOR: ActorFacts("audit/internal/austin", "US")},
)
WATCH_KEYS = {
    *("schema", "simulated", "window", "budget", "ranked_by", "campaigns", "findings", "cut", "audit"),
    *("not_checked", "coverage", "rejected", "checkpoint"),
    *("audit_of", "audit_by", "suppressed", "changes", "repeats", "fairness"),
}
CAMPAIGN_KEYS = {
    *("schema", "campaign", "rank", "level", "score", "sentence", "codes", "missing", "evidence", "findings", "accesses"),
    *("actors", "subjects", "linked_subjects", "derived", "units", "countries", "first", "last", "fields", "route"),
    "score_reasons",
}
FINDING_KEYS = {
    *("schema", "finding", "rule", "title", "time", "actors", "subjects", "linked_subjects", "accesses", "window", "level"),
    *("score", "sentence", "codes", "explained_by", "missing", "evidence", "questions", "innocent", "ledger", "campaign"),
    *("score_reasons", "score_recipe"),
}


def test_json_holds_every_key_of_the_format() -> None:
    document = json.loads(as_json(RUN))
    assert document["schema"] == "custodes.watch/1"
    assert set(document) == WATCH_KEYS
    assert set(document["campaigns"][0]) == CAMPAIGN_KEYS
    assert set(document["findings"][0]) == FINDING_KEYS
    assert document["findings"][0]["ledger"] == [17]
    assert document["findings"][0]["time"] == "2026-03-02T09:00:00.123456Z"
    assert document["cut"] == [{"rule": "D01", "campaigns": 41}]


def test_lines_hold_the_same_campaigns_and_findings() -> None:
    document = json.loads(as_json(RUN))
    assert [json.loads(line) for line in as_lines(RUN)] == [*document["campaigns"], *document["findings"]]


def test_what_failed_is_said_before_what_was_missing() -> None:
    broken = replace(RUN, failed_rules=(NotChecked("D05", "the rule raised"),))
    assert [item["what"] for item in json.loads(as_json(broken))["not_checked"]] == ["D05", "relations (D10)"]


def _foreign(model: BaseModel) -> list[str]:
    found = [f"{type(model).__name__}.{name}" for name in model.model_extra or {}]
    for value in dict(model).values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                found.extend(_foreign(item))
    return [name for name in found if "PropertyBag" not in name]


def test_sarif_is_read_by_a_foreign_reader_without_unknown_properties() -> None:
    log = Sarif.model_validate_json(as_sarif(RUN, version="1"))
    assert not _foreign(log)
    result = log.runs[0].results[0]
    assert (result.rule_id, result.level) == ("D09", "error")


def test_text_shows_names_for_people_and_says_what_was_not_checked() -> None:
    display = Display(b"k" * 32, [ACTOR, SUBJECT, LINKED])
    text = "\n".join(as_text(RUN, display))
    assert text.startswith("SIMULATED")
    assert "60 of 900 looks" in text
    assert display.name(ACTOR) in text
    assert ACTOR not in text
    assert "the table relations is not loaded" in text
    assert "3 lines (time without a zone)" in text
    assert "41 led by D01" in text
    assert max(len(line) for line in text.splitlines()) <= 160


def test_an_empty_home_says_so_instead_of_calling_itself_clean() -> None:
    empty = replace(RUN, accesses=0, looks=0, residue=0, campaigns=(), findings={})
    assert "No access has been recorded yet" in "\n".join(as_text(empty, Display(b"k" * 32, [])))


def test_without_tickets_cases_and_grants_it_says_could_not_check_instead_of_shouting() -> None:
    text = "\n".join(as_text(replace(RUN, reasons_known=False), Display(b"k" * 32, [])))
    assert "could not be checked" in text
    assert "have no recorded reason" not in text


@pytest.mark.parametrize("form", [as_json, lambda run: as_sarif(run, version="1")])
def test_forms_are_deterministic(form: object) -> None:
    assert form(RUN) == form(RUN)  # type: ignore[operator]  # both take a run
