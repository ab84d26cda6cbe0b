"""The tests inside template files: a few rows in, verdicts out, on a real engine.

A test names rows of views and context tables; what it leaves out is empty or null. Expected rows name some columns; each must be
found, and in each of `explains`, `flags` and `lacks` that a test speaks of nothing of this template may be left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from custodes.errors import BadRule
from custodes.explain import verdicts, views
from custodes.explain.template import Template
from custodes.model.arrow import context_schema
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

_TYPES: Final = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
_DERIVED: Final = {"staff_spans", "chain", "case_subjects", "grant_fields", "legal_fields", "reasons", "policy_settings"}
Rows = Sequence[Mapping[str, Any]]


def world(engine: Engine, tables: Mapping[str, Rows], policy: Policy | None = None) -> None:
    """Make the named rows the whole world of `engine`: all context tables and views up to `looks`."""
    known = policy or Policy()
    for name in TABLES:
        _fill(engine, name, context_schema(name), tables.get(name, ()))
    for name, columns in VIEWS.items():
        if name not in _DERIVED:
            _fill(engine, name, pa.schema([(column, _TYPES[kind]) for column, kind in columns.items()]), tables.get(name, ()))
    if not any(tables.get(name) for name in ("policy_regions", "policy_purposes", "policy_legal")) and policy:
        views.build_policy(engine, known)
    given = tables.get("units")
    views.build_staff(engine, known)
    if given:
        _fill(engine, "units", pa.schema([(column, _TYPES[kind]) for column, kind in VIEWS["units"].items()]), given)
    views.build_context(engine)


def _fill(engine: Engine, name: str, schema: pa.Schema, rows: Rows) -> None:
    for row in rows:
        if unknown := set(row) - set(schema.names):
            raise BadRule(f"test: {name} has no column {min(unknown)!r}")
    arrays = [pa.array([_value(row.get(field.name), field.type) for row in rows], _plain(field.type)) for field in schema]
    engine.table(name, pa.table(arrays, names=schema.names))


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us") if pa.types.is_timestamp(kind) else kind


def _value(value: object, kind: pa.DataType) -> object:
    if value is None or not pa.types.is_timestamp(kind):
        return value if value is None or not pa.types.is_string(kind) else str(value)
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return time.astimezone(UTC).replace(tzinfo=None)


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
