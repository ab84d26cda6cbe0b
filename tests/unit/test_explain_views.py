"""The views over the stored rows: what is a look, who is in an opened copy, where the reader stood, what policy says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from custodes.context.tables import ContextStore
from custodes.engine import Engine
from custodes.engines.duckdb_engine import DuckDBEngine, open_engine
from custodes.explain import load_templates, looks, run, views
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.arrow import ACCESSES, FIELDSETS, TOUCHES
from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.model.tables import TABLES
from custodes.model.views import VIEWS
from custodes.protected.registry import Enrolment, Registry

DATAMAP = DataMap.of(
    {
        "crm": {"page": {"fields": {"name": "identity", "email": "contact", "shown": "public"}}},
        "warehouse": {"logins": {"fields": {"ip_log": "ip_address"}}, "vpn": {"fields": {"staff_ip": "staff_location"}}},
    }
)
POLICY = Policy.of(
    {
        "regions": {"EU": {"countries": ["IE"], "entities": ["own-ie"], "support_only": ["PH"], "set_scope_only": ["US"]}},
        "purposes": {"support": ["identity", "contact"], "oversight": ["*"]},
        "units_without_subject_duty": ["audit"],
        "outside_approver_units": ["privacy/office"],
        "protected": {
            "journalist": {
                "obliges": ["outside_approver", "two_person"],
                "categories": ["ip_address", "contact"],
                "legal_approver_class": "judge",
            },
            "vip": {"obliges": ["reason"], "explained_by": ["E1"]},
        },
        "legal_approver_class": {"default": "counsel", "warrant": "judge"},
    }
)
T = "2026-03-02T10:00:00+00:00"
BASE: Mapping[str, Any] = {
    "source": "access",
    "parser": "access/1",
    "schema": "custodes.access/1",
    "time": T,
    "observed": T,
    "actor": "a1",
    "actor_kind": "human",
    "action": "read",
    "system": "crm",
    "fieldset": "f-page",
    "field_basis": "reported",
    "subject_scope": "named",
    "subject_basis": "source_named",
    "subject_count": 1,
    "subject_min": 1,
    "selectors": [],
    "rows_basis": "none",
    "purpose_basis": "none",
    "coverage": [],
}
FIELDS = [
    {"fieldset": "f-page", "system": "crm", "resource": "page", "field": "email", "role": "projected"},
    {"fieldset": "f-public", "system": "crm", "resource": "page", "field": "shown", "role": "projected"},
    {"fieldset": "f-none", "system": "crm", "resource": "page"},
    {"fieldset": "f-object", "system": "share", "resource": "object"},
    {"fieldset": "f-join", "system": "warehouse", "resource": "logins"},
    {"fieldset": "f-join", "system": "warehouse", "resource": "vpn"},
    {"fieldset": "f-join", "system": "warehouse", "field": "ip_log"},
    {"fieldset": "f-join", "system": "warehouse", "field": "staff_ip"},
    {"fieldset": "f-join", "system": "warehouse", "field": "other"},
]


def arrow(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    def value(field: pa.Field, row: Mapping[str, Any]) -> Any:
        found = row.get(field.name)
        return datetime.fromisoformat(found) if pa.types.is_timestamp(field.type) and isinstance(found, str) else found

    return pa.table({field.name: pa.array([value(field, row) for row in rows], field.type) for field in schema}, schema=schema)


class Rows:
    """Stored rows handed to an engine as they are."""

    def __init__(self, accesses: Sequence[Mapping[str, Any]], subjects: Mapping[int, Sequence[str]]) -> None:
        self.accesses = [{**BASE, "leaf": n, "access_id": f"x-{n}", **row} for n, row in enumerate(accesses, 1)]
        self.touches = [
            {"leaf": leaf, "touch_leaf": leaf, "access_id": f"x-{leaf}", "subject": subject, "id_kind": "user_id"}
            | {"relation": "accessed", "certainty": certainty, "basis": "source_named"}
            for leaf, named in subjects.items()
            for subject, _, certainty in (
                entry.partition("=")[0:1] * 2 + (entry.partition("=")[2] or "certain",) for entry in named
            )
        ]

    def register(self, engine: Engine, since: datetime | None = None, until: datetime | None = None) -> None:
        kept = [
            row
            for row in self.accesses
            if (since is None or datetime.fromisoformat(row["time"]) >= since)
            and (until is None or datetime.fromisoformat(row["time"]) < until)
        ]
        leaves = {row["leaf"] for row in kept}
        engine.table("stored_accesses", arrow(kept, ACCESSES))
        engine.table("stored_touches", arrow([row for row in self.touches if row["leaf"] in leaves], TOUCHES))
        engine.table("stored_fieldsets", arrow(FIELDS, FIELDSETS))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    with open_engine(memory_mb=300, threads=1, directory=tmp_path) as opened:
        yield opened


@pytest.fixture
def context(tmp_path: Path) -> ContextStore:
    return ContextStore(tmp_path / "context", Pseudonyms(b"k" * 32))


def build(
    engine: Engine, tmp_path: Path, accesses: Sequence[Mapping[str, Any]], subjects: Mapping[int, Sequence[str]], **more: Any
) -> None:
    context = more.pop("context", None) or ContextStore(tmp_path / "context", Pseudonyms(b"k" * 32))
    views.build(engine, Rows(accesses, subjects), context, DATAMAP, POLICY, more.pop("registry", None), **more)


def test_every_view_has_the_columns_and_types_of_its_page(engine: DuckDBEngine, tmp_path: Path) -> None:
    build(engine, tmp_path, [{}], {1: ["s1"]})
    run(engine, load_templates(), POLICY, set(TABLES))
    for name, columns in VIEWS.items():
        kinds = {str(row[0]): str(row[1]) for row in engine.rows(f"DESCRIBE {name}")}
        described = {column: "VARCHAR" if kind.startswith("ENUM") else kind for column, kind in kinds.items()}
        assert described == dict(columns), name


@pytest.mark.parametrize(
    ("row", "looks"),
    [
        ({}, 1),
        ({"action": "export"}, 1),
        ({"outcome": "failure"}, 1),  # nobody says that nothing was seen
        ({"outcome": "denied"}, 0),
        ({"action": "login"}, 0),
        ({"action": "approve"}, 0),
        ({"action": "grant"}, 0),
        ({"subject_scope": "none"}, 0),
    ],
)
def test_a_look_is_an_access_that_may_have_shown_a_person(
    engine: DuckDBEngine, tmp_path: Path, row: dict[str, Any], looks: int
) -> None:
    build(engine, tmp_path, [row], {1: ["s1"]})
    assert engine.rows("SELECT count(*) FROM looks") == [(looks,)]
    assert engine.rows("SELECT count(*) FROM accesses") == [(1,)]


def test_nobody_resolved_is_one_look_at_nobody_named(engine: DuckDBEngine, tmp_path: Path) -> None:
    build(engine, tmp_path, [{"subject_scope": "unknown"}, {}], {2: ["s1", "s2", "s2=estimate"]})
    assert engine.rows("SELECT access, subject, via, certainty FROM looks ORDER BY ALL") == [
        (1, None, "direct", None),
        (2, "s1", "direct", "certain"),
        (2, "s2", "direct", "certain"),
    ]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_looks_are_the_same_in_however_many_slices_they_are_made(
    engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(looks, "_SLICE", size)
    rows = [{"actor": f"a{n % 2}", "deliberate": (True, False, None)[n % 3]} for n in range(5)]
    build(engine, tmp_path, rows, {1: ["s1", "s2"], 2: ["s1"], 3: ["s2"], 5: ["s3=estimate", "s3"]})
    found = engine.rows("SELECT look, access, subject, certainty, actor, deliberate FROM looks ORDER BY access, subject")
    assert [row[1:] for row in found] == [
        (1, "s1", "certain", "a0", True),
        (1, "s2", "certain", "a0", True),
        (2, "s1", "certain", "a1", False),
        (3, "s2", "certain", "a0", None),
        (4, None, None, "a1", True),
        (5, "s3", "certain", "a0", False),
    ]
    assert sorted(row[0] for row in found) == list(range(6))


def test_an_opened_copy_holds_the_subjects_and_fields_of_the_export_that_wrote_it(engine: DuckDBEngine, tmp_path: Path) -> None:
    at = "2026-03-02T{}:00:00+00:00".format
    accesses = [
        {"action": "export", "derived": "o1", "fieldset": "f-join"},
        {"time": at(11), "system": "share", "fieldset": "f-object", "derived_from": "o1", "subject_scope": "unknown"},
        {"time": at(12), "action": "export", "system": "share", "fieldset": "f-object", "derived_from": "o1", "derived": "o2"},
        {"time": at(13), "system": "share", "fieldset": "f-object", "derived_from": "o2", "subject_scope": "unknown"},
        {"time": at(14), "system": "share", "fieldset": "f-object", "derived_from": "o9", "subject_scope": "unknown"},
        {"time": at(15), "fieldset": "f-page", "derived_from": "o1"},
        {
            "time": "2026-03-02T08:00:00+00:00",
            "system": "share",
            "fieldset": "f-object",
            "derived_from": "o1",
            "subject_scope": "unknown",
        },
    ]
    build(engine, tmp_path, accesses, {1: ["s1", "s2"], 6: ["s1"]})
    found = engine.rows("SELECT access, subject, via, fieldset FROM looks WHERE access > 1 ORDER BY ALL")
    assert found == [
        (2, "s1", "derived", "f-join"),
        (2, "s2", "derived", "f-join"),
        (3, "s1", "derived", "f-join"),
        (3, "s2", "derived", "f-join"),
        (4, "s1", "derived", "f-join"),  # through the copy of the copy
        (4, "s2", "derived", "f-join"),
        (5, None, "derived", "f-object"),  # nobody knows what is in it
        (6, "s1", "direct", "f-page"),  # named by the access itself
        (6, "s2", "derived", "f-page"),
        (7, None, "derived", "f-object"),  # opened hours before it was written: another file of that name
    ]


def test_a_window_judges_its_accesses_and_still_knows_older_copies(engine: DuckDBEngine, tmp_path: Path) -> None:
    accesses = [
        {"time": "2026-03-01T10:00:00+00:00", "action": "export", "derived": "o1"},
        {"time": "2026-03-02T10:00:00+00:00", "derived_from": "o1"},
        {"time": "2026-03-03T10:00:00+00:00"},
    ]
    window = {"since": datetime(2026, 3, 2, 10, tzinfo=UTC), "until": datetime(2026, 3, 3, 10, tzinfo=UTC)}
    build(engine, tmp_path, accesses, {1: ["s1"], 3: ["s1"]}, **window)
    assert engine.rows("SELECT access, subject, via FROM looks") == [(2, "s1", "derived")]
    assert engine.rows("SELECT access FROM accesses") == [(2,)]


def test_around_an_access_are_the_looks_at_its_subjects(engine: DuckDBEngine, tmp_path: Path) -> None:
    accesses = [{}, {}, {}, {"subject_scope": "unknown"}]
    build(engine, tmp_path, accesses, {1: ["s1", "s2"], 2: ["s2", "s3"], 3: ["s4"]}, around="x-1")
    assert engine.rows("SELECT access, subject FROM looks ORDER BY ALL") == [(1, "s1"), (1, "s2"), (2, "s2")]
    build(engine, tmp_path, accesses, {1: ["s1"]}, around="x-4")
    assert engine.rows("SELECT access, subject FROM looks ORDER BY ALL") == [(4, None)]


def test_staff_is_joined_as_of_the_access_and_unknown_actors_stay(
    engine: DuckDBEngine, tmp_path: Path, context: ContextStore
) -> None:
    text = (
        "actor,unit,country,manager,valid_from,valid_to\n"
        "e1,fraud/x,IE,,,2026-03-02T10:00:00Z\n"
        "e1,sales/x,US,e2,2026-03-02T10:00:00Z,\n"
        "e3,old/x,IE,,2026-01-01T00:00:00Z,\n"  # two open rows: the later one counts
        "e3,new/x,IE,,2026-02-01T00:00:00Z,\n"
    )
    file = tmp_path / "staff.csv"
    file.write_text(text)
    context.load("staff", file)
    names = Pseudonyms(b"k" * 32)
    one, three = names.of("actor", "e1"), names.of("actor", "e3")
    accesses = [
        {"actor": one, "time": "2026-03-02T09:59:59+00:00"},
        {"actor": one, "time": "2026-03-02T10:00:00+00:00"},
        {"actor": three},
        {"actor": "a-unknown"},
        {"actor": "a-service", "on_behalf_of": one},
    ]
    build(engine, tmp_path, accesses, {}, context=context)
    found = engine.rows("SELECT access, human, unit, country, manager FROM looks ORDER BY access")
    assert found == [
        (1, one, "fraud/x", "IE", None),
        (2, one, "sales/x", "US", names.of("actor", "e2")),
        (3, three, "new/x", "IE", None),
        (4, "a-unknown", None, None, None),
        (5, one, "sales/x", "US", names.of("actor", "e2")),
    ]


def test_the_chain_of_managers_is_as_of_its_time_and_never_circular(
    engine: DuckDBEngine, tmp_path: Path, context: ContextStore
) -> None:
    file = tmp_path / "staff.csv"
    file.write_text(
        "actor,manager,valid_from,valid_to\ne1,e2,,\ne2,e3,,2026-03-01T00:00:00Z\ne2,e4,2026-03-01T00:00:00Z,\ne4,e1,,\n"
    )
    context.load("staff", file)
    build(engine, tmp_path, [], {}, context=context)
    names = {Pseudonyms(b"k" * 32).of("actor", f"e{n}"): f"e{n}" for n in range(1, 5)}
    sql = "SELECT actor, above FROM chain WHERE valid_from <= TIMESTAMP '{0}' AND TIMESTAMP '{0}' < valid_to"
    early, late = (
        {(names[str(a)], names[str(b)]) for a, b in engine.rows(sql.format(day))} for day in ("2026-02-01", "2026-03-05")
    )
    assert {("e1", "e2"), ("e2", "e3"), ("e1", "e3")} <= early
    assert ("e1", "e4") not in early
    assert ("e1", "e4") in late
    assert ("e1", "e1") not in early | late


def test_categories_come_from_the_resource_that_knows_the_field(engine: DuckDBEngine, tmp_path: Path) -> None:
    build(engine, tmp_path, [{"fieldset": "f-public"}, {"fieldset": "f-page"}, {"fieldset": "f-none"}], {})
    found = dict(engine.rows("SELECT field, category FROM fieldsets WHERE fieldset = 'f-join' AND field IS NOT NULL"))
    assert found == {"ip_log": "ip_address", "staff_ip": "staff_location", "other": None}
    assert engine.rows("SELECT access, public_only FROM looks ORDER BY access") == [(1, 1), (2, 0), (3, 0)]
    beyond = engine.rows(
        "SELECT fieldset, purpose, category FROM purpose_beyond WHERE purpose IN ('support', 'oversight', 'leak_hunt') ORDER BY ALL"
    )
    assert ("f-join", "support", "ip_address") in beyond
    assert ("f-page", "leak_hunt", "contact") in beyond  # a purpose that nobody can grant touches nothing
    assert not [row for row in beyond if row[1] == "oversight" or row[0] == "f-public"]


def test_units_carry_what_policy_says_of_their_prefixes(engine: DuckDBEngine, tmp_path: Path, context: ContextStore) -> None:
    file = tmp_path / "staff.csv"
    file.write_text("actor,unit\ne1,audit/internal/x\ne2,privacy/office/y\n")
    context.load("staff", file)
    build(engine, tmp_path, [], {}, context=context)
    assert engine.rows("SELECT unit, prefix FROM units WHERE no_subject_duty = 1") == [("audit/internal/x", "audit")]
    assert engine.rows("SELECT unit, prefix FROM units WHERE outside_approver = 1") == [("privacy/office/y", "privacy/office")]
    assert engine.rows("SELECT kind, value FROM policy_regions ORDER BY ALL") == [
        ("country", "IE"),
        ("entity", "own-ie"),
        ("set_scope_only", "US"),
        ("support_only", "PH"),
    ]
    assert engine.rows("SELECT * FROM policy_settings") == [(72, 15)]
    assert engine.rows("SELECT kind, class FROM policy_legal ORDER BY ALL") == [
        ("*", "counsel"),
        ("*", "judge"),
        ("warrant", "judge"),
    ]


def duties(engine: DuckDBEngine) -> list[tuple[object, ...]]:
    return engine.rows("SELECT access, duty, met FROM obligations ORDER BY ALL")


def registry(tmp_path: Path, *entries: tuple[str, Enrolment]) -> Registry:
    made = Registry(tmp_path / f"registry-{len(list(tmp_path.iterdir()))}", b"r" * 32)
    made.enrol_all(entries)
    return made


def test_a_duty_holds_for_touched_subjects_categories_and_times(engine: DuckDBEngine, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    class Asked(Registry):
        def enrolments(self, subjects: Any) -> Any:
            asked.append(sorted(subjects))
            return super().enrolments(asked[-1])

    Registry(tmp_path / "registry", b"r" * 32).enrol_all(
        [
            (
                "s1",
                Enrolment(
                    "journalist", enrolled=datetime(2026, 3, 2, 10, tzinfo=UTC), expires=datetime(2026, 3, 2, 12, tzinfo=UTC)
                ),
            ),
            ("s9", Enrolment("journalist")),
        ]
    )
    at = "2026-03-02T{}+00:00".format
    accesses = [
        {"time": at("09:59:59")},  # not yet
        {"time": at("10:00:00")},
        {"time": at("12:00:00")},  # no more
        {"time": at("11:00:00"), "fieldset": "f-public"},  # asks nothing for public
        {"time": at("11:00:00"), "fieldset": "f-none"},  # no field is named: contact data of the page may have been seen
        {"time": at("11:00:00"), "fieldset": "f-object"},  # nobody knows what the resource holds
        {"time": at("11:00:00")},
    ]
    subjects = {n: ["s1"] for n in range(1, 7)} | {7: ["s2"]}
    build(engine, tmp_path, accesses, subjects, registry=Asked(tmp_path / "registry", b"r" * 32))
    run(engine, load_templates(), POLICY, set(TABLES))
    assert duties(engine) == [(2, "outside_approver", 0), (2, "two_person", 0), (5, "outside_approver", 0), (5, "two_person", 0)]
    assert asked == [["s1", "s2"]]


def test_unknown_categories_touch_a_class_that_protects_all_but_public(engine: DuckDBEngine, tmp_path: Path) -> None:
    known = registry(tmp_path, ("s1", Enrolment("vip")), ("s2", Enrolment("canary")))
    build(
        engine,
        tmp_path,
        [{"fieldset": "f-object"}, {"fieldset": "f-public"}, {}],
        {1: ["s1"], 2: ["s1"], 3: ["s2"]},
        registry=known,
    )
    run(engine, load_templates(), POLICY, set(TABLES))
    assert duties(engine) == [(1, "reason", 0), (3, "reason", 0)]  # a class that policy does not name asks for a reason


def met(
    engine: DuckDBEngine, tmp_path: Path, cls: str, fieldset: str, files: Mapping[str, str], **access: Any
) -> list[tuple[object, ...]]:
    names = Pseudonyms(b"k" * 32)
    store = ContextStore(tmp_path / f"context-{len(list(tmp_path.iterdir()))}", names)
    for table, text in files.items():
        path = tmp_path / f"{table}.csv"
        path.write_text(text)
        store.load(table, path)
    subject = names.of("subject", "acc-1")
    row = {"actor": names.of("actor", "e1"), "fieldset": fieldset, **access}
    known = registry(tmp_path, (subject, Enrolment(cls)))
    build(engine, tmp_path, [row], {1: [subject]}, context=store, registry=known)
    run(engine, load_templates(), POLICY, set(TABLES))
    return [(duty, done) for _, duty, done in duties(engine)]


STAFF = "actor,unit\ne1,support/x\ne8,privacy/office/x\ne9,oversight/y\n"
INBOUND = {
    "staff": STAFF,
    "tickets": "ticket,subject,origin,inbound,opened\nt1,acc-1,subject,m1,2026-03-01T00:00:00Z\n",
    "assignments": "ticket,actor,valid_from,assigned_by\nt1,e1,2026-03-01T00:00:00Z,queue\n",
}
GRANT = "grant,actor,subject,requested_by,valid_from\ng1,e1,acc-1,e1,2026-03-01T00:00:00Z\n"
LEGAL = "process,kind,verified,subject,served,approver_class\nj1,subpoena,true,acc-1,2026-03-01T00:00:00Z,{}\n"


def test_the_subjects_own_ticket_meets_a_duty_about_contact_data_only(engine: DuckDBEngine, tmp_path: Path) -> None:
    assert met(engine, tmp_path, "journalist", "f-page", INBOUND) == [("outside_approver", 1), ("two_person", 1)]
    assert met(engine, tmp_path, "journalist", "f-join", INBOUND) == [("outside_approver", 0), ("two_person", 0)]
    assert met(engine, tmp_path, "vip", "f-join", INBOUND) == [("reason", 1)]


def test_approvals_meet_what_they_are(engine: DuckDBEngine, tmp_path: Path) -> None:
    approvals = "grant,approver,at,decision\ng1,e8,2026-03-01T00:00:00Z,approve\n"
    files = {"staff": STAFF, "grants": GRANT, "approvals": approvals}
    assert met(engine, tmp_path, "journalist", "f-join", files) == [("outside_approver", 1), ("two_person", 0)]
    files["approvals"] = approvals + "g1,e9,2026-03-01T01:00:00Z,approve\n"
    assert met(engine, tmp_path, "journalist", "f-join", files) == [("outside_approver", 1), ("two_person", 1)]
    files["approvals"] = approvals + "g1,e1,2026-03-01T01:00:00Z,approve\n"  # one's own approval is no second person
    assert met(engine, tmp_path, "journalist", "f-join", files) == [("outside_approver", 1), ("two_person", 0)]
    files["approvals"] = approvals.replace("03-01T00", "03-02T11")  # after the access
    assert met(engine, tmp_path, "journalist", "f-join", files) == [("outside_approver", 0), ("two_person", 0)]
    assert met(engine, tmp_path, "vip", "f-join", {**files, "approvals": approvals}) == [("reason", 0)]  # policy names E1 alone


def test_a_legal_process_meets_duties_if_its_class_is_right(engine: DuckDBEngine, tmp_path: Path) -> None:
    cited = {"reason": Pseudonyms(b"k" * 32).of("ref", "j1")}
    files = {"staff": STAFF, "legal": LEGAL.format("judge")}
    right = [("legal_approver_class", 1), ("outside_approver", 1), ("two_person", 1)]
    assert met(engine, tmp_path, "journalist", "f-join", files, **cited) == right
    files["legal"] = LEGAL.format("counsel")  # enough to explain, not enough for a journalist
    wrong = [("legal_approver_class", 0), ("outside_approver", 0), ("two_person", 0)]
    assert met(engine, tmp_path, "journalist", "f-join", files, **cited) == wrong
