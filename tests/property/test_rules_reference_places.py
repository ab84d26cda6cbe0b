"""Rules on places and copies against plain evaluators on small random worlds: co-location, borders, remote hands.

Each evaluator is written from the words of the rule (`finds`, parameters), not from its SQL, and loops where the SQL joins.
"""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st
from small_worlds import (
    HOUR,
    MINUTE,
    START,
    SUBJECTS,
    Found,
    World,
    agrees,
    ends,
    explained,
    held,
    looks,
    rows,
    unmet,
    verdicts,
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
