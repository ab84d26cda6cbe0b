"""Every template tried on one access: verdict, strength, evidence, and what each lacked, in the template's own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custodes.explain.template import Check, Template
from custodes.explain.verdicts import NEAREST

if TYPE_CHECKING:
    from custodes.engine import Engine


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that was missing: the token of a finding's `missing`, and a sentence."""

    token: str
    says: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One template on one look.

    `verdict`: explains · flags · neutral · could not check. `evidence_table`, `evidence_key`: the row that carries it, or the one
    that came nearest; `claimed`: whether the access names that row as its reason.
    """

    template: str
    title: str
    subject: str | None
    verdict: str
    strength: int | None = None
    evidence_table: str | None = None
    evidence_key: str | None = None
    claimed: bool = False
    sentence: str = ""
    lacks: tuple[Lack, ...] = ()
    codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One look of the access: what was asked for a reason."""

    look: int
    subject: str | None
    via: str


def looks_of(engine: Engine, access: str) -> list[Look]:
    """Return the looks of an access (public id), ordered by subject; empty if it asks for no reason."""
    wanted = access.replace("'", "''")
    rows = engine.rows(
        f"""SELECT l.look, l.subject, l.via FROM looks l INNER JOIN accesses a ON a.access = l.access
            WHERE a.access_id = '{wanted}' ORDER BY l.subject, l.look"""
    )
    return [Look(int(str(look)), None if subject is None else str(subject), str(via)) for look, subject, via in rows]


def one(engine: Engine, templates: Sequence[Template], access: str) -> list[Tried]:
    """Return what became of every template on every look of an access, after `run` on the same engine; by subject, then code."""
    checked = {str(code): value == 1 for code, value in engine.rows("SELECT template, checked FROM checked")}
    return [
        _tried(engine, template, look) if checked.get(template.code) else _unchecked(template, look)
        for look in looks_of(engine, access)
        for template in templates
    ]


def _unchecked(template: Template, look: Look) -> Tried:
    return Tried(
        template.code,
        template.title,
        look.subject,
        "could not check",
        sentence=f"needs {', '.join(template.tables)}, not all loaded",
    )


def _tried(engine: Engine, template: Template, look: Look) -> Tried:
    code, number = template.code, look.look
    flagged = engine.rows(f"SELECT DISTINCT code FROM flags WHERE look = {number} AND template = '{code}' ORDER BY code")
    codes = tuple(str(entry[0]) for entry in flagged)
    held = engine.rows(
        f"""SELECT strength, evidence_table, evidence_key FROM explanations WHERE look = {number} AND template = '{code}'
            ORDER BY strength DESC, evidence_key LIMIT 1"""
    )
    if held:
        strength, table, key = held[0]
        return Tried(
            code,
            template.title,
            look.subject,
            "explains",
            int(str(strength)),
            _text(table),
            _text(key),
            sentence=template.sentence,
            codes=codes,
        )
    near = engine.rows(
        f"""SELECT evidence_table, evidence_key, claimed, failed, strength FROM tried
            WHERE look = {number} AND template = '{code}' ORDER BY {NEAREST} LIMIT 1"""
    )
    verdict = "flags" if codes else "neutral"
    if not near:
        return Tried(code, template.title, look.subject, verdict, lacks=_absent(engine, template, number), codes=codes)
    table, key, claimed, failed, strength = near[0]
    lacks = tuple(Lack(f"{code}:{check.lacks}", check.says) for check in _failing(template.checks, int(str(failed))))
    return Tried(
        code,
        template.title,
        look.subject,
        verdict,
        int(str(strength)),
        _text(table),
        _text(key),
        claimed=claimed == 1,
        lacks=lacks,
        codes=codes,
    )


def _failing(checks: Sequence[Check], failed: int) -> list[Check]:
    return [check for place, check in enumerate(checks) if failed >> place & 1]


def _absent(engine: Engine, template: Template, number: int) -> tuple[Lack, ...]:
    return tuple(
        Lack(f"{template.code}:{absence.lacks}", absence.says)
        for absence in template.absent
        if engine.rows(f"SELECT 1 FROM looks l WHERE l.look = {number} AND ({absence.when})")
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)
