"""Whose data a statement reaches: joins, subqueries, aggregates, casts, operators, routines, changes."""

from __future__ import annotations

import pytest

from custodes.model.datamap import DataMap
from custodes.statements import Catalog, Reading, Statements

DATAMAP = DataMap.of(
    {
        "sql": {
            "users": {
                "subject_key": "id",
                "fields": {"email": "contact", "handle": "identity", "born": "identity"},
                "selectors": {"handle": "handle", "email": "email"},
            },
            "login_event": {
                "subject_key": "user_id",
                "fields": {"ip": "ip_address", "city": "location", "at": "behaviour", "device_id": "device"},
                "selectors": {"ip": "ip", "city": "location", "at": "time_window", "device_id": "device"},
            },
            "message": {"subject_key": ["from_user", "to_user"], "fields": {"body": "message"}},
            "order_item": {"fields": {"title": "behaviour"}},
            "staff_badge": {
                "subject_key": None,
                "fields": {"staff": "identity", "ip": "staff_location", "at": "staff_location"},
                "selectors": {"ip": "ip", "at": "time_window"},
            },
            "country": {"fields": {}},
        }
    }
)
NAMED = "key_predicate"
PLACE = "attribute_predicate"


def read(text: str, params: list[str] | None = None, catalog: Catalog | None = None, dialect: str = "postgres") -> Reading:
    return Statements(DATAMAP).read("sql", text, params=params, catalog=catalog or Catalog(), dialect=dialect)


def subjects(reading: Reading, relation: str = "accessed") -> list[str]:
    return [subject.id for subject in reading.subjects if subject.relation == relation]


@pytest.mark.parametrize(
    ("text", "scope", "ids"),
    [
        ("select l.ip from users u left join login_event l on l.user_id = u.id where u.id = 5", NAMED, ["5"]),
        ("select l.ip from users u left join login_event l on l.user_id = u.id and u.id = 5", "set", []),
        ("select u.email from login_event l right join users u on l.user_id = u.id and l.user_id = 5", "set", ["5"]),
        ("select u.email from users u full join login_event l on l.user_id = u.id and u.id = 5", "set", []),
        ("select u.email, l.ip from users u, login_event l where u.id = 5", "set", ["5"]),
        ("select u.email, l.ip from users u join login_event l using (id) where u.id = 5", "set", ["5"]),
        ("select u.email, l.ip from users u join login_event l on u.id = l.user_id where l.city = 'x'", PLACE, []),
        ("select a.ip from login_event a join login_event b on a.device_id = b.device_id where b.user_id = 5", PLACE, ["5"]),
        ("select i.title from login_event l join order_item i on i.id = l.item where l.user_id = 5", NAMED, ["5"]),
        ("select * from (select id, email from users) s where s.id = 5", NAMED, ["5"]),
        ("select * from (select id, email from users union all select id, handle from users) s where s.id = 5", NAMED, ["5"]),
        ("select * from (select lower(handle) as id from users) s where s.id = '5'", PLACE, []),
        (
            "with a as (select id from users), b as (select id from a where id = 5) select email from users join b using (id)",
            NAMED,
            ["5"],
        ),
        ("with recursive r as (select id from users where id = 5 union select r.id from r) select * from r", NAMED, ["5"]),
        (
            "select email from users where exists (select 1 from login_event l where l.user_id = users.id and l.user_id = 5)",
            NAMED,
            ["5"],
        ),
        (
            "select email from users where exists (select count(*) from login_event l where user_id = id and user_id = 5)",
            "set",
            ["5"],
        ),
        (
            "select email from users where not exists (select 1 from login_event l where l.user_id = users.id and l.user_id = 5)",
            "set",
            [],
        ),
        ("select email from users where id not in (select user_id from login_event where user_id = 5)", "set", []),
        ("select email from users where id in (values (5), (6))", NAMED, ["5", "6"]),
        ("select u.email from users u join (values (5), (6)) v(id) on v.id = u.id", NAMED, ["5", "6"]),
        ("select u.email from users u join unnest(array[5, 6]) v(id) using (id)", NAMED, ["5", "6"]),
        ("select (select email from users where id = 5)", NAMED, ["5"]),
        ("select (select ip from login_event l where l.user_id = u.id limit 1) from users u where id = 5", NAMED, ["5"]),
        ("select email from users where (id = 5 and handle = 'a') or (id = 6 and handle = 'b')", NAMED, ["5", "6"]),
        ("select email from users where id = 5 or id in (6, 7)", NAMED, ["5", "6", "7"]),
        ("select email from users where id = 5 intersect select email from users", "set", ["5"]),
        ("select email from users where id = 5 or handle = 'u7'", NAMED, []),
        ("select email from users where case when id = 5 then true else true end", "unknown", []),
        ("select email from users where (id = 5) is true", "unknown", []),
        ("select email from users where id = 5 is not null", "unknown", []),
        ("select email from users where id in (5) is not null", "unknown", []),
        ("select email from users where id + 0 = 5", "unknown", []),
        ("select email from users where id = 4 + 1", "unknown", []),
        ("select email from users where id::boolean = '5'", "unknown", []),
        ("select email from users where id::varchar(1) = '5'", "unknown", []),
        ("select email from users where id::char = '5'", "unknown", []),
        ("select email from users where id::text = '5'", NAMED, ["5"]),
        ("select email from users where cast(id as bigint) = ' 05 '::int", NAMED, ["5"]),
        ("select email from users where id = -5", NAMED, ["-5"]),
        ("select email from users where id = 5e0 and true", NAMED, ["5"]),
        ("select email from users where id = 0x1F", NAMED, ["31"]),
        ("select email from users where id is not distinct from 5", NAMED, ["5"]),
        ("select email from users where 5 = id", NAMED, ["5"]),
        ("select email from users where id = any('{5,\"6\",NULL}'::bigint[])", NAMED, ["5", "6"]),
        ("select body from message where from_user = 5", NAMED, ["5"]),
        ("select name from country", "none", []),
        ("select relname from pg_catalog.pg_class", "none", []),
        ("select 1", "none", []),
        ("select * from who_knows", "unknown", []),
        ("select email from public.users where id = 5", NAMED, ["5"]),
        ("SELECT EMAIL FROM USERS WHERE ID = 5", NAMED, ["5"]),
        ('select email from users where "ID" = 5', "set", []),
    ],
)
def test_scope_and_subjects(text: str, scope: str, ids: list[str]) -> None:
    reading = read(text)
    assert (reading.scope, subjects(reading)) == (scope, ids)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("select count(*) from users", "aggregate"),
        ("select count(distinct handle), now() from users", "aggregate"),
        ("select count(*) from users where id = 5", NAMED),
        ("select city, count(*) from login_event group by city", "aggregate"),
        ("select date_trunc('day', at), count(*) from login_event group by 1", "set"),
        ("select ip, count(*) from login_event group by ip", "set"),
        ("select born, count(*) from users group by born", "set"),
        ("select user_id, count(*) from login_event group by user_id", "set"),
        ("select max(email) from users", "set"),
        ("select string_agg(handle, ',') from users", "set"),
        ("select array_agg(u) from users u", "set"),
        ("select sum(id) from users", "set"),
        ("select sum(case when id = 5 then 1 else 0 end) from users", "set"),
        ("select count(*) from (select max(email) from users) x", "aggregate"),
        ("select x.m from (select max(email) as m from users) x", "set"),
        ("select email, count(*) over () from users", "set"),
        ("select count(*) filter (where city = 'x') from login_event", "aggregate"),
        ("select row_to_json(u) from users u", "set"),
        ("select u from users u", "set"),
        ("select count(*) from staff_badge s join login_event l on l.ip = s.ip", "join"),
    ],
)
def test_aggregate_only_if_nothing_personal_leaves(text: str, scope: str) -> None:
    assert read(text).scope == scope


@pytest.mark.parametrize(
    "text",
    [
        "with s as (select ip from staff_badge) select user_id from login_event l join s on s.ip = l.ip",
        "select user_id from login_event where ip in (select ip from staff_badge where staff = 'x')",
        "select l.user_id from login_event l, staff_badge s where l.at > s.at - interval '5 min' and l.at < s.at",
        "select l.user_id from login_event l join staff_badge s using (ip)",
        "select l.city from login_event l join staff_badge s on l.ip = s.ip where l.user_id = 42",
    ],
)
def test_staff_and_subjects_brought_together_is_a_join(text: str) -> None:
    assert read(text).scope == "join"


@pytest.mark.parametrize("operator", ["<<", "<<=", ">>", ">>=", "&&"])
@pytest.mark.parametrize(
    "form",
    [
        "ip {} '10.5.0.0/16'",
        "'10.5.0.0/16' {} ip",
        "ip {} inet '10.5.0.0/16'",
        "ip {} '10.5.0.0/16'::inet",
        "ip::inet {} cast('10.5.0.0/16' as cidr)",
        "l.ip operator(pg_catalog.{}) '10.5.0.0/16'",
    ],
)
def test_network_operators_search_by_range(operator: str, form: str) -> None:
    reading = read("select user_id from login_event l where " + form.format(operator))
    assert reading.scope == PLACE
    assert [(s.kind, s.value, s.width) for s in reading.selectors] == [("ip_range", "10.5.0.0/16", 16)]


@pytest.mark.parametrize("operator", ["<<", "<<=", ">>", ">>=", "&&"])
def test_network_operators_are_seen_even_if_no_parser_reads_the_text(operator: str) -> None:
    for test in (f"ip {operator} '10.5.0.0/16'", f"'10.5.0.0/16' {operator} \"ip\""):
        reading = read(f"selec user_id frm login_event whre {test} )) (")
        assert (reading.scope, reading.coverage) == ("unknown", ("parse_failed",))
        assert [selector.kind for selector in reading.selectors] == ["ip_range"]
        assert [resource.name for resource in reading.plan.resources] == ["login_event"]


@pytest.mark.parametrize(
    ("text", "action", "scope", "ids"),
    [
        ("insert into users(id, email) values (5, 'a'), (6, 'b')", "write", NAMED, ["5", "6"]),
        ("insert into users(email) values ('a')", "write", "set", []),
        ("insert into login_event(user_id, ip) select id, '::1' from users where id = 5", "write", NAMED, ["5"]),
        ("update users set email = 'x'", "write", "set", []),
        ("update users u set email = 'x' from login_event l where l.user_id = u.id and u.id = 5", "write", NAMED, ["5"]),
        ("delete from login_event where user_id = 5", "delete", NAMED, ["5"]),
        ("delete from login_event l using users u where u.id = l.user_id and u.handle = 'x'", "delete", NAMED, []),
        ("truncate login_event", "delete", "set", []),
        ("with d as (delete from users where id = 5 returning *) select email from d", "query", NAMED, ["5"]),
        ("copy users to stdout", "export", "set", []),
        ("copy users (id, email) to '/tmp/x' with (format csv)", "export", "set", []),
        ("copy users from stdin", "write", "set", []),
        ("copy (select email from users where id = 5) to program 'cat' (format csv)", "export", NAMED, ["5"]),
    ],
)
def test_changes_and_exports(text: str, action: str, scope: str, ids: list[str]) -> None:
    reading = read(text)
    assert (reading.plan.action, reading.scope, subjects(reading)) == (action, scope, ids)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("prepare p(bigint, varchar(3)) as select email from users where id = $1", False),
        ("explain select email from users where id = 5", False),
        ("explain (verbose, analyze false) select email from users where id = 5", False),
        ("explain (analyze, buffers) select email from users where id = 5", True),
        ("explain analyze verbose select email from users where id = 5", True),
    ],
)
def test_prepared_and_explained_statements_do_not_run(text: str, runs: bool) -> None:
    assert read(text).plan.runs is runs


@pytest.mark.parametrize(
    ("text", "derived"),
    [
        ("create table x as select * from users", "x"),
        ('create temporary table if not exists "X y" (a, b) on commit drop as (select id, email from users)', "pg_temp.X y"),
        ("create materialized view s.m as select id from users with no data", "s.m"),
        ("select * into temp t from users", "pg_temp.t"),
    ],
)
def test_copies_are_named(text: str, derived: str) -> None:
    assert read(text).plan.derived == derived


def test_message_with_one_known_party_is_about_another_one_too() -> None:
    assert read("select body from message where from_user = 5").maximum is None
    assert read("select body from message where from_user = 5 and to_user = 6").maximum == 2
    assert read("select email from users where id in (5, 6, 6)").maximum == 2


def test_routine_that_is_not_known_hides_what_it_reads() -> None:
    reading = read("select email, public.who_near('c') from users where id = 5")
    assert (reading.coverage, reading.maximum, reading.plan.routines) == (("opaque_routine",), None, ("public.who_near",))
    assert read("select lower(email), pg_catalog.now() from users where id = 5").coverage == ()


def test_hidden_bind_values_are_said() -> None:
    reading = read("select email from users where id = $1")
    assert (reading.scope, reading.coverage, reading.maximum) == (NAMED, ("params_hidden",), 1)
    many = read("select email from users where id = any($1)")
    assert (many.coverage, many.maximum) == (("params_hidden",), None)
    assert subjects(read("select email from users where id = any($1)", params=["{5,6}"])) == ["5", "6"]


def test_empty_list_names_nobody() -> None:
    reading = read("select email from users where id = any($1)", params=["{}"])
    assert (subjects(reading), reading.coverage) == ([], ())


def test_variable_of_a_routine_is_not_taken_for_a_value() -> None:
    reading = read("select ip from login_event where user_id = c", params=["77", "", ""])
    assert (reading.scope, reading.coverage, subjects(reading)) == ("unknown", ("predicate_opaque",), [])


@pytest.mark.parametrize(
    "text",
    [
        "select email from users where handle = 'x\\' or 1=1 --'",
        "select email from users where id = 5 and handle = 'C:\\'",
    ],
)
def test_text_that_depends_on_a_session_setting_promises_nothing(text: str) -> None:
    reading = read(text)
    assert reading.scope == "unknown"
    assert "predicate_opaque" in reading.coverage
    assert subjects(reading) == []


@pytest.mark.parametrize(
    "text",
    [
        "select email from users where id = 5 and handle = 'cut",
        "select email from users where id = 5 /* cut",
        'select email from users where id = 5 and "cut',
        "select email from users where id = 5 and handle = $q$cut",
        "select email from users where id = 5\0",
        "select email from users where id = 5 and x = " + "(" * 5000 + "1" + ")" * 5000,
        "select " + "array[" * 40 + "1" + "]" * 40 + " from users where id = 5",
        "select email from users where " + "not " * 20000 + "true",
        "select email from users where id = 5 and h in ('" + "x" * 1_100_000 + "')",
        "select 1 from users where id = 5 -- " + "y" * 1_100_000,
        "grant",
        "",
        ";;;",
        "select U&\"!0065mail\" uescape '!' from users where id = 5",
    ],
)
def test_what_cannot_be_read_is_never_narrow(text: str) -> None:
    reading = read(text)
    assert subjects(reading) == []
    if "users" in text[:100]:
        assert reading.scope in {"unknown", "set"}


def test_views_are_read_through_their_definition() -> None:
    catalog = Catalog(views={"v": "select id, email from users where handle = 'u5'"}, marks={"v": "1"})
    reading = read("select email from v", catalog=catalog)
    assert (reading.scope, [selector.value for selector in reading.selectors]) == (NAMED, ["u5"])
    assert [(r.name, r.kind, r.via) for r in reading.plan.resources] == [("v", "view", "direct"), ("users", "table", "view")]


def test_plans_follow_a_changed_view() -> None:
    statements = Statements(DATAMAP)
    text = "select * from v"
    one = Catalog(views={"v": "select id from users where id = 5"}, marks={"v": "1"})
    two = Catalog(views={"v": "select id from users"}, marks={"v": "2"})
    scopes = [statements.read("sql", text, catalog=catalog).scope for catalog in (Catalog(), one, two, one, Catalog())]
    assert scopes == ["unknown", NAMED, "set", NAMED, "unknown"]


def test_memory_of_plans_is_bounded() -> None:
    statements = Statements(DATAMAP, plans=4)
    for number in range(20):
        statements.read("sql", f"select email as c{number} from users where id = 5")
    assert len(statements._plans) == 4


def test_thousands_of_literals_are_one_template() -> None:
    statements = Statements(DATAMAP)
    for size in (2, 6000):
        reading = statements.read("sql", f"select email from users where id in ({', '.join(map(str, range(size)))})")
        assert len(reading.subjects) == size
    assert statements.misses == 1


def test_template_keeps_no_name_that_the_data_map_does_not_know() -> None:
    text = """select "email", "u22@ex.org" as "Zoe" from "users" where "handle" = 'x'"""
    assert read(text).plan.template == """select "email", "?" as "?" from "users" where "handle" = ?"""


def test_comments_are_handed_on_and_never_read_as_conditions() -> None:
    reading = read("select email /* id = 99 /* or id = 98 */ */ from users where id = 7 -- or 1=1")
    assert subjects(reading) == ["7"]
    assert list(reading.comments) == ["/* id = 99 /* or id = 98 */ */", "-- or 1=1"]


@pytest.mark.parametrize(
    ("dialect", "text", "scope", "ids"),
    [
        ("mysql", 'select * from users where id = 5 || handle = "x"', NAMED, []),
        ("mysql", "select * from users where id = 5 -- x\n and handle = 'a\\'b'", NAMED, ["5"]),
        ("mysql", "select * from users where id = 5 /*!50000 or 1=1 */", "set", []),
        ("mysql", "select * from users where id = 5 #or 1=1", NAMED, ["5"]),
        ("bigquery", 'select * from `a.b.users` where id = "5"', NAMED, ["5"]),
        ("snowflake", "select * from users where id = 5 // or 1=1", NAMED, ["5"]),
    ],
)
def test_other_dialects_lex_their_own_way(dialect: str, text: str, scope: str, ids: list[str]) -> None:
    reading = read(text, dialect=dialect)
    assert (reading.scope, subjects(reading)) == (scope, ids)


@pytest.mark.parametrize(
    ("text", "scope", "ids"),
    [
        ("select email from users where id in (5, id)", "unknown", []),
        ("select email from users where handle in ('u7', handle)", "set", []),
        ("select email from users where id = any(array[5, id])", "unknown", []),
        ("select email from users where handle = handle || ''", "set", []),
        ("select ip from login_event where city in ('x', city)", "set", []),
        ("insert into users(id, email) values (9, 'a') on conflict (email) do update set handle = 'x' returning *", "set", []),
        ("insert into users(id, email) values (9, 'a') on conflict do nothing returning *", NAMED, ["9"]),
        ("select public.count(email) from users", "set", []),
        ("select * from pg_class", "none", []),
        ("select * from pg_mine", "unknown", []),
        ("with users as (select * from login_event) select * from users where id = 5", "set", []),
    ],
)
def test_what_only_looks_like_a_restriction_is_none(text: str, scope: str, ids: list[str]) -> None:
    reading = read(text)
    assert (reading.scope, subjects(reading)) == (scope, ids)


def test_learned_name_never_hides_what_the_data_map_knows() -> None:
    catalog = Catalog(views={"users": "select 1 as id, 'x' as email"}, marks={"users": "1"}, full={"users": "public.users"})
    reading = read("select email from users", catalog=catalog)
    assert (reading.scope, [resource.name for resource in reading.plan.resources]) == ("set", ["users"])
