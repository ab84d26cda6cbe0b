"""Attacks of our own on what the guard generates. Each runs twice: on a plain table, where it must bite as marked, and guarded.

`steps` are (who, statement): `ann` attacks, `bob` is a colleague, `owner` administers, `lease` is the service's login. Sessions
last for the whole case. `{t}` is the table: `app.people` on the plain one; guarded, once that and once `safe_app.people`. A *value*
leaks if `leak` is found in what ann and bob are told; an *oracle* if it tells something else for a right guess (`{guess}`) than
for a wrong one. `must`: what has to be said in the guarded run, so that a case cannot pass by doing nothing.
"""

from __future__ import annotations

from typing import NamedTuple

IP, NOT_IP = "203.0.113.77", "203.0.113.78"
CANARY = rf"{IP.replace('.', '[.]')}|secret diary|Jo Urnalist|T0P-S3CRET"
"""The journalist's address, note, name and token."""

BASE = (
    "create schema app",
    (
        "create table app.people (id int primary key, name text, country text, last_ip inet, seen_from text, note text, "
        "ips inet[], extra jsonb, token text default 'T0P-S3CRET')"
    ),
    (
        "insert into app.people select i, 'n' || i, 'IE', ('10.0.0.' || i)::inet, '10.0.0.' || i, 'x', "
        "array[('10.0.0.' || i)::inet], json_build_object('ip', '10.0.0.' || i)::jsonb, 't' || i from generate_series(1, 60) i"
    ),
    (
        f"update app.people set last_ip = '{IP}', seen_from = '{IP}', name = 'Jo Urnalist', note = 'secret diary', "
        f"ips = array['{IP}'::inet], extra = '{{\"ip\": \"{IP}\"}}', token = 'T0P-S3CRET' where id = 42"
    ),
    "update app.people set seen_from = '999.1.1.1; secret diary' where id = 43",
    "create index people_ip on app.people (last_ip)",
    "create statistics app.people_stat (mcv) on country, last_ip from app.people",
    "create table app.visits (person int, at date, ip inet) partition by range (at)",
    "create table app.visits_1 partition of app.visits for values from ('2026-01-01') to ('2027-01-01')",
    f"insert into app.visits values (42, '2026-06-01', '{IP}')",
    "create table app.guests (visa text) inherits (app.people)",
    f"insert into app.guests (id, name, last_ip) values (99, 'guest', '{IP}')",
    "create view app.v as select id, last_ip as x from app.people",
    "create view app.v_of_v as select * from app.v",
    "create materialized view app.copy as select id, last_ip from app.people",
    "create function app.ip_of(i int) returns inet language sql security definer as 'select last_ip from app.people where id = i'",
    (
        "create function app.count_ip(a inet) returns bigint language sql security definer "
        "as 'select count(*) from app.people where last_ip = a'"
    ),
    "create extension dblink",
    "analyze",
)
PLAIN = (
    "grant usage on schema app to {ann}, {bob}",
    "grant select on all tables in schema app to {ann}, {bob}",
    "alter default privileges in schema app grant select on tables to {ann}, {bob}",
)
MAP = {
    "app-db": {
        "app.people": {
            "subject_key": "id",
            "region_key": "country",
            "fields": {
                "id": "public",
                "name": "identity",
                "country": "public",
                "last_ip": "ip_address",
                "seen_from": "ip_address",
                "ips": "ip_address",
                "note": "message",
            },
        },
        "app.visits": {"subject_key": "person", "fields": {"person": "public", "ip": "ip_address"}},
    }
}


class Attack(NamedTuple):
    """One case. `bites`: leaks on the plain table. `leased`: it is about leases, which the plain table has not."""

    id: str
    steps: tuple[tuple[str, str], ...]
    bites: bool = True
    oracle: bool = False
    leased: bool = False
    must: str = ""
    leak: str = CANARY


def _ann(*statements: str) -> tuple[tuple[str, str], ...]:
    return tuple(("ann", statement) for statement in statements)


def _lease(who: str = "ann", field: str = "app.people.last_ip", subject: str = "42", seconds: float = 600) -> tuple[str, str]:
    """Return the step in which the service opens a lease."""
    return (
        "lease",
        (
            'insert into custodes_guard.lease (lease, "grant", actor, subject, field, valid_to, leaf) '
            f"select 'l' || n, 'g', '{{{who}}}', '{subject}', '{field}', clock_timestamp() + interval '{seconds} s', n "
            "from (select count(*) as n from custodes_guard.lease) c"
        ),
    )


_REVOKE = ("lease", "update custodes_guard.lease set revoked = true")
_SEEN = "select 'seen', host(last_ip) from safe_app.people where id = 42"
_EXPLAIN = "explain (analyze, verbose, timing off, summary off, buffers off)"
_LEAKY = (
    "create function pg_temp.leak(anyelement) returns boolean cost 0.0000001 language plpgsql "
    "as $$ begin raise notice 'saw %', $1; return true; end $$"
)

VALUES = (
    Attack(
        "whole row of the view", _ann("select s from {t} s where id = 42", "select s.* is null, s::text from {t} s where id = 42")
    ),
    Attack("column as a function of the row", _ann("select last_ip(s), (s).last_ip from {t} s where id = 42")),
    Attack("columns by number through an alias list", _ann("select d from {t} as s (a, b, c, d) where a = 42")),
    Attack(
        "row through json, a record set and back",
        _ann("select r.last_ip from {t} s, jsonb_populate_record(null::{t}, to_jsonb(s)) r"),
    ),
    Attack(
        "cheap leaky function in the condition",
        _ann(_LEAKY, "select id from {t} where pg_temp.leak(last_ip) and pg_temp.leak(note)"),
    ),
    Attack(
        "leaky operator in the condition",
        _ann(
            "create function pg_temp.op(inet, text) returns boolean cost 0.0000001 language plpgsql "
            "as $$ begin raise notice 'saw %', $1; return true; end $$",
            "create operator pg_temp.=== (leftarg = inet, rightarg = text, function = pg_temp.op)",
            "select id from {t} where last_ip operator(pg_temp.===) 'x'",
        ),
    ),
    Attack(
        "cast that fails prints what it was given",
        _ann("select name::int from {t} where id = 42", "select note::uuid from {t} where id = 42"),
    ),
    Attack(
        "cast pushed below the condition",
        _ann("select 1 from {t} where seen_from::inet is not null and id = 43", "select seen_from::inet from {t}"),
    ),
    Attack(
        "domain whose check tells",
        _ann(_LEAKY, "create domain pg_temp.d as text check (pg_temp.leak(value))", "select note::pg_temp.d from {t}"),
    ),
    Attack(
        "division by zero only for one row",
        _ann("select 1 / (case when note = 'secret diary' then 0 else 1 end) from {t}"),
        leak="division by zero",
    ),
    Attack(
        "error inside a block, message raised",
        _ann("do $$ declare x text; begin select last_ip into x from {t} where id = 42; raise '%', x; end $$"),
    ),
    Attack(
        "arrays and their elements",
        _ann("select ips, ips[1], unnest(ips) from {t} where id = 42", "select array_agg(last_ip) from {t}"),
    ),
    Attack(
        "json document beside the column",
        _ann("select extra ->> 'ip' from {t} where id = 42", "select to_jsonb(s) from {t} s where id = 42"),
    ),
    Attack("free text beside the column", _ann("select note from {t}", "select string_agg(note, ',') from {t}")),
    Attack("column that no map names", _ann("select token from {t}")),
    Attack("copy of a query", _ann("copy (select * from {t}) to stdout")),
    Attack("database as xml", _ann("select database_to_xml(true, false, '')", "select table_to_xml('{t}', true, false, '')")),
    Attack(
        "statement text handed to text search",
        _ann("select word from ts_stat('select to_tsvector(''simple'', last_ip::text) from {t}')"),
        leak=CANARY,
    ),
    Attack(
        "statement text handed to a cursor",
        _ann(
            "do $$ declare c refcursor; x text; begin open c for execute 'select host(last_ip) from {t} where id = 42'; "
            "fetch c into x; raise notice '%', x; end $$"
        ),
    ),
    Attack("view over a view", _ann("select x from app.v where id = 42", "select x from app.v_of_v where id = 42")),
    Attack("materialised copy", _ann("select last_ip from app.copy where id = 42")),
    Attack("definer function", _ann("select app.ip_of(42)")),
    Attack("partition by its own name", _ann("select ip from app.visits_1", "select ip from app.visits")),
    Attack("child table by its own name", _ann("select last_ip from app.guests", "select last_ip from only {t}")),
    Attack(
        "table made later",
        (("owner", "create table app.later as select * from app.people"), ("ann", "select last_ip from app.later where id = 42")),
    ),
    Attack(
        "partition made later",
        (
            ("owner", "create table app.visits_2 partition of app.visits for values from ('2027-01-01') to ('2028-01-01')"),
            ("owner", f"insert into app.visits values (42, '2027-06-01', '{IP}')"),
            ("ann", "select ip from app.visits_2"),
        ),
    ),
    Attack(
        "table swapped by rename",
        (
            ("owner", "alter table app.people rename to people_old"),
            ("owner", "create table app.people as select * from app.people_old"),
            ("ann", "select last_ip, note from {t} where id = 42"),
            ("ann", "select last_ip from app.people_old where id = 42"),
        ),
    ),
    Attack(
        "columns that change names",
        (
            ("owner", "alter table app.people rename country to c"),
            ("owner", "alter table app.people rename last_ip to country"),
            ("ann", "select country from {t} where id = 42"),
        ),
    ),
    Attack(
        "column that a migration adds",
        (("owner", "alter table app.people add column diary text default 'secret diary'"), ("ann", "select diary from {t}")),
    ),
    Attack(
        "values of the statistics",
        _ann("select most_common_vals::text, histogram_bounds::text from pg_stats where tablename = 'people'"),
        leak=CANARY + r"|10\.0\.0\.\d",
    ),
    Attack(
        "values of extended statistics",
        _ann("select most_common_vals::text from pg_stats_ext where statistics_name = 'people_stat'"),
        bites=False,
        leak=CANARY + r"|10\.0\.0\.\d",
    ),
    Attack(
        "raw statistics",
        _ann("select stavalues1::text from pg_statistic", "select stxdmcv::text from pg_statistic_ext_data"),
        bites=False,
    ),
    Attack(
        "pages, files, programs",
        _ann(
            "select pg_read_file('PG_VERSION')",
            "copy {t} to '/tmp/x'",
            "copy (select 1) to program 'true'",
            "select lo_import('/etc/passwd')",
        ),
        bites=False,
        must="permission denied",
    ),
    Attack(
        "write-ahead log",
        _ann(
            "select pg_create_logical_replication_slot('s', 'test_decoding')",
            "select * from pg_logical_slot_peek_changes('s', null, null)",
        ),
        bites=False,
        must="must be superuser or replication role|permission denied",
    ),
    Attack(
        "sample of the table and its hidden columns", _ann("select ctid, last_ip from {t} tablesample system (100) where id = 42")
    ),
    Attack(
        "trigger on the view or table",
        _ann(
            "create function pg_temp.tell() returns trigger language plpgsql as $$ begin raise notice '%', old; return old; end $$",
            "create trigger tell instead of update on {t} for each row execute function pg_temp.tell()",
            "create trigger tell before update on {t} for each row execute function pg_temp.tell()",
            "update {t} set country = 'IE' where id = 42",
        ),
        bites=False,
        must="permission denied|must be owner|not a view|is a view",
    ),
    Attack(
        "rule on the view or table",
        _ann(
            "create rule r as on update to {t} do also notify x", "alter view {t} set (security_barrier = false)", "drop view {t}"
        ),
        bites=False,
        must="must be owner",
    ),
    Attack(
        "update that returns",
        _ann(
            "update {t} set country = country where id = 42 returning *",
            "delete from {t} where id = 42 returning *",
            "select * from {t} where id = 42 for update",
        ),
        bites=False,
        must="permission denied",
    ),
    Attack(
        "foreign key into the table",
        _ann(
            "create temp table probe (id int references app.people (id))",
            "merge into {t} s using (select 42 as i) q on s.id = q.i when matched then delete",
        ),
        bites=False,
        must="permission denied",
    ),
    Attack(
        "back in through dblink",
        _ann(
            "select * from dblink('host=127.0.0.1 port={port} dbname={dbname} user={ann}', "
            "'select host(last_ip) from {t} where id = 42') as (ip text)"
        ),
        bites=False,
    ),
    Attack(
        "other roles, by SET ROLE and SET SESSION AUTHORIZATION",
        _ann(
            "set role custodes_owner",
            "select last_ip from {t} where id = 42",
            "reset role",
            "set role custodes_reveal",
            "set session authorization custodes_lease",
            "set session authorization {bob}",
            "select last_ip from {t} where id = 42",
        ),
        must="permission denied",
    ),
    Attack(
        "settings as a pooler leaves them",
        _ann(
            "set application_name = 'grant g-1'",
            "set custodes.actor = 'root'",
            "set row_security = off",
            "discard all",
            "reset session authorization",
            "select last_ip from {t} where id = 42",
        ),
    ),
    Attack(
        "names that shadow the view's",
        _ann(
            "create temp table people (id int)",
            "create temp table lease (actor name, subject text, field text, valid_to timestamptz, revoked boolean)",
            "create function pg_temp.clock_timestamp() returns timestamptz language sql as $$ select '-infinity'::timestamptz $$",
            "set search_path = pg_temp, app, safe_app, pg_catalog",
            "select last_ip from {t} where id = 42",
        ),
    ),
    Attack(
        "a temporary table with a trigger that tells",
        _ann(
            "create temp table bait (x text)",
            "create function pg_temp.tell() returns trigger language plpgsql as $$ begin raise notice '%', new; return new; end $$",
            "create trigger tell before insert on bait for each row execute function pg_temp.tell()",
            "insert into bait select host(last_ip) from {t}",
        ),
    ),
    Attack(
        "merge into the view or table",
        _ann(
            "merge into {t} t using (select 42 as id) s on t.id = s.id when matched then update set name = host(t.last_ip)",
            "select name from {t} where id = 42",
        ),
        must="permission denied|cannot",
    ),
    Attack(
        "a view of one's own, with and without the rights of who asks",
        _ann(
            "create temporary view mine with (security_invoker = true) as select id, last_ip from {t}",
            "select host(last_ip) from mine where id = 42",
            "create temporary view theirs with (security_invoker = false) as select id, last_ip from {t}",
            "select host(last_ip) from theirs where id = 42",
        ),
    ),
    Attack(
        "the barrier taken off, the view replaced, given away, renamed",
        _ann(
            "alter view safe_app.people reset (security_barrier)",
            "create or replace view safe_app.people as select * from app.people",
            "alter view safe_app.people owner to {ann}",
            "alter view safe_app.people rename to folk",
            "drop view safe_app.people",
            "grant select on app.people to {ann}",
            "select host(last_ip) from {t} where id = 42",
        ),
        must="permission denied|must be owner",
    ),
    Attack(
        "policies and roles of one's own",
        _ann(
            "create policy all_of_it on app.people using (true)",
            "alter table app.people disable row level security",
            "create role helper",
            "grant custodes_owner to {ann}",
            "alter role {ann} superuser",
            "select host(last_ip) from {t} where id = 42",
        ),
        must="permission denied|must be",
    ),
    Attack(
        "listening and locks",
        _ann(
            "listen people",
            "select * from pg_locks",
            "select query from pg_stat_activity",
            "select * from pg_stat_user_tables",
            "select pg_get_viewdef('{t}'::regclass)",
        ),
        bites=False,
    ),
)

ORACLES = (
    Attack("equality", _ann("select count(*) from {t} where last_ip = '{guess}'"), oracle=True),
    Attack("containment", _ann("select count(*) from {t} where last_ip <<= '{guess}/32'"), oracle=True),
    Attack(
        "join with a guess",
        _ann("select count(*) from {t} join (select '{guess}'::inet as last_ip) g using (last_ip)"),
        oracle=True,
    ),
    Attack(
        "text of the address",
        _ann("select count(*) from {t} where seen_from = '{guess}' or seen_from like '{guess}%'"),
        oracle=True,
    ),
    Attack("rows of the executed plan", _ann(f"{_EXPLAIN} select * from {{t}} where last_ip = '{{guess}}'"), oracle=True),
    Attack(
        "estimates of the planner",
        _ann("explain select * from {t} where last_ip > '{guess}'", "explain select 1 from {t} where last_ip < '{guess}'"),
        oracle=True,
    ),
    Attack("order", _ann("select id from {t} order by last_ip >= '{guess}' desc, id limit 1"), oracle=True),
    Attack(
        "aggregate with a filter",
        _ann("select bool_or(last_ip = '{guess}') from {t}", "select max(last_ip) = '{guess}' from {t}"),
        oracle=True,
    ),
    Attack("definer function that counts", _ann("select app.count_ip('{guess}')"), oracle=True),
    Attack(
        "error for one value only",
        _ann("select 1 / nullif(host(last_ip) <> '{guess}', true)::int from {t} where last_ip is not null"),
        oracle=True,
    ),
    Attack(
        "prepared statement with a parameter",
        _ann(
            "prepare p (inet) as select count(*) from {t} where last_ip = $1",
            "set plan_cache_mode = force_generic_plan",
            "execute p ('{guess}')",
        ),
        oracle=True,
    ),
    Attack(
        "advisory locks by value",
        _ann("select count(pg_try_advisory_lock(1)) filter (where last_ip = '{guess}') from {t}"),
        oracle=True,
    ),
    Attack(
        "array membership",
        _ann("select count(*) from {t} where '{guess}' = any (ips) or ips @> array['{guess}'::inet]"),
        oracle=True,
    ),
    Attack(
        "unique violation",
        _ann("create temp table u (ip inet unique)", "insert into u values ('{guess}')", "insert into u select last_ip from {t}"),
        oracle=True,
    ),
)

LEASES = (
    Attack(
        "a lease forged by staff",
        (
            *_ann(
                (
                    'insert into custodes_guard.lease (lease, "grant", actor, subject, field, valid_to, leaf) '
                    "values ('x', 'g', session_user, '42', 'app.people.last_ip', now() + interval '1 min', 7)"
                ),
                "select * from custodes_guard.lease",
                "update custodes_guard.lease set revoked = false",
                _SEEN,
            ),
        ),
        leased=True,
        must="permission denied",
    ),
    Attack(
        "a colleague's lease",
        (
            _lease("bob"),
            ("ann", _SEEN),
            ("ann", "set role {bob}"),
            ("ann", _SEEN),
            ("ann", "set session authorization {bob}"),
            ("ann", _SEEN),
        ),
        leased=True,
        must="permission denied",
    ),
    Attack("an expired lease", (_lease(seconds=0.1), ("ann", "select pg_sleep(0.3)"), ("ann", _SEEN)), leased=True, must=r"seen\|"),
    Attack(
        "a lease and other time zones",
        (
            _lease(seconds=0.1),
            *_ann(
                "select pg_sleep(0.3)",
                "set timezone = 'Pacific/Kiritimati'",
                _SEEN,
                "set timezone = '-99'",
                _SEEN,
                "set datestyle = 'SQL, DMY'",
                _SEEN,
            ),
        ),
        leased=True,
        must=r"seen\|",
    ),
    Attack(
        "a prepared plan after the revocation",
        (
            _lease(),
            *_ann(
                "set plan_cache_mode = force_generic_plan",
                "prepare p as " + _SEEN.replace("seen", "before"),
                "select 'plan ' || name from pg_prepared_statements",
            ),
            _REVOKE,
            ("ann", "execute p"),
        ),
        leased=True,
        must=r"before\|",
    ),
    Attack(
        "a cursor over the end of the lease",
        (
            _lease(seconds=0.5),
            *_ann(
                "begin",
                "declare c cursor for " + _SEEN,
                "declare h cursor with hold for " + _SEEN,
                "select pg_sleep(0.8)",
                "fetch all c",
                "commit",
                "fetch all h",
            ),
        ),
        leased=True,
        must=r"seen\|",
    ),
    Attack(
        "a function that sleeps before the value is read",
        (
            _lease(seconds=0.5),
            *_ann(
                "select 'seen', host(last_ip) from (select *, pg_sleep(0.8) from safe_app.people where id = 42 offset 0) s",
                (
                    "with late as materialized (select pg_sleep(0.5)) "
                    "select 'seen', host(last_ip) from late, safe_app.people where id = 42"
                ),
            ),
        ),
        leased=True,
        leak=r"seen\|203(?s:.*)seen\|203",
    ),
    Attack(
        "a snapshot older than the lease",
        (("ann", "begin isolation level repeatable read"), ("ann", "select 1"), _lease(), ("ann", _SEEN), ("ann", "commit")),
        leased=True,
        must=r"seen\|",
    ),
    Attack(
        "a lease for another field",
        (
            _lease(field="app.people.name"),
            *_ann(_SEEN, "select 'lease works', name is not null from safe_app.people where id = 42"),
        ),
        leased=True,
        must=r"lease works\|True",
        leak=IP + "|secret diary",
    ),
    Attack(
        "a lease for another subject, and a leaky function",
        (
            _lease(subject="41"),
            *_ann(
                _LEAKY,
                "select id from safe_app.people where pg_temp.leak(last_ip)",
                "select host(last_ip) from safe_app.people where id = 41",
            ),
        ),
        leased=True,
        must=r"10\.0\.0\.41",
    ),
    Attack(
        "a lease and the row beside it",
        (
            _lease(subject="41"),
            *_ann(
                "select a.last_ip, b.last_ip from safe_app.people a, safe_app.people b where a.id = 41 and b.id = 42",
                "select lag(last_ip) over (order by id desc), last_ip from safe_app.people where id in (41, 42)",
            ),
        ),
        leased=True,
        must=r"10\.0\.0\.41",
    ),
    Attack(
        "a subject that is written otherwise",
        (_lease(subject=" 42"), _lease(subject="42.0"), _lease(subject="%"), _lease(subject=""), ("ann", _SEEN)),
        leased=True,
        must=r"seen\|",
    ),
    Attack(
        "a pooled session that another login takes over",
        (
            _lease("bob"),
            ("bob", "select 'bob', last_ip is not null from safe_app.people where id = 42"),
            ("bob", "discard all"),
            ("ann", _SEEN),
        ),
        leased=True,
        must=r"bob\|True",
    ),
    Attack(
        "what the open leases say of who is looked at",
        (
            _lease("bob", subject="4711"),
            *_ann(
                "select * from custodes_guard.lease",
                "explain (analyze, verbose) select * from safe_app.people",
                "select * from pg_stats where schemaname = 'custodes_guard'",
            ),
        ),
        leased=True,
        leak="4711",
        must="permission denied",
    ),
)
ATTACKS = (*VALUES, *ORACLES, *LEASES)
