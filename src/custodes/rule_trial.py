"""The tests that stand inside a rule: tables in, rows out, on the same engine and the same statement as a real run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.errors import BadRule, EngineUnavailable
from custodes.model.arrow import context_schema
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS
from custodes.rule_file import Rule, Trial
from custodes.rule_findings import check_row, collect, findings

_TYPES: Final = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
SCHEMAS: Final[Mapping[str, pa.Schema]] = {
    **{name: pa.schema([(column, _TYPES[kind]) for column, kind in columns.items()]) for name, columns in VIEWS.items()},
    **{name: context_schema(name) for name in TABLES},
}
"""Every view and context table that rules read, as Arrow."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that did not come out: what was expected and what came, in rows."""

    rule: str
    test: str
    words: str


def fill(engine: Engine, tables: Mapping[str, Sequence[Mapping[str, object]]], only: Collection[str] = ()) -> None:
    """Make every view and context table (or `only` some), with the rows given and null where a column is not named.

    `residue` follows from `looks` and `explanations` if it is not given, and `look` from access and subject if no row gives it, so
    that a statement may join by it as in a real run. Times may be texts (UTC).
    """
    wanted = {*only, *tables, "looks", "explanations", "residue"} if only else set(SCHEMAS)
    tables = _with_looks(tables)
    for name in sorted(wanted):
        engine.table(name, _arrow(tables.get(name, ()), SCHEMAS[name]))
    if "residue" not in tables:
        engine.run("DROP TABLE residue")
        engine.run(
            "CREATE TABLE residue AS SELECT l.* FROM looks l WHERE NOT EXISTS "
            "(SELECT 1 FROM explanations e WHERE e.access = l.access AND e.subject IS NOT DISTINCT FROM l.subject)"
        )


def _with_looks(tables: Mapping[str, Sequence[Mapping[str, object]]]) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """Number what stands for a look: one number for each access and subject, in whatever view they stand."""
    speak = {name: rows for name, rows in tables.items() if "look" in SCHEMAS[name].names}
    if any("look" in row for rows in speak.values() for row in rows):
        return tables
    numbers: dict[tuple[object, object], int] = {}

    def numbered(row: Mapping[str, object]) -> Mapping[str, object]:
        return {**row, "look": numbers.setdefault((row.get("access"), row.get("subject")), len(numbers) + 1)}

    return {**tables, **{name: [numbered(row) for row in rows] for name, rows in speak.items()}}


def example(engine: Engine, rule: Rule) -> str:
    """Return what the rule says of the first of its tests that fires. What the engine held before is replaced."""
    trial = next(trial for trial in rule.tests if trial.rows and not trial.boundary)
    fill(engine, {"accesses": _named_accesses(trial), **trial.tables})
    return findings(engine, collect(engine, rule))[0].sentence


def _named_accesses(trial: Trial) -> list[Mapping[str, object]]:
    numbers = {row["access"] for row in trial.tables.get("looks", ()) if "access" in row}
    return [{"access": number, "access_id": f"x-{number}"} for number in sorted(numbers, key=str)]


def try_rule(engine: Engine, rule: Rule) -> list[Failure]:
    """Run the tests of a rule and return those that failed. What the engine held before is replaced."""
    failures = []
    read = {name for name in SCHEMAS if re.search(rf"\b{name}\b", rule.sql)}
    for trial in rule.tests:
        fill(engine, trial.tables, read)
        words = _difference(engine, rule, trial)
        if words:
            failures.append(Failure(rule.code, trial.name, words))
    return failures


def _difference(engine: Engine, rule: Rule, trial: Trial) -> str:
    """Compare the columns that a test names, in any order of rows."""
    try:
        found = engine.fetch(rule.sql).to_pylist()
    except EngineUnavailable as wrong:
        return str(wrong)
    places = {name: place for place, name in enumerate(rule.columns)}
    try:
        for row in found:
            check_row(tuple(row.values()), places, rule.codes)
    except (TypeError, ValueError) as wrong:
        return str(wrong)
    named = sorted({name for row in trial.rows for name in row} or {"access", "actor", "subject"})
    came = sorted(_shown(row, named) for row in found)
    expected = sorted(_shown(row, named) for row in trial.rows)
    if came == expected:
        return ""
    return f"expected {_lines(expected)}, got {_lines(came)}"


def _shown(row: Mapping[str, object], names: Iterable[str]) -> str:
    return ", ".join(f"{name}={_plain(row.get(name))}" for name in names)


def _plain(value: object) -> str:
    if isinstance(value, datetime | date) or (isinstance(value, str) and value[:2] == "20" and value[4:5] == "-"):
        return f"{_moment(value):%Y-%m-%d %H:%M:%S}"
    return str(int(value)) if isinstance(value, bool) else str(value)


def _lines(rows: Sequence[str]) -> str:
    return "nothing" if not rows else " | ".join(rows)


def _arrow(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    columns = {}
    for column in schema:
        values = [row.get(column.name) for row in rows]
        if pa.types.is_timestamp(column.type):
            values = [None if value is None else _moment(value) for value in values]
        try:
            columns[column.name] = pa.array(values, column.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as wrong:
            raise BadRule(f"column {column.name}: {wrong}") from None
    return pa.table(columns, schema=schema)


def _moment(value: object) -> datetime:
    """Read a time of a test; without a zone it is UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001  # engine times are UTC without a zone
    raise BadRule(f"{value!r} is no time")
