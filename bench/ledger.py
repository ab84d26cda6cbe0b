"""How fast is the record? Ratios within one run, against the bare cost of the same hashes and of the same bytes synced.

    python bench/ledger.py [--entries 200000] [--repeats 3] [--dir DIR]      JSON on stdout
    python bench/ledger.py --full --pymerkle .venv-bench/bin/python          sizes to 10^7, and pymerkle (see `make bench-ledger`)

`append`: finished leaves of 96 bytes, one group commit (one fdatasync) a batch, the tree grown with each, signed and published once
at the end; `append_rooted` publishes after each batch. `hashing`: the same leaf and inner hashes as bare hashlib calls. `syncing`:
one write and fdatasync of the same bytes a batch. `sqlite_chain`: a hash chain in SQLite, one transaction a batch, WAL with
synchronous = FULL. `pymerkle`: its bulk append to SQLite, one transaction a batch (its settings: rollback journal, synchronous =
FULL), without a root; `pymerkle_rooted` asks for the root after each batch. All are durable batch by batch. `*_cpu` is processor
time, which other work on the machine disturbs least; the rest is time on the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from custodes.ledger.chain import Batch
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG, SIZE, Kind, commitment
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer

BATCHES = (1_000, 10_000)
SIZES = (100_000, 1_000_000)
FULL_SIZES = (*SIZES, 10_000_000)
GOALS = {
    "append_per_second, batches of 1,000": 150_000,
    "append_per_second, batches of 10,000": 400_000,
    "append_to_hashing": 2.5,
    "times pymerkle": 5,
}


def timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


@contextmanager
def fresh(place: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="custodes-bench-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def leaves(count: int) -> bytes:
    """Return finished leaves of four sources, joined."""
    chain = Batch(0, {})
    for number in range(count):
        chain.add(Kind.ACCESS, 500_000, number % 4, NO_TAG, sha256(number.to_bytes(8, "big")).digest())
    return b"".join(chain.entries)


def hashing(data: bytes) -> None:
    level = [sha256(b"\x00" + data[at : at + SIZE]).digest() for at in range(0, len(data), SIZE)]
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)] + odd


def syncing(folder: Path, size: int, batch: int) -> None:
    step = b"\x55" * (batch * (SIZE + 2))
    descriptor = os.open(folder / "bytes", os.O_RDWR | os.O_CREAT)
    for at in range(0, size * (SIZE + 2), len(step)):
        os.pwrite(descriptor, step, at)
        os.fdatasync(descriptor)
    os.close(descriptor)


def append(log: Log, data: bytes, batch: int, *, rooted: bool = False) -> None:
    offsets = list(range(0, SIZE * batch + 1, SIZE))
    for at in range(0, len(data), SIZE * batch):
        log.append_batch(data[at : at + SIZE * batch], offsets)
        if rooted:
            log.publish()
    log.publish()


def sqlite_chain(folder: Path, data: bytes, batch: int) -> None:
    base = sqlite3.connect(folder / "chain.sqlite", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute("CREATE TABLE chain (place INTEGER PRIMARY KEY, entry BLOB, link BLOB)")
    link = bytes(32)
    for at in range(0, len(data), SIZE * batch):
        rows = []
        for start in range(at, min(len(data), at + SIZE * batch), SIZE):
            entry = data[start : start + SIZE]
            link = sha256(link + entry).digest()
            rows.append((start // SIZE, entry, link))
        base.execute("BEGIN IMMEDIATE")
        base.executemany("INSERT INTO chain VALUES (?, ?, ?)", rows)
        base.execute("COMMIT")
    base.close()


PYMERKLE = """
import json, sys, time
from pymerkle import SqliteTree
folder, size, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = open(folder + "/leaves", "rb").read()
entries = [data[at : at + size] for at in range(0, len(data), size)]
found = {}
for name in ("pymerkle", "pymerkle_rooted"):
    wall, cpu = time.perf_counter(), time.process_time()
    tree = SqliteTree(folder + "/" + name)
    for at in range(0, len(entries), batch):
        tree.append_entries(entries[at : at + batch])
        if name == "pymerkle_rooted":
            tree.get_root()
    found[name] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
print(json.dumps(found))
"""


def pymerkle(python: Path, folder: Path, data: bytes, batch: int) -> dict[str, dict[str, float]]:
    """Run pymerkle in its own environment; it never shares one with custodes."""
    (folder / "leaves").write_bytes(data)
    command = [python, "-c", PYMERKLE, str(folder), str(SIZE), str(batch)]
    found: dict[str, dict[str, float]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def one_run(place: Path | None, data: bytes, batch: int, python: Path | None) -> dict[str, dict[str, float]]:
    """Measure each once, in fresh folders on the same disk."""
    count, signer = len(data) // SIZE, Signer.generate("bench.example/log")
    run = {"hashing": timed(lambda: hashing(data))}
    with fresh(place) as folder:
        run["syncing"] = timed(lambda: syncing(folder, count, batch))
    with fresh(place) as folder, Log.create(folder / "log", signer.name, signer) as log:
        run["append"] = timed(lambda: append(log, data, batch))
    with fresh(place) as folder, Log.create(folder / "log", signer.name, signer) as log:
        run["append_rooted"] = timed(lambda: append(log, data, batch, rooted=True))
    with fresh(place) as folder:
        run["sqlite_chain"] = timed(lambda: sqlite_chain(folder, data, batch))
    if python is not None:
        with fresh(place) as folder:
            run |= pymerkle(python, folder, data, batch)
    return run


def of_batch(place: Path | None, data: bytes, batch: int, repeats: int, python: Path | None) -> dict[str, object]:
    """Return the middle of the runs, and ratios."""
    count = len(data) // SIZE
    runs = [one_run(place, data, batch, python) for _ in range(repeats)]

    def middle(name: str, clock: str) -> float:
        return statistics.median(run[name][clock] for run in runs)

    def ratio(name: str, other: str, clock: str) -> float:
        return round(statistics.median(run[name][clock] / run[other][clock] for run in runs), 3)

    pairs = [
        (name, "append_rooted" if "rooted" in name else "append") for name in runs[0] if name.startswith(("sqlite", "pymerkle"))
    ]
    return {
        "entries": count,
        "runs": [
            {f"{name}_{clock}": round(value, 4) for name, both in run.items() for clock, value in both.items()} for run in runs
        ],
        "append_per_second": round(count / middle("append", "wall")),
        "append_per_second_best": round(count / min(run["append"]["wall"] for run in runs)),
        "append_per_second_of_cpu": round(count / middle("append", "cpu")),
        "append_to_hashing": ratio("append", "hashing", "wall"),
        "append_to_hashing_cpu": ratio("append", "hashing", "cpu"),
        "append_to_syncing": ratio("append", "syncing", "wall"),
        "append_to_hashing_and_syncing": round(
            statistics.median(run["append"]["wall"] / (run["hashing"]["wall"] + run["syncing"]["wall"]) for run in runs), 3
        ),
        "times_faster_than": {name: {clock: ratio(name, ours, clock) for clock in ("wall", "cpu")} for name, ours in pairs},
    }


def of_size(place: Path | None, count: int) -> dict[str, object]:
    """Measure one size in this process, which does nothing else: memory is its own. Leaves are made block by block."""
    signer, block = Signer.generate("bench.example/log"), leaves(100_000)
    with fresh(place) as folder:
        log = Log.create(folder / "log", signer.name, signer)
        rest = [timed(lambda: append(log, block, 10_000)) for _ in range(count // 100_000)]
        last = timed(lambda: log.append_batch(block[:SIZE], [0, SIZE]))
        published = timed(log.publish)
        log.close()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        opened = timed(lambda: Log.open(folder / "log", signer).close())
        # Blocks repeat, and so do `seq` and `prev`: the chain of a source is checked like any other, and told once as broken.
        checked = timed(lambda: fsck(folder / "log"))
        fsck_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "entries": count,
        "append_cpu_microseconds": round(sum(one["cpu"] for one in rest) / count * 1e6, 3),
        "append_wall_microseconds": round(sum(one["wall"] for one in rest) / count * 1e6, 3),
        "append_megabytes": memory,
        "single_append_milliseconds": round(last["wall"] * 1e3, 2),
        "publish_milliseconds": round(published["wall"] * 1e3, 2),
        "open_milliseconds": round(opened["wall"] * 1e3, 1),
        "fsck_cpu_microseconds": round(checked["cpu"] / count * 1e6, 3),
        "fsck_megabytes": fsck_memory,
    }


def of_publish(place: Path | None) -> dict[str, float]:
    """Publishing after every batch of 1,000, and the cost of making a leaf of five groups."""
    data, signer = leaves(1_000), Signer.generate("bench.example/log")
    offsets, walls = list(range(0, len(data) + 1, SIZE)), []
    with fresh(place) as folder, Log.create(folder / "log", signer.name, signer) as log:
        for _ in range(100):
            log.append_batch(data, offsets)
            walls.append(timed(log.publish)["wall"] * 1e3)
    groups, seeds, made = [b"x" * 60] * 5, (bytes(32), bytes(range(32))), Batch(0, {})
    cost = timed(lambda: [made.add(Kind.ACCESS, 500_000, 1, NO_TAG, commitment(groups, seeds)) for _ in range(20_000)])
    return {
        "publish_milliseconds_median": round(statistics.median(walls), 2),
        "publish_milliseconds_p99": round(sorted(walls)[98], 2),
        "leaf_cpu_microseconds": round(cost["cpu"] / 20_000 * 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=200_000, help="a multiple of 10,000")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="a folder on the disk to measure (default: the system's temporary folder)")
    parser.add_argument("--pymerkle", type=Path, help="the Python of an environment that holds pymerkle")
    parser.add_argument("--full", action="store_true", help="sizes to ten million (needs 3 GB of disk and some minutes)")
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)  # one size, in a process of its own
    options = parser.parse_args()
    if options.size:
        print(json.dumps(of_size(options.dir, options.size)))
        return
    before, data = os.getloadavg(), leaves(options.entries // 10_000 * 10_000)
    command = [sys.executable, __file__, *(["--dir", str(options.dir)] if options.dir else []), "--size"]
    report = {
        "schema": "custodes.bench/2",
        "bench": "ledger",
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform(), "load": before},
        "goals": GOALS,
        "batches": {str(batch): of_batch(options.dir, data, batch, options.repeats, options.pymerkle) for batch in BATCHES},
        "sizes": [
            json.loads(subprocess.run([*command, str(size)], check=True, capture_output=True).stdout)
            for size in (FULL_SIZES if options.full else SIZES)
        ],
        **of_publish(options.dir),
        "load_at_the_end": os.getloadavg(),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
