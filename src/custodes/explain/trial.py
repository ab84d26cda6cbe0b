"""The tests inside template files: a few rows in, verdicts out, on a real engine.

A test names rows of views and context tables; what it leaves out is empty or null. Expected rows name some columns; each must be
found, and in each of `explains`, `flags` and `lacks` that a test speaks of nothing of this template may be left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from custodes.errors import BadRule
from custodes.explain import verdicts, views
from custodes.explain.template import Template
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.rule_trial import SCHEMAS, fill

if TYPE_CHECKING:
    from custodes.engine import Engine

_WORKED_OUT: Final = ("staff_spans", "chain", "case_subjects", "grant_fields", "legal_fields", "reasons")
Rows = Sequence[Mapping[str, Any]]


def world(engine: Engine, tables: Mapping[str, Rows], policy: Policy | None = None) -> None:
    """Make the named rows the whole world of `engine`: all context tables, and the views up to `looks` that follow from them.

    `units` and `policy_*` follow from staff and `policy` unless their rows are given.
    """
    for name, rows in tables.items():
        if name not in SCHEMAS or (unknown := {column for row in rows for column in row} - set(SCHEMAS[name].names)):
            raise BadRule(f"test: there is no {name}" if name not in SCHEMAS else f"test: {name} has no column {min(unknown)!r}")
    for old, kind in engine.rows("SELECT table_name, table_type FROM information_schema.tables"):
        engine.run(f'DROP {"VIEW" if kind == "VIEW" else "TABLE"} "{old}"')
    fill(engine, tables, ("looks",))
    views.fill_missing(engine, but=_WORKED_OUT)
    if policy:
        views.build_policy(engine, policy)
    views.build_staff(engine)
    if "units" not in tables:
        views.build_units(engine, policy or Policy())
    views.build_context(engine)


def run_trials(engine: Engine, template: Template, shelf: Sequence[Template]) -> list[str]:
    """Run every test of `template` and return what went wrong, in words."""
    problems = []
    for test in template.tests:
        others = [entry for entry in shelf if entry.code in test.get("with", ())]
        world(engine, test["tables"])
        verdicts.run(engine, [*others, template], Policy(), set(TABLES))
        codes = {template.code, *(entry.code for entry in others)}
        for part, view, extra in (("explains", "explanations", ""), ("flags", "flags", "copy"), ("lacks", "lacks", "")):
            wanted = list(test.get(part, ()))
            found = _compare(engine, view, wanted, codes | {extra}, strict=part in test or part == "explains")
            problems += [f"{template.code}: {test['name']}: {part}: {problem}" for problem in found]
    return problems


def _compare(engine: Engine, view: str, wanted: list[Mapping[str, Any]], codes: set[str], *, strict: bool) -> list[str]:
    table = engine.fetch(f"SELECT * FROM {view} ORDER BY look")
    found = [row for row in table.to_pylist() if _code(row) in codes]
    problems = []
    for want in wanted:
        hit = next((row for row in found if all(row.get(key) == value for key, value in want.items())), None)
        if hit is None:
            problems.append(f"expected {dict(want)}")
        else:
            found.remove(hit)
    return problems + [f"did not expect {row}" for row in found if strict]


def _code(row: Mapping[str, Any]) -> str:
    code: str = row["token"].partition(":")[0] if "token" in row else row["template"]
    return code
