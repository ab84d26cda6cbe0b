"""Quick benchmarks, one after the other: each prints JSON with ratios against a baseline measured in the same run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
QUICK = (
    ["ledger.py"],
    ["ingest.py"],
    ["watch.py", "--accesses", "200000"],
    ["verify.py"],
    ["index.py", "--keys", "10000", "100000"],
    ["guard_decisions.py"],
    ["guard_serve.py"],
    ["guard_views.py", "--tables", "200"],
    ["ipcrypt.py"],
)
_CANNOT = 2
"""A benchmark ends so without what it needs (PostgreSQL's programs): said, and not taken for a failure."""


def main() -> int:
    """Run them all; return 1 if one fails."""
    failed = False
    for script, *arguments in QUICK:
        print(f"— {script} —", flush=True)
        code = subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode
        failed |= code not in {0, _CANNOT}
        if code == _CANNOT:
            print(f"not run: {script}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
