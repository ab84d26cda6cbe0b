"""Ingest of pgaudit jsonlog, end to end, as a ratio to parsing the same lines with msgspec into Arrow in the same run.

    python bench/ingest.py [--lines 200000] [--repeats 3] [--full]

Prints JSON: CPU per line of both, their ratio (the middle of the repeats), peak memory, and growth of time per line; ends with 1
above a limit. `--full` adds a run of two million lines. The lines are made. Two mixes: `mixed` has statements as an application and
its analysts send them, with the key checks that PostgreSQL logs for writes (real captures: a quarter of the lines are looks; here
two fifths); `lookups` is the worst case, nothing but people looked up one by one. There are ten looks at a person, as in the demo.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

LIMIT_RATIO = 10
LIMIT_MB = 600
DATAMAP = b"""app:
  users: {subject_key: id, fields: {email: contact, handle: identity, name: identity}}
  login_event: {subject_key: user_id, fields: {ip: ip_address, city: location}, selectors: {ip: ip}}
  orders: {subject_key: user_id, fields: {total: payment}}
"""
_KEY_CHECK = 'SELECT 1 FROM ONLY ""public"".""users"" x WHERE ""id"" OPERATOR(pg_catalog.=) $1 FOR KEY SHARE OF x'


def make(path: Path, lines: int, seed: int = 1, *, lookups: bool = False) -> None:
    """Write made jsonlog lines: six sessions of 200 statements at a time; look-ups, joins, scans, writes with key checks."""
    chance = random.Random(seed)
    now = datetime(2026, 9, 1, tzinfo=UTC)
    people = lines // 10
    sessions = [_Session(chance, number, people, lookups=lookups) for number in range(6)]
    written = number = 0
    with path.open("w") as out:
        while written < lines:
            now += timedelta(milliseconds=chance.randrange(200))
            at = chance.randrange(len(sessions))
            for line in sessions[at].statement(now):
                out.write(line)
                written += 1
            if sessions[at].ended:
                number += 1
                sessions[at] = _Session(chance, 6 + number, people, lookups=lookups)


class _Session:
    def __init__(self, chance: random.Random, number: int, people: int, *, lookups: bool) -> None:
        self._chance, self._pid, self._people, self._lookups = chance, 1000 + number, people, lookups
        self._id, self._line, self._statement, self.ended = f"6b02{number:04x}.{1000 + number:x}", 0, 0, False
        self._who = f"analyst_{chance.randrange(400)}"

    def statement(self, now: datetime) -> list[str]:
        if self._line == 0:
            return [self._record(now, "", f"connection authorized: user={self._who} database=app application_name=psql")]
        if self._statement >= 200:
            self.ended = True
            ending = f"disconnection: session time: 0:09:11.312 user={self._who} database=app host=10.20.30.{self._pid % 250}"
            return [self._record(now, "idle", ending)]
        self._statement += 1
        one, kind = 1_000_000 + self._chance.randrange(self._people), self._chance.random()
        if kind < 0.45 or self._lookups:
            text = f"select id, handle, email, name from users where id = {one} /* purpose:support */"
            return [self._audit(now, 1, "READ,SELECT", "public.users", text, "SELECT", 1)]
        if kind < 0.60:
            text = f"select u.email, e.ip, e.city from users u join login_event e on e.user_id = u.id where u.id = {one} limit 50"
            return [self._audit(now, 1, "READ,SELECT", name, text, "SELECT", 7) for name in ("public.users", "public.login_event")]
        if kind < 0.68:
            text = f"select user_id, total from orders where total > {one % 900} order by total desc limit 100"
            return [self._audit(now, 1, "READ,SELECT", "public.orders", text, "SELECT", 100)]
        if kind < 0.74:
            text = "select count(*), city from login_event where at > now() - interval '1 day' group by city"
            return [self._audit(now, 1, "READ,SELECT", "public.login_event", text, "SELECT", 31)]
        rows = self._chance.randrange(1, 9)
        text = "insert into orders (user_id, total) values " + ", ".join([f"({one}, {row * 7})" for row in range(rows)])
        checks = [
            self._audit(now, row + 1, "READ,SELECT", "public.users", _KEY_CHECK, "INSERT", 1, f"{one}") for row in range(rows)
        ]
        return [*checks, self._audit(now, rows + 1, "WRITE,INSERT", "public.orders", text, "INSERT", rows)]

    def _audit(  # noqa: PLR0917  # the columns of an audit record, in their order
        self, now: datetime, sub: int, kind: str, table: str, text: str, tag: str, rows: int, bound: str = "<none>"
    ) -> str:
        message = f'AUDIT: SESSION,{self._statement},{sub},{kind},TABLE,{table},"{text}",{bound},{rows}'
        return self._record(now, tag, message)

    def _record(self, now: datetime, tag: str, message: str) -> str:
        self._line += 1
        record = {
            "timestamp": now.strftime("%Y-%m-%d %H:%M:%S.") + f"{now.microsecond // 1000:03d} UTC",
            "user": self._who,
            "dbname": "app",
            "pid": self._pid,
            "remote_host": f"10.20.30.{self._pid % 250}",
            "remote_port": 40000 + self._pid % 20000,
            "session_id": self._id,
            "line_num": self._line,
            "ps": tag,
            "session_start": "2026-09-01 00:00:00 UTC",
            "vxid": f"3/{self._line}",
            "txid": 0,
            "error_severity": "LOG",
            "message": message,
            "application_name": "psql",
            "backend_type": "client backend",
            "query_id": 0,
        }
        return json.dumps(record, separators=(",", ":")) + "\n"


def baseline(path: Path) -> tuple[int, float]:
    """Parse the file with msgspec into Arrow, nothing else; return lines and CPU seconds."""
    import msgspec
    import pyarrow as pa

    words = ("timestamp", "user", "dbname", "remote_host", "session_id", "ps", "session_start", "vxid", "error_severity", "message")
    words += ("application_name", "backend_type")
    numbers = ("pid", "remote_port", "line_num", "txid", "query_id")
    kind = msgspec.defstruct("Line", [*((w, str | None, None) for w in words), *((n, int | None, None) for n in numbers)])
    decode = msgspec.json.Decoder(kind).decode
    lines, began = 0, time.process_time()
    with path.open("rb") as handle:
        while batch := [decode(line) for _, line in zip(range(20_000), handle, strict=False)]:
            lines += len(batch)
            pa.table({name: [getattr(item, name) for item in batch] for name in (*words, *numbers)})
    return lines, time.process_time() - began


def ingest(path: Path, folder: Path) -> dict[str, Any]:
    """Ingest the file into a fresh home with the command's own code; return CPU seconds, counts and peak memory."""
    from custodes.home_making import make_home

    with make_home(folder / "home") as home:
        home.adopt("datamap.yaml", DATAMAP)
        few = folder / "few.json"
        make(few, 200, seed=9)
        intake = home.intake()
        intake.read("pgaudit", [str(few)])  # imports and caches are start-up, as in the baseline
        began = time.process_time()
        report = intake.read("pgaudit", [str(path)])
        cpu = time.process_time() - began
    size = sum(file.stat().st_size for file in (folder / "home").rglob("*") if file.is_file())
    return {
        "lines": report.lines,
        "accesses": report.accesses,
        "touches": report.touches,
        "rejected": report.rejected_lines,
        "cpu_s": round(cpu, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "home_mb": size // 2**20,
    }


def _apart(*arguments: str) -> dict[str, Any]:
    """Run one measurement in a process of its own, so that its memory is its own."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _measure(path: Path) -> dict[str, Any]:
    parsed = _apart("--baseline", str(path))
    whole = _apart("--ingest", str(path))
    return {
        **whole,
        "baseline_us_per_line": round(parsed["cpu_s"] / parsed["lines"] * 1e6, 2),
        "ingest_us_per_line": round(whole["cpu_s"] / whole["lines"] * 1e6, 2),
        "ratio": round(whole["cpu_s"] / parsed["cpu_s"] * parsed["lines"] / whole["lines"], 2),
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--lines", type=int, default=200_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--full", action="store_true")
    options.add_argument("--baseline", type=Path)
    options.add_argument("--ingest", type=Path)
    chosen = options.parse_args()
    if chosen.baseline:
        lines, cpu = baseline(chosen.baseline)
        print(json.dumps({"lines": lines, "cpu_s": cpu}))
        return 0
    if chosen.ingest:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(ingest(chosen.ingest, Path(folder))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.json"
        make(path, chosen.lines)
        runs = [_measure(path) for _ in range(chosen.repeats)]
        make(path, chosen.lines, seed=4, lookups=True)
        worst = _measure(path)
        make(path, chosen.lines // 4, seed=2)
        small = _measure(path)
        large = None
        if chosen.full:
            make(path, 2_000_000, seed=3)
            large = _measure(path)
    middle = sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]
    result = {
        "schema": "custodes.bench/1",
        "name": "ingest",
        "simulated": True,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "ratio": middle["ratio"],
        "ratio_limit": LIMIT_RATIO,
        "runs": runs,
        "lookups": worst,
        "quarter": small,
        "two_million": large,
        "growth_per_line": round((large or middle)["ingest_us_per_line"] / small["ingest_us_per_line"], 2),
        "peak_mb": max(run["peak_mb"] for run in [*runs, *([large] if large else [])]),
        "peak_mb_limit": LIMIT_MB,
    }
    print(json.dumps(result, indent=1))
    return int(middle["ratio"] > LIMIT_RATIO or result["peak_mb"] > LIMIT_MB)


if __name__ == "__main__":
    sys.exit(main())
