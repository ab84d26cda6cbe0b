"""What explains most looks, found a stretch of looks at a time: a template's `quick` SELECT, straight into the verdicts.

A stretch is a range of looks with the span of their times. Of the context a stretch reads only the rows that the template's `alive`
says can explain a look of that span, so that what is joined stays in memory however long the record is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from custodes.dialect.steps import Step
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


class Found(NamedTuple):
    """What a template explains: so many `verdicts`, of so many `looks`."""

    verdicts: int
    looks: int


def explain(engine: Engine, template: Template, policy: Policy) -> Found:
    """Put what explains into `explanations`, with what it claims; return how much that is.

    What failed is found later, once it is known of which looks anything is still to be said.
    """
    before, further = _count(engine, "explanations"), 0
    steps, asked = template.in_steps(policy, "alive_{name}", quick=True)
    make_steps(engine, steps)
    for stretch in stretches(engine, STRETCH):
        engine.run(
            f"""INSERT INTO explanations
                {_within(engine, template, policy, stretch)}
                SELECT look, access, subject, '{template.code}', strength, evidence_table, evidence_key, claimed = 1
                FROM ({asked}) found"""
        )
        further += _put_together(engine, template.code, stretch)
    drop_steps(engine, steps)
    verdicts = _count(engine, "explanations") - before
    return Found(verdicts, verdicts - further)


def make_steps(engine: Engine, steps: Sequence[Step], within: str = "") -> None:
    """Make the tables of steps, each under a WITH `within`, and a view of each for what is alive of it."""
    for step in steps:
        table = STEP.format(name=step.name)
        engine.run(f"CREATE OR REPLACE TABLE {table} AS {within}SELECT * FROM ({step.text}) made")
        engine.run(f"CREATE OR REPLACE VIEW alive_{step.name} AS SELECT * FROM {table}")


def drop_steps(engine: Engine, steps: Sequence[Step]) -> None:
    """Give the tables of steps back."""
    for step in steps:
        engine.run(f"DROP VIEW alive_{step.name}")
        engine.run(f"DROP TABLE {STEP.format(name=step.name)}")


def _within(engine: Engine, template: Template, policy: Policy, stretch: Stretch) -> str:
    """Return the WITH by which a template reads the looks of a stretch and the context that is alive in it."""
    here = f"look BETWEEN {stretch.first} AND {stretch.last}"
    engine.run(f"CREATE OR REPLACE VIEW near_looks_now AS SELECT * FROM looks WHERE {here}")
    views = {"looks": "near_looks_now"}
    for table, alive in template.bound_alive(stretch.since, stretch.until, policy).items():
        views[table] = f"alive_{table}"
        engine.run(f"CREATE OR REPLACE VIEW alive_{table} AS {alive}")
    return "WITH " + ", ".join(f"{name} AS NOT MATERIALIZED (SELECT * FROM {view})" for name, view in views.items())


def _put_together(engine: Engine, code: str, stretch: Stretch) -> int:
    """Make one verdict of those that name the same row for the same look: the strongest. Few looks have more than one at all.

    Returns how many verdicts are left beyond the first of each look.
    """
    here = f"template = CAST('{code}' AS coded_template) AND look BETWEEN {stretch.first} AND {stretch.last}"
    engine.run(
        f"""CREATE OR REPLACE TABLE often AS
            SELECT look, count(*) AS verdicts FROM explanations WHERE {here} GROUP BY look HAVING count(*) > 1"""
    )
    further = int(str(engine.rows("SELECT coalesce(sum(verdicts - 1), 0) FROM often")[0][0]))
    merged = 0
    if further:
        engine.run(f"CREATE OR REPLACE TABLE twice AS SELECT * FROM explanations WHERE {here} AND look IN (SELECT look FROM often)")
        engine.run(
            """CREATE OR REPLACE TABLE once AS
               SELECT look, access, subject, template, max(strength) AS strength, evidence_table, evidence_key,
                 bool_or(claimed) AS claimed
               FROM twice GROUP BY look, access, subject, template, evidence_table, evidence_key"""
        )
        merged = _count(engine, "twice") - _count(engine, "once")
    if merged:
        engine.run(f"DELETE FROM explanations WHERE {here} AND look IN (SELECT look FROM twice)")
        engine.run("INSERT INTO explanations SELECT * FROM once")
    for name in ("often", "twice", "once"):
        engine.run(f"DROP TABLE IF EXISTS {name}")
    return further - merged


def unclaimed(template: Template) -> str:
    """Return the SELECT of the looks that claim a row which a quick template did not find to explain them."""
    return f"""SELECT l.look FROM looks l ANTI JOIN (
                 SELECT look FROM explanations WHERE claimed AND template = CAST('{template.code}' AS coded_template)
               ) x ON x.look = l.look WHERE l.reason IS NOT NULL"""


def _count(engine: Engine, table: str) -> int:
    return int(str(engine.rows(f"SELECT count(*) FROM {table}")[0][0]))
