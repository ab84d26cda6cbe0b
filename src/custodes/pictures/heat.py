"""The heat map: unit by category of fields, the share of looks that nothing explains, as a number in every cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custodes.pictures import metrics
from custodes.pictures.colour import fill
from custodes.pictures.svg import element, escape, grouped, label, number, picture, titled

_EDGE: Final = 10.0
_TEXT: Final = 10.5
_ROW: Final = 24.0
_HEAD: Final = 24.0
_BOUNDS: Final = (0, 5, 15, 40)
FEW: Final = 10
"""Below so many looks a share says little: the cell shows the numbers instead."""
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Chart:
    """What is shown: units and categories in order, (looks, residue) per pair, and of how many they were chosen."""

    units: tuple[str, ...]
    categories: tuple[str, ...]
    cells: Mapping[Pair, tuple[int, int]]
    of_units: int
    of_categories: int


def arrange(cells: Iterable[tuple[str, str, int, int]], *, units: int = 20, categories: int = 20) -> Chart:
    """Choose the units and categories with most unexplained looks. Cells: (unit, category, looks, residue); equal pairs add up."""
    sums: dict[Pair, list[int]] = defaultdict(lambda: [0, 0])
    for unit, category, looks, residue in cells:
        sums[unit, category][0] += looks
        sums[unit, category][1] += residue
    by_unit, by_category = _totals(sums, 0), _totals(sums, 1)
    rows = sorted(by_unit, key=lambda key: (-by_unit[key][1], -by_unit[key][0], key))[:units]
    columns = sorted(by_category, key=lambda key: (-by_category[key][1], -by_category[key][0], key))[:categories]
    shown = {pair: (counts[0], counts[1]) for pair, counts in sorted(sums.items()) if pair[0] in rows and pair[1] in columns}
    return Chart(tuple(rows), tuple(columns), shown, len(by_unit), len(by_category))


def paint(
    chart: Chart,
    labels: Mapping[str, str],
    *,
    title: str = "Where looks have no reason: unit and category of fields",
    name: str = "heat",
    width: float = 1000,
    background: str | None = None,
) -> str:
    """Return the picture. `labels`: category → what is written."""
    if not chart.cells:
        text = label(_EDGE, 22, "No look at a known category of fields.", size=12, room=width - 2 * _EDGE, paint="soft")
        return picture(name, width, 36, title=title, desc="There is nothing to show.", body=[text], background=background)
    longest = max(metrics.width(metrics.clean(unit), _TEXT) for unit in chart.units)
    left = _EDGE + min(longest, width * 0.36) + 10
    pitch = min(112.0, (width - left - _EDGE) / len(chart.categories))
    words = [labels.get(category, category) for category in chart.categories]
    heads = max(metrics.width(metrics.clean(word), _TEXT) for word in words)
    slanted = heads > pitch - 4
    tall = min(heads, 110.0) * 0.71 + 12 if slanted else _HEAD
    lean = min(heads, 110.0) * 0.71 if slanted else 0.0
    if slanted:
        pitch = min(pitch, (width - left - _EDGE - lean) / max(len(chart.categories), 1))
    body = [_head(word, left + place * pitch, pitch, _EDGE + tall, slanted=slanted) for place, word in enumerate(words)]
    cells: list[_Cell] = []
    for row, unit in enumerate(chart.units):
        y = _EDGE + tall + 4 + row * _ROW
        body.append(label(left - 10, y + _ROW / 2 + 3.6, unit, size=_TEXT, room=left - _EDGE - 10 + 0.01, anchor="end"))
        for place, category in enumerate(chart.categories):
            looks, residue = chart.cells.get((unit, category), (0, 0))
            cells.append(_Cell(f"{unit}, {words[place]}", left + place * pitch, y, looks, residue))
    body += [piece for level in range(-1, 5) for piece in _level(level, [cell for cell in cells if cell.level == level], pitch)]
    height = _EDGE + tall + 4 + _ROW * len(chart.units) + _EDGE
    full = min(width, left + pitch * len(chart.categories) + lean + _EDGE)
    return picture(name, round(full), height, title=title, desc=_desc(chart), body=body, background=background)


def step(looks: int, residue: int) -> int:
    """Return the step of the ramp for a share, 0 (nothing unexplained) to 4 (above 40 %)."""
    share = 100 * residue / looks if looks else 0
    return sum(share > bound for bound in _BOUNDS)


def said(looks: int, residue: int) -> str:
    """Return what a cell says: a share, or the two numbers where there are few looks."""
    if not residue:
        return "0"
    if looks < FEW:
        return f"{residue} of {looks}"
    share = 100 * residue / looks
    return "< 1 %" if share < 1 else f"{share:.0f} %"


def _totals(sums: Mapping[Pair, list[int]], part: int) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for pair, (looks, residue) in sums.items():
        before = found.get(pair[part], (0, 0))
        found[pair[part]] = (before[0] + looks, before[1] + residue)
    return found


def _head(word: str, x: float, pitch: float, y: float, *, slanted: bool) -> str:
    if slanted:
        return label(x + pitch / 2, y, word, size=_TEXT, room=110.01, paint="soft", slant=-45)
    return label(x + pitch / 2, y, word, size=_TEXT, room=pitch, paint="soft", anchor="middle")


@dataclass(frozen=True, slots=True)
class _Cell:
    where: str
    x: float
    y: float
    looks: int
    residue: int

    @property
    def level(self) -> int:
        """Step of the ramp; −1 where nobody looked."""
        return step(self.looks, self.residue) if self.looks else -1


def _level(level: int, cells: Sequence[_Cell], pitch: float) -> list[str]:
    """All cells of one step in two groups, so that colours are written once."""
    if not cells:
        return []
    if level < 0:
        return [_group("dot", [_dot(cell, pitch) for cell in cells])]
    paint, ink = (f"h{level}", f"t{level}") if level else ("wash", "soft")
    numbers = [_number(cell, pitch) for cell in cells]
    return [_group(paint, [_square(cell, pitch) for cell in cells]), _group(ink, numbers, font_size=_TEXT, text_anchor="middle")]


def _group(paint: str, pieces: Sequence[str], **attributes: str | float) -> str:
    return element("g", *pieces, class_=f"cu-{paint}", fill=fill(paint), **attributes)


def _dot(cell: _Cell, pitch: float) -> str:
    return element("circle", titled(f"{cell.where}: no look"), cx=cell.x + pitch / 2, cy=cell.y + _ROW / 2, r=1.2)


def _square(cell: _Cell, pitch: float) -> str:
    hint = f"{cell.where}: {grouped(cell.residue)} of {grouped(cell.looks)} looks without a reason"
    box = {"x": cell.x + 1, "y": cell.y + 1, "width": pitch - 2, "height": _ROW - 2, "rx": 3}
    return element("rect", titled(hint), data_count=number(cell.residue), **box)


def _number(cell: _Cell, pitch: float) -> str:
    words = metrics.fit(said(cell.looks, cell.residue), _TEXT, pitch - 2)
    return element("text", escape(words), x=cell.x + pitch / 2, y=cell.y + _ROW / 2 + 3.6, pointer_events="none")


def _desc(chart: Chart) -> str:
    looks = sum(counts[0] for counts in chart.cells.values())
    residue = sum(counts[1] for counts in chart.cells.values())
    return (
        f"{len(chart.units)} of {chart.of_units} units, {len(chart.categories)} of {chart.of_categories} categories: "
        f"{grouped(residue)} of {grouped(looks)} looks have no recorded reason."
    )
