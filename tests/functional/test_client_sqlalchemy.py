"""The SQLAlchemy client's own tests, run as its distribution would, against a private PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pg_cluster import running

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "sqlalchemy"


def test_the_client_s_own_tests_pass_with_a_real_server() -> None:
    with running() as cluster:
        url = f"postgresql+psycopg://{cluster.owner}@127.0.0.1:{cluster.port}/postgres"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--rootdir", str(CLIENT)],
            cwd=CLIENT,
            env={**os.environ, "CUSTODES_CLIENT_POSTGRES": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
