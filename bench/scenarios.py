"""Every scenario of the handbook in simulated companies, half of them beside each other in one, and what is found of them.

Two companies a seed, of 200 people, 90 days and about a million accesses each (size `small`), so that the episodes compete for the
same 20 places a week. S11 and S17 need 400 days and stand in a third, of 120 people (size `long`). What is done is kept
in the file of `--out`, so that a run that was stopped goes on where it was.

    python bench/scenarios.py --seeds 3-7 [--jobs 2] [--out FILE] [--only a,b] [--size demo]     JSON on stdout
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from custodes.cli.load import load_folder
from custodes.evaluate import scenarios

COMPANIES = {
    "a": "S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S12 S13 S14 S15 S16",
    "b": "S18 S19 S20 S21 S22 S23 S24 S25 S26 S27 S28 S29 S30 F01",
    "long": "S11 S17",
}


def main() -> int:
    """Judge what is not yet in the file, then print the figures over all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="3-7", help="3-7, or 4")
    parser.add_argument("--level", default="medium", choices=("easy", "medium", "hard"))
    parser.add_argument("--size", default="small", help="of the companies a and b: small, or demo, a fifth of it")
    parser.add_argument("--twins", type=int, default=1, help="variants of each innocent look-alike")
    parser.add_argument("--only", default=",".join(COMPANIES), help="some of a, b, long")
    parser.add_argument("--jobs", type=int, default=1, help="companies at a time")
    parser.add_argument("--out", type=Path, help="keeps what is done")
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    kept = json.loads(asked.out.read_text())["worlds"] if asked.out and asked.out.exists() else []
    done = {(world["scenario"], world["seed"], world["level"]) for world in kept}
    waiting = [
        (seed, name)
        for seed in range(int(first), int(last or first) + 1)
        for name in asked.only.split(",")
        if (COMPANIES[name].replace(" ", "+"), seed, asked.level) not in done
    ]
    with ThreadPoolExecutor(asked.jobs) as pool:  # each company is judged in a process of its own
        for judged in as_completed([pool.submit(_judge, seed, name, asked) for seed, name in waiting]):
            kept += judged.result()
            if asked.out:
                asked.out.write_text(json.dumps(_figures(kept, asked), indent=1) + "\n")
    print(json.dumps(_figures(kept, asked), indent=1))
    return 0


def _judge(seed: int, name: str, asked: argparse.Namespace) -> list[dict]:
    """Return the figures of one company."""
    size = asked.size if name != "long" else "long"
    found = scenarios.evaluate(
        load_folder, only=COMPANIES[name].split(), seeds=[seed], level=asked.level, size=size, twins=asked.twins, together=True
    )
    sys.stderr.write(f"seed {seed}, company {name}: {found['overall']['found']}\n")
    return list(found["worlds"])


def _figures(worlds: list[dict], asked: argparse.Namespace) -> dict:
    worlds = sorted(worlds, key=lambda world: (world["seed"], world["scenario"]))
    return {
        "schema": "custodes.evaluation/1",
        "benchmark": "scenarios",
        "seeds": sorted({world["seed"] for world in worlds}),
        "level": asked.level,
        "size": f"{asked.size}; S11 and S17 long",
        "twins": asked.twins,
        "together": True,
        "goals": scenarios.GOALS,
        **scenarios.totals(worlds),
        "worlds": worlds,
    }


if __name__ == "__main__":
    raise SystemExit(main())
