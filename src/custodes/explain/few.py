"""Verdicts on a few looks, where planning a statement costs more than its rows: what `verdicts.run` gives for all looks.

The templates are the same text, each planned once; those that can have no candidate are left out. What follows from the
candidates of a look (flags, what it lacks) is concluded here, row by row, and only for looks of which a finding is told.
Nothing on this page is a second opinion: a property test holds both ways to equal rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from custodes.errors import BadRule
from custodes.explain.template import WEAKEST, Absence, Check, Template
from custodes.explain.verdicts import REASON_TABLES, in_order, masks
from custodes.model.arrow import VIEW_TYPES
from custodes.model.policy import Policy
from custodes.model.views import VIEWS

if TYPE_CHECKING:
    from custodes.engine import Engine
    from custodes.explain.prepared import Prepared

KEY: Final = "CASE WHEN {column} IS NOT NULL THEN hash(CAST({column} AS VARCHAR)) END"
"""A word as the number by which rows that hold it are found (`held`)."""
_FOUND: Final = (
    *(("template", pa.string()), ("look", pa.int64()), ("evidence_table", pa.string()), ("evidence_key", pa.string())),
    *(("strength", pa.int32()), ("claimed", pa.int32())),
)
_COLUMNS: Final = ", ".join(name for name, _ in _FOUND)
_EXPLAINED: Final = pa.schema([(name, VIEW_TYPES[kind]) for name, kind in VIEWS["explanations"].items()])
_KEYS: Final = ("subject", "reason", "actor", "human")
_ASKED: Final = ", ".join(
    [
        *(f"l.{column}" for column in ("look", "access", *_KEYS)),
        *(f"{KEY.format(column=f'l.{column}')} AS key_{column}" for column in ("subject", "reason")),
    ]
)
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
    `earlier_explanations`: other looks at the same people, and what explained them. Fills `few_explanations`.
    """

    def __init__(self, engine: Engine, templates: Sequence[Template], policy: Policy, loaded: set[str]) -> None:
        """Read from the whole context without which values a template has no candidate. `loaded`: tables that were loaded.

        Raises `BadRule` for a template that reads its own verdicts: those of other looks would have to follow.
        """
        if own := [template.code for template in templates if template.repeat]:
            raise BadRule(f"{own[0]} reads its own verdicts: a few looks cannot be asked by it")
        self._policy = policy
        self._tried = [template for template in in_order(templates) if not set(template.tables) - loaded]
        self._by_code = {template.code: template for template in self._tried}
        self._near = {template.code: _Near(engine, template) for template in self._tried if template.near and not template.after}
        self._conditions = list(dict.fromkeys(entry for near in self._near.values() for entry in near.conditions))
        self._absences = [(template, absence) for template in self._tried for absence in template.absent]
        self._reasons_known = bool(loaded & REASON_TABLES)
        self._all_known = loaded >= REASON_TABLES

    def read_of_earlier(self) -> set[str]:
        """Return the columns of earlier looks that a template can read: those that its text names."""
        text = " ".join(template.bound(self._policy) for template in self._tried if template.after)
        return set(VIEWS["looks"]).intersection(VIEWS["looks"] if "*" in text else re.findall(r"\w+", text))

    def prepare(self, statements: Prepared) -> None:
        """Make the tables for what is found, and plan the templates, once the tables that they read are there."""
        self._statements, most = statements, max((len(template.checks) for template in self._tried), default=0)
        checks = [f"c{number}" for number in range(most)]
        statements.table("few_tried", pa.schema([*_FOUND, *((check, pa.int32()) for check in checks)]))
        statements.engine.run(f"CREATE VIEW few_candidates AS SELECT {_COLUMNS}, {masks(checks)} FROM few_tried")
        statements.table("few_explanations", _EXPLAINED)
        for template in self._tried:
            found = _found(template, template.bound(self._policy), most)
            statements.add(
                f"try_{template.code}", _AFTERWARDS.format(found=found) if template.after else f"INSERT INTO few_tried {found}"
            )
        statements.add("few_explain", _EXPLANATIONS)
        tests = "".join(f", ({entry}) AS met_{number}" for number, entry in enumerate(self._conditions))
        statements.add("few_asked", f"SELECT {_ASKED}{tests} FROM few_looks l")
        among = "look IN (SELECT unnest(CAST($1 AS BIGINT[])))"
        statements.add("few_found", f"SELECT {_COLUMNS}, failed, broken, short FROM few_candidates WHERE {among}")
        known = "EXISTS (SELECT 1 FROM reasons s WHERE s.reason = l.reason)" if self._all_known else "TRUE"
        when = "".join(f", ({absence.when})" for _, absence in self._absences)
        statements.add(
            "few_said", f"SELECT l.look, l.deliberate, l.reason, l.derived_from, {known}{when} FROM few_looks l WHERE l.{among}"
        )

    def asked(self) -> pa.Table:
        """Return what narrows the looks: `look`, `access`, the words of `near`, and subject and reason as the keys of `held`."""
        return self._statements.fetch("few_asked")

    def explain(self, asked: pa.Table) -> None:
        """Try the templates on `few_looks`, of which `asked` was told."""
        values = {key: set(asked.column(key).unique().to_pylist()) - {None} for key in _KEYS}
        met = {entry for number, entry in enumerate(self._conditions) if pc.any(asked.column(f"met_{number}")).as_py()}
        for template in self._tried:
            if template.code not in self._near or self._near[template.code].meets(values, met):
                self._statements.run(f"try_{template.code}")
        self._statements.run("few_explain")

    def conclude(self, looks: Collection[int]) -> dict[int, Verdict]:
        """Return the verdicts on some looks of `few_looks`, after `explain`."""
        if not looks:
            return {}
        found: dict[int, list[_Candidate]] = defaultdict(list)
        for template, look, *rest in self._statements.rows("few_found", sorted(looks)):
            found[_int(look)].append(_Candidate(template, *rest))  # type: ignore[arg-type]  # the columns of `few_candidates`
        rows = self._statements.rows("few_said", sorted(looks))
        verdicts = {}
        for look, deliberate, reason, copy, is_known, *when in rows:
            said = [one for one, holds in zip(self._absences, when, strict=True) if holds]
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


def _found(template: Template, asked: str, most: int) -> str:
    """Return the SELECT of a template's candidates, with as many checks as any template has: those that it does not have hold."""
    checks = [check.column for check in template.checks] + ["1"] * (most - len(template.checks))
    listed = "".join(f", CAST({check} AS INTEGER)" for check in checks)
    return f"""SELECT '{template.code}', look, evidence_table, evidence_key,
        CAST(strength AS INTEGER), CAST(claimed AS INTEGER){listed} FROM ({asked}) found"""


_AFTERWARDS: Final = f"""
INSERT INTO few_tried
WITH looks AS (SELECT * FROM few_looks UNION ALL BY NAME SELECT * FROM earlier_looks),
explanations AS (
  SELECT c.look, l.access, l.subject, c.template, c.strength, c.evidence_table, c.evidence_key
  FROM few_candidates c INNER JOIN few_looks l ON l.look = c.look WHERE c.failed = 0 AND c.strength >= {WEAKEST}
  UNION ALL SELECT * FROM earlier_explanations
)
{{found}}
WHERE look IN (SELECT look FROM few_looks)
"""
"""A template that reads verdicts also sees earlier looks at the same people, and what explained them."""
_EXPLANATIONS: Final = f"""
INSERT INTO few_explanations
SELECT c.look, l.access, l.subject, c.template, max(c.strength) AS strength, c.evidence_table, c.evidence_key
FROM few_candidates c INNER JOIN few_looks l ON l.look = c.look
WHERE c.failed = 0 AND c.strength >= {WEAKEST}
GROUP BY c.look, l.access, l.subject, c.template, c.evidence_table, c.evidence_key
"""


def _int(value: object) -> int:
    return int(str(value))
