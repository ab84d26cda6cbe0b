"""Rules on the record itself against plain evaluators on small random worlds: gaps.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from small_worlds import (
    HOUR,
    MINUTE,
    Found,
    World,
    agrees,
    explained,
    held,
    looks,
    moments,
    verdicts,
)

from custodes.engines.duckdb_engine import DuckDBEngine, open_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with tempfile.TemporaryDirectory() as folder, open_engine(memory_mb=512, threads=1, directory=Path(folder)) as opened:
        yield opened


# — D19 gap —


def gap(world: World) -> Found:
    unmet = {row["access"] for row in world["obligations"] if row["met"] == 0}
    grave = [
        look
        for look in world["looks"]
        if not held(world, look) and not look["public_only"] and (look["unit"] == "audit" or look["access"] in unmet)
    ]
    found = set()
    for hole in world["gaps"]:
        near = [look for look in grave if hole["begins"] - 12 * HOUR <= look["time"] <= hole["ends"] + 12 * HOUR]
        accesses = {look["access"] for look in near}
        found.add((hole["access"], "unknown", "high" if near else "medium", len(accesses)))
        found |= {(look["access"], look["actor"], "high", len(accesses)) for look in near}
    return found


test_gap = agrees(
    "D19",
    ("access", "actor", "level", "looks_beside"),
    st.fixed_dictionaries(
        {
            "looks": looks(2, 6, system=st.just("crm"), unit=st.sampled_from(["audit", "support"])),
            "units": st.just(
                [
                    {"unit": "audit", "prefix": "audit", "no_subject_duty": 1},
                    {"unit": "support", "prefix": "support", "no_subject_duty": 0},
                ]
            ),
            "gaps": moments.map(
                lambda begins: [
                    {
                        "kind": "sequence",
                        "system": "crm",
                        "access": 50,
                        "first_missing": 1,
                        "last_missing": 2,
                        "missing": 2,
                        "begins": begins,
                        "ends": begins + 20 * MINUTE,
                    }
                ]
            ),
            "obligations": verdicts(3, duty=st.just("two_person"), met=st.sampled_from([0, 1])),
            "explanations": explained,
        }
    ),
    gap,
)
