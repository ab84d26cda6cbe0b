"""More rules against plain evaluators on small random worlds: what a look, a place, a relation, a copy or an event says.

Each evaluator is written from the words of the rule's page and loops where the SQL joins.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from math import comb
from pathlib import Path

import pytest
from hypothesis import strategies as st
from small_worlds import (
    ACTORS,
    DAY,
    HOUR,
    MINUTE,
    START,
    SUBJECTS,
    Found,
    Row,
    World,
    agrees,
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

BROKEN = ("V2", "V3", "V4", "V14", "V16")


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    with tempfile.TemporaryDirectory() as folder, open_engine(memory_mb=512, threads=1, directory=Path(folder)) as opened:
        yield opened


def codes_on(world: World, look: Row) -> set[str]:
    return {row["code"] for row in world.get("flags", []) if row["access"] == look["access"]}


def unmet(world: World, look: Row) -> bool:
    return any(row["access"] == look["access"] and not row["met"] for row in world["obligations"])


# — D01 unexplained access —


def unexplained(world: World) -> Found:
    residue = [look for look in world["looks"] if not held(world, look)]
    chosen = [look for look in residue if look["deliberate"] is not False]
    found = set()
    for look in residue:
        hasty = False
        for first in chosen:
            burst = [
                other
                for other in chosen
                if (other["actor"], other["subject"]) == (first["actor"], first["subject"]) == (look["actor"], look["subject"])
                and first["time"] <= other["time"] <= first["time"] + 6 * MINUTE
            ]
            hasty |= look in burst and len({other["system"] for other in burst}) >= 3
        broken = bool(codes_on(world, look) & set(BROKEN))  # another rule tells of a reason that does not hold
        level = "medium" if hasty and not broken else "note" if look["deliberate"] is False else "low"
        found.add((look["access"], level, "" if broken else "V25 V1" if hasty else "V1"))
    return found


test_unexplained = agrees(
    "D01",
    ("access", "level", "codes"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                4,
                10,
                actor=st.sampled_from(["a1", "a1", "a2"]),
                subject=st.sampled_from(["s1", "s1", "s2"]),
                system=st.sampled_from(["crm", "admin", "mail", "logs"]),
                time=st.sampled_from([START + step * timedelta(seconds=30) for step in (0, 2, 5, 11, 12, 13, 17, 23, 24, 25)]),
            ),
            "explanations": st.one_of(st.just([]), explained),
            "flags": verdicts(3, code=st.sampled_from([*BROKEN, "V11"])),
        }
    ),
    unexplained,
)


# — D02 protected person —


def protected(world: World) -> Found:
    words = {"outside_approver": "an approval from outside", "two_person": "a second approver", "reason": "a complete reason"}
    found = set()
    for look in world["looks"]:
        duties = [row for row in world["obligations"] if row["access"] == look["access"]]
        for row in duties:
            if not row["met"]:
                soft = row["duty"] == "reason" or held(world, look) >= 3
                found.add((look["access"], "medium" if soft else "high", words[row["duty"]], "V5"))
        if duties and all(row["met"] for row in duties):
            found.add((look["access"], "note", "the reason is complete", ""))
    return found


test_protected = agrees(
    "D02",
    ("access", "level", "unmet", "codes"),
    st.fixed_dictionaries(
        {
            "looks": looks(),
            "obligations": verdicts(
                5, duty=st.sampled_from(["outside_approver", "two_person", "reason"]), met=st.sampled_from([0, 1])
            ),
            "explanations": explained,
        }
    ),
    protected,
)


# — D04 co-location —

SETS = {"f0": ["identity"], "f1": ["staff_location"], "f2": ["ip_address"], "f3": ["staff_location", "device"], "f4": ["location"]}


def shown(fieldset: str) -> set[str]:
    """Say whose places a set of fields shows."""
    kinds = {"staff_location": "staff", "ip_address": "people", "device": "people", "location": "people"}
    return {kinds[category] for category in SETS[fieldset] if category in kinds}


def co_location(world: World) -> Found:
    facts = {row["access"]: row for row in world["accesses"]}

    def inside(copy: str | None, steps: int) -> set[str]:
        """Say what a copy holds: what its writers saw, and what was in the copies that they opened, `steps` copies back."""
        told: set[str] = set()
        for row in world["accesses"]:
            if copy is not None and row["derived"] == copy:
                told |= shown(row["fieldset"]) | (inside(row["derived_from"], steps - 1) if steps else set())
        return told

    found = set()
    for look in world["looks"]:
        own = facts[look["access"]]
        through = inside(own["derived_from"], 1)
        together = shown(own["fieldset"]) | through == {"staff", "people"}
        sat = (
            not held(world, look)
            and "people" in shown(look["fieldset"])
            and any(
                row["session"] == own["session"] is not None
                and row["actor"] == own["actor"]
                and "staff" in shown(row["fieldset"])
                and abs(row["time"] - own["time"]) <= HOUR
                for row in world["accesses"]
            )
        )
        account = any(row["subject"] == look["subject"] and row["kind"] in ("staff_account", "test") for row in world["subjects"])
        if account or not (together or sat):
            continue
        manner = "in one session" if not together else "through a chain of copies" if through else "in one statement"
        found.add((look["access"], manner, "high" if together and held(world, look) < 3 else "medium"))
    return found


@st.composite
def desks(draw: st.DrawFn) -> World:
    copies = st.sampled_from([None, None, "o1", "o2", "o3"])
    seen = draw(
        looks(
            3,
            8,
            actor=st.sampled_from(["a1", "a1", "a2"]),
            fieldset=st.sampled_from(sorted(SETS)),
            derived=copies,
            derived_from=copies,
            session=st.sampled_from([None, "n1", "n2"]),
            time=st.sampled_from([START, START + 59 * MINUTE, START + 60 * MINUTE, START + 61 * MINUTE, START + 2 * HOUR]),
        )
    )
    names = ("access", "actor", "fieldset", "derived", "derived_from", "session", "time")
    return {
        "looks": [{key: value for key, value in look.items() if key != "session"} for look in seen],
        "accesses": [{name: look[name] for name in names} for look in seen],
        "fieldsets": [
            {"fieldset": name, "category": category, "resource": "r"} for name, some in SETS.items() for category in some
        ],
        "subjects": draw(rows(0, 1, subject=st.sampled_from(SUBJECTS), kind=st.sampled_from(["staff_account", "customer"]))),
        "explanations": draw(explained),
    }


test_co_location = agrees("D04", ("access", "manner", "level"), desks(), co_location)


# — D05 border —


def border(world: World) -> Found:
    order = ["country", "support_only", "set_scope_only"]

    def degree(region: str, land: str) -> int:
        return min(
            (
                order.index(row["kind"])
                for row in world["policy_regions"]
                if row["kind"] in order and (row["region"], row["value"]) == (region, land)
            ),
            default=3,
        )

    session = {row["access"]: row["client_country"] for row in world["accesses"]}
    found = set()
    for look in world["looks"]:
        for home in world["subjects"]:
            region = home["region"]
            begun = home["valid_from"] is None or home["valid_from"] <= look["time"]
            over = home["valid_to"] is not None and look["time"] >= home["valid_to"]
            ruled = any(row["region"] == region and row["kind"] in order for row in world["policy_regions"])
            if home["subject"] != look["subject"] or not begun or over or not ruled or look["country"] is None:
                continue
            work = degree(region, look["country"])
            client = session[look["access"]]
            worst = max(work, 0 if client is None else degree(region, client))
            entities = [row["value"] for row in world["policy_regions"] if row["region"] == region and row["kind"] == "entity"]
            foreign = bool(entities) and look["entity"] is not None and look["entity"] not in entities
            bulk = look["via"] == "direct" and look["subject_scope"] in ("set", "aggregate")
            ticket = any(row["access"] == look["access"] and row["template"] == "E1" for row in world["explanations"])
            told = worst == 3 or (worst == 2 and not bulk) or (worst == 1 and not ticket) or (worst == 0 and foreign)
            # foreign hands at home, and a session elsewhere that may: the place of the session decides first
            told = told or (work == 0 and foreign and worst == 2)
            if told:
                low = held(world, look) >= 3 or look["deliberate"] is False or worst == 1
                found.add((look["access"], region, "low" if low else "medium", worst))
    words = {0: "not by this legal entity", 1: "from there only with the own ticket of the subject"}
    words |= {2: "from there only bulk work that names nobody", 3: "no access from there"}
    return {(access, region, level, words[worst]) for access, region, level, worst in found}


lands = st.sampled_from(["DE", "US", "IN", "PH"])
test_border = agrees(
    "D05",
    ("access", "region", "level", "allows"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                4,
                9,
                country=st.one_of(st.none(), lands, lands),
                entity=st.sampled_from([None, "gmbh", "inc"]),
                via=st.sampled_from(["direct", "direct", "derived"]),
                subject_scope=st.sampled_from(["named", "set"]),
            ),
            "accesses": st.lists(st.one_of(st.none(), lands), min_size=9, max_size=9).map(
                lambda some: [{"access": number, "client_country": land} for number, land in enumerate(some, 1)]
            ),
            "subjects": rows(
                1, 4, subject=st.sampled_from(SUBJECTS), region=st.sampled_from(["eu", "eu", "us"]), valid_from=ends, valid_to=ends
            ),
            "policy_regions": rows(
                0,
                5,
                region=st.sampled_from(["eu", "eu", "us"]),
                kind=st.sampled_from(["country", "support_only", "set_scope_only"]),
                value=lands,
            ).flatmap(lambda some: st.sampled_from([some, [*some, {"region": "eu", "kind": "entity", "value": "gmbh"}]])),
            "explanations": explained,
        }
    ),
    border,
)


# — D06 remote hands —


def remote_hands(world: World) -> Found:
    found = set()
    for look in world["looks"]:
        if look["derived_from"] is None or look["country"] is None or held(world, look) >= 3:
            continue
        wrote: dict[tuple[str, str], datetime] = {}
        for other in world["looks"]:
            if other["derived"] == look["derived_from"] and other["country"] is not None:
                key = (other["human"], other["country"])
                wrote[key] = min(wrote.get(key, other["time"]), other["time"])
        region = min((row["region"] for row in world["subjects"] if row["subject"] == look["subject"]), default=None)
        free = [row["value"] for row in world["policy_regions"] if row["region"] == region and row["kind"] == "country"]
        barred = bool(free) and look["country"] not in free
        grave = look["unit"] == "audit" or unmet(world, look)
        for (writer, land), written in wrote.items():
            if writer != look["human"] and land != look["country"] and written <= look["time"] <= written + 48 * HOUR:
                level = "high" if grave else "medium" if barred else "low"
                minutes = (look["time"] - written) // MINUTE
                found.add((look["access"], writer, land, level, "V8 V17" if barred else "V17", minutes))
    return found


test_remote_hands = agrees(
    "D06",
    ("access", "writer", "from_land", "level", "codes", "minutes_after"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                4,
                9,
                country=st.sampled_from([None, "DE", "US", "IN"]),
                derived=st.sampled_from([None, "o1", "o1", "o2"]),
                derived_from=st.sampled_from([None, "o1", "o1", "o2"]),
                unit=st.sampled_from(["support", "support", "audit"]),
            ),
            "subjects": rows(0, 3, subject=st.sampled_from(SUBJECTS), region=st.sampled_from(["eu", "us"])),
            "policy_regions": rows(
                0,
                3,
                region=st.sampled_from(["eu", "us"]),
                kind=st.sampled_from(["country", "entity"]),
                value=st.sampled_from(["DE", "US"]),
            ),
            "units": st.just([{"unit": "audit", "prefix": "audit", "no_subject_duty": 1}]),
            "obligations": verdicts(2, duty=st.just("two_person"), met=st.sampled_from([0, 1])),
            "explanations": explained,
        }
    ),
    remote_hands,
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


# — D21 a case outside its scope, a legal process that does not cover —


def broken_case(world: World) -> Found:
    told = []
    for flag in world["flags"]:
        look = next(one for one in world["looks"] if one["access"] == flag["access"])
        if held(world, look) < 3:
            told.append((flag, look))

    def in_scope(key: str, subject: str) -> bool:
        return any(row["case"] == key.lower() and row["subject"] == subject for row in world["case_subjects"])

    found = set()
    for flag, look in told:
        key = flag["evidence_key"]
        if flag["evidence_table"] == "legal":
            cites_one = any(row["reason"] == look["reason"] and row["kind"] == "legal" for row in world["reasons"])
            if flag["code"] == "V16" and (look["purpose"] == "legal_process" or cites_one):
                found.add((look["access"], "V16", "medium", key, 1))
        elif flag["code"] != "V16":
            outside = {
                seen["subject"]
                for other, seen in told
                if (other["evidence_key"], other["code"], seen["actor"]) == (key, "V2", look["actor"])
                and not in_scope(key, seen["subject"])
            }
            level = "medium" if flag["code"] == "V2" and len(outside) >= 2 else "low"
            found.add((look["access"], flag["code"], level, key, len(outside)))
    return found


test_broken_case = agrees(
    "D21",
    ("access", "codes", "level", "evidence_key", "cited"),
    st.fixed_dictionaries(
        {
            "looks": looks(
                4,
                9,
                actor=st.sampled_from(["a1", "a1", "a2"]),
                reason=st.sampled_from([None, "l1", "t1"]),
                purpose=st.sampled_from([None, "support", "legal_process"]),
            ),
            "cases": st.just([{"case": f"k{n}", "row_key": f"K{n}"} for n in (1, 2)]),
            "case_subjects": rows(0, 3, case=st.sampled_from(["k1", "k2"]), subject=st.sampled_from(SUBJECTS)),
            "reasons": st.just([{"reason": "l1", "kind": "legal"}, {"reason": "t1", "kind": "tickets"}]),
            "flags": verdicts(
                8,
                what=st.sampled_from(
                    [
                        ("cases", "K1", "V2"),
                        ("cases", "K1", "V2"),
                        ("cases", "K2", "V2"),
                        ("cases", "K1", "V3"),
                        ("cases", "K2", "V4"),
                        ("legal", "L1", "V16"),
                    ]
                ),
            ).map(
                lambda some: [
                    {
                        "place": row["place"],
                        "evidence_table": row["what"][0],
                        "evidence_key": row["what"][1],
                        "code": row["what"][2],
                    }
                    for row in some
                ]
            ),
            "explanations": st.one_of(st.just([]), explained),
        }
    ),
    broken_case,
)


# — D22 an approver inside, unknown or nobody; a class that the law does not accept; a stamp —


def captured(world: World) -> Found:
    grants = {row["grant"]: row for row in world["grants"]}
    votes = [
        (row["grant"], grants[row["grant"]]["actor"], row["approver"], row["at"])
        for row in world["approvals"]
        if row["decision"] == "approve" and row["approver"] != grants[row["grant"]]["actor"]
    ]

    def stamps(approver: str) -> bool:
        """Say whether most of at least four grants were decided within ten seconds of another requester's."""
        own = [vote for vote in votes if vote[2] == approver]
        hasty = {
            grant
            for grant, asker, _, at in own
            for other, other_asker, _, before in own
            if other != grant and other_asker != asker and timedelta(0) <= at - before < timedelta(seconds=10)
        }
        decided = {grant for grant, *_ in own}
        return len(decided) >= 4 and 2 * len(hasty) > len(decided)

    stamped = {f"G{grant[1:]}" for grant, _, approver, _ in votes if stamps(approver)}
    found = set()
    for look in world["looks"]:
        level = "high" if unmet(world, look) else "medium"
        for flag in world["flags"]:
            if flag["access"] != look["access"] or flag["code"] != "V14" or held(world, look) >= 3:
                continue
            if flag["template"] == "E4":
                found.add((look["access"], level, "a legal process was approved by a class of person that policy does not accept"))
                continue
            approvers = {approver for grant, _, approver, _ in votes if f"G{grant[1:]}" == flag["evidence_key"]}
            if not approvers:
                found.add((look["access"], level, "a grant was approved by nobody else, or the approval was withdrawn"))
            for approver in approvers:
                known = any(row["actor"] == approver for row in world["staff_spans"])
                inside = "a grant was approved inside the requester's own unit or chain"
                found.add((look["access"], level, inside if known else "a grant was approved by somebody who cannot be placed"))
        for row in world["explanations"]:
            if row["access"] == look["access"] and row["evidence_key"] in stamped:
                found.add((look["access"], level, "the approver decides within seconds, requester after requester"))
    return found


@st.composite
def piles(draw: st.DrawFn) -> World:
    """Draw grants of several requesters, decided by few approvers who ask for nothing themselves."""
    waits = draw(st.lists(st.sampled_from([0, 9, 10, 3600]), min_size=5, max_size=5))
    passed, approvals = START, []
    for number, wait in enumerate(waits, 1):
        passed += timedelta(seconds=wait)
        by = draw(st.sampled_from(["b1", "b1", "b1", "b2"]))
        decision = draw(st.sampled_from(["approve", "approve", "approve", "deny"]))
        approvals.append({"grant": f"g{number}", "row_key": f"V{number}", "approver": by, "decision": decision, "at": passed})
    keys = st.sampled_from([f"G{number}" for number in range(1, 6)])
    one = st.fixed_dictionaries({"template": st.sampled_from(["E3", "E3", "E4"]), "evidence_key": keys})
    flags = draw(verdicts(3, code=st.sampled_from(["V14", "V14", "V2"]), what=one))
    return {
        "looks": draw(looks(2, 5)),
        "grants": [
            {"grant": f"g{number}", "row_key": f"G{number}", "actor": draw(st.sampled_from(["a1", "a2", "a3"]))}
            for number in range(1, 6)
        ],
        "approvals": approvals,
        "staff_spans": [{"actor": "b1"}],
        "flags": [
            {
                "place": row["place"],
                "code": row["code"],
                **row["what"],
                "evidence_table": "grants" if row["what"]["template"] == "E3" else "legal",
            }
            for row in flags
        ],
        "obligations": draw(verdicts(2, duty=st.just("two_person"), met=st.sampled_from([0, 1]))),
        "explanations": draw(
            verdicts(
                3, template=st.just("E3"), strength=st.sampled_from([2, 4]), evidence_table=st.just("grants"), evidence_key=keys
            )
        ),
    }


test_captured = agrees("D22", ("access", "level", "flaw"), piles(), captured)
