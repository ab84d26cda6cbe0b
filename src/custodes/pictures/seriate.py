"""Which rows and columns of a large matrix are shown, and in which order: those who share subjects lie together.

1. Everything is measured against chance: residual `(n − e) / √(e + ¼)`, of which only the positive part counts; of a cell against
   independence, and of a pair of rows by the number of columns that they share. (Of cells alone the rows with one often repeated
   look come first, and a group that spreads few looks over many subjects is lost among them.)
2. Rows named by `lead` are kept first, then those with the closest partner, then those with the strongest cells.
3. The kept rows fall into blocks: the leading vector of the squared residuals of their pairs, found by power iteration in plain
   Python, rounded to nine digits, names the rows of the strongest block; the same is repeated on the rest. It has no sign to flip
   and does not depend on a machine's linear algebra.
4. Block by block the columns are taken that most of its rows share, so that blocks lie along the diagonal. Ties go by id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log1p, sqrt
from typing import Final

ROUNDS: Final = 200
_DIGITS: Final = 9
_SHARE: Final = 0.15
"""Part of the strongest entry of the leading vector from which on a row belongs to its block."""
_CROWD: Final = 60
"""A column with more rows than this says nothing about pairs."""
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


@dataclass(frozen=True, slots=True)
class Lead:
    """What stands in the corner whatever else is there: the rows and columns of which the text speaks first."""

    rows: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()


def arrange(cells: Iterable[tuple[str, str, int]], *, rows: int = 40, columns: int = 70, lead: Lead | None = None) -> Arranged:
    """Choose and order. Cells are (row, column, count); equal pairs are added up, counts below 1 left out."""
    counts: dict[Pair, int] = defaultdict(int)
    for row, column, count in cells:
        if count > 0:
            counts[row, column] += count
    ordered = dict(sorted(counts.items()))
    weights = {pair: round(log1p(weight), _DIGITS) for pair, weight in _residuals(ordered).items()}
    first = lead or Lead()
    close = _closeness(ordered)
    kept = _keep(weights, close, rows, first)
    blocks = _blocks(kept, close, first)
    in_order = _columns(blocks, weights, columns, first)
    shown = _rows(blocks, in_order, weights)
    inside = {pair: count for pair, count in ordered.items() if pair[0] in shown and pair[1] in in_order}
    return Arranged(
        rows=tuple(shown),
        columns=tuple(in_order),
        counts=inside,
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
    return {pair: _residual(count, by_row[pair[0]] * by_column[pair[1]] / total) for pair, count in counts.items()}


def _residual(count: int, expected: float) -> float:
    return max(0.0, (count - expected) / sqrt(expected + 0.25))


def _closeness(counts: Mapping[Pair, int]) -> dict[Pair, float]:
    """Return for each pair of rows that share columns how far they share more than chance would have it."""
    seen: dict[str, list[str]] = defaultdict(list)
    wide: dict[str, int] = defaultdict(int)
    for row, column in counts:
        seen[column].append(row)
        wide[row] += 1
    shared: dict[Pair, int] = defaultdict(int)
    for together in seen.values():
        if len(together) <= _CROWD:
            for pair in combinations(sorted(together), 2):
                shared[pair] += 1
    chance = sum(len(together) * (len(together) - 1) for together in seen.values()) / max(1, len(counts)) ** 2
    return {pair: round(_residual(count, wide[pair[0]] * wide[pair[1]] * chance), _DIGITS) for pair, count in shared.items()}


def _keep(weights: Mapping[Pair, float], close: Mapping[Pair, float], most: int, lead: Lead) -> list[str]:
    strongest: dict[str, float] = defaultdict(float)
    partner: dict[str, float] = defaultdict(float)
    for (row, _), weight in weights.items():
        strongest[row] = max(strongest[row], weight)
    for pair, value in close.items():
        for row in pair:
            partner[row] = max(partner[row], value)
    rows = {row for row, _ in weights}
    return sorted(rows, key=lambda row: (row not in lead.rows, -partner[row], -strongest[row], row))[:most]


def _blocks(kept: Sequence[str], close: Mapping[Pair, float], lead: Lead) -> list[list[str]]:
    """Return the kept rows in blocks, the leading one first, then by closeness; rows without a partner are blocks of their own."""
    leading = [row for row in kept if row in lead.rows]
    left = [row for row in kept if row not in lead.rows]
    blocks = [leading] if leading else []
    while left:
        inside = set(left)
        squares = {pair: value * value for pair, value in close.items() if value > 0 and inside.issuperset(pair)}
        block = _strongest(squares) if squares else left[:1]
        blocks.append(block)
        left = [row for row in left if row not in block]
    return blocks


def _strongest(squares: Mapping[Pair, float]) -> list[str]:
    """Return the rows of the leading vector. (The shift by the largest entry keeps two partners from swinging for ever.)"""
    vector = dict.fromkeys(sorted({row for pair in squares for row in pair}), 1.0)
    shift = max(squares.values())
    for _ in range(ROUNDS):
        turned = {row: shift * value for row, value in vector.items()}
        for (one, two), value in squares.items():
            turned[one] += value * vector[two]
            turned[two] += value * vector[one]
        length = sqrt(sum(value * value for value in turned.values()))
        vector = {row: value / length for row, value in turned.items()}
    vector = {row: round(value, _DIGITS) for row, value in vector.items()}
    least = _SHARE * max(vector.values())
    return sorted((row for row, value in vector.items() if value >= least), key=lambda row: (-vector[row], row))


def _columns(blocks: Sequence[Sequence[str]], weights: Mapping[Pair, float], most: int, lead: Lead) -> list[str]:
    """Take columns block by block; a block leaves one for each later row, but may always take half of what is left."""
    of_row: dict[str, list[str]] = defaultdict(list)
    for row, column in weights:
        of_row[row].append(column)
    taken: dict[str, None] = {}
    later = sum(map(len, blocks))
    for block in blocks:
        later -= len(block)
        left = most - len(taken)
        room = max(left - later, -(-left // 2))
        taken.update(dict.fromkeys(_shared(block, of_row, weights, taken, lead)[:room]))
    return list(taken)


def _shared(
    block: Sequence[str], of_row: Mapping[str, list[str]], weights: Mapping[Pair, float], taken: Collection[str], lead: Lead
) -> list[str]:
    readers: dict[str, int] = defaultdict(int)
    strength: dict[str, float] = defaultdict(float)
    for row in block:
        for column in of_row[row]:
            if column not in taken:
                readers[column] += 1
                strength[column] += weights[row, column]
    return sorted(
        readers, key=lambda column: (column not in lead.columns, -readers[column], -round(strength[column], _DIGITS), column)
    )


def _rows(blocks: Sequence[Sequence[str]], columns: Sequence[str], weights: Mapping[Pair, float]) -> list[str]:
    """Order the rows of each block by what they hold in the columns shown; rows that hold nothing there are not shown."""
    inside = set(columns)
    held: dict[str, float] = defaultdict(float)
    present = set()
    for (row, column), weight in weights.items():
        if column in inside:
            held[row] += weight
            present.add(row)
    return [row for block in blocks for row in sorted(block, key=lambda row: (-round(held[row], _DIGITS), row)) if row in present]
