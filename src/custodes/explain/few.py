"""Verdicts on a few looks, where a statement costs more than its rows: what `verdicts.run` gives for all looks, in a few.

The templates are the same text, tried beside each other in one statement; those without a candidate are left out. What follows
from the candidates of a look (flags, what it lacks) is concluded here, row by row, and only for looks of which a finding is told.
Nothing on this page is a second opinion: a property test holds both ways to equal rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from custodes.errors import BadRule
from custodes.explain.template import WEAKEST, Absence, Check, Template
from custodes.explain.verdicts import REASON_TABLES, in_order, with_masks
from custodes.model.policy import Policy

if TYPE_CHECKING:
    from custodes.engine import Engine

_COLUMNS: Final = "look, evidence_table, evidence_key, strength, claimed, failed, broken, short"
_KEYS: Final = ("subject", "reason", "actor", "human")
Reason = tuple[str, str | None, str | None]
"""A word (template, code or token) with table and key of the context row that it is about."""


class _Candidate(NamedTuple):
    """A row that a template found for a look; bits of `failed` and `broken` are its checks."""

    template: str
    table: str | None
    key: str | None
    strength: int
    claimed: int
    failed: int
    broken: int
    short: int

    @property
    def explains(self) -> bool:
        return self.failed == 0 and self.strength >= WEAKEST

    def distance(self) -> tuple[object, ...]:
        """Sort as `verdicts.NEAREST`: what comes nearest first."""
        texts = [(word is None, word or "") for word in (self.key, self.table)]
        return (-self.claimed, self.short, self.failed, *texts, self.broken, self.strength)


@dataclass(slots=True)
class Verdict:
    """What is known of one look. `reasons`: by which templates it is explained; `flags`: by code; `lacks`: by token."""

    reasons: set[Reason] = field(default_factory=set)
    flags: set[Reason] = field(default_factory=set)
    lacks: set[Reason] = field(default_factory=set)


class Few:
    """One shelf of templates under one policy, over tables that hold what a few looks can be joined with.

    Reads `few_looks` (view `looks` must show the same), context as `verdicts.run` does, and besides `earlier_looks` and
    `earlier_explanations`: other looks at the same people, and what explained them. Makes `candidates` and `few_explanations`.
    """

    def __init__(self, engine: Engine, templates: Sequence[Template], policy: Policy, loaded: set[str]) -> None:
        """Read from the whole context without which values a template has no candidate. `loaded`: tables that were loaded.

        Raises `BadRule` for a template that reads its own verdicts: those of other looks would have to follow.
        """
        if own := [template.code for template in templates if template.repeat]:
            raise BadRule(f"{own[0]} reads its own verdicts: a few looks cannot be asked by it")
        self._engine, self._policy = engine, policy
        self._tried = [template for template in in_order(templates) if not set(template.tables) - loaded]
        self._by_code = {template.code: template for template in self._tried}
        self._near = {template.code: _Near(engine, template) for template in self._tried if template.near and not template.after}
        self._reasons_known = bool(loaded & REASON_TABLES)
        self._all_known = loaded >= REASON_TABLES

    def explain(self) -> None:
        """Try the templates on `few_looks`."""
        engine = self._engine
        values, met = self._values()
        first = [
            template
            for template in self._tried
            if not template.after and (template.code not in self._near or self._near[template.code].meets(values, met))
        ]
        engine.run(f"CREATE OR REPLACE TABLE candidates AS {_beside(first, self._policy) or _NO_CANDIDATES}")
        for template in self._tried:
            if template.after:
                engine.run(_afterwards(template, self._policy))
        engine.run(_EXPLANATIONS)

    def _values(self) -> tuple[Mapping[str, set[object]], set[str]]:
        """Return what the looks hold in the columns that narrow templates, and which conditions one of them meets."""
        conditions = list(dict.fromkeys(entry for near in self._near.values() for entry in near.conditions))
        tests = "".join(f", bool_or({entry})" for entry in conditions)
        listed = ", ".join(f"list(DISTINCT l.{key})" for key in _KEYS)
        row = self._engine.rows(f"SELECT {listed}{tests} FROM few_looks l")[0]
        found = {key: set(value) if isinstance(value, list) else set() for key, value in zip(_KEYS, row, strict=False)}
        return found, {entry for entry, met in zip(conditions, row[len(_KEYS) :], strict=True) if met}

    def conclude(self, looks: Collection[int]) -> dict[int, Verdict]:
        """Return the verdicts on some looks of `few_looks`, after `explain`."""
        if not looks:
            return {}
        among = f"look IN ({', '.join(map(str, sorted(looks)))})"
        found: dict[int, list[_Candidate]] = defaultdict(list)
        for look, *rest in self._engine.rows(f"SELECT look, template, {_COLUMNS[6:]} FROM candidates WHERE {among}"):
            found[_int(look)].append(_Candidate(*rest))  # type: ignore[arg-type]  # the columns of `candidates`
        absences = [(template, absence) for template in self._tried for absence in template.absent]
        tests = "".join(f", ({absence.when})" for _, absence in absences)
        known = "EXISTS (SELECT 1 FROM reasons s WHERE s.reason = l.reason)" if self._all_known else "TRUE"
        rows = self._engine.rows(
            f"SELECT l.look, l.deliberate, l.reason, l.derived_from, {known}{tests} FROM few_looks l WHERE l.{among}"
        )
        verdicts = {}
        for look, deliberate, reason, copy, is_known, *when in rows:
            said = [one for one, holds in zip(absences, when, strict=True) if holds]
            bare = bool(deliberate) and self._reasons_known and (reason is None or not is_known)
            verdicts[_int(look)] = self._verdict(found[_int(look)], bare, None if copy is None else str(copy), said)
        return verdicts

    def _verdict(
        self, found: Sequence[_Candidate], bare: bool, copy: str | None, absences: Sequence[tuple[Template, Absence]]
    ) -> Verdict:
        """Conclude from the candidates of one look. `bare`: deliberate, and no reason is claimed that is found anywhere."""
        made = Verdict({(one.template, one.table, one.key) for one in found if one.explains})
        tried = [one for one in found if not one.explains]
        by, strong = {template for template, _, _ in made.reasons}, any(one.explains and one.strength >= 3 for one in found)
        for one in tried:
            if not strong and one.template not in by:
                made.flags |= self._broken(one, "relation")
        if made.reasons and not made.flags and not any(one.claimed for one in tried):
            return made
        held = {(template, key) for template, _, key in made.reasons}
        best: dict[str, _Candidate] = {}
        for one in sorted(tried, key=_Candidate.distance):
            best.setdefault(one.template, one)
        for one in best.values():
            if one.claimed and (one.template, one.key) not in held:
                made.flags |= self._broken(one, "claimed")
            if not made.reasons:
                made.flags |= self._broken(one, "residue")
        if not made.reasons:
            made.flags |= {("V1", None, None)} if bare else set()
            made.flags |= {("V17", "accesses", copy)} if copy is not None else set()
        if made.reasons and not made.flags:
            return made
        for one in best.values():
            if one.template not in by:
                made.lacks |= {
                    (f"{one.template}:{check.lacks}", one.table, one.key) for check in self._checks(one.template, one.failed)
                }
        for template, absence in absences:
            if template.code not in by and template.code not in best:
                made.lacks.add((f"{template.code}:{absence.lacks}", None, None))
                made.flags |= {(code, None, None) for code in absence.codes}
        return made

    def _checks(self, code: str, bits: int) -> list[Check]:
        return [check for place, check in enumerate(self._by_code[code].checks) if bits >> place & 1]

    def _broken(self, one: _Candidate, flag: str) -> set[Reason]:
        checks = self._checks(one.template, one.broken)
        return {(code, one.table, one.key) for check in checks if check.flag == flag for code in check.codes}


class _Near:
    """The values without which a template has no candidate."""

    def __init__(self, engine: Engine, template: Template) -> None:
        self.conditions = template.near.get("when", ())
        self._values: dict[str, set[object]] = {}
        for column, entries in template.near.items():
            if column != "when":
                self._values[column] = {value for entry in entries for (value,) in engine.rows(entry)}

    def meets(self, values: Mapping[str, set[object]], met: set[str]) -> bool:
        """Say whether one of some looks can have a candidate."""
        if met.intersection(self.conditions):
            return True
        return any(not known.isdisjoint(values[column]) for column, known in self._values.items())


def _beside(templates: Sequence[Template], policy: Policy) -> str:
    return " UNION ALL ".join(
        f"SELECT '{template.code}' AS template, {_COLUMNS} FROM ({with_masks(template, template.bound(policy))}) AS {template.code}"
        for template in templates
    )


def _afterwards(template: Template, policy: Policy) -> str:
    """Try a template that reads verdicts: it also sees earlier looks at the same people, and what explained them."""
    return f"""
        INSERT INTO candidates
        WITH looks AS (SELECT * FROM few_looks UNION ALL SELECT * FROM earlier_looks),
        explanations AS (
          SELECT c.look, l.access, l.subject, c.template, c.strength, c.evidence_table, c.evidence_key
          FROM candidates c INNER JOIN few_looks l ON l.look = c.look WHERE c.failed = 0 AND c.strength >= {WEAKEST}
          UNION ALL SELECT * FROM earlier_explanations
        )
        SELECT '{template.code}', {_COLUMNS} FROM ({with_masks(template, template.bound(policy))}) found
        WHERE look IN (SELECT look FROM few_looks)"""


_NO_CANDIDATES: Final = """
SELECT '' AS template, CAST(0 AS BIGINT) AS look, '' AS evidence_table, '' AS evidence_key, 0 AS strength, 0 AS claimed,
  CAST(0 AS BIGINT) AS failed, CAST(0 AS BIGINT) AS broken, 0 AS short WHERE FALSE
"""
_EXPLANATIONS: Final = f"""
CREATE OR REPLACE TABLE few_explanations AS
SELECT c.look, l.access, l.subject, c.template, max(c.strength) AS strength, c.evidence_table, c.evidence_key
FROM candidates c INNER JOIN few_looks l ON l.look = c.look
WHERE c.failed = 0 AND c.strength >= {WEAKEST}
GROUP BY c.look, l.access, l.subject, c.template, c.evidence_table, c.evidence_key
"""


def _int(value: object) -> int:
    return int(str(value))
