"""The views of `custodes.model.views`, built in an engine from the stored rows: what templates and rules may read.

Small things (units, field sets, policy) are worked out here and copied in; large ones are joined in the engine. A look is made
only from a recorded access. Joins with staff are as of the access; a person that staff does not name has no unit, and is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from custodes.explain import duties
from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

EARLIEST: Final = "TIMESTAMP '0001-01-01 00:00:00'"
LATEST: Final = "TIMESTAMP '9999-12-31 00:00:00'"
_CHAIN_DEPTH: Final = 12
_COPY_DEPTH: Final = 8


class Stored(Protocol):
    """The stored accesses (`custodes.store.accesses.Accesses`)."""

    def register(self, engine: Engine, since: datetime | None = None, until: datetime | None = None) -> object:
        """Make `stored_accesses`, `stored_touches` and `stored_fieldsets` for the window."""


class Context(Protocol):
    """The context tables (`custodes.context.tables.ContextStore`)."""

    def register(self, engine: Engine) -> None:
        """Make one view per context table."""


def build(  # noqa: PLR0917  # the rooms it joins, in the order of the street
    engine: Engine,
    accesses: Stored,
    context: Context,
    datamap: DataMap,
    policy: Policy,
    registry: duties.Registry | None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    around: str | None = None,
) -> None:
    """Make every view up to `looks`, `fieldsets`, `units` and `policy_*`.

    `since` (inclusive) and `until` (exclusive) limit the accesses that are judged; copies written before `since` still say who is
    in them. `around`: only looks at the subjects of this access (public id), for explaining one.
    """
    context.register(engine)
    build_policy(engine, policy)
    build_staff(engine)
    build_units(engine, policy)
    accesses.register(engine, None, until)
    build_fieldsets(engine, datamap, policy)
    _copies(engine)
    accesses.register(engine, since, until)
    _accesses(engine)
    _looks(engine, around)
    build_context(engine)
    duties.build(engine, policy, registry, datamap)


def fill_missing(engine: Engine, but: Collection[str] = ()) -> None:
    """Make every view that is not there an empty one, so that templates also run on worlds of a few tables."""
    there = {str(name) for (name,) in engine.rows("SELECT table_name FROM information_schema.tables")} | set(but)
    views: dict[str, Mapping[str, str]] = dict(VIEWS)
    views.update({name: _context_types(name) for name in TABLES})
    for name, columns in views.items():
        if name not in there:
            listed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
            engine.run(f"CREATE TABLE {name} ({listed})")


def _context_types(table: str) -> dict[str, str]:
    kinds = {"time": "TIMESTAMP", "bool": "BOOLEAN", "words": "VARCHAR[]"}
    columns = {column.name: kinds.get(column.kind, "VARCHAR") for column in TABLES[table].columns}
    return {**columns, "row_key": "VARCHAR", "recorded": "TIMESTAMP"}


# — policy, units, field sets: small, worked out here —


def build_policy(engine: Engine, policy: Policy) -> None:
    """Make `policy_regions`, `policy_purposes`, `policy_never`, `policy_settings` and `policy_legal`."""
    regions = [
        (name, kind, value)
        for name, region in policy.regions.items()
        for kind, values in (
            ("country", region.countries),
            ("entity", region.entities),
            ("support_only", region.support_only),
            ("set_scope_only", region.set_scope_only),
        )
        for value in values
    ]
    _small(engine, "policy_regions", regions)
    _small(engine, "policy_purposes", [(name, value) for name, values in policy.purposes.items() for value in values])
    _small(engine, "policy_never", [(name,) for name in policy.never_purposes])
    settings = {"ticket_grace_hours": [policy.ticket_grace_hours], "late_record_minutes": [policy.late_record_minutes]}
    engine.table("policy_settings", pa.table(settings, schema=pa.schema([(name, pa.int64()) for name in settings])))
    asked = {"*" if kind == "default" else kind: name for kind, name in policy.legal_approver_class.items()}
    _small(engine, "policy_legal", [(kind, name) for kind, want in asked.items() for name in duties.sufficient(want)])


def build_staff(engine: Engine) -> None:
    """Make `staff_spans` and `chain` from `staff`."""
    engine.run(_STAFF_SPANS)
    engine.run(_CHAIN_FIRST)
    _extend(engine, "chain", _CHAIN_NEXT, _CHAIN_DEPTH)


def build_units(engine: Engine, policy: Policy) -> None:
    """Make `units` from every unit that `staff`, `assignments` or `roster` names."""
    found = engine.rows("SELECT unit FROM staff UNION SELECT unit FROM assignments UNION SELECT unit FROM roster")
    named = sorted(str(unit) for (unit,) in found if unit)
    rows = [
        (unit, prefix, _covers(policy.units_without_subject_duty, prefix), _covers(policy.outside_approver_units, prefix))
        for unit in named
        for prefix in _prefixes(unit)
    ]
    _small(engine, "units", rows)


def _prefixes(unit: str) -> list[str]:
    parts = unit.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _covers(listed: Sequence[str], prefix: str) -> int:
    return int(any(entry in ("*", prefix) for entry in listed))


def build_fieldsets(engine: Engine, datamap: DataMap, policy: Policy) -> None:
    """Make `fieldsets` with categories, and `purpose_beyond`."""
    stored = engine.rows("SELECT DISTINCT fieldset, system, resource, field, role FROM stored_fieldsets")
    resources: dict[str, set[str]] = {}
    for fieldset, _, resource, _, _ in stored:
        if resource:
            resources.setdefault(str(fieldset), set()).add(str(resource))
    rows = []
    for entry in sorted(stored, key=repr):
        fieldset, system, resource, field, role = (None if value is None else str(value) for value in entry)
        category = _category(datamap, system or "", resource, field, resources.get(fieldset or "", set()))
        rows.append((fieldset, system, resource, field, category, role))
    _small(engine, "fieldsets", rows)
    beyond_purpose(engine, policy, rows)


def _category(datamap: DataMap, system: str, resource: str | None, field: str | None, others: Iterable[str]) -> str | None:
    """Return a field's category; a field of several resources gets that of the first (by name) that knows it."""
    if field is None:
        return None
    for name in (resource,) if resource else sorted(others):
        category = datamap.category(system, name, field)
        if category is not None:
            return category
    return None


def beyond_purpose(engine: Engine, policy: Policy, fieldsets: Iterable[Sequence[str | None]]) -> None:
    """Make `purpose_beyond` from rows of `fieldsets`. A purpose that policy forbids may touch nothing."""
    touched: dict[str, set[str]] = {}
    for row in fieldsets:
        if row[0] and row[4] and row[4] != "public":
            touched.setdefault(row[0], set()).add(row[4])
    allowed: dict[str, tuple[str, ...]] = {**policy.purposes, **dict.fromkeys(policy.never_purposes, ())}
    rows = [
        (fieldset, purpose, category)
        for purpose, categories in allowed.items()
        if "*" not in categories
        for fieldset, found in touched.items()
        for category in sorted(found - set(categories))
    ]
    _small(engine, "purpose_beyond", rows)


def _small(engine: Engine, name: str, rows: Sequence[Sequence[object]]) -> None:
    """Copy a small table in, typed as `VIEWS` says (texts and whole numbers only)."""
    types = {"VARCHAR": pa.string(), "INTEGER": pa.int32(), "BIGINT": pa.int64()}
    columns = VIEWS[name]
    arrays = [pa.array([row[place] for row in rows], types[kind]) for place, kind in enumerate(columns.values())]
    engine.table(name, pa.table(arrays, names=list(columns)))


def _extend(engine: Engine, table: str, step: str, most: int) -> None:
    """Run `step`, which adds rows to `table`, until it adds none, at most so many times."""
    before = -1
    for _ in range(most):
        size = _count(engine, table)
        if size == before:
            break
        before = size
        engine.run(step)


def _count(engine: Engine, table: str) -> int:
    return int(str(engine.rows(f"SELECT count(*) FROM {table}")[0][0]))


_STAFF_SPANS: Final = f"""
CREATE OR REPLACE TABLE staff_spans AS
SELECT actor, person, unit, manager, country, entity, begins AS valid_from, least(ends, next_begins) AS valid_to
FROM (
  SELECT *, coalesce(lead(begins) OVER (PARTITION BY actor ORDER BY begins, ends, row_hash), {LATEST}) AS next_begins
  FROM (
    SELECT actor, person, unit, manager, country, entity,
      coalesce(valid_from, {EARLIEST}) AS begins, coalesce(valid_to, {LATEST}) AS ends,
      concat_ws('|', unit, manager, country, entity, person) AS row_hash
    FROM staff WHERE actor IS NOT NULL
  )
)
WHERE begins < least(ends, next_begins)
"""
_CHAIN_FIRST: Final = """
CREATE OR REPLACE TABLE chain AS
SELECT DISTINCT actor, manager AS above, valid_from, valid_to FROM staff_spans WHERE manager IS NOT NULL AND manager <> actor
"""
_CHAIN_NEXT: Final = """
INSERT INTO chain
SELECT DISTINCT k.actor, s.manager, greatest(k.valid_from, s.valid_from), least(k.valid_to, s.valid_to)
FROM chain k INNER JOIN staff_spans s ON s.actor = k.above
WHERE s.manager IS NOT NULL AND s.manager <> k.actor
  AND greatest(k.valid_from, s.valid_from) < least(k.valid_to, s.valid_to)
EXCEPT SELECT actor, above, valid_from, valid_to FROM chain
"""


# — accesses, copies, looks: large, joined in the engine —

_IS_LOOK: Final = """
a.action NOT IN ('login', 'approve', 'grant') AND a.subject_scope <> 'none' AND (a.outcome IS NULL OR a.outcome <> 'denied')
"""
_TOUCHED: Final = """
SELECT t.leaf, t.subject, t.certainty FROM stored_touches t WHERE t.leaf NOT IN (SELECT leaf FROM touched_often)
UNION ALL
SELECT t.leaf, t.subject, min(t.certainty) FROM stored_touches t WHERE t.leaf IN (SELECT leaf FROM touched_often)
GROUP BY t.leaf, t.subject
"""
"""One row per access and subject; `certain` < `estimate` < `upper_bound`, so the best certainty is the least."""
_OPENED: Final = """
CREATE OR REPLACE TABLE opened AS
WITH inside AS (
  SELECT a.leaf, c.subject, c.certainty, c.fieldset
  FROM stored_accesses a INNER JOIN copies c ON c.object = a.derived_from AND c.written <= a.time + INTERVAL 1 HOUR
), named AS (
  SELECT t.leaf, t.subject FROM stored_touches t WHERE t.leaf IN (SELECT leaf FROM inside)
)
SELECT * FROM inside i WHERE NOT EXISTS (SELECT 1 FROM named n WHERE n.leaf = i.leaf AND n.subject = i.subject)
"""
"""Subjects inside an opened copy that the opening itself does not name; clocks of two systems may differ by an hour."""
_OFTEN: Final = """
CREATE OR REPLACE TABLE touched_often AS SELECT leaf FROM stored_touches GROUP BY leaf HAVING count(*) > 1
"""


def _accesses(engine: Engine) -> None:
    engine.run(
        """
        CREATE OR REPLACE VIEW accesses AS
        SELECT leaf AS access, access_id, time, observed, actor, coalesce(on_behalf_of, actor) AS human, actor_kind, action, system,
          fieldset, subject_scope, subject_count, subject_max, rows, purpose, reason, client_country, session, device,
          deliberate, break_glass, derived, derived_from, outcome, template
        FROM stored_accesses
        """
    )
    engine.run(
        """
        CREATE OR REPLACE VIEW selectors AS
        SELECT access, item.kind AS kind, item.ref AS ref, CAST(item.width AS BIGINT) AS width
        FROM (SELECT leaf AS access, unnest(selectors) AS item FROM stored_accesses)
        """
    )


def _copies(engine: Engine) -> None:
    """Make `copies`: who is inside each written copy, through re-exports, and since when."""
    engine.run(_OFTEN)
    engine.run(
        f"""
        CREATE OR REPLACE TABLE copies AS
        SELECT a.derived AS object, t.subject, min(t.certainty) AS certainty, min(a.fieldset) AS fieldset, min(a.time) AS written
        FROM stored_accesses a INNER JOIN ({_TOUCHED}) t ON t.leaf = a.leaf
        WHERE a.derived IS NOT NULL AND {_IS_LOOK}
        GROUP BY a.derived, t.subject
        """
    )
    exported_again = f"""
        INSERT INTO copies
        SELECT a.derived, c.subject, min(c.certainty), min(c.fieldset), min(a.time)
        FROM stored_accesses a INNER JOIN copies c ON c.object = a.derived_from
        WHERE a.derived IS NOT NULL AND a.derived <> a.derived_from AND {_IS_LOOK}
          AND NOT EXISTS (SELECT 1 FROM copies k WHERE k.object = a.derived AND k.subject = c.subject)
        GROUP BY a.derived, c.subject
        """
    _extend(engine, "copies", exported_again, _COPY_DEPTH)


def _looks(engine: Engine, around: str | None) -> None:
    engine.run(_OFTEN)
    engine.run(_PUBLIC)
    engine.run(_OPENED)
    engine.run(
        f"""
        CREATE OR REPLACE VIEW subjects_of AS
        SELECT t.leaf, t.subject, t.certainty, 'direct' AS via, CAST(NULL AS VARCHAR) AS copied FROM ({_TOUCHED}) t
        UNION ALL
        SELECT leaf, subject, certainty, 'derived', fieldset FROM opened
        """
    )
    for number, (_, source) in enumerate(_CODED.items()):
        engine.run(f"DROP TYPE IF EXISTS coded_{number}")
        engine.run(
            f"CREATE TYPE coded_{number} AS ENUM (SELECT DISTINCT word FROM ({source}) WHERE word IS NOT NULL ORDER BY word)"
        )
    kept = ", ".join(f"CAST({column} AS coded_{number}) AS {column}" for number, column in enumerate(_CODED))
    engine.run("DROP VIEW IF EXISTS looks")
    engine.run(
        f"""CREATE OR REPLACE TABLE stored_looks AS
            SELECT access, subject, time, reason, deliberate, break_glass, derived, derived_from, public_only, {kept}
            FROM ({_LOOKS.format(within=_within(engine, around))})"""
    )
    shown = ", ".join(_shown(column) for column in VIEWS["looks"])
    engine.run(f"CREATE VIEW looks AS SELECT {shown} FROM stored_looks")


def _shown(column: str) -> str:
    if column == "look":
        return "rowid AS look"
    return f"CAST({column} AS VARCHAR) AS {column}" if column in _CODED else column


def _within(engine: Engine, around: str | None) -> str:
    """Return the condition that keeps the looks at the subjects of one access, or the access alone if it names nobody."""
    if around is None:
        return "TRUE"
    wanted = "'" + around.replace("'", "''") + "'"
    engine.run(
        f"""
        CREATE OR REPLACE TABLE around AS
        SELECT leaf, subject FROM subjects_of WHERE leaf IN (SELECT leaf FROM stored_accesses WHERE access_id = {wanted})
        """
    )
    return f"(a.access_id = {wanted} OR s.subject IN (SELECT subject FROM around))"


_CODED: Final = {
    "via": "SELECT unnest(['direct', 'derived']) AS word",
    "certainty": "SELECT certainty AS word FROM stored_touches UNION SELECT certainty FROM copies",
    "actor": "SELECT actor AS word FROM stored_accesses",
    "human": "SELECT coalesce(on_behalf_of, actor) AS word FROM stored_accesses",
    "actor_kind": "SELECT actor_kind AS word FROM stored_accesses",
    "action": "SELECT action AS word FROM stored_accesses",
    "system": "SELECT system AS word FROM stored_accesses",
    "fieldset": "SELECT fieldset AS word FROM stored_accesses UNION SELECT fieldset FROM copies",
    "subject_scope": "SELECT subject_scope AS word FROM stored_accesses",
    "purpose": "SELECT purpose AS word FROM stored_accesses",
    "unit": "SELECT unit AS word FROM staff_spans",
    "country": "SELECT country AS word FROM staff_spans",
    "entity": "SELECT entity AS word FROM staff_spans",
    "manager": "SELECT manager AS word FROM staff_spans",
}
"""Columns of `looks` with few distinct words, kept as codes: a third of the memory, equal to every reader of the view."""
_PUBLIC: Final = """
CREATE OR REPLACE TABLE fieldset_facts AS
SELECT fieldset, count(field) AS fields,
  CASE WHEN count(field) > 0 AND count(field) = sum(CASE WHEN category = 'public' THEN 1 ELSE 0 END) THEN 1 ELSE 0 END
    AS public_only
FROM fieldsets GROUP BY fieldset
"""
_LOOKS: Final = f"""
SELECT b.* EXCLUDE (own_fields, copied), coalesce(f.public_only, 0) AS public_only,
  p.unit, p.country, p.entity, p.manager
FROM (
  SELECT a.leaf AS access, s.subject, coalesce(s.via, CASE WHEN a.derived_from IS NULL THEN 'direct' ELSE 'derived' END) AS via,
    s.certainty, a.time, a.actor, coalesce(a.on_behalf_of, a.actor) AS human, a.actor_kind, a.action, a.system,
    CASE WHEN coalesce(o.fields, 0) = 0 THEN coalesce(s.copied, a.fieldset) ELSE a.fieldset END AS fieldset,
    a.subject_scope, a.purpose, a.reason, a.deliberate, a.break_glass, a.derived, a.derived_from, o.fields AS own_fields, s.copied
  FROM stored_accesses a
  LEFT JOIN subjects_of s ON s.leaf = a.leaf
  LEFT JOIN fieldset_facts o ON o.fieldset = a.fieldset
  WHERE {_IS_LOOK} AND {{within}}
) b
LEFT JOIN fieldset_facts f ON f.fieldset = b.fieldset
LEFT JOIN staff_spans p ON p.actor = b.human AND p.valid_from <= b.time AND b.time < p.valid_to
"""
"""The fields of an opened copy are those of the export that wrote it, unless the opening names its own."""


# — context in the form that templates join —


def build_context(engine: Engine) -> None:
    """Make `case_subjects`, `grant_fields`, `legal_fields` and `reasons` from the context tables."""
    for sql in _CONTEXT:
        engine.run(sql)


_CONTEXT: Final = (
    """
    CREATE OR REPLACE TABLE case_subjects AS
    SELECT s."case", s.subject, s.added, s.added_by, 'subject' AS via FROM case_scope s
    WHERE s.subject IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM cases c WHERE c."case" = s."case" AND c.scope_kind = 'staff' AND NOT EXISTS (
        SELECT 1 FROM subjects j WHERE j.subject = s.subject AND j.kind = 'staff_account'))
    UNION
    SELECT s."case", j.subject, s.added, s.added_by, 'actor' AS via
    FROM case_scope s
    INNER JOIN (SELECT DISTINCT actor, person FROM staff) p ON p.actor = s.actor
    INNER JOIN subjects j ON j.person = p.person AND j.kind = 'staff_account'
    """,
    'CREATE OR REPLACE TABLE grant_fields AS SELECT DISTINCT "grant", unnest(fields) AS field FROM grants',
    "CREATE OR REPLACE TABLE legal_fields AS SELECT DISTINCT process, unnest(fields) AS field FROM legal",
    """
    CREATE OR REPLACE VIEW reasons AS
    SELECT ticket AS reason, 'tickets' AS kind, row_key FROM tickets
    UNION ALL SELECT "case", 'cases', row_key FROM cases
    UNION ALL SELECT "grant", 'grants', row_key FROM grants
    UNION ALL SELECT incident, 'incidents', row_key FROM incidents
    UNION ALL SELECT process, 'legal', row_key FROM legal
    UNION ALL SELECT job, 'jobs', row_key FROM jobs
    """,
)
