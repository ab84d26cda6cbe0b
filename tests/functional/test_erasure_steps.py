"""The steps of an erasure, each recorded before it happens; crashes between them; and records that nobody approved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from approval_stage import DAY, SUBJECT, Stage, public_of, seed_of, staff_row
from click.testing import CliRunner

from custodes import decisions
from custodes.cli.ledger.fsck import command as fsck_command
from custodes.disclose.erasure import FLOOR, Limits, decide
from custodes.errors import ConfigError, CouldNotCheck, HomeInUse, Refused
from custodes.guard.approval import DENY, sign, written
from custodes.guard.book import Asked
from custodes.ledger.leaf import Kind
from custodes.settings import ErasureSettings, settings_of
from custodes.store.erasure import Eraser
from custodes.store.slips import Slips


def _records(stage: Stage) -> list[bytes]:
    return [own.what for own in stage.home.vault().own_records()]


def _slips(stage: Stage) -> Slips:
    vault = stage.home.vault()
    return Slips(vault.path / "slips", vault.keys)


def _fsck(stage: Stage) -> tuple[int, str]:
    stage.home.checkpoint()
    done = CliRunner().invoke(fsck_command, ["--home", str(stage.home.path), "--deep"], standalone_mode=False)
    return int(done.return_value), done.output


def _break_off(stage: Stage, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry out, and let the process end where the keys would be destroyed."""

    def ended(eraser: Eraser, subject: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(Eraser, "destroy", ended)
        with pytest.raises(KeyboardInterrupt):
            stage.carry_out(asked)


def test_request_approvals_intent_destruction_done(stage: Stage) -> None:
    asked = stage.carry_out(stage.approved())
    assert asked.done
    kinds = [(leaf.kind, leaf.what["what"], leaf.what.get("step")) for leaf in stage.home.own_leaves()]
    steps = [entry for entry in kinds if entry[0] in {Kind.DECISION, Kind.ERASURE} and entry[1] != "erased beside"]
    assert steps == [
        (Kind.DECISION, "request", None),
        (Kind.DECISION, "answer", None),
        (Kind.DECISION, "answer", None),
        (Kind.ERASURE, "erasure", "intent"),
        (Kind.ERASURE, "erasure", "done"),
    ]
    assert set(asked.approvers) == {stage.actor("ben"), stage.actor("cleo")}
    assert not stage.home.eraser().preview(stage.subject).accesses
    assert stage.home.tag_key(stage.subject) is None
    code, said = _fsck(stage)
    assert code == 0, said


def test_no_record_names_the_subject_and_after_done_no_reference_leads_to_them(stage: Stage) -> None:
    denied = stage.ask()
    stage.answer(denied, "dora", DENY)
    superseded, asked = stage.ask(), stage.approved()
    slips = _slips(stage)
    assert slips.read(str(asked.request.content["ref"])) == stage.subject
    assert slips.read(str(denied.request.content["ref"])) is None
    stage.carry_out(asked)
    assert not list(slips.references())
    assert slips.read(str(superseded.request.content["ref"])) is None
    for record in _records(stage):
        assert SUBJECT.encode() not in record
        assert stage.subject.encode() not in record
    for file in stage.home.path.rglob("*"):
        if file.is_file():
            assert stage.subject.encode() not in file.read_bytes(), file.name
            assert SUBJECT.encode() not in file.read_bytes(), file.name


def test_others_stay_as_they_were(stage: Stage) -> None:
    other = stage.home.pseudonyms.once("subject", "customer-4712")
    before = stage.home.eraser().preview(other)
    stage.carry_out(stage.approved())
    after = stage.home.eraser().preview(other)
    assert (after.accesses, after.leaves) == (before.accesses, before.leaves)


def test_a_second_call_completes_what_a_crash_cut_short(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stage.approved()
    _break_off(stage, asked, monkeypatch)
    begun = decisions.asking(stage.home).book().requests[asked.number]
    assert begun.intent
    assert not begun.done
    with pytest.raises(Refused, match="too-late"):
        stage.answer(asked, "dora", DENY)
    stage.now += 40 * DAY  # the approvals have expired by now; what they carried was begun in time
    assert stage.carry_out(asked).done
    assert not stage.home.eraser().preview(stage.subject).accesses
    assert [leaf.what["step"] for leaf in stage.home.own_leaves() if leaf.what["what"] == "erasure"] == ["intent", "done"]
    assert _fsck(stage)[0] == 0


def test_a_crash_before_the_last_record_is_completed_by_that_record(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stage.approved()
    _break_off(stage, asked, monkeypatch)
    with stage.home.intake().quiet():
        stage.home.eraser().destroy(stage.subject)
    _slips(stage).tear(str(asked.request.content["ref"]))
    assert stage.carry_out(asked).done
    assert _fsck(stage)[0] == 0


def test_an_intent_without_done_is_reported_after_a_day(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the real clock: the stage's time lies ahead of it, so the clock of the report is set."""
    asked = stage.approved()
    _break_off(stage, asked, monkeypatch)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain datetime is enough
            return (stage.now + timedelta(hours=25)).astimezone(tz)

    with monkeypatch.context() as later:
        later.setattr("datetime.datetime", Clock)
        code, said = _fsck(stage)
    assert code == 0
    assert "was begun more than 24 h ago and not completed" in said


def test_other_looks_after_an_intent_are_not_erased_under_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stage.approved()
    _break_off(stage, asked, monkeypatch)
    stage.look("reader", [SUBJECT], 1)
    with pytest.raises(Refused, match="changed"):
        stage.carry_out(asked)
    assert stage.home.eraser().preview(stage.subject).accesses == 5


def test_a_hold_stops_also_an_erasure_that_was_begun(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = stage.approved()
    _break_off(stage, asked, monkeypatch)
    hold = stage.ask_for("hold", "dora", ref="*", reason="court")
    with pytest.raises(Refused, match="on-hold"):
        stage.carry_out(asked)
    assert stage.home.eraser().preview(stage.subject).accesses
    stage.answer(stage.ask_for("lift", "ben", hold=hold.number), "dora")
    assert stage.carry_out(asked).done


def test_nothing_is_taken_in_while_it_is_carried_out(stage: Stage) -> None:
    asked = stage.approved()
    with stage.home.intake().quiet(), pytest.raises(HomeInUse):
        stage.carry_out(asked)


# — records that nobody approved —


def test_an_erasure_leaf_without_approvals_is_found(stage: Stage) -> None:
    asked = stage.ask()
    ranges = asked.request.content["ranges"]
    what = {"what": "erasure", "step": "intent", "request": asked.number, "basis": "GDPR-17-1-a", "ranges": ranges, "approvers": []}
    stage.home.record(Kind.ERASURE, {**what, "at": written(stage.now)}, stage.now)
    code, said = _fsck(stage)
    assert code == 3
    assert "nobody approved" in said


@pytest.mark.parametrize("ranges", [[[0, 99]], [[0, 0]]])
def test_an_erasure_leaf_over_other_leaves_than_approved_is_found(stage: Stage, ranges: list[list[int]]) -> None:
    asked = stage.carry_out(stage.approved())
    what = {"what": "erasure", "step": "done", "request": asked.number, "basis": "GDPR-17-1-a", "ranges": ranges, "approvers": []}
    stage.home.record(Kind.ERASURE, {**what, "at": written(stage.now)}, stage.now)
    assert _fsck(stage)[0] == 3


def test_what_goes_beside_an_erasure_counts_only_during_one(stage: Stage) -> None:
    stage.home.record(Kind.ERASURE, {"what": "erased beside", "ranges": [[0, 99]]}, stage.now)
    assert decisions.asking(stage.home).book().unfounded


def test_an_intent_of_before_the_cooling_off_period_is_found(stage: Stage) -> None:
    asked = stage.approved()
    stage.now -= 2 * DAY
    content = asked.request.content
    what = {"what": "erasure", "step": "intent", "request": asked.number, "ranges": content["ranges"], "at": written(stage.now)}
    stage.home.record(Kind.ERASURE, what, stage.now)
    assert decisions.asking(stage.home).book().unfounded


def test_vault_records_deleted_by_hand_are_not_excused_by_an_unrelated_erasure(stage: Stage) -> None:
    stage.carry_out(stage.approved())
    vault = stage.home.vault()
    *_, last = vault.intake.frames()  # the looks at somebody else
    for file in (vault.path / "keys").glob(f"intake*{last.key.hex()}*"):
        file.unlink()
    assert _fsck(stage)[0] in {2, 3}
    for file in (vault.path / "intake").iterdir():
        file.unlink()
    code, said = _fsck(stage)
    assert code == 3, said
    assert "missing" in said


def test_an_approval_that_was_written_without_its_key_counts_for_nothing(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "cleo")
    statement = decisions.asking(stage.home).statement(asked.number, stage.actor("ben"), "approve", stage.now)
    for signature in (sign(statement, seed_of("mole")), bytes(64), b""):
        said = {"statement": statement.document(), "signature": signature.hex(), "method": "ed25519", "at": written(stage.now)}
        stage.home.record(Kind.DECISION, {"what": "answer", "request": asked.number, **said}, stage.now)
    stage.now += 15 * DAY
    with pytest.raises(Refused, match="alone"):
        stage.carry_out(asked)


def test_a_request_that_claims_to_be_old_is_as_old_as_its_leaf(stage: Stage) -> None:
    asking, erasing = decisions.asking(stage.home), decisions.erasing(stage.home)
    request, statement = erasing.draft(stage.subject, "GDPR-17-1-a", stage.actor("ada"), stage.now)
    statement = replace(statement, expires=stage.now + DAY)
    signature = sign(statement, seed_of("ada")).hex()
    said = {"request": request.document(), "statement": statement.document(), "signature": signature, "method": "ed25519"}
    number = stage.home.record(Kind.DECISION, {"what": "request", **said, "at": written(stage.now - 15 * DAY)}, stage.now)
    assert asking.book().requests[number].at > stage.now - timedelta(hours=1)


def test_first_keys_count_in_the_second_leaf_only(stage: Stage) -> None:
    stage.home.record(
        Kind.POLICY, {"what": "approvers", "keys": {stage.actor("mole"): public_of("mole")}, "at": written(stage.now)}
    )
    assert decisions.asking(stage.home).book().keys.of(stage.actor("mole"), stage.now + 2 * DAY) is None


def test_a_denial_that_was_taken_out_of_the_vault_stops_everything(stage: Stage) -> None:
    asked = stage.approved()
    stage.answer(asked, "dora", DENY)
    own = stage.home.vault().own
    own.cut_to(own.count() - 1)
    with pytest.raises(CouldNotCheck, match="missing"):
        stage.carry_out(asked)


# — keys and holds that are as they should be —


def test_a_key_enrolled_by_two_others_counts_after_a_day_and_replaces_the_older(stage: Stage) -> None:
    stage.load("staff", [staff_row("ivy")])
    asked = stage.ask_for("enrol", "ada", actor=stage.actor("ivy"), key=public_of("ivy"))
    stage.answer(asked, "cleo")
    stage.now += timedelta(hours=24)
    stage.answer(stage.ask(), "ivy")
    again = stage.ask_for("enrol", "ada", actor=stage.actor("ivy"), key=public_of("new key of ivy"))
    stage.answer(again, "ben")
    keys = decisions.asking(stage.home).book().keys
    assert keys.of(stage.actor("ivy"), stage.now + timedelta(hours=23)) == bytes.fromhex(public_of("ivy"))
    assert keys.of(stage.actor("ivy"), stage.now + timedelta(hours=25)) == bytes.fromhex(public_of("new key of ivy"))
    stage.now += timedelta(hours=25)
    with pytest.raises(Refused, match="signature"):
        stage.answer(stage.ask(), "ivy")


def test_a_key_of_somebody_else_is_revoked_by_two(stage: Stage) -> None:
    asked = stage.ask_for("revoke", "ada", actor=stage.actor("finn"), key=public_of("finn"))
    assert decisions.asking(stage.home).book().keys.of(stage.actor("finn"), stage.now)
    stage.answer(asked, "cleo")
    assert decisions.asking(stage.home).book().keys.of(stage.actor("finn"), stage.now) is None


def test_hold_wins(stage: Stage) -> None:
    erasing, asked = decisions.erasing(stage.home), stage.approved()
    request, statement = erasing.draft_hold(stage.subject, "court", stage.actor("dora"), stage.now)
    hold = erasing.hand_in(request, statement, sign(statement, seed_of("dora")), stage.now)
    with pytest.raises(Refused, match="on-hold"):
        stage.carry_out(asked)
    stage.answer(stage.ask_for("lift", "ben", hold=hold.number), "dora")
    assert _slips(stage).read(str(hold.request.content["ref"])) is None
    assert stage.carry_out(asked).done


def test_a_hold_on_somebody_else_stops_nothing(stage: Stage) -> None:
    erasing, asked = decisions.erasing(stage.home), stage.approved()
    other = stage.home.pseudonyms.once("subject", "customer-4712")
    request, statement = erasing.draft_hold(other, "court", stage.actor("dora"), stage.now)
    erasing.hand_in(request, statement, sign(statement, seed_of("dora")), stage.now)
    assert stage.carry_out(asked).done


def test_erasure_floor(stage: Stage) -> None:
    """The floor counts from the end of the hour in which the youngest access was recorded; the first moment after it is allowed."""
    number = stage.approved().number
    book, staff = decisions.asking(stage.home).book(), decisions.asking(stage.home).staff()
    asked = book.requests[number]
    present = decisions.erasing(stage.home)._present(book, asked, stage.subject, stage.now)
    recorded = max(decisions._recorded(stage.home, last) for _, last in present.affected.leaves)
    assert present.youngest == recorded + timedelta(hours=1)
    for edge, early in (
        (replace(present, youngest=stage.now - FLOOR), replace(present, youngest=stage.now - FLOOR + timedelta(seconds=1))),
        (
            replace(present, limits=Limits(cooling=stage.now - asked.at)),
            replace(present, limits=Limits(cooling=stage.now - asked.at + timedelta(seconds=1))),
        ),
    ):
        assert decide(asked, book.keys, staff, edge, stage.now) is None
        assert decide(asked, book.keys, staff, early, stage.now)


def test_the_defaults_of_settings_are_the_least_that_decisions_take() -> None:
    defaults = ErasureSettings()
    assert Limits() == Limits(timedelta(days=defaults.floor_days), timedelta(days=defaults.cooling_days))
    assert Limits(timedelta(days=1), timedelta(days=1)).stricter(Limits()) == Limits()
    for name in ("floor_days", "cooling_days"):
        with pytest.raises(ConfigError, match="or more"):
            settings_of({"ledger": {"origin": "log.example/1"}, "erasure": {name: getattr(defaults, name) - 1}})


def test_a_closed_case_stops_nothing(stage: Stage) -> None:
    stage.load("cases", [{"case": "C1", "opened": "2026-02-01T00:00:00Z", "closed": written(datetime.now(UTC))}])
    stage.load("case_scope", [{"case": "C1", "subject": SUBJECT}])
    assert stage.carry_out(stage.approved()).done


def test_a_slip_that_names_somebody_else_is_no_slip(stage: Stage) -> None:
    asked, slips = stage.approved(), _slips(stage)
    ref = str(asked.request.content["ref"])
    other = slips.write(stage.home.pseudonyms.once("subject", "customer-4712"))
    folder = stage.home.path / "vault" / "slips"
    (folder / f"{ref}.slip").write_bytes((folder / f"{other}.slip").read_bytes())
    with pytest.raises(CouldNotCheck):
        stage.carry_out(asked)
