"""The time axis of a picture: ticks that name their day, and flags of public events that never cover each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from custodes.pictures import metrics
from custodes.pictures.svg import element, label, line, shape, titled

SMALL: Final = 9.5
EDGE: Final = 10.0
_FLAG: Final = 9.5
_TIERS: Final = 3
_STEPS: Final = tuple(timedelta(hours=hours) for hours in (1, 3, 6, 12, 24, 48, 96, 168, 336, 672, 2184, 8736))


@dataclass(frozen=True, slots=True)
class Event:
    """Something public that happened. `name` says what, in a few words."""

    name: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Axis:
    """Where times lie: pixels from `left` to `right` for `start` to `end`."""

    left: float
    right: float
    start: datetime
    end: datetime

    def x(self, time: datetime) -> float:
        """Return the place of a time in pixels."""
        return self.left + (self.right - self.left) * ((time - self.start) / (self.end - self.start))


Flag = tuple[float, float, str, list[Event]]
"""x of the pole, y of its head, text, events."""


def moment(time: datetime) -> str:
    """Return a time as it is written in pictures and report."""
    return f"{time.day} {time:%b %Y %H:%M} UTC"


def flags_of(events: Sequence[Event], axis: Axis) -> list[Flag]:
    """Place the flags of events: (x of the pole, y of its foot, text, events). Events too close to tell apart share a flag."""
    inside = [event for event in events if axis.start <= event.time <= axis.end]
    groups: list[list[Event]] = []
    for event in inside:
        if groups and axis.x(event.time) - axis.x(groups[-1][0].time) < 4:
            groups[-1].append(event)
        else:
            groups.append([event])
    ends = [axis.left - 1000.0] * _TIERS
    placed: list[Flag] = []
    spoken = 0
    for members in groups:
        first, spoken = spoken + 1, spoken + len(members)
        text = f"P{first}" if len(members) == 1 else f"P{first}–{spoken}"
        wide = metrics.width(text, _FLAG, bold=True) + 8
        x = axis.x(members[0].time)
        tier = min(range(_TIERS), key=lambda tier: (ends[tier] > x - 2, tier if ends[tier] <= x - 2 else ends[tier]))
        if ends[tier] > x - 2 and placed:
            before = placed[-1]
            low = before[2].lstrip("P").split("–")[0]
            text = f"P{low}–{spoken}"
            placed[-1] = (before[0], before[1], text, before[3] + members)
            ends[int(before[1])] = max(ends[int(before[1])], before[0] + metrics.width(text, _FLAG, bold=True) + 8)
            continue
        ends[tier] = x + wide
        placed.append((x, float(tier), text, members))
    tiers = int(max((flag[1] for flag in placed), default=0.0)) + 1
    return [(x, EDGE + (tiers - 1 - tier) * 15 + 12, text, members) for x, tier, text, members in placed]


def height_of(flags: Sequence[Flag]) -> float:
    """Return the height that the flags take; 0 for none."""
    if not flags:
        return 0.0
    return max(foot for _, foot, _, _ in flags) - EDGE + 2


def poles(flags: Sequence[Flag], axis: Axis, top: float, bottom: float) -> list[str]:
    """Return a vertical line for every event of the flags, between two heights."""
    places = sorted({round(axis.x(event.time), 1) for *_, members in flags for event in members})
    return [line("pole", x1=x, x2=x, y1=top, y2=bottom, stroke_width=1.4, stroke_dasharray="5 3") for x in places]


def heads(flags: Sequence[Flag], axis: Axis) -> list[str]:
    """Return the heads of the flags: a dot and a number, with what happened as title."""
    drawn = []
    for x, foot, text, members in flags:
        hint = "; ".join(f"{event.name}, {moment(event.time)}" for event in members)
        near = x + metrics.width(text, _FLAG, bold=True) + 5 > axis.right + 12
        content = label(
            x - 4 if near else x + 4, foot - 2, text, size=_FLAG, room=90, paint="event", bold=True, anchor="end" if near else None
        )
        drawn.append(element("g", titled(hint), shape("circle", "event", cx=x, cy=foot - 5, r=2.6), content))
    return drawn


def ticks(axis: Axis, y: float) -> list[str]:
    """Return the ticks below the axis at height `y`, labelled where there is room: days at midnight, else the hour."""
    room = 62.0
    span = (axis.end - axis.start) / max(1, int((axis.right - axis.left) / room))
    step = next((step for step in _STEPS if step >= span), _STEPS[-1])
    origin = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday, so that weekly ticks are Mondays
    time = origin + step * -((origin - axis.start) // step)
    drawn = []
    last = -1000.0
    year = None
    while time <= axis.end:
        x = axis.x(time)
        text = f"{time.day} {time:%b}" if time.hour == 0 else f"{time:%H:%M}"
        if time.year != (year or time.year):
            text = f"{text} {time.year}"
        year = time.year
        half = metrics.width(text, SMALL) / 2
        drawn.append(line("axis", x1=x, x2=x, y1=y, y2=y + 4, stroke_width=1))
        if x - half > max(last + 4, 2.0) and x + half < axis.right + 12:
            drawn.append(label(x, y + 15, text, size=SMALL, room=2 * half + 0.01, anchor="middle", paint="soft"))
            last = x + half
        time += step
    return drawn
