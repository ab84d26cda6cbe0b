"""What the guard's views cost, against the base table on the same server in the same run; and `verify` against `pg_dump -s`.

    python bench/guard_views.py [--rows 100000] [--lookups 2000] [--tables 1000] [--repeats 3]        JSON on stdout

Base, view without a lease and view under a lease are measured in short turns, one after the other, one client, prepared statements;
a ratio is the median over all turns of the ratio within one turn, so that other work on the machine hits both of its sides. Speeds
and times are medians, too. A scan hands every row to the client; `count` only counts them. Goals:
point look-ups at least 0.8 of base without a lease and 0.7 under one, a full scan at most 4 times base, `verify` on 1,000 tables at
most 10 times `pg_dump -s`. Starts a private cluster; without PostgreSQL's programs it ends with 2.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "made"))  # the cluster that tests use

from pg_cluster import Cluster, running, versions  # after its folder is on the path

from custodes.catalogue import Name  # likewise
from custodes.engines.postgres import connect  # likewise
from custodes.guard.plan import make_plan  # likewise
from custodes.guard.reach_whole import reach  # likewise
from custodes.model.datamap import DataMap  # likewise

STAFF = ("bench_staff", "bench_leased")
FIELDS = {"id": "public", "name": "identity", "country": "public", "last_ip": "ip_address", "note": "message"}
_TURN = 50
"""Look-ups of a turn: some milliseconds, within which the machine's load hardly changes."""
_SCANS = 12
"""Turns of scans in a round."""
LEASES = 10
"""Open leases of the leased login; nine times as many are somebody else's."""


def prepare(cluster: Cluster, rows: int) -> str:
    """Make and guard a database with `rows` people."""
    name = cluster.fresh()
    datamap = DataMap.of({"app": {"app.people": {"subject_key": "id", "fields": FIELDS}}})
    with psycopg.connect(cluster.url(name), autocommit=True) as owner:
        for login in STAFF:
            owner.execute(f"create role {login} login".encode())
        owner.execute("create schema app")
        owner.execute("create table app.people (id int primary key, name text, country text, last_ip inet, note text)")
        owner.execute(
            "insert into app.people select i, 'n' || i, 'IE', '10.0.0.0'::inet + i, repeat('x', 40) from generate_series(1, %s) i",
            (rows,),
        )
        owner.execute("vacuum analyze app.people")
    database = connect(cluster.url(name))
    database.apply(make_plan(database.catalogue(), datamap, "app", staff=STAFF).statements)
    database.close()
    with psycopg.connect(cluster.url(name, "custodes_lease"), autocommit=True) as service:
        service.execute(
            'insert into custodes_guard.lease (lease, "grant", actor, subject, field, valid_to, leaf) '
            "select 'l' || n, 'g', case when n <= %s then %s else 'somebody' end, n::text, 'app.people.last_ip', "
            "clock_timestamp() + interval '14 min', n from generate_series(1, %s) n",
            (LEASES, STAFF[1], 10 * LEASES),
        )
    return name


def lookups(session: psycopg.Connection[Any], table: str, keys: list[int]) -> float:
    """Return point look-ups a second."""
    statement = f"select id, country, last_ip from {table} where id = %s".encode()
    began = time.perf_counter()
    for key in keys:
        session.execute(statement, (key,), prepare=True).fetchone()
    return len(keys) / (time.perf_counter() - began)


def scan(session: psycopg.Connection[Any], table: str) -> float:
    """Return seconds of one full scan whose rows reach the client."""
    began = time.perf_counter()
    with session.cursor() as cursor, cursor.copy(f"copy (select id, country, last_ip from {table}) to stdout".encode()) as rows:
        for _ in rows:
            pass
    return time.perf_counter() - began


def counted(session: psycopg.Connection[Any], table: str) -> float:
    """Return seconds of one full scan of which only a count is sent."""
    began = time.perf_counter()
    session.execute(f"select count(last_ip), count(id) from {table}".encode()).fetchone()
    return time.perf_counter() - began


def views(cluster: Cluster, rows: int, count: int, repeats: int) -> dict[str, object]:
    """Measure look-ups and scans in turns."""
    name, dice = prepare(cluster, rows), random.Random(1)
    places = {"base": (None, "app.people"), "masked": (STAFF[0], "safe_app.people"), "leased": (STAFF[1], "safe_app.people")}
    sessions = {side: psycopg.connect(cluster.url(name, login), autocommit=True) for side, (login, _) in places.items()}
    speed: dict[str, list[float]] = {side: [] for side in places}
    seconds: dict[str, list[float]] = {side: [] for side in places}
    counts: dict[str, list[float]] = {side: [] for side in places}
    keys = {side: [dice.randrange(1, 1 + (LEASES if side == "leased" else rows)) for _ in range(_TURN)] for side in places}
    for side, (_, table) in places.items():  # plans are made, pages are read
        for _ in range(4):
            lookups(sessions[side], table, keys[side])
        counted(sessions[side], table)
    for _ in range(repeats * count // _TURN):
        for side, (_, table) in places.items():
            speed[side].append(lookups(sessions[side], table, keys[side]))
    for _ in range(repeats * _SCANS):
        for side, (_, table) in places.items():
            seconds[side].append(scan(sessions[side], table))
            counts[side].append(counted(sessions[side], table))
    for session in sessions.values():
        session.close()

    def ratio(of: dict[str, list[float]], side: str) -> float:
        return round(statistics.median(a / b for a, b in zip(of[side], of["base"], strict=True)), 3)

    return {
        "lookups_per_s": {side: round(statistics.median(values)) for side, values in speed.items()},
        "lookup_ratio": {"masked": ratio(speed, "masked"), "leased": ratio(speed, "leased")},
        "scan_ms": {side: round(1000 * statistics.median(values), 2) for side, values in seconds.items()},
        "scan_ratio": {"masked": ratio(seconds, "masked"), "leased": ratio(seconds, "leased")},
        "count_ratio": {"masked": ratio(counts, "masked"), "leased": ratio(counts, "leased")},
    }


def verifying(cluster: Cluster, tables: int, repeats: int) -> dict[str, object]:
    """Measure the walk over many guarded tables against a dump of their schema."""
    name, resources = cluster.fresh(), {}
    with psycopg.connect(cluster.url(name), autocommit=True) as owner:
        owner.execute("create schema many")
        for number in range(tables):
            owner.execute(f"create table many.t{number} (id int primary key, ip inet, mail text, made date)".encode())
            resources[f"many.t{number}"] = {"subject_key": "id", "fields": {"id": "public", "ip": "ip_address", "mail": "contact"}}
    datamap, database = DataMap.of({"app": resources}), connect(cluster.url(name))
    database.apply(make_plan(database.catalogue(), datamap, "app", staff=STAFF).statements)
    mapped = {Name(*table.split(".")): entry for table, entry in datamap.systems["app"].items()}
    protected = [(table, word) for table in mapped for word in ("ip", "mail")]
    walked, dumped = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        found = reach(database.catalogue(), mapped, protected, staff=STAFF)
        walked.append(time.perf_counter() - began)
        began = time.perf_counter()
        subprocess.run([cluster.programs / "pg_dump", "-s", "-d", cluster.url(name)], check=True, capture_output=True)
        dumped.append(time.perf_counter() - began)
    database.close()
    ratio = statistics.median(a / b for a, b in zip(walked, dumped, strict=True))
    return {
        "tables": tables,
        "ways": sum(1 for _ in found.ways()),
        "verify_s": round(statistics.median(walked), 3),
        "pg_dump_s": round(statistics.median(dumped), 3),
        "ratio": round(ratio, 2),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--lookups", type=int, default=2_000)
    parser.add_argument("--tables", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if not versions():
        print("PostgreSQL's programs are not here; on Debian: apt-get install postgresql", file=sys.stderr)
        return 2
    with running() as cluster:
        figures = views(cluster, options.rows, options.lookups, options.repeats)
        figures["verify"] = verifying(cluster, options.tables, options.repeats)
        version = subprocess.run([cluster.programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    document = {"schema": "custodes.bench/1", "bench": "guard_views", "rows": options.rows, "repeats": options.repeats}
    print(json.dumps(document | {"server": version.strip(), "machine": machine, "figures": figures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
