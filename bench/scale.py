"""How long explaining and judging take on 2, 10 and 20 million accesses with 12 million tickets for 20, and how that grows.

A home is written the way ingest and load leave one: rows of the product's own schemas, by its own writer of parts, in chunks of a
day; only ledger leaves and sealed raw lines are left out, which neither step reads. It is kept under `--keep` and used again.
Each measurement is a process of its own over the product's own code. `explain`: views, then every template and the verdicts.
`watch`: the whole street of `custodes watch` (views, templates, score, rings, rules, order). The baseline, in a process of its own
as well, is one full scan of the stored accesses and touches in the same engine.

    python bench/scale.py --keep DIR --explain 2000000 20000000 --watch 10000000     JSON on stdout
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from child import cost

STAGES = ("explain", "watch", "scan")


def measure(stage: str, home: Path) -> dict[str, object]:
    """Run one stage in a process of its own; return what it printed with wall, CPU and peak memory of the whole process."""
    wall, cpu, peak, out, status = cost([sys.executable, str(Path(__file__).with_name("scale_run.py")), stage, str(home)])
    if status:
        raise SystemExit(f"{stage} over {home} ended with {status}")
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "peak_mb": round(peak / 1024), **json.loads(out)}


def home_of(keep: Path, accesses: int, seed: int) -> Path:
    """Return the kept home of this size, built if it is not there."""
    home = keep / f"home-{accesses}-{seed}"
    if not (home / "built").exists():
        began = time.monotonic()
        made = [sys.executable, str(Path(__file__).with_name("scale_home.py")), str(home), str(accesses), str(seed)]
        subprocess.run(made, check=True, stdout=sys.stderr)
        print(f"built {home} in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return home


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="folder in which homes are kept; about 0.2 GB a million accesses")
    parser.add_argument("--explain", type=int, nargs="*", default=[], metavar="N", help="accesses over which to explain")
    parser.add_argument("--watch", type=int, nargs="*", default=[], metavar="N", help="accesses over which to run everything")
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    runs: list[dict[str, object]] = []
    for stage, sizes in (("explain", given.explain), ("watch", given.watch)):
        scans = {size: measure("scan", home_of(given.keep, size, given.seed)) for size in sizes}
        found = {size: measure(stage, home_of(given.keep, size, given.seed)) for size in sizes}
        for size in sizes:
            ratio = float(str(found[size]["cpu_s"])) / max(float(str(scans[size]["scan_cpu_s"])), 0.001)
            runs.append({"stage": stage, **found[size], "scan": scans[size], "cpu_ratio_to_scan": round(ratio, 1)})
        if len(sizes) > 1:
            low, high = min(sizes), max(sizes)
            growth = float(str(found[high]["cpu_s"])) / float(str(found[low]["cpu_s"]))
            runs.append({"stage": stage, "growth": f"{low} to {high} accesses", "times_the_cpu": round(growth, 2)})
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    print(json.dumps({"bench": "scale", "seed": given.seed, "machine": machine, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
