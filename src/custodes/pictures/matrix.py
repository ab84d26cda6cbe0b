"""The matrix: who looked at whom without a reason. Rows are actors, columns subjects; a square's size and number are the count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Final

from custodes.pictures import colour, metrics
from custodes.pictures.seriate import Arranged, Lead, arrange
from custodes.pictures.svg import alike, element, escape, grouped, label, number, picture, shape, titled

_SLANT: Final = 62
_UPRIGHT: Final = 90
_NARROW: Final = 600
_NAME: Final = 10.0
_HEAD: Final = 9.5
_NOTE: Final = 9.5
_EDGE: Final = 10.0
_MOST_NOTE: Final = 190.0
_LEGEND: Final = 340.0
_LEAST_PITCH: Final = 11.5
_MOST_PITCH: Final = 19.0
_BOUNDS: Final = (1, 2, 4, 8)
_SPREAD: Final = (0.52, 0.66, 0.78, 0.88, 0.96)
_WORDS: Final = ("1", "2", "3–4", "5–8", "9 or more")


def draw(
    cells: Iterable[tuple[str, str, int]],
    labels: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
    *,
    title: str = "Who looked at whom without a reason?",
    rows: int = 40,
    columns: int = 70,
    lead: Lead | None = None,
    width: float = 1200,
    name: str = "matrix",
    background: str | None = None,
) -> str:
    """Return the picture of (actor, subject, count) cells.

    `labels`: id → what is written; `notes`: actor → what stands in grey beside it. At most `rows` × `columns` are drawn, those
    that stand out most, those that share subjects side by side, `lead` in the corner. Without cells a sentence stands instead.
    `background`: a colour, for a picture that stands alone.
    """
    return paint(
        arrange(cells, rows=rows, columns=columns, lead=lead),
        labels,
        notes or {},
        title=title,
        width=width,
        name=name,
        background=background,
    )


def step(count: int) -> int:
    """Return the step of the ramp, 1 to 5, for a count of 1 or more."""
    return 1 + sum(count > bound for bound in _BOUNDS)


def caption(arranged: Arranged) -> str:
    """Return what is shown of how many, in words."""
    return (
        f"{grouped(len(arranged.rows))} most unusual actors × {grouped(len(arranged.columns))} subjects, "
        f"of {grouped(arranged.of_rows)}{metrics.FIRM}×{metrics.FIRM}{grouped(arranged.of_columns)}"
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    left: float
    top: float
    pitch: float
    names: float
    notes: float
    slant: int

    def x(self, column: float) -> float:
        return self.left + column * self.pitch

    def y(self, row: float) -> float:
        return self.top + row * self.pitch


def paint(
    arranged: Arranged,
    labels: Mapping[str, str],
    notes: Mapping[str, str],
    *,
    title: str,
    width: float,
    name: str,
    background: str | None = None,
) -> str:
    """Return the picture of what was arranged."""
    if not arranged.counts:
        text = label(_EDGE, 22, "No look without a recorded reason.", size=12, room=width - 2 * _EDGE, paint="soft")
        return picture(name, width, 36, title=title, desc="There is nothing to show.", body=[text], background=background)
    grid, full = _grid(arranged, labels, notes, width)
    legend, below = _legend(arranged, grid, full)
    body = [
        _dots(arranged, grid, name),
        _columns(arranged, labels, grid),
        *_rows(arranged, labels, notes, grid),
        *_squares(arranged, labels, grid),
        *legend,
    ]
    height = grid.y(len(arranged.rows)) + below
    shown = sum(arranged.counts.values())
    desc = (
        f"{caption(arranged)}: {grouped(shown)} of {grouped(arranged.total)} unexplained accesses. {_strongest(arranged, labels)}"
    )
    return picture(name, full, height, title=title, desc=desc, body=body, background=background)


def _grid(arranged: Arranged, labels: Mapping[str, str], notes: Mapping[str, str], width: float) -> tuple[_Grid, float]:
    names = _widest((labels.get(row, row) for row in arranged.rows), _NAME, 190)
    beside = _widest((notes.get(row, "") for row in arranged.rows), _NOTE, _MOST_NOTE)
    tall = _widest((labels.get(column, column) for column in arranged.columns), _HEAD, 170)
    left = _EDGE + names + (10 + beside if beside else 0) + 8
    slant = _UPRIGHT if width < _NARROW else _SLANT
    lean = (tall + _NAME) * cos(radians(slant))
    room = width - left - lean - _EDGE
    pitch = max(_LEAST_PITCH, min(_MOST_PITCH, room / len(arranged.columns)))
    top = _EDGE + tall * sin(radians(slant)) + _NAME + 4
    grid = _Grid(left, top, round(pitch, 2), names, beside, slant)
    return grid, max(round(grid.x(len(arranged.columns)) + lean + _EDGE), round(min(width, left + _LEGEND)))


def _widest(texts: Iterable[str], size: float, most: float) -> float:
    return min(most, max((metrics.width(metrics.clean(text), size) for text in texts), default=0.0))


def _dots(arranged: Arranged, grid: _Grid, name: str) -> str:
    half = grid.pitch / 2
    dot = shape("circle", "dot", cx=half, cy=half, r=0.8)
    pattern = element(
        "pattern",
        dot,
        id=f"{name}-dots",
        x=grid.left,
        y=grid.top,
        width=grid.pitch,
        height=grid.pitch,
        patternUnits="userSpaceOnUse",
    )
    area = element(
        "rect",
        x=grid.left,
        y=grid.top,
        width=grid.pitch * len(arranged.columns),
        height=grid.pitch * len(arranged.rows),
        fill=f"url(#{name}-dots)",
    )
    return element("defs", pattern) + area


def _columns(arranged: Arranged, names: Mapping[str, str], grid: _Grid) -> str:
    room = (grid.top - _EDGE - _NAME - 4) / sin(radians(grid.slant)) + 0.01
    texts = (
        label(grid.x(place + 0.5) + 3, grid.top - 5, names.get(column, column), size=_HEAD, room=room, slant=-grid.slant, bare=True)
        for place, column in enumerate(arranged.columns)
    )
    return alike(texts, size=_HEAD)


def _rows(arranged: Arranged, names: Mapping[str, str], notes: Mapping[str, str], grid: _Grid) -> list[str]:
    said, beside = [], []
    x = _EDGE + grid.names + 10
    for place, row in enumerate(arranged.rows):
        y = grid.y(place + 0.5) + _NAME * 0.36
        said.append(label(_EDGE, y, names.get(row, row), size=_NAME, room=grid.names + 0.01, bare=True))
        if notes.get(row):
            beside.append(label(x, y, _ending(notes[row]), size=_NOTE, room=grid.notes + 0.01, bare=True))
    return [alike(said, size=_NAME), *([alike(beside, size=_NOTE, paint="soft")] if beside else [])]


def _ending(path: str) -> str:
    """Shorten a long unit path at its beginning: its end, with the country, tells most."""
    short = path
    while metrics.width(metrics.clean(short), _NOTE) > _MOST_NOTE and "/" in short.removeprefix("…/"):
        short = "…/" + short.removeprefix("…/").partition("/")[2]
    return short


def _squares(arranged: Arranged, labels: Mapping[str, str], grid: _Grid) -> list[str]:
    """One group of squares and one of numbers per step of the ramp, so that colours are written once."""
    rows = {row: place for place, row in enumerate(arranged.rows)}
    columns = {column: place for place, column in enumerate(arranged.columns)}
    squares: dict[int, list[str]] = {level: [] for level in range(1, 6)}
    numbers: dict[int, list[str]] = {level: [] for level in range(1, 6)}
    for (row, column), count in sorted(arranged.counts.items(), key=lambda cell: (rows[cell[0][0]], columns[cell[0][1]])):
        x, y = grid.x(columns[column] + 0.5), grid.y(rows[row] + 0.5)
        level = step(count)
        hint = f"{labels.get(row, row)} → {labels.get(column, column)}: {grouped(count)} unexplained"
        squares[level].append(_square(x, y, grid.pitch * _SPREAD[level - 1], count, hint))
        if count > 1:
            numbers[level].append(_number(x, y, grid.pitch, count))
    return [piece for level in range(1, 6) for piece in _step(level, squares[level], numbers[level])]


def _step(level: int, squares: list[str], numbers: list[str]) -> list[str]:
    drawn = []
    if squares:
        drawn.append(element("g", *squares, class_=f"cu-r{level}", fill=colour.fill(f"r{level}")))
    if numbers:
        ink = {"class_": f"cu-n{level}", "fill": colour.fill(f"n{level}")}
        drawn.append(element("g", *numbers, font_weight="600", text_anchor="middle", pointer_events="none", **ink))
    return drawn


def _square(x: float, y: float, side: float, count: int, hint: str) -> str:
    place = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side, "rx": min(2.0, side / 4)}
    return element("rect", titled(hint), data_count=number(count), **place)


def _number(x: float, y: float, pitch: float, count: int) -> str:
    text = str(count) if count < 100 else "+"
    room = pitch * _SPREAD[step(count) - 1]
    size = round(min(9.0, pitch * 0.62, room / metrics.width(text, 1, bold=True)), 2)
    return element("text", escape(text), x=x, y=y + size * 0.36, font_size=size)


def _legend(arranged: Arranged, grid: _Grid, width: float) -> tuple[list[str], float]:
    """The steps of the ramp below the grid, wrapped to the width; returns the height it takes as well."""
    first, y = grid.y(len(arranged.rows)) + 26, grid.y(len(arranged.rows)) + 26
    items = [(0, "accesses without a reason"), *enumerate(_WORDS, 1)]
    left = grid.left if width - grid.left > _LEGEND else _EDGE
    x = left
    drawn = []
    for level, words in items:
        side = 13 * _SPREAD[level - 1] + 4 if level else 0.0
        wide = side + metrics.width(words, _NOTE)
        if x + wide > width - _EDGE and x > left:
            x, y = left, y + 17
        if level:
            drawn.append(shape("rect", f"r{level}", x=x, y=y - 3.5 - (side - 4) / 2, width=side - 4, height=side - 4, rx=2))
        drawn.append(label(x + side, y, words, size=_NOTE, room=width - x - side, paint="soft"))
        x += wide + (7 if level else 4)
    return drawn, y - first + 42


def _strongest(arranged: Arranged, labels: Mapping[str, str]) -> str:
    (row, column), count = min(arranged.counts.items(), key=lambda cell: (-cell[1], cell[0]))
    return f"Most often: {labels.get(row, row)} looked {grouped(count)} times at {labels.get(column, column)}."
