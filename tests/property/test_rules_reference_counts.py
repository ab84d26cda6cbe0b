"""Rules that count against plain evaluators on small random worlds: triggers, fishing, low and slow.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb

from hypothesis import strategies as st
from small_worlds import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Found,
    Row,
    World,
    agrees,
    bare,
    day,
    explained,
    held,
    looks,
    moments,
    verdicts,
)

# — D07 trigger —


def by_chance(after: int, before: int) -> bool:
    """Say whether chance gives so many of all looks in the 28 days after, of 118 days, in at most two of a hundred."""
    share, looked = Fraction(28, 118), after + before
    tail = sum(comb(looked, k) * share**k * (1 - share) ** (looked - k) for k in range(after, looked + 1))
    return tail <= Fraction(2, 100)


def trigger(world: World) -> Found:
    plain = [look for look in world["looks"] if not look["public_only"] and look["deliberate"] is not False]
    residue = [look for look in plain if not held(world, look)]
    in_press = {row["subject"] for row in world["press"]}
    found = set()
    for event in world["press"]:
        own = [look for look in residue if look["subject"] == event["subject"]]
        after = [look for look in own if event["time"] <= look["time"] < event["time"] + 28 * DAY]
        before = [look for look in own if event["time"] - 90 * DAY <= look["time"] < event["time"]]
        if len(after) < 2:
            continue
        began = min(look["time"] for look in after)
        if began > event["time"] + 14 * DAY or len(after) * 90 < 5 * 28 * len(before):
            continue
        month = day(began) // 28
        calm: dict[str, int] = {}
        for look in plain:
            if look["subject"] not in in_press and day(look["time"]) // 28 == month:
                calm[look["subject"]] = calm.get(look["subject"], 0) + (not held(world, look))
        reached = sum(1 for count in calm.values() if count >= len(after))
        readers = len({look["actor"] for look in after})
        common = len(calm) >= 20 and reached * 20 > len(calm)
        telling = (readers >= 2 and not before) or by_chance(len(after), len(before))
        level = "medium" if telling and not common else "low"
        found |= {(look["access"], event["row_key"], level, len(before), reached, len(calm)) for look in after}
    return found


@st.composite
def seasons(draw: st.DrawFn) -> World:
    when = st.integers(-92, 30).map(lambda days: START + days * DAY)
    seen = draw(looks(4, 12, time=when, subject=st.sampled_from(["s1", "s1", "s1", "s2", "s3"])))
    late = [START + days * DAY for days in draw(st.lists(st.sampled_from([0, 1, 13, 14, 15, 27, 28]), max_size=5))]
    crowd = draw(st.sampled_from([0, 0, 19, 20, 21]))
    busy = draw(st.sampled_from([0, 1, 2]))
    plan = [("s1", time) for time in late]
    plan += [(f"k{number}", START + DAY) for number in range(crowd) for _ in range(4 if number < busy else 1)]
    for subject, time in plan:
        row: Row = {"access": len(seen) + 1, "subject": subject, "actor": "a1", "human": "a1", "time": time}
        seen.append({**row, "public_only": 0, "deliberate": True})
    press = [{"row_key": f"P{number}", "kind": "article", "subject": f"s{number}", "time": START} for number in (1, 2)]
    return {"looks": seen, "press": press[: draw(st.integers(1, 2))], "explanations": draw(explained)}


test_trigger = agrees("D07", ("access", "evidence_key", "level", "past_reads", "like_it", "others"), seasons(), trigger)


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
    {"days": 8},
)
