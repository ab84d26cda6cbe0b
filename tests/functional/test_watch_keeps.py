"""What runs keep is a cache: a new day asks few looks, finds the same, and nothing damaged, forged or stale is ever used."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from approval_stage import LATER, OLD, SUBJECT, Stage
from kept_run import judged

from custodes.cli.watch import run_watch
from custodes.home import Home
from custodes.model.run import Kept, WatchRun

SUBJECTS = [f"customer-{number}" for number in range(8)]
ACTORS = ("reader", "mole", "dora", "finn", "hugo")
OF_THIS_RUN = {"kept", "checkpoint", "rules", "audit", "audit_of", "audit_by", "changes", "same", "repeats"}


def _looks(days: range, chance: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "id": f"k{day}-{number}",
            "time": (OLD + timedelta(days=day, minutes=chance.randrange(1440))).isoformat(),
            "actor": chance.choice(ACTORS),
            "action": "read",
            "system": chance.choice(["crm", "admin"]),
            "resource": "profile",
            "fields": chance.choice([["email"], ["ip_log"]]),
            "subjects": [chance.choice(SUBJECTS)],
            "reason": chance.choice(["", "T-1", "T-late"]),
            "deliberate": True,
        }
        for day in days
        for number in range(6)
    ]


def _read(stage: Stage, rows: list[dict[str, Any]]) -> None:
    path = stage.folder / f"looks-{len(list(stage.folder.glob('looks-*')))}.ndjson"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    stage.home.intake().read("access", [str(path)])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    stage = Stage.built(tmp_path_factory.mktemp("built"), simulated=True)
    opened = {"origin": "subject", "opened": OLD.isoformat(), "inbound": "mail"}
    stage.load("tickets", [{"ticket": "T-1", "subject": SUBJECTS[1], **opened}])
    given = {"valid_from": OLD.isoformat(), "assigned_by": "queue"}
    stage.load("assignments", [{"ticket": "T-1", "actor": name, **given} for name in ACTORS[:2]])
    _read(stage, _looks(range(12), random.Random(3)))
    stage.home.close()
    return stage.folder


@pytest.fixture
def stage(built: Path, tmp_path: Path) -> Iterator[Stage]:
    """A home with twelve days that were explained."""
    stage = Stage(built, Home.open(built / "home")).copied(tmp_path)
    judged(stage.home, keep=True)
    yield stage
    stage.home.close()


def _watch(home: Home, *, keep: bool = True) -> WatchRun:
    return run_watch(home, since=None, until=None, budget=50, keep=keep)


def _same(one: WatchRun, other: WatchRun) -> None:
    for field in fields(WatchRun):
        if field.name not in OF_THIS_RUN:
            assert getattr(one, field.name) == getattr(other, field.name), field.name


def _asked(stage: Stage) -> Kept:
    """Explain with what is kept; the views must be those of a full run."""
    seen, kept = judged(stage.home, keep=True)
    assert seen == judged(stage.home, keep=False)[0]
    assert kept is not None
    return kept


def test_a_new_day_asks_its_own_looks_and_finds_what_a_full_run_finds(stage: Stage) -> None:
    _watch(stage.home)
    _read(stage, _looks(range(12, 13), random.Random(4)))
    run = _watch(stage.home)
    assert run.kept is not None
    assert (run.kept.asked, run.kept.kept, run.kept.why) == (6, run.looks - 6, "")
    _same(run, _watch(stage.home, keep=False))


def test_a_late_reason_withdraws_what_was_found_though_verdicts_were_kept(stage: Stage) -> None:
    before = _watch(stage.home)
    opened = {"origin": "subject", "opened": OLD.isoformat(), "inbound": "mail"}
    tickets = [{"ticket": f"L-{number}", "subject": name, **opened} for number, name in enumerate(SUBJECTS)]
    stage.load("tickets", tickets)
    given = {"valid_from": OLD.isoformat(), "assigned_by": "queue"}
    stage.load("assignments", [{"ticket": row["ticket"], "actor": name, **given} for row in tickets for name in ACTORS])
    run = _watch(stage.home)
    assert run.kept is not None
    assert run.kept.why == ""
    assert before.findings
    assert {change.change for change in run.changes} & {"withdrawn", "weakened"}


def test_a_run_with_nothing_new_asks_nothing(stage: Stage) -> None:
    assert _asked(stage).asked == 0


def test_a_ticket_entered_late_asks_the_looks_it_can_bear_on_and_no_others(stage: Stage) -> None:
    opened = {"origin": "subject", "opened": (OLD + timedelta(days=3)).isoformat(), "inbound": "mail"}
    stage.load("tickets", [{"ticket": "T-late", "subject": SUBJECTS[5], **opened}])
    stage.load("assignments", [{"ticket": "T-late", "actor": "finn", "valid_from": opened["opened"], "assigned_by": "queue"}])
    kept = _asked(stage)
    assert kept.why == ""
    assert 0 < kept.asked < kept.kept


DAMAGED = "what was kept is damaged"


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("cut short", DAMAGED),
        ("one byte", DAMAGED),
        ("gone", DAMAGED),
        ("half a state", DAMAGED),
        ("no state", "nothing was kept"),
        ("forged", DAMAGED),
    ],
)
def test_what_is_damaged_is_recognised_and_made_anew(stage: Stage, what: str, why: str) -> None:
    folder = stage.home.path / "derived"
    state, first = folder / "state.json", max(folder.glob("*.parquet"), key=lambda file: file.stat().st_size)
    held, told = first.read_bytes(), state.read_bytes()
    match what:
        case "cut short":
            first.write_bytes(held[:-100])
        case "one byte":
            first.write_bytes(held[: len(held) // 2] + bytes([held[len(held) // 2] ^ 1]) + held[len(held) // 2 + 1 :])
        case "gone":
            first.unlink()
        case "no state":
            state.unlink()
        case "forged":  # verdicts of one's own, with the digest that they have, but without the key
            first.write_bytes(held + b"x")
            was, now = (blake2b(data, digest_size=32).hexdigest().encode() for data in (held, held + b"x"))
            assert was in told
            state.write_bytes(told.replace(was, now))
        case _:
            state.write_bytes(told[: len(told) // 2])
    kept = _asked(stage)
    assert (kept.why, kept.kept) == (why, 0)
    assert judged(stage.home, keep=True)[1] == Kept(0, kept.asked, "")


def test_what_stands_on_something_else_is_made_anew_and_the_run_says_why(stage: Stage) -> None:
    (stage.home.path / "policy.yaml").write_text("schema: custodes.policy/1\nticket_grace_hours: 1\n")
    with Home.open(stage.home.path) as changed:
        stage.home = changed
        assert _asked(stage).why == "policy changed"
        stage.load("staff", [{"actor": "newcomer", "unit": "support/tier1/dublin", "manager": "hugo"}])
        assert _asked(stage).why == "staff changed, which may bear on any look"


def test_a_run_over_a_part_of_the_record_neither_uses_nor_changes_what_is_kept(stage: Stage) -> None:
    state = (stage.home.path / "derived" / "state.json").read_bytes()
    assert run_watch(stage.home, since=OLD + timedelta(days=5), until=None, budget=50, keep=True).kept is None
    assert (stage.home.path / "derived" / "state.json").read_bytes() == state


def test_an_erasure_empties_what_runs_kept(stage: Stage) -> None:
    stage.now = LATER
    stage.carry_out(stage.approved())
    assert not (stage.home.path / "derived").exists()
    assert _asked(stage).why == "nothing was kept"
    subject = stage.home.pseudonyms.once("subject", SUBJECT).encode()
    assert not any(subject in file.read_bytes() for file in (stage.home.path / "derived").iterdir())
