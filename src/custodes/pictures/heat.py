"""The heat map: unit by category of fields, the share of looks that nothing explains, as a number in every cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from custodes.pictures import metrics
from custodes.pictures.svg import element, grouped, label, number, picture, shape, titled

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
    for row, unit in enumerate(chart.units):
        y = _EDGE + tall + 4 + row * _ROW
        body.append(label(left - 10, y + _ROW / 2 + 3.6, unit, size=_TEXT, room=left - _EDGE - 10 + 0.01, anchor="end"))
        for place, category in enumerate(chart.categories):
            said = f"{unit}, {words[place]}"
            body.append(_cell(chart.cells.get((unit, category)), said, left + place * pitch, y, pitch))
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


def _cell(counts: tuple[int, int] | None, where: str, x: float, y: float, pitch: float) -> str:
    middle, centre = y + _ROW / 2, x + pitch / 2
    if counts is None or not counts[0]:
        return shape("circle", "dot", title=f"{where}: no look", cx=centre, cy=middle, r=1.2)
    looks, residue = counts
    level = step(looks, residue)
    paint, ink = (f"h{level}", f"t{level}") if level else ("wash", "soft")
    hint = f"{where}: {grouped(residue)} of {grouped(looks)} looks without a reason"
    square = shape("rect", paint, x=x + 1, y=y + 1, width=pitch - 2, height=_ROW - 2, rx=3)
    text = label(centre, middle + 3.6, said(looks, residue), size=_TEXT, room=pitch - 2, paint=ink, anchor="middle")
    return element("g", titled(hint), square, text, data_count=number(residue))


def _desc(chart: Chart) -> str:
    looks = sum(counts[0] for counts in chart.cells.values())
    residue = sum(counts[1] for counts in chart.cells.values())
    return (
        f"{len(chart.units)} of {chart.of_units} units, {len(chart.categories)} of {chart.of_categories} categories: "
        f"{grouped(residue)} of {grouped(looks)} looks have no recorded reason."
    )
