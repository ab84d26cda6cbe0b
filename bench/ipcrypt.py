"""How fast are pseudonyms of addresses? Whole columns, text to text, against the PyPI package `ipcrypt` in the same run.

    python bench/ipcrypt.py [--addresses 20000] [--repeats 3]        JSON on stdout

All addresses are distinct and random, which is the worst case for both. The package is called once for each address: it has no
other way. Goals: deterministic at least 5 times, prefix-preserving (IPv4) at least 50 times as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable

sys.path = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]  # this file is no package  # noqa: PTH100, PTH120

from ipcrypt import deterministic, nd, ndx, pfx  # noqa: E402  # after this folder has left the path

from custodes.minimise import ipcrypt as ours  # noqa: E402  # likewise


def seconds_each(work: Callable[[], object], count: int) -> float:
    """Return seconds for one address."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    dice, key = random.Random(1), bytes(range(32))
    words = [".".join(str(dice.randrange(256)) for _ in range(4)) for _ in range(options.addresses)]
    few = words[: max(1, options.addresses // 20)]
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "deterministic": (lambda: ours.deterministic(words, key[:16]), lambda: [deterministic.encrypt(w, key[:16]) for w in few]),
        "prefix_preserving": (lambda: ours.prefix_preserving(words, key), lambda: [pfx.encrypt(w, key) for w in few]),
        "ndx": (lambda: ours.ndx(words, key), lambda: [ndx.encrypt(w, key) for w in few]),
        "nd": (lambda: ours.nd(few, key[:16]), lambda: [nd.encrypt(w, key[:16]) for w in few]),
    }
    figures: dict[str, object] = {}
    for name, (mine, theirs) in pairs.items():
        count = len(few) if name == "nd" else len(words)
        runs = [(seconds_each(mine, count), seconds_each(theirs, len(few))) for _ in range(options.repeats)]
        ours_us, theirs_us = (statistics.median(run[side] for run in runs) * 1e6 for side in (0, 1))
        ratio = statistics.median(run[1] / run[0] for run in runs)
        figures[name] = {"custodes_us": round(ours_us, 2), "package_us": round(theirs_us, 2), "ratio": round(ratio, 1)}
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    document = {"schema": "custodes.bench/1", "bench": "ipcrypt", "addresses": len(words), "repeats": options.repeats}
    print(json.dumps(document | {"machine": machine, "figures": figures}, indent=1))


if __name__ == "__main__":
    main()
