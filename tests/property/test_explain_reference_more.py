"""Templates E3 to E13 against plain evaluators that read their pages one row at a time, on small random worlds.

Each evaluator is written from the words of the template (`finds`, checks) and the design, and says for a look and a row whether the
row explains the look. `test_explain_reference` does the same for E1 and E2.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes.engines.duckdb_engine import DuckDBEngine
from custodes.explain import load_templates, run
from custodes.explain.trial import world as make_world
from custodes.model.policy import Policy
from custodes.model.tables import TABLES

Row = dict[str, Any]
World = dict[str, list[Row]]
Found = set[tuple[int, str, int]]
"""Access, key of the row that explains it, strength."""

START = datetime(2026, 3, 2, 0, 0)  # noqa: DTZ001  # times of engines are UTC without a zone
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SHELF = {template.code: template for template in load_templates()}
UNIT = {"a1": "x/1", "a2": "x/1", "a3": "y", "o1": "z", "p1": "privacy/office"}
STAFF = [
    {"actor": "a1", "unit": "x/1", "person": "n1"},
    {"actor": "a2", "unit": "x/1", "person": "n2", "manager": "a1"},
    {"actor": "a3", "unit": "y", "person": "n3", "manager": "a2"},
    {"actor": "o1", "unit": "z", "person": "n4"},
    {"actor": "p1", "unit": "privacy/office", "person": "n5"},
]
BELOW = {("a2", "a1"), ("a3", "a2"), ("a3", "a1")}
"""Who reports to whom: a3 to a2 to a1."""

times = st.sampled_from([START, START + HOUR, START + 23 * HOUR, START + DAY, START + 3 * DAY])
seldom = st.one_of(st.none(), st.none(), times)
people = st.sampled_from(["a1", "a2", "a3"])
subjects = st.sampled_from(["s1", "s1", "s2"])


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * (2 * len(others)) + list(others))


def rows(least: int, most: int, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    return st.lists(st.fixed_dictionaries(columns), min_size=least, max_size=most)


def looks(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    return rows(2, 4, **{"subject": subjects, "human": people, "time": times, **columns})


def runs(row: Row, at: datetime) -> bool:
    """Whether a row is in force; its end does not belong to it."""
    return (row["valid_from"] is None or row["valid_from"] <= at) and (row["valid_to"] is None or at < row["valid_to"])


def is_open(row: Row, at: datetime, grace: timedelta = timedelta(0)) -> bool:
    return bool(row["opened"] <= at) and (row["closed"] is None or at < row["closed"] + grace)


def near(one: str, other: str) -> bool:
    """Whether one stands above the other, through any number of managers."""
    return (one, other) in BELOW or (other, one) in BELOW


def from_outside(approver: str, requester: str, human: str) -> bool:
    """Whether an approver is placed, is neither of the two, and stands outside the requester's unit and chain."""
    return (
        approver in UNIT
        and approver not in {requester, human}
        and not near(approver, requester)
        and UNIT[approver] != UNIT[requester]
    )


def agrees(
    code: str, worlds: st.SearchStrategy[World], explains: Callable[[Row, World], set[tuple[str, int]]], *besides: str
) -> Any:
    """Return the test that template `code` explains the same looks by the same rows as `explains` says; some are explained."""

    def test(engine: DuckDBEngine) -> None:
        told = 0

        @settings(max_examples=settings().max_examples // 4, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(worlds)
        def check(tables: World) -> None:
            nonlocal told
            for number, look in enumerate(tables["looks"]):
                look.update(look=number, access=number, unit=UNIT.get(look["human"]), actor=look.get("actor") or look["human"])
            make_world(engine, {**tables, "staff": STAFF})
            run(engine, [SHELF[one] for one in (*besides, code)], Policy(), set(TABLES))
            found = engine.rows(f"SELECT access, evidence_key, strength FROM explanations WHERE template = '{code}'")
            expected: Found = {(look["access"], *row) for look in tables["looks"] for row in explains(look, tables)}
            assert set(found) == expected
            told += bool(expected)

        check()
        assert told >= 2, f"only {told} worlds had something explained: the test proves too little"

    return test


# — E3 an approved grant —

FIELDS = [{"fieldset": "f1", "field": "email"}, {"fieldset": "f2", "field": "email"}, {"fieldset": "f2", "field": "ip_log"}]


def cover(look: Row, listed: list[Row]) -> bool:
    """Whether rows of one id name every field that was touched."""
    names = {name for row in listed for name in row["fields"] or ()}
    return {row["field"] for row in FIELDS if row["fieldset"] == look["fieldset"]} <= names


def granted(look: Row, world: World) -> set[tuple[str, int]]:
    found = set()
    for grant in world["grants"]:
        given_to = grant["actor"] == look["human"] and grant["subject"] in {look["subject"], "*"}
        same = [row for row in world["grants"] if row["grant"] == grant["grant"]]
        if (
            grant["break_glass"]
            or not given_to
            or not runs(grant, look["time"])
            or not (grant["fields"] is None or cover(look, same))
        ):
            continue
        votes = [row for row in world["approvals"] if row["grant"] == grant["grant"] and row["at"] <= look["time"]]
        approvals = [row for row in votes if row["decision"] == "approve"]
        withdrawn = any(
            row["decision"] in {"deny", "revoke"} and not any(later["at"] > row["at"] for later in approvals) for row in votes
        )
        requester = grant["requested_by"] or grant["actor"]
        if not withdrawn and any(from_outside(row["approver"], requester, look["human"]) for row in approvals):
            found.add((grant["row_key"], 4))
    return found


test_e3 = agrees(
    "E3",
    st.fixed_dictionaries(
        {
            "looks": looks(fieldset=st.sampled_from(["f1", "f2"]), reason=st.sampled_from(["G1", "G2", None])),
            "fieldsets": st.just(FIELDS),
            "grants": rows(
                2,
                4,
                grant=st.sampled_from(["G1", "G1", "G2"]),
                actor=people,
                subject=st.sampled_from(["s1", "s2", "*"]),
                fields=st.sampled_from([None, None, ["email"], ["ip_log"]]),
                valid_from=seldom,
                valid_to=seldom,
                requested_by=st.sampled_from([None, None, "a3"]),
                break_glass=mostly(False, True),
            ).map(lambda some: [{**row, "row_key": f"R{number}"} for number, row in enumerate(some)]),
            "approvals": rows(
                1,
                4,
                grant=st.sampled_from(["G1", "G2"]),
                approver=st.sampled_from(["o1", "o1", "a1", "a2", "a3", "nobody"]),
                at=times,
                decision=mostly("approve", "deny", "revoke"),
            ),
        }
    ),
    granted,
)


# — E4 a verified legal process —

CLASSES = {"warrant": {"judge"}, "*": {"counsel", "judge"}}


def lawful(look: Row, world: World) -> set[tuple[str, int]]:
    found = set()
    for row in world["legal"]:
        same = [other for other in world["legal"] if other["process"] == row["process"]]
        in_time = (
            row["served"] is not None
            and row["served"] <= look["time"]
            and (row["expires"] is None or look["time"] < row["expires"])
        )
        cited = look["reason"] == row["process"] or look["purpose"] in {"legal_process", "legal_hold", "life_safety"}
        fields = row["fields"] is None or cover(look, same)
        approved = row["approver_class"] in CLASSES.get(row["kind"], CLASSES["*"])
        if row["subject"] == look["subject"] and row["verified"] and in_time and cited and fields and approved:
            found.add((row["row_key"], 4))
    return found


test_e4 = agrees(
    "E4",
    st.fixed_dictionaries(
        {
            "looks": looks(
                fieldset=st.sampled_from(["f1", "f2"]),
                reason=st.sampled_from(["L1", "L2", None]),
                purpose=st.sampled_from(["legal_process", "legal_hold", "support", None]),
            ),
            "fieldsets": st.just(FIELDS),
            "policy_legal": st.just([{"kind": kind, "class": word} for kind, words in CLASSES.items() for word in sorted(words)]),
            "legal": rows(
                2,
                4,
                process=st.sampled_from(["L1", "L2"]),
                kind=st.sampled_from(["warrant", "emergency", "court_order"]),
                verified=mostly(True, False, None),
                subject=subjects,
                fields=st.sampled_from([None, None, ["email"], ["ip_log"]]),
                served=mostly(START, START + DAY, None),
                expires=seldom,
                approver_class=st.sampled_from(["judge", "judge", "counsel", "manager"]),
            ).map(lambda some: [{**row, "row_key": f"R{number}"} for number, row in enumerate(some)]),
        }
    ),
    lawful,
)


# — E5 a job or change of a service —


def worked(look: Row, world: World) -> set[tuple[str, int]]:
    found = set()
    for job in world["jobs"]:
        change = next((row for row in world["tickets"] if row["ticket"] == job["change"]), None)
        bulk = look["subject_scope"] in {"none", "aggregate", "set"} and not job["targeted"]
        if job["service"] == look["actor"] and runs(job, look["time"]) and bulk and change and is_open(change, look["time"]):
            found.add((job["row_key"], 2 if change["opened_by"] in {None, look["human"]} else 3))
    return found


test_e5 = agrees(
    "E5",
    st.fixed_dictionaries(
        {
            "looks": looks(
                actor=st.sampled_from(["svc", "svc", None]),
                actor_kind=st.sampled_from(["service", "agent", "human"]),
                subject_scope=st.sampled_from(["set", "aggregate", "named"]),
                reason=st.sampled_from(["J1", None]),
            ),
            "jobs": rows(
                1,
                3,
                job=st.sampled_from(["J1", "J2"]),
                service=mostly("svc", "a1"),
                change=mostly("T1", "T2", "T3", None),
                targeted=mostly(False, None, True),
                valid_from=seldom,
                valid_to=seldom,
            ).map(lambda some: [{**row, "row_key": f"R{number}"} for number, row in enumerate(some)]),
            "tickets": st.tuples(seldom, st.sampled_from([None, "a1", "o1"]), times).map(
                lambda drawn: [
                    {"ticket": "T1", "row_key": "T1", "opened": START, "closed": drawn[0], "opened_by": drawn[1]},
                    {"ticket": "T2", "row_key": "T2", "opened": drawn[2], "closed": None, "opened_by": "o1"},
                ]
            ),
        }
    ),
    worked,
)


# — E6 on the roster of an open incident —


def on_roster(look: Row, world: World) -> set[tuple[str, int]]:
    return {
        (incident["row_key"], 2)
        for incident in world["incidents"]
        for row in world["roster"]
        if is_open(incident, look["time"])
        and (row["incident"], row["actor"]) == (incident["incident"], look["human"])
        and runs(row, look["time"])
    }


test_e6 = agrees(
    "E6",
    st.fixed_dictionaries(
        {
            "looks": looks(reason=st.sampled_from(["I1", "I2", None]), purpose=st.sampled_from(["repair", None])),
            "incidents": rows(1, 3, incident=st.sampled_from(["I1", "I2"]), opened=mostly(START, START + DAY), closed=seldom).map(
                lambda some: [{**row, "row_key": f"R{number}"} for number, row in enumerate(some)]
            ),
            "roster": rows(
                1, 3, incident=st.sampled_from(["I1", "I2", None]), actor=people, valid_from=seldom, valid_to=seldom
            ).map(lambda some: [{**row, "row_key": "roster"} for row in some]),
        }
    ),
    on_roster,
)


# — E7 own, consented and test accounts —


def own_account(look: Row, world: World) -> set[tuple[str, int]]:
    person = {row["actor"]: row["person"] for row in STAFF}[look["human"]]
    mine = [row for row in world["subjects"] if row["subject"] == look["subject"]]
    found = {(row["row_key"], 3) for row in mine if row["person"] == person or row["kind"] == "test"}
    found |= {
        (row["row_key"], 3)
        for row in world["relations"]
        if (row["subject"], row["actor"], row["kind"]) == (look["subject"], look["human"], "self")
    }
    return found | {
        (row["row_key"], 4)
        for row in world["consents"]
        if row["subject"] == look["subject"] and row["actor"] in {look["human"], "*"} and runs(row, look["time"])
    }


test_e7 = agrees(
    "E7",
    st.fixed_dictionaries(
        {
            "looks": looks(),
            "subjects": st.tuples(st.sampled_from(["n1", "n3", None]), st.sampled_from(["person", "person", "test"])).map(
                lambda drawn: [{"subject": "s1", "row_key": "S1", "person": drawn[0], "kind": drawn[1]}]
            ),
            "relations": rows(0, 2, actor=people, subject=subjects, kind=st.sampled_from(["self", "family", None])).map(
                lambda some: [{**row, "row_key": f"Q{number}"} for number, row in enumerate(some)]
            ),
            "consents": rows(
                0, 2, actor=st.sampled_from(["a1", "a2", "*"]), subject=subjects, valid_from=seldom, valid_to=seldom
            ).map(lambda some: [{**row, "row_key": f"C{number}"} for number, row in enumerate(some)]),
        }
    ),
    own_account,
)


# — E8 a request of the data subject —


def given_to(look: Row, row: Row, closed: datetime | None = None) -> bool:
    """Whether an assignment gives the work to the reader then; one that lasted until the end of the work lasts its grace, too."""
    begun = row["valid_from"] is None or row["valid_from"] <= look["time"]
    lasts = row["valid_to"] is None or look["time"] < row["valid_to"] or (closed is not None and row["valid_to"] >= closed)
    return row["actor"] == look["human"] and begun and lasts


def requested(look: Row, world: World) -> set[tuple[str, int]]:
    return {
        (ticket["row_key"], 4)
        for ticket in world["tickets"]
        for row in world["assignments"]
        if (ticket["subject"], ticket["kind"], ticket["origin"]) == (look["subject"], "privacy_request", "subject")
        and ticket["inbound"] is not None
        and is_open(ticket, look["time"], 3 * DAY)
        and row["ticket"] == ticket["ticket"]
        and given_to(look, row, ticket["closed"])
        and row["assigned_by"] != look["human"]
        and (row["assigned_by"], look["human"]) not in BELOW
        and look["unit"] == "privacy/office"
    }


test_e8 = agrees(
    "E8",
    st.fixed_dictionaries(
        {
            "looks": looks(human=mostly("p1", "a1"), reason=st.sampled_from(["T1", None])),
            "units": st.just(
                [
                    {"unit": "privacy/office", "prefix": "privacy"},
                    {"unit": "privacy/office", "prefix": "privacy/office"},
                    {"unit": "x/1", "prefix": "x"},
                ]
            ),
            "tickets": rows(
                1,
                3,
                ticket=st.sampled_from(["T1", "T2"]),
                subject=subjects,
                kind=mostly("privacy_request", "question"),
                origin=mostly("subject", "staff"),
                inbound=mostly("m1", None),
                opened=mostly(START, START + HOUR),
                closed=mostly(None, START - 2 * DAY, START - 3 * DAY, START + HOUR),
            ).map(lambda some: [{**row, "row_key": f"R{number}"} for number, row in enumerate(some)]),
            "assignments": rows(
                1,
                3,
                ticket=st.sampled_from(["T1", "T1", "T2"]),
                actor=mostly("p1", "a1"),
                valid_from=seldom,
                valid_to=seldom,
                assigned_by=mostly("queue", "p1", "a1", None),
            ),
        }
    ),
    requested,
)


# — E9 a hand-over, a quality sample —


def ticket_explains(look: Row, ticket: Row, world: World) -> bool:
    """Whether E1 explains a look by a ticket, as far as these worlds go: the subject's own, open, given to the reader by others."""
    return ticket["subject"] == look["subject"] and any(
        row["ticket"] == ticket["ticket"]
        and given_to(look, row)
        and row["assigned_by"] != look["human"]
        and (row["assigned_by"], look["human"]) not in BELOW
        for row in world["assignments"]
    )


def passed_on(look: Row, world: World) -> set[tuple[str, int]]:
    found = set()
    for row in world["assignments"]:
        giver = row["assigned_by"]
        ticket = next((one for one in world["tickets"] if one["ticket"] == row["ticket"]), None)
        if ticket is None or giver not in UNIT or giver == row["actor"] or row["valid_from"] is None or not given_to(look, row):
            continue
        held = [one for one in world["assignments"] if one["ticket"] == row["ticket"] and one["actor"] == giver]
        begun = any(
            earlier["human"] == giver
            and earlier["subject"] == ticket["subject"] == look["subject"]
            and earlier["time"] < row["valid_from"]
            and any(
                one["valid_from"] is None or (one["valid_from"] < row["valid_from"] and one["valid_from"] <= earlier["time"])
                for one in held
            )
            and ticket_explains(earlier, ticket, world)
            for earlier in world["looks"]
        )
        if begun:
            found.add((row["row_key"], 2))
    for case in world["cases"]:
        drawn = [
            row
            for row in world["case_scope"]
            if (row["case"], row["subject"]) == (case["case"], look["subject"])
            and (row["added"] is None or row["added"] <= look["time"])
            and row["added_by"] != look["human"]
        ]
        assigned = any(
            row["case"] == case["case"] and given_to(look, row) and row["assigned_by"] != look["human"]
            for row in world["assignments"]
        )
        if case["kind"] == "quality" and drawn and assigned and is_open(case, look["time"]) and case["opened_by"] != look["human"]:
            found.add((case["row_key"], 2))
    return found


def keyed(some: list[Row]) -> list[Row]:
    return [{**row, "row_key": row["ticket"] or row["case"]} for row in some]


test_e9 = agrees(
    "E9",
    st.fixed_dictionaries(
        {
            "looks": rows(3, 5, subject=st.just("s1"), human=people, time=times),
            "tickets": st.just(
                [
                    {
                        "ticket": "T1",
                        "row_key": "T1",
                        "subject": "s1",
                        "origin": "subject",
                        "inbound": "m",
                        "opened": START,
                        "closed": None,
                    }
                ]
            ),
            "cases": rows(
                1,
                1,
                kind=mostly("quality", "fraud"),
                opened=mostly(START, START + HOUR),
                closed=seldom,
                opened_by=mostly("o1", "a1"),
            ).map(lambda some: [{**row, "case": "K1", "row_key": "K1"} for row in some]),
            "case_scope": rows(0, 2, case=st.just("K1"), subject=subjects, added=seldom, added_by=mostly("o1", "a1")),
            "assignments": rows(
                2,
                4,
                what=mostly(("T1", None), (None, "K1")),
                actor=people,
                valid_from=mostly(START, START + HOUR, START + DAY, None),
                valid_to=seldom,
                assigned_by=st.sampled_from(["queue", "queue", "a1", "a2", "o1"]),
            )
            .map(lambda some: keyed([{**row, "ticket": row["what"][0], "case": row["what"][1]} for row in some]))
            .map(lambda some: [{name: value for name, value in row.items() if name != "what"} for row in some]),
        }
    ),
    passed_on,
    "E1",
)


# — E10 training on test accounts —


def trained(look: Row, world: World) -> set[tuple[str, int]]:
    test_account = any(row["subject"] == look["subject"] and row["kind"] == "test" for row in world["subjects"])
    return {
        (case["row_key"], 2)
        for case in world["cases"]
        for row in world["assignments"]
        if case["kind"] == "training"
        and is_open(case, look["time"])
        and row["case"] == case["case"]
        and given_to(look, row)
        and row["assigned_by"] != look["human"]
        and test_account
    }


def cases(kind: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    columns = {"kind": mostly(kind, "fraud"), "opened": mostly(START, START + HOUR), "closed": seldom, **more}
    return st.tuples(st.fixed_dictionaries(columns), st.fixed_dictionaries(columns)).map(
        lambda two: [{**row, "case": f"K{number}", "row_key": f"K{number}"} for number, row in enumerate(two, 1)]
    )


assigned_cases = rows(
    1,
    3,
    case=st.sampled_from(["K1", "K1", "K2"]),
    actor=mostly("a1", "a2"),
    valid_from=seldom,
    valid_to=seldom,
    assigned_by=mostly("o1", "a1", "a2", None),
)
test_e10 = agrees(
    "E10",
    st.fixed_dictionaries(
        {
            "looks": looks(human=mostly("a1", "a2"), reason=st.sampled_from(["K1", "K2", None])),
            "cases": cases("training", opened_by=st.just("o1")),
            "assignments": assigned_cases,
            "subjects": mostly("test", "person").map(lambda kind: [{"subject": "s1", "row_key": "S1", "kind": kind}]),
        }
    ),
    trained,
)


# — E11 an oversight mandate —


def mandated(look: Row, world: World) -> set[tuple[str, int]]:
    found = set()
    for case in world["cases"]:
        named = any(
            (row["case"], row["subject"]) == (case["case"], look["subject"])
            and (row["added"] is None or row["added"] <= look["time"])
            for row in world["case_scope"]
        )
        listed = any((row["case"], row["subject"]) == (case["case"], look["subject"]) for row in world["case_scope"])
        whole = look["subject"] is None and case["scope_kind"] == "set" and look["reason"] == case["case"] and not listed
        owner = case["owner"]
        outside = (
            owner is not None and owner != look["human"] and (owner, look["human"]) not in BELOW and UNIT.get(owner) != look["unit"]
        )
        assigned = any(
            row["case"] == case["case"] and given_to(look, row) and row["assigned_by"] != look["human"]
            for row in world["assignments"]
        )
        reads = look["action"] not in {"write", "delete"}
        if case["kind"] == "oversight" and (named or whole) and is_open(case, look["time"]) and outside and assigned and reads:
            found.add((case["row_key"], 3))
    return found


test_e11 = agrees(
    "E11",
    st.fixed_dictionaries(
        {
            "looks": looks(
                subject=st.sampled_from(["s1", "s1", "s2", None]),
                human=mostly("a1", "a2"),
                reason=st.sampled_from(["K1", "K2", None]),
                action=mostly("read", "write"),
            ),
            "cases": cases(
                "oversight",
                owner=mostly("o1", "a1", "a2", "a3", None),
                scope_kind=st.sampled_from(["subjects", "set"]),
                opened_by=st.just("o1"),
            ),
            "case_scope": rows(1, 3, case=st.sampled_from(["K1", "K2"]), subject=subjects, added=seldom, added_by=st.just("o1")),
            "assignments": assigned_cases,
        }
    ),
    mandated,
)


# — E12 imminent harm, reviewed from outside —


def harm(look: Row, world: World) -> set[tuple[str, int]]:
    cited = any(row["grant"] == look["reason"] and row["break_glass"] for row in world["grants"])
    danger = any(row["kind"] == "life_safety" and is_open(row, look["time"]) for row in world["incidents"])
    found = set()
    for grant in world["grants"]:
        fits = grant["actor"] == look["human"] and grant["subject"] in {look["subject"], "*"} and runs(grant, look["time"])
        reached = grant["grant"] == look["reason"] or grant["subject"] == look["subject"]
        reviewed = any(
            (row["grant"], row["decision"]) == (grant["grant"], "review_ok")
            and look["time"] <= row["at"] <= look["time"] + DAY
            and from_outside(row["approver"], look["human"], look["human"])
            for row in world["approvals"]
        )
        if (look["break_glass"] or cited) and grant["break_glass"] and fits and reached and danger and reviewed:
            found.add((grant["row_key"], 4))
    return found


test_e12 = agrees(
    "E12",
    st.fixed_dictionaries(
        {
            "looks": looks(
                human=mostly("a1", "a2"),
                time=st.sampled_from([START, START + HOUR]),
                reason=st.sampled_from(["G1", "G2", None]),
                break_glass=mostly(True, False, None),
            ),
            "grants": rows(
                1,
                3,
                grant=st.sampled_from(["G1", "G1", "G2"]),
                actor=mostly("a1", "a2"),
                subject=st.sampled_from(["s1", "s1", "s2", "*"]),
                valid_from=seldom,
                valid_to=seldom,
                break_glass=mostly(True, False),
            ).map(lambda some: [{**row, "row_key": f"R{number}"} for number, row in enumerate(some)]),
            "incidents": rows(1, 2, kind=mostly("life_safety", "outage"), opened=mostly(START, START + HOUR), closed=seldom).map(
                lambda some: [{**row, "incident": f"I{number}", "row_key": f"I{number}"} for number, row in enumerate(some)]
            ),
            "approvals": rows(
                1,
                3,
                grant=mostly("G1", "G2"),
                approver=mostly("o1", "a1", "a2", "nobody"),
                at=st.sampled_from([START, START + HOUR, START + DAY, START + DAY + HOUR, START + 2 * DAY]),
                decision=mostly("review_ok", "approve"),
            ),
        }
    ),
    harm,
)


# — E13 public fields —


test_e13 = agrees(
    "E13",
    st.fixed_dictionaries({"looks": looks(public_only=st.sampled_from([0, 1]), system=st.sampled_from(["crm", "mail"]))}),
    lambda look, _: {(look["system"], 3)} if look["public_only"] else set(),
)
