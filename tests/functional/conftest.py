"""Fixtures of the functional tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from approval_stage import Stage


@pytest.fixture(scope="session")
def erasing_home(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a home with looks at people and approvers of erasures, built once and never written to."""
    stage = Stage.built(tmp_path_factory.mktemp("erasing"))
    stage.home.close()
    return stage


@pytest.fixture
def stage(erasing_home: Stage, tmp_path: Path) -> Iterator[Stage]:
    """Return a copy of that home, open."""
    copy = erasing_home.copied(tmp_path / "stage")
    yield copy
    copy.home.close()
