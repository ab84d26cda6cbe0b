"""Rules on the record itself against plain evaluators on small random worlds: gaps, the guard, those who watch.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from small_worlds import (
    ACTORS,
    DAY,
    HOUR,
    MINUTE,
    START,
    Found,
    Row,
    World,
    agrees,
    day,
    explained,
    held,
    looks,
    moments,
    rows,
    unmet,
    verdicts,
)

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
        tied = [look for look in grave if hole["begins"] - 72 * HOUR <= look["time"] <= hole["ends"] + 72 * HOUR]
        near = [look for look in tied if hole["begins"] - 12 * HOUR <= look["time"] <= hole["ends"] + 12 * HOUR]

        def off(look: Row, hole: Row = hole) -> tuple[timedelta, Any, str, int]:
            away = max(hole["begins"] - look["time"], look["time"] - hole["ends"], timedelta(0))
            return away, look["time"], look["subject"], look["access"]

        # Of looks further off, but within three days, the nearest is told with the hole, and does not make it more urgent.
        told = near or sorted(tied, key=off)[:1]
        found.add((hole["access"], "unknown", "high" if near else "medium", len(told)))
        found |= {(look["access"], look["actor"], "high" if near else "medium", len(told)) for look in told}
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


# — D19 the account of the guard, erasures —


def guarded(world: World) -> Found:
    facts = {row["access_id"]: row["access"] for row in world["accesses"]}
    people = {row["access"]: row["subject"] for row in [*world["looks"], *world["attempts"]]}
    decided = [(row["at"], people.get(facts.get(row["about"]))) for row in world["own_record"] if row["what"] == "decision"]
    found = set()
    for look in world["looks"]:
        if look["actor"] != "guard" or look["public_only"]:
            continue
        behind = [
            about
            for at, about in decided
            if abs(at - look["time"]) <= 5 * MINUTE and (look["subject"] is None or about in {None, look["subject"]})
        ]
        if not behind:
            found.add((look["access"], "guard", look["subject"], "high"))
    done: dict[int, list[Row]] = {}
    for row in world["own_record"]:
        if row["kind"] == "erasure" and row["act"] == "unfounded":
            found.add((row["leaf"], row["actor"] or "unknown", None, "high"))
        elif row["kind"] == "erasure" and row["act"] in {"done", None}:
            done.setdefault(day(row["time"]), []).append(row)
    for rows_of_day in done.values():
        if len(rows_of_day) >= 3:
            asked = {row["actor"] or "unknown" for row in rows_of_day}
            found.add((min(row["leaf"] for row in rows_of_day), asked.pop() if len(asked) == 1 else "unknown", None, "medium"))
    return found


@st.composite
def guards(draw: st.DrawFn) -> World:
    seen = draw(looks(3, 8, actor=st.sampled_from(["guard", "guard", "a1"]), subject=st.sampled_from(["s1", "s2", None])))
    attempts = draw(rows(0, 2, subject=st.sampled_from(["s1", "s2"]), actor=st.just("a1"), time=moments))
    attempts = [{**row, "access": number} for number, row in enumerate(attempts, 50)]
    steps = st.sampled_from([0 * MINUTE, 5 * MINUTE, 5 * MINUTE + timedelta(seconds=1), -5 * MINUTE])
    about = st.sampled_from([*(f"x{row['access']}" for row in [*seen, *attempts]), "x99", None])
    own = [
        {"kind": "decision", "what": "decision", "act": "released", "about": draw(about), "at": draw(moments) + draw(steps)}
        for _ in range(draw(st.integers(0, 3)))
    ]
    own += [
        {"kind": "erasure", "what": "erasure", "act": act, "actor": draw(st.sampled_from(["a1", "a1", None]))}
        for act in draw(st.lists(st.sampled_from(["done", "done", "unfounded", "intent"]), max_size=6))
    ]
    filled = {"about": None, "at": None, "actor": None}
    return {
        "looks": seen,
        "attempts": attempts,
        "accesses": [{**row, "access_id": f"x{row['access']}"} for row in [*_facts(seen), *_facts(attempts)]],
        "own_record": [
            {**filled, "leaf": leaf, "time": START + draw(st.sampled_from([0, 0, 0, 1])) * DAY, **row}
            for leaf, row in enumerate(own, 200)
        ],
        "guard_readers": [{"system": "crm", "reader": "guard"}],
    }


def _facts(some: list[Row]) -> list[Row]:
    return [{"access": row["access"], "actor": row["actor"], "time": row["time"], "system": "crm"} for row in some]


test_guarded = agrees("D19", ("access", "actor", "subject", "level"), guards(), guarded, {"burst": 3}, fires=3)


# — D09 those who watch others —

FITS = ("E2", "E3", "E4", "E7", "E8", "E11", "E12")
WATCHING = [
    {"unit": "audit", "prefix": "audit", "no_subject_duty": 1},
    {"unit": "support", "prefix": "support", "no_subject_duty": 0},
]
CASES = {"k1": "staff", "k2": "subjects", "k3": "subjects"}


def watchdogs(world: World) -> Found:
    found = set()
    for look in world["looks"]:
        fits = any(row["access"] == look["access"] and row["template"] in FITS for row in world["explanations"])
        account = any(row["subject"] == look["subject"] for row in world["subjects"])
        if look["unit"] != "audit" or look["subject"] is None or look["public_only"] or fits or account:
            continue
        about = CASES.get(look["reason"])
        named = any(row["case"] == look["reason"] for row in world["case_subjects"])
        empty = about == "staff" or (about is not None and not named)
        broken = any(row["access"] == look["access"] and row["code"] in {"V2", "V3", "V4"} for row in world["flags"])
        level = "low" if look["deliberate"] is False else "high" if empty or unmet(world, look) else "medium"
        found.add((look["access"], look["actor"], level, "" if broken else "V1" if about is None else "V2"))
    return found


test_watchdogs = agrees(
    "D09",
    ("access", "actor", "level", "codes"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                4,
                9,
                subject=st.sampled_from(["s1", "s2", "s3", None]),
                unit=st.sampled_from(["audit", "audit", "support"]),
                reason=st.sampled_from([None, "k1", "k2", "k3", "t1"]),
                system=st.just("crm"),
            ),
            "units": st.just(WATCHING),
            "cases": st.just([{"case": name, "row_key": name.upper(), "scope_kind": kind} for name, kind in CASES.items()]),
            "case_subjects": rows(0, 2, case=st.sampled_from(["k1", "k2"]), subject=st.sampled_from(["s1", "s2"])),
            "reasons": st.just([{"reason": "t1", "kind": "tickets"}, {"reason": "k1", "kind": "cases"}]),
            "subjects": rows(0, 1, subject=st.just("s3"), kind=st.sampled_from(["staff_account", "test"])),
            "flags": verdicts(3, code=st.sampled_from(["V2", "V3", "V4", "V11"])),
            "obligations": verdicts(2, duty=st.just("two_person"), met=st.sampled_from([0, 1])),
            "explanations": verdicts(4, template=st.sampled_from(["E1", "E2", "E6", "E11"]), strength=st.just(3)),
        }
    ),
    watchdogs,
)


# — D09 and D11 what the guard refused —


def released_after(world: World, attempt: Row, templates: tuple[str, ...]) -> bool:
    """Whether the same actor got to the same subject later, with a reason among these."""
    return any(
        (look["actor"], look["subject"]) == (attempt["actor"], attempt["subject"])
        and look["time"] >= attempt["time"]
        and any(row["access"] == look["access"] and row["template"] in templates for row in world["explanations"])
        for look in world["looks"]
    )


def by_the_guard(world: World, attempt: Row) -> Row | None:
    return next((row for row in world["own_record"] if row["about"] == f"x{attempt['access']}" and row["act"] == "denied"), None)


def refused_to_watchers(world: World) -> Found:
    found = set()
    for attempt in world["attempts"]:
        if attempt["unit"] == "audit" and by_the_guard(world, attempt) and not released_after(world, attempt, FITS):
            found.add((attempt["access"], attempt["actor"], attempt["subject"], "medium"))
    registry = [row for row in world["own_record"] if row["what"] == "registry" and row["actor"]]
    return found | {(row["leaf"], row["actor"], None, "high") for row in registry}


def refused_again(world: World) -> Found:
    tried = []
    for attempt in world["attempts"]:
        row = by_the_guard(world, attempt)
        if row and not released_after(world, attempt, ("E3", "E4", "E11", "E12")):
            beyond = row["grant"] is not None and row["why"] in {"out-of-scope", "other-terms", "not-yours"}
            tried.append((attempt["access"], attempt["actor"], attempt["subject"], attempt["time"], beyond))
    tried += [
        (row["leaf"], row["actor"], None, row["at"] or row["time"], False)
        for row in world["own_record"]
        if (row["what"], row["act"], row["why"]) == ("refusal", "grant", "not-permitted") and row["actor"]
    ]
    found = set()
    for access, actor, subject, time, beyond in tried:
        around = sum(1 for _, other, _, when, _ in tried if other == actor and abs(day(when) - day(time)) <= 14)
        if around >= 3 or beyond:
            found.add((access, actor, subject, "medium" if around >= 3 else "low", "V2" if beyond else "V1"))
    return found


@st.composite
def refusals(draw: st.DrawFn) -> World:
    seen = draw(looks(0, 3, actor=st.sampled_from(["a1", "a2"]), unit=st.just("support"), system=st.just("crm")))
    whom = st.sampled_from(["s1", "s2", "s3"])
    unit, when = (
        st.sampled_from(["audit", "audit", "support"]),
        st.sampled_from([0, 14, 15, 28, 29]).map(lambda days: START + days * DAY),
    )
    attempts = draw(rows(2, 7, subject=whom, actor=st.sampled_from(["a1", "a1", "a2"]), unit=unit, time=when))
    attempts = [{**row, "access": number} for number, row in enumerate(attempts, 50)]
    why = st.sampled_from(["no-grant", "out-of-scope", "used up"])
    own = [
        {
            "what": "decision",
            "act": draw(st.sampled_from(["denied", "denied", "denied", "evaluated"])),
            "about": f"x{row['access']}",
            "why": draw(why),
            "grant": draw(st.sampled_from([None, "g1"])),
        }
        for row in attempts[draw(st.sampled_from([0, 0, 1])) :]
    ]
    more = st.sampled_from([("registry", "canary", None), ("refusal", "grant", "not-permitted"), ("refusal", "grant", "form")])
    for what, act, reason in draw(st.lists(more, max_size=4)):
        own += [{"what": what, "act": act, "why": reason, "actor": draw(st.sampled_from([*ACTORS, None])), "at": draw(when)}]
    empty = {"about": None, "why": None, "grant": None, "actor": None, "at": None}
    return {
        "looks": seen,
        "units": WATCHING,
        "attempts": attempts,
        "accesses": [{**row, "access_id": f"x{row['access']}"} for row in [*_facts(seen), *_facts(attempts)]],
        "own_record": [{**empty, "leaf": leaf, "time": START, **row} for leaf, row in enumerate(own, 200)],
        "explanations": draw(verdicts(3, template=st.sampled_from(["E1", "E3", "E11"]), strength=st.just(3))) if seen else [],
    }


test_refused_to_watchers = agrees("D09", ("access", "actor", "subject", "level"), refusals(), refused_to_watchers)
test_refused_again = agrees("D11", ("access", "actor", "subject", "level", "codes"), refusals(), refused_again)
