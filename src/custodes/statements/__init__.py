"""SQL text → which tables and fields it touches, whose data it names, and how sure that is.

Rules: nothing is guessed (an unknown subject is a value), nothing is skipped (what cannot be read has scope `unknown` and says
`parse_failed`), and only conditions that every row must meet name a subject. One parse per template: `lexer` takes the literals
out, `reading` parses what is left into a `plan`, and the plan is filled with each statement's own values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from custodes.model.datamap import DataMap
from custodes.statements import lexer
from custodes.statements.catalog import EMPTY, Catalog, Names
from custodes.statements.plan import Plan, Reading, fill

PLANS: Final = 8192
"""Templates remembered at most."""


class Statements:
    """Reads SQL of one data map. Remembers the plans of the last templates; same text, same outcome, whatever was read before."""

    def __init__(self, datamap: DataMap, *, plans: int = PLANS) -> None:
        self._datamap = datamap
        self._names: dict[str, Names] = {}
        self._plans: dict[tuple[object, ...], Plan] = {}
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
        stripped = lexer.strip(text, dialect)
        key, literals, comments, fault = stripped
        plan = self._plans.get((system, dialect, key, fault))
        if plan is None:
            plan = self._made(system, dialect, stripped, EMPTY, ())
        if catalog.marks and (touched := catalog.touched(plan.names)):
            special = self._plans.get((system, dialect, key, fault, touched))
            plan = special or self._made(system, dialect, stripped, catalog, touched)
        return fill(plan, literals, comments, params, dialect)

    def _made(
        self, system: str, dialect: str, stripped: lexer.Stripped, catalog: Catalog, touched: tuple[tuple[str, str], ...]
    ) -> Plan:
        """Make and keep a plan. `touched`: entries of the catalog that the statement names, with their marks."""
        from custodes.statements.reading import plan_of

        self.misses += 1
        while len(self._plans) >= self._limit:
            del self._plans[next(iter(self._plans))]
        key, fault = stripped.key, stripped.fault
        plan = plan_of(key, fault, dialect, self.names(system), catalog)
        self._plans[(system, dialect, key, fault, touched) if touched else (system, dialect, key, fault)] = plan
        return plan


__all__ = ["Catalog", "Plan", "Reading", "Statements"]
