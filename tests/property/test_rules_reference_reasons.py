"""Rules on reasons against plain evaluators on small random worlds: missing, broken, captured, overridden, owed.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st
from small_worlds import (
    DAY,
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
    unmet,
    verdicts,
)

BROKEN = ("V2", "V3", "V4", "V14", "V16")


def codes_on(world: World, look: Row) -> set[str]:
    return {row["code"] for row in world.get("flags", []) if row["access"] == look["access"]}


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
