"""The context tables of the public input contract, as data: columns, types, and which columns hold whose id.

A column of kind `actor`, `subject`, `person` or `ref` is replaced by its pseudonym when the table is loaded. `ref` columns are ids
of reasons (ticket, case, grant, …); the table's own key is kept readable besides, in `row_key`, because an analyst must be able to
open the ticket. `text` columns may hold anything and are sealed; only a keyed hash stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `kind`: actor · subject · person · ref (keyed ids) · word (kept as it is) · text (sealed) · time · bool · words (`;` in CSV).
    """

    name: str
    kind: str = "word"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One context table. `key`: the columns whose first filled one names a row in evidence."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def _table(name: str, key: str, *columns: Column) -> Table:
    spans = (Column("valid_from", "time"), Column("valid_to", "time"))
    have = {column.name for column in columns}
    return Table(name, tuple(key.split()), columns + tuple(c for c in spans if c.name not in have))


def _c(name: str, kind: str = "word", *, required: bool = False) -> Column:
    return Column(name, kind, required)


TABLES: Final[dict[str, Table]] = {
    table.name: table
    for table in (
        _table(
            "staff",
            "actor",
            _c("actor", "actor", required=True),
            _c("person", "person"),
            _c("department"),
            _c("unit"),
            _c("manager", "actor"),
            _c("role"),
            _c("site"),
            _c("country"),
            _c("entity"),
            _c("employer"),
            _c("covered", "bool"),
            _c("joined", "time"),
            _c("left", "time"),
            _c("notice_from", "time"),
        ),
        _table(
            "tickets",
            "ticket",
            _c("ticket", "ref", required=True),
            _c("subject", "subject"),
            _c("kind"),
            _c("origin"),
            _c("opened", "time"),
            _c("closed", "time"),
            _c("opened_by", "actor"),
            _c("inbound", "text"),
        ),
        _table(
            "assignments",
            "ticket case",
            _c("ticket", "ref"),
            _c("case", "ref"),
            _c("actor", "actor"),
            _c("unit"),
            _c("valid_from", "time"),
            _c("valid_to", "time"),
            _c("assigned_by", "actor"),
        ),
        _table(
            "cases",
            "case",
            _c("case", "ref", required=True),
            _c("kind"),
            _c("opened", "time"),
            _c("closed", "time"),
            _c("opened_by", "actor"),
            _c("owner", "actor"),
            _c("scope_kind"),
            _c("recorded_at", "time"),
        ),
        _table(
            "case_scope",
            "case",
            _c("case", "ref", required=True),
            _c("subject", "subject"),
            _c("actor", "actor"),
            _c("added", "time"),
            _c("added_by", "actor"),
        ),
        _table(
            "grants",
            "grant",
            _c("grant", "ref", required=True),
            _c("actor", "actor"),
            _c("subject", "subject"),
            _c("fields", "words"),
            _c("purpose"),
            _c("valid_from", "time"),
            _c("valid_to", "time"),
            _c("requested_by", "actor"),
            _c("break_glass", "bool"),
        ),
        _table(
            "approvals",
            "grant",
            _c("grant", "ref", required=True),
            _c("approver", "actor"),
            _c("at", "time"),
            _c("decision"),
        ),
        _table(
            "incidents",
            "incident",
            _c("incident", "ref", required=True),
            _c("kind"),
            _c("opened", "time"),
            _c("closed", "time"),
        ),
        _table(
            "roster",
            "incident unit",
            _c("incident", "ref"),
            _c("unit"),
            _c("actor", "actor"),
            _c("valid_from", "time"),
            _c("valid_to", "time"),
        ),
        _table(
            "legal",
            "process",
            _c("process", "ref", required=True),
            _c("kind"),
            _c("verified", "bool"),
            _c("authority"),
            _c("subject", "subject"),
            _c("fields", "words"),
            _c("data_from", "time"),
            _c("data_to", "time"),
            _c("served", "time"),
            _c("expires", "time"),
            _c("approver_class"),
        ),
        _table(
            "claims",
            "claim",
            _c("claim", "ref", required=True),
            _c("made", "time"),
            _c("by", "text"),
            _c("text", "text"),
            _c("predicate", "text"),
            _c("window_from", "time"),
            _c("window_to", "time"),
        ),
        _table(
            "jobs",
            "job",
            _c("job", "ref", required=True),
            _c("service", "actor"),
            _c("owner", "actor"),
            _c("change", "ref"),
            _c("valid_from", "time"),
            _c("valid_to", "time"),
            _c("targeted", "bool"),
        ),
        _table(
            "consents",
            "subject",
            _c("subject", "subject", required=True),
            _c("actor", "actor"),
            _c("scope"),
            _c("valid_from", "time"),
            _c("valid_to", "time"),
        ),
        _table(
            "subjects",
            "subject",
            _c("subject", "subject", required=True),
            _c("region"),
            _c("kind"),
            _c("person", "person"),
            _c("closed", "time"),
        ),
        _table(
            "links",
            "subject",
            _c("subject", "subject", required=True),
            _c("other", "subject", required=True),
            _c("kind"),
            _c("since", "time"),
        ),
        _table(
            "relations",
            "actor",
            _c("actor", "actor", required=True),
            _c("subject", "subject", required=True),
            _c("kind"),
        ),
        _table(
            "outcomes",
            "case",
            _c("case", "ref", required=True),
            _c("actor", "actor"),
            _c("subject", "subject"),
            _c("decided", "time", required=True),
            _c("result", required=True),
        ),
        _table(
            "press",
            "event",
            _c("event", "ref", required=True),
            _c("time", "time", required=True),
            _c("kind"),
            _c("subject", "subject"),
            _c("about", "text"),
        ),
    )
}
"""`protected` is no table: it is read at enrolment only (`custodes.protected`). `datamap` and `policy` are YAML files."""

STORED_EXTRA: Final = ("row_key", "recorded")
"""Columns that loading adds: `row_key` VARCHAR (readable name of the row in evidence; a pseudonym where the key is a person) and
`recorded` TIMESTAMP (when it was loaded)."""
