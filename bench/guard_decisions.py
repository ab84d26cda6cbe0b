"""Decisions of the guard without the record: per second on two processes, and beside bare Cedar in the same run.

    python bench/guard_decisions.py [--count N]

Targets: 5,000 decisions a second on two processes, and at most 4 times the cost of bare Cedar with the same rules and facts.
Bare Cedar: the same policies, schema, entities and request, already built; nothing around the call. Times are of the processor, so
that other work on the machine changes them little; the rate by the clock stands beside. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context

import cedarpy

from custodes.guard import decide
from custodes.guard.decide import Judge
from custodes.guard.words import Known, Request
from custodes.model.policy import Policy

PER_SECOND, RATIO = 5_000, 4.0
REGIONS = {"EU": {"countries": ["IE", "FR"], "support_only": ["PH"]}, "US": {"countries": ["US"]}}
PURPOSES = {"support": ["identity", "ip_address"], "trust_safety": ["*"], "fraud": ["payment", "identity"]}


def judge() -> Judge:
    """Return a judge of a small policy."""
    made = Judge(None)
    wrong = made.reload(Policy.of({"schema": "custodes.policy/1", "regions": REGIONS, "purposes": PURPOSES}), b"")
    if wrong:
        raise SystemExit(wrong)
    return made


def asked(number: int) -> tuple[Request, Known]:
    """Return the request of that number: one in four is refused."""
    request = Request(
        f"a-{number % 50}", "value", "app-db", ("app.users.last_ip",), f"s-{number}", "support", "SUPPORT_CASE", "T-1", grant="g-1"
    )
    known = Known(
        unit="support/eu",
        place_of_work="IE",
        session_country="IE",
        employed=True,
        human=True,
        region="EU",
        categories=("ip_address",),
        duties=(),
        reason_stands=True,
        granted=True,
    )
    return request, known if number % 4 else replace(known, granted=False)


def timed(count: int, one: Callable[[int], bool]) -> float:
    """Return the processor's seconds for `count` calls; their answers are checked."""
    start = time.process_time()
    allowed = sum(one(number) for number in range(count))
    spent = time.process_time() - start
    if allowed != count - (count + 3) // 4:
        raise SystemExit("the decisions are not those expected")
    return spent


def ours(count: int) -> float:
    """Return seconds for the guard's decisions."""
    made, requests = judge(), [asked(number) for number in range(count)]
    return timed(count, lambda number: made.decide(*requests[number]).allowed)


def bare(count: int) -> float:
    """Return seconds for the same questions put to Cedar alone."""
    rules = judge().rules
    if rules is None:
        raise SystemExit("no rules")
    requests = [decide._asked(rules.policy, *asked(number)) for number in range(count)]  # noqa: SLF001  # the very same questions

    def one(number: int) -> bool:
        found = cedarpy.is_authorized(requests[number], rules.policies, rules.facts, schema=rules.schema)
        return found.decision is cedarpy.Decision.Allow

    return timed(count, one)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=4_000)
    count = parser.parse_args().count
    ratios = [ours(count) / bare(count) for _ in range(3)]
    with get_context("spawn").Pool(2) as pool:
        pool.map(ours, [200, 200])  # both have imported everything
        start = time.perf_counter()
        spent = pool.map(ours, [count, count], chunksize=1)
        clock = 2 * count / (time.perf_counter() - start)
    rate, ratio = sum(count / seconds for seconds in spent), statistics.median(ratios)
    found = {"decisions_per_s_2_processes": round(rate), "by_the_clock": round(clock), "times_bare_cedar": round(ratio, 2)}
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    document = {"schema": "custodes.bench/1", "bench": "guard_decisions", "count": count}
    print(json.dumps(document | {"machine": machine, "figures": found}, indent=1))
    return 0 if rate >= PER_SECOND and ratio <= RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
