"""Which looks a later load of context can speak of: by the keys of the rows that are new or differ from what was there.

A row of context is joined to a look by its subject, by the reason that the look claims, or by who looks; nothing else ties them. So
what no changed row names by one of these keeps its verdict. Where that cannot be said of a table, it is said instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from custodes.context.tables import newest
from custodes.model.arrow import context_schema
from custodes.model.tables import TABLES

if TYPE_CHECKING:
    from custodes.context.tables import ContextStore
    from custodes.engine import Engine

NO_REASON: Final = frozenset({"press", "links", "outcomes", "claims"})
"""Tables that no template reads."""
BOUNDED: Final = frozenset(
    {"tickets", "assignments", "cases", "case_scope", "grants", "approvals", "legal", "consents", "relations", "subjects"}
    | {"roster", "incidents"}
)
"""Tables whose rows say themselves which looks they may speak of. A change of any other asks for every look anew."""
SNAPSHOTS: Final = ("grants", "approvals")
"""Tables that may come from the record itself and not from loads: their rows are kept whole, to be compared."""

_IDS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "tickets": (("ticket", "ticket"),),
    "assignments": (("ticket", "ticket"), ("case", "case")),
    "cases": (("case", "case"),),
    "case_scope": (("case", "case"),),
    "grants": (("grant", "grant"),),
    "approvals": (("grant", "grant"),),
    "legal": (("process", "process"),),
    "consents": (("subject", "subject"),),
    "relations": (("subject", "subject"),),
    "subjects": (("subject", "subject"),),
    "incidents": (("incident", "incident"),),
    "roster": (("incident", "incident"),),
}
"""Table → (column, what it is a key of)."""


def unbounded(changed: Sequence[str], templates_read: set[str]) -> str:
    """Return why every look has to be asked again, or nothing."""
    wide = [name for name in changed if name not in BOUNDED and name not in NO_REASON]
    if wide:
        return f"{', '.join(wide)} changed, which may bear on any look"
    unknown = templates_read - BOUNDED - {"staff", "jobs"}
    return f"{', '.join(sorted(unknown))} is read by a template, and nobody has said which looks it bears on" if unknown else ""


def compare(engine: Engine, context: ContextStore, before: Mapping[str, Sequence[str]], changed: Sequence[str]) -> None:
    """Make `differing(kind, id)`: keys of rows that the new loads of the `changed` tables brought and that were not there so.

    `grants` and `approvals` are compared with `was_grants` and `was_approvals`.
    """
    engine.run("CREATE OR REPLACE TABLE differing (kind VARCHAR, id VARCHAR)")
    for table in changed:
        columns = ", ".join(f'"{name}"' for name in context_schema(table).names if name != "recorded")
        if table in SNAPSHOTS:
            now, was = f"SELECT {columns} FROM {table}", f"SELECT {columns} FROM was_{table}"
            rows = f"(({now}) EXCEPT ({was})) UNION ALL (({was}) EXCEPT ({now}))"
        else:
            new = [word for word in context.version(table) if word not in before.get(table, ())]
            context.register_loads(engine, table, new, "brought")
            context.register_loads(engine, table, before.get(table, ()), "was_loaded")
            keys = " OR ".join(f'"{key}" IN (SELECT "{key}" FROM brought)' for key in TABLES[table].key)
            was = newest(table, f"(SELECT * FROM was_loaded WHERE {keys}) AS near")
            rows = f"SELECT {columns} FROM brought EXCEPT SELECT {columns} FROM ({was}) AS was"
        engine.run(f"CREATE OR REPLACE TABLE differing_rows AS {rows}")
        for column, kind in _IDS[table]:
            engine.run(
                f"""INSERT INTO differing SELECT DISTINCT '{kind}', "{column}" FROM differing_rows WHERE "{column}" IS NOT NULL"""
            )
        if table == "roster":
            engine.run("INSERT INTO differing SELECT DISTINCT 'on call', actor FROM differing_rows WHERE actor IS NOT NULL")
        if table == "legal" and _any(engine, "differing_rows"):  # classes of approvers are compared over all processes
            engine.run("INSERT INTO differing SELECT DISTINCT 'process', process FROM legal")
    engine.run("DROP TABLE IF EXISTS differing_rows")


def jobs_hang_on(engine: Engine) -> bool:
    """Say whether a job's change is among the tickets that differ: a job bears on looks of its account at anybody."""
    return _any(engine, "jobs j JOIN differing d ON d.kind = 'ticket' AND d.id = j.change")


def find(engine: Engine, looks: str) -> None:
    """Make `touched(look)` of the looks in `looks` (look, subject, human, time, reason, break_glass). Reads `differing`."""
    for sql in (_TICKETS, _SUBJECTS, _READERS, _REASONS):
        engine.run(sql)
    named = f"""
        SELECT k.look FROM {looks} k INNER JOIN touched_subjects s ON s.subject = k.subject
        WHERE s.since IS NULL OR k.time >= s.since
        UNION SELECT k.look FROM {looks} k WHERE k.reason IN (SELECT reason FROM touched_reasons)
        UNION SELECT k.look FROM {looks} k INNER JOIN touched_readers r ON r.human = k.human
        WHERE r.since IS NULL OR k.time >= r.since"""
    if _any(engine, "differing WHERE kind = 'incident'"):
        named += f""" UNION SELECT k.look FROM {looks} k WHERE k.break_glass
            OR k.reason IN (SELECT "grant" FROM grants WHERE break_glass)"""
    engine.run(f"CREATE OR REPLACE TABLE touched AS {named}")


def _any(engine: Engine, source: str) -> bool:
    return bool(engine.rows(f"SELECT 1 FROM {source} LIMIT 1"))


_TICKETS: Final = """
CREATE OR REPLACE TABLE touched_tickets AS
SELECT d.id AS ticket, min(t.opened) AS opened, count(*) - count(t.opened) AS undated, min(a.valid_from) AS given,
  max(CASE WHEN a.ticket IS NOT NULL AND a.valid_from IS NULL THEN 1 ELSE 0 END) AS always
FROM differing d LEFT JOIN loaded_tickets t ON t.ticket = d.id LEFT JOIN loaded_assignments a ON a.ticket = d.id
WHERE d.kind = 'ticket' GROUP BY d.id
"""
"""All that any load ever said of a ticket counts: its reach goes back to the earliest time in it, or has no beginning."""
_SUBJECTS: Final = """
CREATE OR REPLACE TABLE touched_subjects AS
WITH scoped AS (
  SELECT DISTINCT s.subject, s.actor FROM differing d INNER JOIN loaded_case_scope s ON s."case" = d.id WHERE d.kind = 'case'
), named AS (
  SELECT t.subject, CASE WHEN k.undated = 0 AND k.always = 0 THEN least(k.opened, coalesce(k.given, k.opened)) END AS since
  FROM touched_tickets k INNER JOIN loaded_tickets t ON t.ticket = k.ticket
  UNION ALL SELECT subject, NULL FROM scoped
  UNION ALL
  SELECT j.subject, NULL FROM scoped s INNER JOIN staff p ON p.actor = s.actor INNER JOIN subjects j ON j.person = p.person
  UNION ALL SELECT g.subject, NULL FROM differing d INNER JOIN grants g ON g."grant" = d.id WHERE d.kind = 'grant'
  UNION ALL SELECT g.subject, NULL FROM differing d INNER JOIN was_grants g ON g."grant" = d.id WHERE d.kind = 'grant'
  UNION ALL SELECT g.subject, NULL FROM differing d INNER JOIN loaded_legal g ON g.process = d.id WHERE d.kind = 'process'
  UNION ALL SELECT d.id, NULL FROM differing d WHERE d.kind = 'subject'
)
SELECT subject, CASE WHEN count(*) = count(since) THEN min(since) END AS since FROM named WHERE subject IS NOT NULL GROUP BY subject
"""
_READERS: Final = """
CREATE OR REPLACE TABLE touched_readers AS
WITH named AS (
  SELECT a.actor AS human, CAST(NULL AS TIMESTAMP) AS since
  FROM differing d INNER JOIN loaded_assignments a ON a."case" = d.id
  INNER JOIN loaded_cases c ON c."case" = d.id AND c.kind = 'training'
  WHERE d.kind = 'case'
  UNION ALL
  SELECT g.actor, NULL FROM differing d INNER JOIN grants g ON g."grant" = d.id AND g.subject = '*' WHERE d.kind = 'grant'
  UNION ALL
  SELECT g.actor, NULL FROM differing d INNER JOIN was_grants g ON g."grant" = d.id AND g.subject = '*' WHERE d.kind = 'grant'
  UNION ALL SELECT d.id, NULL FROM differing d WHERE d.kind = 'on call'
  UNION ALL
  SELECT r.actor, NULL FROM differing d INNER JOIN loaded_roster r ON r.incident = d.id WHERE d.kind = 'incident'
)
SELECT human, CASE WHEN count(*) = count(since) THEN min(since) END AS since FROM named WHERE human IS NOT NULL GROUP BY human
"""
_REASONS: Final = """
CREATE OR REPLACE TABLE touched_reasons AS
SELECT DISTINCT id AS reason FROM differing WHERE kind IN ('ticket', 'case', 'grant', 'process', 'incident')
"""
