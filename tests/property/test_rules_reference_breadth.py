"""Rules on too much against plain evaluators on small random worlds: breadth, pace, crowds, harvests, purposes, standing queries.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from small_worlds import DAY, HOUR, START, SUBJECTS, Found, Row, World, agrees, bare, day, held, looks, rows, verdicts, with_core

UNITS = [{"unit": f"{name}/a", "prefix": prefix} for name in ("support", "sales", "press") for prefix in (name, f"{name}/a")]


def department(look: Row) -> str:
    return str(look["unit"] or "?").split("/", maxsplit=1)[0]


def month(look: Row) -> int:
    return day(look["time"]) // 28


def hour(look: Row) -> int:
    return (look["time"] - START.replace(hour=0)) // HOUR


def known(world: World) -> list[Row]:
    """Return the looks that something explains, at more than public fields, that were meant."""
    return [
        look
        for look in world["looks"]
        if held(world, look) and look["subject"] and not look["public_only"] and look["deliberate"] is not False
    ]


def unexplained(world: World) -> list[Row]:
    """Return the looks that count as too much: without those under a case that names the person and is only wrong in its time."""

    def timed(look: Row) -> bool:
        told = [row for row in world["flags"] if row["access"] == look["access"] and row["code"] in {"V2", "V3", "V4"}]
        return bool(told) and all(row["code"] == "V4" and row["evidence_table"] == "cases" for row in told)

    return [look for look in bare(world) if look["subject"] and not timed(look)]


def people(some: list[Row]) -> int:
    return len({look["subject"] for look in some})


# — D12 breadth —

LEAST, TIMES = 5, 2


def breadth(world: World) -> Found:
    without, reasoned = unexplained(world), known(world)
    keys = {(look["actor"], department(look), month(look)) for look in [*without, *reasoned]}

    def counted(some: list[Row], actor: str, dept: str, when: int) -> int:
        return people([look for look in some if (look["actor"], department(look), month(look)) == (actor, dept, when)])

    found = set()
    for actor, dept, when in keys:
        own, fine = (counted(some, actor, dept, when) for some in (without, reasoned))
        others = [other for other, place, at in keys if (place, at) == (dept, when) and other != actor]
        them, theirs = (sum(counted(some, other, dept, when) for other in others) for some in (without, reasoned))
        if own >= LEAST and own * (theirs + 1) > TIMES * (them + 1) * (fine + 1):
            found |= {
                (look["access"], "V12", "medium", own, fine, them, theirs)
                for look in without
                if look["actor"] == actor and abs(month(look) - when) <= 1
            }
    return found


def crowd_of(reasons: int, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[World]:
    """Draw worlds of a dozen looks or more, most of them meant and at more than public fields, with at most so many reasons."""
    meant = {"public_only": st.sampled_from([0] * 9 + [1]), "deliberate": st.sampled_from([True] * 9 + [False])}
    columns: dict[str, st.SearchStrategy[Any]] = {"purpose": st.just("support"), "fieldset": st.just("f1"), **meant, **more}
    return st.fixed_dictionaries(
        {
            "looks": looks(12, 18, **columns),
            "units": st.just(UNITS),
            "flags": verdicts(2, code=st.sampled_from(["V4", "V4", "V2"]), evidence_table=st.sampled_from(["cases", "tickets"])),
            "obligations": verdicts(1, duty=st.just("two_person"), met=st.sampled_from([0, 1])),
            "press": rows(0, 1, subject=st.sampled_from(SUBJECTS), time=st.sampled_from([START - 15 * DAY, START + 14 * DAY])),
            "explanations": verdicts(reasons, template=st.just("E1"), strength=st.just(3)),
        }
    )


SUMS = ("access", "codes", "level", "counted", "beside", "others", "base")
test_breadth = agrees(
    "D12",
    SUMS,
    with_core(
        crowd_of(
            5,
            actor=st.sampled_from(["a1", "a1", "a2"]),
            subject=st.sampled_from([f"s{n}" for n in range(10)]),
            unit=st.sampled_from(["support/a", "support/a", None]),
            manager=st.just("m1"),
            time=st.sampled_from([START, START + DAY, START + 30 * DAY, START + 90 * DAY]),
        ),
        [{"actor": "a1", "subject": f"p{number}", "time": START + number * HOUR} for number in range(9)],
        unit="support/a",
    ),
    breadth,
    {"least": LEAST, "times": TIMES},
    fires=3,
)


# — D12 pace —

PACE, PACE_TIMES = 3, 2


def pace(world: World) -> Found:
    without, reasoned = unexplained(world), known(world)

    def hand(look: Row) -> tuple[str, str, str]:
        return look["actor"], department(look), look["purpose"]

    hands = {hand(look) for look in [*without, *reasoned]}
    hours = {one: {hour(look) for look in [*without, *reasoned] if hand(look) == one} for one in hands}

    def seen(one: tuple[str, str, str], when: int) -> list[Row]:
        return [look for look in without if hand(look) == one and hour(look) == when]

    def met(one: tuple[str, str, str]) -> int:
        return sum(people(seen(one, when)) for when in hours[one])

    fast = []
    for one in hands:
        others = [other for other in hands if other[1:] == one[1:] and other != one]
        their_hours, their_people = sum(len(hours[other]) for other in others), sum(map(met, others))
        for when in hours[one]:
            count = people(seen(one, when))
            if min(count, len(seen(one, when))) >= PACE and count * (their_hours + 1) > PACE_TIMES * (their_people + 1):
                fast.append((one, when, count, their_people, their_hours))
    found = set()
    for (actor, _, aim), when, count, their_people, their_hours in fast:
        often = len({other for one, other, *_ in fast if one[0] == actor})
        found |= {
            (look["access"], "V12", "medium", count, often, their_people, their_hours)
            for look in without
            if (look["actor"], look["purpose"], hour(look)) == (actor, aim, when)
        }
    return found


test_pace = agrees(
    "D12",
    SUMS,
    crowd_of(
        7,
        actor=st.sampled_from(["a1", "a1", "a1", "a2"]),
        subject=st.sampled_from([f"s{n}" for n in range(9)]),
        unit=st.just("support/a"),
        manager=st.just("m1"),
        purpose=st.sampled_from(["support", "support", "repair"]),
        time=st.sampled_from([START, START + timedelta(minutes=59), START + HOUR, START + 30 * HOUR]),
    ),
    pace,
    {"hour_least": PACE, "hour_times": PACE_TIMES},
    fires=3,
)


# — D12 crowd —

CROWD, CROWD_UNITS = 3, 2


def crowd(world: World) -> Found:
    without = unexplained(world)
    found = set()
    for subject in sorted({look["subject"] for look in without}):
        own = [look for look in without if look["subject"] == subject]
        first = {
            actor: min(day(look["time"]) for look in own if look["actor"] == actor) for actor in {look["actor"] for look in own}
        }
        for start in set(first.values()):
            came = [actor for actor, when in first.items() if start <= when <= start + 14]
            units = {min(department(look) for look in own if look["actor"] == actor) for actor in came}
            managers = {
                min((look["manager"] for look in own if look["actor"] == actor and look["manager"]), default=None) for actor in came
            }
            earlier = sum(1 for when in first.values() if start - 90 <= when < start)
            reasons = {
                look["actor"]
                for look in world["looks"]
                if look["subject"] == subject and held(world, look) and start <= day(look["time"]) <= start + 14
            }
            many = len(came) * 90 > 4 * 14 * earlier and 2 * len(came) >= len(reasons)
            if len(came) < CROWD or len(units) < CROWD_UNITS or len(managers - {None}) < 2 or not many:
                continue
            owed = any(row["subject"] == subject and not row["met"] for row in world["obligations"])
            struck = any(row["subject"] == subject and abs(day(row["time"]) - start) <= 14 for row in world["press"])
            found |= {
                (
                    look["access"],
                    "V12 V1 V10" if struck else "V12 V1",
                    "high" if owed else "medium",
                    len(came),
                    len(units),
                    earlier,
                    len(reasons),
                )
                for look in own
                if start <= day(look["time"]) <= start + 28
            }
    return found


test_crowd = agrees(
    "D12",
    SUMS,
    with_core(
        crowd_of(
            4,
            actor=st.sampled_from(["a1", "a2", "a3", "a4"]),
            subject=st.sampled_from(["s1", "s1", "s2"]),
            unit=st.sampled_from(["support/a", "sales/a", "press/a"]),
            manager=st.sampled_from(["m1", "m2", "m3", None]),
            time=st.sampled_from([START - 91 * DAY, START - 90 * DAY, START, START + 14 * DAY, START + 15 * DAY, START + 29 * DAY]),
        ),
        [
            {"actor": "a5", "unit": "support/a", "manager": "m1"},
            {"actor": "a6", "unit": "support/a", "manager": "m2"},
            {"actor": "a7", "unit": "sales/a", "manager": "m2", "time": START + 14 * DAY},
        ],
        subject="s1",
    ),
    crowd,
    {"crowd": CROWD, "crowd_units": CROWD_UNITS},
    fires=3,
)


# — D13 a slow harvest —

HARVEST, ON_DAYS = 10, 5


def harvest(world: World) -> Found:
    without = [look for look in bare(world) if look["subject"]]
    reasoned = known(world)

    def counted(some: list[Row], actor: str, dept: str) -> int:
        return people([look for look in some if (look["actor"], department(look)) == (actor, dept)])

    found = set()
    for actor, dept in {(look["actor"], department(look)) for look in without}:
        own = [look for look in without if (look["actor"], department(look)) == (actor, dept)]
        days = {day(look["time"]) for look in own}
        most = max(people([look for look in own if day(look["time"]) == when]) for when in days)
        others = {look["actor"] for look in [*without, *reasoned] if department(look) == dept} - {actor}
        them, theirs = (sum(counted(some, other, dept) for other in others) for some in (without, reasoned))
        share = people(own) * (theirs + 1) > TIMES * (them + 1) * (counted(reasoned, actor, dept) + 1)
        if people(own) >= HARVEST and len(days) >= ON_DAYS and most <= 2 and share:
            found |= {(look["access"], "V12 V1", people(own)) for look in own}
    return found


@st.composite
def fields(draw: st.DrawFn) -> World:
    """Draw a reader of a few people a day, among others."""
    days, each = draw(st.sampled_from([4, 5, 6])), draw(st.sampled_from([1, 2, 2, 3]))
    seen = [
        {"actor": "a1", "subject": f"p{when}-{number}", "time": START + when * DAY, "unit": "support/a"}
        for when in range(days)
        for number in range(each)
    ]
    seen += draw(
        rows(
            3,
            6,
            actor=st.sampled_from(["a1", "a2", "a2", "a2"]),
            subject=st.sampled_from(["s1", "s2", "s3", "s4"]),
            time=st.sampled_from([START, START + DAY]),
            unit=st.sampled_from(["support/a", "sales/a"]),
        )
    )
    whole = [
        {"access": number, "human": row["actor"], "public_only": 0, "deliberate": True, "derived_from": None, **row}
        for number, row in enumerate(seen, 1)
    ]
    return {
        "looks": whole,
        "accesses": [{"access": row["access"], "rows": 1} for row in whole],
        "units": UNITS,
        # Others of the department mostly have reasons: the last looks are theirs.
        "explanations": [{"place": -number, "template": "E1", "strength": 3} for number in range(1, draw(st.integers(1, 6)))],
    }


test_harvest = agrees(
    "D13",
    ("access", "codes", "counted"),
    fields(),
    harvest,
    {"people": HARVEST, "on_days": ON_DAYS, "a_day": 2, "times": TIMES},
    fires=3,
)


# — D15 beyond the purpose —

FULL = ("E3", "E4", "E7", "E8", "E12")


def covered(world: World, look: Row) -> bool:
    return any(row["access"] == look["access"] and row["template"] in FULL for row in world["explanations"])


def beyond_purpose(world: World) -> Found:
    listed = {(row["fieldset"], row["purpose"]) for row in world["purpose_beyond"]}
    stated = [look for look in world["looks"] if not look["public_only"] and look["purpose"] and look["deliberate"] is not False]
    found = set()
    for actor, aim, when in {(look["actor"], look["purpose"], month(look)) for look in stated}:
        group = [look for look in stated if (look["purpose"], month(look)) == (aim, when)]
        wide = [look for look in group if (look["fieldset"], aim) in listed and not covered(world, look)]
        own, mine = [look for look in group if look["actor"] == actor], [look for look in wide if look["actor"] == actor]
        them, theirs = len(group) - len(own), len(wide) - len(mine)
        whom = {look["subject"] or look["derived_from"] or look["system"] for look in mine}
        if len(whom) >= 2 and len(mine) * (them + 1) > TIMES * (theirs + 1) * len(own):
            known_ids = {row["reason"] for row in world["reasons"]}
            found |= {
                (
                    look["access"],
                    "V2" if look["reason"] in known_ids else "",
                    "low" if held(world, look) >= 3 else "medium",
                    len(whom),
                    theirs,
                    them,
                )
                for look in mine
            }
    return found


HABIT = ("access", "codes", "level", "counted", "others", "base")
test_beyond_purpose = agrees(
    "D15",
    HABIT,
    with_core(
        st.fixed_dictionaries(
            {
                "looks": looks(
                    5,
                    10,
                    actor=st.sampled_from(["a1", "a1", "a2"]),
                    subject=st.sampled_from(["s1", "s2", "s3", None]),
                    derived_from=st.sampled_from([None, "o1"]),
                    system=st.just("crm"),
                    purpose=st.sampled_from(["support", "support", "repair", None]),
                    fieldset=st.sampled_from(["f1", "f1", "f2"]),
                    reason=st.sampled_from([None, "t1", "free"]),
                    actor_kind=st.just("human"),
                    time=st.sampled_from([START, START + DAY, START + 40 * DAY]),
                ),
                "purpose_beyond": st.just(
                    [{"fieldset": "f1", "purpose": "support", "category": word} for word in ("location", "message")]
                    + [{"fieldset": "f2", "purpose": "repair", "category": "message"}]
                ),
                "reasons": st.just([{"reason": "t1", "kind": "tickets"}]),
                "explanations": verdicts(4, template=st.sampled_from(["E1", "E2", "E3"]), strength=st.sampled_from([2, 3, 4])),
            }
        ),
        [
            *({"actor": "a1", "subject": f"s{number}", "fieldset": "f1"} for number in (1, 2, 3)),
            *({"actor": "a2", "subject": f"s{number}", "fieldset": "f2"} for number in (1, 2, 3, 4)),
        ],
        purpose="support",
    ),
    beyond_purpose,
    {"least": 2, "times": TIMES},
    fires=3,
)


# — D15 a standing query —


def standing(world: World) -> Found:
    statement = {row["access"]: row["template"] or "" for row in world["accesses"]}
    literal = [
        look
        for look in world["looks"]
        if look["actor_kind"] in {"service", "agent"}
        and look["subject"]
        and look["via"] == "direct"
        and look["subject_scope"] in {"named", "key_predicate"}
        and not look["public_only"]
    ]
    open_ones = [look for look in literal if not covered(world, look)]

    def query(look: Row) -> tuple[str, str, str]:
        return look["actor"], look["reason"] or "", statement[look["access"]]

    unmet = {(row["access"], row["subject"]) for row in world["obligations"] if not row["met"]}
    owed = {look["actor"] for look in literal if (look["access"], look["subject"]) in unmet}
    found = set()
    for one in {query(look) for look in open_ones}:
        own = [look for look in open_ones if query(look) == one]
        asked = [look for look in own if len({day(other["time"]) for other in own if other["subject"] == look["subject"]}) >= 2]
        if asked:
            counts = people(asked), len(asked), len({day(look["time"]) for look in asked})
            level = "high" if one[0] in owed else "medium"
            found |= {(look["access"], "V13", level, *counts) for look in own}
    return found


test_standing = agrees(
    "D15",
    HABIT,
    with_core(
        st.fixed_dictionaries(
            {
                "looks": looks(
                    5,
                    10,
                    actor=st.sampled_from(["a1", "a1", "a2"]),
                    subject=st.sampled_from(["s1", "s1", "s2", None]),
                    actor_kind=st.sampled_from(["service", "service", "agent", "human"]),
                    via=st.sampled_from(["direct", "direct", "direct", "derived"]),
                    subject_scope=st.sampled_from(["named", "key_predicate", "set"]),
                    reason=st.sampled_from([None, "j1"]),
                    purpose=st.none(),
                    time=st.sampled_from([START, START + 14 * HOUR, START + 16 * HOUR, START + 2 * DAY]),
                ),
                "accesses": st.lists(st.sampled_from(["q1", "q1", None]), min_size=12, max_size=12).map(
                    lambda some: [{"access": number, "template": text} for number, text in enumerate(some, 1)]
                ),
                "jobs": st.just([{"job": "j1", "row_key": "J1", "targeted": False}]),
                "obligations": verdicts(1, duty=st.just("two_person"), met=st.sampled_from([0, 1])),
                "explanations": verdicts(3, template=st.sampled_from(["E1", "E3"]), strength=st.just(4)),
            }
        ),
        [{"subject": "s1", "time": START + days * DAY} for days in (0, 1)],
        actor="a1",
        actor_kind="service",
        via="direct",
        subject_scope="key_predicate",
        reason="j1",
    ),
    standing,
    {"fires": 2},
    fires=3,
)
