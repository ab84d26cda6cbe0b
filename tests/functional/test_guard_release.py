"""Releases on a real server: the command line from request to value, leases, revocation, and what the database itself holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from approval_stage import seed_of
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from gate_stage import ADDRESS, FIELD, SUBJECT, SYSTEM
from guarded_stage import Guarded
from pg_cluster import Cluster, running

from custodes.cli.grant import command as grant_command
from custodes.cli.reveal import command as reveal_command
from custodes.decisions.databases import open_leases
from custodes.decisions.people import identity
from custodes.errors import Outage, Refused


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running() as started:
        yield started


@pytest.fixture
def guarded(tmp_path: Path, cluster: Cluster) -> Iterator[Guarded]:
    made = Guarded(tmp_path, cluster)
    yield made
    made.gate.close()


def test_the_command_line_goes_from_request_to_value_and_the_record_comes_first(guarded: Guarded, tmp_path: Path) -> None:
    guarded.stage.home.close()
    home = str(tmp_path / "home")
    for name in ("dora", "ada"):
        key = Ed25519PrivateKey.from_private_bytes(seed_of(name))
        (tmp_path / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
        )
    (tmp_path / "word").write_text("word\n")
    (tmp_path / "id").write_text(f"{SUBJECT}\n")
    run = CliRunner()

    def signed(who: str) -> list[str]:
        return ["--home", home, "--key", str(tmp_path / f"{who}.key"), "--passphrase-file", str(tmp_path / "word"), "--yes"]

    asking = ["request", "--system", SYSTEM, "--field", FIELD, "--purpose", "support", "--code", "SUPPORT_CASE", "--reason", "T-1"]
    asked = run.invoke(grant_command, [*asking, "--subject-file", str(tmp_path / "id"), *signed("dora")], catch_exceptions=False)
    grant = asked.stdout.strip()
    reveal = [FIELD, "--home", home, "--grant", grant, "--subject-file", str(tmp_path / "id")]
    early = run.invoke(reveal_command, reveal)
    assert isinstance(early.exception, Refused)
    assert early.stdout == ""
    shown = run.invoke(grant_command, ["show", grant, "--home", home], catch_exceptions=False)
    assert '"act":"grant"' in shown.stdout
    assert SUBJECT not in shown.stdout
    run.invoke(grant_command, ["approve", grant, *signed("ada")], catch_exceptions=False)
    released = run.invoke(reveal_command, reveal, catch_exceptions=False)
    assert released.stdout == "203.0.113.0/24\n"
    assert "recorded as leaf" in released.stderr
    again = run.invoke(reveal_command, reveal)
    assert isinstance(again.exception, Refused), "the grant was for one release"
    listed = run.invoke(grant_command, ["list", "--home", home], catch_exceptions=False)
    assert "used up" in listed.stdout


def test_a_login_that_the_settings_do_not_name_is_refused(guarded: Guarded) -> None:
    settings = replace(guarded.stage.home.settings.guard, logins={})
    guarded.stage.home.settings = replace(guarded.stage.home.settings, guard=settings)
    with pytest.raises(Refused):
        identity(guarded.stage.home)


def test_a_lease_opens_one_field_of_one_subject_to_one_login_and_names_its_leaf(guarded: Guarded) -> None:
    asked = guarded.stage.granted(mode="lease")
    assert guarded.seen() is None
    released = guarded.stage.release(asked, mode="lease")
    assert guarded.seen() == ADDRESS
    assert guarded.seen("finn") is None
    with guarded.as_staff() as staff:
        assert staff.execute("select note, last_ip from safe_app.users where id = 4712").fetchall() == [(None, None)]
    with psycopg.connect(guarded.cluster.url(guarded.database)) as owner:
        assert owner.execute("select leaf from custodes_guard.lease").fetchall() == [(released.index,)]
    assert released.index in guarded.gate.leases(guarded.stage.now)


def test_revocation_ends_the_lease_and_the_transaction_that_still_sees_it(guarded: Guarded) -> None:
    asked = guarded.stage.granted(mode="lease")
    guarded.stage.release(asked, mode="lease")
    with guarded.as_staff() as staff:
        staff.execute("begin isolation level repeatable read")
        assert staff.execute("select last_ip from safe_app.users where id = 4711").fetchone() is not None
        guarded.stage.ask_for("revoke-grant", "ada", {"grant": asked.number})
        assert guarded.gate.end_leases(f"g-{asked.number}") == 1
        with pytest.raises(psycopg.OperationalError):
            staff.execute("select last_ip from safe_app.users where id = 4711")
    assert guarded.seen() is None


def test_what_the_reader_rolls_back_was_recorded_by_somebody_else(guarded: Guarded) -> None:
    asked = guarded.stage.granted(mode="lease")
    with guarded.as_staff() as staff:
        staff.execute("begin")
        released = guarded.stage.release(asked, mode="lease")
        staff.execute("select last_ip from safe_app.users where id = 4711").fetchone()
        staff.execute("rollback")
    assert guarded.stage.home.log().size > released.index
    assert guarded.gate.grants(guarded.stage.now)[0][1] == "used up"


def test_a_forged_lease_is_told_from_those_that_the_record_allows(guarded: Guarded) -> None:
    with psycopg.connect(guarded.cluster.url(guarded.database, "custodes_lease"), autocommit=True) as forger:
        forger.execute(
            'insert into custodes_guard.lease (lease, "grant", actor, subject, field, valid_to, leaf) '
            "values ('l-forged', 'g-1', 'dora', '4711', 'app.users.last_ip', clock_timestamp() + interval '5 min', 3)"
        )
    rows = open_leases(guarded.stage.home)[SYSTEM]
    assert [lease for lease, leaf, _ in rows if leaf not in guarded.gate.leases(guarded.stage.now)] == ["l-forged"]


def test_region_comes_from_the_data_and_what_contradicts_is_denied(guarded: Guarded) -> None:
    asked = guarded.stage.granted()
    with psycopg.connect(guarded.cluster.url(guarded.database), autocommit=True) as owner:
        owner.execute("update app.users set region = 'US' where id = 4711")
        denied = guarded.stage.release(asked)
        assert denied.decision.reason_class == "not_permitted"
        owner.execute("update app.users set region = 'EU' where id = 4711")
    assert guarded.stage.release(asked).decision.allowed


def test_no_answer_of_the_database_names_the_subject(guarded: Guarded) -> None:
    with psycopg.connect(guarded.cluster.url(guarded.database), autocommit=True) as owner:
        owner.execute("revoke all on app.users from custodes_reveal")
    asked = guarded.stage.granted()
    with pytest.raises(Outage) as wrong:
        guarded.stage.release(asked)
    assert SUBJECT not in str(wrong.value)
