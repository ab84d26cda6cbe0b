"""The few elements that pictures are made of, written with attributes only and escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from custodes.pictures import colour, metrics

FONT: Final = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
_LINES: Final = re.compile(r"(/>|</\w+>)(?=<\w)")
"""After each element whose neighbour begins: one line for each mark, so that pictures can be compared."""
Value = str | float | int | None


def escape(text: str) -> str:
    """Return `text` for element content and attributes."""
    table = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
    return "".join(table.get(character, character) for character in text)


def number(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def grouped(count: int) -> str:
    """Return a count with its thousands set apart."""
    return f"{count:,}"


def element(name: str, *content: str, **attributes: Value) -> str:
    """Return one element. `class_` → class, `stroke_width` → stroke-width; attributes that are None are left out."""
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            text = value if isinstance(value, str) else number(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    opened = " ".join(parts)
    return f"<{opened}>{''.join(content)}</{name}>" if content else f"<{opened}/>"


def titled(text: str) -> str:
    """Return the `<title>` of a mark."""
    return f"<title>{escape(metrics.clean(text))}</title>"


def shape(name: str, paint: str, *, title: str | None = None, **attributes: Value) -> str:
    """Return a filled mark of the colour class `paint`."""
    content = (titled(title),) if title is not None else ()
    return element(name, *content, class_=f"cu-{paint}", fill=colour.fill(paint), **attributes)


def line(paint: str, *, title: str | None = None, **attributes: Value) -> str:
    """Return a stroked line of the stroke class `paint`."""
    content = (titled(title),) if title is not None else ()
    return element("line", *content, class_=f"cu-{paint}", stroke=colour.stroke(paint), **attributes)


def label(
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    room: float,
    paint: str = "ink",
    anchor: str | None = None,
    bold: bool = False,
    slant: float | None = None,
    bare: bool = False,
) -> str:
    """Return a text that fits into `room` pixels; a shortened one carries the whole as `<title>`. Empty text gives nothing.

    `bare`: size and colour are those of the group around it (`alike`).
    """
    shown = metrics.fit(text, size, room, bold=bold)
    if not shown:
        return ""
    content = [escape(shown)] if shown == metrics.clean(text) else [titled(text), escape(shown)]
    return element(
        "text",
        *content,
        class_=None if bare else f"cu-{paint}",
        x=x,
        y=y,
        font_size=None if bare else size,
        font_weight="600" if bold else None,
        text_anchor=anchor,
        fill=None if bare else colour.fill(paint),
        transform=None if slant is None else f"rotate({number(slant)} {number(x)} {number(y)})",
    )


def alike(texts: Iterable[str], *, size: float, paint: str = "ink") -> str:
    """Return a group of bare labels, size and colour written once."""
    return element("g", *texts, class_=f"cu-{paint}", fill=colour.fill(paint), font_size=size)


def picture(
    name: str, width: float, height: float, *, title: str, desc: str, body: Iterable[str], background: str | None = None
) -> str:
    """Return a whole picture. `name` makes ids unique in a page; `background`: a colour for pictures that stand alone."""
    ground = element("rect", width=width, height=height, fill=background) if background else ""
    whole = element(
        "svg",
        f'<title id="{name}-title">{escape(metrics.clean(title))}</title>',
        f'<desc id="{name}-desc">{escape(metrics.clean(desc))}</desc>',
        ground,
        *body,
        xmlns="http://www.w3.org/2000/svg",
        width=width,
        height=height,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        font_family=FONT,
    )
    return _LINES.sub(r"\1\n", whole)
