"""What decisions about people ask of the context tables: which cases are open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from custodes.engine import Engine


def open_cases(engine: Engine, subject: str, actors: Sequence[str], now: datetime) -> int:
    """Count the cases open at `now` that name the subject, or one of the actors. The context must be registered in `engine`."""
    rows = engine.rows(
        'SELECT c."case", c.closed, s.subject, s.actor FROM cases c INNER JOIN case_scope s ON s."case" = c."case" '
        'ORDER BY c."case"'
    )
    concerned = {
        str(case) for case, closed, named, actor in rows if _is_open(closed, now) and (named == subject or actor in actors)
    }
    return len(concerned)


def _is_open(closed: Any, now: datetime) -> bool:
    return closed is None or now < closed.replace(tzinfo=UTC)  # the engine's times are UTC without a zone
