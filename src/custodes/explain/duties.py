"""Duties: what policy asks for before a protected person is looked at, and whether it was met.

The registry is asked for subjects that were in fact touched, never for a list. A duty holds for a look if the class was in force
and the fields belong to its categories. What meets it is an explanation, or approvals behind one, never the claim of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from custodes.model.datamap import DataMap
from custodes.model.policy import Policy, Protection

if TYPE_CHECKING:
    from custodes.engine import Engine

HIGHEST_CLASS: Final = "judge"
"""An approval by a judge suffices wherever a lower class is asked for."""
_UNDECLARED: Final = Protection(obliges=("reason",))
"""A class that policy does not speak of (a canary, say) at least asks for a reason."""


class Enrolment(Protocol):
    """One class of one subject and its time."""

    @property
    def cls(self) -> str:
        """Name of the class."""

    @property
    def enrolled(self) -> datetime | None:
        """From when on, aware; None = always."""

    @property
    def expires(self) -> datetime | None:
        """Until when, aware; None = for good."""


class Registry(Protocol):
    """`custodes.protected.registry.Registry`: answers for named subjects only."""

    def enrolments(self, subjects: Iterable[str]) -> Mapping[str, Sequence[Enrolment]]:
        """Return what is known of the given subjects."""


def sufficient(asked: str) -> tuple[str, ...]:
    """Return the approver classes that suffice where `asked` is asked for."""
    return tuple(dict.fromkeys((asked, HIGHEST_CLASS)))


def build(engine: Engine, policy: Policy, registry: Registry | None, datamap: DataMap) -> None:
    """Make the tables that `judge` needs; none of them is a view that rules may read."""
    touched = engine.fetch("SELECT DISTINCT subject FROM looks WHERE subject IS NOT NULL") if registry else None
    found = registry.enrolments(_texts(touched.column("subject"))) if registry and touched is not None else {}
    rows = registered(found)
    engine.table("registered", rows)
    build_classes(engine, policy, sorted(set(rows.column("cls").to_pylist())), datamap)


def _texts(column: pa.ChunkedArray) -> Iterator[str]:
    """Yield the texts of a column, of which there may be millions, a few at a time."""
    for chunk in column.chunks:
        for first in range(0, len(chunk), _AT_ONCE):
            yield from chunk.slice(first, _AT_ONCE).to_pylist()


def build_classes(engine: Engine, policy: Policy, names: Iterable[str], datamap: DataMap) -> None:
    """Make what policy says of some classes into tables."""
    classes = {name: policy.protected.get(name, _UNDECLARED) for name in names}
    _table(engine, "class_duties", ("cls", "duty"), [(name, duty) for name, entry in classes.items() for duty in entry.obliges])
    listed = [(name, code) for name, entry in classes.items() for code in entry.explained_by or ("*",)]
    _table(engine, "class_explained", ("cls", "template"), listed)
    legal = [
        (name, word)
        for name, entry in classes.items()
        for word in sufficient(entry.legal_approver_class or policy.legal_approver_class.get("default", HIGHEST_CLASS))
    ]
    _table(engine, "class_legal", ("cls", "approver_class"), legal)
    asked = [(name,) for name, entry in classes.items() if entry.legal_approver_class]
    _table(engine, "class_asks_legal", ("cls",), asked)
    _table(engine, "class_fieldsets", ("cls", "fieldset", "contact_only"), _covered(engine, classes, datamap))


def registered(found: Mapping[str, Sequence[Enrolment]]) -> pa.Table:
    """Return what the registry knows of some subjects, as the rows of table `registered`."""
    rows = [(subject, item.cls, item.enrolled, item.expires) for subject, items in sorted(found.items()) for item in items]
    return _rows(_EMPTY["registered"], rows)


def _covered(engine: Engine, classes: Mapping[str, Protection], datamap: DataMap) -> list[tuple[str, str, int]]:
    """Return which field sets each class protects, and where contact data is all that it protects in them."""
    categories: dict[str, set[str]] = {}
    for row in engine.rows("SELECT DISTINCT fieldset, system, resource, field, category FROM fieldsets"):
        fieldset, system, resource, field, category = (None if value is None else str(value) for value in row)
        found = categories.setdefault(fieldset or "", set())
        if field is not None:
            found.add(category or "unknown")
        elif resource is not None:
            known = datamap.resource(system or "", resource)
            found.update({f"?{word}" for word in known.fields.values()} if known else {"?unknown"})
    rows = []
    for name, entry in classes.items():
        for fieldset, words in categories.items():
            hit = {word for word in _named(words) if _protects(entry, word)}
            if hit:
                rows.append((name, fieldset, int(hit == {"contact"})))
    return rows


def _named(words: set[str]) -> set[str]:
    """Return the categories of named fields; if none was named, those that the resources hold: any of them may have been seen."""
    named = {word for word in words if not word.startswith("?")}
    return named or {word[1:] for word in words}


def _protects(entry: Protection, category: str) -> bool:
    return category in entry.categories if entry.categories else category != "public"


def judge(engine: Engine) -> None:
    """Fill `obligations` from `looks` and `explanations`."""
    engine.run(f"CREATE OR REPLACE TABLE obligations AS {OBLIGATIONS}")


def fill_missing(engine: Engine) -> None:
    """Make the tables empty that `build` was not called for."""
    there = {str(name) for (name,) in engine.rows("SELECT table_name FROM information_schema.tables")}
    for name, columns in _EMPTY.items():
        if name not in there:
            _table(engine, name, columns, [])


_EMPTY: Final = {
    "registered": ("subject", "cls", "enrolled", "expires"),
    "class_duties": ("cls", "duty"),
    "class_explained": ("cls", "template"),
    "class_legal": ("cls", "approver_class"),
    "class_asks_legal": ("cls",),
    "class_fieldsets": ("cls", "fieldset", "contact_only"),
}
_AT_ONCE: Final = 50_000
_TIMES: Final = frozenset({"enrolled", "expires"})
_NUMBERS: Final = frozenset({"contact_only"})


def _table(engine: Engine, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    engine.table(name, _rows(columns, rows))


def _rows(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> pa.Table:
    arrays = []
    for place, column in enumerate(columns):
        kind = pa.timestamp("us") if column in _TIMES else pa.int32() if column in _NUMBERS else pa.string()
        values = [_naive(row[place]) for row in rows]
        arrays.append(pa.array(values, kind))
    return pa.table(arrays, names=list(columns))


def _naive(value: object) -> object:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


OBLIGATIONS: Final = """
WITH held AS (
  SELECT l.look, l.access, l.subject, l.human, l.time, r.cls, f.contact_only
  FROM looks l
  INNER JOIN registered r ON r.subject = l.subject
    AND (r.enrolled IS NULL OR r.enrolled <= l.time) AND (r.expires IS NULL OR l.time < r.expires)
  INNER JOIN class_fieldsets f ON f.cls = r.cls AND f.fieldset = l.fieldset
), behind AS (
  SELECT h.look, h.cls, e.template, e.evidence_key, h.time, h.human, h.contact_only
  FROM held h INNER JOIN explanations e ON e.look = h.look
), approved AS (
  SELECT b.look, count(DISTINCT v.approver) AS approvers, max(coalesce(u.outside_approver, 0)) AS outside
  FROM behind b
  INNER JOIN grants g ON b.template = 'E3' AND g.row_key = b.evidence_key
  INNER JOIN approvals v ON v."grant" = g."grant" AND v.decision = 'approve' AND v.at <= b.time
    AND v.approver <> coalesce(g.requested_by, g.actor) AND v.approver <> b.human
  LEFT JOIN staff_spans s ON s.actor = v.approver AND s.valid_from <= v.at AND v.at < s.valid_to
  LEFT JOIN units u ON u.unit = s.unit AND u.outside_approver = 1
  GROUP BY b.look
), means AS (
  SELECT b.look, b.cls,
    max(CASE WHEN b.template IN ('E8', 'E12') OR (b.template = 'E1' AND b.contact_only = 1)
      OR (b.template IN ('E7', 'E11') AND b.cls = 'canary') THEN 1 ELSE 0 END) AS always,
    max(CASE WHEN b.template = 'E4' THEN 1 ELSE 0 END) AS legal,
    max(CASE WHEN b.template = 'E4' AND c.cls IS NOT NULL THEN 1 ELSE 0 END) AS right_class,
    max(CASE WHEN x.cls IS NOT NULL THEN 1 ELSE 0 END) AS listed
  FROM behind b
  LEFT JOIN legal g ON b.template = 'E4' AND g.row_key = b.evidence_key
  LEFT JOIN class_legal c ON c.cls = b.cls AND c.approver_class = g.approver_class
  LEFT JOIN class_explained x ON x.cls = b.cls AND x.template IN (b.template, '*')
  GROUP BY b.look, b.cls
), asked AS (
  SELECT h.look, h.access, h.subject, h.cls, d.duty FROM held h INNER JOIN class_duties d ON d.cls = h.cls
  UNION ALL
  SELECT h.look, h.access, h.subject, h.cls, 'legal_approver_class'
  FROM held h INNER JOIN class_asks_legal q ON q.cls = h.cls INNER JOIN means m ON m.look = h.look AND m.cls = h.cls AND m.legal = 1
)
SELECT q.access, q.subject, q.duty, min(CASE
  WHEN q.duty = 'legal_approver_class' THEN m.right_class
  WHEN coalesce(m.always, 0) = 1 OR coalesce(m.right_class, 0) = 1 THEN 1
  WHEN q.duty = 'outside_approver' THEN coalesce(a.outside, 0)
  WHEN q.duty = 'two_person' AND coalesce(a.approvers, 0) >= 2 THEN 1
  WHEN q.duty = 'reason' THEN coalesce(m.listed, 0)
  ELSE 0 END) AS met
FROM asked q
LEFT JOIN means m ON m.look = q.look AND m.cls = q.cls
LEFT JOIN approved a ON a.look = q.look
GROUP BY q.access, q.subject, q.duty
"""
"""What is asked for each look at a protected person, and whether it was met: from `looks`, `explanations` and what `build` made."""
