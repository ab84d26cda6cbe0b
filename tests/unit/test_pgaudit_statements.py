"""Records of one statement become one access, noise is counted, forged and failed ones are what they are."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from pgaudit_lines import DATAMAP, KEY_CHECK, SESSION, accounted, audit, raws, read, record, together

from custodes.sources.pgaudit import SOURCE
from custodes.sources.pgaudit.record import Unreadable, time_of

USERS = "select email from users where id=5"
FORGED = {"context": "PL/pgSQL function inline_code_block line 1 at RAISE", "statement": "do $$ … $$"}


def test_key_check_of_a_write_is_counted() -> None:
    insert = "insert into login_event(user_id) values (7)"
    parsed = read(
        record(1, audit(1, KEY_CHECK, params="7"), ps="INSERT"),
        record(2, audit(1, insert, sub=2, kind="WRITE", command="INSERT", table="public.login_event"), ps="INSERT"),
    )
    assert parsed.counted == {"foreign_key_check": 1}
    (draft,) = parsed.drafts
    assert (draft.action, [s.id for s in draft.subjects], len(draft.raws)) == ("write", ["7"], 1)


@pytest.mark.parametrize(("text", "tag"), [(KEY_CHECK, "SELECT"), (KEY_CHECK, "DO"), (KEY_CHECK + " limit 1", "INSERT")])
def test_key_check_typed_by_hand_is_an_access(text: str, tag: str) -> None:
    parsed = read(record(1, audit(1, text, params="7"), ps=tag))
    assert [[s.id for s in draft.subjects] for draft in parsed.drafts] == [["7"]]
    assert not parsed.counted


@pytest.mark.parametrize("part", [{"context": "x"}, {"statement": "y"}, FORGED])
def test_record_that_a_statement_wrote_itself_is_forged(part: dict[str, str]) -> None:
    parsed = read(record(1, audit(1, USERS), **part), record(2, audit(1, USERS)))
    assert [note.kind for note in parsed.notes if note.kind == "forged"] == ["forged"]
    assert (parsed.counted, len(parsed.drafts), len(parsed.drafts[0].raws)) == ({"forged": 1}, 1, 1)


@pytest.mark.parametrize(
    ("code", "context", "outcome", "flags"),
    [
        ("42501", "", "denied", []),
        ("42501", "PL/pgSQL function f() line 1 at RAISE", "failure", ["error_channel"]),
        ("22P02", "", "failure", ["error_channel"]),
        ("P0001", "PL/pgSQL function f() line 1 at RAISE", "failure", ["error_channel"]),
        ("57014", "", "failure", ["error_channel"]),
        ("42703", "", "failure", []),
    ],
)
def test_statement_that_died_left_only_its_error(code: str, context: str, outcome: str, flags: list[str]) -> None:
    error = {"error_severity": "ERROR", "state_code": code, "statement": USERS, "context": context}
    (draft,) = read(record(1, "some error about u5@ex.org", **error)).drafts
    assert (draft.outcome, draft.coverage, [s.id for s in draft.subjects], draft.rows) == (outcome, flags, ["5"], None)


@pytest.mark.parametrize(("code", "kind"), [("25P02", "never_ran"), ("42601", "syntax_error")])
def test_statement_that_never_ran_is_counted(code: str, kind: str) -> None:
    error = {"error_severity": "ERROR", "state_code": code, "statement": USERS}
    assert read(record(1, "no", **error)).counted == {kind: 1}
    inside = read(record(1, "no", **error, context="PL/pgSQL function f() line 1 at RAISE"))
    assert len(inside.drafts) == 1  # the code was chosen by whoever raised it


def test_names_that_the_server_did_not_know_are_not_kept() -> None:
    text = """select "u22@ex.org", email from users join "Ann Other" on true"""
    (draft,) = read(record(1, "no", error_severity="ERROR", state_code="42P01", statement=text)).drafts
    assert [resource.name for resource in draft.resources] == ["public.users"]
    assert [(field.name, field.resource) for field in draft.fields] == [("email", 0)]
    assert draft.template is None


def test_equal_lines_of_a_union_are_one_access() -> None:
    text = "select email from users where id=5 union all select email from users where id=6"
    (draft,) = read(record(1, audit(1, text, rows=2)), record(2, audit(1, text, rows=2))).drafts
    assert (len(draft.raws), draft.rows, [s.id for s in draft.subjects]) == (2, 2, ["5", "6"])


@pytest.mark.parametrize(
    ("text", "params", "more"),
    [
        (USERS, "<none>", {}),
        (USERS + " /* purpose:support */", "<none>", {"application_name": ""}),
        ("select email from users where id=$1", "5", {"remote_host": "[local]"}),
        ("select email from users where id=$1", "<none>", {"user": "postgres"}),
        ("select email from users where id=5 or handle='x'", "<none>", {"application_name": "purpose=fraud"}),
        ("copy (select my(email) from users where id in (5,6)) to stdout", "<none>", {"dbname": "other"}),
    ],
)
def test_common_and_general_way_give_equal_accesses(text: str, params: str, more: dict[str, object]) -> None:
    """A record alone takes the fast way, two equal ones of a statement the general way."""
    one = read(record(1, audit(1, text, params=params), **more)).drafts[0]
    two = read(*(record(number, audit(1, text, params=params), **more) for number in (1, 2))).drafts[0]
    assert (len(one.raws), len(two.raws)) == (1, 2)
    assert {**asdict(one), "raws": None} == {**asdict(two), "raws": None}


def test_same_line_twice_counts_once() -> None:
    once = record(1, audit(1, USERS))
    parsed = read(once, once)
    assert (len(parsed.drafts), len(parsed.drafts[0].raws), parsed.counted) == (1, 1, {"duplicate": 1})


def test_statements_of_a_routine_are_joined_with_the_widest_scope() -> None:
    call = "select f()"
    (draft,) = read(
        record(1, audit(1, call, kind="FUNCTION", command="EXECUTE", object_type="FUNCTION", table="public.f", rows=0)),
        record(2, audit(1, "select email from users where id=5", sub=2)),
        record(3, audit(1, "select ip from login_event where city='x'", sub=3, table="public.login_event", rows=9)),
        record(4, audit(1, call, sub=4, table="", rows=1)),
    ).drafts
    assert (draft.subject_scope, draft.rows, draft.rows_basis) == ("attribute_predicate", 10, "inner_statement")
    assert [resource.name for resource in draft.resources] == ["public.users", "public.login_event"]
    assert [(s.id, s.relation) for s in draft.subjects] == [("5", "accessed")]
    assert draft.coverage == ["opaque_routine"]
    assert draft.subject_max is None


def test_known_invoker_routine_hides_nothing() -> None:
    made = "create function f() returns text language sql as $$ select email from users where id = 5 $$"
    call = "select f()"
    routine = {"object_type": "FUNCTION", "rows": 0}
    parsed = read(
        record(1, audit(1, made, kind="DDL", command="CREATE FUNCTION", table="public.f()", **routine)),
        record(2, audit(2, call, kind="FUNCTION", command="EXECUTE", table="public.f", **routine)),
        record(3, audit(2, " select email from users where id = 5 ", sub=2)),
        record(4, audit(3, call, kind="FUNCTION", command="EXECUTE", table="public.f", **routine)),
        record(5, audit(3, call, sub=2, table="")),
    )
    assert [draft.coverage for draft in parsed.drafts] == [[], ["opaque_routine"]]
    (note,) = [note for note in parsed.notes if note.kind == "routine"]
    assert note.facts["security"] == "invoker"


def test_routine_made_definer_again_hides_again() -> None:
    routine = {"object_type": "FUNCTION", "rows": 0, "table": "public.f()"}
    made = "create function f() returns text language sql as $$ select 1 $$"
    parsed = read(
        record(1, audit(1, made, kind="DDL", command="CREATE FUNCTION", **routine)),
        record(2, audit(2, "alter function f() security definer", kind="DDL", command="ALTER FUNCTION", **routine)),
        record(3, audit(3, "select f()", kind="FUNCTION", command="EXECUTE", **{**routine, "table": "public.f"})),
        record(4, audit(3, USERS, sub=2)),
    )
    assert parsed.drafts[0].coverage == ["opaque_routine"]


def test_without_relation_records_the_text_names_the_tables() -> None:
    (draft,) = read(record(1, audit(1, USERS, table=""))).drafts
    assert ([resource.name for resource in draft.resources], [s.id for s in draft.subjects]) == (["public.users"], ["5"])


def test_table_that_the_text_does_not_name_is_of_unknown_scope() -> None:
    (draft,) = read(record(1, audit(1, USERS)), record(2, audit(1, USERS, table="public.login_event"))).drafts
    assert (draft.subject_scope, draft.subject_max) == ("unknown", None)


def test_text_that_the_log_hides_is_of_unknown_scope() -> None:
    (draft,) = read(record(1, audit(1, "<not logged>", params="<not logged>"))).drafts
    assert (draft.subject_scope, [resource.name for resource in draft.resources]) == ("unknown", ["public.users"])


def test_text_logged_once_serves_the_further_records() -> None:
    (draft,) = read(
        record(1, audit(1, USERS)), record(2, audit(1, "<previously logged>", params="<previously logged>", table="public.users"))
    ).drafts
    assert (draft.subject_scope, [s.id for s in draft.subjects]) == ("key_predicate", ["5"])


@pytest.mark.parametrize(
    ("kind", "command", "text", "counted"),
    [
        ("READ", "PREPARE", "prepare p as select email from users where id = $1", "prepare"),
        ("DDL", "CREATE TABLE", "create table x(i int)", "ddl"),
        ("ROLE", "GRANT", "grant select on users to analyst", "role"),
        ("MISC", "SET", "set work_mem = '1GB'", "setting"),
        ("MISC", "FETCH", "fetch all from c", "misc"),
    ],
)
def test_what_is_no_access_is_counted_by_its_kind(kind: str, command: str, text: str, counted: str) -> None:
    parsed = read(record(1, audit(1, text, kind=kind, command=command, table="", rows=0)))
    assert (parsed.counted, parsed.drafts) == ({counted: 1}, [])


def test_plain_explain_reads_nothing() -> None:
    parsed = read(record(1, audit(1, "explain " + USERS, rows=0)), record(2, audit(2, "explain analyze " + USERS)))
    assert (parsed.counted, len(parsed.drafts)) == ({"explain": 1}, 1)


@pytest.mark.parametrize(
    ("kind", "command", "text", "setting"),
    [
        ("MISC", "SET", "set pgaudit.log = 'none'", "pgaudit.log"),
        ("DDL", "ALTER SYSTEM", "alter system set log_disconnections = off", "log_disconnections"),
        ("ROLE", "ALTER ROLE", "alter role x set pgaudit . log_parameter = off", "pgaudit.log_parameter"),
        ("DDL", "DROP EXTENSION", "drop extension pgaudit", "pgaudit"),
        ("MISC", "SET", "set standard_conforming_strings = off", "standard_conforming_strings"),
    ],
)
def test_changed_audit_setting_is_noted(kind: str, command: str, text: str, setting: str) -> None:
    parsed = read(record(1, audit(1, text, kind=kind, command=command, table="", rows=0)))
    assert [note.facts["setting"] for note in parsed.notes if note.kind == "configuration"] == [setting]


def test_reloaded_setting_is_noted() -> None:
    entry = record(1, 'parameter "pgaudit.log" changed to "none"', user="", dbname="", backend_type="postmaster")
    parsed = read(entry)
    assert [note.facts["setting"] for note in parsed.notes] == ["pgaudit.log"]
    assert parsed.counted == {"server": 1}


def test_made_superuser_is_flagged_from_then_on() -> None:
    parsed = read(
        record(1, audit(1, USERS)),
        record(2, audit(2, "alter role analyst with superuser", kind="ROLE", command="ALTER ROLE", table="")),
        record(3, audit(3, USERS)),
    )
    assert [draft.coverage for draft in parsed.drafts] == [[], ["superuser"]]


def test_temporary_table_is_the_session_s_own() -> None:
    other = "6b0233a0.2"
    made = "create temp table t as select id, email from users"
    parsed = read(
        record(1, audit(1, made, rows=9), ps="CREATE TABLE AS"),
        record(2, audit(1, made, sub=2, kind="DDL", command="CREATE TABLE AS", table="pg_temp.t", rows=0), ps="CREATE TABLE AS"),
        record(3, audit(2, "select email from t where id=5", table="pg_temp_3.t")),
        record(1, audit(1, "select email from t where id=5", table="pg_temp_4.t"), session_id=other),
    )
    copied, own, foreign = parsed.drafts
    assert copied.derived == own.derived_from == f"pg_temp.t@{SESSION}"
    assert ([s.id for s in own.subjects], own.coverage) == (["5"], ["derived_table"])
    assert ([s.id for s in foreign.subjects], foreign.subject_scope, foreign.derived_from) == ([], "unknown", None)


def test_copy_of_a_computed_key_names_nobody() -> None:
    made = "create table c as select id + 1 as id, email from users"
    parsed = read(
        record(1, audit(1, made, rows=9)),
        record(2, audit(1, made, sub=2, kind="DDL", command="CREATE TABLE AS", table="public.c", rows=0)),
        record(3, audit(2, "select email from c where id=5", table="public.c")),
    )
    assert ([s.id for s in parsed.drafts[1].subjects], parsed.drafts[1].subject_scope) == ([], "set")


@pytest.mark.parametrize(
    ("name", "text", "stated", "conflict"),
    [
        ("purpose=support;case=T-1", USERS, ("support", "T-1", "session_tag"), False),
        ("psql", USERS + " /* purpose:support ticket:T-9 */", ("support", "T-9", "sql_comment"), False),
        ("psql", "/*purpose='trust%5Fsafety',case='7'*/ " + USERS, ("trust_safety", "7", "sql_comment"), False),
        ("purpose=support", USERS + " -- purpose=fraud", ("support", None, "session_tag"), True),
        ("psql", "select 'purpose=x', email from users where id=5", (None, None, "none"), False),
        ("nopurpose=1", USERS, (None, None, "none"), False),
    ],
)
def test_stated_purpose(name: str, text: str, stated: tuple[str | None, str | None, str], conflict: bool) -> None:
    (draft,) = read(record(1, audit(1, text), application_name=name)).drafts
    assert (draft.purpose, draft.reason, draft.purpose_basis) == stated
    assert ("purpose_conflict" in draft.coverage) is conflict


def test_draft_names_its_session_its_client_and_its_text() -> None:
    (draft,) = read(record(1, audit(1, USERS))).drafts
    assert (draft.session, draft.seq_of, draft.seq, draft.client_address) == (SESSION, SESSION, 1, "10.9.8.7")
    assert (draft.query, draft.template, draft.system) == (USERS, "select email from users where id= ?", "postgres")
    assert draft.time.isoformat() == "2026-11-22T10:00:00.123000+00:00"


def test_statement_that_goes_on_after_finish_is_given_again_whole() -> None:
    text = "select 1 from users u join login_event l on l.user_id = u.id where u.id = 5"
    first, second = raws([record(1, audit(1, text)), record(2, audit(1, text, table="public.login_event"))])
    parser = SOURCE.parser(DATAMAP)
    parser.feed([first])
    (half,) = parser.finish().drafts
    assert parser.finish().drafts == []
    parser.feed([second])
    (whole,) = parser.finish().drafts
    assert (half.raws, whole.raws) == ([first], [first, second])
    assert parser.feed(raws([record(3, audit(2, USERS))])).drafts == []


def test_noted_once_however_often_it_is_finished() -> None:
    parser = SOURCE.parser(DATAMAP)
    made = "create function f() returns text language sql as $$ select 1 $$"
    entry = record(1, audit(1, made, kind="DDL", command="CREATE FUNCTION", object_type="FUNCTION", table="public.f()"))
    parts = [
        parser.feed(raws([entry])),
        parser.finish(),
        parser.finish(),
        parser.feed(raws([record(2, audit(2, USERS))])),
        parser.finish(),
    ]
    whole = together(parts)
    assert [note.kind for note in whole.notes] == ["routine", "tail_unproven", "tail_unproven"]
    assert accounted(whole) == 2


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("2026-07-01 10:00:00.5 CEST", "2026-07-01T08:00:00.500000+00:00"),
        ("2026-07-01 10:00:00 +05:30", "2026-07-01T04:30:00+00:00"),
        ("2026-07-01 10:00:00.25 -03", "2026-07-01T13:00:00.250000+00:00"),
    ],
)
def test_zones_are_converted(stamp: str, utc: str) -> None:
    assert time_of(stamp).isoformat() == utc


@pytest.mark.parametrize(
    "stamp", ["2026-07-01 10:00:00 IST", "2026-07-01 10:00:00", "9999-99-99 10:00:00 UTC", "0001-01-01 00:00:00 CET", ""]
)
def test_time_that_is_none_or_ambiguous_is_refused(stamp: str) -> None:
    with pytest.raises(Unreadable):
        time_of(stamp)
    assert len(read(record(1, audit(1, USERS), timestamp=stamp)).rejected) == 1


def test_copy_of_the_same_name_in_another_schema_is_another_copy() -> None:
    decoy = "create table evil.c as select 1 as id"
    parsed = read(
        record(1, audit(1, decoy, table="", rows=1)),
        record(2, audit(1, decoy, sub=2, kind="DDL", command="CREATE TABLE AS", table="evil.c", rows=0)),
        record(3, audit(2, "select * from c", table="public.c")),
        record(4, audit(3, "select * from evil.c", table="evil.c")),
    )
    assert [draft.subject_scope for draft in parsed.drafts] == ["none", "unknown", "none"]


def test_two_copies_of_one_name_say_nothing_of_each_other() -> None:
    made = "create table {}.c as select id, email from users"
    entries = []
    for number, schema in enumerate(("a", "b")):
        text = made.format(schema)
        entries.append(record(2 * number + 1, audit(number + 1, text)))
        ddl = audit(number + 1, text, sub=2, kind="DDL", command="CREATE TABLE AS", table=f"{schema}.c", rows=0)
        entries.append(record(2 * number + 2, ddl))
    parsed = read(*entries, record(5, audit(3, "select email from c where id = 5", table="a.c")))
    assert (parsed.drafts[-1].subject_scope, parsed.drafts[-1].subjects) == ("unknown", [])
