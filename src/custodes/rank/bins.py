"""Bins of a model's features: the library's own, found in one pass.

The library sorts what a feature is worth into 255 bins, and where looks have weights it finds each edge by going through all looks
again: half of the time of a fit. Here the edges of a feature are found at once, and the library gets the number of the bin in the
place of the value. Same bins, same trees: what a model says of a look is equal to the last bit (a test holds both together).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST: Final = 255
"""Bins of a feature, and values that a feature may have without any: the library's default."""


class Bins:
    """The bins of some rows. `put` says of any rows in which bin they lie."""

    def __init__(self, rows: Sequence[Sequence[int]], weights: NDArray[Any]) -> None:
        """Find the bins of rows of whole numbers, of which each counts as much as its weight, which is above 0."""
        values = _table(rows)
        self._edges = [_edges(values[:, place], weights) for place in range(values.shape[1])]

    def put(self, rows: Sequence[Sequence[int]]) -> NDArray[Any]:
        """Return the rows with bins in the place of values, for features of more than `MOST` values; the others as they are."""
        import numpy as np

        values = _table(rows)
        for place, edges in enumerate(self._edges):
            if edges is not None:
                values[:, place] = np.searchsorted(edges, values[:, place])
        return values


def _table(rows: Sequence[Sequence[int]]) -> NDArray[Any]:
    import numpy as np

    return np.array(rows, dtype=np.float64)


def _edges(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any] | None:
    """Return the upper edges of the bins, rising, none for the last; or None where each value is a bin of its own.

    The edges are the weighted quantiles of the library, the mean of two values where a quantile lies exactly between them. A bin in
    which no value lies belongs to the next one: of two splits that part the values alike the library takes the first.
    """
    import numpy as np

    if len(np.unique(values)) <= MOST:
        return None
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    order = np.argsort(values)  # twice, as the library does: equal values may change places, and sums are rounded on the way
    below = np.cumsum(weights[order])
    values = values[order]
    wanted = np.linspace(0, 100, num=MOST + 1)[1:-1] / 100 * below[-1]
    last = len(values) - 1
    here = np.clip(np.searchsorted(below, wanted), 0, last)
    between = below[here] - wanted <= np.finfo(np.float64).eps
    edges = np.unique(np.where(between, (values[here] + values[np.clip(here + 1, 0, last)]) / 2, values[here]))
    filled = np.unique(np.searchsorted(edges, values))
    return edges[filled[filled < len(edges)]]
