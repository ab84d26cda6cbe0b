"""Accesses, copies and looks: the large views, joined in the engine and never row by row.

A look is made only from a recorded access. Whoever opens a copy looks at everybody in it, with the fields that were written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

_COPY_DEPTH: Final = 8

_IS_LOOK: Final = """
a.action NOT IN ('login', 'approve', 'grant') AND a.subject_scope <> 'none' AND (a.outcome IS NULL OR a.outcome <> 'denied')
"""
_OPENED: Final = """
CREATE OR REPLACE TABLE opened AS
WITH inside AS (
  SELECT a.leaf, c.subject, c.certainty, c.fieldset
  FROM stored_accesses a INNER JOIN copies c ON c.object = a.derived_from AND c.written <= a.time + INTERVAL 1 HOUR
  WHERE a.derived_from IS NOT NULL
), named AS (
  SELECT t.leaf, t.subject FROM stored_touches t WHERE t.leaf IN (SELECT leaf FROM inside)
)
SELECT * FROM inside i WHERE NOT EXISTS (SELECT 1 FROM named n WHERE n.leaf = i.leaf AND n.subject = i.subject)
"""
"""Subjects inside an opened copy that the opening itself does not name; clocks of two systems may differ by an hour."""


def build_accesses(engine: Engine) -> None:
    """Make `accesses` and `selectors` over the stored rows."""
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


def build_copies(engine: Engine) -> None:
    """Make `copies`: who is inside each written copy, through re-exports, and since when."""
    engine.run(
        f"""CREATE OR REPLACE TABLE writings AS
            SELECT a.leaf, a.derived, a.derived_from, a.fieldset, a.time FROM stored_accesses a
            WHERE a.derived IS NOT NULL AND {_IS_LOOK}"""
    )
    engine.run(
        """
        CREATE OR REPLACE TABLE copies AS
        SELECT a.derived AS object, t.subject, min(t.certainty) AS certainty, min(a.fieldset) AS fieldset, min(a.time) AS written
        FROM writings a INNER JOIN stored_touches t ON t.leaf = a.leaf
        GROUP BY a.derived, t.subject
        """
    )
    exported_again = """
        INSERT INTO copies
        SELECT a.derived, c.subject, min(c.certainty), min(c.fieldset), min(a.time)
        FROM writings a INNER JOIN copies c ON c.object = a.derived_from
        WHERE a.derived <> a.derived_from
          AND NOT EXISTS (SELECT 1 FROM copies k WHERE k.object = a.derived AND k.subject = c.subject)
        GROUP BY a.derived, c.subject
        """
    extend(engine, "copies", exported_again, _COPY_DEPTH)


def build_looks(engine: Engine, around: str | None) -> None:
    """Make `looks`, after `build_copies`, field sets and staff. `around`: keep only looks at the subjects of this access."""
    for sql in (_PUBLIC, _OPENED, _WORDS):
        engine.run(sql)
    for number, (_, source) in enumerate(_CODED.items()):
        engine.run(f"DROP TYPE IF EXISTS coded_{number}")
        engine.run(
            f"CREATE TYPE coded_{number} AS ENUM (SELECT DISTINCT word FROM ({source}) WHERE word IS NOT NULL ORDER BY word)"
        )
    kept = ", ".join(f"CAST({column} AS coded_{number}) AS {column}" for number, column in enumerate(_CODED))
    engine.run("DROP VIEW IF EXISTS looks")
    within, made = _within(engine, around), "CREATE OR REPLACE TABLE stored_looks AS"
    for first, last in _slices(engine):
        engine.run(
            f"""{made} SELECT access, subject, time, reason, deliberate, break_glass, derived, derived_from, public_only, {kept}
                FROM ({_LOOKS.format(within=within, first=first, last=last)})"""
        )
        made = "INSERT INTO stored_looks"
    for name in ("opened", "stored_words"):
        engine.run(f"DROP TABLE {name}")
    columns = ", ".join(shown(column) for column in VIEWS["looks"])
    engine.run(f"CREATE VIEW looks AS SELECT {columns} FROM stored_looks")


def _slices(engine: Engine) -> list[tuple[int, int]]:
    """Return ranges of leaves (both ends in them) of about `_SLICE` accesses, at least one range.

    A part of the store holds leaves that lie together, so a range is read from few files, and what is joined for it stays small.
    """
    count, first, last = (
        int(str(value or 0)) for value in engine.rows("SELECT count(*), min(leaf), max(leaf) FROM stored_accesses")[0]
    )
    many = max(1, -(-count // _SLICE))
    width = (last - first) // many + 1
    return [(first + number * width, first + (number + 1) * width - 1) for number in range(many)]


def shown(column: str) -> str:
    """Return how a column of `looks` is read from `stored_looks`."""
    return "rowid AS look" if column == "look" else column


def _within(engine: Engine, around: str | None) -> str:
    """Return the condition that keeps the looks at the subjects of one access, or the access alone if it names nobody."""
    if around is None:
        return "TRUE"
    wanted = "'" + around.replace("'", "''") + "'"
    engine.run(
        f"""
        CREATE OR REPLACE TABLE around AS
        WITH wanted AS (SELECT leaf FROM stored_accesses WHERE access_id = {wanted})
        SELECT subject FROM stored_touches WHERE leaf IN (SELECT leaf FROM wanted)
        UNION SELECT subject FROM opened WHERE leaf IN (SELECT leaf FROM wanted)
        """
    )
    return f"(a.access_id = {wanted} OR s.subject IN (SELECT subject FROM around))"


_SLICE: Final = 4_000_000
_WORDS: Final = """
CREATE OR REPLACE TABLE stored_words AS
SELECT DISTINCT actor, coalesce(on_behalf_of, actor) AS human, actor_kind, action, system, fieldset, subject_scope, purpose
FROM stored_accesses
"""
_CODED: Final = {
    "via": "SELECT unnest(['direct', 'derived']) AS word",
    "certainty": "SELECT certainty AS word FROM stored_touches UNION SELECT certainty FROM copies",
    "actor": "SELECT actor AS word FROM stored_words",
    "human": "SELECT human AS word FROM stored_words",
    "actor_kind": "SELECT actor_kind AS word FROM stored_words",
    "action": "SELECT action AS word FROM stored_words",
    "system": "SELECT system AS word FROM stored_words",
    "fieldset": "SELECT fieldset AS word FROM stored_words UNION SELECT fieldset FROM copies",
    "subject_scope": "SELECT subject_scope AS word FROM stored_words",
    "purpose": "SELECT purpose AS word FROM stored_words",
    "unit": "SELECT unit AS word FROM staff_spans",
    "country": "SELECT country AS word FROM staff_spans",
    "entity": "SELECT entity AS word FROM staff_spans",
    "manager": "SELECT manager AS word FROM staff_spans",
}
"""Columns of `looks` with few distinct words, kept as codes: a third of the memory; to every reader they are texts that compare and
join as fast as numbers.
"""
_PUBLIC: Final = """
CREATE OR REPLACE TABLE fieldset_facts AS
SELECT fieldset, count(field) AS fields,
  CASE WHEN count(field) > 0 AND count(field) = sum(CASE WHEN category = 'public' THEN 1 ELSE 0 END) THEN 1 ELSE 0 END
    AS public_only
FROM fieldsets GROUP BY fieldset
"""
_LOOKS: Final = f"""
WITH touched AS (
  SELECT leaf, subject, certainty FROM stored_touches WHERE leaf BETWEEN {{first}} AND {{last}}
), often AS (
  SELECT leaf FROM touched GROUP BY leaf HAVING count(*) > 1
), subjects_of AS (
  SELECT t.leaf, t.subject, t.certainty, 'direct' AS via, CAST(NULL AS VARCHAR) AS copied
  FROM touched t WHERE t.leaf NOT IN (SELECT leaf FROM often)
  UNION ALL
  SELECT t.leaf, t.subject, min(t.certainty), 'direct', NULL
  FROM touched t WHERE t.leaf IN (SELECT leaf FROM often) GROUP BY t.leaf, t.subject
  UNION ALL
  SELECT leaf, subject, certainty, 'derived', fieldset FROM opened
)
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
  WHERE a.leaf BETWEEN {{first}} AND {{last}} AND {_IS_LOOK} AND {{within}}
) b
LEFT JOIN fieldset_facts f ON f.fieldset = b.fieldset
LEFT JOIN staff_spans p ON p.actor = b.human AND p.valid_from <= b.time AND b.time < p.valid_to
"""
"""One row per access and subject: `certain` < `estimate` < `upper_bound`, so the best certainty is the least. The fields of an
opened copy are those of the export that wrote it, unless the opening names its own.
"""


def extend(engine: Engine, table: str, step: str, most: int) -> None:
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
