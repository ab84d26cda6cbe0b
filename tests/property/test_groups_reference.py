"""Groups of rows and the sieve against plain evaluators on random rows: the same groups, told, cut, found and met."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes.engines.duckdb_engine import DuckDBEngine
from custodes.model.words import LEVELS
from custodes.rank.sift import SLACK, Sieve
from custodes.rule import load_shelf
from custodes.rule_findings import Draft, collect
from custodes.rule_groups import Groups

START = datetime(2026, 3, 6, 9, 0)  # noqa: DTZ001  # times of engines are UTC without a zone
STEPS = (0, 1, 3 * 60, 3 * 60 + 1, 24 * 60, 3 * 24 * 60, 3 * 24 * 60 + 1, 8 * 24 * 60)
TIMES = [START + timedelta(minutes=step) for step in STEPS] + [START + timedelta(microseconds=step) for step in (1, 500_000)]
COLUMNS = {
    "access": pa.int64(), "actor": pa.string(), "subject": pa.string(), "time": pa.timestamp("us"), "level": pa.string(),
    "codes": pa.string(), "derived": pa.string(), "matter": pa.string(),
}  # fmt: skip
SHELF = {rule.code: rule for rule in load_shelf()}
RULES = [
    replace(
        SHELF[like],
        code=code,
        sql=f"SELECT {', '.join(columns)} FROM rows_{code}",
        columns=columns,
        dedup_key=key,
        dedup_days=3,
        codes=("V1", "V2"),
    )
    for code, like, columns, key in (
        ("X01", "D01", ("access", "actor", "subject", "time", "level"), ("actor", "subject")),
        ("X02", "D02", tuple(COLUMNS), ("level", "matter")),
        ("X03", "D05", ("time", "subject", "actor", "access", "matter"), ("matter",)),
    )
]

row = st.fixed_dictionaries(
    {
        "access": st.integers(1, 30),
        "actor": st.sampled_from(["a1", "a2", "a3", "a4"]),
        "subject": st.sampled_from([None, "s1", "s2", "s3", "s4"]),
        "time": st.sampled_from(TIMES),
        "level": st.sampled_from([*["note"] * 8, *["low"] * 12, "medium"]),
        "codes": st.sampled_from([None, "", "V1", "V2 V1"]),
        "derived": st.sampled_from([None, None, "o1", "s1"]),
        "matter": st.sampled_from([None, "m1", "m2", "m3"]),
    }
)
worlds = st.fixed_dictionaries(
    {
        "X01": st.lists(row, min_size=6, max_size=30),
        "X02": st.lists(row, max_size=6),
        "X03": st.lists(row, max_size=3),
        "newcomers": st.dictionaries(st.sampled_from(["a1", "a2"]), st.sampled_from(TIMES), max_size=2),
        "scores": st.dictionaries(st.integers(1, 30), st.sampled_from([0, 7, 7, 900]), max_size=20),
        "known": st.frozensets(st.integers(1, 40), max_size=6),
        "budget": st.sampled_from([0, 1, 1]),
    }
)


def write(engine: DuckDBEngine, world: dict[str, Any]) -> None:
    for rule in RULES:
        columns = {name: pa.array([found[name] for found in world[rule.code]], kind) for name, kind in COLUMNS.items()}
        engine.table(f"rows_{rule.code}", pa.table(columns))
    new = world["newcomers"]
    until = pa.array(new.values(), pa.timestamp("us"))
    engine.table("newcomers", pa.table({"actor": pa.array(new, pa.string()), "until": until}))


def shown(drafts: list[Draft]) -> list[tuple[str, str]]:
    return sorted((draft.rule.code, repr(draft.rows)) for draft in drafts)


def level(draft: Draft) -> int:
    return LEVELS.index(draft.level())


def pairs(draft: Draft) -> set[tuple[object, object]]:
    rows = [dict(zip(draft.where, row, strict=True)) for row in draft.rows]
    return {(row["actor"], row[name]) for row in rows for name in ("subject", "derived") if row.get(name) is not None}


def plainly(drafts: list[Draft], scores: dict[int, int], most: int) -> tuple[list[Draft], Counter[str]]:
    """Return what the sieve should tell, and how many campaigns it should cut by leading rule."""
    loud = set().union(*(pairs(draft) for draft in drafts if level(draft) >= 2))
    told = [draft for draft in drafts if level(draft) >= 2 or pairs(draft) & loud]
    weak: dict[Any, list[Draft]] = defaultdict(list)
    for draft in drafts:
        if not any(draft is other for other in told):
            weak[frozenset(draft.values("actor")), frozenset(draft.values("subject"))].append(draft)
    weeks: dict[Any, list[Any]] = defaultdict(list)
    for members in weak.values():
        times = {id(draft): [time for time in draft.values("time") if isinstance(time, datetime)] for draft in members}
        weight = max(scores.get(access, 0) for draft in members for access in draft.values("access"))  # type: ignore[call-overload]  # a number
        name = min(f"{min(times[id(draft)])}{draft.values('actor')}{draft.values('subject')}" for draft in members)
        last = max(max(own) for own in times.values())
        weeks[last.isocalendar()[:2]].append((-max(map(level, members)), -weight, name, members))
    cut: Counter[str] = Counter()
    for campaigns in weeks.values():
        campaigns.sort(key=lambda campaign: campaign[:3])
        told += [draft for *_, members in campaigns[:most] for draft in members]
        cut.update(min(draft.rule.code for draft in members) for *_, members in campaigns[most:])
    return told, cut


def test_groups_and_sieve_are_what_plain_evaluators_say(engine: DuckDBEngine) -> None:
    reached: Counter[str] = Counter()

    @settings(max_examples=settings().max_examples // 2, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(worlds)
    def check(world: dict[str, Any]) -> None:
        write(engine, world)
        drafts = [draft for rule in RULES for draft in collect(engine, rule)]
        told, cut = plainly(drafts, world["scores"], SLACK * world["budget"])
        sieve = Sieve(world["scores"], world["budget"], world["known"])
        with Groups(engine) as groups:
            for rule in RULES:
                groups.add(rule)
            counts = groups.join()
            assert shown(groups.drafts()) == shown(drafts)
            assert shown(groups.drafts(sieve(engine))) == shown(told)
        assert counts == {rule.code: sum(draft.rule is rule for draft in drafts) for rule in RULES}
        assert sieve.cut == cut
        assert sieve.found == Counter(frozenset(draft.values("actor")) for draft in drafts)
        held = {(draft.rule.code, access) for draft in drafts for access in draft.values("access") if access in world["known"]}
        assert {(code, access) for code, accesses in sieve.met.items() for access in accesses} == held
        reached["cut"] += bool(cut) and world["budget"] > 0
        reached["several groups of a key"] += len(drafts) > len({(draft.rule.code, *draft.values("matter")) for draft in drafts})
        reached["touched"] += any(level(draft) < 2 and pairs(draft) for draft in told)

    check()
    assert all(reached[name] for name in ("cut", "several groups of a key", "touched")), reached
