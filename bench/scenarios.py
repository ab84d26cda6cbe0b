"""Every scenario of the handbook in simulated companies, half of them beside each other in one, and what is found of them.

Two companies a seed, of 200 people and 90 days each (size `demo`), so that the episodes compete for the same 20 places a week. S11
and S17 need 400 days and are left out unless `--long` is given; then each is judged alone, in its own size. Each company that is
done is kept in the file of `--out`, so that a run that was stopped goes on where it was.

    python bench/scenarios.py --seeds 3-7 [--level medium] [--out FILE] [--only a,b]     JSON on stdout
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from custodes.cli.load import load_folder
from custodes.evaluate import scenarios

COMPANIES = {
    "a": "S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S12 S13 S14 S15 S16",
    "b": "S18 S19 S20 S21 S22 S23 S24 S25 S26 S27 S28 S29 S30 F01",
}
LONG = {"S11": "S11", "S17": "S17"}


def main() -> int:
    """Judge what is not yet in the file, then print the figures over all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="3-7", help="3-7, or 4")
    parser.add_argument("--level", default="medium", choices=("easy", "medium", "hard"))
    parser.add_argument("--twins", type=int, default=1)
    parser.add_argument("--only", default=",".join(COMPANIES), help="a, b, or both")
    parser.add_argument("--long", action="store_true", help="also S11 and S17, 400 days each")
    parser.add_argument("--out", type=Path, help="keeps what is done")
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    worlds = json.loads(asked.out.read_text())["worlds"] if asked.out and asked.out.exists() else []
    done = {(world["scenario"], world["seed"], world["level"]) for world in worlds}
    groups = {name: COMPANIES[name] for name in asked.only.split(",") if name} | (LONG if asked.long else {})
    for seed in seeds:
        for name, group in groups.items():
            if (group.replace(" ", "+"), seed, asked.level) in done:
                continue
            size = None if name in LONG else "demo"
            figures = scenarios.evaluate(
                load_folder, only=group.split(), seeds=[seed], level=asked.level, size=size, twins=asked.twins, together=True
            )
            worlds += figures["worlds"]
            sys.stderr.write(f"seed {seed}, company {name}: {figures['overall']['found']}\n")
            if asked.out:
                asked.out.write_text(json.dumps(_figures(worlds, asked.level, asked.twins), indent=1) + "\n")
    print(json.dumps(_figures(worlds, asked.level, asked.twins), indent=1))
    return 0


def _figures(worlds: list[dict], level: str, twins: int) -> dict:
    worlds = sorted(worlds, key=lambda world: (world["seed"], world["scenario"]))
    return {
        "schema": "custodes.evaluation/1",
        "benchmark": "scenarios",
        "seeds": sorted({world["seed"] for world in worlds}),
        "level": level,
        "size": "demo",
        "twins": twins,
        "together": True,
        "goals": scenarios.GOALS,
        **scenarios.totals(worlds),
        "worlds": worlds,
    }


if __name__ == "__main__":
    raise SystemExit(main())
