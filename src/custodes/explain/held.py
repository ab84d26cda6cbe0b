"""Rows held in memory and found by key: what a few looks are joined with, without reading the millions that they are not.

A table of an engine is read from end to end for every question; here the keys lie sorted beside the rows, so that a question costs
what it finds. Rows that come later are held apart (`Grown`) and cost as little.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from custodes.engine import Engine


_NEAR: Final = 64
"""Rows of one key lie together and are few: their end is looked for this near first."""
_CHAPTERS: Final = 1 << 13


class Held:
    """The rows of one SELECT, found by whole-number keys."""

    def __init__(self, engine: Engine, select: str, keys: Mapping[str, str]) -> None:
        """`keys`: name of a key → the expression over the rows that gives it; rows where it is null are not found by it."""
        engine.run(f"CREATE OR REPLACE TABLE holding AS {select}")
        self.rows = engine.fetch("SELECT * FROM holding").unify_dictionaries().combine_chunks()
        self._keys = {name: _Key(*_sorted(engine, expression)) for name, expression in keys.items()}
        engine.run("DROP TABLE holding")

    def find(self, key: str, values: Iterable[int]) -> list[int]:
        """Return the places of rows that have one of the values, in no order."""
        return self._keys[key].find(values)

    def take(self, places: Iterable[int], columns: Sequence[str] = ()) -> pa.Table:
        """Return rows by their places, with words as texts. `columns`: those alone."""
        rows = self.rows.select(columns) if columns else self.rows
        return plain(rows.take(pa.array(places, pa.int64())))


class _Key:
    """Sorted keys and the place of each, with a table of contents: where the keys of each chapter begin."""

    def __init__(self, known: memoryview[int], places: memoryview[int]) -> None:
        self._known, self._places = known, places
        self._wide = (known[-1] // _CHAPTERS + 1) if len(known) else 1
        self._begins = [bisect_left(known, number * self._wide) for number in range(_CHAPTERS + 1)]

    def find(self, values: Iterable[int]) -> list[int]:
        known, places, begins, wide, count = self._known, self._places, self._begins, self._wide, len(self._known)
        found: list[int] = []
        for value in values:
            chapter = value // wide
            first = bisect_left(known, value, begins[chapter], begins[chapter + 1]) if chapter < _CHAPTERS else count
            if first == count or known[first] != value:
                continue
            last = first + 1
            while last < count and known[last] == value:
                last = bisect_right(known, value, last, min(last + _NEAR, count))
            found += places[first:last]
        return found


class Grown:
    """Rows that came in piece by piece, found by keys."""

    def __init__(self) -> None:
        self._pieces: list[pa.Table] = []
        self._places: dict[str, dict[object, list[int]]] = {}
        self._count = 0

    def add(self, rows: pa.Table, *keys: str) -> None:
        """Add rows, to be found by the values of some of their columns; null is no value."""
        for name in keys:
            places = self._places.setdefault(name, {})
            for number, value in enumerate(rows.column(name).to_pylist(), self._count):
                if value is not None:
                    places.setdefault(value, []).append(number)
        self._count += len(rows)
        self._pieces.append(rows)
        while len(self._pieces) > 1 and len(self._pieces[-2]) <= 2 * len(self._pieces[-1]):
            last = self._pieces.pop()
            self._pieces[-1] = pa.concat_tables([self._pieces[-1], last]).combine_chunks()

    def forget(self, key: str, values: Iterable[object]) -> None:
        """Forget the rows of some values; from now on they are known to have none, until rows are added."""
        self._places.setdefault(key, {}).update((value, []) for value in values)

    def known(self, key: str, values: Iterable[object]) -> set[object]:
        """Return those of some values of which anything was said."""
        return self._places.get(key, {}).keys() & set(values)

    def find(self, key: str, values: Iterable[object]) -> list[int]:
        """Return the places of rows that have one of the values."""
        places = self._places.get(key, {})
        return [place for value in values for place in places.get(value, ())]

    def take(self, places: Iterable[int]) -> list[pa.Table]:
        """Return rows by their places, as one table per piece that holds some."""
        ends = list(accumulate(len(piece) for piece in self._pieces))
        by_piece: dict[int, list[int]] = {}
        for place in places:
            number = bisect_right(ends, place)
            by_piece.setdefault(number, []).append(place - (ends[number - 1] if number else 0))
        return [self._pieces[number].take(pa.array(own, pa.int64())) for number, own in sorted(by_piece.items())]


def plain(table: pa.Table) -> pa.Table:
    """Return a table with codes as the texts that they stand for."""
    columns = [pc.cast(column, pa.string()) if pa.types.is_dictionary(column.type) else column for column in table.columns]
    return pa.table(columns, names=table.column_names)


def _sorted(engine: Engine, expression: str) -> tuple[memoryview[int], memoryview[int]]:
    """Return the sorted keys and the place of each, as whole numbers that lie packed in memory."""
    select = f"SELECT {expression} AS key, rowid AS place FROM holding"
    found = engine.fetch(f"SELECT key, place FROM ({select}) WHERE key IS NOT NULL ORDER BY key, place")
    return _numbers(found.column("key")), _numbers(found.column("place"))


def _numbers(column: pa.ChunkedArray) -> memoryview[int]:
    array = column.cast(pa.uint64()).combine_chunks()
    whole = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    return memoryview(whole.buffers()[1]).cast("Q")[whole.offset : whole.offset + len(whole)]
