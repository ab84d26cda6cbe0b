"""The real log as the state that looks are scored by, in an engine: the features are the product's own (`rank.features`)."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.evaluate.bpic13 import Look, Row
from custodes.rank import features

Values = dict[str, list[tuple[int, ...]]]


class State:
    """Every row of the log, from the first on: what was known before each look."""

    def __init__(self, engine: Engine, rows: Sequence[Row]) -> None:
        self._engine = engine
        self._times: dict[str, list[datetime]] = defaultdict(list)
        self._products: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            self._times[row.case].append(row.time)
            self._products[row.case].append(row.product)
        columns: dict[str, Sequence[object]] = {
            "n": range(len(rows)),
            "time": pa.array([row.time.replace(tzinfo=None) for row in rows], pa.timestamp("us")),
            "subject": [row.case for row in rows],
            "human": [row.actor for row in rows],
            "team": [row.team for row in rows],
            "thing": [row.product for row in rows],
            "queued": [int(row.queued) for row in rows],
        }
        engine.table("score_rows", pa.table({name: pa.array(values) for name, values in columns.items()}))

    def values(self, groups: Mapping[str, Sequence[Look]]) -> Values:
        """Return group → the features of each look, in order."""
        asked = [look for looks in groups.values() for look in looks]
        columns: dict[str, Sequence[object]] = {
            "ask": range(len(asked)),
            "time": pa.array([look.time.replace(tzinfo=None) for look in asked], pa.timestamp("us")),
            "subject": [look.case for look in asked],
            "human": [look.actor for look in asked],
            "thing": [self._product(look) for look in asked],
        }
        self._engine.table("score_asked", pa.table({name: pa.array(values) for name, values in columns.items()}))
        features.build(self._engine)
        found = features.rows(self._engine)
        values: Values = {}
        start = 0
        for name, looks in groups.items():
            values[name] = [found[ask] for ask in range(start, start + len(looks))]
            start += len(looks)
        return values

    def _product(self, look: Look) -> str | None:
        """Return the product of the case's latest row before the look."""
        before = bisect_left(self._times[look.case], look.time)
        return self._products[look.case][before - 1] if before else None


@contextmanager
def state_of(rows: Sequence[Row]) -> Iterator[State]:
    """Open an engine over the log's rows and close it again."""
    with TemporaryDirectory(prefix="custodes-evaluate-") as folder:
        engine = open_engine(memory_mb=2_000, threads=2, directory=Path(folder))
        try:
            yield State(engine, rows)
        finally:
            engine.close()


def only(values: Sequence[Sequence[int]], names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the columns named."""
    places = [features.FEATURES.index(name) for name in names]
    return [tuple(row[place] for place in places) for row in values]
