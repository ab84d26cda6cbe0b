"""SQL text → which tables and fields it touches, whose data it names, and how sure that is.

Rules: nothing is guessed (an unknown subject is a value), nothing is skipped (what cannot be read has scope `unknown` and says
`parse_failed`), and only conditions that every row must meet name a subject. One parse per template: `lexer` takes the literals
out, `reading` parses what is left into a `plan`, and the plan is filled with each statement's own values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from custodes.model.datamap import DataMap
from custodes.statements import lexer
from custodes.statements.catalog import EMPTY, Catalog, Names
from custodes.statements.plan import Plan, Reading, fill

PLANS: Final = 8192
"""Templates remembered at most."""


class Template(NamedTuple):
    """What decides a plan. `touched`: entries of the catalog that the statement names, with their marks."""

    system: str
    key: str
    fault: str
    dialect: str
    touched: tuple[tuple[str, str], ...] = ()


class Statements:
    """Reads SQL of one data map. Remembers the plans of the last templates; same text, same outcome, whatever was read before."""

    def __init__(self, datamap: DataMap, *, plans: int = PLANS) -> None:
        self._datamap = datamap
        self._names: dict[str, Names] = {}
        self._plans: dict[Template, Plan] = {}
        self._limit = plans
        self.misses = 0

    def names(self, system: str) -> Names:
        """Return the names of one system's data map."""
        known = self._names.get(system)
        if known is None:
            known = self._names[system] = Names(self._datamap, system)
        return known

    def read(
        self,
        system: str,
        text: str,
        *,
        params: Sequence[str] | None = None,
        dialect: str = "postgres",
        catalog: Catalog = EMPTY,
    ) -> Reading:
        """Read one statement. `params`: bind values by position, None where the log hides them."""
        key, literals, comments, fault = lexer.strip(text, dialect)
        identity = Template(system, key, fault, dialect)
        plan = self._plans.get(identity)
        if plan is None:
            plan = self._made(identity, EMPTY)
        if catalog.marks and (touched := catalog.touched(plan.names)):
            special = identity._replace(touched=touched)
            plan = self._plans.get(special) or self._made(special, catalog)
        return fill(plan, literals, comments, params, dialect)

    def _made(self, template: Template, catalog: Catalog) -> Plan:
        from custodes.statements.reading import plan_of

        self.misses += 1
        while len(self._plans) >= self._limit:
            del self._plans[next(iter(self._plans))]
        plan = plan_of(template.key, template.fault, template.dialect, self.names(template.system), catalog)
        self._plans[template] = plan
        return plan


__all__ = ["Catalog", "Plan", "Reading", "Statements"]
