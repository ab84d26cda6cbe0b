"""Accesses, copies and looks: the large views, joined in the engine and never row by row.

A look is made only from a recorded access. Whoever opens a copy looks at everybody in it, with the fields that were written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

_COPY_DEPTH: Final = 8

_IS_LOOK: Final = """
a.action NOT IN ('login', 'approve', 'grant') AND a.subject_scope <> 'none' AND (a.outcome IS NULL OR a.outcome <> 'denied')
"""
_ROWS_INSIDE: Final = """
SELECT a.leaf, c.subject, c.certainty, c.fieldset
FROM stored_accesses a INNER JOIN copies c ON c.object = a.derived_from AND c.written <= a.time + INTERVAL 1 HOUR
WHERE a.derived_from IS NOT NULL
"""
_ROWS_OPENED: Final = """
WITH named AS (
  SELECT t.leaf, t.subject FROM stored_touches t WHERE t.leaf IN (SELECT leaf FROM inside)
)
SELECT * FROM inside i WHERE NOT EXISTS (SELECT 1 FROM named n WHERE n.leaf = i.leaf AND n.subject = i.subject)
"""
"""Subjects inside an opened copy that the opening itself does not name; clocks of two systems may differ by an hour."""
_INSIDE: Final = f"CREATE OR REPLACE TABLE inside AS {_ROWS_INSIDE}"
_OPENED: Final = f"CREATE OR REPLACE TABLE opened AS {_ROWS_OPENED}"


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
    for sql in (_PUBLIC, _INSIDE, _OPENED, _WORDS):
        engine.run(sql)
    for column, source in CODED.items():
        _code(engine, column, source)
    coded = ", ".join(f"CAST({_FROM.get(column, f'a.{column}')} AS coded_{column}) AS {column}" for column in _CODED_FIRST)
    engine.run("DROP VIEW IF EXISTS looks")
    within = _within(engine, around)
    engine.run(_EMPTY_WORDS.format(types=", ".join(f"{name} {_type(name)}" for name in _FEW)))
    engine.run(_EMPTY_LOOKS.format(types=", ".join(f"{name} {VIEWS['looks'][name]}" for name in _MANY)))
    for first, last in _slices(engine):
        engine.run(f"CREATE OR REPLACE TABLE looks_now AS {_LOOKS.format(within=within, first=first, last=last, coded=coded)}")
        engine.run(_MORE_WORDS)
        engine.run(_MORE_LOOKS)
    for name in ("inside", "opened", "stored_words", "looks_now"):
        engine.run(f"DROP TABLE {name}")
    columns = ", ".join(_shown(column) for column in VIEWS["looks"])
    engine.run(f"CREATE VIEW looks AS SELECT {columns} FROM stored_looks s INNER JOIN look_words w ON w.words = s.words")


def build_fieldset_facts(engine: Engine) -> None:
    """Make `fieldset_facts` of `fieldsets`."""
    engine.run(_PUBLIC)


def few(accesses: str, touches: str, first: str) -> str:
    """Return the SELECT of the looks of stored `accesses` and their `touches`, with plain words: for a few, codes cost more.

    `first`: an expression for the number of the first look. Reads `copies`, `fieldset_facts` and `staff_spans` as they are.
    """
    coded = ", ".join(f"{_FROM.get(column, f'a.{column}')} AS {column}" for column in _CODED_FIRST)
    select = _LOOKS.format(within="TRUE", first=0, last=2**62, coded=coded)
    columns = ", ".join(name for name in VIEWS["looks"] if name != "look")
    return f"""
        WITH stored_accesses AS NOT MATERIALIZED (SELECT * FROM {accesses}),
        stored_touches AS NOT MATERIALIZED (SELECT * FROM {touches}), inside AS ({_ROWS_INSIDE}), opened AS ({_ROWS_OPENED})
        SELECT {first} - 1 + row_number() OVER () AS look, {columns} FROM ({_A_CODE.sub("VARCHAR", select)})"""


def hold(engine: Engine, source: str) -> None:
    """Make table `held_looks` of the rows of a SELECT, in the form in which looks are held."""
    for column in CODED:
        _code(engine, column, f"SELECT {column} AS word FROM ({source})")
    columns = ", ".join(f"CAST({name} AS coded_{name}) AS {name}" if name in CODED else name for name in VIEWS["looks"])
    engine.run(f"CREATE OR REPLACE TABLE held_looks AS SELECT {columns} FROM ({source})")


def _code(engine: Engine, column: str, source: str) -> None:
    """Make the type of a column: the words of a SELECT, and the empty one, since a type of no words breaks statements over it."""
    engine.run(f"DROP TYPE IF EXISTS coded_{column}")
    words = f"SELECT word FROM ({source}) WHERE word IS NOT NULL UNION SELECT ''"
    engine.run(f"CREATE TYPE coded_{column} AS ENUM (SELECT word FROM ({words}) ORDER BY word)")


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


def _shown(column: str) -> str:
    """Return how a column of `looks` is read from `stored_looks` s and `look_words` w."""
    return "s.rowid AS look" if column == "look" else f"s.{column}" if column in _MANY else f"w.{column}"


def _type(column: str) -> str:
    return f"coded_{column}" if column in CODED else VIEWS["looks"][column]


def _within(engine: Engine, around: str | None) -> str:
    """Return the condition that keeps the looks at the subjects of one access, or the access alone if it names nobody."""
    if around is None:
        return "TRUE"
    wanted = "'" + around.replace("'", "''") + "'"
    engine.run(
        f"""
        CREATE OR REPLACE TABLE around AS
        WITH wanted AS (SELECT leaf FROM stored_accesses WHERE access_id = {wanted})
        SELECT w.leaf, t.subject FROM wanted w LEFT JOIN stored_touches t ON t.leaf = w.leaf
        UNION SELECT leaf, subject FROM opened WHERE leaf IN (SELECT leaf FROM wanted)
        """
    )
    return "(a.leaf IN (SELECT leaf FROM around) OR s.subject IN (SELECT subject FROM around WHERE subject IS NOT NULL))"


_SLICE: Final = 2_000_000
_A_CODE: Final = re.compile(r"\bcoded_[a-z_]+")
_WORDS: Final = """
CREATE OR REPLACE TABLE stored_words AS
SELECT DISTINCT actor, coalesce(on_behalf_of, actor) AS human, actor_kind, action, system, fieldset, subject_scope, purpose
FROM stored_accesses
"""
CODED: Final = {
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
_CODED_FIRST: Final = ("actor", "human", "actor_kind", "action", "system", "fieldset", "subject_scope", "purpose")
_FROM: Final = {"human": "coalesce(a.on_behalf_of, a.actor)"}
"""Columns of `looks` with few distinct words, kept as codes: a third of the memory; to every reader they are texts that compare and
join as fast as numbers.
"""
_MANY: Final = ("access", "subject", "time", "reason", "derived", "derived_from")
"""Columns of `looks` with many distinct values. All others of a look are one row of `look_words`, which is named by its number:
there are a few thousand of those however many looks there are, and a look takes half the memory.
"""
_FEW: Final = tuple(name for name in VIEWS["looks"] if name not in {"look", *_MANY})
_SAME_WORDS: Final = " AND ".join(f"w.{name} IS NOT DISTINCT FROM n.{name}" for name in _FEW)
_EMPTY_WORDS: Final = "CREATE OR REPLACE TABLE look_words (words INTEGER, {types})"
_EMPTY_LOOKS: Final = "CREATE OR REPLACE TABLE stored_looks ({types}, words INTEGER)"
_MORE_WORDS: Final = f"""
INSERT INTO look_words
SELECT (SELECT count(*) FROM look_words) + row_number() OVER (), {", ".join(_FEW)}
FROM (SELECT DISTINCT {", ".join(_FEW)} FROM looks_now) n
WHERE NOT EXISTS (SELECT 1 FROM look_words w WHERE {_SAME_WORDS})
"""
_MORE_LOOKS: Final = f"""
INSERT INTO stored_looks
SELECT {", ".join(f"n.{name}" for name in _MANY)}, w.words
FROM looks_now n INNER JOIN look_words w ON {_SAME_WORDS}
"""
_PUBLIC: Final = """
CREATE OR REPLACE TABLE fieldset_facts AS
SELECT fieldset, count(field) AS fields,
  CASE WHEN count(field) > 0 AND count(field) = sum(CASE WHEN category = 'public' THEN 1 ELSE 0 END) THEN 1 ELSE 0 END
    AS public_only
FROM fieldsets GROUP BY fieldset
"""
_LOOKS: Final = f"""
WITH asked AS (
  SELECT a.leaf, a.time, {{coded}}, a.reason, a.deliberate, a.break_glass, a.derived, a.derived_from
  FROM stored_accesses a
  WHERE a.leaf BETWEEN {{first}} AND {{last}} AND {_IS_LOOK}
), touched AS (
  SELECT leaf, subject, CAST(certainty AS coded_certainty) AS certainty
  FROM stored_touches WHERE leaf BETWEEN {{first}} AND {{last}}
), often AS (
  SELECT leaf FROM touched GROUP BY leaf HAVING count(*) > 1
), subjects_of AS (
  SELECT t.leaf, t.subject, t.certainty, CAST('direct' AS coded_via) AS via, CAST(NULL AS coded_fieldset) AS copied
  FROM touched t WHERE t.leaf NOT IN (SELECT leaf FROM often)
  UNION ALL
  SELECT t.leaf, t.subject, CAST(min(t.certainty) AS coded_certainty), CAST('direct' AS coded_via), NULL
  FROM touched t WHERE t.leaf IN (SELECT leaf FROM often) GROUP BY t.leaf, t.subject
  UNION ALL
  SELECT leaf, subject, CAST(certainty AS coded_certainty), CAST('derived' AS coded_via), CAST(fieldset AS coded_fieldset)
  FROM opened
), facts AS (
  SELECT TRY_CAST(fieldset AS coded_fieldset) AS fieldset, fields, public_only FROM fieldset_facts
), posted AS (
  SELECT TRY_CAST(actor AS coded_human) AS actor, valid_from, valid_to, CAST(unit AS coded_unit) AS unit,
    CAST(country AS coded_country) AS country, CAST(entity AS coded_entity) AS entity, CAST(manager AS coded_manager) AS manager
  FROM staff_spans
)
SELECT a.leaf AS access, s.subject,
  coalesce(s.via, CASE WHEN a.derived_from IS NULL THEN CAST('direct' AS coded_via) ELSE CAST('derived' AS coded_via) END) AS via,
  s.certainty, a.time, a.actor, a.human, a.actor_kind, a.action, a.system,
  CASE WHEN coalesce(o.fields, 0) = 0 AND s.copied IS NOT NULL THEN s.copied ELSE a.fieldset END AS fieldset,
  a.subject_scope, a.purpose, a.reason, a.deliberate, a.break_glass, a.derived, a.derived_from,
  coalesce(CASE WHEN coalesce(o.fields, 0) = 0 AND s.copied IS NOT NULL THEN f.public_only ELSE o.public_only END, 0)
    AS public_only,
  p.unit, p.country, p.entity, p.manager
FROM asked a
LEFT JOIN subjects_of s ON s.leaf = a.leaf
LEFT JOIN facts o ON o.fieldset = a.fieldset
LEFT JOIN facts f ON f.fieldset = s.copied
LEFT JOIN posted p ON p.actor = a.human AND p.valid_from <= a.time AND a.time < p.valid_to
WHERE {{within}}
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
