"""`custodes evaluate permit`: permit applications with a declared responsible; two counts that must be exact."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from custodes.evaluate import street, xes

EXACT: Final = {"accesses": 2822, "explained": 1223}
"""First rows of (resource, case, UTC day), and those of them that the responsible made."""


def evaluate(path: Path) -> dict[str, object]:
    """Return `custodes.evaluation/1` with both counts, and whether they are the ones that the definition asks for."""
    traces = list(xes.traces(path))
    rows = sorted(
        (
            (xes.moment(event["time:timestamp"]), event.get("org:resource", ""), trace.attributes["concept:name"])
            for trace in traces
            for event in trace.events
        ),
        key=lambda row: row[0],
    )
    looks, days = [], set()
    for time, actor, case in rows:
        if (actor, case, time.date()) not in days:
            days.add((actor, case, time.date()))
            looks.append((time, actor, case, "read"))
    declared = street.context_table(
        "assignments",
        (
            {"ticket": trace.attributes["concept:name"], "actor": trace.attributes.get("responsible"), "row_key": "declared"}
            for trace in traces
        ),
    )
    found = street.explained_by(street.looks_table(looks), {"assignments": declared}, "permit_templates")
    counts = {"accesses": len(looks), "explained": len(found["T1"])}
    return {
        "schema": "custodes.evaluation/1",
        "benchmark": "permit",
        "data_sha256": xes.digest(path),
        "log": {"rows": len(rows), "cases": len(traces), "resources": len({row[1] for row in rows})},
        "counts": counts,
        "exact": counts == EXACT,
    }
