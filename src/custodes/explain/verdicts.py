"""From candidates to verdicts: what explains each look, which claimed reasons are broken, what the unexplained ones lack.

Each template runs once over all looks (its candidates are joined in the engine, row by row nothing is done here). A template whose
tables are missing gives no verdict and is named. Verdicts are rows; nothing is decided by the order in which rows come.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa

from custodes.errors import BadRule
from custodes.explain import duties, quickly, views
from custodes.explain.template import WEAKEST, Template
from custodes.model.policy import Policy
from custodes.model.run import NotChecked, RuleUse
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine

REASON_TABLES: Final = frozenset({"tickets", "cases", "grants"})
"""Without any of these no look can be called unexplained."""
_MOST_REPEATS: Final = 1000


@dataclass(frozen=True, slots=True)
class Explained:
    """What came out. `explained`: looks per template code; `reasons_known`: whether any of tickets, cases, grants is loaded."""

    looks: int
    residue: int
    explained: dict[str, int]
    not_checked: list[NotChecked]
    uses: list[RuleUse] = field(default_factory=list)
    reasons_known: bool = True


class Course(Protocol):
    """What a run that keeps verdicts of earlier ones does between the steps."""

    def before(self, template: Template) -> None:
        """Called before a template is tried, with `explanations` and `tried` as they have become."""

    def judged(self) -> None:
        """Called when all templates have been tried, before anything is concluded."""


def run(engine: Engine, templates: Sequence[Template], policy: Policy, loaded: set[str], course: Course | None = None) -> Explained:
    """Fill `explanations`, `flags`, `residue`, `lacks`, `checked` and `obligations` from `looks` and the context views.

    Works on any engine that holds `looks`; views that are not there count as empty. `loaded`: context tables that were loaded.
    """
    views.fill_missing(engine)
    duties.fill_missing(engine)
    _begin(engine, templates)
    not_checked: list[NotChecked] = []
    uses: list[RuleUse] = []
    tried: list[Template] = []
    quickly_explained: dict[str, int] = {}
    _narrow(engine, [template for template in templates if not set(template.tables) - loaded])
    for template in in_order(templates):
        missing = [name for name in template.tables if name not in loaded]
        if missing:
            not_checked.append(NotChecked(f"{template.code} {template.title}", f"not loaded: {', '.join(missing)}"))
            continue
        began = time.monotonic()
        if course:
            course.before(template)
        if template.quick:
            count, quickly_explained[template.code] = quickly.explain(engine, template, policy)
        else:
            count = _try(engine, template, policy)
        tried.append(template)
        uses.append(RuleUse(template.code, template.title, template.version, template.digest, count, time.monotonic() - began))
    _small(engine, "checked", {t.code: int(t in tried) for t in templates})
    _register_checks(engine, tried)
    if course:
        course.judged()
    _conclude(engine, tried, policy, loaded)
    return Explained(
        looks=_one(engine, "SELECT count(*) FROM looks"),
        residue=_one(engine, "SELECT count(*) FROM residue"),
        explained=_counts(engine, quickly_explained),
        not_checked=not_checked,
        uses=uses,
        reasons_known=bool(loaded & REASON_TABLES),
    )


def _counts(engine: Engine, known: Mapping[str, int]) -> dict[str, int]:
    """Return how many looks each template explains that explains any, by its code. `known`: of some it is known."""
    others = " AND ".join(f"template <> CAST('{code}' AS coded_template)" for code in known) or "TRUE"
    counts = engine.rows(f"SELECT template, count(DISTINCT look) FROM explanations WHERE {others} GROUP BY template")
    found = {code: count for code, count in known.items() if count} | {str(code): int(str(count)) for code, count in counts}
    return dict(sorted(found.items()))


def in_order(templates: Sequence[Template]) -> list[Template]:
    """Return templates so that each comes after those whose verdicts it reads. Raises `BadRule` if two wait for each other."""
    left, done, ordered = list(templates), set[str](), list[Template]()
    names = {template.code for template in templates}
    while left:
        ready = [template for template in left if set(template.after) & names <= done]
        if not ready:
            raise BadRule(f"templates wait for each other: {', '.join(template.code for template in left)}")
        ordered += ready
        done.update(template.code for template in ready)
        left = [template for template in left if template not in ready]
    return ordered


def _begin(engine: Engine, templates: Sequence[Template]) -> None:
    for name in ("explanations", "flags", "lacks", "residue", "obligations", "checked"):
        kind = engine.rows(f"SELECT table_type FROM information_schema.tables WHERE table_name = '{name}'")
        if kind:
            engine.run(f"DROP {'VIEW' if kind[0][0] == 'VIEW' else 'TABLE'} {name}")
    _code(engine, "template", [template.code for template in templates])
    _code(engine, "evidence", [*TABLES, *VIEWS, "datamap"])
    engine.run(
        """CREATE TABLE explanations (look BIGINT, access BIGINT, subject VARCHAR, template coded_template, strength INTEGER,
           evidence_table coded_evidence, evidence_key VARCHAR, claimed BOOLEAN)"""
    )  # `claimed` is asked for by what comes after the templates, and goes when they are done
    engine.run(
        """CREATE OR REPLACE TABLE tried (look BIGINT, template VARCHAR, evidence_table VARCHAR, evidence_key VARCHAR,
           strength INTEGER, claimed INTEGER, failed BIGINT, broken BIGINT, short INTEGER)"""
    )


def _code(engine: Engine, name: str, words: Collection[str]) -> None:
    """Make the type of a column that holds one of a few words: there are as many explanations as looks."""
    listed = ", ".join(f"'{word}'" for word in sorted({*words, ""}))
    engine.run(f"DROP TYPE IF EXISTS coded_{name}")
    engine.run(f"CREATE TYPE coded_{name} AS ENUM ({listed})")


def _try(engine: Engine, template: Template, policy: Policy) -> int:
    """Run one template; return how many verdicts `explains` it gave. One that reads its own verdicts runs until nothing is new.

    Verdicts only ever add up and rest on earlier looks, so that running it again and again is the same as going through time.
    """
    source = "near_looks" if _narrowed(template) else "looks"
    _find_candidates(engine, template, policy, source)
    total = found = _keep_explaining(engine, template, source)
    for _ in range(_MOST_REPEATS if template.repeat else 0):
        if not found:
            break
        _find_candidates(engine, template, policy, source)
        found = _keep_explaining(engine, template, source)
        total += found
    _keep_failing(engine, template)
    return total


def _find_candidates(engine: Engine, template: Template, policy: Policy, source: str) -> None:
    """Make `candidates` of the looks in `source`."""
    steps, asked = template.in_steps(policy)
    within = "" if source == "looks" else f"WITH looks AS (SELECT * FROM {source}) "
    quickly.make_steps(engine, steps, within)
    engine.run(f"CREATE OR REPLACE TABLE candidates AS {within}{with_masks(template, asked)}")
    quickly.drop_steps(engine, steps)


def _keep_failing(engine: Engine, template: Template) -> None:
    engine.run(
        f"""INSERT INTO tried SELECT look, '{template.code}', evidence_table, evidence_key, strength, claimed, failed, broken, short
            FROM candidates WHERE failed > 0 OR strength < {WEAKEST}"""
    )
    engine.run("DROP TABLE candidates")


def _narrowed(template: Template) -> bool:
    """Say whether a template is asked only about `near_looks`. One that reads verdicts sees all looks."""
    return bool(template.near) and not template.after and not template.repeat


def _narrow(engine: Engine, templates: Sequence[Template]) -> None:
    """Make `near_looks`: all looks of which one of the narrowed templates can have a candidate. Most looks are none of them."""
    narrowed = [template for template in templates if _narrowed(template)]
    columns = dict.fromkeys(column for template in narrowed for column in template.near)
    parts = []
    for column in columns:
        entries = dict.fromkeys(entry for template in narrowed for entry in template.near.get(column, ()))
        if column == "when":
            parts += [f"({entry})" for entry in entries]
        else:
            parts.append(f"l.{column} IN ({' UNION ALL '.join(f'SELECT * FROM ({entry}) f' for entry in entries)})")
    within = " OR ".join(parts) or "FALSE"
    engine.run(f"CREATE OR REPLACE TABLE near_ids AS SELECT l.look FROM looks l WHERE {within}")
    engine.run("CREATE OR REPLACE TABLE near_looks AS SELECT * FROM looks WHERE look IN (SELECT look FROM near_ids)")


def _what_is_left(engine: Engine, quick: Sequence[Template]) -> None:
    """Make `residue`, and `missed_looks`: all looks of which anything is still said; `missed_reasons` is what explains them.

    Those are looks that stay unexplained, were flagged, or claim another row. Nothing else is ever read of `tried`: `best` takes
    these looks, and of an explained one only a claim of another row is flagged.
    """
    engine.run("CREATE OR REPLACE TABLE unexplained AS SELECT l.look FROM looks l ANTI JOIN explanations x ON x.look = l.look")
    unclaimed = "".join(f" UNION {quickly.unclaimed(template)}" for template in quick)
    told = f"SELECT look FROM unexplained UNION SELECT look FROM tried WHERE claimed = 1 UNION SELECT look FROM flagged{unclaimed}"
    engine.run(f"CREATE OR REPLACE TABLE missed_looks AS SELECT * FROM looks WHERE look IN ({told})")
    engine.run("CREATE TABLE residue AS SELECT * FROM missed_looks WHERE look IN (SELECT look FROM unexplained)")
    engine.run(
        """CREATE OR REPLACE TABLE missed_reasons AS
           SELECT look, template, evidence_key FROM explanations WHERE look IN (SELECT look FROM missed_looks)"""
    )


def _near_misses(engine: Engine, quick: Sequence[Template], policy: Policy) -> None:
    """Ask templates that explained quickly for what failed."""
    for template in quick:
        _find_candidates(engine, template, policy, "missed_looks")
        _keep_failing(engine, template)
    for name in ("unexplained", "near_looks", "near_ids"):
        engine.run(f"DROP TABLE IF EXISTS {name}")


def with_masks(template: Template, sql: str) -> str:
    """Wrap a template's SELECT: checks become two bit masks, one of what does not hold and one of what is broken."""
    return f"""
        SELECT look, evidence_table, evidence_key, CAST(strength AS INTEGER) AS strength, CAST(claimed AS INTEGER) AS claimed,
          {masks([check.column for check in template.checks])}
        FROM ({sql}) found"""


def masks(checks: Sequence[str]) -> str:
    """Return the columns that are made of some checks: `failed` and `broken`, bit by bit, and `short`, how many do not hold."""

    def mask(test: str) -> str:
        parts = [f"CASE WHEN {check} {test} THEN {1 << place} ELSE 0 END" for place, check in enumerate(checks)]
        return " + ".join(parts) or "0"

    short = " + ".join(f"CASE WHEN {check} = 1 THEN 0 ELSE 1 END" for check in checks) or "0"
    return f"""CAST({mask("IS DISTINCT FROM 1")} AS BIGINT) AS failed, CAST({mask("= 0")} AS BIGINT) AS broken,
          CAST({short} AS INTEGER) AS short"""


def _keep_explaining(engine: Engine, template: Template, source: str) -> int:
    known = (
        f"""AND NOT EXISTS (SELECT 1 FROM explanations x WHERE x.look = c.look AND x.template = '{template.code}'
                            AND x.evidence_key IS NOT DISTINCT FROM c.evidence_key)"""
        if template.repeat
        else ""
    )
    engine.run(
        f"""CREATE OR REPLACE TABLE explained_now AS
            SELECT c.look, max(c.strength) AS strength, c.evidence_table, c.evidence_key
            FROM candidates c WHERE c.failed = 0 AND c.strength >= {WEAKEST} {known}
            GROUP BY c.look, c.evidence_table, c.evidence_key"""
    )
    found = _one(engine, "SELECT count(*) FROM explained_now")
    if found:
        engine.run(
            f"""INSERT INTO explanations
                SELECT f.look, l.access, l.subject, '{template.code}', f.strength, f.evidence_table, f.evidence_key, NULL
                FROM explained_now f INNER JOIN {source} l ON l.look = f.look"""
        )
    engine.run("DROP TABLE explained_now")
    return found


def _register_checks(engine: Engine, tried: Sequence[Template]) -> None:
    """Copy in what each bit of a mask means."""
    rows = [
        (template.code, 1 << place, check.lacks, check.flag, code)
        for template in tried
        for place, check in enumerate(template.checks)
        for code in check.codes or (None,)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    kinds = (pa.string(), pa.int64(), pa.string(), pa.string(), pa.string())
    names = ["template", "bit", "lacks", "flag", "code"]
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, kinds, strict=True)]
    engine.table("template_checks", pa.table(arrays, names=names))


def _conclude(engine: Engine, tried: Sequence[Template], policy: Policy, loaded: set[str]) -> None:
    """Residue first, since flags and lacks are about it; duties last, since explanations meet them."""
    quick = [template for template in tried if template.quick]
    for sql in (_FLAGGED, _FLAG_RELATION):
        engine.run(sql)
    _what_is_left(engine, quick)
    _near_misses(engine, quick, policy)
    engine.run(_BEST)
    for sql in (_FLAG_CLAIMED, _FLAG_RESIDUE, _no_reason(loaded), _FLAG_COPY):
        engine.run(sql)
    engine.run(_MISSED)
    engine.run(_LACKING)
    for template in tried:
        for absence in template.absent:
            engine.run(_absent(template, absence.lacks, absence.when))
            for code in absence.codes:
                engine.run(_absent_flag(template, absence.when, code))
    engine.run(_FLAGS)
    engine.run(_LACKS)
    duties.judge(engine)
    engine.run("ALTER TABLE explanations DROP COLUMN claimed")
    for name in ("flagged", "lacking", "missed", "missed_looks", "missed_reasons"):
        engine.run(f"DROP TABLE {name}")


_FLAGGED: Final = """
CREATE OR REPLACE TABLE flagged (look BIGINT, template VARCHAR, code VARCHAR, evidence_table VARCHAR, evidence_key VARCHAR)
"""


NEAREST: Final = "claimed DESC, short, failed, evidence_key, evidence_table, broken, strength"
"""Order of a look's candidates in a template: the one that comes nearest first, a claimed one before all others."""
_BEST: Final = f"""
CREATE OR REPLACE TABLE best AS
SELECT look, template, evidence_table, evidence_key, claimed, failed, broken, strength FROM (
  SELECT t.*, row_number() OVER (PARTITION BY look, template ORDER BY {NEAREST}) AS place
  FROM tried t
  WHERE t.look IN (SELECT look FROM residue UNION SELECT look FROM tried WHERE claimed = 1 UNION SELECT look FROM flagged)
) WHERE place = 1
"""
"""The nearest candidate per template of the looks that anything can still be said of: unexplained, with a claim that fails, or
flagged by a relation. Those are few, and the order over all candidates would cost more than finding them.
"""
_FLAG_CLAIMED: Final = """
INSERT INTO flagged SELECT b.look, b.template, k.code, b.evidence_table, b.evidence_key
FROM best b INNER JOIN template_checks k ON k.template = b.template AND k.flag = 'claimed' AND (b.broken // k.bit) % 2 = 1
WHERE b.claimed = 1 AND k.code IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM missed_reasons x WHERE x.look = b.look AND x.template = b.template
    AND x.evidence_key IS NOT DISTINCT FROM b.evidence_key)
"""
_FLAG_RESIDUE: Final = """
INSERT INTO flagged SELECT b.look, b.template, k.code, b.evidence_table, b.evidence_key
FROM best b INNER JOIN template_checks k ON k.template = b.template AND k.flag = 'residue' AND (b.broken // k.bit) % 2 = 1
INNER JOIN residue r ON r.look = b.look
WHERE k.code IS NOT NULL
"""
_FLAG_RELATION: Final = """
INSERT INTO flagged SELECT DISTINCT t.look, t.template, k.code, t.evidence_table, t.evidence_key
FROM tried t INNER JOIN template_checks k ON k.template = t.template AND k.flag = 'relation' AND (t.broken // k.bit) % 2 = 1
WHERE k.code IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM explanations x WHERE x.look = t.look AND (x.strength >= 3 OR x.template = t.template))
"""
_FLAG_COPY: Final = """
INSERT INTO flagged SELECT look, 'copy', 'V17', 'accesses', derived_from FROM residue WHERE derived_from IS NOT NULL
"""


def _no_reason(loaded: set[str]) -> str:
    """V1: deliberate, unexplained, and no reason is claimed, or one that is found nowhere although all reason tables are here."""
    nowhere = "NOT EXISTS (SELECT 1 FROM reasons s WHERE s.reason = r.reason)" if loaded >= REASON_TABLES else "FALSE"
    return f"""
        INSERT INTO flagged SELECT r.look, 'reason', 'V1', NULL, NULL FROM residue r
        WHERE r.deliberate AND {bool(loaded & REASON_TABLES)} AND (r.reason IS NULL OR {nowhere})"""


_MISSED: Final = """
CREATE OR REPLACE TABLE missed AS SELECT look FROM residue UNION SELECT look FROM flagged
"""
_LACKING: Final = """
CREATE OR REPLACE TABLE lacking AS
SELECT b.look, b.template || ':' || k.lacks AS token, b.evidence_table, b.evidence_key
FROM best b INNER JOIN missed m ON m.look = b.look
INNER JOIN template_checks k ON k.template = b.template AND (b.failed // k.bit) % 2 = 1
WHERE NOT EXISTS (SELECT 1 FROM missed_reasons x WHERE x.look = b.look AND x.template = b.template)
"""


def _without(template: Template, when: str) -> str:
    """Say which missed looks `l` have no candidate of a template at all, under the template's condition."""
    return f"""
        FROM missed_looks l INNER JOIN missed m ON m.look = l.look
        WHERE ({when}) AND NOT EXISTS (SELECT 1 FROM best b WHERE b.look = l.look AND b.template = '{template.code}')
          AND NOT EXISTS (SELECT 1 FROM missed_reasons x WHERE x.look = l.look AND x.template = '{template.code}')"""


def _absent(template: Template, lacks: str, when: str) -> str:
    return f"INSERT INTO lacking SELECT l.look, '{template.code}:{lacks}', NULL, NULL {_without(template, when)}"


def _absent_flag(template: Template, when: str, code: str) -> str:
    return f"INSERT INTO flagged SELECT l.look, '{template.code}', '{code}', NULL, NULL {_without(template, when)}"


_FLAGS: Final = """
CREATE TABLE flags AS
SELECT DISTINCT f.look, l.access, l.subject, f.template, f.code, f.evidence_table, f.evidence_key
FROM flagged f INNER JOIN missed_looks l ON l.look = f.look
"""
_LACKS: Final = """
CREATE TABLE lacks AS
SELECT DISTINCT k.look, l.access, l.subject, k.token, k.evidence_table, k.evidence_key
FROM lacking k INNER JOIN missed_looks l ON l.look = k.look
"""


def _small(engine: Engine, name: str, values: dict[str, int]) -> None:
    engine.table(
        name, pa.table({"template": pa.array(list(values), pa.string()), name: pa.array(list(values.values()), pa.int32())})
    )


def _one(engine: Engine, sql: str) -> int:
    return int(str(engine.rows(sql)[0][0]))
