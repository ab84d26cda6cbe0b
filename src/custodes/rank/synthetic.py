"""Looks that nobody made: what chance would look at, for a model to tell the company's own looks from.

At the time and with the fields of a real look, a human who was about (a look within two weeks on either side) opens a subject whose
file was open that day (a row of the state before it and one on it or later). Nothing of them enters the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

import pyarrow as pa

from custodes.engine import Engine

_ABOUT: Final = timedelta(days=14)
_TRIES: Final = 50
MOST: Final = 50_000
"""Subjects and humans from which is drawn, in the order of their keyed hashes."""

_HUMANS: Final = f"""select human, min(time) as first, max(time) as last from looks
  where human is not null and actor_kind = 'human' group by human order by human limit {MOST}"""
_SUBJECTS: Final = f"""select subject, min(time) as first, max(time) as last from score_rows
  where subject is not null group by subject order by subject limit {MOST}"""


@dataclass(frozen=True, slots=True)
class Look:
    """A look to be scored. `thing`: its set of fields. Times are UTC without a zone."""

    time: datetime
    subject: str | None
    human: str | None
    thing: str | None


def looks(table: pa.Table) -> list[Look]:
    """Return the rows of a table of time, subject, human and thing."""
    columns = (table[name].to_pylist() for name in ("time", "subject", "human", "thing"))
    return [Look(*row) for row in zip(*columns, strict=True)]


def draw(engine: Engine, real: Sequence[Look], seed: int) -> list[Look]:
    """Return up to one drawn look for each real one. Reads `looks` and `score_rows`; the same views and seed give the same."""
    random = Random(seed)  # noqa: S311  # a model must be refitted from its record
    humans, subjects = engine.rows(_HUMANS), engine.rows(_SUBJECTS)
    if not humans or not subjects:
        return []
    drawn = []
    for look in sorted(real, key=lambda look: (look.time, look.subject or "", look.human or "", look.thing or "")):
        day = look.time.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(_TRIES):
            human, first_seen, last_seen = random.choice(humans)
            subject, opened, latest = random.choice(subjects)
            about = _between(first_seen, look.time + _ABOUT) and _between(look.time - _ABOUT, last_seen)
            if about and _between(opened, day) and _between(day, latest):
                drawn.append(Look(look.time, str(subject), str(human), look.thing))
                break
    return drawn


def _between(one: object, other: object) -> bool:
    return isinstance(one, datetime) and isinstance(other, datetime) and one <= other
