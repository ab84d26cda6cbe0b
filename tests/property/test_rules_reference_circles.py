"""Rules on circles and rings against plain evaluators on small random worlds: linked persons, shared and divided subjects.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from small_worlds import DAY, START, Found, Row, World, agrees, bare, ends, held, looks, moments, rows, verdicts, with_core

# — D03 linked persons —

BONDS = {"the same actor": "actor", "actors citing the same reason": "reason", "actors under the same manager": "manager"}
WEEK = 7 * DAY
BEYOND = 2
Step = tuple[Row, str, str]
"""A look, the centre that the person stands one step from, the kind of link."""


def one_step(world: World, subject: str, at: Any) -> list[tuple[str, str]]:
    """Return (centre, kind of link) of all people one step from a subject, whose link is known by then."""
    near: dict[str, list[Row]] = {}
    for row in world["links"]:
        for own, other in ((row["subject"], row["other"]), (row["other"], row["subject"])):
            if own == subject:
                near.setdefault(other, []).append(row)
    return [
        (hub, min(row["kind"] for row in some))
        for hub, some in near.items()
        if min(row["since"] or START - 99 * DAY for row in some) <= at
    ]


def circle(world: World, hub: str, bond: str, party: str) -> tuple[list[Step], list[str]] | None:
    """Return the looks that hang on a centre and all people read without a reason meanwhile, if this is far beyond chance."""
    column = BONDS[bond]
    residue = [look for look in world["looks"] if not held(world, look)]
    hung = [
        (look, hub, kind)
        for look in bare(world)
        if look[column] == party
        for centre, kind in one_step(world, look["subject"], look["time"])
        if centre == hub
    ]
    openings = [
        look for look in world["looks"] if look["subject"] == hub and look[column] == party and look["deliberate"] is not False
    ]
    led = {
        step[0]["access"]: min(o["time"] for o in openings if step[0]["time"] - WEEK <= o["time"] <= step[0]["time"])
        for step in hung
        if any(step[0]["time"] - WEEK <= o["time"] <= step[0]["time"] for o in openings)
    }
    people = {step[0]["subject"] for step in hung if step[0]["access"] in led}
    if len(people) < 3:
        return None
    began, ended = min(led.values()), max(step[0]["time"] for step in hung if step[0]["access"] in led)

    def read(since: Any) -> list[str]:
        found = {look["subject"] for look in residue if look[column] == party and since <= look["time"] <= ended}
        return sorted(found - {hub})

    everybody = len({look["subject"] for look in world["looks"]})
    wide = len(
        {other for row in world["links"] for other in (row["subject"], row["other"]) if hub in (row["subject"], row["other"])}
        - {hub}
    )
    found, tried = len(people), len(read(began))
    far = found * everybody >= BEYOND * tried * wide and found * 40 >= tried
    many = found >= 5 and found * 2 >= tried and found * everybody >= 2 * tried * wide
    if not (far or many):
        return None
    return [step for step in hung if began - WEEK <= step[0]["time"] <= ended], read(began - WEEK)


def linked(world: World) -> Found:
    hubs = {row[end] for row in world["links"] for end in ("subject", "other")}
    candidates: dict[int, list[tuple[int, int, str, str, str, str]]] = {}
    for hub in sorted(hubs):
        for bond, column in BONDS.items():
            for party in sorted({look[column] for look in world["looks"]} - {None}):
                drawn = circle(world, hub, bond, party)
                for look, _, kind in drawn[0] if drawn else ():
                    assert drawn is not None
                    near = len({step[0]["subject"] for step in drawn[0]})
                    candidates.setdefault(look["access"], []).append((-near, len(drawn[1]), bond, party, hub, kind))
    found = set()
    for access, some in candidates.items():
        near, tried, bond, _, hub, kind = min(some)
        codes = [row for row in world["flags"] if row["access"] == access and row["code"] in {"V2", "V3", "V4"}]
        timed = bool(codes) and all(row["code"] == "V4" and row["evidence_table"] == "cases" for row in codes)
        level = "low" if timed or -near * 40 < tried else "high" if -near >= 5 and -near * 4 >= tried else "medium"
        found.add((access, hub, kind, bond, -near, tried, level))
    return found


@st.composite
def circles(draw: st.DrawFn) -> World:
    hours = st.sampled_from([START, START + 2 * DAY, START + WEEK, START + 8 * DAY])
    kinds = st.sampled_from(["contact", "follows"])
    links = [
        {"subject": "s0", "other": f"n{n}", "kind": draw(kinds), "since": draw(st.sampled_from([None, None, START + DAY]))}
        for n in range(6)
    ]
    links += draw(
        rows(0, 2, subject=st.sampled_from(["n1", "n2"]), other=st.sampled_from(["n3", "s0"]), kind=kinds, since=st.none())
    )
    people = ["s0", "n0", "n1", "n2", "n3", "n4", "n5", "q1"]
    parties: dict[str, Any] = {
        "actor": st.sampled_from(["a1", "a1", "a2"]),
        "reason": st.sampled_from([None, "k1"]),
        "manager": st.sampled_from([None, "m1"]),
    }
    seen = draw(looks(2, 7, subject=st.sampled_from(people), time=hours, **parties))
    hand = st.sampled_from(draw(st.sampled_from([["a1"], ["a1", "a2"]])))
    planned = [("s0", START), *((f"n{n}", draw(hours)) for n in range(draw(st.sampled_from([0, 3, 5, 6]))))]
    for subject, time in planned:
        row: Row = {"subject": subject, "time": time, "public_only": 0, "deliberate": True, "actor": draw(hand)}
        seen.append({"access": len(seen) + 1, "human": row["actor"], "reason": "k1", "manager": draw(parties["manager"]), **row})
    seen += [
        {
            **seen[0],
            "access": len(seen) + number + 1,
            "subject": f"q{number + 10}",
            "actor": "z",
            "human": "z",
            "reason": None,
            "manager": None,
        }
        for number in range(draw(st.sampled_from([10, 30, 60])))
    ]
    return {
        "looks": seen,
        "links": links,
        "flags": draw(
            verdicts(4, code=st.sampled_from(["V4", "V4", "V2"]), evidence_table=st.sampled_from(["cases", "cases", "tickets"]))
        ),
        "explanations": draw(verdicts(2, template=st.just("E2"), strength=st.just(3))),
    }


test_linked = agrees(
    "D03", ("access", "target", "link", "bond", "found", "all_read", "level"), circles(), linked, {"beyond": BEYOND}, fires=3
)


# — D03 one step from somebody whom the actor has a relation with —


def known_first(world: World) -> Found:
    links = [
        (hub, near) for row in world["links"] for hub, near in ((row["subject"], row["other"]), (row["other"], row["subject"]))
    ]
    found: dict[tuple[str, str], set[str]] = {}
    told = []
    for look in bare(world):
        for hub in sorted({hub for hub, near in links if near == look["subject"]}):
            week = [
                other
                for other in world["looks"]
                if (other["subject"], other["actor"]) == (hub, look["actor"])
                and look["time"] - WEEK <= other["time"] <= look["time"]
            ]
            opened = any(other["deliberate"] is not False for other in week)
            tied = any(
                not held(world, other)
                and (tie["subject"], tie["actor"]) == (hub, other["human"])
                and tie["kind"] != "self"
                and (tie["valid_from"] is None or tie["valid_from"] <= other["time"])
                and (tie["valid_to"] is None or other["time"] < tie["valid_to"])
                for other in week
                for tie in world["relations"]
            )
            if opened and tied:
                found.setdefault((look["actor"], hub), set()).add(look["subject"])
                told.append((look["access"], look["actor"], hub))
    return {(access, hub, len(found[actor, hub]), "low") for access, actor, hub in told}


test_known_first = agrees(
    "D03",
    ("access", "target", "found", "level"),
    with_core(
        st.fixed_dictionaries(
            {
                "looks": looks(
                    3, 7, subject=st.sampled_from(["s0", "n1", "n2"]), actor=st.sampled_from(["a1", "a2"]), time=moments
                ),
                "links": st.just(
                    [{"subject": "s0", "other": "n1", "kind": "contact"}, {"subject": "n2", "other": "s0", "kind": "contact"}]
                ),
                "relations": rows(
                    1,
                    3,
                    actor=st.sampled_from(["a1", "a1", "a2"]),
                    subject=st.sampled_from(["s0", "s0", "n1"]),
                    kind=st.sampled_from(["family", "family", "self"]),
                    valid_from=ends,
                    valid_to=ends,
                ),
                "flags": st.just([]),
                "explanations": verdicts(2, template=st.just("E2"), strength=st.just(3)),
            }
        ),
        [{"subject": "s0"}, {"subject": "n1", "time": START + WEEK}, {"subject": "n2", "time": START + WEEK + DAY}],
        actor="a1",
    ),
    known_first,
)


# — D08 rings —


def ring(world: World) -> Found:
    residue = [look for look in world["looks"] if not held(world, look)]
    found = set()
    for name in sorted({row["ring"] for row in world["ring_looks"]}):
        own = [row for row in world["ring_looks"] if row["ring"] == name]
        seen = [
            look for look in residue if any((row["access"], row["subject"]) == (look["access"], look["subject"]) for row in own)
        ]
        readers, shared = {look["human"] for look in seen}, {look["subject"] for look in seen}
        units = {look["unit"] for look in seen} - {None}
        weight = max(row["weight"] for row in own)
        if len(shared) < 2 or len(readers) > 3:
            continue
        heavy, apart = weight >= 8000, len(units) >= 2
        many = len(readers) >= 3
        level = "high" if many and heavy and apart else "medium" if many or (apart and heavy) else "low"
        found |= {(look["access"], name, len(readers), len(shared), level) for look in seen}
    return found


@st.composite
def rings(draw: st.DrawFn) -> World:
    seen = draw(
        looks(
            4,
            9,
            actor=st.sampled_from(["a1", "a2", "a3", "a4"]),
            unit=st.sampled_from(["x", "x", "y", None]),
            subject=st.sampled_from(["s1", "s2"]),
        )
    )
    weights = {"r1": draw(st.sampled_from([7999, 8000])), "r2": draw(st.sampled_from([7999, 8000]))}
    tied = draw(st.lists(st.sampled_from(["r1", "r1", "r2", None]), min_size=len(seen), max_size=len(seen)))
    return {
        "looks": seen,
        "ring_looks": [
            {"ring": name, "access": look["access"], "subject": look["subject"], "weight": weights[name] - number % 2, "witness": 1}
            for number, (look, name) in enumerate(zip(seen, tied, strict=True))
            if name
        ],
        "explanations": draw(verdicts(2, template=st.just("E2"), strength=st.just(3))),
    }


test_ring = agrees("D08", ("access", "circle", "readers", "shared", "level"), rings(), ring, {"crowd": 3}, fires=3)


# — D08 a list that was divided —

MEETINGS, SHUNNED, ALONE = 10, 4, 3


def divided(world: World) -> Found:
    plain = [look for look in bare(world) if look["via"] == "direct" and look["subject"] and look["fieldset"] and look["unit"]]
    persons = len({look["subject"] for look in plain})
    found = set()
    for fields in sorted({look["fieldset"] for look in plain}):
        own = [look for look in plain if look["fieldset"] == fields]
        parts: dict[tuple[str, str], set[str]] = {}
        for look in own:
            parts.setdefault((look["unit"], look["human"]), set()).add(look["subject"])
        used = [look for look in world["looks"] if look["fieldset"] == fields and held(world, look)]
        reasons = {hand: {look["access"] for look in used if look["human"] == hand} for _, hand in parts}
        parts = {hand: seen for hand, seen in parts.items() if len(seen) >= ALONE and len(reasons[hand[1]]) <= len(seen)}
        units = {unit for unit, _ in parts}
        # Twice the pairs of people that two hands of one unit could have had in common, over all people: what chance gives.
        crossings = sum(len(a) * len(b) for one, a in parts.items() for two, b in parts.items() if one != two and one[0] == two[0])
        opened = sum(map(len, parts.values()))
        apart = len(set().union(*parts.values())) if parts else 0
        expected = crossings >= 2 * persons * MEETINGS
        shunned = (opened - apart) * SHUNNED * 2 * persons <= crossings
        if len(parts) < 3 or not expected or not shunned:
            continue
        level = "medium" if len(units) >= 2 else "low"
        found |= {(look["access"], len(parts), apart, level) for look in own if (look["unit"], look["human"]) in parts}
    return found


@st.composite
def lists(draw: st.DrawFn) -> World:
    hands, each = draw(st.sampled_from([4, 4, 3, 2])), draw(st.sampled_from([12, 12, 9, 8]))
    units = draw(st.sampled_from([["x"], ["x", "x", "y", "y"]]))
    again = draw(st.sampled_from([0, 0, 1, 4]))
    seen = [
        {"subject": f"p{hand}-{number}", "human": f"a{hand}", "unit": units[hand % len(units)]}
        for hand in range(hands)
        for number in range(each)
    ]
    seen += [{"subject": f"p0-{number}", "human": "a1", "unit": units[1 % len(units)]} for number in range(again)]
    # Beside them perhaps somebody whose work these fields are: reads the same people, and has a reason for others.
    workers = [
        {"subject": f"p{number % hands}-{number}", "human": "w", "unit": "x"} for number in range(draw(st.sampled_from([0, 0, 8])))
    ]
    known = [
        {"subject": f"w-{number}", "human": "w", "unit": "x"}
        for number in range(draw(st.sampled_from([8, 9, 9])) if workers else 0)
    ]
    seen += [*workers, *known]
    fixed = {"via": "direct", "fieldset": "f1", "time": START, "public_only": 0, "deliberate": True}
    whole = [{"access": number, "actor": row["human"], **fixed, **row} for number, row in enumerate(seen, 1)]
    for change in draw(
        st.lists(st.sampled_from([{"public_only": 1}, {"fieldset": "f2"}, {"via": "derived"}, {"unit": None}]), max_size=3)
    ):
        whole[draw(st.integers(0, len(whole) - 1))].update(change)
    return {
        "looks": whole,
        "ring_looks": [],
        "explanations": [
            *({"place": len(whole) - number, "template": "E1", "strength": 4} for number in range(1, len(known) + 1)),
            *draw(verdicts(draw(st.sampled_from([1, 1, 9])), template=st.just("E2"), strength=st.just(3))),
        ],
    }


test_divided = agrees(
    "D08",
    ("access", "readers", "shared", "level"),
    lists(),
    divided,
    {"alone": ALONE, "meetings": MEETINGS, "shunned": SHUNNED},
    fires=3,
)
