"""How long a micro-batch takes on warm state: `custodes watch --follow` over a home from which the last accesses were held back.

The home of `bench/scale_home.py` is copied; the last accesses are taken out of the store and fed again in batches of 1,000. Printed
are milliseconds per batch (from the stored part to what is told, and what of it is explaining), CPU beside wall, and the ratio per
access to a full run. What was told must be what a full run over the whole home tells by the same rules of the same accesses: a
difference ends the benchmark.

    python bench/follow.py --accesses 2000000 [--home DIR] [--batches 20]     JSON on stdout
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SIZE = 1_000


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def hold_back(home: Path, batches: int) -> list[list[object]]:
    """Take the last accesses out of the store; return them as parts, in batches that are to be stored one after the other."""
    from custodes.store.manifest import read_manifest, write_manifest

    folder = home / "accesses"
    manifest = read_manifest(folder)
    last = max(manifest.parts, key=lambda part: part.last)
    rows, touches = (
        pq.read_table(folder / last.accesses, partitioning=None),
        pq.read_table(folder / last.touches, partitioning=None),
    )
    order = rows.take(pc.sort_indices(rows, [("time", "ascending"), ("leaf", "ascending")]))
    count = min(batches * SIZE, len(order))
    held = order.slice(len(order) - count)
    parts: list[list[object]] = []
    for number in range(0, count, SIZE):
        piece = held.slice(number, SIZE)
        parts.append([_part(folder, last, piece, touches, f"batch-{number // SIZE}")])
    rest = order.slice(0, len(order) - count)
    others = [part for part in manifest.parts if part is not last]
    manifest.parts = [*others, _part(folder, last, rest, touches, "rest")] if len(rest) else others
    write_manifest(folder, manifest)
    return parts


def _part(folder: Path, like, rows: pa.Table, touches: pa.Table, name: str):  # type: ignore[no-untyped-def]  # a part of the store
    own = touches.filter(pc.is_in(touches["leaf"], value_set=rows["leaf"].combine_chunks()))
    files = [f"{Path(like.accesses).parent}/{name}-{kind}.parquet" for kind in ("accesses", "touches")]
    for file, table in zip(files, (rows, own), strict=True):
        pq.write_table(table, folder / file, compression="zstd")
    times = pc.cast(rows["time"], pa.int64())
    return msgspec.structs.replace(
        like,
        accesses=files[0],
        touches=files[1],
        rows=len(rows),
        touch_rows=len(own),
        first=pc.min(times).as_py(),
        last=pc.max(times).as_py(),
        size=(folder / files[0]).stat().st_size,
    )


def feed(home: Path, batches: list[list[object]]) -> dict[str, object]:
    """Follow, store one batch after the other, compare with a full run; return the figures."""
    from custodes.follow import Follow
    from custodes.following import ground
    from custodes.home import Home
    from custodes.store.manifest import read_manifest, write_manifest

    wall, cpu, explaining, told = [], [], [], {}
    with Home.open(home) as opened:
        began, used = time.perf_counter(), _cpu()
        following = Follow(ground(opened))
        start_wall, start_cpu, stood = time.perf_counter() - began, _cpu() - used, following.stands
        for parts in batches:
            manifest = read_manifest(home / "accesses")
            manifest.parts = [*manifest.parts, *parts]  # type: ignore[list-item]  # parts of the store
            write_manifest(home / "accesses", manifest)
            began, used = time.perf_counter(), _cpu()
            news = following.take(following.waiting())
            wall.append((time.perf_counter() - began) * 1000)
            cpu.append((_cpu() - used) * 1000)
            explaining.append(news.explaining_s * 1000)
            told.update({found.finding: found for found in news.findings})
        stands = {name: found for one in following.standing() for name, found in one.findings.items()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        following.close()
        full_cpu, accesses, whole = _full(opened)
    last = {name: found for name, found in told.items() if name in stands}
    if stands != whole or not last or any(whole[name] != found for name, found in last.items()):
        raise SystemExit("what was told is not what a full run tells")
    fed = sum(part.rows for parts in batches for part in parts)  # type: ignore[attr-defined]  # parts of the store
    return {
        "accesses": accesses,
        "batches": len(wall),
        "batch_p50_ms": round(statistics.median(wall), 1),
        "batch_p95_ms": round(sorted(wall)[int(len(wall) * 0.95)], 1),
        "batch_p50_cpu_ms": round(statistics.median(cpu), 1),
        "explain_p50_ms": round(statistics.median(explaining), 1),
        "told": len(told),
        "stood_before": stood,
        "peak_mb": peak,
        "start_wall_s": round(start_wall, 1),
        "start_cpu_s": round(start_cpu, 1),
        "full_cpu_s": round(full_cpu, 1),
        "cpu_per_access_to_full": round(sum(cpu) / 1000 / fed * accesses / full_cpu, 2),
    }


def _full(home):  # type: ignore[no-untyped-def]  # a home
    """Return CPU seconds, accesses, and what a full run tells by the rules that stand on single looks, each group of it."""
    from custodes import explain, rule, watching

    used, rooms = _cpu(), watching.rooms(home)
    rooms.build_views(rooms.engine, None, None, None)
    explain.run(rooms.engine, rooms.templates, rooms.policy, rooms.loaded)
    single = [entry for entry in rooms.rules if entry.reach == "look"]
    found = rule.run_shelf(rooms.engine, single, rooms.loaded).findings
    spent, accesses = _cpu() - used, int(str(rooms.engine.rows("SELECT count(*) FROM stored_accesses")[0][0]))
    rooms.engine.close()
    return spent, accesses, {one.finding: one for one in found}


def measure(accesses: int, home: Path | None, seed: int, batches: int) -> dict[str, object]:
    """Build a home, or copy `home`, and feed it."""
    with tempfile.TemporaryDirectory(prefix="custodes-bench-") as scratch:
        copy = Path(scratch) / "home"
        if home:
            shutil.copytree(home, copy)
        else:
            builder = Path(__file__).with_name("scale_home.py")
            subprocess.run(
                [sys.executable, str(builder), str(copy), str(accesses), str(seed)], check=True, stdout=subprocess.DEVNULL
            )
        return feed(copy, hold_back(copy, batches))


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accesses", type=int, default=2_000_000)
    parser.add_argument("--home", type=Path, help="a home of scale_home.py; it is copied, not changed")
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=11)
    given = parser.parse_args()
    figures = measure(given.accesses, given.home, given.seed, given.batches)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    print(json.dumps({"bench": "follow", "seed": given.seed, "size": SIZE, "machine": machine, **figures}, indent=1))


if __name__ == "__main__":
    main()
