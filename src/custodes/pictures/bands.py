"""Timeline bands, one per actor: unexplained accesses stand above the line, explained ones hang below it, grants lie under
the band, press events cut through all of them.

Accesses are gathered into narrow columns of equal time, so a band never holds more marks than columns, however busy it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from custodes.pictures import metrics
from custodes.pictures.colour import fill, stroke
from custodes.pictures.svg import element, grouped, label, line, number, picture, shape, titled

_EDGE: Final = 10.0
_TEXT: Final = 10.0
_SMALL: Final = 9.5
_UP: Final = 24.0
_DOWN: Final = 12.0
_LANE: Final = 11.0
_GAP: Final = 10.0
_HEAD: Final = 16.0
_FLAG: Final = 9.5
_TIERS: Final = 3
_MOST_LANES: Final = 3
_MOST_EVENTS: Final = 8
_STEPS: Final = tuple(timedelta(hours=hours) for hours in (1, 3, 6, 12, 24, 48, 96, 168, 336, 672, 2184, 8736))
CASE, OTHER, CALM = "case", "other", "calm"
"""Kinds of marks: unexplained and part of the campaign · unexplained otherwise · explained."""
_LENT: Final = "lent"
_KEY: Final = {
    CASE: "above: unexplained, this campaign",
    OTHER: "above, hollow: other unexplained",
    CALM: "below: explained",
    _LENT: "grant",
}
_SAID: Final = {CASE: "unexplained, this campaign", OTHER: "unexplained, other", CALM: "explained"}


@dataclass(frozen=True, slots=True)
class Band:
    """One actor. `marks`: (time, kind); `spans`: (label, start, end) of grants."""

    name: str
    note: str
    marks: tuple[tuple[datetime, str], ...]
    spans: tuple[tuple[str, datetime, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something public that happened. `name` says what, in a few words."""

    name: str
    time: datetime


@dataclass(frozen=True, slots=True)
class _Axis:
    left: float
    right: float
    start: datetime
    end: datetime

    def x(self, time: datetime) -> float:
        return self.left + (self.right - self.left) * ((time - self.start) / (self.end - self.start))


Flag = tuple[float, float, str, list[Event]]
"""x of the pole, y of its head, text, events."""


def draw(
    bands: Sequence[Band],
    events: Iterable[Event],
    start: datetime,
    end: datetime,
    *,
    title: str,
    name: str = "bands",
    width: float = 1200,
    columns: float = 6.0,
    most: int = 40,
    background: str | None = None,
) -> str:
    """Return the picture of the first `most` bands between two times (UTC). `columns`: width of a time column in pixels.

    Below 600 pixels the names stand above their bands instead of beside them. Marks outside the window are left out.
    """
    shown = sorted(bands, key=lambda band: (band.name, band.note))[:most] if len(bands) > most else list(bands)
    narrow = width < 600
    axis = _axis(shown, start, end, width, narrow=narrow)
    flags = _flags(sorted(events, key=lambda event: (event.time, event.name)), axis)
    top = _EDGE + (_flag_height(flags) + 6 if flags else 0)
    tallest = _tallest(shown, axis, columns)
    body: list[str] = []
    poles: list[str] = []
    marks: list[str] = []
    y = top
    for band in shown:
        base = y + _UP + (_HEAD if narrow else 0.0)
        body.append(shape("rect", "wash", x=axis.left, y=base - _UP, width=axis.right - axis.left, height=_UP + _DOWN, rx=3))
        if narrow:  # a name stands above each band: the poles leave it free
            poles += _poles(flags, base - _UP, base + _DOWN)
        drawn, height = _band(band, axis, base, columns, tallest, narrow=narrow)
        marks += drawn
        y = base - _UP + height
    below, height = _below(axis, y, flags, tallest, _kinds(shown, axis))
    if not narrow:
        poles += [pole for flag in flags for pole in _poles([flag], flag[1], y)]
    desc = _desc(shown, axis, sum(len(members) for *_, members in flags), len(bands))
    return picture(name, width, height, title=title, desc=desc, body=[*body, *poles, *marks, *below], background=background)


def counts(band: Band, start: datetime, end: datetime) -> Mapping[str, int]:
    """Return how many marks of each kind lie in the window: what the picture shows and its table says."""
    found = Counter(kind for time, kind in band.marks if start <= time <= end)
    return {kind: found[kind] for kind in _SAID}


def moment(time: datetime) -> str:
    """Return a time as it is written in pictures and report."""
    return f"{time.day} {time:%b %Y %H:%M} UTC"


def _axis(bands: Sequence[Band], start: datetime, end: datetime, width: float, *, narrow: bool) -> _Axis:
    begin, finish = start.astimezone(UTC), max(end, start + timedelta(hours=6)).astimezone(UTC)
    names = max((_name_width(band) for band in bands), default=0.0)
    left = _EDGE if narrow else _EDGE + min(names, 200.0) + 14
    return _Axis(left, width - _EDGE - 4, begin, finish)


def _name_width(band: Band) -> float:
    return max(metrics.width(metrics.clean(band.name), _TEXT, bold=True), metrics.width(metrics.clean(band.note), _SMALL))


Column = tuple[int, str]


def _gather(band: Band, axis: _Axis, columns: float) -> dict[Column, list[datetime]]:
    found: dict[Column, list[datetime]] = {}
    for time, kind in sorted(band.marks):
        if axis.start <= time <= axis.end:
            found.setdefault((int((axis.x(time) - axis.left) / columns), kind), []).append(time)
    return found


def _tallest(bands: Sequence[Band], axis: _Axis, columns: float) -> tuple[int, int]:
    up = down = 0
    for band in bands:
        gathered = _gather(band, axis, columns)
        above = Counter[int]()
        for (place, kind), times in gathered.items():
            if kind == CALM:
                down = max(down, len(times))
            else:
                above[place] += len(times)
        up = max(up, max(above.values(), default=0))
    return up, down


def _poles(flags: Sequence[Flag], top: float, bottom: float) -> list[str]:
    return [line("pole", x1=x, x2=x, y1=top, y2=bottom, stroke_width=1.4, stroke_dasharray="5 3") for x, _, _, _ in flags]


def _band(
    band: Band, axis: _Axis, base: float, columns: float, tallest: tuple[int, int], *, narrow: bool
) -> tuple[list[str], float]:
    """Draw one band on its base line; return its height from the top of the band down as well."""
    lanes = _lanes(band, axis)
    rule = line("axis", x1=axis.left, x2=axis.right, y1=base, y2=base, stroke_width=0.8)
    marks = _marks(band, axis, base, columns, tallest)
    grants = [piece for place, lane in enumerate(lanes) for piece in _spans(lane, axis, base + _DOWN + 4 + place * _LANE)]
    height = _UP + _DOWN + 4 + _LANE * len(lanes) + _GAP
    return [rule, *_names(band, axis, base, narrow=narrow), *marks, *grants], height


def _names(band: Band, axis: _Axis, base: float, *, narrow: bool) -> list[str]:
    if not narrow:
        room = axis.left - _EDGE - 13.9
        return [
            label(_EDGE, base - 7, band.name, size=_TEXT, room=room, bold=True),
            label(_EDGE, base + 6, band.note, size=_SMALL, room=room, paint="soft"),
        ]
    room = axis.right - axis.left
    taken = min(room, metrics.width(metrics.clean(band.name), _TEXT, bold=True)) + 4
    y = base - _UP - 5
    return [
        label(axis.left, y, band.name, size=_TEXT, room=room, bold=True),
        label(axis.left + taken, y, band.note, size=_SMALL, room=room - taken, paint="soft"),
    ]


def _marks(band: Band, axis: _Axis, base: float, columns: float, tallest: tuple[int, int]) -> list[str]:
    """One group per kind, so that colours are written once; columns stack what is of the campaign, then what is not."""
    bar = max(2.0, columns - 1.5)
    above: dict[int, float] = {}
    drawn: dict[str, list[str]] = {kind: [] for kind in _SAID}
    for (place, kind), times in sorted(_gather(band, axis, columns).items()):
        x = min(axis.left + place * columns + (columns - bar) / 2, axis.right - bar)
        if kind == CALM:
            y, tall = base + 0.8, 2 + (_DOWN - 3) * len(times) / max(tallest[1], 1)
        else:
            tall = (_UP - 2) * len(times) / max(tallest[0], 4)
            y = base - 0.8 - above.get(place, 0.0) - tall
            above[place] = above.get(place, 0.0) + tall
        many = number(len(times)) if len(times) > 1 else None
        inset = 0.5 if kind == OTHER else 0.0
        box = {"x": x + inset, "y": y + inset, "width": bar - 2 * inset, "height": max(1.0, tall - 2 * inset)}
        drawn[kind].append(element("rect", titled(_hint(kind, times)), data_count=many, **box))
    return [_group(kind, marks) for kind, marks in drawn.items() if marks]


def _group(kind: str, marks: Sequence[str]) -> str:
    if kind == OTHER:
        return element("g", *marks, class_="cu-open", fill="none", stroke=stroke("open"), data_kind=kind)
    paint = "r3" if kind == CASE else "calm"
    return element("g", *marks, class_=f"cu-{paint}", fill=fill(paint), data_kind=kind)


def _hint(kind: str, times: Sequence[datetime]) -> str:
    first, last = times[0], times[-1]
    end = f"–{last:%H:%M}" if first.date() == last.date() else f" to {last.day} {last:%b %H:%M}"
    return f"{grouped(len(times))} {_SAID[kind]}, {first.day} {first:%b %H:%M}{end if last != first else ''}"


Span = tuple[str, datetime, datetime]


def _lanes(band: Band, axis: _Axis) -> list[list[Span]]:
    """Spread spans that overlap over lanes, earliest first; what does not fit into the last lane is merged into it as a count."""
    lanes: list[list[Span]] = []
    for span in sorted(band.spans, key=lambda span: (span[1], span[2], span[0])):
        if span[2] <= axis.start or span[1] >= axis.end:
            continue
        free = next((lane for lane in lanes if lane[-1][2] <= span[1]), None)
        if free is not None:
            free.append(span)
        elif len(lanes) < _MOST_LANES:
            lanes.append([span])
        else:
            words, start, end = lanes[-1][-1]
            lanes[-1][-1] = (f"{words}, {span[0]}", start, max(end, span[2]))
    return lanes


def _spans(lane: Sequence[Span], axis: _Axis, top: float) -> list[str]:
    drawn = []
    for words, start, end in lane:
        x, right = axis.x(max(start, axis.start)), axis.x(min(end, axis.end))
        right = max(right, x + 3)
        x = min(x, axis.right - 3)
        hint = f"grant {words}: {moment(start)} to {moment(end)}"
        drawn.append(shape("rect", "lent", title=hint, x=x, y=top + 3, width=right - x, height=4, rx=2))
    return drawn


def _flags(events: Sequence[Event], axis: _Axis) -> list[Flag]:
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
            continue
        ends[tier] = x + wide
        placed.append((x, float(tier), text, members))
    tiers = int(max((flag[1] for flag in placed), default=0.0)) + 1
    return [(x, _EDGE + (tiers - 1 - tier) * 15 + 12, text, members) for x, tier, text, members in placed]


def _flag_height(flags: Sequence[Flag]) -> float:
    return max(foot for _, foot, _, _ in flags) - _EDGE + 2


def _kinds(bands: Sequence[Band], axis: _Axis) -> frozenset[str]:
    kinds = {kind for band in bands for kind, count in counts(band, axis.start, axis.end).items() if count}
    return frozenset(kinds | ({_LENT} if any(_lanes(band, axis) for band in bands) else set()))


def _below(
    axis: _Axis, y: float, flags: Sequence[Flag], tallest: tuple[int, int], shown: frozenset[str]
) -> tuple[list[str], float]:
    drawn = [line("axis", x1=axis.left, x2=axis.right, y1=y, y2=y, stroke_width=1)]
    drawn += _ticks(axis, y)
    for x, foot, text, members in flags:
        hint = "; ".join(f"{event.name}, {moment(event.time)}" for event in members)
        near = x + metrics.width(text, _FLAG, bold=True) + 5 > axis.right + 12
        content = label(
            x - 4 if near else x + 4, foot - 2, text, size=_FLAG, room=90, paint="event", bold=True, anchor="end" if near else None
        )
        drawn.append(element("g", titled(hint), shape("circle", "event", cx=x, cy=foot - 5, r=2.6), content))
    y += 30
    key, y = _key(axis, y, tallest, shown)
    drawn += key
    events = [event for *_, members in flags for event in members]
    for spoken, event in enumerate(events[:_MOST_EVENTS], 1):
        y += 14
        said = f"{event.name}, {moment(event.time)}"
        drawn.append(label(axis.left, y, f"P{spoken}", size=_SMALL, room=30, paint="event", bold=True))
        drawn.append(label(axis.left + 26, y, said, size=_SMALL, room=axis.right - axis.left - 26, paint="soft"))
    if len(events) > _MOST_EVENTS:
        y += 14
        drawn.append(label(axis.left + 26, y, f"and {len(events) - _MOST_EVENTS} more", size=_SMALL, room=120, paint="soft"))
    return drawn, y + 10


def _ticks(axis: _Axis, y: float) -> list[str]:
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
        half = metrics.width(text, _SMALL) / 2
        drawn.append(line("axis", x1=x, x2=x, y1=y, y2=y + 4, stroke_width=1))
        if x - half > max(last + 4, 2.0) and x + half < axis.right + 12:
            drawn.append(label(x, y + 15, text, size=_SMALL, room=2 * half + 0.01, anchor="middle", paint="soft"))
            last = x + half
        time += step
    return drawn


def _key(axis: _Axis, y: float, tallest: tuple[int, int], shown: frozenset[str]) -> tuple[list[str], float]:
    """The legend of what is shown, wrapped to the width; it begins with year and time zone."""
    years = str(axis.start.year) if axis.start.year == axis.end.year else f"{axis.start.year}–{axis.end.year}"
    items = [("", f"{years}, times in UTC; tallest: {grouped(tallest[0])} above, {grouped(tallest[1])} below the line")]
    items += [(kind, words) for kind, words in _KEY.items() if kind in shown]
    drawn: list[str] = []
    x = axis.left
    for kind, words in items:
        wide = metrics.width(words, _SMALL) + (13 if kind else 0)
        if x + wide > axis.right and x > axis.left:
            x, y = axis.left, y + 14
        drawn += _key_mark(kind, x, y)
        drawn.append(label(x + (13 if kind else 0), y, words, size=_SMALL, room=axis.right - x, paint="soft"))
        x += wide + 8
    return drawn, y


def _key_mark(kind: str, x: float, y: float) -> list[str]:
    if kind == CASE:
        return [shape("rect", "r3", x=x, y=y - 8, width=5, height=8, rx=1)]
    if kind == OTHER:
        return [element("rect", class_="cu-open", x=x + 0.5, y=y - 7.5, width=5, height=7, fill="none", stroke=stroke("open"))]
    if kind == CALM:
        return [shape("rect", "calm", x=x, y=y - 7, width=5, height=7)]
    if kind == _LENT:
        return [shape("rect", "lent", x=x - 2, y=y - 5, width=11, height=4, rx=2)]
    return []


def _desc(bands: Sequence[Band], axis: _Axis, events: int, of: int) -> str:
    unexplained = explained = 0
    for band in bands:
        found = counts(band, axis.start, axis.end)
        unexplained += found[CASE] + found[OTHER]
        explained += found[CALM]
    whose = f"{len(bands)} of {of} actors" if of > len(bands) else f"{of} actor{'s' if of != 1 else ''}"
    return (
        f"{whose} between {moment(axis.start)} and {moment(axis.end)}: {grouped(unexplained)} unexplained and "
        f"{grouped(explained)} explained accesses, {events} press event{'s' if events != 1 else ''}."
    )
