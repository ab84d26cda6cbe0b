"""The waterfall: how all looks shrink, reason by reason, to those that nothing explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from custodes.pictures import metrics
from custodes.pictures.svg import grouped, label, line, number, picture, shape

_EDGE: Final = 10.0
_TEXT: Final = 11.0
_ROW: Final = 26.0
_BAR: Final = 14.0


def draw(
    looks: int,
    explained: Sequence[tuple[str, int]],
    residue: int,
    *,
    title: str = "How many looks each reason explains",
    name: str = "waterfall",
    width: float = 900,
    background: str | None = None,
) -> str:
    """Return the picture. `explained`: (reason in words, looks) in the order in which they are taken off.

    Where the parts add up to the whole, each bar begins where the last one ended; where looks have several reasons, all begin
    at zero.
    """
    rows = [("all looks at personal data", looks, "wash"), *((words, count, "calm") for words, count in explained)]
    rows.append(("no recorded reason", residue, "r3"))
    adds_up = sum(count for _, count in explained) + residue == looks
    narrow = width < 600
    names = max(metrics.width(metrics.clean(words), _TEXT) for words, _, _ in rows)
    left = _EDGE if narrow else _EDGE + min(names, 290.0) + 12
    tail = metrics.width(f"{grouped(max(looks, residue, *(c for _, c, _ in rows)))} · 100.0 %", _TEXT, bold=True) + 8
    room = width - left - _EDGE - tail
    most = max(looks, residue, 1, *(count for _, count, _ in rows))
    body: list[str] = []
    done = 0
    y = _EDGE
    for words, count, paint in rows:
        head = 15.0 if narrow else 0.0
        start = done if adds_up and paint != "wash" else 0
        x, wide = left + room * start / most, max(room * count / most, 1.5 if count else 0.0)
        middle = y + head + _ROW / 2
        body += _row(words, count, looks, paint, x=x, wide=wide, middle=middle, left=left, across=width if narrow else None)
        if paint != "wash":
            done += count
        if adds_up and paint != "r3" and not narrow:
            foot = left + room * (done if paint != "wash" else 0) / most
            body.append(line("axis", x1=foot, x2=foot, y1=middle + _BAR / 2, y2=middle + _ROW - _BAR / 2, stroke_width=0.8))
        y += _ROW + head
    return picture(name, width, y + _EDGE, title=title, desc=_desc(looks, explained, residue), body=body, background=background)


def share(count: int, of: int) -> str:
    """Return a share in per cent with one decimal; "–" of nothing."""
    return f"{100 * count / of:.1f}{metrics.FIRM}%" if of else "–"


def _row(
    words: str, count: int, of: int, paint: str, *, x: float, wide: float, middle: float, left: float, across: float | None
) -> list[str]:
    """One reason with its bar; `across`: the picture's width where the words stand above the bar instead of beside it."""
    last = paint == "r3"
    hint = f"{words}: {grouped(count)} ({share(count, of)})"
    bar = shape("rect", paint, title=hint, x=x, y=middle - _BAR / 2, width=wide, height=_BAR, rx=2, data_count=number(count))
    if paint == "wash":
        bar += line("axis", x1=x, x2=x + wide, y1=middle + _BAR / 2, y2=middle + _BAR / 2, stroke_width=1)
    figure = grouped(count) if paint == "wash" else f"{grouped(count)} · {share(count, of)}"
    value = label(x + wide + 6, middle + 4, figure, size=_TEXT, room=400, bold=last)
    if across is not None:
        room = across - left - _EDGE
        return [label(left, middle - _BAR / 2 - 4, words, size=_TEXT, room=room, bold=last), bar, value]
    return [label(left - 12, middle + 4, words, size=_TEXT, room=left - _EDGE - 12 + 0.01, anchor="end", bold=last), bar, value]


def _desc(looks: int, explained: Sequence[tuple[str, int]], residue: int) -> str:
    parts = ", ".join(f"{words} {grouped(count)}" for words, count in explained)
    left = f"without a recorded reason {grouped(residue)} ({share(residue, looks)})"
    return f"Of {grouped(looks)} looks: {parts or 'none explained'}; {left}."
