"""Rules against plain evaluators that read the sentences of their pages one row at a time, on small random worlds.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import strategies as st
from small_worlds import (
    ACTORS,
    DAY,
    FOREVER,
    HOUR,
    MINUTE,
    START,
    SUBJECTS,
    Found,
    Row,
    World,
    agrees,
    bare,
    day,
    ends,
    explained,
    held,
    looks,
    moments,
    rows,
    verdicts,
)

from custodes.engines.duckdb_engine import DuckDBEngine, open_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with tempfile.TemporaryDirectory() as folder, open_engine(memory_mb=512, threads=1, directory=Path(folder)) as opened:
        yield opened


# — D14 break-glass —


def break_glass(world: World) -> Found:
    def grant_of(look: Row) -> Row | None:
        return next((row for row in world["grants"] if row["grant"] == look["reason"] and row["break_glass"]), None)

    def emergency(look: Row) -> bool:
        return any(
            row["kind"] == "life_safety"
            and row["opened"] <= look["time"]
            and (row["closed"] is None or look["time"] < row["closed"])
            for row in world["incidents"]
        )

    def reviewed(look: Row, grant: Row | None) -> bool:
        return grant is not None and any(
            row["grant"] == grant["grant"]
            and row["decision"] == "review_ok"
            and row["approver"] != look["human"]
            and look["time"] <= row["at"] <= look["time"] + DAY
            for row in world["approvals"]
        )

    fine = {row["access"] for row in world["explanations"] if row["template"] in ("E3", "E4", "E12")}
    judged = [look for look in world["looks"] if (look["break_glass"] or grant_of(look)) and look["access"] not in fine]
    first: dict[tuple[str, str], int] = {}
    for look in judged:
        key = (look["actor"], (grant_of(look) or {}).get("row_key") or look["subject"])
        first[key] = min(first.get(key, day(look["time"])), day(look["time"]))
    found = set()
    for look in judged:
        grant = grant_of(look)
        own = first[look["actor"], (grant or {}).get("row_key") or look["subject"]]
        made = sum(1 for (actor, _), when in first.items() if actor == look["actor"] and abs(when - own) <= 30)
        soft = emergency(look) and not reviewed(look, grant)
        found.add((look["access"], "high" if made >= 4 else "low" if soft else "medium", made))
    return found


test_break_glass = agrees(
    "D14",
    ("access", "level", "made"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                4,
                10,
                actor=st.sampled_from(["a1", "a1", "a2"]),
                reason=st.sampled_from(["g1", "g2", "g3", "g4", None]),
                break_glass=st.booleans(),
            ),
            "grants": st.just([{"grant": f"g{n}", "row_key": f"G{n}", "break_glass": n < 4} for n in range(1, 5)]),
            "incidents": rows(0, 2, kind=st.sampled_from(["life_safety", "outage"]), opened=moments, closed=ends),
            "approvals": rows(
                0,
                3,
                grant=st.sampled_from(["g1", "g2"]),
                approver=st.sampled_from(["a1", "a9"]),
                at=moments,
                decision=st.sampled_from(["review_ok", "approve"]),
            ),
            "explanations": explained,
        }
    ),
    break_glass,
)


# — D17 leaver, mover —


def leaver(world: World) -> Found:
    terms = {row["actor"]: row for row in world["staff"]}
    meant = [
        look for look in world["looks"] if not look["public_only"] and look["deliberate"] is not False and look["human"] in terms
    ]
    found = set()
    for look in meant:
        term, time = terms[look["human"]], look["time"]
        if term["left"] is not None and time >= term["left"]:
            found.add((look["access"], "a1 left", "low" if held(world, look) else "medium"))
        if term["joined"] is not None and time < term["joined"]:
            found.add((look["access"], "a1 joined", "low" if held(world, look) else "medium"))
        notice = term["notice_from"]
        if notice is None or time < notice or held(world, look) or (term["left"] is not None and time >= term["left"]):
            continue
        own = [other for other in meant if other["human"] == look["human"] and not held(world, other)]
        since = {other["subject"] for other in own if other["time"] >= notice}
        before = {other["subject"] for other in own if notice - 60 * DAY <= other["time"] < notice}
        days = max(day(other["time"]) - day(notice) + 1 for other in own if other["time"] >= notice)
        loud = len(since) >= 5 and len(since) * 60 > 3 * len(before) * days
        found.add((look["access"], "a1 notice", "medium" if loud else "note"))
    return found


test_leaver = agrees(
    "D17",
    ("access", "matter", "level"),
    st.fixed_dictionaries(
        {
            "looks": looks(6, 12, actor=st.sampled_from(["a1", "a1", "a2"]), subject=st.sampled_from([f"s{n}" for n in range(9)])),
            "staff": st.fixed_dictionaries({"joined": ends, "left": ends, "notice_from": ends}).map(
                lambda row: [{"actor": "a1", **row}]
            ),
            "explanations": explained,
        }
    ),
    leaver,
)


# — D18 off shift —


def off_shift(world: World) -> Found:
    shifts = [row for row in world["roster"] if row["incident"] is None]

    def covered(look: Row, slack: timedelta) -> bool:
        return any(
            row["actor"] == look["human"] and row["valid_from"] - slack <= look["time"] < (row["valid_to"] or FOREVER) + slack
            if row["valid_to"]
            else row["actor"] == look["human"] and row["valid_from"] - slack <= look["time"]
            for row in shifts
        )

    def planned(look: Row) -> bool:
        return any(row["actor"] == look["human"] and row["valid_from"] <= look["time"] for row in shifts)

    off = [look for look in bare(world) if planned(look) and not covered(look, 90 * MINUTE)]
    found = set()
    for look in off:
        around = sum(1 for other in off if other["actor"] == look["actor"] and abs(day(other["time"]) - day(look["time"])) <= 14)
        found.add((look["access"], "low" if around >= 3 else "note", around, covered(look, 3 * DAY)))
    return {
        (access, level, around, "outside the shifts on the roster" if near else "with no shift for days before and after")
        for access, level, around, near in found
    }


test_off_shift = agrees(
    "D18",
    ("access", "level", "looks_around", "manner"),
    st.fixed_dictionaries(
        {
            "looks": looks(4, 10),
            "roster": rows(
                0, 4, actor=st.sampled_from(ACTORS), incident=st.sampled_from([None, None, "i1"]), valid_from=moments, valid_to=ends
            ),
            "explanations": explained,
        }
    ),
    off_shift,
)


# — D20 repeat —


def repeat(world: World) -> Found:
    def fresh(row: Row, look: Row) -> bool:
        return row["result"] == "proven" and row["decided"] <= look["time"] < row["decided"] + 730 * DAY

    found = set()
    for look in bare(world):
        by = [row for row in world["outcomes"] if row["actor"] == look["human"] and fresh(row, look)]
        at = [row for row in world["outcomes"] if row["subject"] == look["subject"] and fresh(row, look)]
        if by or at:
            found.add((look["access"], "medium" if by and at else "low"))
    return found


test_repeat = agrees(
    "D20",
    ("access", "level"),
    st.fixed_dictionaries(
        {
            "looks": looks(),
            "outcomes": rows(
                0,
                3,
                case=st.just("k1"),
                row_key=st.just("K1"),
                actor=st.sampled_from(ACTORS),
                subject=st.sampled_from(SUBJECTS),
                decided=moments,
                result=st.sampled_from(["proven", "proven", "unproven"]),
            ),
            "explanations": explained,
        }
    ),
    repeat,
)


# — D13 low and slow: one person followed, a copy milked —


def low_and_slow(world: World) -> Found:
    counted = {row["access"]: row["rows"] or 0 for row in world["accesses"]}
    found = set()
    for look in bare(world):
        same = [other for other in bare(world) if other["actor"] == look["actor"]]
        person = {day(other["time"]) for other in same if other["subject"] == look["subject"]}
        if len(person) >= 8 and max(person) - min(person) >= 21:
            found.add((look["access"], "V1", len(person)))
        copy = [other for other in same if other["derived_from"] == look["derived_from"]]
        days = {day(other["time"]) for other in copy}
        if look["derived_from"] and len(days) >= 4 and max(days) - min(days) >= 14:
            found.add((look["access"], "V17 V12", sum(counted.get(other["access"], 0) for other in copy)))
    return found


test_low_and_slow = agrees(
    "D13",
    ("access", "codes", "counted"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                10,
                14,
                actor=st.sampled_from(["a1", "a1", "a1", "a1", "a2"]),
                subject=st.sampled_from(["s1", "s1", "s1", "s2"]),
                time=st.integers(0, 30).map(lambda days: START + days * DAY),
                derived_from=st.sampled_from([None, "o1", "o1"]),
            ),
            "accesses": st.just([{"access": number, "rows": 10 * number} for number in range(1, 15)]),
            "explanations": st.one_of(st.just([]), explained),
        }
    ),
    low_and_slow,
)


# — D11 fishing —


def fishing(world: World) -> Found:
    facts = {row["access"]: row for row in world["accesses"]}
    unmet = {(row["access"], row["subject"]) for row in world["obligations"] if row["met"] == 0}
    residue = [look for look in world["looks"] if not held(world, look) and not look["public_only"]]
    narrow = [
        look for look in residue if look["subject_scope"] == "attribute_predicate" and facts[look["access"]]["rows"] in range(1, 6)
    ]
    misses = [
        row
        for row in world["accesses"]
        if (row["rows"] == 0 or row["outcome"] == "failure") and row["subject_count"] == 0 and row["action"] in ("search", "read")
    ]
    found = set()
    for look in narrow:
        few = [
            other
            for other in narrow
            if other["actor"] == look["actor"] and other["subject"] == look["subject"] and facts[other["access"]]["rows"] < 5
        ]
        close = bool(few) and max(other["time"] for other in few) <= min(other["time"] for other in few) + 14 * DAY
        owed = (look["access"], look["subject"]) in unmet
        if owed or facts[look["access"]]["rows"] < 5:
            found.add(
                (look["access"], f"narrow {look['subject']}", "high" if owed else "medium" if len(few) >= 3 and close else "low")
            )
    for look in residue:
        tries = [row for row in misses if row["actor"] == look["actor"] and look["time"] - HOUR <= row["time"] <= look["time"]]
        if len(tries) >= 5:
            found.add((look["access"], "guess a1", "medium"))
    return found


@st.composite
def fished(draw: st.DrawFn) -> World:
    seen = draw(
        looks(3, 8, actor=st.just("a1"), system=st.just("crm"), subject_scope=st.sampled_from(["attribute_predicate", "named"]))
    )
    accesses = [
        {
            **{key: look[key] for key in ("access", "actor", "time", "system")},
            "rows": draw(st.integers(1, 6)),
            "action": "read",
            "outcome": None,
            "subject_scope": look["subject_scope"],
            "subject_count": 1,
        }
        for look in seen
    ]
    for number in range(draw(st.integers(0, 8))):
        accesses += [
            {
                "access": 100 + number,
                "actor": "a1",
                "time": draw(moments) - 5 * MINUTE,
                "system": "crm",
                "rows": draw(st.sampled_from([0, 0, 2])),
                "action": draw(st.sampled_from(["search", "export"])),
                "outcome": draw(st.sampled_from([None, "failure"])),
                "subject_scope": "unknown",
                "subject_count": 0,
            }
        ]
    return {
        "looks": seen,
        "accesses": accesses,
        "explanations": draw(explained),
        "obligations": draw(verdicts(2, duty=st.just("two_person"), met=st.sampled_from([0, 1]))),
    }


test_fishing = agrees("D11", ("access", "matter", "level"), fished(), fishing)


# — D21 broken reason: tickets —


def broken_ticket(world: World) -> Found:
    tickets = {row["row_key"]: row for row in world["tickets"]}
    by_access = {look["access"]: look for look in world["looks"]}
    broken = [
        (flag, by_access[flag["access"]])
        for flag in world["flags"]
        if held(world, by_access[flag["access"]]) < 3 and flag["code"] in ("V2", "V3", "V4")
    ]

    def quick(flag: Row) -> bool:
        row = tickets[flag["evidence_key"]]
        return (
            row["inbound"] is None and row["closed"] is not None and row["opened"] <= row["closed"] <= row["opened"] + 30 * MINUTE
        )

    first: dict[tuple[str, str], int] = {}
    for flag, look in broken:
        if flag["code"] == "V3" and quick(flag):
            key = (look["actor"], flag["evidence_key"])
            first[key] = min(first.get(key, day(look["time"])), day(look["time"]))
    found = set()
    for flag, look in broken:
        key = (look["actor"], flag["evidence_key"])
        made = sum(
            1 for (actor, _), when in first.items() if actor == look["actor"] and key in first and abs(when - first[key]) <= 30
        )
        if flag["code"] == "V3" and made >= 3 and quick(flag):
            found.add((look["access"], "V3", "medium", flag["evidence_key"]))
        elif flag["code"] == "V3":
            found.add((look["access"], "V3", "low", flag["evidence_key"]))
        else:
            cited = [
                (f, seen) for f, seen in broken if f["evidence_key"] == flag["evidence_key"] and seen["actor"] == look["actor"]
            ]
            wrong = {seen["subject"] for f, seen in cited if f["code"] == "V2"}
            late = any(f["code"] == "V4" for f, _ in cited)
            loud = len(wrong) >= 2 or (wrong and late)
            found.add((look["access"], flag["code"], "medium" if loud else "low", flag["evidence_key"]))
    return found


test_broken_ticket = agrees(
    "D21",
    ("access", "codes", "level", "evidence_key"),
    st.fixed_dictionaries(
        {
            "looks": looks(4, 9, actor=st.sampled_from(["a1", "a1", "a2"])),
            "tickets": st.lists(ends, min_size=4, max_size=4).map(
                lambda closed: [
                    {"ticket": f"t{n}", "row_key": f"T{n}", "opened": START, "closed": end, "inbound": None if n else "m1"}
                    for n, end in enumerate(closed)
                ]
            ),
            "flags": verdicts(
                7,
                template=st.just("E1"),
                code=st.sampled_from(["V2", "V3", "V3", "V4"]),
                evidence_table=st.just("tickets"),
                evidence_key=st.sampled_from(["T0", "T1", "T2", "T3"]),
            ),
            "explanations": st.one_of(st.just([]), explained),
        }
    ),
    broken_ticket,
)


# — D22 captured approval: each other's grants —


def mutual(world: World) -> Found:
    grants = {row["row_key"]: row for row in world["grants"]}
    votes = [
        (grants[row["row_key"]]["actor"], row["approver"], row)
        for row in world["approvals"]
        if row["approver"] != grants[row["row_key"]]["actor"]
    ]
    caught = {
        vote["row_key"]
        for asker, approver, vote in votes
        for other, back, answer in votes
        if other == approver and back == asker and abs(vote["at"] - answer["at"]) <= 90 * DAY
    }
    explains = {row["access"] for row in world["explanations"] if row["evidence_key"] in caught}
    return {(look["access"], "medium") for look in world["looks"] if look["access"] in explains}


test_mutual = agrees(
    "D22",
    ("access", "level"),
    st.fixed_dictionaries(
        {
            "looks": looks(2, 5),
            "grants": st.just([{"grant": f"g{n}", "row_key": f"G{n}", "actor": f"a{n}"} for n in range(1, 4)]),
            "approvals": st.tuples(
                *(
                    st.tuples(st.sampled_from(who), st.sampled_from([0, 89, 90, 91]))
                    for who in (("a2", "a3"), ("a1", "a1", "a2"), ("a1",))
                )
            ).map(
                lambda votes: [
                    {"grant": f"g{n}", "row_key": f"G{n}", "approver": who, "decision": "approve", "at": START + days * DAY}
                    for n, (who, days) in enumerate(votes, 1)
                ]
            ),
            "explanations": verdicts(
                4,
                template=st.just("E3"),
                strength=st.just(4),
                evidence_table=st.just("grants"),
                evidence_key=st.sampled_from(["G1", "G2", "G3"]),
            ),
        }
    ),
    mutual,
)


# — D16 borrowed identity: device and shift; machines —


def borrowed(world: World) -> Found:
    found = set()
    facts = world["accesses"]
    for look in world["looks"]:
        if look["public_only"] or look["deliberate"] is False:
            continue
        if look["actor_kind"] == "service":
            if look["subject_scope"] == "named" and held(world, look) < 3:
                found.add((look["access"], "V24", "medium"))
            continue
        own = min(row["time"] for row in facts if row["actor"] == look["actor"] and row["device"] == "d1")
        for other in ACTORS:
            uses = [row for row in facts if row["actor"] == other != look["actor"] and row["actor_kind"] == "human"]
            by_day: dict[int, list[datetime]] = {}
            for row in uses:
                by_day.setdefault(day(row["time"]), []).append(row["time"])
            near = [
                times for when, times in by_day.items() if day(look["time"]) - 30 <= when <= day(look["time"]) and min(times) < own
            ]
            if sum(map(len, near)) < 5:
                continue
            shifts = [row for row in world["roster"] if row["actor"] == look["human"]]
            on = any(row["valid_from"] - HOUR <= look["time"] < row["valid_to"] + HOUR for row in shifts)
            level = "note" if held(world, look) >= 3 else "medium" if shifts and not on else "low"
            found.add((look["access"], "V15", level))
    return found


@st.composite
def desks(draw: st.DrawFn) -> World:
    seen = draw(
        looks(
            2,
            5,
            actor=st.sampled_from(["a1", "a2"]),
            actor_kind=st.sampled_from(["human", "human", "service"]),
            subject_scope=st.sampled_from(["named", "set"]),
        )
    )
    accesses = [
        {"access": look["access"], "actor": look["actor"], "actor_kind": look["actor_kind"], "device": "d1", "time": look["time"]}
        for look in seen
    ]
    for number in range(draw(st.integers(3, 8))):
        accesses += [
            {
                "access": 100 + number,
                "actor": "a3",
                "actor_kind": "human",
                "device": "d1",
                "time": START - draw(st.integers(0, 2)) * DAY,
            }
        ]
    for look in seen:
        accesses += [
            {"access": 200 + look["access"], "actor": look["actor"], "actor_kind": "human", "device": "d1", "time": look["time"]}
        ]
    shift = st.tuples(st.sampled_from(["a1", "a2"]), moments)
    roster = [
        {"actor": who, "row_key": "u", "valid_from": begins, "valid_to": begins + 8 * HOUR}
        for who, begins in draw(st.lists(shift, max_size=2))
    ]
    return {"looks": seen, "accesses": accesses, "roster": roster, "explanations": draw(explained)}


test_borrowed = agrees("D16", ("access", "codes", "level"), desks(), borrowed)


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
