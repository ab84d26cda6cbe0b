"""What explains most looks, found a stretch of looks at a time: a template's `quick` SELECT, straight into the verdicts.

A stretch is a range of looks with the span of their times. Of the context a stretch reads only the rows that the template's `alive`
says can explain a look of that span, so that what is joined stays in memory however long the record is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from custodes.explain.template import STEP, Template
from custodes.model.policy import Policy

if TYPE_CHECKING:
    from custodes.engine import Engine

STRETCH: Final = 4_000_000
"""Looks in one stretch: what is joined for it takes about half a gigabyte."""


class Stretch(NamedTuple):
    """Looks from `first` to `last` and their times from `since` to `until`, all of them within."""

    first: int
    last: int
    since: datetime
    until: datetime


def stretches(engine: Engine, size: int) -> list[Stretch]:
    """Return all looks in stretches of at most `size`, in the order of the record: close to that of time."""
    found = engine.rows(f"SELECT look // {size} AS number, min(time), max(time) FROM looks GROUP BY number ORDER BY number")
    return [
        Stretch(int(str(number)) * size, (int(str(number)) + 1) * size - 1, since, until)
        for number, since, until in found
        if isinstance(since, datetime) and isinstance(until, datetime)
    ]


def explain(engine: Engine, template: Template, policy: Policy) -> int:
    """Put what explains into `explanations`, with what it claims; return how many verdicts that are.

    What failed is found later, once it is known of which looks anything is still to be said.
    """
    before = _count(engine, "explanations")
    asked = make_steps(engine, template, policy, "alive_{name}")
    for stretch in stretches(engine, STRETCH):
        engine.run(
            f"""INSERT INTO explanations
                {_within(engine, template, policy, stretch)}
                SELECT look, access, subject, '{template.code}', strength, evidence_table, evidence_key, claimed = 1
                FROM ({asked}) found"""
        )
        _put_together(engine, template.code, stretch)
    drop_steps(engine, template)
    return _count(engine, "explanations") - before


def make_steps(engine: Engine, template: Template, policy: Policy, source: str = STEP) -> str:
    """Make the tables of a template's steps; return what is asked over them, which reads each step as `source`."""
    for step in template.in_steps(policy)[0]:
        engine.run(f"CREATE OR REPLACE TABLE {STEP.format(name=step.name)} AS {step.text}")
        engine.run(f"CREATE OR REPLACE VIEW alive_{step.name} AS SELECT * FROM {STEP.format(name=step.name)}")
    return template.in_steps(policy, source)[1]


def drop_steps(engine: Engine, template: Template) -> None:
    """Give the tables of a template's steps back."""
    for name in template.steps:
        engine.run(f"DROP VIEW alive_{name}")
        engine.run(f"DROP TABLE {STEP.format(name=name)}")


def _within(engine: Engine, template: Template, policy: Policy, stretch: Stretch) -> str:
    """Return the WITH by which a template reads the looks of a stretch and the context that is alive in it."""
    here = f"look BETWEEN {stretch.first} AND {stretch.last}"
    engine.run(f"CREATE OR REPLACE VIEW near_looks_now AS SELECT * FROM looks WHERE {here}")
    views = {"looks": "near_looks_now"}
    for table, alive in template.bound_alive(stretch.since, stretch.until, policy).items():
        views[table] = f"alive_{table}"
        engine.run(f"CREATE OR REPLACE VIEW alive_{table} AS {alive}")
    return "WITH " + ", ".join(f"{name} AS NOT MATERIALIZED (SELECT * FROM {view})" for name, view in views.items())


def _put_together(engine: Engine, code: str, stretch: Stretch) -> None:
    """Make one verdict of those that name the same row for the same look: the strongest. Few looks have more than one at all."""
    here = f"template = '{code}' AND look BETWEEN {stretch.first} AND {stretch.last}"
    engine.run(
        f"""CREATE OR REPLACE TABLE twice AS
            SELECT * FROM explanations WHERE {here}
              AND look IN (SELECT look FROM explanations WHERE {here} GROUP BY look HAVING count(*) > 1)"""
    )
    engine.run(
        """CREATE OR REPLACE TABLE once AS
           SELECT look, access, subject, template, max(strength) AS strength, evidence_table, evidence_key,
             bool_or(claimed) AS claimed
           FROM twice GROUP BY look, access, subject, template, evidence_table, evidence_key"""
    )
    if _count(engine, "once") < _count(engine, "twice"):
        engine.run(f"DELETE FROM explanations WHERE {here} AND look IN (SELECT look FROM twice)")
        engine.run("INSERT INTO explanations SELECT * FROM once")
    for name in ("twice", "once"):
        engine.run(f"DROP TABLE {name}")


def build_unclaimed(engine: Engine, templates: Sequence[Template]) -> None:
    """Make `unclaimed`: looks whose claimed row some quick template did not find to explain; `reasoned`: they claim one.

    Every look that nothing explains is among them.
    """
    if not templates:
        return
    parts = " UNION ".join(
        f"""SELECT l.look, l.reason IS NOT NULL AS reasoned FROM looks l WHERE NOT EXISTS (
              SELECT 1 FROM explanations x WHERE x.claimed AND x.template = '{template.code}' AND x.look = l.look)"""
        for template in templates
    )
    engine.run(f"CREATE OR REPLACE TABLE unclaimed AS {parts}")


def _count(engine: Engine, table: str) -> int:
    return int(str(engine.rows(f"SELECT count(*) FROM {table}")[0][0]))
