"""The same input gives the same findings, whatever the order of its rows, the threads of the engine and the batches of intake."""

from __future__ import annotations

import json
import random
import shutil
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from approval_stage import OLD, Stage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes import watch, watching
from custodes.home import Home

SUBJECTS = [f"customer-{number}" for number in range(12)]
ACTORS = ["reader", "mole", "dora", "finn", "hugo"]


def _looks() -> list[dict[str, Any]]:
    """Looks of five actors: some at anybody, some at the same two people, with and without a ticket."""
    chance = random.Random(5)
    rows = []
    for number in range(90):
        whom = chance.sample(SUBJECTS, chance.choice([1, 1, 1, 2])) if chance.random() < 0.7 else SUBJECTS[:2]
        rows.append(
            {
                "id": f"n{number}",
                "time": (OLD + timedelta(minutes=chance.randrange(60 * 24 * 40))).isoformat(),
                "actor": chance.choice(ACTORS),
                "action": chance.choice(["read", "read", "search"]),
                "system": chance.choice(["crm", "admin", "billing"]),
                "resource": "profile",
                "fields": chance.choice([["email"], ["ip_log"], ["email", "phone"]]),
                "subjects": whom,
                "reason": chance.choice(["", "T-1", "T-2", "T-none"]),
                "deliberate": chance.random() < 0.8,
            }
        )
    return rows


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with people and tickets, and no looks at these subjects yet."""
    stage = Stage.built(tmp_path_factory.mktemp("built"), simulated=True)
    opened = {"kind": "question", "origin": "subject", "opened": "2026-01-09T00:00:00Z"}
    stage.load("tickets", [{"ticket": f"T-{n}", "subject": SUBJECTS[n], "inbound": f"in-{n}", **opened} for n in range(4)])
    given_to = {"valid_from": "2026-01-09T01:00:00Z", "assigned_by": "queue-a"}
    stage.load("assignments", [{"ticket": f"T-{n}", "actor": ACTORS[n], **given_to} for n in range(4)])
    stage.load("links", [{"subject": SUBJECTS[0], "other": SUBJECTS[n], "kind": "contact"} for n in (3, 4, 5)])
    stage.home.close()
    return stage.folder / "home"


def _found(home: Path, rows: list[dict[str, Any]], *, cuts: list[int], threads: int, batch: int) -> list[tuple[Any, ...]]:
    with (home / "custodes.toml").open("a") as file:
        file.write(f'\n[engine]\nthreads = {threads}\n\n[intake]\nbatch_records = {batch}\n\n[rank]\nscore = "cold"\n')
    with Home.open(home) as opened:
        ends = sorted({0, len(rows), *cuts})
        for number, (begin, end) in enumerate(pairwise(ends)):
            path = home.parent / f"part-{number}.ndjson"
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows[begin:end]))
            opened.intake().read("access", [str(path)])
        rooms = watching.rooms(opened)
        try:
            run = watch.run(rooms)
        finally:
            rooms.engine.close()
    assert not run.failed_rules
    shown = [(c.level, c.score, c.sentence, sorted(c.findings), c.accesses, c.codes, c.missing) for c in run.campaigns]
    told = [(f.finding, f.key, f.level, f.score, f.sentence, sorted(f.accesses)) for f in run.findings.values()]
    return [shown, sorted(told), run.cut, run.fairness, run.residue]  # type: ignore[list-item]  # compared as a whole


@pytest.fixture(scope="module")
def expected(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    home = tmp_path_factory.mktemp("first") / "home"
    shutil.copytree(empty, home)
    found = _found(home, _looks(), cuts=[], threads=1, batch=50_000)
    assert len(found[0]) > 5
    assert len(found[1]) > len(found[0])
    return found


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 89), max_size=3),
    threads=st.sampled_from([1, 2]),
    batch=st.sampled_from([7, 50, 50_000]),
)
def test_same_input_same_findings_in_any_order_on_any_threads_in_any_batches(  # noqa: PLR0917  # what is drawn, and fixtures
    empty: Path,
    expected: list[tuple[Any, ...]],
    tmp_path_factory: pytest.TempPathFactory,
    order: random.Random,
    cuts: list[int],
    threads: int,
    batch: int,
) -> None:
    home = tmp_path_factory.mktemp("again") / "home"
    shutil.copytree(empty, home)
    rows = _looks()
    order.shuffle(rows)
    assert _found(home, rows, cuts=cuts, threads=threads, batch=batch) == expected
