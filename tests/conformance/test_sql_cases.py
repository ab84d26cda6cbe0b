"""Statements with their truth: what each touches, whom it names, and how sure that is. A key of a fact not known here fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from custodes.model.datamap import DataMap
from custodes.statements import Catalog, Reading, Statements

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CUSTODES_DATA", REPOSITORY.parent / "shared" / "data")) / "logs" / "sql_cases"
KEYS = frozenset(
    {
        "subjects",
        "searched_for",
        "subjects_not",
        "subject_scope",
        "subject_basis",
        "tables",
        "projected",
        "projected_not",
        "filter",
        "selector",
        "lookup",
        "action",
        "coverage_has",
        "field_basis",
        "derived",
    }
)
CASES = 46


def _facts() -> list[Any]:
    if not (DATA / "expected.json").is_file():
        return []
    return [pytest.param(fact, id=fact["id"]) for fact in json.loads((DATA / "expected.json").read_text())["facts"]]


@pytest.fixture(scope="module")
def statements() -> Statements:
    return Statements(DataMap.of(yaml.safe_load((DATA / "datamap.yaml").read_text())))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The one view of the schema, as a catalog would know it on that day."""
    line = next(line for line in (DATA / "schema.sql").read_text().splitlines() if line.startswith("create view"))
    name, _, body = line.removeprefix("create view ").removesuffix(";").partition(" as ")
    return Catalog(views={name: body}, marks={name: "1"})


def test_all_cases_are_there(shared_data: Path) -> None:
    assert len(_facts()) == CASES


@pytest.mark.parametrize("fact", _facts())
def test_sql_case(fact: dict[str, Any], statements: Statements, catalog: Catalog) -> None:
    at, expect = fact["at"], fact["expect"]
    assert fact["kind"] == "sql"
    assert set(at) <= {"dialect", "sql", "params"}
    assert set(expect) <= KEYS
    got = _answers(statements.read("sql", at["sql"], params=at.get("params"), dialect=at["dialect"], catalog=catalog))
    for key, wanted in expect.items():
        if key.endswith("_not"):
            assert not set(wanted) & set(got[key.removesuffix("_not")]), key
        elif key == "coverage_has":
            assert set(wanted) <= set(got["coverage"]), key
        else:
            assert got[key] == (sorted(wanted) if isinstance(wanted, list) else wanted), key


def _answers(reading: Reading) -> dict[str, Any]:
    plan = reading.plan

    def fields(role: str) -> list[str]:
        names = [
            plan.resources[field.resource].name.rpartition(".")[2] + "." + field.name for field in plan.fields if field.role == role
        ]
        return sorted(names)

    def subjects(relation: str) -> list[str]:
        return sorted(subject.id for subject in reading.subjects if subject.relation == relation)

    lookups: dict[str, list[str | None]] = {}
    for selector in reading.selectors:
        if selector.kind in {"handle", "email", "phone"}:
            lookups.setdefault(selector.kind, []).append(selector.value)
    return {
        "subjects": subjects("accessed"),
        "searched_for": subjects("searched_for"),
        "subject_scope": reading.scope,
        "subject_basis": reading.basis,
        "tables": sorted(resource.name for resource in plan.resources),
        "projected": fields("projected"),
        "filter": fields("filter"),
        "selector": sorted({selector.kind for selector in reading.selectors}),
        "lookup": lookups,
        "action": plan.action,
        "coverage": reading.coverage,
        "field_basis": plan.field_basis,
        "derived": plan.derived,
    }
