"""Rules on who looked and at whom against plain evaluators on small random worlds: relations, staff, devices, earlier cases.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from datetime import datetime, timedelta

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

# — D10 relation —


def relation(world: World) -> Found:
    grave = {row["fieldset"] for row in world["fieldsets"] if row["category"] in ("location", "message", "health")}
    found = set()
    for look in world["looks"]:
        settled = any(
            row["access"] == look["access"] and (row["strength"] >= 3 or row["template"] == "E7") for row in world["explanations"]
        )
        if look["public_only"] or settled:
            continue
        level = "low" if look["deliberate"] is False else "high" if look["fieldset"] in grave else "medium"
        for tie in world["relations"]:
            begun = tie["valid_from"] is None or tie["valid_from"] <= look["time"]
            over = tie["valid_to"] is not None and look["time"] >= tie["valid_to"]
            if (tie["actor"], tie["subject"]) == (look["human"], look["subject"]) and tie["kind"] != "self" and begun and not over:
                found.add((look["access"], tie["kind"], level))
        for person in [row["person"] for row in world["subjects"] if row["subject"] == look["subject"]]:
            for other in world["staff_spans"]:
                there = other["valid_from"] <= look["time"] < other["valid_to"]
                if other["person"] != person or not there or other["actor"] == look["human"]:
                    continue
                if other["actor"] == look["manager"]:
                    found.add((look["access"], "manager", level))
                elif other["unit"] == look["unit"] or other["manager"] == look["human"]:
                    found.add((look["access"], "colleague", level))
    return found


test_relation = agrees(
    "D10",
    ("access", "relation", "level"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                fieldset=st.sampled_from(["f1", "f2"]),
                unit=st.sampled_from(["support/a", "support/b"]),
                manager=st.sampled_from([None, "a1", "a3"]),
            ),
            "fieldsets": st.just([{"fieldset": "f1", "category": "identity"}, {"fieldset": "f2", "category": "message"}]),
            "relations": rows(
                0,
                3,
                row_key=st.just("R1"),
                actor=st.sampled_from(ACTORS),
                subject=st.sampled_from(SUBJECTS),
                kind=st.sampled_from(["family", "neighbour", "self"]),
                valid_from=ends,
                valid_to=ends,
            ),
            "subjects": st.just(
                [{"subject": "s1", "row_key": "S1", "person": "p3"}, {"subject": "s2", "row_key": "S2", "person": None}]
            ),
            "staff_spans": st.tuples(moments, st.sampled_from(["support/a", "support/b"]), st.sampled_from([None, "a1"])).map(
                lambda some: [
                    {
                        "actor": "a3",
                        "person": "p3",
                        "unit": some[1],
                        "manager": some[2],
                        "valid_from": START - DAY,
                        "valid_to": some[0],
                    }
                ]
            ),
            "explanations": verdicts(3, template=st.sampled_from(["E1", "E2", "E7"]), strength=st.sampled_from([2, 3])),
        }
    ),
    relation,
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
