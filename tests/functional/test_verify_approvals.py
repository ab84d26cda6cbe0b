"""An outsider checks approvals offline: a bundle of a release brings its grant, all signatures and the keys, and no edit passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from authenticator import Authenticator
from click.testing import CliRunner
from glass_stage import GlassStage
from hypothesis import given
from hypothesis import strategies as st
from passkey_opinion import CHALLENGE, DEVICES, WRONG, second_opinion

from custodes.cli.ledger.prove import command as prove
from custodes.cli.verify import command as verify
from custodes.guard import passkey as guards
from custodes.guard.approval import request_of, statement_of
from custodes.home import Home
from custodes.ledger.evidence import policy_of
from custodes.ledger.leaf import Kind, Leaf, decode
from custodes.verify import passkeys
from custodes.verify.approvals import Record, check_approvals
from custodes.verify.verdict import Verdict, VerifyReport

Records = dict[int, Record]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which one thing was released after an approval, and one under broken glass."""
    folder = tmp_path_factory.mktemp("approved")
    GlassStage.whole(folder).home.close()
    stage = GlassStage.opened(folder)
    stage.release(stage.granted())
    stage.use(stage.break_glass())
    stage.home.checkpoint()
    stage.home.close()
    return folder


@pytest.fixture(scope="module")
def shown(built: Path) -> Records:
    """All own entries of the home, as a bundle that opens them shows them."""
    with Home.open(built / "home") as home:
        return {
            leaf.number: Record(leaf.number, decode(home.log().read(leaf.number, leaf.number + 1)[0]), leaf.what)
            for leaf in home.own_leaves()
        }


@pytest.fixture
def stage(built: Path, tmp_path: Path) -> Iterator[GlassStage]:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    made = GlassStage.opened(tmp_path)
    yield made
    made.home.close()


def found(records: Records) -> VerifyReport:
    report = VerifyReport()
    check_approvals(records, "", report)
    return report


def number(records: Records, what: str, place: int = 0) -> int:
    return [at for at, record in records.items() if record.what.get("what") == what][place]


def bundle(stage: GlassStage, leaf: int) -> tuple[int, dict[str, Any]]:
    """Make the bundle of one entry and check it as its reader does."""
    output, policy = stage.folder / "one.custodes-bundle", stage.folder / "my.policy"
    stage.home.close()
    made = CliRunner().invoke(prove, ["--home", str(stage.home.path), "--leaf", str(leaf), "-o", str(output)])
    assert made.exit_code == 0, made.output
    folder = stage.home.path / "ledger"
    policy.write_bytes(policy_of(folder / "log", folder / "index"))
    done = CliRunner().invoke(verify, [str(output), "--policy", str(policy), "--format", "json"])
    return done.exit_code, json.loads(done.output)


def test_a_release_is_proven_with_its_approval_and_the_keys_behind_it(stage: GlassStage, shown: Records) -> None:
    code, document = bundle(stage, number(shown, "decision"))
    said = [claim["what"] for claim in document["claims"]]
    assert code == 0
    assert any("released under request" in text and "approved as it asks" in text for text in said)
    assert any("approved request" in text and "Ed25519 key" in text for text in said)
    assert any("first keys of 10 people" in text for text in said)
    assert any("signatures over canonical statements" in step for step in document["steps"])


def test_broken_glass_is_proven_with_the_passkey_and_who_enrolled_it(stage: GlassStage, shown: Records) -> None:
    code, document = bundle(stage, number(shown, "decision", 1))
    said = [claim["what"] for claim in document["claims"]]
    assert code == 0
    assert any("its holder verified" in text for text in said)
    assert any("(enrol)" in text for text in said)
    assert any("with it all that the request needs is signed" in text for text in said)


def test_a_verdict_needs_no_part_of_the_company(shown: Records) -> None:
    report = found(shown)
    assert {claim.verdict for claim in report.claims} == {Verdict.INCLUDED}
    assert sum("released under" in claim.what for claim in report.claims) == 2


# — every edit —


def edited(records: Records, at: int, change: Callable[[dict[str, Any]], None]) -> Records:
    what = json.loads(json.dumps(records[at].what))
    change(what)
    return {**records, at: records[at]._replace(what=what)}


def _statement(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda what: what["statement"].__setitem__(name, value)


EDITS: dict[str, tuple[str, int, Callable[[dict[str, Any]], None]]] = {
    "another signature": ("answer", 1, lambda what: what.__setitem__("signature", "00" * 64)),
    "a signature that is none": ("answer", 1, lambda what: what.__setitem__("signature", "xyz")),
    "another method": ("request", 2, lambda what: what.__setitem__("method", "ed25519")),
    "approve for deny": ("answer", 1, _statement("decision", "deny")),
    "another set": ("answer", 1, _statement("slot", "outside")),
    "another approver": ("answer", 1, _statement("approver", "a-2222222222222222")),
    "another nonce": ("answer", 1, _statement("nonce", "0" * 32)),
    "a longer life": ("answer", 1, _statement("expires", "2099-01-01T00:00:00Z")),
    "an edited request": ("request", 1, lambda what: what["request"]["content"]["limits"].__setitem__("reveals", 99)),
    "shown less": ("request", 1, lambda what: what["statement"]["shown"].__setitem__("purpose", "trust_safety")),
    "another act": ("request", 1, lambda what: what["request"].__setitem__("act", "hold")),
    "no statement": ("answer", 1, lambda what: what.pop("statement")),
    "no time": ("answer", 1, lambda what: what.__setitem__("at", "yesterday")),
    "a form of its own": ("request", 1, lambda what: what.__setitem__("request", [1, 2])),
    "a list for a nonce": ("answer", 1, _statement("nonce", [])),
    "a float": ("answer", 1, _statement("policy_hash", 0.5)),
    "an exchanged key": (
        "request",
        0,
        lambda what: what["request"]["content"].__setitem__("key", DEVICES["es256"].passkey().to_text()),
    ),
    "a release after the grant had ended": ("decision", 0, lambda what: what.__setitem__("at", "2099-01-01T00:00:00Z")),
    "a release to somebody else": ("decision", 0, lambda what: what.__setitem__("who", "a-2222222222222222")),
    "a release for another purpose": ("decision", 0, lambda what: what.__setitem__("purpose", "trust_safety")),
    "first keys elsewhere": ("notice", 0, lambda what: what.update({"what": "request"})),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_was_edited_is_broken_or_unproven_and_never_fine(shown: Records, edit: str) -> None:
    what, place, change = EDITS[edit]
    at = number(shown, what, place)
    report = found(edited(shown, at, change))
    assert report.exit_code in {2, 3}
    assert [claim for claim in report.claims if claim.what.startswith(f"entry {at}") and claim.verdict is not Verdict.INCLUDED]


def test_an_approval_used_twice_or_by_who_asks_does_not_count(shown: Records) -> None:
    at = number(shown, "answer", 1)
    twice = {**shown, 10**6: shown[at]._replace(at=10**6)}
    assert found(twice).exit_code == 3


def test_first_keys_anywhere_but_in_the_second_own_entry_are_nobody_s(shown: Records) -> None:
    at = number(shown, "approvers")
    leaf: Leaf = shown[at].leaf
    assert found({**shown, at: shown[at]._replace(leaf=leaf._replace(seq=7))}).exit_code == 3


@pytest.mark.parametrize("what", ["approvers", "request", "answer"])
def test_what_is_left_out_leaves_the_rest_unproven(shown: Records, what: str) -> None:
    at = number(shown, what, 1 if what == "answer" else 0)
    assert found({key: record for key, record in shown.items() if key != at}).exit_code in {2, 3}


def test_a_release_without_an_approval_is_broken(shown: Records) -> None:
    at = number(shown, "decision")
    grant = shown[at].what["grant"]
    report = found({key: record for key, record in shown.items() if record.what.get("request") != grant})
    assert report.exit_code == 3
    assert any("was not approved" in claim.reason for claim in report.claims)


def test_a_key_counts_a_day_after_its_enrolment_and_not_before(shown: Records) -> None:
    """The passkey's enrolment is moved to the hour of its use: then nobody's passkey was in force."""
    use = max(at for at, record in shown.items() if record.what.get("method") == "webauthn")
    moved = {
        at: record._replace(leaf=record.leaf._replace(hour=shown[use].leaf.hour)) if at < use and _enrols(shown, record) else record
        for at, record in shown.items()
    }
    assert found(moved).exit_code == 2


def _enrols(shown: Records, record: Record) -> bool:
    request = record.what.get("request")
    asked = shown[request].what.get("request") if isinstance(request, int) else request
    return isinstance(asked, dict) and asked["act"] == "enrol"


def test_other_kinds_of_entries_are_nobody_s_signature(shown: Records) -> None:
    others = {
        at: record for at, record in shown.items() if record.leaf.kind != Kind.DECISION and record.what["what"] != "approvers"
    }
    assert not found(others).claims


# — passkeys: the outsider's reading, the guard's, and package `webauthn` are of one opinion —


@pytest.mark.parametrize("kind", DEVICES)
def test_three_readings_take_a_verified_holder_s_signature(kind: str) -> None:
    device = DEVICES[kind]
    answer, passkey = device.answer(CHALLENGE), passkeys.read_passkey(device.passkey().to_text())
    assert passkey is not None
    assert not passkeys.refuses(passkey, answer.to_bytes(), CHALLENGE)
    assert guards.check(answer, device.passkey(), CHALLENGE, 0) is None
    assert second_opinion(device, answer, 0)


@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("case", WRONG)
def test_three_readings_refuse_the_same(case: str, kind: str) -> None:
    device = DEVICES[kind]
    answer = device.answer(CHALLENGE, **WRONG[case][0])  # type: ignore[arg-type]  # a table of cases
    passkey = passkeys.read_passkey(device.passkey().to_text())
    assert passkey is not None
    assert passkeys.refuses(passkey, answer.to_bytes(), CHALLENGE)
    assert guards.check(answer, device.passkey(), CHALLENGE, 0) is not None
    assert not second_opinion(device, answer, 0)


def test_another_device_another_frame_and_another_credential_are_refused() -> None:
    device = DEVICES["es256"]
    passkey = passkeys.read_passkey(device.passkey().to_text())
    assert passkey is not None
    other = Authenticator.of("eve").answer(CHALLENGE)
    for answer in (other, other._replace(credential=device.credential), device.answer(CHALLENGE, crossOrigin=True)):
        assert passkeys.refuses(passkey, answer.to_bytes(), CHALLENGE)


@given(data=st.binary(max_size=300))
def test_a_stranger_s_bytes_never_raise(data: bytes) -> None:
    device = DEVICES["eddsa"]
    passkey = passkeys.read_passkey(device.passkey().to_text())
    assert passkey is not None
    assert passkeys.refuses(passkey, data, CHALLENGE)
    assert passkeys.counter_of(data) >= 0


@given(text=st.text(max_size=200))
def test_what_is_no_passkey_is_read_as_none(text: str) -> None:
    assert passkeys.read_passkey(text) is None
    assert passkeys.read_passkey(f"passkey:{text}") is None


def test_both_readings_know_the_same_keys() -> None:
    for device in DEVICES.values():
        for change in ({"algorithm": -257}, {"public": bytes(32)}, {"public": b"\x04" + b"\x01" * 64}):
            word = device.passkey()._replace(**change).to_text()
            assert passkeys.read_passkey(word) is None


@pytest.mark.parametrize(("ahead", "code"), [(1, 0), (0, 3), (-1, 3)])
def test_a_copied_device_is_seen_by_its_counter(shown: Records, ahead: int, code: int) -> None:
    """The same holder asks once more; a copy of the device does not know how often the first one signed."""
    at = max(at for at, record in shown.items() if record.what.get("method") == "webauthn")
    what = json.loads(json.dumps(shown[at].what))
    what["request"]["nonce"], what["statement"]["nonce"] = "1" * 32, "2" * 32
    request = request_of(what["request"])
    assert request is not None
    what["statement"]["request"] = request.digest()
    statement = statement_of(what["statement"])
    assert statement is not None
    device = replace(GlassStage.device, counter=passkeys.counter_of(bytes.fromhex(what["signature"])) + ahead)
    what["signature"] = device.answer(statement.challenge()).to_bytes().hex()
    assert found({**shown, 10**6: Record(10**6, shown[at].leaf, what)}).exit_code == code
