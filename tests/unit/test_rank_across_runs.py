"""Verdicts across runs, slots by lot, what labels tell, and how findings fall on groups: each on values small enough to see."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pytest

from custodes.engines.duckdb_engine import open_engine
from custodes.model.finding import Finding
from custodes.model.run import Checkpoint, Known, Spread
from custodes.rank.again import Ran, compare
from custodes.rank.coarse import Coarse
from custodes.rank.fairness import FEW, _groups, _Person, _spread, interval
from custodes.rank.lessons import missed
from custodes.rank.lot_of_accesses import draw

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def finding(
    name: str, *leaves: int, level: str = "medium", key: str = "k", day: int = 0, explained: tuple[str, ...] = ()
) -> Finding:
    return Finding(
        finding=name, rule="D01", rule_version=1, title="", level=level, confidence="high", actors=("a-1",), subjects=("s-1",),
        accesses=tuple(f"x-{leaf}" for leaf in leaves), leaves=leaves, first=START + day * DAY, last=START + day * DAY, sentence="",
        codes=("V1",), explained_by=explained, key=key,
    )  # fmt: skip


def known(name: str, *leaves: int, level: str = "medium", repeats: int = 0, since: datetime | None = None) -> Known:
    return Known(name, "D01", "k", level, ("V1",), (), frozenset(leaves), START, START, since, None, repeats)


def ran(met: set[int], *, since: datetime | None = None, rule: str = "D01", held: tuple[str, ...] = ()) -> Ran:
    return Ran({"D01": met}, {rule: 7}, held, since, None)


def test_the_same_finding_again_is_neither_repeat_nor_change() -> None:
    seen = compare([known("f", 1, 2)], [finding("f", 1, 2)], ran({1, 2}))
    assert (seen.changes, seen.same, seen.repeats) == ((), {}, {})


def test_new_accesses_of_the_same_key_within_the_days_are_a_repeat() -> None:
    seen = compare([known("f", 1, repeats=1)], [finding("g", 1, 2)], ran({1}))
    assert (seen.same, seen.repeats, seen.changes) == ({"g": "f"}, {"g": 2}, ())
    assert compare([known("f", 1)], [finding("g", 9, day=6)], ran({1})).same == {"g": "f"}
    assert compare([known("f", 1)], [finding("g", 9, day=8)], ran({1})).same == {}
    assert compare([known("f", 1)], [finding("g", 9, key="other")], ran({1})).same == {}


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (finding("f", 1, 2, level="low"), "weakened"),
        (finding("f", 1, 2, explained=("E2",)), "weakened"),
        (finding("g", 1), "weakened"),
        (finding("f", 1, 2, level="high"), "strengthened"),
    ],
)
def test_another_verdict_over_the_same_accesses_is_a_change(now: Finding, word: str) -> None:
    changes = compare([known("f", 1, 2)], [now], ran({1, 2})).changes
    assert [(one.finding, one.change) for one in changes] == [("f", word)]


def test_a_finding_is_withdrawn_only_if_its_rule_looked_and_saw_nothing() -> None:
    assert [one.change for one in compare([known("f", 1)], [], ran(set())).changes] == ["withdrawn"]
    assert compare([known("f", 1)], [], ran({1})).changes == ()  # cut from what is shown, and still seen
    assert compare([known("f", 1)], [], ran(set(), rule="D02")).changes == ()  # the rule did not run
    assert compare([known("f", 1)], [], ran(set(), since=START)).changes == ()  # less was looked at than before
    assert compare([known("f", 1)], [], ran(set(), held=("f",))).changes == ()  # held back by two people
    assert [one.change for one in compare([known("f", 1, since=START)], [], ran(set(), since=START)).changes] == ["withdrawn"]


def _signed(root: bytes, size: int) -> Checkpoint:
    return Checkpoint("log", size, base64.b64encode(root).decode())


def test_audit_slots_follow_the_checkpoint_and_pass_over_what_is_shown(tmp_path: Path) -> None:
    size, count = 5_000, 40
    leaves = list(range(4_000, 4_000 + count))
    root = sha256(b"one").digest()
    with open_engine(memory_mb=256, threads=1, directory=tmp_path) as engine:
        engine.table("accesses", pa.table({"access": leaves, "access_id": [f"x-{leaf}" for leaf in leaves]}))
        one = draw(engine, lambda _: _signed(root, size), [], count)
        same = draw(engine, lambda _: _signed(root, size), [], count)
        other = draw(engine, lambda _: _signed(sha256(b"two").digest(), size), [], count)
        none = draw(engine, lambda _: None, [], count)
    indexes = (int.from_bytes(sha256(root + place.to_bytes(8, "big")).digest(), "big") % size for place in range(100_000))
    assert one.accesses == (f"x-{next(index for index in indexes if index in leaves)}",)  # whoever has the root can check it
    assert one == same
    assert one.of == count
    assert one.by == _signed(root, size)
    assert one != other
    assert none.accesses == ()


def test_labels_of_slots_weigh_one_over_their_probability() -> None:
    slots = [("x-1", 1, 300), ("x-2", 1, 100), ("x-3", 1, 100)]
    said = [{"what": "x-1", "label": "misuse"}, {"what": "x-2", "label": "misuse"}, {"what": "x-2", "label": "innocent"}]
    found = missed(slots, [*said, {"what": "x-3", "label": "unclear"}, {"what": "c-1", "label": "misuse"}])
    assert (found.drawn, found.labelled, found.unclear, found.misuse, found.share) == (3, 2, 1, 1, 0.75)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.75 < found.high <= 1
    assert missed(slots, []).share is None


def test_small_units_are_printed_as_the_one_above() -> None:
    members = [("support/tier1", f"p{n}") for n in range(5)] + [("support/tier2", f"q{n}") for n in range(4)] + [("legal/x", "r")]
    coarse = Coarse(members)
    assert [coarse(unit) for unit in ("support/tier1", "support/tier2", "support/tier1/night", "legal/x", "")] == [
        "support/tier1", "support", "support/tier1", "", "",
    ]  # fmt: skip


def test_rates_have_the_interval_of_a_count() -> None:
    assert interval(10, 1_000) == (10.0, 4.79, 18.39)  # exact Poisson: 4.80 to 18.39
    assert interval(0, 1_000)[:2] == (0.0, 0.0)
    assert 3.5 < interval(0, 1_000)[2] < 3.8  # exact: 3.69
    assert interval(0, 0) == (0.0, 0.0, 0.0)


def test_groups_of_few_are_counted_together_and_a_finding_falls_once_on_each_group() -> None:
    people = {f"a-{n}": _Person(100, {"site": "one" if n < 6 else "two" if n < 12 else f"tiny{n}"}) for n in range(14)}
    found = {frozenset({"a-0", "a-1"}): 3, frozenset({"a-0", "a-6"}): 1, frozenset({"a-12"}): 1}
    rows = _groups("site", people, found)
    assert {(row.name, row.actors, row.accesses, row.findings) for row in rows} == {
        ("one", 6, 600, 4), ("two", 6, 600, 1), (FEW, 2, 200, 1),
    }  # fmt: skip
    assert _spread("site", rows) == Spread("site", 2, "one", "two", 4.0)
