"""A log of cases as looks and context tables in an engine, and the ordinary explanation run over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pyarrow as pa

from custodes import explain
from custodes.engines.duckdb_engine import open_engine
from custodes.model.arrow import context_schema
from custodes.model.policy import Policy
from custodes.model.views import VIEWS

_KINDS: Final = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
    "TIMESTAMP": pa.timestamp("us"),
    "BOOLEAN": pa.bool_(),
}


def looks_table(rows: Sequence[tuple[datetime, str, str, str]]) -> pa.Table:
    """Return the view `looks` for (time, human, subject, action) rows; `look` and `access` are their positions."""
    given: dict[str, list[object]] = {
        "look": list(range(len(rows))),
        "access": list(range(len(rows))),
        "time": [row[0].replace(tzinfo=None) for row in rows],
        "human": [row[1] for row in rows],
        "actor": [row[1] for row in rows],
        "subject": [row[2] for row in rows],
        "action": [row[3] for row in rows],
        "via": ["direct"] * len(rows),
        "system": ["desk"] * len(rows),
        "subject_scope": ["named"] * len(rows),
        "deliberate": [True] * len(rows),
        "public_only": [0] * len(rows),
    }
    columns = {name: pa.array(given.get(name) or [None] * len(rows), _KINDS[kind]) for name, kind in VIEWS["looks"].items()}
    return pa.table(columns)


def context_table(name: str, rows: Iterable[Mapping[str, object]]) -> pa.Table:
    """Return a context table as its view has it (times without zone); columns not named are null."""
    listed = list(rows)
    columns = {}
    for entry in context_schema(name):
        kind = pa.timestamp("us") if pa.types.is_timestamp(entry.type) else entry.type
        columns[entry.name] = pa.array([_plain(row.get(entry.name)) for row in listed], kind)
    return pa.table(columns)


def _plain(value: object) -> object:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def explained_by(looks: pa.Table, context: Mapping[str, pa.Table], shelf: str) -> dict[str, set[int]]:
    """Run the templates of folder `shelf` beside this module; return template → looks that it explains."""
    with TemporaryDirectory(prefix="custodes-evaluate-") as folder:
        engine = open_engine(memory_mb=2_000, threads=2, directory=Path(folder))
        try:
            engine.table("looks", looks)
            for name, table in context.items():
                engine.table(name, table)
            with resources.as_file(resources.files("custodes.evaluate") / shelf) as path:
                templates = explain.load_folder(path)
            explain.run(engine, templates, Policy(), set(context))
            found: dict[str, set[int]] = {template.code: set() for template in templates}
            for code, look in engine.rows("select template, look from explanations"):
                found[str(code)].add(int(str(look)))
        finally:
            engine.close()
    return found
