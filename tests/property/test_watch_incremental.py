"""Random batches of looks, random late loads of context: what is kept from run to run is what a run over everything works out.

And what is told as it comes is what such a run tells.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from approval_stage import OLD, Stage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kept_run import judged

from custodes import explain, follow, rule, watching
from custodes.explain.warm import Outdated
from custodes.following import Basis, ground
from custodes.home import Home
from custodes.model.finding import Finding
from custodes.model.run import Kept

ACTORS = ("reader", "mole", "dora", "finn", "hugo")
SUBJECTS = tuple(f"customer-{number}" for number in range(4))
REASONS = ("T-1", "T-2", "T-3", "K-1", "K-2", "G-1", "L-1", "I-1", "nowhere")
STEPS = (0, 1, 20, 24, 47, 80, 24 * 9)
"""Hours after the beginning."""
_NUMBERS = count()

hours = st.sampled_from(STEPS)
moment = hours.map(lambda hour: (OLD + timedelta(hours=hour)).isoformat())
maybe = st.one_of(st.just(""), moment)
who, whom = st.sampled_from(ACTORS), st.sampled_from(SUBJECTS)
by = st.sampled_from((*ACTORS, "queue", ""))


def _row(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(columns)


ticket, case = st.sampled_from(["T-1", "T-2", "T-3"]), st.sampled_from(["K-1", "K-2"])
CONTEXT: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "tickets": _row(
        ticket=ticket, subject=whom, kind=st.sampled_from(["help", "privacy_request"]), origin=st.just("subject"),
        opened=moment, closed=maybe, opened_by=by, inbound=st.sampled_from(["mail", ""]),
    ),
    "assignments": st.one_of(
        _row(ticket=ticket, actor=who, valid_from=maybe, valid_to=maybe, assigned_by=by),
        _row(case=case, actor=who, valid_from=maybe, valid_to=maybe, assigned_by=by),
    ),
    "cases": _row(
        case=case, kind=st.sampled_from(["fraud", "quality", "training", "oversight"]), opened=moment, closed=maybe, opened_by=by,
        scope_kind=st.sampled_from(["subjects", "staff", "set"]),
    ),
    "case_scope": _row(case=case, subject=whom, added=maybe, added_by=by),
    "grants": _row(
        grant=st.just("G-1"), actor=who, subject=st.sampled_from([*SUBJECTS, "*"]), valid_from=maybe, valid_to=maybe,
        requested_by=by, break_glass=st.sampled_from(["true", "false", ""]),
    ),
    "approvals": _row(
        grant=st.just("G-1"), approver=who, at=moment, decision=st.sampled_from(["approve", "deny", "revoke", "review_ok"])
    ),
    "legal": _row(
        process=st.just("L-1"), kind=st.sampled_from(["order", "request"]), subject=whom,
        verified=st.sampled_from(["true", "false"]), served=maybe,
        expires=maybe, approver_class=st.sampled_from(["judge", "clerk", ""]),
    ),
    "consents": _row(subject=whom, actor=who, valid_from=maybe, valid_to=maybe),
    "relations": _row(subject=whom, actor=who, kind=st.sampled_from(["self", "family"])),
    "subjects": _row(subject=whom, region=st.just("EU"), kind=st.sampled_from(["person", "test", "staff_account"]),
                     person=who.map(lambda name: f"person of {name}")),
    "roster": _row(incident=st.sampled_from(["I-1", ""]), unit=st.just("support"), actor=who, valid_from=maybe, valid_to=maybe),
    "incidents": _row(incident=st.just("I-1"), kind=st.sampled_from(["outage", "life_safety"]), opened=moment, closed=maybe),
}  # fmt: skip
LOOK = _row(
    time=moment, actor=who, subjects=st.lists(whom, min_size=0, max_size=2, unique=True),
    reason=st.sampled_from(["", "", *REASONS]), purpose=st.sampled_from(["support", "legal_process", "repair", ""]),
    break_glass=st.sampled_from([None, None, True]), copy=st.sampled_from(["", "", "", "writes X", "opens X"]),
)  # fmt: skip
LOAD = st.sampled_from(sorted(CONTEXT)).flatmap(
    lambda table: st.tuples(st.just(table), st.lists(CONTEXT[table], min_size=1, max_size=3))
)
BATCH = st.tuples(st.lists(LOAD, max_size=4), st.lists(LOOK, max_size=5))
POLICY = b"""
schema: custodes.policy/1
regions: {EU: {countries: [IE], entities: [own], support_only: [PH]}}
protected: {journalist: {obliges: [outside_approver, reason]}, minor: {obliges: [reason]}}
"""
SINGLE = [entry for entry in rule.load_shelf() if entry.reach == "look"]
Batch = tuple[list[tuple[str, list[dict[str, Any]]]], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with people, every table loaded once, and a first week of looks."""
    stage = Stage.built(tmp_path_factory.mktemp("built"), simulated=True)
    first = (OLD + timedelta(hours=2)).isoformat()
    stage.load("subjects", [{"subject": name, "region": "EU", "kind": "person"} for name in SUBJECTS])
    stage.load("tickets", [{"ticket": "T-1", "subject": SUBJECTS[0], "origin": "subject", "opened": first, "inbound": "mail"}])
    stage.load("assignments", [{"ticket": "T-1", "case": "", "actor": "reader", "valid_from": first, "assigned_by": "queue"}])
    for table, row in (
        ("cases", {"case": "K-1", "kind": "fraud", "opened": first}),
        ("case_scope", {"case": "K-1", "subject": SUBJECTS[1], "added": first}),
        ("grants", {"grant": "G-1", "actor": "mole", "subject": SUBJECTS[2], "valid_from": first}),
        ("approvals", {"grant": "G-1", "approver": "hugo", "at": first, "decision": "approve"}),
        ("legal", {"process": "L-1", "subject": SUBJECTS[3], "verified": "true"}),
        ("consents", {"subject": SUBJECTS[3], "actor": "finn"}),
        ("relations", {"subject": SUBJECTS[3], "actor": "dora", "kind": "family"}),
        ("roster", {"incident": "I-1", "unit": "support", "actor": "finn", "valid_from": first}),
        ("incidents", {"incident": "I-1", "kind": "outage", "opened": first}),
    ):
        stage.load(table, [row])
    stage.home.adopt("policy.yaml", POLICY)
    for name, cls in ((SUBJECTS[0], "journalist"), (SUBJECTS[1], "minor")):
        stage.home.registry().enrol(stage.home.pseudonyms.once("subject", name), cls)
    stage.home.close()
    return stage.folder / "home"


def _give(home: Home, folder: Path, batch: Batch) -> None:
    loads, seen = batch
    for table, rows in loads:
        path = folder / f"{table}-{next(_NUMBERS)}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for row in rows for name in row}), restval="")
            writer.writeheader()
            writer.writerows(rows)
        home.context().load(table, path)
    lines = []
    for row in seen:
        copy = {"writes X": {"derived": "X", "action": "export"}, "opens X": {"derived_from": "X"}}.get(row["copy"], {})
        filled = {name: value for name, value in row.items() if name != "copy" and value not in ("", None)}
        lines.append(
            {
                "id": f"n{next(_NUMBERS)}",
                "action": "read",
                "system": "crm",
                "resource": "profile",
                "fields": ["email"],
                **filled,
                **copy,
            }
        )
    if lines:
        path = folder / f"accesses-{next(_NUMBERS)}.ndjson"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        home.intake().read("access", [str(path)])


def _agree(base: Path, folder: Path, batches: list[Batch]) -> list[Kept]:
    """Give the batches one after the other; after each, what is kept and what is worked out anew must be the same."""
    home = folder / f"home-{next(_NUMBERS)}"
    shutil.copytree(base, home)
    told = []
    with Home.open(home) as opened:
        judged(opened, keep=True)
        for batch in batches:
            _give(opened, folder, batch)
            seen, kept = judged(opened, keep=True)
            whole, _ = judged(opened, keep=False)
            assert kept is not None
            assert seen == whole
            told.append(kept)
    shutil.rmtree(home)
    return told


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches=st.lists(BATCH, min_size=1, max_size=2))
def test_kept_verdicts_are_those_of_a_full_run(base: Path, tmp_path: Path, batches: list[Batch]) -> None:
    _agree(base, tmp_path, batches)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches=st.lists(BATCH, min_size=1, max_size=4))
def test_kept_verdicts_are_those_of_a_full_run_long(base: Path, tmp_path: Path, batches: list[Batch]) -> None:
    _agree(base, tmp_path, batches)


def _whole(home: Home) -> dict[str, Finding]:
    """What a full run tells by the rules that stand on single looks."""
    rooms = watching.rooms(home)
    try:
        rooms.build_views(rooms.engine, None, None, None)
        explain.run(rooms.engine, rooms.templates, rooms.policy, rooms.loaded)
        return {found.finding: found for found in rule.run_shelf(rooms.engine, SINGLE, rooms.loaded).findings}
    finally:
        rooms.engine.close()


def _stands(following: follow.Follow) -> dict[str, Finding]:
    return {name: found for one in following.standing() for name, found in one.findings.items()}


def _news(following: follow.Follow, basis: Basis) -> list[follow.News] | None:
    """Take what waits, part by part; None where the state has to be made anew."""
    if basis.changed():
        return None
    try:
        return [following.take([part]) for part in following.waiting()]
    except Outdated:
        return None


def _follow(base: Path, folder: Path, batches: list[Batch]) -> None:
    """Give the batches one after the other; after each, what stands is what a full run tells, and the news lead there."""
    home = folder / f"home-{next(_NUMBERS)}"
    shutil.copytree(base, home)
    opened = Home.open(home)
    basis, following = Basis(opened), follow.Follow(ground(opened))
    told = set(_stands(following))
    assert told == set(_whole(opened))
    for batch in batches:
        _give(opened, folder, batch)
        before = _stands(following)
        news = _news(following, basis)
        if news is None:
            opened.close()
            opened = Home.open(home)
            earlier, basis, following = following, Basis(opened), follow.Follow(ground(opened))
            news = [following.since(earlier)]
            earlier.close()
        stands = _stands(following)
        assert stands == _whole(opened)
        fresh = [found.finding for one in news for found in one.findings]
        assert not told.intersection(set(fresh) - set(before))
        assert len(fresh) == len(set(fresh))
        assert set(stands) - set(before) <= set(fresh)
        gone = set(before) - set(stands)
        said = {name for one in news for names in one.instead_of.values() for name in names}
        said |= {change.finding for one in news for change in one.changes}
        assert gone <= said
        told.update(stands)
    following.close()
    opened.close()
    shutil.rmtree(home)


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches=st.lists(BATCH, min_size=1, max_size=2))
def test_what_is_told_as_it_comes_is_what_a_full_run_tells(base: Path, tmp_path: Path, batches: list[Batch]) -> None:
    _follow(base, tmp_path, batches)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(batches=st.lists(st.tuples(st.just([]), st.lists(LOOK, max_size=6)), min_size=1, max_size=5))
def test_what_is_told_as_it_comes_is_what_a_full_run_tells_long(base: Path, tmp_path: Path, batches: list[Batch]) -> None:
    _follow(base, tmp_path, batches)
