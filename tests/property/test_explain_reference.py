"""Templates E1 and E2 against a plain evaluator that reads the design's sentences one row at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.engines.duckdb_engine import DuckDBEngine
from custodes.explain import load_templates, run
from custodes.explain.trial import world
from custodes.model.policy import Policy
from custodes.model.tables import TABLES

SHELF = [template for template in load_templates() if template.code in ("E1", "E2")]
START = datetime(2026, 3, 2, 0, 0)  # noqa: DTZ001  # times of engines are UTC without a zone
GRACE, LATE = timedelta(hours=72), timedelta(minutes=15)
ACTORS = ("a1", "a2", "a3")
BELOW = {("a2", "a1"), ("a3", "a2"), ("a3", "a1")}
"""Who reports to whom: a3 to a2 to a1."""
STAFF = [
    {"actor": "a1", "unit": "x/1"},
    {"actor": "a2", "unit": "x/2", "manager": "a1"},
    {"actor": "a3", "unit": "y", "manager": "a2"},
]
UNITS = {"a1": ("x", "x/1"), "a2": ("x", "x/2"), "a3": ("y",)}

LATER = (START + timedelta(minutes=15), START + timedelta(hours=1), START + timedelta(hours=73), START + timedelta(days=5))


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual value about twice as often as all others together, so that a world often explains something."""
    return st.integers(0, 2).flatmap(lambda draw: st.sampled_from(others) if draw == 2 else st.just(usual))


times = st.sampled_from([START, *LATER])
early = mostly(START, *LATER)
seldom = mostly(None, START, *LATER)
someone = mostly("queue", *ACTORS, None)


def rows(at_least: int = 0, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(columns), min_size=at_least, max_size=4)


worlds = st.fixed_dictionaries(
    {
        "looks": rows(
            1,
            subject=mostly("s1", "s2", None),
            human=mostly("a2", "a1", "a3"),
            time=times,
            reason=st.sampled_from(["T1", "K1", "K2", None]),
        ),
        "tickets": rows(
            ticket=mostly("T1", "T2"),
            subject=mostly("s1", "s2", None),
            origin=mostly("subject", "staff"),
            opened=early,
            closed=seldom,
            opened_by=someone,
            inbound=mostly("m1", None),
        ),
        "assignments": rows(
            1,
            ticket=mostly("T1", "T2", None),
            case=mostly("K1", "K2", None),
            actor=mostly("a2", "a1", "a3", None),
            unit=st.sampled_from(["x", "x/2", "y"]),
            valid_from=mostly(None, START, *LATER),
            valid_to=seldom,
            assigned_by=someone,
        ),
        "cases": rows(
            1,
            case=mostly("K1", "K2"),
            opened=early,
            closed=seldom,
            opened_by=someone,
            scope_kind=mostly("subjects", "staff", "set"),
            recorded_at=seldom,
        ),
        "case_scope": rows(1, case=mostly("K1", "K2"), subject=mostly("s1", "s2"), added=seldom, added_by=someone),
        "subjects": st.sampled_from([[], [{"subject": "s1", "kind": "staff_account"}]]),
    }
)
Row = dict[str, Any]


def by_reader(maker: str | None, reader: str) -> bool:
    """Whether a row was made by the reader or somebody who reports to the reader."""
    return maker == reader or (maker, reader) in BELOW


def assigned(look: Row, key: str, name: str, tables: dict[str, list[Row]], closed: datetime | None = None) -> bool:
    for row in tables["assignments"]:
        mine = row["actor"] == look["human"] or (row["actor"] is None and row["unit"] in UNITS[look["human"]])
        begun = row["valid_from"] is None or row["valid_from"] <= look["time"]
        runs = row["valid_to"] is None or look["time"] < row["valid_to"] or (closed is not None and row["valid_to"] >= closed)
        if row[key] == name and mine and begun and runs and not by_reader(row["assigned_by"], look["human"]):
            return True
    return False


def ticket_explains(look: Row, tables: dict[str, list[Row]]) -> bool:
    """The subject's ticket, inbound contact present, assigned by another; open, or closed for at most the grace."""
    return any(
        look["subject"] is not None
        and row["subject"] == look["subject"]
        and row["origin"] == "subject"
        and row["inbound"] is not None
        and row["opened"] <= look["time"]
        and (row["closed"] is None or look["time"] < row["closed"] + GRACE)
        and assigned(look, "ticket", row["ticket"], tables, row["closed"])
        for row in tables["tickets"]
    )


def scope_names(look: Row, case: Row, tables: dict[str, list[Row]]) -> bool:
    if look["subject"] is None:
        return case["scope_kind"] == "set" and look["reason"] == case["case"]
    accounts = {row["subject"] for row in tables["subjects"]}
    staff_cases = {row["case"] for row in tables["cases"] if row["scope_kind"] == "staff"}
    return any(
        row["case"] == case["case"]
        and row["subject"] == look["subject"]
        and (row["added"] is None or row["added"] <= look["time"])
        and not by_reader(row["added_by"], look["human"])
        and (row["case"] not in staff_cases or row["subject"] in accounts)
        for row in tables["case_scope"]
    )


def case_explains(look: Row, tables: dict[str, list[Row]]) -> bool:
    """An assigned case whose scope names the subject; recorded at most a quarter of an hour after the access."""
    return any(
        case["opened"] <= look["time"]
        and (case["closed"] is None or look["time"] < case["closed"])
        and (case["recorded_at"] is None or case["recorded_at"] <= look["time"] + LATE)
        and not by_reader(case["opened_by"], look["human"])
        and scope_names(look, case, tables)
        and assigned(look, "case", case["case"], tables)
        for case in tables["cases"]
    )


@settings(max_examples=60)
@given(tables=worlds)
def test_sql_and_the_plain_evaluator_agree(engine: DuckDBEngine, tables: dict[str, list[Row]]) -> None:
    for number, look in enumerate(tables["looks"]):
        look.update(look=number, access=number, actor=look["human"], unit=UNITS[look["human"]][-1])
    for name, key in (("tickets", "ticket"), ("cases", "case")):
        for row in tables[name]:
            row["row_key"] = row[key]
    world(engine, {**tables, "staff": STAFF}, Policy())
    run(engine, SHELF, Policy(), set(TABLES))
    found = set(engine.rows("SELECT access, template FROM explanations"))
    expected = {(look["access"], "E1") for look in tables["looks"] if ticket_explains(look, tables)}
    expected |= {(look["access"], "E2") for look in tables["looks"] if case_explains(look, tables)}
    assert found == expected
    unexplained = {access for (access,) in engine.rows("SELECT access FROM residue")}
    assert unexplained == {look["access"] for look in tables["looks"]} - {access for access, _ in expected}
    told = {access for (access,) in engine.rows("SELECT DISTINCT access FROM lacks")}
    assert unexplained <= told  # nothing stays unexplained without a word about what was lacking
