"""The engine's features are those of a plain reading of the rows, in small random worlds with many ties."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from feature_state import Row, values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes.engine import Engine
from custodes.engines.duckdb_engine import open_engine
from custodes.rank import features

BEGAN = datetime(2026, 3, 2)  # noqa: DTZ001  # engine times are UTC without a zone
ROW = st.builds(
    Row,
    st.integers(0, 12),
    st.sampled_from(["s", "t", "u"]),
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["p", "q"]),
    st.integers(0, 1),
)
ASKED = st.tuples(
    st.integers(0, 14), st.sampled_from(["s", "t", "u", "never"]), st.sampled_from(["a", "b", "new"]), st.sampled_from(["p", "q"])
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_engine(memory_mb=512, threads=1, directory=tmp_path_factory.mktemp("engine")) as opened:
        yield opened


def _time(step: int) -> datetime:
    return BEGAN + timedelta(minutes=step)


def _fill(engine: Engine, rows: list[Row], asked: list[tuple[int, str, str, str]]) -> None:
    text, moment = pa.string(), pa.timestamp("us")
    engine.table(
        "score_rows",
        pa.table(
            {
                "n": pa.array(range(len(rows)), pa.int64()),
                "time": pa.array([_time(row.time) for row in rows], moment),
                **{name: pa.array([getattr(row, name) for row in rows], text) for name in ("subject", "human", "team", "thing")},
                "queued": pa.array([row.queued for row in rows], pa.int32()),
            }
        ),
    )
    engine.table(
        "score_asked",
        pa.table(
            {
                "ask": pa.array(range(len(asked)), pa.int64()),
                "time": pa.array([_time(ask[0]) for ask in asked], moment),
                **{
                    name: pa.array([ask[place] for ask in asked], text)
                    for place, name in enumerate(("subject", "human", "thing"), 1)
                },
            }
        ),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, max_size=40), st.lists(ASKED, min_size=1, max_size=8))
def test_engine_and_plain_reading_agree(engine: Engine, rows: list[Row], asked: list[tuple[int, str, str, str]]) -> None:
    rows.sort(key=lambda row: row.time)
    _fill(engine, rows, asked)
    features.build(engine)
    found = features.rows(engine)
    for ask, look in enumerate(asked):
        expected = values(rows, *look)
        assert dict(zip(features.FEATURES, found[ask], strict=True)) == expected
