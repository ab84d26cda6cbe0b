"""What a reader's own session can do to a lease and to the record: nothing, at any isolation level; and the server's log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from gate_stage import ADDRESS, SUBJECT
from guarded_stage import Guarded
from pg_cluster import SERVERS, Cluster, running, server_id

SEEN = "select last_ip from safe_app.users where id = 4711"


@pytest.fixture(scope="module", params=SERVERS, ids=server_id)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with running(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[Guarded]:
    """One for all: each test has a grant of its own, and ends its leases."""
    made = Guarded(tmp_path_factory.mktemp("sessions"), cluster)
    yield made
    made.gate.close()


@pytest.mark.parametrize("level", ["read uncommitted", "read committed", "repeatable read", "serializable"])
def test_a_revocation_reaches_every_isolation_level(guarded: Guarded, level: str) -> None:
    asked = guarded.stage.granted(mode="lease")
    guarded.stage.release(asked, mode="lease")
    with guarded.as_staff() as staff:
        staff.execute(f"begin isolation level {level}".encode())
        assert staff.execute(SEEN.encode()).fetchone() not in {None, (None,)}
        guarded.stage.ask_for("revoke-grant", "ada", {"grant": asked.number})
        guarded.gate.end_leases(f"g-{asked.number}")
        with pytest.raises(psycopg.OperationalError):
            staff.execute(SEEN.encode())
    assert guarded.seen() is None


@pytest.mark.parametrize("way", ["rollback", "rollback to s", "abort", "the connection is cut"])
def test_no_savepoint_and_no_rollback_gives_a_release_back(guarded: Guarded, way: str) -> None:
    asked = guarded.stage.granted(mode="lease")
    with guarded.as_staff() as staff:
        staff.execute("begin")
        staff.execute("savepoint s")
        released = guarded.stage.release(asked, mode="lease")
        staff.execute(SEEN.encode()).fetchone()
        if way == "the connection is cut":
            staff.close()
        else:
            staff.execute(way.encode())
    assert released.index in guarded.gate.leases(guarded.stage.now)
    assert {grant.number: state for grant, state, _ in guarded.gate.grants(guarded.stage.now)}[asked.number] == "used up"
    guarded.gate.end_leases(f"g-{asked.number}")
    assert not guarded.stage.release(asked, mode="lease").decision.allowed


def test_no_value_and_no_subject_is_in_the_server_s_log(guarded: Guarded) -> None:
    """With every statement logged, and with errors that would quote a row."""
    with psycopg.connect(guarded.cluster.url(guarded.database), autocommit=True) as owner:
        for setting in ("log_statement = 'all'", "log_min_duration_statement = 0", "log_error_verbosity = 'verbose'"):
            owner.execute(f"alter database {guarded.database} set {setting}".encode())
    guarded.gate._seams.close()  # its connections are older than the settings
    log = guarded.cluster.folder / "log"
    before = len(log.read_bytes())
    guarded.stage.release(guarded.stage.granted())
    leased = guarded.stage.granted(mode="lease")
    guarded.stage.release(leased, mode="lease")
    with guarded.as_staff() as staff:
        staff.execute(SEEN.encode()).fetchone()
    with guarded.as_staff("finn") as colleague:  # who has no lease; what somebody casts under one is theirs to see
        for wrong in (
            "select (last_ip::text || 'x')::int from safe_app.users",
            "select 1 / (last_ip is not null)::int from safe_app.users",
        ):
            with suppress(psycopg.Error):
                colleague.execute(wrong.encode()).fetchall()
    guarded.gate.end_leases(f"g-{leased.number}")
    written = log.read_bytes()[before:].decode()
    assert "custodes_guard.lease" in written  # it did log
    told = [line for line in written.splitlines() if SUBJECT in line and "safe_app.users where id" not in line]
    assert not told  # staff's own statement apart, which they typed
    assert ADDRESS not in written
