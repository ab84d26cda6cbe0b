"""How long does a reader wait? One subject's bundle out of a large log: time and memory of each verifier, and of making it.

    python bench/verify.py [--entries 200000] [--accesses 1000] [--repeats 3] [--dir DIR] [--full]      JSON on stdout

`--full`: the log of ten million entries that the target is set for (about 1.4 GB in --dir, removed at the end; several minutes).
The log is made of finished leaves in batches of 10,000; the subject's have real contents. The bare start of Python and of the
command line stand beside the figures, since they are part of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import Path

from custodes.disclose.bundle import Sources, script, subject_bundle
from custodes.ledger.evidence import policy_of
from custodes.ledger.index_log import IndexLog
from custodes.ledger.leaf import NO_PREV, SIZE, Kind, commitment, encode, epoch_of, hour_of, tag_key, tag_under
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
from custodes.model.canonical import canonical
from custodes.store.contents import Groups, Opening, opening

ORIGIN = "bench.example/log"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
BATCH = 10_000
LOOKS_EACH = 10


def groups_of(number: int) -> Groups:
    what = canonical(
        {"action": "read", "resource": ["profile"], "subjects": ["subject-1"], "time": f"2026-11-{number % 28 + 1:02d}T08:00:00Z"}
    )
    why = canonical({"purpose": "support", "reason": f"T-{number}"})
    return canonical({"actor": f"staff-{number % 40}", "actor_kind": "staff"}), what, why, canonical({"client_country": "AT"}), None


def build(folder: Path, count: int, accesses: int) -> tuple[bytes, dict[int, Opening], dict[str, float]]:
    """Make both logs; return the subject's tag key, what opens its leaves, and seconds."""
    dice, hour, k_tag = random.Random(1), hour_of(NOW), tag_key(bytes(32))
    mine, own = tag_under(k_tag, ORIGIN, epoch_of(hour)), set(dice.sample(range(count), accesses))
    openings: dict[int, Opening] = {}
    signers = {name: Signer.generate(ORIGIN if name == "log" else f"{ORIGIN}/index") for name in ("log", "index")}
    took = {"append": 0.0}
    with Log.create(folder / "log", ORIGIN, signers["log"]) as log:
        for start in range(0, count, BATCH):
            entries = []
            for number in range(start, min(count, start + BATCH)):
                if number in own:
                    groups, seeds = groups_of(number), [sha256(b"%d %d" % (number, part)).digest() for part in range(2)]
                    entry = encode(Kind.ACCESS, hour, 1, number, mine, commitment(groups, seeds), NO_PREV)
                    openings[number] = opening(number, entry, groups, b"".join(seeds))
                else:
                    tag = blake2b(b"%d" % (number % (count // LOOKS_EACH)), digest_size=32).digest()
                    entry = encode(Kind.ACCESS, hour, 1, number, tag, tag, NO_PREV)
                entries.append(entry)
            began = time.perf_counter()
            log.append_batch(b"".join(entries), range(0, SIZE * len(entries) + 1, SIZE))
            took["append"] += time.perf_counter() - began
        log.publish()
        with Log.create(folder / "index", f"{ORIGIN}/index", signers["index"]) as index:
            began = time.perf_counter()
            IndexLog(log, index).publish(NOW, force=True)
            took["index"] = time.perf_counter() - began
    return k_tag, openings, took


def compose(folder: Path, k_tag: bytes, openings: dict[int, Opening]) -> bytes:
    def opened(indexes: Iterable[int], *_: object) -> list[Opening]:
        return [openings[index] for index in indexes]

    with Log.open(folder / "log") as log, Log.open(folder / "index") as index:
        sources = Sources(folder / "log", folder / "index", opened, list, IndexLog(log, index).lookup)
        return subject_bundle(sources, k_tag, [epoch_of(hour_of(NOW))], with_actor=False)


LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(child.pid, 0)
took = time.perf_counter() - began
print(json.dumps([took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""
"""Starts a command from a small process: a child's peak memory counts that of the process that it was forked from."""


def measured(command: list[str], folder: Path, repeats: int) -> dict[str, float]:
    """Run a command; return its median seconds (wall and CPU) and its peak memory in MB. It must end with 0."""
    seconds, busy, peak = [], [], 0
    for _ in range(repeats):
        done = subprocess.run([sys.executable, "-I", "-S", "-c", LAUNCHER, *command], cwd=folder, capture_output=True, check=True)
        took, cpu, memory, code = json.loads(done.stdout)
        if code:
            sys.exit(f"{command} ended with {code}")
        seconds.append(took)
        busy.append(cpu)
        peak = max(peak, memory)
    middle, cpu = (round(statistics.median(values), 3) for values in (seconds, busy))
    return {"seconds": middle, "cpu_seconds": cpu, "peak_megabytes": round(peak / 1024, 1)}


def run(folder: Path, count: int, accesses: int, repeats: int) -> dict[str, object]:
    k_tag, openings, took = build(folder, count, accesses)
    began = time.perf_counter()
    data = compose(folder, k_tag, openings)
    took["compose"] = time.perf_counter() - began
    (folder / "mine.custodes-bundle").write_bytes(data)
    (folder / "my.policy").write_bytes(policy_of(folder / "log", folder / "index"))
    (folder / "verify.py").write_bytes(script())
    arguments = ["mine.custodes-bundle", "--policy", "my.policy", "--tag-key", k_tag.hex()]
    commands = {
        "custodes verify": [sys.executable, "-m", "custodes", "verify", *arguments],
        "python -m custodes.verify": [sys.executable, "-m", "custodes.verify", *arguments],
        "python verify.py": [sys.executable, "-I", "-S", "verify.py", *arguments],
        "python (nothing)": [sys.executable, "-I", "-S", "-c", "pass"],
        "custodes --version": [sys.executable, "-m", "custodes", "--version"],
    }
    return {
        "bundle_bytes": len(data),
        "build_seconds": {name: round(value, 2) for name, value in took.items()},
        "index_microseconds_per_position": round(took["index"] / count * 1e6, 2),
        "verify": {name: measured(command, folder, repeats) for name, command in commands.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=200_000)
    parser.add_argument("--accesses", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="ten million entries")
    parser.add_argument("--dir", type=Path, help="a folder with room (default: the system's temporary folder)")
    options = parser.parse_args()
    count = 10_000_000 if options.full else options.entries
    folder = Path(tempfile.mkdtemp(prefix="custodes-bench-", dir=options.dir))
    try:
        found = run(folder, count, options.accesses, options.repeats)
    finally:
        shutil.rmtree(folder)
    report = {
        "schema": "custodes.bench/1",
        "bench": "verify",
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "load": os.getloadavg(),
        },
        "entries": count,
        "accesses": options.accesses,
        "targets": {"seconds": 1.0, "peak_megabytes": 200},
        **found,
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
