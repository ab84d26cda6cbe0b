"""Fixtures of the property tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.engines.duckdb_engine import DuckDBEngine, open_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    """Return an engine for the small worlds of one file; its folder is not a test's own, for Hypothesis asks many times."""
    with tempfile.TemporaryDirectory() as folder, open_engine(memory_mb=512, threads=1, directory=Path(folder)) as opened:
        yield opened
