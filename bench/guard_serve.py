"""The guard's service over HTTP: a reveal with its durable record, alone and many at once, beside one durable append of the run.

    python bench/guard_serve.py [--seconds S] [--clients N]

Targets: p50 of a reveal at most 12 ms and at most 3 times one durable record; 300 reveals a second with N clients, 5 times the
serial rate. A reveal is everything: token, registry, Cedar, grant, quota, decision and access in one commit, the value (no fsync
in that server), the outcome. The service's processor time a reveal is told, too: it says what the clock of a busy machine does not.
Needs PostgreSQL's programs. Exit 1 if a target is missed, 2 without PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "made"))

from pg_cluster import running, versions
from serve_stage import Client, ServeStage, body, guarded, serving

P50_MS, PER_SECOND, APPENDS, PARALLEL = 12.0, 300.0, 3.0, 5.0
RELEASE = "/guard/v1/release"


def one(url: str, grants: list[int], seconds: float, number: int = 0) -> list[float]:
    """Ask as one client for a while; return the seconds that each reveal took."""
    client, times = Client(url, keep=True), []
    end = time.perf_counter() + seconds
    try:
        while (began := time.perf_counter()) < end:
            status, answer = client.post(RELEASE, body(grants[(number + len(times)) % len(grants)]))
            if status != 200:
                raise SystemExit(f"a reveal was refused: {answer}")
            times.append(time.perf_counter() - began)
    finally:
        client.close()
    return times


def many(url: str, grants: list[int], seconds: float, clients: int) -> float:
    """Ask as many clients, each a process of its own so that they do not wait for each other; return reveals a second."""
    children = []
    for number in range(clients):
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            os.close(read)
            try:
                os.write(write, str(len(one(url, grants, seconds, number))).encode())
            finally:
                os._exit(0)
        os.close(write)
        children.append((child, read))
    counts = []
    for child, read in children:
        with os.fdopen(read) as pipe:
            counts.append(int(pipe.read() or 0))
        os.waitpid(child, 0)
    return sum(counts) / seconds


def spent(process: int) -> float:
    """Return the processor's seconds that a process has used; NaN where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def append(folder: Path, count: int = 200) -> float:
    """Return the median seconds of one durable append of a decision's size, on the same disk."""
    times = []
    with (folder / "append").open("wb") as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(b"x" * 512)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def own_append(stage: ServeStage, count: int = 60) -> float:
    """Return the median seconds of one record of the home: sealed, then in the ledger, both durable."""
    times = []
    for number in range(count):
        began = time.perf_counter()
        stage.home.record(4, {"what": "bench", "number": number})
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clients", type=int, default=20)
    given = parser.parse_args()
    if not versions():
        print("PostgreSQL's server programs are not installed here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, running() as cluster, guarded(cluster) as database:
        folder = Path(name)
        stage = ServeStage.over(folder, cluster, database)
        grants = [stage.granted(reveals=10_000).number for _ in range(3)]
        record = own_append(stage)
        with serving(folder / "home") as (service, url):
            one(url, grants, 1.0)
            before = spent(service.pid)
            serial = one(url, grants, given.seconds)
            between = spent(service.pid)
            rate = many(url, grants, given.seconds, given.clients)
            after = spent(service.pid)
        sync = append(folder)
    serial_cpu, parallel_cpu = (between - before) / len(serial), (after - between) / (rate * given.seconds)
    p50, alone = statistics.median(serial) * 1000, len(serial) / sum(serial)
    figures = {
        "reveal_p50_ms": round(p50, 2),
        "reveal_p95_ms": round(statistics.quantiles(serial, n=20)[-1] * 1000, 2),
        "durable_record_ms": round(record * 1000, 2),
        "fdatasync_ms": round(sync * 1000, 2),
        "reveal_per_record": round(p50 / (record * 1000), 2),
        "serial_per_second": round(alone, 1),
        "parallel_per_second": round(rate, 1),
        "clients": given.clients,
        "parallel_per_serial": round(rate / alone, 2),
        "service_cpu_ms_serial": round(serial_cpu * 1000, 2),
        "service_cpu_ms_parallel": round(parallel_cpu * 1000, 2),
    }
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    document = {"schema": "custodes.bench/1", "bench": "guard_serve", "seconds": given.seconds}
    print(json.dumps(document | {"machine": machine, "figures": figures}, indent=1))
    met = p50 <= P50_MS and p50 <= APPENDS * record * 1000 and rate >= PER_SECOND and rate >= PARALLEL * alone
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
