"""Ways around the guard, tried on a real server as a staff login. The corpus first: it must bite where nothing is guarded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bypass_cases import Stage, leaks, stage
from pg_cluster import SERVERS, Cluster, running, server_id

from custodes.engines.postgres import connect
from custodes.guard.plan import make_plan
from custodes.model.datamap import DataMap

COUNT = 34
"""Cases of the corpus. They are told apart by number, because the corpus need not be there when tests are collected."""


@pytest.fixture(scope="module")
def corpus(shared_data: Path) -> dict[str, Any]:
    file = shared_data / "guard" / "bypass.json"
    if not file.is_file():
        pytest.skip("the attack cases are not here")
    loaded: dict[str, Any] = json.loads(file.read_text())
    return loaded


@pytest.fixture(scope="module", params=SERVERS, ids=server_id)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with running(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def base(cluster: Cluster, corpus: dict[str, Any]) -> str:
    """A database with the base set-up, from which each case gets a copy."""
    name = cluster.fresh()
    with psycopg.connect(cluster.url(name), autocommit=True) as owner:
        for statement in corpus["base_setup_sql"]:
            owner.execute(statement.encode())
    return name


def guard(made: Stage, corpus: dict[str, Any]) -> None:
    database = connect(made.cluster.url(made.database))
    staff = [made.names["attacker"], made.names["other"]]
    database.apply(make_plan(database.catalogue(), DataMap.of(corpus["datamap"]), "app-db", staff=staff).statements)
    database.close()


def test_every_case_of_the_corpus_is_run(corpus: dict[str, Any]) -> None:
    assert len(corpus["cases"]) == COUNT
    assert sum(case["leaks_with_plain_select"] for case in corpus["cases"]) == 30


@pytest.mark.parametrize("number", range(COUNT))
def test_the_attack_leaks_exactly_as_marked_where_nothing_is_guarded(
    cluster: Cluster, corpus: dict[str, Any], base: str, number: int
) -> None:
    case = corpus["cases"][number]
    made = stage(cluster, (), case, base)
    made.run(corpus["plain_role_sql"])
    output = made.run(case["attack_sql"], made.names["attacker"])
    assert leaks(case, output, corpus["canary"]["value"]) is case["leaks_with_plain_select"], case["id"]


@pytest.mark.parametrize("number", range(COUNT))
def test_the_attack_gets_nothing_from_a_guarded_database(cluster: Cluster, corpus: dict[str, Any], base: str, number: int) -> None:
    case = corpus["cases"][number]
    made = stage(cluster, (), case, base)
    guard(made, corpus)
    attacks = [case["attack_sql"], [statement.replace("app.users", "{safe}.users") for statement in case["attack_sql"]]]
    for attack in attacks:
        assert not leaks(case, made.run(attack, made.names["attacker"]), corpus["canary"]["value"]), case["id"]
