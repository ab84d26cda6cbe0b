"""How fast is the index of a month? Microseconds a key, as a ratio to the bare hashlib cost of the same hashes in the same run.

    python bench/index.py [--keys 10000 100000 1000000] [--repeats 3] [--leaves 0]      JSON on stdout

`build` takes (tag, position) pairs to a finished trie, one position a key. `hashing` is what the same four hashes a key (key, list,
leaf, inner node) cost in bare hashlib calls. `gather` takes stored leaves to pairs. These are processor time. `lookup` is one
checked answer. With `--leaves N` a log of N leaves in one month (two a tag) is written, indexed and asked, by the wall clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import Path

from custodes.ledger.index import verify_lookup
from custodes.ledger.index_log import IndexLog, open_index
from custodes.ledger.leaf import Kind, encode, hour_of
from custodes.ledger.log import Log
from custodes.ledger.months import Months
from custodes.ledger.segments import frame
from custodes.ledger.signer import Signer
from custodes.ledger.trie import PAIR, build

MOMENT = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = hour_of(MOMENT)
EPOCH = "2026-11"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def worked(work: Callable[[], object]) -> float:
    """Return seconds of processor time: this bench neither waits nor runs threads, and others may be at work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def tag(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big"), digest_size=32).digest()


def hashing(count: int) -> None:
    """The same number of hashes over as many bytes: 33, 9, 73 and 99."""
    first, second, third, fourth = bytes(33), bytes(9), bytes(73), bytes(99)
    for _ in range(count):
        sha256(first).digest()
        sha256(second).digest()
        sha256(third).digest()
        sha256(fourth).digest()


def leaves(start: int, count: int, tags: int) -> list[bytes]:
    return [encode(Kind.ACCESS, HOUR, 1, at, tag(at % tags), bytes(32), bytes(16)) for at in range(start, start + count)]


def run(keys: int, repeats: int) -> dict[str, float]:
    """Return medians for one size: microseconds a key, and milliseconds for an answer."""
    pairs = b"".join(PAIR.pack(tag(at), at) for at in range(keys))
    stored = frame(leaves(0, min(keys, 65_536), keys))
    runs = []
    for _ in range(repeats):
        bare = worked(lambda: hashing(keys))
        built = worked(lambda: build([pairs]))
        taken = worked(lambda: Months(lambda _: []).add(stored, 0))
        runs.append((bare, built, taken))
    bare, built, taken = (statistics.median(one) for one in zip(*runs, strict=True))
    trie = build([pairs])

    def ask() -> None:
        for at in range(0, keys, keys // 100):
            verify_lookup(trie.lookup(tag(at), EPOCH), trie.root)

    return {
        "keys": keys,
        "build_us_per_key": round(built / keys * 1e6, 2),
        "build_us_per_key_best": round(min(one[1] for one in runs) / keys * 1e6, 2),
        "hashing_us_per_key": round(bare / keys * 1e6, 2),
        "build_to_hashing": round(statistics.median(one[1] / one[0] for one in runs), 2),
        "gather_us_per_leaf": round(taken / min(keys, 65_536) * 1e6, 2),
        "lookup_milliseconds": round(timed(ask) / 100 * 1e3, 2),
    }


def whole(folder: Path, count: int) -> dict[str, float]:
    """Index a log of `count` leaves in one month and ask it, as a process that has just begun does."""
    signer = Signer.generate("bench.example/log")
    with Log.create(folder / "log", signer.name, signer) as main:
        for start in range(0, count, 50_000):
            entries = leaves(start, min(50_000, count - start), count // 2)
            main.append_batch(b"".join(entries), range(0, 96 * len(entries) + 1, 96))
        last = encode(Kind.HEARTBEAT, HOUR + 24 * 31, 1, count, bytes(32), bytes(32), bytes(16))
        main.append_batch(last, [0, len(last)])  # the month is over, so its trie is kept
        main.publish()
        index = open_index(main, folder / "index", folder / "index.key", lambda _: None)
        with index.log:
            published = timed(lambda: index.publish(MOMENT))
            warm = timed(lambda: index.lookup(tag(7), EPOCH))

    def ask() -> None:
        with Log.open(folder / "log") as main, Log.open(folder / "index") as log:
            IndexLog(main, log).lookup(tag(7), EPOCH)

    stored = timed(ask)
    kept = (folder / "index/tries" / f"{EPOCH}.trie").stat().st_size
    shutil.rmtree(folder / "index/tries")
    return {
        "leaves": count,
        "publish_seconds": round(published, 2),
        "publish_us_per_leaf": round(published / count * 1e6, 2),
        "lookup_again_milliseconds": round(warm * 1e3, 2),
        "lookup_from_disk_milliseconds": round(stored * 1e3, 1),
        "lookup_rebuilding_seconds": round(timed(ask), 2),
        "trie_megabytes": round(kept / 2**20, 1),
        "most_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--leaves", type=int, default=0, help="also a whole log of this many leaves")
    parser.add_argument("--dir", type=Path, help="a folder on the disk to measure (default: the system's temporary folder)")
    options = parser.parse_args()
    report = {
        "schema": "custodes.bench/1",
        "bench": "index",
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "load": os.getloadavg(),
        },
        "sizes": [run(keys, options.repeats) for keys in options.keys],
    }
    if options.leaves:
        folder = Path(tempfile.mkdtemp(prefix="custodes-bench-", dir=options.dir))
        try:
            report["whole"] = whole(folder, options.leaves)
        finally:
            shutil.rmtree(folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
