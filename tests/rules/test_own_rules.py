"""A company's own rules, new rules to begin with, and what runs them: the record of the shelf, actors without history."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes import watching
from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.errors import BadRule, CustodesError
from custodes.home import Home
from custodes.home_making import make_home
from custodes.own_use import FOLDER, shelf_of
from custodes.rule import load_shelf, run_shelf
from custodes.rule_file import read_rule
from custodes.rule_scaffold import scaffold
from custodes.rule_trial import fill, try_rule

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "custodes", "rules"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_engine(memory_mb=512, threads=1, directory=tmp_path_factory.mktemp("engine")) as opened:
        yield opened


def _own(home: Home, code: str = "X01", text: str | None = None) -> Path:
    name, page = scaffold(code, "looks at one person again")
    folder = home.path / FOLDER
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text or page)
    return folder / name


def _rules_recorded(home: Home) -> list[object]:
    return [leaf.what["rules"] for leaf in home.own_leaves() if leaf.what.get("what") == "rules"]


def test_a_new_rule_keeps_the_contract_and_its_tests_pass(engine: Engine) -> None:
    name, text = scaffold("X01", "Exports at night")
    assert name == "X01_exports_at_night.yml"
    assert try_rule(engine, read_rule(text, name)) == []


@pytest.mark.parametrize(("code", "title"), [("X1", "short"), ("x01", "small"), ("X01", "  "), ("X01", "a: b"), ("X01", "{}")])
def test_what_no_rule_can_be_called_is_refused(code: str, title: str) -> None:
    with pytest.raises(BadRule):
        scaffold(code, title)


def test_make_rule_writes_a_rule_whose_tests_pass(tmp_path: Path) -> None:
    made = ["make", "-o", ".venv/dev.stamp", "-o", ".venv/base.stamp", "rule", "NAME=X07_exports_at_night", f"RULES={tmp_path}"]
    subprocess.run([*made, f"BIN={Path(sys.executable).parent}"], cwd=ROOT, check=True, capture_output=True)
    assert [file.name for file in tmp_path.iterdir()] == ["X07_exports_at_night.yml"]
    tested = subprocess.run([*COMMAND, "test", "X07", "--rules", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (tested.returncode, tested.stdout.split()[:2]) == (0, ["X07", "ok"])


def test_a_code_that_is_taken_is_refused(tmp_path: Path) -> None:
    again = [*COMMAND, "new", "D01", "something else", "--into", str(tmp_path)]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "D01_unexplained_access.yml" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_rules_of_a_home_are_on_its_shelf_and_the_shelf_is_recorded(tmp_path: Path) -> None:
    with make_home(tmp_path / "home") as home:
        watching.rooms(home).engine.close()
        _own(home)
        rooms = watching.rooms(home)
        rooms.engine.close()
        assert [rule.code for rule in rooms.rules] == [*(rule.code for rule in load_shelf()), "X01"]
        assert [entry[-1] for entry in _rules_recorded(home)] == ["D22", "X01"]  # type: ignore[index]  # plain JSON
        watching.rooms(home).engine.close()
        assert len(_rules_recorded(home)) == 2, "an unchanged shelf is not recorded again"


def test_a_changed_rule_is_recorded_again(tmp_path: Path) -> None:
    with make_home(tmp_path / "home") as home:
        file = _own(home)
        watching.rooms(home).engine.close()
        file.write_text(file.read_text().replace("default: 3", "default: 4"))
        watching.rooms(home).engine.close()
        assert len(_rules_recorded(home)) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("FROM residue", "FROM read_text('/etc/hostname')", "read_text"),
        ("FROM residue", "FROM protected", "protected"),
        ("tests:", "trials:", "tests"),
        ("code: X01", "code: D01", "D01"),
        ("boundary: true", "boundary: false", "boundary"),
    ],
)
def test_own_rules_obey_the_same_checks(tmp_path: Path, old: str, new: str, words: str) -> None:
    with make_home(tmp_path / "home") as home:
        file = _own(home)
        file.write_text(file.read_text().replace(old, new))
        with pytest.raises(CustodesError, match=words):
            shelf_of(home.path)
        with pytest.raises(CustodesError, match=words):
            watching.rooms(home)
        assert _rules_recorded(home) == [], "nothing is judged by a shelf that is not whole"


def test_an_actor_without_history_is_at_most_low_under_rules_on_the_residue(engine: Engine) -> None:
    def levels(until: str, code: str) -> set[str]:
        looks = [
            {"access": number, "subject": "s-a", "actor": "a-n", "human": "a-n", "system": system, "public_only": 0, "time": time}
            for number, system, time in (
                (1, "crm", "2026-03-02 09:00"),
                (2, "le", "2026-03-02 09:01"),
                (3, "dwh", "2026-03-02 09:02"),
            )
        ]
        staff = [{"actor": "a-n", "joined": "2026-03-05 00:00"}]
        fill(engine, {"looks": looks, "staff": staff, "newcomers": [{"actor": "a-n", "until": until}]})
        run = run_shelf(engine, [rule for rule in load_shelf() if rule.code == code], {"staff", "tickets"})
        assert run.failed == []
        return {finding.level for finding in run.findings} | {
            "said" for finding in run.findings if "No history" in finding.sentence
        }

    assert levels("2026-03-01 00:00", "D01") == {"medium"}
    assert levels("2026-03-02 09:02", "D01") == {"medium"}, "one of three looks is older than the history"
    assert levels("2026-03-10 00:00", "D01") == {"low", "said"}
    assert levels("2026-03-10 00:00", "D17") == {"medium"}, "rules on all looks judge newcomers as everybody"
