"""The shelf: every rule keeps the contract, its tests come out, and nothing is missing from what is shipped."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from custodes.dialect import check_sql
from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.errors import BadRule
from custodes.explain import load_templates
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS
from custodes.rule import load_shelf
from custodes.rule_file import TABLES_READ, read_rule
from custodes.rule_page import page
from custodes.rule_trial import example, try_rule

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "src" / "custodes" / "rules").glob("*.yml"))
SHELF = {rule.code: rule for rule in load_shelf()}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_engine(memory_mb=512, threads=1, directory=tmp_path_factory.mktemp("engine")) as opened:
        yield opened


def test_every_file_is_on_the_shelf_and_nothing_else() -> None:
    assert [path.name[:3] for path in FILES] == list(SHELF)
    assert set(SHELF) >= {f"D{number:02}" for number in range(1, 23)}


@pytest.mark.parametrize("code", sorted(SHELF))
def test_what_the_rule_says_of_itself_is_so(engine: Engine, code: str) -> None:
    assert [f"{failure.test}: {failure.words}" for failure in try_rule(engine, SHELF[code])] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:3])
def test_every_statement_keeps_the_dialect_over_declared_views(path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    check_sql(body["sql"], TABLES_READ)
    read = set(re.findall(r"(?<!DISTINCT )(?:FROM|JOIN)\s+(\w+)", body["sql"]))
    made = set(re.findall(r"(\w+) AS \(", body["sql"]))
    assert read - made <= set(VIEWS) | set(TABLES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:3])
def test_rule_without_tests_fails(path: Path) -> None:
    text = path.read_text()
    with pytest.raises(BadRule, match="tests"):
        read_rule(text[: text.index("\ntests:")], path.name)


@pytest.mark.parametrize("code", sorted(SHELF))
def test_every_rule_offers_innocent_reasons_and_questions(code: str) -> None:
    rule = SHELF[code]
    assert len(rule.innocent) >= 2
    assert len(rule.questions) >= 3
    assert rule.known_gaps


def test_rule_cannot_list_protected() -> None:
    for name in ("protected", "registered", "class_duties"):
        with pytest.raises(BadRule, match=name):
            check_sql(f"SELECT subject FROM {name}", TABLES_READ)


def test_changing_what_a_rule_judges_is_noticed_by_its_tests(engine: Engine) -> None:
    text = FILES[0].read_text().replace("INTERVAL (:burst_minutes) MINUTE", "INTERVAL (:burst_minutes) HOUR")
    assert [failure.test for failure in try_rule(engine, read_rule(text, FILES[0].name))] == [
        "one subject in three systems within six minutes is lifted and asks for the caller",
        "the third system after six minutes to the second still counts, a second later not",
    ]


def test_reference_page_tells_of_the_rules_as_they_are(engine: Engine) -> None:
    committed = (ROOT / "docs" / "reference" / "rules.md").read_text()
    said = {code: example(engine, rule) for code, rule in SHELF.items()}
    assert committed == page(list(SHELF.values()), load_templates(), said), "run `custodes rules docs`"


@pytest.mark.parametrize("code", sorted(SHELF))
def test_what_a_rule_says_is_a_whole_sentence_about_accesses(engine: Engine, code: str) -> None:
    said = example(engine, SHELF[code])
    assert not re.search(r"[{}]|None|unknown unknown| ,|\.\.|  ", said), said
    assert said.endswith(".")


def test_the_wheel_holds_every_rule(tmp_path: Path) -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="the build backend is a development dependency")
    (built,) = wheel.WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(built).namelist()
    assert {f"custodes/rules/{path.name}" for path in FILES} <= set(names)


def test_two_rules_of_one_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "D01_again.yml").write_text(FILES[0].read_text())
    with pytest.raises(BadRule, match="D01 is taken"):
        load_shelf(tmp_path)


def test_a_file_is_named_for_its_code(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(FILES[0].read_text().replace("code: D01", "code: X01"))
    with pytest.raises(BadRule, match="X01"):
        load_shelf(tmp_path)


def test_foreign_rules_join_the_shelf(tmp_path: Path) -> None:
    (tmp_path / "X01_mine.yml").write_text(FILES[0].read_text().replace("code: D01", "code: X01"))
    assert [rule.code for rule in load_shelf(tmp_path)] == [*SHELF, "X01"]
