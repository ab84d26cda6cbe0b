"""Which rows and columns of a large matrix are shown, and in which order: those who share subjects lie together.

1. Residual of each cell against independence, `(n − e) / √(e + ¼)`; only its positive part counts.
2. Rows with the largest sum of squares of it are kept, then the columns with the largest within these rows, then of the rows
   those that still have a cell. (Squares, so that a few strong cells weigh more than a long tail of single looks.)
3. Of `log1p` of it the first pair of singular vectors is found by power iteration from a vector of ones, in plain Python,
   rounded to nine digits. Rows and columns that take part in the pair come first, strongest first, ties by id; the same is
   repeated on what is left, so that weaker groups follow as blocks along the diagonal instead of in the order of their ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log1p, sqrt
from typing import Final

ROUNDS: Final = 200
_DIGITS: Final = 9
_SHARE: Final = 0.15
"""Part of the strongest entry of a singular vector from which on a row or column belongs to its block."""
Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Arranged:
    """What is shown of a matrix: rows and columns in order, counts of the cells among them, and of how many they were chosen."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: Mapping[Pair, int]
    of_rows: int
    of_columns: int
    total: int


def arrange(cells: Iterable[tuple[str, str, int]], *, rows: int = 40, columns: int = 70) -> Arranged:
    """Choose and order. Cells are (row, column, count); equal pairs are added up, counts below 1 left out."""
    counts: dict[Pair, int] = defaultdict(int)
    for row, column, count in cells:
        if count > 0:
            counts[row, column] += count
    ordered = dict(sorted(counts.items()))
    weights = _residuals(ordered)
    kept_rows = _heaviest(((row, weight) for (row, _), weight in weights.items()), rows)
    kept_columns = _heaviest(((column, weight) for (row, column), weight in weights.items() if row in kept_rows), columns)
    inside = {pair: log1p(weight) for pair, weight in weights.items() if pair[0] in kept_rows and pair[1] in kept_columns}
    kept_rows.intersection_update({row for row, _ in inside})
    in_order = _peel(inside, kept_rows, kept_columns)
    return Arranged(
        rows=in_order[0],
        columns=in_order[1],
        counts={pair: count for pair, count in ordered.items() if pair[0] in kept_rows and pair[1] in kept_columns},
        of_rows=len({row for row, _ in ordered}),
        of_columns=len({column for _, column in ordered}),
        total=sum(ordered.values()),
    )


def _residuals(counts: Mapping[Pair, int]) -> dict[Pair, float]:
    total = sum(counts.values())
    by_row: dict[str, int] = defaultdict(int)
    by_column: dict[str, int] = defaultdict(int)
    for (row, column), count in counts.items():
        by_row[row] += count
        by_column[column] += count
    found = {}
    for (row, column), count in counts.items():
        expected = by_row[row] * by_column[column] / total
        found[row, column] = max(0.0, (count - expected) / sqrt(expected + 0.25))
    return found


def _heaviest(weights: Iterable[tuple[str, float]], most: int) -> set[str]:
    sums: dict[str, float] = defaultdict(float)
    for key, weight in weights:
        sums[key] += weight * weight
    return set(sorted(sums, key=lambda key: (-round(sums[key], _DIGITS), key))[:most])


def _peel(cells: Mapping[Pair, float], rows: set[str], columns: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    left_rows, left_columns = set(rows), set(columns)
    order_rows: list[str] = []
    order_columns: list[str] = []
    rest = dict(cells)
    while rest and any(rest.values()):
        of_rows, of_columns = _first_pair(rest)
        block_rows, block_columns = _block(of_rows, left_rows), _block(of_columns, left_columns)
        order_rows += block_rows
        order_columns += block_columns
        left_rows.difference_update(block_rows)
        left_columns.difference_update(block_columns)
        rest = {pair: weight for pair, weight in rest.items() if pair[0] in left_rows and pair[1] in left_columns}
    return (*order_rows, *sorted(left_rows)), (*order_columns, *_by_first_row(cells, order_rows, left_columns))


def _block(vector: Mapping[str, float], left: set[str]) -> list[str]:
    strongest = max(vector.values())
    inside = [key for key in vector if key in left and vector[key] >= _SHARE * strongest]
    return sorted(inside, key=lambda key: (-vector[key], key))


def _by_first_row(cells: Mapping[Pair, float], rows: list[str], columns: set[str]) -> list[str]:
    """Columns that no block took stand in the order of the first row that has them."""
    place = {row: position for position, row in enumerate(rows)}
    first = dict.fromkeys(columns, len(rows))
    for (row, column), weight in cells.items():
        if column in first and weight > 0:
            first[column] = min(first[column], place.get(row, len(rows)))
    return sorted(columns, key=lambda column: (first[column], column))


def _first_pair(cells: Mapping[Pair, float]) -> tuple[dict[str, float], dict[str, float]]:
    of_columns = dict.fromkeys(sorted({column for _, column in cells}), 1.0)
    of_rows = dict.fromkeys(sorted({row for row, _ in cells}), 0.0)
    for _ in range(ROUNDS):
        of_rows = dict.fromkeys(of_rows, 0.0)
        for (row, column), weight in cells.items():
            of_rows[row] += weight * of_columns[column]
        _normalise(of_rows)
        of_columns = dict.fromkeys(of_columns, 0.0)
        for (row, column), weight in cells.items():
            of_columns[column] += weight * of_rows[row]
        _normalise(of_columns)
    return _rounded(of_rows), _rounded(of_columns)


def _normalise(vector: dict[str, float]) -> None:
    length = sqrt(sum(value * value for value in vector.values()))
    if length:
        for key in vector:
            vector[key] /= length


def _rounded(vector: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, _DIGITS) for key, value in vector.items()}
