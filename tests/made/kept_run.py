"""Explains a home with what earlier runs kept, or without it, and tells what the views then hold."""

from __future__ import annotations

from custodes import explain
from custodes.explain import views
from custodes.explain.kept import Ground, Keep
from custodes.home import Home
from custodes.model.run import Kept

SHELF = explain.load_templates()
SEEN = {
    "looks": "access_id, l.subject, l.via, l.unit, l.fieldset, l.reason, l.public_only",
    "residue": "access_id, l.subject",
    "explanations": "access_id, l.subject, l.template, l.strength, l.evidence_table, l.evidence_key",
    "flags": "access_id, l.subject, l.template, l.code, l.evidence_table, l.evidence_key",
    "lacks": "access_id, l.subject, l.token, l.evidence_table, l.evidence_key",
    "obligations": "access_id, l.subject, l.duty, l.met",
}
"""Everything that rules and ranking read of verdicts, without the numbers that looks have in one run."""

Views = dict[str, list[str]]


def judged(home: Home, *, keep: bool) -> tuple[Views, Kept | None]:
    """Build the views and explain; with `keep` as the product does it, else everything anew and nothing kept."""
    engine, accesses, context, policy = home.engine(), home.accesses(), home.context(), home.policy
    kept, known = None, Keep(home.derived(), accesses, context, Ground(repr(policy), "", "")) if keep else None
    try:
        views.build(engine, accesses, context, home.datamap, policy, home.registry(), known=known)
        if known:
            _, kept = known.explain(engine, SHELF, policy, context.tables())
        else:
            explain.run(engine, SHELF, policy, context.tables())
        return {
            name: sorted(map(repr, engine.rows(f"SELECT a.{columns} FROM {name} l JOIN accesses a ON a.access = l.access")))
            for name, columns in SEEN.items()
        }, kept
    finally:
        engine.close()
