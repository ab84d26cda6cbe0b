"""Who was about in the window: how often, and from when until when. One pass over the accesses, for all who ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from custodes.engine import Engine


@dataclass(frozen=True, slots=True)
class About:
    """Accesses of one human. Times are UTC without a zone, None where no access has one."""

    accesses: int
    first: datetime | None
    last: datetime | None


def about(engine: Engine) -> dict[str, About]:
    """Return human → what there is of them in `accesses`."""
    rows = engine.rows("select human, count(*), min(time), max(time) from accesses group by human")
    return {str(human): About(int(str(count)), _time(first), _time(last)) for human, count, first, last in rows}


def first(people: Mapping[str, About]) -> datetime | None:
    """Return the time of the first access of all."""
    return min((one.first for one in people.values() if one.first), default=None)


def last(people: Mapping[str, About]) -> datetime | None:
    """Return the time of the last access of all."""
    return max((one.last for one in people.values() if one.last), default=None)


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
