"""Every path of the design's list, planted on a real server one by one: found, named with its steps; removed: gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from approval_stage import Stage as Company
from approval_stage import seed_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pg_cluster import SERVERS, Cluster, running, server_id

from custodes.catalogue import Catalogue, Column, Fact, Grant, Name, Relation, Role
from custodes.cli import run as custodes
from custodes.engines.postgres import connect
from custodes.errors import Refused
from custodes.guard.declaring import content
from custodes.guard.installation import Target, install
from custodes.guard.looking import Look, Seams, drift, look, ways
from custodes.guard.plan import GUARD
from custodes.guard.reach_whole import reach
from custodes.guard.safe_objects import INSTALLED, OBJECTS, objects
from custodes.model.canonical import canonical
from custodes.model.datamap import DataMap

ANN, BOB, APP, HELP = "re_ann", "re_bob", "re_app", "re_help"
BASE = (
    f"create role {ANN} login",
    f"create role {BOB} login",
    f"create role {APP} login",
    f"create role {HELP} login",
    "create role re_group",
    "create role re_owner",
    "create schema app authorization re_owner",
    "create table app.people (id int primary key, last_ip inet, country text)",
    "insert into app.people values (42, '203.0.113.77', 'IE'), (43, '10.0.0.1', 'IE')",
    "create table app.visits (person int, ip inet) partition by range (person)",
    "create table app.plain (id int, note text)",
    "alter table app.people owner to re_owner",
    "alter table app.visits owner to re_owner",
    "alter table app.plain owner to re_owner",
    "create schema other",
    "grant usage on schema other to public",
    "create extension postgres_fdw",
    "create extension dblink",
    "revoke execute on all functions in schema public from public",
    "revoke usage on schema public from public",
)
MAP = DataMap.of({
    "crm": {
        "app.people": {"subject_key": "id", "fields": {"id": "public", "last_ip": "ip_address"}},
        "app.visits": {"subject_key": "person", "fields": {"ip": "ip_address"}},
    }
})  # fmt: skip
TARGET = Target("crm", MAP, (ANN, BOB), {})
LEASE = (
    f'insert into {GUARD}.lease (lease, "grant", actor, subject, field, valid_to, leaf) '
    f"values ('l-x', 'g-x', '{ANN}', '42', 'app.people.last_ip', clock_timestamp() + interval '10 min', 987654)"
)


class Planted(NamedTuple):
    """A way, how it is made and unmade, and how the report must name it: principal, words of the steps, verdict."""

    id: str
    make: tuple[str, ...]
    unmake: tuple[str, ...]
    principal: str
    steps: str
    verdict: str = "open"
    spoils: bool = False


PLANTED = (
    Planted("superuser", (f"alter role {HELP} superuser",), (f"alter role {HELP} nosuperuser",), HELP, "superuser"),
    Planted(
        "owner",
        ("alter table app.people owner to re_app",),
        ("alter table app.people owner to re_owner",),
        APP,
        "owner of app.people",
    ),
    Planted(
        "member of the owner",
        (f"grant re_owner to {APP}",),
        (f"revoke re_owner from {APP}",),
        APP,
        "member of re_owner.*owner of app.people",
    ),
    Planted(
        "column grant",
        (f"grant usage on schema app to {APP}", f"grant select (last_ip) on app.people to {APP}"),
        (f"revoke select (last_ip) on app.people from {APP}", f"revoke usage on schema app from {APP}"),
        APP,
        "SELECT on app.people granted to re_app",
    ),
    Planted(
        "table grant through two groups",
        ("grant usage on schema app to re_group", "grant select on app.people to re_group", f"grant re_group to {HELP}"),
        ("revoke select on app.people from re_group", "revoke usage on schema app from re_group", f"revoke re_group from {HELP}"),
        HELP,
        "member of re_group.*SELECT on app.people granted to re_group",
    ),
    Planted(
        "grant to everybody",
        ("grant usage on schema app to public", "grant select on app.people to public"),
        ("revoke select on app.people from public", "revoke usage on schema app from public"),
        ANN,
        "SELECT on app.people granted to PUBLIC",
    ),
    Planted(
        "trigger privilege",
        (f"grant usage on schema app to {APP}", f"grant trigger on app.people to {APP}"),
        (f"revoke trigger on app.people from {APP}", f"revoke usage on schema app from {APP}"),
        APP,
        "TRIGGER on app.people",
    ),
    Planted(
        "references privilege",
        (f"grant usage on schema app to {APP}", f"grant references on app.people to {APP}"),
        (f"revoke references on app.people from {APP}", f"revoke usage on schema app from {APP}"),
        APP,
        "REFERENCES on app.people",
        "unknown",
    ),
    *(
        Planted(role, (f"grant {role} to {HELP}",), (f"revoke {role} from {HELP}",), HELP, f"member of {role}", verdict)
        for role, verdict in {
            "pg_read_all_data": "open",
            "pg_read_server_files": "open",
            "pg_write_server_files": "unknown",
            "pg_execute_server_program": "open",
            "pg_read_all_stats": "unknown",
            "pg_monitor": "unknown",
        }.items()
    ),
    Planted(
        "bypass of row security",
        ("alter table app.people enable row level security", f"alter role {HELP} bypassrls"),
        ("alter table app.people disable row level security", f"alter role {HELP} nobypassrls"),
        HELP,
        "BYPASSRLS",
    ),
    Planted(
        "replication",
        (f"alter role {HELP} replication",),
        (f"alter role {HELP} noreplication",),
        HELP,
        "REPLICATION reads the write-ahead log",
    ),
    Planted("create role", (f"alter role {HELP} createrole",), (f"alter role {HELP} nocreaterole",), HELP, "CREATEROLE"),
    Planted(
        "staff that are members of each other",
        (f"grant {BOB} to {ANN}",),
        (f"revoke {BOB} from {ANN}",),
        ANN,
        "member of re_bob.*a colleague's login",
    ),
    Planted(
        "member of the service's reader",
        (f"grant custodes_reveal to {HELP}",),
        (f"revoke custodes_reveal from {HELP}",),
        HELP,
        "member of custodes_reveal.*SELECT on app.people",
    ),
    Planted(
        "member of the service's lease writer",
        (f"grant custodes_lease to {HELP}",),
        (f"revoke custodes_lease from {HELP}",),
        HELP,
        "member of custodes_lease.*opens any field to itself",
    ),
    Planted(
        "write access to leases",
        (f"grant insert on custodes_guard.lease to {HELP}",),
        (f"revoke insert on custodes_guard.lease from {HELP}",),
        HELP,
        "INSERT on leases",
    ),
    Planted(
        "view elsewhere",
        ("create view other.v as select last_ip as x from app.people", "grant select on other.v to public"),
        ("drop view other.v",),
        ANN,
        "SELECT on other.v granted to PUBLIC.*view other.v of postgres",
    ),
    Planted(
        "view over a view",
        (
            "create view other.v as select * from app.people",
            "create view other.w as select last_ip::text as y from other.v",
            f"grant select on other.w to {BOB}",
        ),
        ("drop view other.w", "drop view other.v"),
        BOB,
        "SELECT on other.w granted to re_bob.*view other.w",
    ),
    Planted(
        "materialised view",
        ("create materialized view other.m as select * from app.people", f"grant select on other.m to {BOB}"),
        ("drop materialized view other.m",),
        BOB,
        "materialised view other.m of postgres",
    ),
    Planted(
        "safe view without its barrier",
        ("alter view safe_app.people reset (security_barrier)",),
        ("alter view safe_app.people set (security_barrier = true)",),
        ANN,
        "view safe_app.people of custodes_owner",
    ),
    Planted(
        "safe view that was replaced",
        (
            (
                "create or replace view safe_app.people with (security_barrier = true) as select id, last_ip, null::cidr "
                "as last_ip_min from app.people"
            ),
        ),
        ("drop view safe_app.people",),
        ANN,
        "saw protected fields of safe_app.people",
        spoils=True,
    ),
    Planted(
        "rule on the table",
        ("create rule r as on update to app.people do also insert into app.plain values (old.id, old.last_ip::text)",),
        ("drop rule r on app.people",),
        "re_owner",
        "rule r on app.people",
        "unknown",
    ),
    Planted(
        "trigger on the table",
        (
            "create function app.t() returns trigger language plpgsql as 'begin return new; end'",
            "create trigger t after update on app.people for each row execute function app.t()",
        ),
        ("drop trigger t on app.people", "drop function app.t()"),
        "re_owner",
        "trigger t on app.people",
        "unknown",
    ),
    Planted(
        "generated column",
        (
            "alter table app.people add g text generated always as (host(last_ip)) stored",
            f"grant usage on schema app to {APP}",
            f"grant select (g) on app.people to {APP}",
        ),
        ("alter table app.people drop g", f"revoke usage on schema app from {APP}"),
        APP,
        "SELECT on app.people granted to re_app.*generated column g",
    ),
    Planted(
        "definer function",
        (
            (
                "create function other.f(i int) returns inet language sql security definer "
                "as 'select last_ip from app.people where id = i'"
            ),
        ),
        ("drop function other.f(int)",),
        ANN,
        r"definer routine other.f\(i integer\) of postgres",
    ),
    Planted(
        "definer function that calls one that reads",
        (
            "create function other.inner_one() returns inet language sql as 'select last_ip from app.people limit 1'",
            "revoke execute on function other.inner_one() from public",
            "create function other.outer_one() returns inet language sql security definer as 'select other.inner_one()'",
        ),
        ("drop function other.outer_one()", "drop function other.inner_one()"),
        ANN,
        r"definer routine other.outer_one\(\)",
        "unknown",
    ),
    Planted(
        "definer function with dynamic text",
        (
            (
                "create function other.d(q text) returns text language plpgsql security definer "
                "as 'declare r text; begin execute q into r; return r; end'"
            ),
        ),
        ("drop function other.d(text)",),
        ANN,
        r"definer routine other.d\(q text\)",
        "unknown",
    ),
    Planted(
        "partition with a grant of its own",
        ("create table other.part partition of app.visits for values from (1) to (100)", f"grant select on other.part to {HELP}"),
        ("drop table other.part",),
        HELP,
        "SELECT on other.part granted to re_help.*part other.part",
    ),
    Planted(
        "child table with a grant of its own",
        ("create table other.child () inherits (app.people)", f"grant select on other.child to {HELP}"),
        ("drop table other.child",),
        HELP,
        "part other.child",
    ),
    Planted(
        "dblink without a password",
        (f"grant usage on schema public to {ANN}", f"grant execute on function dblink_connect_u(text) to {ANN}"),
        (f"revoke execute on function dblink_connect_u(text) from {ANN}", f"revoke usage on schema public from {ANN}"),
        ANN,
        "dblink_connect_u connects without a password",
    ),
    Planted(
        "mapping for everybody back to itself",
        (
            "create server here foreign data wrapper postgres_fdw options (host 'localhost', dbname '{db}')",
            "create user mapping for public server here options (user 'postgres')",
        ),
        ("drop server here cascade",),
        "PUBLIC",
        "foreign server here.*leads back into this database",
    ),
    Planted(
        "mapping to another server",
        (
            "create server far foreign data wrapper postgres_fdw options (host 'db.example', dbname 'x')",
            f"create user mapping for {BOB} server far",
        ),
        ("drop server far cascade",),
        BOB,
        "foreign server far.*may lead back",
        "unknown",
    ),
    Planted(
        "foreign table",
        (
            "create server far foreign data wrapper postgres_fdw options (host 'db.example')",
            "create foreign table other.ft (x text) server far",
        ),
        ("drop server far cascade",),
        "other.ft",
        "foreign table: far",
        "unknown",
    ),
    Planted("publication", ("create publication p for table app.people",), ("drop publication p",), "p", "publication", "unknown"),
    Planted(
        "replication slot",
        ("select pg_create_physical_replication_slot('re_slot')",),
        ("select pg_drop_replication_slot('re_slot')",),
        "re_slot",
        "replication slot",
        "unknown",
    ),
    Planted(
        "subscription",
        ("create subscription s connection 'host=db.example dbname=x' publication p with (connect = false)",),
        ("alter subscription s disable", "alter subscription s set (slot_name = none)", "drop subscription s"),
        "s",
        "subscription",
        "unknown",
    ),
    Planted(
        "event trigger",
        (
            "create function other.e() returns event_trigger language plpgsql as 'begin end'",
            "create event trigger e on ddl_command_end execute function other.e()",
        ),
        ("drop event trigger e", "drop function other.e()"),
        "e",
        "event trigger",
        "unknown",
    ),
    Planted(
        "default privileges",
        (f"alter default privileges for role re_owner in schema app grant select on tables to {HELP}",),
        (f"alter default privileges for role re_owner in schema app revoke select on tables from {HELP}",),
        HELP,
        "later tables of re_owner in app are open",
    ),
    Planted(
        "large objects with grants",
        ("select lo_create(4711)", f"grant select on large object 4711 to {HELP}"),
        ("select lo_unlink(4711)",),
        HELP,
        "large object: 1 large objects",
        "unknown",
    ),
    Planted(
        "create on the public schema",
        ("grant create on schema public to public",),
        ("revoke create on schema public from public",),
        "PUBLIC",
        "CREATE on schema public",
    ),
    Planted(
        "values in the server's log",
        ("alter database {db} set log_parameter_max_length = -1",),
        ("alter database {db} reset log_parameter_max_length",),
        "server log",
        "log_parameter_max_length is -1",
    ),
    Planted(
        "table renamed away",
        ("alter table app.people rename to folk",),
        ("alter table app.folk rename to people",),
        "the catalogue",
        "app.people.last_ip is not where the data map says",
        "unknown",
    ),
    Planted("lease that no record allows", (LEASE,), (f"delete from {GUARD}.lease",), ANN, "a lease that no record allows"),
)


class Scene:
    """A guarded database, a company of approvers, and looks at it."""

    def __init__(self, cluster: Cluster, company: Company) -> None:
        self.cluster, self.company = cluster, company
        self.template = cluster.fresh()
        self.run(self.template, BASE)
        database = connect(cluster.url(self.template))
        install(database, TARGET, TARGET.plan(database).text())
        database.close()
        self.worn = cluster.fresh(self.template)

    def run(self, name: str, statements: tuple[str, ...]) -> None:
        with psycopg.connect(self.cluster.url(name), autocommit=True) as owner:
            for statement in statements:
                owner.execute(statement.replace("{db}", name).encode())

    def look(self, name: str) -> Look:
        database = connect(self.cluster.url(name))
        seams = Seams(self.company.home.own_leaves, self.company.home.record)
        found = look(database, TARGET, seams, self.company.now)
        database.close()
        return found


@pytest.fixture(scope="module", params=SERVERS, ids=server_id)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running(request.param) as cluster:
        company = Company.built(tmp_path_factory.mktemp("company"))
        yield Scene(cluster, company)
        company.home.close()


def named(found: Look, planted: Planted) -> list[str]:
    """Return the verdicts of the ways that are named as they must be."""
    return [
        str(way["verdict"])
        for _, way in ways(found.document)
        if way["principal"] == planted.principal and re.search(planted.steps, " → ".join(map(str, way["via"])))  # type: ignore[arg-type]  # JSON
    ]


def open_of(found: Look) -> set[str]:
    return {f"{way['principal']}: {way['via']}" for _, way in ways(found.document) if way["principal"] != "postgres"}


def test_a_freshly_guarded_database_has_no_way_but_that_of_its_superuser(scene: Scene) -> None:
    found = scene.look(scene.template)
    assert open_of(found) == set()
    assert {way["principal"] for _, way in ways(found.document)} == {"postgres"}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.id)
def test_a_planted_way_is_found_with_its_steps_and_gone_when_it_is_removed(scene: Scene, planted: Planted) -> None:
    name = scene.cluster.fresh(scene.template) if planted.spoils else scene.worn
    scene.run(name, planted.make)
    try:
        found = scene.look(name)
        assert planted.verdict in named(found, planted), open_of(found)
    finally:
        scene.run(name, planted.unmake)
    after = scene.look(name)
    assert not named(after, planted)
    assert open_of(after) == set()


def test_an_equal_state_makes_an_equal_report_byte_by_byte_and_is_recorded_as_the_same(scene: Scene) -> None:
    name = scene.cluster.fresh(scene.template)
    first = scene.look(name)
    scene.company.now += timedelta(hours=1)
    second = scene.look(name)
    assert json.dumps(first.document) == json.dumps(second.document)
    leaves = {leaf.number: leaf.what for leaf in scene.company.home.own_leaves()}
    assert "same_as" in leaves[second.index]
    assert not drift(first.document, second.document)


def test_privileges_that_only_newer_servers_have_are_judged_too() -> None:
    grants = (Grant("ann", "MAINTAIN", False, "o"),)
    facts = (Fact("extended statistics", "app.people", "st"), Fact("statistics view", "pg_stats_ext", "whoever reads the columns"))
    catalogue = Catalogue(
        "d", "o", 170_000, "17", "o", True,
        roles=(Role("ann", login=True), Role("o", login=True)),
        relations=(Relation(Name("app", "people"), "r", "o", grants, columns=(Column("last_ip", "inet"),)),),
        facts=facts,
    )  # fmt: skip  # as one row
    found = reach(catalogue, {Name("app", "people"): MAP.systems["crm"]["app.people"]}, [(Name("app", "people"), "last_ip")])
    told = {(path.principal, path.via[-1].split(" ")[0], path.verdict) for path in found.fields[0].paths}
    assert told == {("ann", "MAINTAIN", "unknown"), ("o", "owner", "open"), ("o", "extended", "open")}


def test_a_way_that_two_people_declared_is_closed_until_the_declaration_ends(scene: Scene) -> None:
    name, company = scene.cluster.fresh(scene.template), scene.company
    scene.run(name, (f"grant pg_read_all_data to {HELP}",))
    try:
        way = ("member of pg_read_all_data",)
        before = scene.look(name).open_paths
        asked = company.ask_for("declare", "dora", **content("crm", HELP, way, "nightly export", "operations", 90))
        assert scene.look(name).open_paths == before
        with pytest.raises(Refused, match="unit"):
            company.answer(asked, "finn")
        company.answer(asked, "ben")
        found = scene.look(name)
        assert found.open_paths == before - 2  # two fields
        assert {way["verdict"] for _, way in ways(found.document) if way["principal"] == HELP} == {"declared"}
        company.now += timedelta(days=91)
        assert scene.look(name).open_paths == before
    finally:
        scene.run(name, (f"revoke pg_read_all_data from {HELP}",))


@pytest.mark.parametrize("change", [{"days": 91}, {"days": 0}, {"via": []}, {"reason": ""}, {"extra": 1}])
def test_what_is_no_declaration_is_refused(scene: Scene, change: dict[str, object]) -> None:
    given = content("crm", HELP, ("superuser",), "r", "o", 30) | change
    with pytest.raises(Refused):
        scene.company.ask_for("declare", "dora", **given)


Verify = Callable[..., tuple[int, str]]


@pytest.fixture
def verify(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """The command with a home of its own, which lies in `tmp_path`."""
    home = Company.built(tmp_path).home
    tables = {name: {"subject_key": entry.subject_key[0], "fields": dict(entry.fields)} for name, entry in TARGET.resources.items()}
    home.adopt("datamap.yaml", canonical({"crm": tables}))
    home.close()
    monkeypatch.setenv("CUSTODES_HOME", str(home.path))

    def run(name: str, *options: str) -> tuple[int, str]:
        monkeypatch.setenv("CUSTODES_GUARD_URL", scene.cluster.url(name))
        capsys.readouterr()
        code = custodes(["guard", "verify", "crm", "--staff", ANN, "--staff", BOB, *options])
        return code, capsys.readouterr().out

    return run


def test_the_command_ends_with_3_while_a_way_is_open_and_prints_the_same_twice(scene: Scene, verify: Verify) -> None:
    name = scene.cluster.fresh(scene.template)
    code, said = verify(name, "--format", "json")
    assert code == 3
    assert {way["principal"] for _, way in ways(json.loads(said))} == {"postgres"}
    assert verify(name, "--format", "json") == (3, said)
    assert "to every protected field" in verify(name)[1]


def test_the_command_ends_with_2_if_the_database_cannot_be_read(verify: Verify) -> None:
    assert verify("no_such_database") == (2, "")


def test_watching_says_what_has_changed(scene: Scene, verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    name = scene.cluster.fresh(scene.template)
    steps = [
        ("create view other.v as select last_ip from app.people", "grant select on other.v to public"),
        (),
        ("drop view other.v",),
    ]
    monkeypatch.setattr("time.sleep", lambda _: scene.run(name, steps.pop(0)))  # the world changes between looks
    code, said = verify(name, "--watch", "1", "--looks", "4")
    assert code == 3
    lines = [line for line in said.splitlines() if line.startswith(("+ ", "- ")) and ANN in line]
    way = f"open {ANN}: SELECT on other.v granted to PUBLIC → view other.v of postgres to app.people.last_ip"
    assert lines == [f"+ {way}", f"- {way}"]


def test_a_way_is_declared_on_the_command_line(
    scene: Scene, verify: Verify, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = scene.cluster.fresh(scene.template)
    number = next(str(way["id"]) for _, way in ways(json.loads(verify(name, "--format", "json")[1])))
    (tmp_path / "pass").write_text("opens everything\n")
    for person in ("dora", "ben"):
        key = Ed25519PrivateKey.from_private_bytes(seed_of(person))
        (tmp_path / person).write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opens everything"))
        )

    def signed(person: str, *words: str) -> str:
        capsys.readouterr()
        assert custodes([*words, "--passphrase-file", str(tmp_path / "pass"), "--yes", "--key", str(tmp_path / person)]) == 0
        return capsys.readouterr().out.strip()

    reason = ("--reason", "administration", "--owner", "operations")
    request = signed("dora", "guard", "declare", "request", "crm", "--way", number, *reason)
    assert verify(name)[0] == 3
    signed("ben", "guard", "declare", "approve", request)
    assert verify(name)[0] == 0
    assert custodes(["guard", "declare", "list", "crm"]) == 0
    assert "superuser" in capsys.readouterr().out
    assert custodes(["guard", "declare", "request", "crm", "--way", "0123456789", *reason, "--key", str(tmp_path / "dora")]) == 2


RAW = """create or replace view safe_app.people with (security_barrier = true) as
select t.id, t.last_ip, pg_catalog.network(t.last_ip)::cidr as last_ip_min from app.people as t"""
CHANGED = {
    "a view shows the column": (RAW, "safe_app.people is not as it was installed"),
    "a view without its barrier": (
        "alter view safe_app.people reset (security_barrier)",
        "safe_app.people is not as it was installed",
    ),
    "a view of another owner": ("alter view safe_app.people owner to postgres", "safe_app.people is not as it was installed"),
    "one more view": ("create view safe_app.more as select 1 as one", "safe_app.more was not installed"),
    "no view": ("drop view safe_app.people", "safe_app.people is gone"),
    "leases from elsewhere": (
        f"alter table {GUARD}.lease add column note text",
        f"{GUARD}.lease is not as it was installed",
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_what_the_guard_made_and_somebody_changed_is_an_open_way(scene: Scene, change: str) -> None:
    statement, said = CHANGED[change]
    name = scene.cluster.fresh(scene.template)
    home = scene.company.home
    with closing(connect(scene.cluster.url(name))) as database:
        record = {"what": INSTALLED, "system": "crm", OBJECTS: objects(database, TARGET)}
    home.record(7, record, scene.company.now)
    assert open_of(scene.look(name)) == set()
    scene.run(name, (statement,))
    found = scene.look(name)
    home.record(7, {"what": "guard uninstalled", "system": "crm"}, scene.company.now)  # the next test has a database of its own
    assert any(said in text for text in open_of(found)), open_of(found)
    assert found.open_paths


def test_a_login_of_two_people_is_an_open_way(scene: Scene) -> None:
    seams = Seams(scene.company.home.own_leaves, scene.company.home.record)
    with closing(connect(scene.cluster.url(scene.template))) as database:
        found = look(database, TARGET, seams, scene.company.now, shared=[ANN])
    assert any(ANN in text and "several people" in text for text in open_of(found))
