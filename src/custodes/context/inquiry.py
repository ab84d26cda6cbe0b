"""What decisions about people ask of the context tables: who works where, by every load, and which cases are open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from custodes.engine import Engine


class StaffLoaded(NamedTuple):
    """One row of `staff` as one load brought it (`recorded`), replaced by a later one or not. Ends are exclusive, None is open."""

    actor: str
    person: str | None
    unit: str | None
    manager: str | None
    begins: datetime | None
    ends: datetime | None
    left: datetime | None
    recorded: datetime


def staff_loaded(engine: Engine) -> list[StaffLoaded]:
    """Return the rows of all loads of `staff`. The context must be registered in `engine`."""
    rows: list[tuple[Any, ...]] = engine.rows(
        'SELECT actor, person, unit, manager, coalesce(valid_from, joined), valid_to, "left", recorded FROM loaded_staff '
        "WHERE actor IS NOT NULL ORDER BY actor, recorded, unit, manager, valid_from"
    )
    return [StaffLoaded(*row[:4], *(_aware(time) for time in row[4:])) for row in rows]


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
    end = _aware(closed)
    return end is None or now < end


def _aware(time: Any) -> Any:
    return time.replace(tzinfo=UTC) if isinstance(time, datetime) and time.tzinfo is None else time
