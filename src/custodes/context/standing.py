"""What the context tables say now about a person, a subject and a reason: facts of a decision. What is unknown is None.

Every load counts: a row that a later load brings anew replaces the older one. Rows are kept in memory until another load comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from custodes.context.tables import ContextStore
from custodes.minimise.pseudonym import Pseudonyms

_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS: Final = {
    "staff": ("actor", "unit", "country", "entity", "valid_from", "joined", "valid_to", "left", "recorded"),
    "subjects": ("subject", "region", "recorded"),
    "tickets": ("ticket", "subject", "opened", "closed", "recorded"),
    "cases": ("case", "opened", "closed", "recorded"),
    "case_scope": ("case", "subject", "recorded"),
    "legal": ("process", "subject", "verified", "served", "expires", "recorded"),
    "incidents": ("incident", "opened", "closed", "recorded"),
    "roster": ("incident", "actor", "valid_from", "valid_to", "recorded"),
}
_Row = Mapping[str, Any]


class Place(NamedTuple):
    """Where somebody works: of the rows that hold now. A part on which these rows differ is None."""

    unit: str | None
    country: str | None
    entity: str | None


class Standing:
    """Facts of one home's context. Safe for several threads: a table is replaced whole."""

    def __init__(self, context: ContextStore, pseudonyms: Pseudonyms) -> None:
        self._context, self._pseudonyms = context, pseudonyms
        self._kept: dict[str, tuple[tuple[str, ...], Mapping[str, Sequence[_Row]]]] = {}

    def place(self, actor: str, now: datetime) -> Place | None:
        """Return where an actor works now; None if no row holds: they do not work here."""
        rows = [row for row in _newest(self._rows("staff", actor)) if _employed(row, now)]
        if not rows:
            return None
        return Place(*(_only(row[name] for row in rows) for name in ("unit", "country", "entity")))

    def region(self, subject: str) -> str | None:
        """Return the region of a subject; None where the newest load says none, or several."""
        return _only(row["region"] for row in _newest(self._rows("subjects", subject)))

    def reason_since(self, code: str, reason: str, subject: str, actor: str, now: datetime) -> datetime | None:
        """Return since when a reason is on record, if it is of its kind, open now, and about this subject; else None."""
        ref = self._pseudonyms.once("ref", reason)
        match code:
            case "SUBJECT_REPORT" | "SUPPORT_CASE":
                return _since(self._rows("tickets", ref), lambda row: row["subject"] == subject and _open(row, now))
            case "LEGAL_PROCESS":
                return _since(self._rows("legal", ref), lambda row: row["subject"] == subject and _in_force(row, now))
            case "FRAUD_CASE" | "OVERSIGHT":
                named = _since(self._rows("case_scope", ref), lambda row: row["subject"] == subject)
                opened = _since(self._rows("cases", ref), lambda row: _open(row, now))
                return max(named, opened) if named and opened else None
            case "INCIDENT":
                return _since(self._rows("incidents", ref), lambda row: _open(row, now))
            case "ACTIVE_INCIDENT":
                called = _since(self._rows("roster", ref), lambda row: row["actor"] == actor and _holds(row, now))
                opened = _since(self._rows("incidents", ref), lambda row: _open(row, now))
                return max(called, opened) if called and opened else None
            case "LIFE_SAFETY":
                return _ALWAYS  # nobody waits for a ticket; a person reviews it afterwards
        return None

    def _rows(self, table: str, key: str) -> Sequence[_Row]:
        version = self._context.version(table)
        kept = self._kept.get(table)
        if kept is None or kept[0] != version:
            columns, found = _COLUMNS[table], defaultdict(list)
            for values in self._context.loaded(table, columns):
                found[str(values[0])].append(dict(zip(columns, values, strict=True)))
            kept = self._kept[table] = (version, found)
        return kept[1].get(key, ())


def _newest(rows: Sequence[_Row]) -> list[_Row]:
    latest = max((row["recorded"] for row in rows), default=None)
    return [row for row in rows if row["recorded"] == latest]


def _since(rows: Sequence[_Row], stands: Any) -> datetime | None:
    """Return when the first row was loaded, if the newest load has one that stands."""
    if not any(stands(row) for row in _newest(rows)):
        return None
    since: datetime = min(row["recorded"] for row in rows)
    return since


def _only(values: Any) -> str | None:
    found = set(values)
    return str(found.pop()) if len(found) == 1 and None not in found else None


def _open(row: _Row, now: datetime) -> bool:
    return (row["opened"] is None or row["opened"] <= now) and (row["closed"] is None or now < row["closed"])


def _in_force(row: _Row, now: datetime) -> bool:
    served = row["served"] is None or row["served"] <= now
    return row["verified"] is True and served and (row["expires"] is None or now < row["expires"])


def _holds(row: _Row, now: datetime) -> bool:
    return (row["valid_from"] is None or row["valid_from"] <= now) and (row["valid_to"] is None or now < row["valid_to"])


def _employed(row: _Row, now: datetime) -> bool:
    joined = row["joined"] is None or row["joined"] <= now
    return joined and _holds(row, now) and (row["left"] is None or now < row["left"])
