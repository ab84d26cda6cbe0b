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
)


def main() -> int:
    """Run them all; return 1 if one fails."""
    failed = 0
    for script, *arguments in QUICK:
        print(f"— {script} —", flush=True)
        failed |= subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
