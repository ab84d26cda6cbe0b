"""Our own attacks on the generated objects, on a real server: they bite where nothing is guarded, and get nothing where it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from own_attacks import ATTACKS, BASE, IP, MAP, NOT_IP, PLAIN, Attack
from pg_cluster import SERVERS, Cluster, running, server_id

from custodes.engines.postgres import connect
from custodes.guard.plan import make_plan
from custodes.model.datamap import DataMap

ANN, BOB = "own_ann", "own_bob"
LOGINS = {"ann": ANN, "bob": BOB, "lease": "custodes_lease", "owner": None}
NUMBERS = re.compile(r"0x[0-9a-f]+|oid \d+")


class Scene:
    """A cluster with two databases to copy: one where everybody reads, and the same one guarded."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.plain = self._made()
        self.guarded = cluster.fresh(self.plain)
        database = connect(cluster.url(self.guarded))
        plan = make_plan(database.catalogue(), DataMap.of(MAP), "app-db", staff=[ANN, BOB])
        database.apply(plan.statements)
        database.close()

    def _made(self) -> str:
        name = self.cluster.fresh()
        with psycopg.connect(self.cluster.url(name), autocommit=True) as owner:
            for login in (ANN, BOB):
                owner.execute(f"create role {login} login".encode())
            for statement in (*BASE, *PLAIN):
                owner.execute(statement.replace("{ann}", ANN).replace("{bob}", BOB).encode())
        return name

    def run(self, attack: Attack, table: str, guess: str = "") -> str:
        """Return everything that ann and bob were told."""
        template = self.plain if table == "plain" else self.guarded
        changed = any(who in ("owner", "lease") for who, _ in attack.steps)  # staff may change nothing: they need no copy
        name = self.cluster.fresh(template) if changed else template
        words = {
            "t": "safe_app.people" if table == "view" else "app.people",
            "ann": ANN,
            "bob": BOB,
            "guess": guess,
            "port": str(self.cluster.port),
            "dbname": name,
        }
        told: list[str] = []
        with ExitStack() as stack:
            sessions: dict[str, psycopg.Connection[Any]] = {}
            for who, statement in attack.steps:
                if who not in sessions:
                    url = self.cluster.url(name, LOGINS[who])
                    sessions[who] = stack.enter_context(psycopg.connect(url, autocommit=True))
                    if who in ("ann", "bob"):
                        sessions[who].add_notice_handler(listener(told))
                text = re.sub(r"\{(\w+)\}", lambda found: words.get(found[1], found[0]), statement)
                said = tell(sessions[who], text, strict=who in ("owner", "lease") and table != "plain")
                told += said if who in ("ann", "bob") else []
        return "\n".join(told).replace(guess or "\0", "GUESS").replace(name, "DB")


def listener(told: list[str]) -> Callable[[psycopg.errors.Diagnostic], None]:
    return lambda note: told.append(str(note.message_primary))


def tell(session: psycopg.Connection[Any], statement: str, *, strict: bool) -> list[str]:
    try:
        with session.cursor() as cursor:
            if statement.startswith("copy") and statement.endswith("to stdout"):
                with cursor.copy(statement.encode()) as data:
                    return [bytes(part).decode() for part in data]
            cursor.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
    except psycopg.Error as wrong:
        if strict:
            raise
        return [str(wrong), str(wrong.diag.message_detail or ""), str(wrong.diag.context or "")]
    return ["|".join("" if value is None else str(value) for value in row) for row in rows]


@pytest.fixture(scope="module", params=SERVERS, ids=server_id)
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with running(request.param) as cluster:
        yield Scene(cluster)


def leaks(scene: Scene, attack: Attack, table: str) -> tuple[bool, str]:
    if attack.oracle:
        right, wrong = (scene.run(attack, table, guess) for guess in (IP, NOT_IP))
        return right != wrong, right
    told = scene.run(attack, table)
    return re.search(attack.leak, told) is not None, told


def test_there_are_at_least_seventy_and_each_has_its_name() -> None:
    assert len({attack.id for attack in ATTACKS}) == len(ATTACKS) >= 70


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if not attack.leased], ids=lambda attack: attack.id)
def test_the_attack_bites_where_nothing_is_guarded(scene: Scene, attack: Attack) -> None:
    leaked, told = leaks(scene, attack, "plain")
    assert leaked is attack.bites, told


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_the_attack_gets_nothing_where_it_is(scene: Scene, attack: Attack) -> None:
    tables = ("view",) if attack.leased else ("base", "view")
    results = [leaks(scene, attack, table) for table in tables]
    assert [leaked for leaked, _ in results] == [False] * len(tables), results
    assert any(re.search(attack.must, told) for _, told in results), results


def test_the_value_does_come_out_under_a_lease(scene: Scene) -> None:
    lease = next(attack for attack in ATTACKS if attack.id == "a lease for another field")
    right = tuple((who, text.replace("app.people.name", "app.people.last_ip")) for who, text in lease.steps)
    assert f"seen|{IP}" in scene.run(lease._replace(steps=right), "view")
