"""What is the whole cluster's: roles of two guarded databases, and installers that are no superusers, with passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pg_cluster import Cluster, running

from custodes.catalogue import Database
from custodes.engines.postgres import connect
from custodes.errors import EngineUnavailable, Refused
from custodes.guard.installation import Target, install, uninstall
from custodes.guard.plan import ROLES, STAFF
from custodes.model.datamap import DataMap

IP = "203.0.113.77"
MAP = DataMap.of({"crm": {"app.people": {"subject_key": "id", "fields": {"id": "public", "last_ip": "ip_address"}}}})
TABLE = (
    "create schema app",
    "create table app.people (id int primary key, last_ip inet)",
    f"insert into app.people values (42, '{IP}')",
    "grant usage on schema app to cl_ann",
    "grant select on app.people to cl_ann",
)
TARGET = Target("crm", MAP, ("cl_ann",), {})
SEE = "select last_ip, last_ip_min from safe_app.people where id = 42"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        with psycopg.connect(started.url(), autocommit=True) as admin:
            admin.execute("create role cl_ann login password 'ann secret'")
            admin.execute("create role cl_dba login createrole password 'dba secret'")
        yield started


def made(cluster: Cluster, owner: str | None = None) -> str:
    name = cluster.fresh()
    if owner:
        with psycopg.connect(cluster.url(), autocommit=True) as admin:
            admin.execute(f"alter database {name} owner to {owner}".encode())
    with psycopg.connect(cluster.url(name, owner), autocommit=True) as session:
        for statement in TABLE:
            session.execute(statement.encode())
    return name


def put_in_force(database: Database) -> None:
    install(database, TARGET, TARGET.plan(database).text())


def as_ann(cluster: Cluster, name: str, statement: str = SEE) -> list[tuple[object, ...]]:
    with psycopg.connect(cluster.url(name, "cl_ann") + " password='ann secret'", autocommit=True) as session:
        return session.execute(statement.encode()).fetchall()


@pytest.mark.parametrize("first_out", [0, 1])
def test_taking_back_one_guarded_database_leaves_the_other_working(cluster: Cluster, first_out: int) -> None:
    names = [made(cluster), made(cluster)]
    databases = [connect(cluster.url(name)) for name in names]
    for database in databases:
        put_in_force(database)
    uninstall(databases[first_out], TARGET)
    left = names[1 - first_out]
    assert [str(value) for value in as_ann(cluster, left)[0]] == ["None", "203.0.113.0/24"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_ann(cluster, left, "select last_ip from app.people")
    assert str(as_ann(cluster, names[first_out], "select last_ip from app.people")[0][0]) == IP
    uninstall(databases[1 - first_out], TARGET)
    assert not {role.name for role in databases[0].catalogue().roles} & set(ROLES)
    for database in databases:
        database.close()


def test_who_is_staff_of_one_database_only_is_not_staff_after_it_is_taken_back(cluster: Cluster) -> None:
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("create role cl_bob login")
    one, two = (connect(cluster.url(made(cluster))) for _ in range(2))
    put_in_force(one)
    wider = Target("crm", MAP, ("cl_ann", "cl_bob"), {})
    install(two, wider, wider.plan(two).text())
    uninstall(two, wider)
    members = {role.name for role in one.catalogue().roles if any(held.role == STAFF for held in role.member_of)}
    assert members == {"cl_ann"}
    uninstall(one, TARGET)
    one.close()
    two.close()


def test_who_owns_a_database_and_may_make_roles_guards_it_without_being_superuser(cluster: Cluster) -> None:
    name = made(cluster, "cl_dba")
    database = connect(cluster.url(name, "cl_dba"))
    before = database.catalogue()
    install(database, TARGET, TARGET.plan(database).text(), staff=lambda login: connect(cluster.url(name, login)))
    assert [str(value) for value in as_ann(cluster, name)[0]] == ["None", "203.0.113.0/24"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_ann(cluster, name, "select last_ip from app.people")
    uninstall(database, TARGET)
    assert database.catalogue() == before
    database.close()


def test_a_trial_that_fails_after_the_commit_is_undone(cluster: Cluster) -> None:
    name = made(cluster, "cl_dba")
    database = connect(cluster.url(name, "cl_dba"))
    before = database.catalogue()

    def nobody(login: str) -> Database:
        raise EngineUnavailable(f"{login} cannot log in")

    with pytest.raises(EngineUnavailable, match="cannot log in"):
        install(database, TARGET, TARGET.plan(database).text(), staff=nobody)
    assert database.catalogue() == before
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("grant pg_read_all_data to cl_ann")
    leaky = database.catalogue()
    with pytest.raises(Refused, match="trial"):
        install(database, TARGET, TARGET.plan(database).text(), staff=lambda login: connect(cluster.url(name, login)))
    assert database.catalogue() == leaky
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("revoke pg_read_all_data from cl_ann")
    database.close()


def test_the_trial_logs_in_with_the_password_of_the_staff_login(cluster: Cluster) -> None:
    name = made(cluster, "cl_dba")
    rules = Path(cluster.folder) / "data" / "pg_hba.conf"
    rules.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("select pg_reload_conf()")
    database = connect(cluster.url(name, "cl_dba") + " password='dba secret'")
    before = database.catalogue()
    with pytest.raises(EngineUnavailable):
        install(database, TARGET, TARGET.plan(database).text(), staff=lambda login: connect(cluster.url(name, login)))
    assert database.catalogue() == before
    install(
        database,
        TARGET,
        TARGET.plan(database).text(),
        staff=lambda login: connect(cluster.url(name, login) + " password='ann secret'"),
    )
    assert as_ann(cluster, name)[0][0] is None
    uninstall(database, TARGET)
    assert database.catalogue() == before
    database.close()
    rules.write_text("host all all 127.0.0.1/32 trust\n")
    with psycopg.connect(cluster.url(), autocommit=True) as admin:
        admin.execute("select pg_reload_conf()")
