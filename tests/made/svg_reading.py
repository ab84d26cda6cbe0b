"""Reading our own SVG as a reader's eye would: where does each text lie, what does it cover, what do marks say?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import cos, radians, sin
from xml.etree import ElementTree as ET

from custodes.pictures import metrics

NS = "{http://www.w3.org/2000/svg}"
ASCENT, DESCENT = 0.74, 0.21
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Text:
    """A text with the corners of the box that it fills at most."""

    words: str
    corners: tuple[Point, Point, Point, Point]


def parsed(svg: str) -> ET.Element:
    """Return the tree; fails if the picture is not well-formed."""
    return ET.fromstring(svg)  # noqa: S314  # our own output


def view_box(root: ET.Element) -> tuple[float, float]:
    """Return width and height."""
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    return width, height


def texts(root: ET.Element) -> list[Text]:
    """Return every text that is drawn."""
    return list(_texts(root, {}))


def clipped(svg: str) -> list[str]:
    """Return the texts that leave the picture."""
    root = parsed(svg)
    width, height = view_box(root)
    return [text.words for text in texts(root) for x, y in text.corners if not (0 <= x <= width and 0 <= y <= height)]


def covered(svg: str) -> list[tuple[str, str]]:
    """Return pairs of texts that cover each other."""
    return [(one.words, two.words) for one, two in combinations(texts(parsed(svg)), 2) if _touch(one.corners, two.corners)]


def counts(svg: str) -> int:
    """Return the sum of what the marks say they count (a mark without a number counts one)."""
    root = parsed(svg)
    marked = [int(node.attrib["data-count"]) for node in root.iter() if "data-count" in node.attrib]
    return sum(marked)


def untitled_marks(svg: str) -> list[str]:
    """Return marks without a title of their own: everything drawn that stands for data."""
    return [ET.tostring(node, encoding="unicode") for node in parsed(svg).iter() if _is_mark(node) and not _title(node)]


def _is_mark(node: ET.Element) -> bool:
    return "data-count" in node.attrib


def _title(node: ET.Element) -> str:
    return node.findtext(f"{NS}title") or ""


def _texts(node: ET.Element, inherited: dict[str, str]) -> Iterator[Text]:
    own = {**inherited, **{key: node.attrib[key] for key in ("text-anchor", "font-weight", "font-size") if key in node.attrib}}
    if node.tag == f"{NS}text":
        yield _text(node, own)
    for child in node:
        yield from _texts(child, own)


def _text(node: ET.Element, own: dict[str, str]) -> Text:
    words = "".join(node.itertext()).strip()
    title = node.find(f"{NS}title")
    if title is not None:
        words = (title.tail or "").strip()
    size, x, y = float(own["font-size"]), float(node.attrib["x"]), float(node.attrib["y"])
    wide = metrics.width(words, size, bold=own.get("font-weight") == "600")
    left = {"middle": x - wide / 2, "end": x - wide}.get(own.get("text-anchor", "start"), x)
    top, bottom = y - ASCENT * size, y + DESCENT * size
    corners = ((left, top), (left + wide, top), (left + wide, bottom), (left, bottom))
    return Text(words, tuple(_turned(corner, node.attrib.get("transform", "")) for corner in corners))


def _turned(point: Point, transform: str) -> Point:
    if not transform:
        return point
    angle, x, y = map(float, transform.removeprefix("rotate(").removesuffix(")").split())
    turn = radians(angle)
    dx, dy = point[0] - x, point[1] - y
    return (x + dx * cos(turn) - dy * sin(turn), y + dx * sin(turn) + dy * cos(turn))


def _touch(one: tuple[Point, ...], two: tuple[Point, ...], least: float = 0.05) -> bool:
    """Whether two convex boxes overlap: no axis of either separates them."""
    for box in (one, two):
        for start, end in zip(box, (*box[1:], box[0]), strict=True):
            axis = (start[1] - end[1], end[0] - start[0])
            length = (axis[0] ** 2 + axis[1] ** 2) ** 0.5
            if length == 0:
                continue
            a = [(x * axis[0] + y * axis[1]) / length for x, y in one]
            b = [(x * axis[0] + y * axis[1]) / length for x, y in two]
            if max(a) <= min(b) + least or max(b) <= min(a) + least:
                return False
    return True
