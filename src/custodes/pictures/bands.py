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
from custodes.pictures.axis import EDGE, SMALL, Axis, Event, Flag, flags_of, heads, height_of, moment, poles, ticks
from custodes.pictures.colour import stroke
from custodes.pictures.svg import element, grouped, label, line, number, picture, shape, titled

_TEXT: Final = 10.0
_UP: Final = 24.0
_DOWN: Final = 12.0
_LANE: Final = 11.0
_GAP: Final = 10.0
_HEAD: Final = 16.0
_MOST_LANES: Final = 3
_MOST_EVENTS: Final = 8
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
    shown = bands[:most]
    narrow = width < 600
    axis = _axis(shown, start, end, width, narrow=narrow)
    flags = flags_of(sorted(events, key=lambda event: (event.time, event.name)), axis)
    top = EDGE + (height_of(flags) + (6 if flags else 0))
    tallest = _tallest(shown, axis, columns)
    body: list[str] = []
    lines: list[str] = []
    marks: list[str] = []
    y = top
    for band in shown:
        base = y + _UP + (_HEAD if narrow else 0.0)
        body.append(shape("rect", "wash", x=axis.left, y=base - _UP, width=axis.right - axis.left, height=_UP + _DOWN, rx=3))
        if narrow:  # a name stands above each band: the poles leave it free
            lines += poles(flags, axis, base - _UP, base + _DOWN)
        drawn, height = _band(band, axis, base, columns, tallest, narrow=narrow)
        marks += drawn
        y = base - _UP + height
    below, height = _below(axis, y, flags, _said_below(shown, len(bands), axis, tallest))
    if not narrow:
        lines += [pole for flag in flags for pole in poles([flag], axis, flag[1], y)]
    desc = _desc(shown, axis, sum(len(members) for *_, members in flags), len(bands))
    return picture(name, width, height, title=title, desc=desc, body=[*body, *lines, *marks, *below], background=background)


def counts(band: Band, start: datetime, end: datetime) -> Mapping[str, int]:
    """Return how many marks of each kind lie in the window: what the picture shows and its table says."""
    found = Counter(kind for time, kind in band.marks if start <= time <= end)
    return {kind: found[kind] for kind in _SAID}


def _axis(bands: Sequence[Band], start: datetime, end: datetime, width: float, *, narrow: bool) -> Axis:
    begin, finish = start.astimezone(UTC), max(end, start + timedelta(hours=6)).astimezone(UTC)
    names = max((_name_width(band) for band in bands), default=0.0)
    left = EDGE if narrow else EDGE + min(names, 200.0) + 14
    return Axis(left, width - EDGE - 4, begin, finish)


def _name_width(band: Band) -> float:
    return max(metrics.width(metrics.clean(band.name), _TEXT, bold=True), metrics.width(metrics.clean(band.note), SMALL))


Column = tuple[int, str]


def _gather(band: Band, axis: Axis, columns: float) -> dict[Column, list[datetime]]:
    found: dict[Column, list[datetime]] = {}
    for time, kind in sorted(band.marks):
        if axis.start <= time <= axis.end:
            found.setdefault((int((axis.x(time) - axis.left) / _wide(kind, columns)), kind), []).append(time)
    return found


def _tallest(bands: Sequence[Band], axis: Axis, columns: float) -> tuple[int, int]:
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


def _band(
    band: Band, axis: Axis, base: float, columns: float, tallest: tuple[int, int], *, narrow: bool
) -> tuple[list[str], float]:
    """Draw one band on its base line; return its height from the top of the band down as well."""
    lanes = _lanes(band, axis)
    rule = line("axis", x1=axis.left, x2=axis.right, y1=base, y2=base, stroke_width=0.8)
    marks = _marks(band, axis, base, columns, tallest)
    grants = [piece for place, lane in enumerate(lanes) for piece in _spans(lane, axis, base + _DOWN + 4 + place * _LANE)]
    height = _UP + _DOWN + 4 + _LANE * len(lanes) + _GAP
    return [rule, *_names(band, axis, base, narrow=narrow), *marks, *grants], height


def _names(band: Band, axis: Axis, base: float, *, narrow: bool) -> list[str]:
    if not narrow:
        room = axis.left - EDGE - 13.9
        return [
            label(EDGE, base - 7, band.name, size=_TEXT, room=room, bold=True),
            label(EDGE, base + 6, band.note, size=SMALL, room=room, paint="soft"),
        ]
    room = axis.right - axis.left
    taken = min(room, metrics.width(metrics.clean(band.name), _TEXT, bold=True)) + 4
    y = base - _UP - 5
    return [
        label(axis.left, y, band.name, size=_TEXT, room=room, bold=True),
        label(axis.left + taken, y, band.note, size=SMALL, room=room - taken, paint="soft"),
    ]


def _marks(band: Band, axis: Axis, base: float, columns: float, tallest: tuple[int, int]) -> list[str]:
    """One group per kind, so that colours are written once; columns stack what is of the campaign, then what is not."""
    above: dict[int, float] = {}
    drawn: dict[str, list[str]] = {kind: [] for kind in _SAID}
    for (place, kind), times in sorted(_gather(band, axis, columns).items()):
        wide = _wide(kind, columns)
        x = min(axis.left + (place + 0.5) * wide, axis.right - wide / 2)
        if kind == CALM:
            y, tall = base + 0.8, 2 + (_DOWN - 3) * len(times) / max(tallest[1], 1)
        else:
            tall = (_UP - 2) * len(times) / max(tallest[0], 4)
            y = base - 0.8 - above.get(place, 0.0) - tall
            above[place] = above.get(place, 0.0) + tall
        drawn[kind].append(_mark(kind, x, y, times, tall=tall, bar=_bar(kind, columns)))
    return [_group(kind, marks, _bar(kind, columns)) for kind, marks in drawn.items() if marks]


def _wide(kind: str, columns: float) -> float:
    """Explained accesses are the background: their columns are twice as wide."""
    return columns * 2 if kind == CALM else columns


def _bar(kind: str, columns: float) -> float:
    return max(2.0, _wide(kind, columns) - 1.5)


def _mark(kind: str, x: float, y: float, times: Sequence[datetime], *, tall: float, bar: float) -> str:
    hint, many = titled(_hint(kind, times)), number(len(times)) if len(times) > 1 else None
    if kind == OTHER:
        box = {"x": x - bar / 2 + 0.5, "y": y + 0.5, "width": bar - 1, "height": max(1.0, tall - 1)}
        return element("rect", hint, data_count=many, **box)
    return element("path", hint, d=f"M{number(x)} {number(y)}v{number(tall)}", data_count=many)


def _group(kind: str, marks: Sequence[str], bar: float) -> str:
    paint, wide = {CASE: ("case", bar), CALM: ("calm-bar", bar), OTHER: ("open", 1.0)}[kind]
    return element("g", *marks, class_=f"cu-{paint}", fill="none", stroke=stroke(paint), stroke_width=wide, data_kind=kind)


def _hint(kind: str, times: Sequence[datetime]) -> str:
    first, last = times[0], times[-1]
    end = f"–{last:%H:%M}" if first.date() == last.date() else f" to {last.day} {last:%b %H:%M}"
    return f"{grouped(len(times))} {_SAID[kind]}, {first.day} {first:%b %H:%M}{end if last != first else ''}"


Span = tuple[str, datetime, datetime]


def _lanes(band: Band, axis: Axis) -> list[list[Span]]:
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


def _spans(lane: Sequence[Span], axis: Axis, top: float) -> list[str]:
    drawn = []
    for words, start, end in lane:
        x, right = axis.x(max(start, axis.start)), axis.x(min(end, axis.end))
        right = max(right, x + 3)
        x = min(x, axis.right - 3)
        hint = f"grant {words}: {moment(start)} to {moment(end)}"
        drawn.append(shape("rect", "lent", title=hint, x=x, y=top + 3, width=right - x, height=4, rx=2))
    return drawn


Item = tuple[str, str]


def _said_below(bands: Sequence[Band], of: int, axis: Axis, tallest: tuple[int, int]) -> list[Item]:
    """The legend as (kind, words): what was left out, the time zone, the scale, and each kind of mark that is shown."""
    years = str(axis.start.year) if axis.start.year == axis.end.year else f"{axis.start.year}–{axis.end.year}"
    kinds = {kind for band in bands for kind, count in counts(band, axis.start, axis.end).items() if count}
    if any(_lanes(band, axis) for band in bands):
        kinds.add(_LENT)
    return [
        *([("", f"{len(bands)} of {grouped(of)} actors")] if of > len(bands) else []),
        ("", f"{years}, times in UTC; tallest: {grouped(tallest[0])} above, {grouped(tallest[1])} below the line"),
        *((kind, words) for kind, words in _KEY.items() if kind in kinds),
    ]


def _below(axis: Axis, y: float, flags: Sequence[Flag], items: Sequence[Item]) -> tuple[list[str], float]:
    drawn = [line("axis", x1=axis.left, x2=axis.right, y1=y, y2=y, stroke_width=1)]
    drawn += ticks(axis, y)
    drawn += heads(flags, axis)
    y += 30
    key, y = _key(axis, y, items)
    drawn += key
    events = [event for *_, members in flags for event in members]
    for spoken, event in enumerate(events[:_MOST_EVENTS], 1):
        y += 14
        said = f"{event.name}, {moment(event.time)}"
        drawn.append(label(axis.left, y, f"P{spoken}", size=SMALL, room=30, paint="event", bold=True))
        drawn.append(label(axis.left + 26, y, said, size=SMALL, room=axis.right - axis.left - 26, paint="soft"))
    if len(events) > _MOST_EVENTS:
        y += 14
        drawn.append(label(axis.left + 26, y, f"and {len(events) - _MOST_EVENTS} more", size=SMALL, room=120, paint="soft"))
    return drawn, y + 10


def _key(axis: Axis, y: float, items: Sequence[Item]) -> tuple[list[str], float]:
    """The legend, wrapped to the width."""
    drawn: list[str] = []
    x = axis.left
    for kind, words in items:
        wide = metrics.width(words, SMALL) + (13 if kind else 0)
        if x + wide > axis.right and x > axis.left:
            x, y = axis.left, y + 14
        drawn += _key_mark(kind, x, y)
        drawn.append(label(x + (13 if kind else 0), y, words, size=SMALL, room=axis.right - x, paint="soft"))
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
        return [shape("rect", "lent", x=x, y=y - 5, width=9, height=4, rx=2)]
    return []


def _desc(bands: Sequence[Band], axis: Axis, events: int, of: int) -> str:
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
