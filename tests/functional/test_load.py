"""`custodes load` and `custodes context load`: exports taken whole, and everything said that was not as it should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from custodes.cli import run
from custodes.home import Home

STAFF = "actor,unit,country\nemp-1,support/tier1,IE\nemp-2,privacy/office,IE\n"
TICKETS = "ticket,subject,kind,origin,opened,inbound\ntkt-1,acc-canary-77,login,subject,2026-03-01T09:00:00Z,msg-1\n"
ASSIGNMENTS = (
    "ticket,actor,valid_from,assigned_by\ntkt-1,emp-1,2026-03-01T09:00:00Z,queue\ntkt-1,emp-9,2026-03-01T09:00:00Z,queue\n"
)
DATAMAP = "crm:\n  page:\n    fields: {email: contact, shown: public}\n"
POLICY = "schema: custodes.policy/1\nprotected:\n  journalist: {obliges: [outside_approver], categories: [contact]}\n"


def access(number: int, **more: object) -> dict[str, object]:
    row: dict[str, object] = {
        "id": f"evt-{number}",
        "time": f"2026-03-01T1{number}:00:00Z",
        "actor": "emp-1",
        "action": "read",
        "system": "crm",
    }
    row |= {"resource": "page", "fields": ["email"], "subjects": ["acc-canary-77"], "deliberate": True, **more}
    return row


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    folder = tmp_path / "exports"
    (folder / "context").mkdir(parents=True)
    (folder / "datamap.yaml").write_text(DATAMAP)
    (folder / "policy.yaml").write_text(POLICY)
    (folder / "context" / "staff.csv").write_text(STAFF)
    (folder / "context" / "tickets.csv").write_text(TICKETS)
    (folder / "context" / "assignments.csv").write_text(ASSIGNMENTS)
    (folder / "context" / "protected.csv").write_text("subject,class\nacc-canary-77,journalist\nacc-canary-78,\n")
    (folder / "accesses-1.ndjson").write_text("".join(json.dumps(access(number)) + "\n" for number in range(3)))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert run(["init", "--simulated", str(tmp_path / "home")]) == 0
    return tmp_path / "home"


@pytest.fixture
def load(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def go(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = run([*map(str, arguments), "--home", str(home)])
        out, err = capsys.readouterr()
        assert out == "" or arguments[1] == "list"
        return code, err + out

    return go


def test_a_folder_is_taken_whole(exports: Path, home: Path, load: Callable[..., tuple[int, str]]) -> None:
    code, said = load("load", exports)
    assert code == 0
    for words in (
        "staff: 2 rows",
        "tickets: 1 row",
        "assignments: 2 rows",
        "1 actor in assignments is not in staff",
        "datamap.yaml: in force",
        "policy.yaml: in force",
        "1 enrolled",
        "protected.csv:3: subject or class is empty",
        "now destroy protected.csv",
        "3 accesses",
        "missing cases: leaves unchecked: ",
        "missing legal: leaves unchecked: ",
    ):
        assert words in said, said
    assert "canary" not in said
    with Home.open(home) as opened:
        assert opened.context().tables() == {"staff", "tickets", "assignments"}
        assert opened.policy.protected["journalist"].obliges == ("outside_approver",)
        assert opened.registry().enrolments([opened.pseudonyms.of("subject", "acc-canary-77")])


def test_nothing_in_the_home_shows_an_id_of_a_person(exports: Path, home: Path, load: Callable[..., tuple[int, str]]) -> None:
    load("load", exports)
    held = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert held
    for word in (b"acc-canary-77", b"emp-1", b"msg-1"):
        assert word not in held


def test_the_same_folder_again_adds_nothing(exports: Path, home: Path, load: Callable[..., tuple[int, str]]) -> None:
    load("load", exports)
    with Home.open(home) as opened:
        before = opened.log().size
    code, said = load("load", exports)
    assert code == 0
    assert "had been loaded before, nothing added" in said
    assert "0 enrolled, 1 known already" in said
    with Home.open(home) as opened:
        assert opened.context().sizes() == {"staff": 2, "tickets": 1, "assignments": 2}
        assert opened.log().size == before


@pytest.mark.parametrize("name", ["policy.yaml", "datamap.yaml"])
def test_a_changed_policy_is_refused_once_accesses_were_recorded(
    exports: Path, home: Path, load: Callable[..., tuple[int, str]], name: str
) -> None:
    load("load", exports)
    kept = (home / name).read_bytes()
    text = (exports / name).read_text()
    (exports / name).write_text(text + "\n# changed\n")
    code, said = load("load", exports)
    assert code == 4
    assert "two people" in said
    assert (home / name).read_bytes() == kept


def test_a_policy_may_change_while_nothing_was_recorded(exports: Path, home: Path, load: Callable[..., tuple[int, str]]) -> None:
    (exports / "accesses-1.ndjson").unlink()
    assert load("load", exports)[0] == 0
    (exports / "policy.yaml").write_text(POLICY + "ticket_grace_hours: 24\n")
    code, said = load("load", exports)
    assert code == 0
    assert "missing accesses: there is nothing to judge yet" in said
    with Home.open(home) as opened:
        assert opened.policy.ticket_grace_hours == 24


def test_inputs_that_cannot_be_used_are_named_and_the_others_are_read(
    exports: Path, home: Path, load: Callable[..., tuple[int, str]]
) -> None:
    (exports / "context" / "users.csv").write_text("a,b\n1,2\n")
    (exports / "context" / "cases.parquet").write_bytes(b"no parquet")
    (exports / "context" / "grants.csv").write_text("actor,subject\nemp-1,acc-1\n")
    code, said = load("load", exports)
    assert code == 2
    assert "there is no context table 'users'" in said
    assert "cases.parquet is no readable Parquet file" in said
    assert "grants.csv: a grants table needs the column grant" in said
    with Home.open(home) as opened:
        assert opened.context().tables() == {"staff", "tickets", "assignments"}
        assert opened.accesses().manifest().parts


def test_a_policy_that_breaks_its_contract_changes_nothing(exports: Path, home: Path, load: Callable[..., tuple[int, str]]) -> None:
    (exports / "policy.yaml").write_text("schema: custodes.policy/1\nallow_everything: true\n")
    code, said = load("load", exports)
    assert code == 2
    assert "allow_everything" in said
    assert not (home / "policy.yaml").exists()


def test_a_folder_with_nothing_known_is_an_error(tmp_path: Path, load: Callable[..., tuple[int, str]]) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        assert load("load", tmp_path / folder)[0] == 2


def test_bad_rows_are_counted_and_end_with_nought(exports: Path, load: Callable[..., tuple[int, str]]) -> None:
    (exports / "context" / "tickets.csv").write_text(TICKETS + "tkt-2,acc-canary-78,x,subject,2026-03-01 09:00,m\n")
    code, said = load("load", exports)
    assert code == 0
    assert "tickets.csv:3: opened: a time without a zone" in said
    assert "canary" not in said


def test_single_tables_load_in_parts_and_are_listed(exports: Path, load: Callable[..., tuple[int, str]]) -> None:
    second = exports / "tickets-2.csv"
    second.write_text(TICKETS.replace("tkt-1", "tkt-2"))
    code, said = load("context", "load", "tickets", exports / "context" / "tickets.csv", second, exports / "absent.csv")
    assert code == 2  # one of three could not be read
    assert "absent.csv cannot be read" in said
    code, listed = load("context", "list")
    assert code == 0
    assert dict(line.split() for line in listed.splitlines())["tickets"] == "2"
    assert load("context", "load", "users", second)[0] == 2
    assert "1 enrolled" in load("context", "load", "protected", exports / "context" / "protected.csv")[1]
