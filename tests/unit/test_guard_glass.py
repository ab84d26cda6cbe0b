"""Broken glass: its caps, its notices, its lock-out; and the sealed spool that alone goes on while the ledger takes no records."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authenticator import Authenticator
from click.testing import CliRunner
from gate_stage import ADDRESS, FIELD
from glass_stage import GlassStage

from custodes import decisions
from custodes.cli.ingest import command as ingest
from custodes.decisions.glass import settle_spool
from custodes.errors import LedgerRewritten, NotDurable, Outage, Refused
from custodes.guard.book import REVIEW
from custodes.guard.glass import FIRST
from custodes.home import Home
from custodes.ledger.leaf import Kind
from custodes.store.spool import SIZE, Spool


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glass")
    GlassStage.whole(folder).home.close()
    return folder


@pytest.fixture
def stage(built: Path, tmp_path: Path) -> Iterator[GlassStage]:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    made = GlassStage.opened(tmp_path)
    yield made
    made.home.close()


def leaves(stage: GlassStage, what: str) -> list[Any]:
    return [leaf.what for leaf in stage.home.own_leaves() if leaf.what.get("what") == what]


def spool_of(stage: GlassStage) -> Spool:
    return stage.home.vault().spool(stage.home.path / "glass.spool")


def notices(stage: GlassStage, prefix: str = "spool-") -> list[Path]:
    return sorted((stage.home.path / "told").glob(f"*/{prefix}*.json"))


def test_broken_glass_releases_at_once_after_three_were_told(stage: GlassStage) -> None:
    asked = stage.break_glass()
    released = stage.use(asked)
    assert released.values == ({FIELD: "203.0.113.0/24"},)
    assert leaves(stage, "notice")[0]["to"] == ["oncall", "outside", "privacy"]
    assert len(notices(stage, "")) == 3
    assert released.index < FIRST
    assert spool_of(stage).is_empty()


def test_while_the_ledger_is_down_broken_glass_alone_goes_on_and_is_taken_over_first(stage: GlassStage) -> None:
    ordinary = stage.granted("finn")
    before = len(stage.home.own_leaves())
    with stage.ledger_down():
        with pytest.raises(NotDurable):
            stage.release(ordinary, "finn")
        asked = stage.break_glass()
        released = stage.use(asked)
        assert released.values == ({FIELD: "203.0.113.0/24"},)
        assert (asked.number, released.index) == (FIRST + 1, FIRST + 2)
        with pytest.raises(Outage):
            stage.granted("finn")
    stage.home.note_use("watch")
    assert len(stage.home.own_leaves()) > before
    told = [leaf.what["what"] for leaf in stage.home.own_leaves()[before:]]
    assert told == ["notice", "request", "decision", "outcome", "spool", "use"]
    request, decision, outcome = (leaves(stage, what)[-1] for what in ("request", "decision", "outcome"))
    numbers = {leaf.number: leaf.what for leaf in stage.home.own_leaves()}
    assert numbers[decision["grant"]] == request
    assert numbers[outcome["decision"]] == decision
    access = stage.home.log().size
    assert access > decision["grant"]
    assert [grant.number for grant, _, taken in stage.gate.grants(stage.now) if taken.releases] == [decision["grant"]]


def test_each_record_of_the_spool_was_told_outside_before_its_release(stage: GlassStage) -> None:
    with stage.ledger_down():
        asked = stage.break_glass()
        stage.use(asked)
        digests = [frame.digest.hex() for frame in spool_of(stage).frames()]
    assert {json.loads(path.read_text())["spool"] for path in notices(stage)} == set(digests)
    assert len(notices(stage)) == 3 * len(digests)
    assert leaves(stage, "spool")[0]["digests"] == digests


def test_without_somebody_to_tell_nothing_is_released_from_the_spool(stage: GlassStage) -> None:
    with stage.ledger_down():
        asked = stage.break_glass()
        shutil.rmtree(stage.home.path / "told" / "oncall")
        (stage.home.path / "told" / "oncall").write_text("a file where the folder was")
        reads = stage.rows.reads
        with pytest.raises(Outage):
            stage.use(asked)
        assert stage.rows.reads == reads
        (stage.home.path / "told" / "oncall").unlink()


def test_what_is_taken_over_is_in_the_subject_s_statement_with_its_grant(stage: GlassStage) -> None:
    with stage.ledger_down():
        stage.use(stage.break_glass())
    stage.home.intake().take_in()
    assert stage.home.accesses().manifest().sources["guard"].tally.accesses == 1
    grant = leaves(stage, "decision")[-1]["grant"]
    with closing(stage.home.engine()) as engine:
        stage.home.accesses().register(engine)
        found = engine.rows("select a.reason, a.break_glass from stored_accesses as a")
    assert found == [(stage.home.pseudonyms.once("ref", f"g-{grant}"), True)]


def test_a_grant_of_the_spool_ends_when_it_was_to_end_and_not_when_it_was_taken_over(stage: GlassStage) -> None:
    with stage.ledger_down():
        asked = stage.break_glass()
    stage.now += timedelta(hours=3)
    number = stage.gate.grants(stage.now)[-1][0].number
    assert number < FIRST
    asked.number = number
    released = stage.use(asked)
    assert not released.decision.allowed
    assert released.decision.reasons[-1] == "expired"
    # …and its 72 hours run from when it was broken.
    assert decisions.asking(stage.home).book().unreviewed(stage.actor("dora"), stage.now - timedelta(hours=3))


@pytest.mark.parametrize("harm", ["flip", "swap", "cut", "empty", "other", "longer"])
def test_a_tampered_spool_is_refused_loudly_and_nothing_else_runs(stage: GlassStage, harm: str) -> None:
    file = stage.home.path / "glass.spool"
    spool = spool_of(stage)
    fresh = file.read_bytes()
    with stage.ledger_down():
        stage.use(stage.break_glass())
        whole = file.read_bytes()
        ends = _ends(whole)
        first, second = whole[36 : ends[0]], whole[ends[0] : ends[1]]
        changed = {
            "flip": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
            "swap": (whole[:36] + second + first + whole[ends[1] :])[:SIZE],
            "cut": whole[: ends[1]].ljust(SIZE, b"\0"),
            "empty": fresh,
            "other": whole[:4] + bytes(32) + whole[36:],
            "longer": whole + b"\0",
        }
        file.write_bytes(changed[harm])
        with pytest.raises(LedgerRewritten) as wrong:
            stage.again()
        assert wrong.value.exit_code == 3
        size = stage.home.log().size
        with pytest.raises(LedgerRewritten):
            settle_spool(stage.home, whole=True)
        assert stage.home.log().size == size
        assert file.read_bytes() == changed[harm]
        file.write_bytes(whole)
    assert spool.is_empty()


def _ends(data: bytes) -> list[int]:
    found, at = [], 36
    while length := int.from_bytes(data[at : at + 4], "big"):
        at += 4 + 12 + length
        found.append(at)
    return found


def test_a_spool_that_was_taken_over_and_put_back_is_taken_over_once(stage: GlassStage) -> None:
    file = stage.home.path / "glass.spool"
    with stage.ledger_down():
        stage.use(stage.break_glass())
        whole = file.read_bytes()
    size = stage.home.log().size
    file.write_bytes(whole)  # as a crash between the leaves and the clearing leaves it, or a restored backup
    stage.again()
    assert stage.home.log().size == size
    assert len(leaves(stage, "spool")) == 1
    assert spool_of(stage).is_empty()


def test_the_spool_has_a_hard_cap_also_on_a_full_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", os.urandom(32), size=2048)
    spool.prepare()
    for _ in range(15):
        spool.append(b"x" * 100)
    with pytest.raises(NotDurable, match="full"):
        spool.append(b"x" * 100)
    assert len(spool.frames()) == 15
    assert (tmp_path / "spool").stat().st_size == 2048


def test_a_crash_while_the_spool_is_written_leaves_what_was_there(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", os.urandom(32), size=2048)
    spool.prepare()
    spool.append(b"one")
    whole = (tmp_path / "spool").read_bytes()
    end = _ends(whole)[-1]
    (tmp_path / "spool").write_bytes(whole[: end + 4] + os.urandom(60) + whole[end + 64 :])
    assert [frame.content for frame in spool.frames()] == [b"one"]
    spool.append(b"two")
    assert [frame.content for frame in spool.frames()] == [b"one", b"two"]


def test_the_spool_is_sealed(stage: GlassStage) -> None:
    with stage.ledger_down():
        stage.use(stage.break_glass())
        data = (stage.home.path / "glass.spool").read_bytes()
        assert stage.actor("dora").encode() not in data
        assert stage.subject().encode() not in data
        assert ADDRESS.encode() not in data
        with pytest.raises(LedgerRewritten):
            Spool(stage.home.path / "glass.spool", os.urandom(32)).frames()


def test_no_lease_is_opened_from_the_spool(stage: GlassStage) -> None:
    with stage.ledger_down():
        asked = stage.break_glass(mode="lease")
        with pytest.raises(Outage):
            stage.use(asked, mode="lease")
    assert not stage.rows.leases


def test_a_quota_of_broken_glass_holds_in_the_spool_too(stage: GlassStage) -> None:
    with stage.ledger_down():
        asked = stage.break_glass(reveals=2)
        assert [stage.use(asked).decision.allowed for _ in range(2)] == [True, True]
        with pytest.raises(Outage):
            stage.use(asked)
        assert stage.rows.reads == 2


def test_a_passkey_that_does_not_count_breaks_no_glass_while_the_ledger_is_down(stage: GlassStage) -> None:
    with stage.ledger_down():
        with pytest.raises((Refused, Outage)):
            stage.break_glass(device=Authenticator.of("mole"))
        with pytest.raises((Refused, Outage)):
            stage.break_glass(flags=0x01)
        assert not spool_of(stage).frames()


def test_glass_is_broken_within_its_caps(stage: GlassStage) -> None:
    with pytest.raises(Refused, match="30 minutes and 20 subjects"):
        stage.break_glass(lasts_s=1801)
    many = tuple(f"s-{'a' * 15}{letter}" for letter in "abcdefghijklmnopqrstu")
    with pytest.raises(Refused, match="30 minutes and 20 subjects"):
        stage.break_glass(subjects=many, distinct_subjects=21)
    with pytest.raises(Refused, match="break-glass"):
        stage.break_glass(reason_code="SUPPORT_CASE")
    with pytest.raises(Refused, match="form"):
        stage.break_glass(sets=("one-person",))


def test_no_messages_of_a_protected_person_under_broken_glass(stage: GlassStage) -> None:
    stage.home.registry().enrol(stage.subject(), "journalist")
    asked = stage.break_glass(fields=("app.users.note",), purpose="trust_safety")
    released = stage.use(asked, fields=("app.users.note",), purpose="trust_safety")
    assert not released.decision.allowed
    assert "messages under break-glass" in released.decision.reasons


def test_an_active_incident_must_have_the_person_on_its_roster(stage: GlassStage) -> None:
    asked = stage.break_glass(reason_code="ACTIVE_INCIDENT", reason="I-1")
    who = stage.identity("dora", user_verified=True)
    assert not stage.release(asked, identity=who, reason_code="ACTIVE_INCIDENT", reason="I-1").decision.allowed


def test_who_is_not_there_uses_no_broken_glass(stage: GlassStage) -> None:
    asked = stage.break_glass()
    released = stage.release(asked, identity=stage.identity("dora", user_verified=False), reason_code="LIFE_SAFETY")
    assert released.decision.reasons[-1] == "break-glass"


def test_notice_that_fails_breaks_no_glass(stage: GlassStage) -> None:
    (stage.home.path / "told").write_text("a file where the folder should be")
    with pytest.raises(Outage):
        stage.break_glass()
    assert not leaves(stage, "notice")


def test_without_review_in_72_hours_no_other_glass_is_broken(stage: GlassStage) -> None:
    asked = stage.break_glass()
    stage.now += timedelta(hours=72)
    with pytest.raises(Refused, match="locked-out"):
        stage.break_glass()
    with pytest.raises(Refused, match="does not review"):
        stage.ask_for(REVIEW, "dora", {"grant": asked.number, "found": "justified"})
    stage.ask_for(REVIEW, "cleo", {"grant": asked.number, "found": "justified"})
    assert stage.break_glass().in_force is not None


def test_reconciliation_comes_before_the_next_record(stage: GlassStage) -> None:
    with stage.ledger_down():
        stage.break_glass()
        with Home.open(stage.home.path) as other, pytest.raises(Outage):
            decisions.asking(other)._seams.record(Kind.DECISION, {"what": "anything"}, stage.now)
    assert leaves(stage, "spool")


def test_a_command_takes_the_spool_over_before_it_begins(stage: GlassStage, tmp_path: Path) -> None:
    (tmp_path / "looks.ndjson").write_text("")
    with stage.ledger_down(again=False):
        stage.break_glass()
    done = CliRunner().invoke(ingest, ["--home", str(stage.home.path), "--source", "access", str(tmp_path / "looks.ndjson")])
    assert done.exit_code == 0, done.output
    with Home.open(stage.home.path) as home:
        assert [leaf.what["what"] for leaf in home.own_leaves()][-3:] == ["notice", "request", "spool"]
