"""`custodes explain ACCESS`: what was tried and what was lacking, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from custodes.cli import run

FILES = {
    "datamap.yaml": "crm:\n  page:\n    fields: {email: contact, shown: public}\n",
    "policy.yaml": "schema: custodes.policy/1\nprotected:\n  journalist: {obliges: [outside_approver], categories: [contact]}\n",
    "context/staff.csv": "actor,unit,country\nemp-1,support/tier1,IE\nemp-2,audit/internal,US\n",
    "context/tickets.csv": "ticket,subject,origin,opened,inbound\ntkt-1,acc-canary-1,subject,2026-03-01T09:00:00Z,msg-1\n",
    "context/assignments.csv": (
        "ticket,case,actor,valid_from,assigned_by\ntkt-1,,emp-1,2026-03-01T09:00:00Z,queue\n,cas-1,emp-2,2026-03-01T00:00:00Z,emp-9\n"
    ),
    "context/cases.csv": "case,kind,opened,opened_by,scope_kind\ncas-1,code_of_conduct,2026-03-01T00:00:00Z,emp-9,staff\n",
    "context/case_scope.csv": "case,actor,added,added_by\ncas-1,emp-1,2026-03-01T00:00:00Z,emp-9\n",
    "context/protected.csv": "subject,class\nacc-canary-1,journalist\n",
}
COMMON = {
    "action": "read",
    "system": "crm",
    "resource": "page",
    "fields": ["email"],
    "subjects": ["acc-canary-1"],
    "deliberate": True,
}
ACCESSES = (
    {"id": "evt-1", "time": "2026-03-01T10:00:00Z", "actor": "emp-1", "purpose": "support", "reason": "tkt-1"},
    {"id": "evt-2", "time": "2026-03-01T11:00:00Z", "actor": "emp-2", "purpose": "code_of_conduct", "reason": "cas-1"},
    {"id": "evt-3", "time": "2026-03-01T12:00:00Z", "actor": "emp-2", "action": "login", "subjects": [], "fields": []},
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    for name, text in FILES.items():
        (folder / "exports" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "exports" / name).write_text(text)
    lines = "".join(json.dumps({**COMMON, **row}) + "\n" for row in ACCESSES)
    (folder / "exports" / "accesses.ndjson").write_text(lines)
    assert run(["init", "--simulated", str(folder / "home")]) == 0
    assert run(["load", "--home", str(folder / "home"), str(folder / "exports")]) == 0
    return folder / "home"


@pytest.fixture
def explain(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def go(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(["explain", "--home", str(home), *arguments])
        return (code, *capsys.readouterr())

    return go


def test_an_explained_access_names_its_reason(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = explain("evt-1")
    assert code == 0
    assert "explained by E1 (strength 4)" in out
    assert "tickets tkt-1" in out
    assert "a duty of policy, outside approver: met" in out  # the subject's own ticket, about contact data
    assert "? E3" in out  # grants were not loaded
    assert "canary" not in out
    assert "emp-" not in out


def test_an_unexplained_access_says_what_each_template_lacked(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = explain("evt-2")
    assert code == 0
    assert "nothing explains it" in out
    assert "! E2 An assigned case whose scope names the subject  [V2]" in out
    assert "cases cas-1, the claimed reason" in out
    assert "lacks case_scope.subject: the case does not name this subject" in out
    assert "lacks assignments.actor: the ticket was not assigned to the reader" in out
    assert "outside approver: NOT met" in out


def test_people_and_machines_get_the_same_facts(explain: Callable[..., tuple[int, str, str]]) -> None:
    _, text, _ = explain("evt-2")
    code, out, _ = explain("evt-2", "--format", "json")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, "custodes.explanation/1")
    (look,) = document["looks"]
    assert look["explained"] is False
    assert look["duties"] == [{"duty": "outside_approver", "met": False}]
    tried = {entry["template"]: entry for entry in look["tried"]}
    assert list(tried) == [f"E{number}" for number in range(1, 14)]
    assert tried["E2"]["verdict"] == "flags"
    assert [lack["token"] for lack in tried["E2"]["lacks"]] == ["E2:case_scope.subject"]
    for entry in tried.values():
        for lack in entry["lacks"]:
            assert lack["says"] in text


def test_an_access_is_found_by_a_unique_beginning_of_its_id(explain: Callable[..., tuple[int, str, str]]) -> None:
    access = json.loads(explain("evt-2", "--format", "json")[1])["access"]
    assert json.loads(explain(access[:14], "--format", "json")[1])["access"] == access
    code, out, err = explain("x-")
    assert (code, out) == (2, "")
    assert "more than one access" in err
    assert explain("x-unknown'; --")[0] == 2
    assert explain("")[0] == 2


def test_what_asks_for_no_reason_is_said(explain: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = explain("evt-3")
    assert code == 0
    assert "nothing to explain" in out
