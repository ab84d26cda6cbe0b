"""One measured stage of `bench/scale.py`, in a process of its own: `python scale_run.py explain|watch|scan HOME [--digest]`."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


class Clock:
    """Wall and CPU seconds between marks."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._name, self._wall, self._cpu = "", time.monotonic(), _cpu()

    def mark(self, name: str) -> None:
        """End the stage that runs, begin the next."""
        wall, cpu = time.monotonic(), _cpu()
        if self._name:
            self.stages[self._name] = {"wall_s": round(wall - self._wall, 2), "cpu_s": round(cpu - self._cpu, 2)}
        self._name, self._wall, self._cpu = name, wall, cpu


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


DIGESTS = {
    "explanations": "access, subject, template, strength, evidence_table, evidence_key",
    "flags": "access, subject, template, code, evidence_table, evidence_key",
    "lacks": "access, subject, token, evidence_table, evidence_key",
    "obligations": "access, subject, duty, met",
    "residue": "access, subject, via, fieldset, unit, reason",
}


def digests(engine) -> dict[str, str]:  # type: ignore[no-untyped-def]  # an engine of the product
    """Return rows and an order-free digest of every verdict table."""
    found = {}
    for name, columns in DIGESTS.items():
        hashed = f"hash({', '.join(f'CAST({column} AS VARCHAR)' for column in columns.split(', '))})"
        count, total = engine.rows(f"SELECT count(*), sum(CAST({hashed} AS HUGEINT)) FROM {name}")[0]
        found[name] = f"{count} {int(total or 0) % 2**64:016x}"
    return found


def explain(home: Path, *, digest: bool) -> dict[str, object]:
    """Views, then every template and the verdicts."""
    from custodes import explain as room
    from custodes import watching
    from custodes.home import Home

    clock = Clock()
    with Home.open(home) as opened:
        clock.mark("open")
        rooms = watching.rooms(opened)
        clock.mark("views")
        rooms.build_views(rooms.engine, None, None)
        clock.mark("explain")
        done = room.run(rooms.engine, rooms.templates, rooms.policy, rooms.loaded)
        clock.mark("")
        told = digests(rooms.engine) if digest else {}
        tickets = rooms.engine.rows("SELECT count(*) FROM tickets")[0][0]
        rooms.engine.close()
    return {
        "tickets": tickets,
        "looks": done.looks,
        "residue": done.residue,
        "explained": done.explained,
        "not_checked": [item.what for item in done.not_checked],
        "stages": clock.stages,
        "templates": {use.code: round(use.seconds, 2) for use in done.uses},
        **({"digests": told} if told else {}),
    }


def watch(home: Path, *, digest: bool) -> dict[str, object]:
    """The whole street; the stages are those that it names as it begins them."""
    from hashlib import sha256

    from custodes import watch as street
    from custodes import watching
    from custodes.home import Home

    clock = Clock()
    with Home.open(home) as opened:
        clock.mark("open")
        rooms = watching.rooms(opened)
        done = street.run(rooms, say=clock.mark)
        clock.mark("")
        told = digests(rooms.engine) if digest else {}
        rooms.engine.close()
    findings = sorted(repr(finding) for finding in done.findings.values())
    return {
        "accesses": done.accesses,
        "looks": done.looks,
        "residue": done.residue,
        "explained": done.explained,
        "campaigns": len(done.campaigns),
        "findings": len(done.findings),
        "cut": done.cut,
        "ranked_by": f"{done.ranked_by.method}: {done.ranked_by.why}",
        "not_checked": [item.what for item in done.not_checked],
        "failed": [f"{item.what}: {item.why}" for item in done.failed_rules],
        "stages": clock.stages,
        "rules": {use.code: [use.findings, round(use.seconds, 2)] for use in done.rules},
        **({"digests": {**told, "findings": sha256("\n".join(findings).encode()).hexdigest()[:16]}} if told else {}),
    }


def scan(home: Path, *, digest: bool) -> dict[str, object]:
    """One full scan of the stored accesses and touches."""
    del digest
    from custodes.home import Home

    with Home.open(home) as opened:
        engine = opened.engine()
        opened.accesses().register(engine)
        began, used = time.monotonic(), _cpu()
        engine.rows("select actor, count(*), count(distinct access_id), max(time) from stored_accesses group by actor")
        engine.rows("select count(*), count(distinct subject) from stored_touches")
        wall, cpu = time.monotonic() - began, _cpu() - used
        accesses = engine.rows("select count(*) from stored_accesses")[0][0]
        engine.close()
    return {"accesses": accesses, "scan_wall_s": round(wall, 2), "scan_cpu_s": round(cpu, 2)}


def main() -> None:
    """Run the stage that is named; print its figures as JSON. A run in which nothing was judged is an error."""
    stage, home, digest = sys.argv[1], Path(sys.argv[2]), "--digest" in sys.argv
    found = {"explain": explain, "watch": watch, "scan": scan}[stage](home, digest=digest)
    if stage != "scan" and not (found["residue"] and found["explained"]):
        raise SystemExit("nothing was judged")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
