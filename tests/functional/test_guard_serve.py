"""`custodes guard serve` over a real home and a real guarded database."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gate_stage import FIELD
from pg_cluster import Cluster, running
from serve_stage import Client, ServeStage, body, guarded, serving

EVALUATION, RELEASE = "/access/v1/evaluation", "/guard/v1/release"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[str]:
    with guarded(cluster) as name:
        yield name


@pytest.fixture
def stage(tmp_path: Path, cluster: Cluster, database: str) -> ServeStage:
    return ServeStage.over(tmp_path, cluster, database)


def test_what_is_granted_is_recorded_then_released_and_nothing_else_is(stage: ServeStage) -> None:
    granted = stage.granted(reveals=3).number
    before = stage.home.log().size
    with serving(stage.folder / "home") as (_, url):
        client, other = Client(url), Client(url, "finn")
        status, decided = client.post(EVALUATION, body(granted))
        assert (status, decided["decision"]) == (200, True)
        assert "values" not in decided
        status, released = client.post(RELEASE, body(granted))
        assert (status, released["values"]) == (200, [{FIELD: "203.0.113.0/24"}])
        for wrong in (
            body(granted, key="4712"),
            body(granted, purpose="leak_hunt"),
            body(granted + 1),
            body(granted, reason="T-2"),
        ):
            status, refused = client.post(RELEASE, wrong)
            assert (status, refused["decision"]) == (403, False)
            assert "values" not in refused
        assert other.post(RELEASE, body(granted))[0] == 403
        assert client.get("/health") == (200, "ready\n")
        assert 'answer="fine"} 1' in client.get("/metrics")[1]
    leaves = {leaf.number: leaf.what for leaf in stage.again().home.own_leaves() if leaf.number >= before}
    assert leaves[decided["context"]["ledger"]["index"]]["act"] == "evaluated"
    assert leaves[released["context"]["ledger"]["index"]]["act"] == "released"
    assert sum(what.get("act") == "denied" for what in leaves.values()) == 5


def test_twenty_at_once_on_a_quota_of_five_get_exactly_five(stage: ServeStage) -> None:
    granted = stage.granted(reveals=5).number
    answers: list[int] = []
    with serving(stage.folder / "home") as (_, url):
        threads = [threading.Thread(target=lambda: answers.append(Client(url).post(RELEASE, body(granted))[0])) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [200] * 5 + [403] * 15


def test_a_retry_is_the_same_release(stage: ServeStage) -> None:
    granted = stage.granted(reveals=1).number
    with serving(stage.folder / "home") as (_, url):
        client = Client(url)
        first = client.post(RELEASE, body(granted, idempotency="one"))[1]
        again = client.post(RELEASE, body(granted, idempotency="one"))[1]
        assert (first["again"], again["again"]) == (False, True)
        assert again["context"]["ledger"] == first["context"]["ledger"]
        assert client.post(RELEASE, body(granted))[0] == 403


def test_people_ask_and_approve_over_http_each_with_their_own_signature(stage: ServeStage) -> None:
    from approval_stage import seed_of

    from custodes.guard.approval import sign, statement_of

    def signed(name: str, drafted: dict) -> dict:  # type: ignore[type-arg]  # JSON
        statement = statement_of(drafted["statement"])
        assert statement is not None
        return {**drafted, "signature": sign(statement, seed_of(name)).hex(), "method": "ed25519"}

    content = stage.terms(sets=("one-person",)).content()
    with serving(stage.folder / "home") as (_, url):
        dora, ada = Client(url), Client(url, "ada")
        drafted = dora.post("/guard/v1/requests/draft", {"act": "grant", "content": content})[1]
        assert drafted["canonical"].startswith("{")
        assert ada.post("/guard/v1/requests", signed("ada", drafted))[0] == 403  # it is not hers
        status, asked = dora.post("/guard/v1/requests", signed("dora", drafted))
        assert (status, asked["state"]) == (201, "pending")
        place = f"/guard/v1/requests/{asked['grant'].removeprefix('g-')}"
        own = dora.post(f"{place}/draft", {"decision": "approve"})[1]
        assert dora.post(f"{place}/answers", signed("dora", own))[0] == 403  # nobody approves their own
        answer = ada.post(f"{place}/draft", {"decision": "approve"})[1]
        assert ada.post(f"{place}/answers", signed("finn", answer))[0] == 403  # another's key
        status, approved = ada.post(f"{place}/answers", signed("ada", answer))
        assert (status, approved["state"]) == (201, "approved")
        assert ada.post(f"{place}/answers", signed("ada", answer))[0] == 403  # a double click is one approval
        assert dora.post("/guard/v1/release", body(int(asked["grant"].removeprefix("g-"))))[0] == 200


def test_it_stops_when_it_is_told_to_and_finishes_what_it_began(stage: ServeStage) -> None:
    with serving(stage.folder / "home") as (child, url):
        assert Client(url).get("/health")[0] == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=30) == 0
    with serving(stage.folder / "home") as (child, url):
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) == 130


def test_shadow_is_loud_and_in_the_record(tmp_path: Path, cluster: Cluster, database: str) -> None:
    until = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
    stage = ServeStage.over(tmp_path, cluster, database)
    file = tmp_path / "home" / "custodes.toml"
    file.write_text(file.read_text().replace("[serve]", f'[serve]\nshadow_until = "{until}"'))
    with serving(stage.folder / "home") as (_, url):
        client = Client(url)
        answer = client.post(EVALUATION, body(1))[1]
        assert (answer["decision"], answer["context"]["would"]["decision"]) == (True, False)
        assert "SHADOW" in client.get("/health")[1]
        assert client.post(RELEASE, body(1))[0] == 403
    whats = [leaf.what.get("what") for leaf in stage.again().home.own_leaves()]
    assert "shadow" in whats


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "guard.example:1"])
def test_it_does_not_listen_elsewhere_without_tls(stage: ServeStage, listen: str) -> None:
    command = [sys.executable, "-m", "custodes", "guard", "serve", "--home", str(stage.folder / "home"), "--listen", listen]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "TLS" in done.stderr
