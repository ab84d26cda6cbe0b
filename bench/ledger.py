"""How fast is the record? Ratios within one run, against the bare cost of the same hashes and of the same bytes synced.

    python bench/ledger.py [--entries 200000] [--batch 1000] [--repeats 3] [--dir DIR]      JSON on stdout

`append` is durable: each batch ends with one fdatasync. `hashing` is what the same tree costs in bare hashlib calls, `syncing` what
writing and syncing the same bytes in the same batches costs. `leaf` is commitment, encoding and chain for five groups.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from custodes.ledger.chain import Batch
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG, SIZE, Kind, commitment
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def hashing(entries: list[bytes]) -> None:
    level = [sha256(b"\x00" + entry).digest() for entry in entries]
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)] + odd


def syncing(folder: Path, data: bytes, batch: int) -> None:
    step = batch * (SIZE + 2)
    descriptor = os.open(folder / "bytes", os.O_RDWR | os.O_CREAT)
    for at in range(0, len(data), step):
        os.pwrite(descriptor, data[at : at + step], at)
        os.fdatasync(descriptor)
    os.close(descriptor)


def run(folder: Path, count: int, batch: int) -> dict[str, float]:
    """Return seconds (or seconds an operation) of each step, in one fresh directory."""
    signer = Signer.generate("bench.example/log")
    chain = Batch(0, {})
    for number in range(count):
        chain.add(Kind.ACCESS, 500_000, number % 4, NO_TAG, sha256(number.to_bytes(8, "big")).digest())
    entries = chain.entries
    buffer, offsets = b"".join(entries), list(range(0, SIZE * batch + 1, SIZE))
    framed = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
    log = Log.create(folder / "log", signer.name, signer)
    published: list[float] = []

    def append() -> None:
        for at in range(0, len(buffer), SIZE * batch):
            log.append_batch(buffer[at : at + SIZE * batch], offsets)

    def publish() -> None:
        for _ in range(20):
            log.append_batch(buffer[: SIZE * batch], offsets)
            published.append(timed(log.publish))

    groups, seeds = [b"x" * 60] * 5, (bytes(32), bytes(range(32)))

    def leaves() -> None:
        made = Batch(0, {})
        for _ in range(20_000):
            made.add(Kind.ACCESS, 500_000, 1, NO_TAG, commitment(groups, seeds))

    result = {
        "hashing": timed(lambda: hashing(entries)),
        "syncing": timed(lambda: syncing(folder, framed, batch)),
        "append": timed(append),
    }
    publish()
    result["publish_median"], result["publish_worst"] = statistics.median(published), max(published)
    log.close()
    result["open"] = timed(lambda: Log.open(folder / "log", signer).close())
    result["fsck"] = timed(lambda: fsck(folder / "log"))
    result["leaf"] = timed(leaves) / 20_000
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="a folder on the disk to measure (default: the system's temporary folder)")
    options = parser.parse_args()
    count = options.entries // options.batch * options.batch
    runs = []
    for _ in range(options.repeats):
        folder = Path(tempfile.mkdtemp(prefix="custodes-bench-", dir=options.dir))
        try:
            runs.append(run(folder, count, options.batch))
        finally:
            shutil.rmtree(folder)
    best = {name: min(one[name] for one in runs) for name in runs[0]}
    median = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
    report = {
        "schema": "custodes.bench/1",
        "bench": "ledger",
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "load": os.getloadavg(),
        },
        "entries": count,
        "batch": options.batch,
        "runs": runs,
        "append_per_second": round(count / median["append"]),
        "append_per_second_best": round(count / best["append"]),
        "append_to_hashing_and_syncing": round(median["append"] / (median["hashing"] + median["syncing"]), 3),
        "append_to_hashing": round(median["append"] / median["hashing"], 3),
        "append_to_syncing": round(median["append"] / median["syncing"], 3),
        "fsck_per_second": round((count + 20 * options.batch) / median["fsck"]),
        "fsck_to_hashing": round(median["fsck"] / median["hashing"] * count / (count + 20 * options.batch), 3),
        "leaf_microseconds": round(median["leaf"] * 1e6, 2),
        "publish_milliseconds": {
            "median": round(median["publish_median"] * 1e3, 2),
            "worst": round(best["publish_worst"] * 1e3, 2),
        },
        "open_milliseconds": round(median["open"] * 1e3, 1),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
