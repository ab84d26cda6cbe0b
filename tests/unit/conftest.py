"""Fixtures of the unit tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gate_stage import GateStage

from custodes.home import Home


@pytest.fixture(scope="session")
def gate_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a home with a gate, built once and never written to."""
    folder = tmp_path_factory.mktemp("gate")
    GateStage.built(folder).home.close()
    return folder


@pytest.fixture
def stage(gate_home: Path, tmp_path: Path) -> Iterator[GateStage]:
    """Return a gate over a copy of that home."""
    shutil.copytree(gate_home, tmp_path, dirs_exist_ok=True)
    made = GateStage(tmp_path, Home.open(tmp_path / "home"))
    yield made
    made.home.close()
