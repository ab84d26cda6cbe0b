"""Fixtures for all tests. Foreign data is never part of the project: tests that need it skip with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("gate", derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of foreign logs and vectors (`CUSTODES_DATA`, or `../shared/data` beside the checkout), or skip."""
    folder = Path(os.environ.get("CUSTODES_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("foreign logs and vectors are not here: set CUSTODES_DATA to their folder")
    return folder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Keep what is built once for a file on one worker, see `one_worker`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from one_worker import ByFile

    return ByFile(config, log)
