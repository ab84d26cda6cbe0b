"""How long `custodes watch` takes on N accesses, how much memory, and how it grows.

A company is generated, loaded the ordinary way, and watched in a child process. The baseline of the same run is one full scan of
the same stored rows in the same engine (count by actor): what any program has to pay that reads them once.

`last_day_cpu_s` is `watch --since` the last of the 90 days, start of the program included: it judges that day alone, and rules
whose window reaches further back see less than in a full run.

    python bench/watch.py --accesses 2000000 [--home DIR]     JSON on stdout
    python bench/watch.py --day --accesses 500000             what the 90th day costs after 89 that were watched

With `--day` the last day, with its tickets, is loaded after a run over the others. `day_cpu_s` is `watch --keep` then,
`full_cpu_s` the ordinary `watch`, each in a process of its own, start of the program included. Both must tell the same findings:
every field that speaks of accesses, verdicts or evidence is compared, and a difference ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from child import cost

STAFF, DAYS, PER_TICKET = 2_000, 90, 5
SYSTEMS = (
    ("crm", "account_page", ("name", "email", "orders")),
    ("admin-tool", "account_detail", ("device_id", "login_time")),
    ("admin-tool", "account_detail", ("ip_log",)),
)
DATAMAP = """
crm: {account_page: {subject_key: account, fields: {name: identity, email: contact, orders: behaviour}}}
admin-tool: {account_detail: {subject_key: account, fields: {ip_log: ip_address, device_id: device, login_time: behaviour}}}
"""
POLICY = """
schema: custodes.policy/1
purposes: {support: [identity, contact, behaviour, device, ip_address]}
regions: {EU: {countries: [IE, US]}, US: {countries: [US, IE]}, XA: {countries: [IE]}}
units_without_subject_duty: [audit]
outside_approver_units: [privacy/office]
"""


def _stamp(second: int) -> str:
    day, rest = divmod(second, 86_400)
    month, date = (1, day + 1) if day < 31 else (2, day - 30) if day < 59 else (3, day - 58)
    return f"2026-{month:02d}-{date:02d}T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}Z"


def write_exports(folder: Path, accesses: int, seed: int) -> None:
    """Write a company: most looks belong to a ticket of the subject, 6 % to none."""
    random = Random(seed)
    subjects, tickets = max(1_000, accesses // 20), max(1, accesses // PER_TICKET)
    (folder / "context").mkdir(parents=True)
    (folder / "datamap.yaml").write_text(DATAMAP)
    (folder / "policy.yaml").write_text(POLICY)
    with (folder / "context" / "staff.csv").open("w") as out:
        out.write("actor,person,unit,manager,country,entity,joined\n")
        for number in range(STAFF):
            unit = "audit/internal" if number % 200 == 0 else f"support/team{number % 40}"
            out.write(
                f"staff{number},person{number},{unit},staff{number % 40},{'IE' if number % 2 else 'US'},own,2020-01-01T00:00:00Z\n"
            )
    with (folder / "context" / "subjects.csv").open("w") as out:
        out.write("subject,region,kind\n")
        out.writelines(
            f"subject{number},{'XA' if number % 50 == 0 else 'EU' if number % 3 else 'US'},person\n" for number in range(subjects)
        )
    span = DAYS * 86_400
    step = span / tickets
    with (
        (folder / "context" / "tickets.csv").open("w") as tick,
        (folder / "context" / "assignments.csv").open("w") as assign,
        (folder / "accesses.ndjson").open("w") as out,
    ):
        tick.write("ticket,subject,kind,origin,opened,closed,inbound\n")
        assign.write("ticket,actor,valid_from,assigned_by\n")
        for number in range(tickets):
            opened = int(number * step)
            actor = min(int(random.paretovariate(0.8)) - 1, STAFF - 1) if random.random() < 0.5 else random.randrange(STAFF)
            subject = random.randrange(subjects)
            tick.write(f"ticket{number},subject{subject},help,subject,{_stamp(opened)},,msg{number}\n")
            assign.write(f"ticket{number},staff{actor},{_stamp(opened)},queue\n")
            for look in range(PER_TICKET):
                system, resource_name, fields = SYSTEMS[look % 3]
                stray = random.random() < 0.06
                who = random.randrange(STAFF) if stray else actor
                whom = random.randrange(subjects) if stray else subject
                row = {
                    "id": f"e{number}-{look}",
                    "time": _stamp(min(opened + look * 97, span - 1)),
                    "actor": f"staff{who}",
                    "actor_kind": "human",
                    "action": "read",
                    "system": system,
                    "resource": [resource_name],
                    "fields": list(fields),
                    "subjects": [f"subject{whom}"],
                    "purpose": "support",
                    "deliberate": True,
                }
                out.write(json.dumps(row) + "\n")


def _timed(arguments: list[str]) -> tuple[float, float, int, str]:
    """Return (wall s, CPU s, peak KiB, stdout) of a child process of its own."""
    wall, cpu, peak, out, status = cost(arguments)
    if status not in (0, 1):
        raise SystemExit(f"{' '.join(arguments[:4])} ended with {status}")
    return wall, cpu, peak, out


def _scan(home: Path) -> tuple[float, float]:
    """Return (wall s, CPU s) of the baseline: one full scan of the stored rows in the same engine."""
    from custodes.home import Home

    with Home.open(home) as opened:
        engine = opened.engine()
        opened.accesses().register(engine)
        began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        engine.rows("select actor, count(*), count(distinct access_id), max(time) from stored_accesses group by actor")
        after = resource.getrusage(resource.RUSAGE_SELF)
        engine.close()
    return time.monotonic() - began, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def measure(accesses: int, home: Path, seed: int) -> dict[str, object]:
    """Build (unless `home` is there), watch, and return the figures."""
    custodes = [sys.executable, "-m", "custodes"]
    loaded: float | None = None
    if not home.exists():
        with tempfile.TemporaryDirectory(prefix="custodes-bench-") as scratch:
            exports = Path(scratch) / "exports"
            write_exports(exports, accesses, seed)
            subprocess.run([*custodes, "init", str(home), "--simulated"], check=True, stdout=subprocess.DEVNULL)
            began = time.monotonic()
            subprocess.run([*custodes, "load", "--home", str(home), str(exports)], check=True, stdout=subprocess.DEVNULL)
            loaded = time.monotonic() - began
    wall, cpu, peak, out = _timed([*custodes, "watch", "--home", str(home), "--format", "json"])
    last_day = _stamp((DAYS - 1) * 86_400)
    _, day_cpu, _, _ = _timed([*custodes, "watch", "--home", str(home), "--since", last_day, "--format", "json"])
    scan_wall, scan_cpu = _scan(home)
    found = json.loads(out)
    return {
        "accesses": found["coverage"]["accesses"],
        "looks": found["coverage"]["looks"],
        "residue": found["coverage"]["residue"],
        "campaigns": len(found["campaigns"]),
        "load_wall_s": loaded and round(loaded, 1),
        "watch_wall_s": round(wall, 2),
        "watch_cpu_s": round(cpu, 2),
        "watch_peak_mb": round(peak / 1024),
        "last_day_cpu_s": round(day_cpu, 2),
        "scan_wall_s": round(scan_wall, 3),
        "ratio_to_scan": round(cpu / max(scan_cpu, 0.001), 1),
    }


def _split(exports: Path, into: Path) -> tuple[Path, Path]:
    """Put what bears the stamp of the last day into a folder of its own."""
    last, folders = _stamp((DAYS - 1) * 86_400)[:10], (into / "before", into / "day")
    for folder in folders:
        (folder / "context").mkdir(parents=True)
    for name in ("datamap.yaml", "policy.yaml", "context/staff.csv", "context/subjects.csv"):
        shutil.copy(exports / name, folders[0] / name)
    for name in ("context/tickets.csv", "context/assignments.csv", "accesses.ndjson"):
        with (exports / name).open() as source, (folders[0] / name).open("w") as before, (folders[1] / name).open("w") as day:
            if name.endswith(".csv"):
                head = source.readline()
                before.write(head)
                day.write(head)
            for line in source:
                (day if last in line else before).write(line)
    return folders


def _told(found: dict[str, Any]) -> tuple[object, ...]:
    """Return all that must not depend on what was kept."""
    names = ("finding", "rule", "level", "accesses", "codes", "missing", "evidence", "explained_by", "sentence", "score")
    findings = sorted([[row.get(name) for name in names] for row in found["findings"]], key=repr)
    ranked = [[row[name] for name in ("campaign", "level", "score", "sentence")] for row in found["campaigns"]]
    return findings, ranked, found["cut"], found["fairness"], found["coverage"]["residue"], found["coverage"]["explained"]


def measure_day(accesses: int, seed: int) -> dict[str, object]:
    """Watch 89 days, add one, watch again with what was kept and without; return the figures. Ends the program at a difference."""
    custodes = [sys.executable, "-m", "custodes"]
    with tempfile.TemporaryDirectory(prefix="custodes-bench-") as scratch:
        exports, home = Path(scratch) / "exports", Path(scratch) / "home"
        write_exports(exports, accesses, seed)
        before, day = _split(exports, Path(scratch) / "split")
        subprocess.run([*custodes, "init", str(home), "--simulated"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*custodes, "load", "--home", str(home), str(before)], check=True, stdout=subprocess.DEVNULL)
        watch = [*custodes, "watch", "--home", str(home), "--format", "json"]
        _, first_cpu, _, _ = _timed([*watch, "--keep"])
        subprocess.run([*custodes, "load", "--home", str(home), str(day)], check=True, stdout=subprocess.DEVNULL)
        wall, cpu, peak, out = _timed([*watch, "--keep"])
        full_wall, full_cpu, full_peak, full_out = _timed(watch)
    kept, whole = json.loads(out), json.loads(full_out)
    if not kept["coverage"]["kept"]["kept"] or whole["coverage"]["kept"]:
        raise SystemExit(f"nothing was kept, or a full run used it: {kept['coverage']['kept']}, {whole['coverage']['kept']}")
    if _told(kept) != _told(whole):
        raise SystemExit("the run with what was kept tells something else than the full one")
    return {
        "accesses": whole["coverage"]["accesses"],
        "asked": kept["coverage"]["kept"]["asked"],
        "findings": len(whole["findings"]),
        "first_89_days_cpu_s": round(first_cpu, 2),
        "day_wall_s": round(wall, 2),
        "day_cpu_s": round(cpu, 2),
        "day_peak_mb": round(peak / 1024),
        "full_wall_s": round(full_wall, 2),
        "full_cpu_s": round(full_cpu, 2),
        "full_peak_mb": round(full_peak / 1024),
        "day_to_full": round(cpu / full_cpu, 3),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accesses", type=int, nargs="+", default=[200_000])
    parser.add_argument("--home", type=Path, help="keep the home here (one size only), and use it if it is there")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--day", action="store_true", help="measure one new day after 89 that were watched")
    given = parser.parse_args()
    runs = [measure_day(accesses, given.seed) for accesses in given.accesses] if given.day else []
    for accesses in () if given.day else given.accesses:
        home = given.home or Path(tempfile.mkdtemp(prefix="custodes-bench-")) / "home"
        try:
            runs.append(measure(accesses, home, given.seed))
        finally:
            if not given.home:
                shutil.rmtree(home.parent, ignore_errors=True)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    print(json.dumps({"bench": "watch", "seed": given.seed, "machine": machine, "runs": runs}, indent=1))


if __name__ == "__main__":
    main()
