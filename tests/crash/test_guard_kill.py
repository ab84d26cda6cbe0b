"""The service is killed at random moments under load: every value that a client received has its record, no quota is overdrawn."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from gate_stage import FIELD
from pg_cluster import Cluster, running
from serve_stage import Client, ServeStage, Spawner, body, guarded

from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import Kind, decode

CLIENTS = 6
RELEASE = "/guard/v1/release"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        yield started


class Load:
    """Clients that ask as fast as they can, each of one grant after the other; they keep what they were given."""

    def __init__(self, grants: list[int]) -> None:
        self.grants = grants
        self.received: list[tuple[int, dict]] = []  # type: ignore[type-arg]  # JSON
        self.refused = 0
        self.answered = threading.Event()
        self._turn = threading.Lock()

    def press(self, url: str, number: int) -> None:
        client, chance = Client(url, keep=True), random.Random(number)
        try:
            while True:
                grant = chance.choice(self.grants)
                more = {"idempotency": f"{number}-{chance.random()}"} if chance.random() < 0.3 else {}
                status, answer = client.post(RELEASE, body(grant, **more))
                assert status in {200, 403}, answer
                self.answered.set()
                with self._turn:
                    if status == 200:
                        self.received.append((grant, answer))
                    else:
                        self.refused += 1
        except (OSError, http.client.HTTPException, ValueError):
            return  # it was killed
        finally:
            client.close()


def loop(folder: Path, cluster: Cluster, kills: int) -> Load:
    """Kill the service again and again, then hold what clients have against the record."""
    with guarded(cluster) as database:
        stage = ServeStage.over(folder, cluster, database)
        quotas = {stage.granted(reveals=count).number: count for count in (5, 2 * kills, 10_000)}
        load, chance = Load(list(quotas)), random.Random(f"{kills} kills of the guard")
        stage.home.close()
        spawner = Spawner(folder / "home")
        try:
            for turn in range(kills):
                process, url = spawner.start()
                threads = [threading.Thread(target=load.press, args=(url, turn * CLIENTS + one)) for one in range(CLIENTS)]
                for thread in threads:
                    thread.start()
                load.answered.clear()
                if turn % 4:  # else it is killed at its start, mostly
                    assert load.answered.wait(timeout=60)
                time.sleep(chance.random() * 0.25)
                spawner.kill(process)
                for thread in threads:
                    thread.join()
        finally:
            spawner.close()
        check(stage.again(), load, quotas)
        return load


def check(stage: ServeStage, load: Load, quotas: dict[int, int]) -> None:
    """Hold the clients' values against the ledger, and the ledger against the quotas."""
    log = stage.home.log()
    leaves = {leaf.number: leaf.what for leaf in stage.home.own_leaves()}  # raises if the contents of one are missing
    for grant, answer in load.received:
        what = leaves[answer["context"]["ledger"]["index"]]
        assert (what["act"], what["id"], what["grant"]) == ("released", answer["context"]["id"], grant)
        assert answer["values"] == [{FIELD: "203.0.113.0/24"}]
        if not answer["again"]:
            assert decode(log.read(answer["access"], answer["access"] + 1)[0]).kind == Kind.ACCESS
    recorded = Counter(int(str(what["grant"])) for what in leaves.values() if what.get("act") == "released")
    given = Counter(grant for grant, answer in load.received if not answer["again"])
    for grant, quota in quotas.items():
        assert given[grant] <= recorded[grant] <= quota
    # What is not known to have ended is known to be unknown, and counts.
    unknown = {intent.number for intent in stage.fresh_gate().unknown(stage.now)}
    ended = {what["id"] for what in leaves.values() if what.get("what") == "outcome"}
    assert unknown == {what["id"] for what in leaves.values() if what.get("act") == "released"} - ended
    # The record itself is whole, and its accesses can be taken in.
    report = fsck(log.path)
    assert (report.exit_code, report.problems) == (0, [])
    stage.home.intake().settle()
    assert stage.home.accesses().manifest().sources["guard"].tally.accesses >= sum(recorded.values())


def test_killed_fifty_times_no_value_is_without_its_record(tmp_path: Path, cluster: Cluster) -> None:
    load = loop(tmp_path, cluster, 50)
    assert len(load.received) > 50


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_a_thousand_times(tmp_path: Path, cluster: Cluster) -> None:
    load = loop(tmp_path, cluster, 1000)
    assert len(load.received) > 1000
