"""Cold start: the one-sided tail sum. It needs no training, no labels and no library, only looks of a past window.

`z = Σ −ln((#{reference ≤ x} + 1) / (n + 1))` over features of one direction: a look that stands as low as few others in many
relations at once is high. More context never raises it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import log


class Reference:
    """What looks of a past window are like: per feature the sorted values."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._values = [sorted(column) for column in zip(*rows, strict=True)]
        self._size = len(rows)
        self._memory: dict[tuple[int, ...], float] = {}

    def tail_sum(self, row: Sequence[int]) -> float:
        """Return Σ −ln((reference values ≤ x + 1) / (n + 1)) over the features; 0 where there is no reference."""
        key = tuple(row)
        known = self._memory.get(key)
        if known is None:
            counts = [bisect_right(values, x) for values, x in zip(self._values, key, strict=False)]
            known = self._memory[key] = sum(-log((count + 1) / (self._size + 1)) for count in counts)
        return known


class Scale:
    """Turns a measure that orders into whole numbers per mille: the share of a group of looks that are less unusual."""

    def __init__(self, measures: Iterable[float]) -> None:
        self._sorted = sorted(measures)

    def per_mille(self, measure: float) -> int:
        """Return 0 to 1000; 1000 where there is nothing to compare with."""
        if not self._sorted:
            return 1000
        return 1000 * bisect_left(self._sorted, measure) // len(self._sorted)
