"""The colours of all pictures, light as attributes and dark as page CSS over the same class names.

The warm ramp falls in lightness (rises in the dark), so it reads without colour vision; marks have a contrast of 3 or more
against their ground, text and numbers of 4.5 or more, in both themes.
"""

from __future__ import annotations

from typing import Final

GROUND: Final = ("#ffffff", "#1f1d1a")
"""What pictures stand on, light and dark."""

_FILLS: Final = {
    "ink": ("#26221d", "#ece7de"),
    "soft": ("#6a6358", "#aaa297"),
    "dot": ("#cdc5b8", "#4a453d"),
    "r1": ("#d07a2e", "#a9682f"),
    "r2": ("#b5541f", "#d07f3e"),
    "r3": ("#962f20", "#e9a25c"),
    "r4": ("#6d1a2a", "#f5c886"),
    "r5": ("#3a0f2c", "#fdecc6"),
    "n1": ("#26221d", "#ffffff"),
    "n2": ("#ffffff", "#1f1d1a"),
    "n3": ("#ffffff", "#1f1d1a"),
    "n4": ("#ffffff", "#1f1d1a"),
    "n5": ("#ffffff", "#1f1d1a"),
    "h1": ("#f7e6d4", "#3d2f23"),
    "h2": ("#eabf92", "#6d4423"),
    "h3": ("#b5541f", "#d98a48"),
    "h4": ("#6d1a2a", "#f5c886"),
    "t1": ("#26221d", "#ece7de"),
    "t2": ("#26221d", "#ffffff"),
    "t3": ("#ffffff", "#1f1d1a"),
    "t4": ("#ffffff", "#1f1d1a"),
    "calm": ("#7c8b96", "#77858f"),
    "lent": ("#1d7a78", "#4fb3ac"),
    "event": ("#54429e", "#b4a8f4"),
    "wash": ("#f6f2ea", "#2a2723"),
}
_STROKES: Final = {
    "line": ("#e2dbcf", "#3a362f"),
    "axis": ("#8d8577", "#7d766a"),
    "case": ("#962f20", "#e9a25c"),
    "calm-bar": ("#7c8b96", "#77858f"),
    "open": ("#b5541f", "#d07f3e"),
    "pole": ("#54429e", "#b4a8f4"),
}
STEPS: Final = 5


def fill(name: str) -> str:
    """Return the light fill of a class."""
    return _FILLS[name][0]


def stroke(name: str) -> str:
    """Return the light stroke of a class."""
    return _STROKES[name][0]


def pairs() -> dict[str, tuple[str, str]]:
    """Return every class with its light and its dark colour."""
    return {**_FILLS, **_STROKES}


def dark_css() -> str:
    """Return the rules that turn a page's pictures dark: to be wrapped in a media query."""
    fills = [f".cu-{name}{{fill:{dark}}}" for name, (_, dark) in _FILLS.items()]
    strokes = [f".cu-{name}{{stroke:{dark}}}" for name, (_, dark) in _STROKES.items()]
    return "\n".join([*fills, *strokes])
