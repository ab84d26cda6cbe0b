"""Time in a simulated company: whole microseconds since the world begins (a Monday, midnight UTC). Negative = before it.

Arithmetic stays in integers; text is made only when a row is written.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import cache
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
WEEK: Final = 7 * DAY
_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}
_LAST_DAY: Final = date(2026, 10, 5)
"""All worlds end at about this day, so that no access of any size lies in the future."""
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(?:\.\.(\d+(?:\.\d+)?))?([smhdw])")


def span(text: str) -> tuple[float, float] | None:
    """Read `28d`, `20m` or `1..3d` as (least, most) microseconds, equal where it is fixed; None if it is neither."""
    match = _SPAN.fullmatch(text)
    if match is None:
        return None
    low, high, unit = match.groups()
    return float(low) * _UNITS[unit], float(high or low) * _UNITS[unit]


@cache
def _clock() -> list[str]:
    """Return the text of every second of a day: looking it up is faster than formatting it."""
    return [f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400)]


class Calendar:
    """The calendar of one world of `days` days."""

    def __init__(self, days: int) -> None:
        begin = _LAST_DAY - timedelta(days=days)
        self.begin = begin - timedelta(days=begin.weekday())
        self.end = days * DAY
        self._dates: dict[int, str] = {}
        self._clock = _clock()

    def millis(self, time: int) -> str:
        """Return RFC 3339 text in UTC, rounded down to milliseconds: how the logs of this company write time."""
        day, rest = divmod(time, DAY)
        second, micros = divmod(rest, SECOND)
        return f"{self._date(day)}{self._clock[second]}.{micros // 1000:03d}Z"

    def seconds(self, time: int) -> str:
        """Return RFC 3339 text in UTC, rounded down to seconds: how the tables of this company write time."""
        day, rest = divmod(time, DAY)
        return f"{self._date(day)}{self._clock[rest // SECOND]}Z"

    def _date(self, day: int) -> str:
        text = self._dates.get(day)
        if text is None:
            text = self._dates[day] = (self.begin + timedelta(days=day)).isoformat()
        return text
