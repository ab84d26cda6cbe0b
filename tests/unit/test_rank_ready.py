"""The library of the trained score is imported early where it will be needed, and only there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="scikit-learn (custodes[rank]) is not installed")

ASKED = """
import sys, threading
from pathlib import Path
from custodes.engines.duckdb_engine import open_engine
from custodes.rank import score

looks, days, method, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
with open_engine(memory_mb=200, threads=1, directory=folder) as engine:
    step = f"timestamp '2026-03-01 00:00:00' + to_hours(cast({days} * 24 * n / {looks - 1} as integer))"
    engine.run(f"create table looks as select {step} as time from range({looks}) as r(n)")
    score.make_ready(engine, method)
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
print("sklearn.ensemble" in sys.modules)
"""


@pytest.mark.parametrize(
    ("looks", "days", "method", "imported"),
    [(700, 20, "auto", True), (700, 20, "cold", False), (700, 10, "auto", False), (100, 20, "auto", False)],
)
def test_the_library_is_imported_early_only_where_something_will_be_learned(
    tmp_path: Path, looks: int, days: int, method: str, imported: bool
) -> None:
    arguments = [sys.executable, "-c", ASKED, str(looks), str(days), method, str(tmp_path)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.strip() == str(imported)
