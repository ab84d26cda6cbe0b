"""The rules of explaining that must hold, each by its name in the design."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.engines.duckdb_engine import DuckDBEngine, open_engine
from custodes.explain import Explained, load_templates, one, run
from custodes.explain.trial import world
from custodes.model.policy import Policy
from custodes.model.tables import TABLES

SHELF = load_templates()
LOOK = {"look": 1, "access": 1, "subject": "s1", "actor": "a1", "human": "a1", "time": "2026-03-02T10:00:00Z"}
TICKET = {"ticket": "T1", "row_key": "T1", "subject": "s1", "origin": "subject", "inbound": "m1", "opened": "2026-03-02T09:00:00Z"}
ASSIGNED = {"ticket": "T1", "row_key": "T1", "actor": "a1", "valid_from": "2026-03-02T09:00:00Z", "assigned_by": "queue"}
CASE = {"case": "K1", "row_key": "K1", "opened": "2026-03-01T00:00:00Z", "opened_by": "a9", "scope_kind": "subjects"}
SCOPE = {"case": "K1", "subject": "s1", "added": "2026-03-01T00:00:00Z", "added_by": "a9"}
ON_CASE = {"case": "K1", "row_key": "K1", "actor": "a1", "valid_from": "2026-03-01T00:00:00Z", "assigned_by": "a9"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as opened:
        yield opened


def explained(engine: DuckDBEngine, loaded: set[str] | None = None, **tables: list[dict]) -> Explained:
    world(engine, tables, Policy())
    return run(engine, SHELF, Policy(), set(TABLES) if loaded is None else loaded)


def by(engine: DuckDBEngine) -> list[tuple[object, ...]]:
    return engine.rows("SELECT access, template FROM explanations ORDER BY access, template")


def codes(engine: DuckDBEngine) -> set[object]:
    return {code for (code,) in engine.rows("SELECT code FROM flags")}


def tokens(engine: DuckDBEngine, access: int = 1) -> set[object]:
    return {token for (token,) in engine.rows(f"SELECT token FROM lacks WHERE access = {access}")}


def test_second_look_is_not_excused_by_the_first(engine: DuckDBEngine) -> None:
    """Three looks at one subject without a reason stay three looks without a reason, however used the log gets to them."""
    looks = [{**LOOK, "look": n, "access": n, "time": f"2026-03-0{n}T10:00:00Z"} for n in (1, 2, 3)]
    assert explained(engine, looks=looks).residue == 3
    closed = {**TICKET, "opened": "2026-02-20T00:00:00Z", "closed": "2026-02-27T00:00:00Z"}
    given = {**ASSIGNED, "valid_from": "2026-02-20T00:00:00Z"}
    assert explained(engine, looks=looks, tickets=[closed], assignments=[given]).residue == 2  # the grace is over after the first


def test_own_row_is_no_context(engine: DuckDBEngine) -> None:
    """Whatever the reader or a subordinate made, opened, scoped or assigned explains nothing."""
    staff = [
        {"actor": "a1", "unit": "x"},
        {"actor": "a2", "unit": "x", "manager": "a3"},
        {"actor": "a3", "unit": "x", "manager": "a1"},
    ]
    for maker in ("a1", "a2"):
        assert (
            explained(engine, staff=staff, looks=[LOOK], tickets=[TICKET], assignments=[{**ASSIGNED, "assigned_by": maker}]).residue
            == 1
        )
        for table, row in (
            ("cases", {**CASE, "opened_by": maker}),
            ("case_scope", {**SCOPE, "added_by": maker}),
            ("assignments", {**ON_CASE, "assigned_by": maker}),
        ):
            rows = {"cases": [CASE], "case_scope": [SCOPE], "assignments": [ON_CASE], table: [row]}
            explained(engine, staff=staff, looks=[{**LOOK, "reason": "K1"}], **rows)
            assert by(engine) == []
            assert codes(engine) == {"V3"}


def test_late_recorded_reason_never_explains(engine: DuckDBEngine) -> None:
    late = {**CASE, "recorded_at": "2026-03-02T10:15:01Z"}
    explained(engine, looks=[{**LOOK, "reason": "K1"}], cases=[late], case_scope=[SCOPE], assignments=[ON_CASE])
    assert (by(engine), codes(engine)) == ([], {"V4"})
    assert "E2:cases.recorded_at" in tokens(engine)
    for change in ({"opened": "2026-03-02T10:00:01Z"}, {"closed": "2026-03-02T10:00:00Z"}):
        explained(engine, looks=[{**LOOK, "reason": "K1"}], cases=[{**CASE, **change}], case_scope=[SCOPE], assignments=[ON_CASE])
        assert (by(engine), codes(engine)) == ([], {"V4"})
    scoped_late = {**SCOPE, "added": "2026-03-02T10:00:01Z"}
    explained(engine, looks=[{**LOOK, "reason": "K1"}], cases=[CASE], case_scope=[scoped_late], assignments=[ON_CASE])
    assert (by(engine), codes(engine)) == ([], {"V4", "V2"})
    opened_late = {**TICKET, "opened": "2026-03-02T10:00:01Z"}
    explained(engine, looks=[{**LOOK, "reason": "T1"}], tickets=[opened_late], assignments=[ASSIGNED])
    assert (by(engine), codes(engine)) == ([], {"V4"})


def test_self_made_ticket_five_minutes_before_flags(engine: DuckDBEngine) -> None:
    made = {**TICKET, "origin": "staff", "inbound": None, "opened_by": "a1", "opened": "2026-03-02T09:55:00Z"}
    own = {**ASSIGNED, "assigned_by": "a1", "valid_from": "2026-03-02T09:55:00Z"}
    explained(engine, looks=[{**LOOK, "reason": "T1"}], tickets=[made], assignments=[own])
    assert (by(engine), codes(engine)) == ([], {"V3"})
    assert {"E1:tickets.inbound", "E1:assignments.assigned_by"} <= tokens(engine)


def test_borrowed_ticket_flags(engine: DuckDBEngine) -> None:
    explained(engine, looks=[{**LOOK, "subject": "s2", "reason": "T1"}], tickets=[TICKET], assignments=[ASSIGNED])
    assert (by(engine), codes(engine)) == ([], {"V2"})
    assert engine.rows("SELECT evidence_table, evidence_key FROM flags") == [("tickets", "T1")]


def test_a_broken_claim_is_flagged_although_something_else_explains(engine: DuckDBEngine) -> None:
    """Explains and flags may hold together: the case cited names somebody else, the subject's own ticket is fine."""
    foreign = {**SCOPE, "subject": "s7"}
    explained(
        engine,
        looks=[{**LOOK, "reason": "K1"}],
        tickets=[TICKET],
        cases=[CASE],
        case_scope=[foreign],
        assignments=[ASSIGNED, ON_CASE],
    )
    assert (by(engine), codes(engine)) == ([(1, "E1")], {"V2"})
    assert tokens(engine) >= {"E2:case_scope.subject"}


def test_staff_case_covers_no_subject(engine: DuckDBEngine) -> None:
    staff_case = {**CASE, "scope_kind": "staff"}
    looks, people = [{**LOOK, "reason": "K1"}], [{"subject": "s1", "kind": "person", "row_key": "s1"}]
    for scope in ([], [SCOPE], [{"case": "K1", "actor": "a7", "added": "2026-03-01T00:00:00Z", "added_by": "a9"}]):
        explained(engine, looks=looks, cases=[staff_case], case_scope=scope, assignments=[ON_CASE], subjects=people)
        assert (by(engine), codes(engine)) == ([], {"V2"})
        assert "E2:case_scope.subject" in tokens(engine)


def test_transfer_ends_the_explanation(engine: DuckDBEngine) -> None:
    """From the moment of the hand-over the first holder has no reason any more, and the second one has."""
    looks = [
        {**LOOK, "look": 1, "access": 1, "time": "2026-03-02T11:59:59Z"},
        {**LOOK, "look": 2, "access": 2, "time": "2026-03-02T12:00:00Z"},
        {**LOOK, "look": 3, "access": 3, "time": "2026-03-02T12:00:00Z", "actor": "a2", "human": "a2"},
    ]
    first = {**ASSIGNED, "valid_to": "2026-03-02T12:00:00Z"}
    second = {**ASSIGNED, "actor": "a2", "valid_from": "2026-03-02T12:00:00Z", "assigned_by": "a1"}
    explained(engine, looks=looks, tickets=[TICKET], assignments=[first, second], staff=[{"actor": "a1"}, {"actor": "a2"}])
    assert by(engine) == [(1, "E1"), (3, "E1"), (3, "E9")]
    assert "E1:assignments.actor" in tokens(engine, 2)


def test_missing_table_is_could_not_check(engine: DuckDBEngine) -> None:
    done = explained(engine, loaded={"tickets"}, looks=[{**LOOK, "reason": "T1", "deliberate": True}], tickets=[TICKET])
    assert {item.what.split()[0] for item in done.not_checked} >= {"E1", "E2", "E3", "E4"}
    assert (done.residue, done.reasons_known) == (1, True)
    assert tokens(engine) == set()  # a template that gave no verdict lacks nothing
    assert codes(engine) == set()
    assert dict(engine.rows("SELECT template, checked FROM checked"))["E1"] == 0
    assert one(engine, SHELF, "x-none") == []


def test_without_any_reason_table_nothing_is_called_unreasoned(engine: DuckDBEngine) -> None:
    look = {**LOOK, "deliberate": True, "access": 7}
    done = explained(engine, loaded={"staff"}, looks=[look])
    assert (done.reasons_known, codes(engine)) == (False, set())
    assert explained(engine, looks=[look]).reasons_known
    assert codes(engine) == {"V1"}


@pytest.mark.parametrize(
    ("look", "loaded", "flagged"),
    [
        ({"deliberate": True}, None, True),
        ({"deliberate": True, "reason": "nowhere"}, None, True),
        ({"deliberate": True, "reason": "nowhere"}, {"tickets", "assignments"}, False),  # it may stand in a table that is missing
        ({"deliberate": True, "reason": "T9"}, None, False),  # found: what it lacks is said, but there is a reason
        ({"deliberate": False}, None, False),
        ({"deliberate": None}, None, False),
    ],
)
def test_no_reason_is_said_of_deliberate_looks_only(
    engine: DuckDBEngine, look: dict[str, object], loaded: set[str] | None, flagged: bool
) -> None:
    explained(engine, loaded, looks=[{**LOOK, **look}], tickets=[{**TICKET, "ticket": "T9", "subject": "s9"}])
    assert ("V1" in codes(engine)) is flagged


def test_a_relation_yields_to_a_strong_reason_only(engine: DuckDBEngine) -> None:
    relations = [{"actor": "a1", "subject": "s1", "kind": "neighbour", "row_key": "a1"}]
    explained(engine, looks=[LOOK], relations=relations)
    assert codes(engine) == {"V11"}
    explained(engine, looks=[LOOK], relations=relations, tickets=[TICKET], assignments=[ASSIGNED])
    assert (by(engine), codes(engine)) == ([(1, "E1")], set())
    incident = {"incident": "I1", "row_key": "I1", "opened": "2026-03-02T09:00:00Z"}
    roster = {"incident": "I1", "row_key": "I1", "actor": "a1"}
    explained(engine, looks=[LOOK], relations=relations, incidents=[incident], roster=[roster])
    assert (by(engine), codes(engine)) == ([(1, "E6")], {"V11"})


def test_a_claimed_row_is_judged_before_a_nearer_one(engine: DuckDBEngine) -> None:
    """What the access cites is what it must answer for, even where another row lacks less."""
    other = {**TICKET, "ticket": "T2", "row_key": "T2"}
    cited = {**TICKET, "subject": "s5", "origin": "staff", "inbound": None}
    explained(engine, looks=[{**LOOK, "reason": "T1"}], tickets=[cited, other])
    assert tokens(engine) >= {"E1:tickets.subject", "E1:tickets.inbound"}
    assert {key for (key,) in engine.rows("SELECT evidence_key FROM lacks WHERE evidence_key IS NOT NULL")} == {"T1"}


def test_one_good_row_is_enough_among_many(engine: DuckDBEngine) -> None:
    broken = [{**ASSIGNED, "assigned_by": "a1"}, {**ASSIGNED, "valid_to": "2026-03-02T09:30:00Z"}]
    explained(engine, looks=[{**LOOK, "reason": "T1"}], tickets=[TICKET], assignments=[*broken, ASSIGNED])
    assert (by(engine), codes(engine), tokens(engine)) == ([(1, "E1")], set(), set())


def test_the_order_of_rows_changes_nothing(engine: DuckDBEngine) -> None:
    looks = [{**LOOK, "look": n, "access": n, "reason": f"T{n % 3}", "subject": f"s{n % 4}"} for n in range(12)]
    tickets = [{**TICKET, "ticket": f"T{n}", "row_key": f"T{n}", "subject": f"s{n}"} for n in range(3)]
    assigned = [{**ASSIGNED, "ticket": f"T{n}", "row_key": f"T{n}"} for n in range(3)]
    seen = []
    for step in (1, -1):
        explained(engine, looks=looks[::step], tickets=tickets[::step], assignments=assigned[::step])
        seen.append([engine.rows(f"SELECT * FROM {view} ORDER BY ALL") for view in ("explanations", "flags", "lacks", "residue")])
    assert seen[0] == seen[1]
    assert all(seen[0])


def test_what_was_tried_is_told_for_each_template(engine: DuckDBEngine) -> None:
    access = {"access": 1, "access_id": "x-1", "time": LOOK["time"], "actor": "a1", "human": "a1"}
    explained(
        engine,
        accesses=[access],
        looks=[{**LOOK, "reason": "K1"}],
        cases=[CASE],
        case_scope=[{**SCOPE, "subject": "s2"}],
        assignments=[ON_CASE],
    )
    told = {entry.template: entry for entry in one(engine, SHELF, "x-1")}
    assert list(told) == [template.code for template in SHELF]
    assert (told["E2"].verdict, told["E2"].claimed, told["E2"].codes, told["E2"].evidence_key) == ("flags", True, ("V2",), "K1")
    assert [lack.token for lack in told["E2"].lacks] == ["E2:case_scope.subject"]
    assert told["E1"].verdict == "neutral"
    assert [lack.token for lack in told["E1"].lacks] == ["E1:tickets.subject"]
