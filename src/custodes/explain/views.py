"""The views of `custodes.model.views`, built in an engine from the stored rows: what templates and rules may read.

Small things (units, field sets, policy) are worked out here and copied in; large ones are joined in the engine. A look is made
only from a recorded access. Joins with staff are as of the access; a person that staff does not name has no unit, and is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from custodes.explain import duties, looks, wholeness
from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

EARLIEST: Final = "TIMESTAMP '0001-01-01 00:00:00'"
LATEST: Final = "TIMESTAMP '9999-12-31 00:00:00'"
_NOBODY: Final = wholeness.Own()
_CHAIN_DEPTH: Final = 12


class Stored(Protocol):
    """The stored accesses (`custodes.store.accesses.Accesses`)."""

    def register(self, engine: Engine, since: datetime | None = None, until: datetime | None = None) -> object:
        """Make `stored_accesses`, `stored_touches` and `stored_fieldsets` for the window."""


class Context(Protocol):
    """The context tables (`custodes.context.tables.ContextStore`)."""

    def register(self, engine: Engine) -> None:
        """Make one view per context table."""


class Known(Protocol):
    """What earlier runs worked out of the looks, in the place of building all of them."""

    def copies(self, engine: Engine) -> None:
        """Make `copies`; the stored accesses of all time are registered."""

    def looks(self, engine: Engine) -> None:
        """Make `looks`, after field sets and staff."""


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
    own: wholeness.Own = _NOBODY,
    known: Known | None = None,
) -> None:
    """Make every view up to `looks`, `fieldsets`, `units` and `policy_*`.

    `since` (inclusive) and `until` (exclusive) limit the accesses that are judged; copies written before `since` still say who is
    in them. `around`: only looks at the subjects of this access (public id), for explaining one. `own`: what is known of the home.
    `known`: makes the looks instead, for all of the record.
    """
    context.register(engine)
    build_policy(engine, policy)
    build_staff(engine)
    build_units(engine, policy)
    accesses.register(engine, None, until)
    build_fieldsets(engine, datamap, policy)
    known.copies(engine) if known else looks.build_copies(engine)
    wholeness.build_newcomers(engine)
    _small(engine, "ring_looks", [])  # ranking fills it, once it knows what is unexplained
    accesses.register(engine, since, until)
    wholeness.build_gaps(engine)
    wholeness.build_own(engine, own)
    wholeness.build_attempts(engine)
    looks.build_accesses(engine)
    known.looks(engine) if known else looks.build_looks(engine, around)
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
    looks.extend(engine, "chain", _CHAIN_NEXT, _CHAIN_DEPTH)


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


# — context in the form that templates join —


def build_context(engine: Engine) -> None:
    """Make `case_subjects`, `grant_fields`, `legal_fields` and `reasons` from the context tables."""
    for sql in _CONTEXT:
        engine.run(sql)
    build_reasons(engine)


def build_reasons(engine: Engine) -> None:
    """Make `reasons` over the context tables as they become."""
    engine.run(_REASONS)


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
)
_REASONS: Final = """
CREATE OR REPLACE VIEW reasons AS
SELECT ticket AS reason, 'tickets' AS kind, row_key FROM tickets
UNION ALL SELECT "case", 'cases', row_key FROM cases
UNION ALL SELECT "grant", 'grants', row_key FROM grants
UNION ALL SELECT incident, 'incidents', row_key FROM incidents
UNION ALL SELECT process, 'legal', row_key FROM legal
UNION ALL SELECT job, 'jobs', row_key FROM jobs
"""
