"""`make demo-guard` shows what it says: refusals, tricks that get nothing, and the one release that a ticket covers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pg_cluster import versions

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "demo_guard.py"


MISSING = not versions() and not os.environ.get("CUSTODES_REQUIRE_POSTGRES")


@pytest.mark.skipif(MISSING, reason="PostgreSQL's server programs are not installed here")
def test_every_scene_ends_as_it_must_and_the_address_is_in_none() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every scene ended as it must" in done.stdout
    assert "198.51.100.0/24" in done.stdout
    assert "203.0.113.77" not in done.stdout + done.stderr
    watch = " ".join(done.stdout.partition("$ custodes watch")[2].split())
    assert "asked the guard for IP address data of 1 subject 2 times" in watch  # the auditor, of the journalist
    assert "handed in an approval for" in watch  # her own, and her colleague's


def test_without_the_programs_it_ends_with_2_and_names_the_package() -> None:
    without = "import pg_cluster, runpy, sys; pg_cluster.versions = list; runpy.run_path(sys.argv[1], run_name='__main__')"
    made = Path(__file__).resolve().parents[1] / "made"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({str(made)!r}); {without}", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "apt-get install postgresql" in done.stderr
