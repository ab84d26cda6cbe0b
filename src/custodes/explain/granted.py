"""Grants and approvals as the record has them: where the guard runs, a loaded row without its leaf explains nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from custodes.guard.book import GRANT, REVIEW, Asked, Book, Leaf
from custodes.guard.grants import ends, name_of
from custodes.model.arrow import context_schema

if TYPE_CHECKING:
    from custodes.engine import Engine
    from custodes.explain.views import Context

TABLES: Final = frozenset({"grants", "approvals"})


class Granted:
    """Context tables, with `grants` and `approvals` from the home's own leaves once anybody asked for a grant there."""

    def __init__(self, context: Context, leaves: Sequence[Leaf], ref: Callable[[str], str]) -> None:
        """`ref`: the keyed id of a reason's name, as in loaded tables."""
        self._context, self._ref = context, ref
        self._book = Book.of(leaves)
        self._asked = [asked for asked in self._book.requests.values() if asked.request.act == GRANT]

    @property
    def tables(self) -> frozenset[str]:
        """The tables that come from the record."""
        return TABLES if self._asked else frozenset()

    def register(self, engine: Engine) -> None:
        """Make one view or table per context table."""
        self._context.register(engine)
        if self._asked:
            _replace(engine, "grants", [row for asked in self._asked for row in self._grant(asked)])
            _replace(engine, "approvals", [row for asked in self._asked for row in self._approvals(asked)])

    def _grant(self, asked: Asked) -> list[dict[str, Any]]:
        terms, end = asked.terms, ends(asked, self._book.parent(asked))
        if terms is None or asked.in_force is None:
            return []
        return [
            {
                "grant": self._ref(name_of(asked.number)),
                "actor": terms.actor,
                "subject": subject,
                "fields": [name.rpartition(".")[2] for name in terms.fields],
                "purpose": terms.purpose,
                "valid_from": asked.in_force,
                "valid_to": end,
                "requested_by": asked.request.by,
                "break_glass": terms.break_glass,
                "row_key": name_of(asked.number),
                "recorded": asked.at,
            }
            for subject in terms.subjects
        ]

    def _approvals(self, asked: Asked) -> list[dict[str, Any]]:
        origin = self._book.parent(asked) or asked
        found = [(a.statement.approver, a.at, a.statement.decision) for a in origin.answers]
        ended: list[tuple[str, datetime | None, str]] = [("", asked.lifted, "revoke")] if asked.lifted else []
        ended += [
            (review.request.by, review.at, "review_ok" if review.request.content["found"] == "justified" else "review_not_ok")
            for review in self._book.requests.values()
            if review.request.act == REVIEW and review.request.content["grant"] == asked.number
        ]
        return [
            {
                "grant": self._ref(name_of(asked.number)),
                "approver": approver or None,
                "at": at,
                "decision": decision,
                "row_key": name_of(asked.number),
                "recorded": at,
            }
            for approver, at, decision in [*found, *ended]
        ]


def _replace(engine: Engine, name: str, rows: Sequence[dict[str, Any]]) -> None:
    schema = context_schema(name)
    engine.table(
        name, pa.table([pa.array([row.get(word) for row in rows], schema.field(word).type) for word in schema.names], schema=schema)
    )
