"""Statements, keys and distance: what is signed is what was shown, and who stands near is not outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custodes.errors import ConfigError, MissingSecret, PartMissing
from custodes.guard.approval import Request, Statement, check, is_signed, request_of, sign, statement_of
from custodes.guard.distance import Staff, StaffRow
from custodes.guard.enrolment import Key, Keys, first_record, public_key
from custodes.guard.keyfile import generate, unseal
from custodes.ledger.policy import LOW_ORDER
from custodes.model.canonical import canonical
from custodes.model.policy import Policy
from custodes.store.keys import Keys as FileKeys
from custodes.store.slips import Slips

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SEED = bytes(range(32))
PUBLIC = Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
REQUEST = Request("erase", "a-1", {"ref": "00" * 32, "accesses": 3, "ranges": [[1, 2]]}, "n0")


def _statement(**changes: object) -> Statement:
    made = Statement(
        act="erase",
        request=REQUEST.digest(),
        shown=REQUEST.content,
        decision="approve",
        approver="a-2",
        slot="two-people",
        policy_hash="sha256:00",
        checkpoint="1:00",
        nonce="n1",
        expires=NOW + timedelta(days=10),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # tests name fields


# — statements —


def test_the_challenge_is_over_the_schema_and_the_canonical_bytes() -> None:
    statement = _statement()
    assert statement.to_bytes() == canonical(statement.document())
    assert statement.challenge() == sha256(b"custodes.approval/1\n" + statement.to_bytes()).digest()
    assert REQUEST.digest() == "sha256:" + sha256(b"custodes.request/1\n" + canonical(REQUEST.document())).hexdigest()


@pytest.mark.parametrize(
    "changes",
    [
        {"act": "enrol"},
        {"request": "sha256:00"},
        {"shown": {"ref": "00" * 32}},
        {"decision": "deny"},
        {"approver": "a-3"},
        {"slot": "another"},
        {"policy_hash": "sha256:01"},
        {"checkpoint": "2:00"},
        {"nonce": "n2"},
        {"expires": NOW + timedelta(days=11)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_signature_is_over_every_field(changes: dict[str, object]) -> None:
    signature = sign(_statement(), SEED)
    assert is_signed(_statement(), signature, PUBLIC)
    assert not is_signed(_statement(**changes), signature, PUBLIC)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), b"\xff" * 32])
def test_what_is_no_key_has_signed_nothing(key: bytes) -> None:
    assert not is_signed(_statement(), sign(_statement(), SEED), key)


def test_what_is_recorded_reads_back_and_nothing_else_does() -> None:
    document = _statement().document()
    assert statement_of(document) == _statement()
    assert request_of(REQUEST.document()) == REQUEST
    for wrong in (
        None,
        {},
        {**document, "schema": "custodes.approval/2"},
        {**document, "more": "x"},
        {**document, "decision": "perhaps"},
        {**document, "nonce": 1},
        {**document, "shown": []},
        {**document, "expires": "2026-03-01T12:00:00+01:00"},
        {**document, "expires": "2026-3-1T12:00:00Z"},
        {name: value for name, value in document.items() if name != "slot"},
    ):
        assert statement_of(wrong) is None
    for wrong in (None, {}, {**REQUEST.document(), "more": 1}, {**REQUEST.document(), "nonce": None}):
        assert request_of(wrong) is None


def test_an_approval_dies_and_a_denial_does_not() -> None:
    assert check(_statement(), REQUEST, NOW) is None
    assert check(_statement(expires=NOW), REQUEST, NOW)
    assert check(_statement(expires=NOW, decision="deny"), REQUEST, NOW) is None
    assert check(_statement(expires=NOW + timedelta(days=30)), REQUEST, NOW) is None
    assert check(_statement(expires=NOW + timedelta(days=30, seconds=1)), REQUEST, NOW)


# — keys —


def test_the_key_that_began_last_is_the_only_one_and_a_revoked_one_uncovers_no_older() -> None:
    keys = Keys()
    keys.add(Key("a-1", b"old", NOW))
    keys.add(Key("a-1", b"new", NOW + 24 * HOUR, request=7))
    assert keys.of("a-1", NOW - HOUR) is None
    assert keys.of("a-1", NOW + 23 * HOUR) == b"old"
    assert keys.of("a-1", NOW + 24 * HOUR) == b"new"
    keys.revoke("a-1", b"new", NOW + 30 * HOUR)
    assert keys.of("a-1", NOW + 29 * HOUR) == b"new"
    assert keys.of("a-1", NOW + 30 * HOUR) is None


def test_a_key_that_ended_before_it_began_leaves_the_older_one() -> None:
    for end in ("denied", "revoked"):
        keys = Keys()
        keys.add(Key("a-1", b"old", NOW))
        keys.add(Key("a-1", b"new", NOW + 24 * HOUR, request=7))
        if end == "denied":
            keys.drop(7)
        else:
            keys.revoke("a-1", b"new", NOW + HOUR)
        assert keys.of("a-1", NOW + 48 * HOUR) == b"old"


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, *(key.hex() for key in sorted(LOW_ORDER))])
def test_a_key_under_which_anybody_can_sign_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        public_key(text)


def test_a_home_begins_with_three_people_each_with_a_key() -> None:
    keys = {"a-1": bytes([1] * 32), "a-2": bytes([2] * 32), "a-3": bytes([3] * 32)}
    assert first_record(keys)["what"] == "approvers"
    for wrong in ({"a-1": keys["a-1"], "a-2": keys["a-2"]}, {**keys, "a-3": keys["a-1"]}):
        with pytest.raises(ConfigError, match="at least 3"):
            first_record(wrong)


def test_a_key_file_opens_with_its_passphrase_only() -> None:
    sealed, public = generate(b"correct horse battery")
    assert b"ENCRYPTED" in sealed
    seed, again = unseal(sealed, b"correct horse battery")
    assert again == public == Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    for content, passphrase in ((sealed, b"another"), (sealed, b""), (b"no key", b"correct horse battery")):
        with pytest.raises(MissingSecret):
            unseal(content, passphrase)
    with pytest.raises(ConfigError, match="12"):
        generate(b"short")


# — distance —


def _row(actor: str, unit: str | None, manager: str | None = None, **changes: object) -> StaffRow:
    row = StaffRow(actor, f"p-{actor}", unit, manager, None, None, None, NOW - 24 * HOUR)
    return row._replace(**changes)


WATCHED = Policy(units_without_subject_duty=("audit",), outside_approver_units=("privacy/office",))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([_row("a", "legal/x"), _row("r", "support/x")], None),
        ([_row("a", "support/y"), _row("r", "support/x")], "same-unit"),
        ([_row("a", "Support /y"), _row("r", "support")], "same-unit"),
        ([_row("a", "legal", "m"), _row("m", "b"), _row("r", "support", "m")], None),
        ([_row("a", "legal"), _row("r", "support", "m"), _row("m", "ops", "a")], "same-unit"),
        ([_row("a", "legal", "m"), _row("m", "ops", "r"), _row("r", "support")], "same-unit"),
        ([_row("a", "legal"), _row("a", "support", ends=NOW - HOUR), _row("r", "support")], "same-unit"),
        ([_row("a", "legal"), _row("r", "support"), _row("r", "legal", ends=NOW - HOUR)], "same-unit"),
        ([_row("a", "legal"), _row("r", "support", person="p-a")], "same-unit"),
        ([_row("a", "legal"), _row("r", None)], "unplaced"),
        ([_row("a", "legal")], "unplaced"),
        ([_row("a", None), _row("r", "support")], "unplaced"),
        ([_row("a", "legal"), _row("r", "audit/internal")], "same-unit"),
        ([_row("a", "privacy/office/eu"), _row("r", "audit/internal")], None),
        ([_row("a", "x", "b"), _row("b", "y", "a"), _row("r", "support")], None),
    ],
)
def test_who_stands_near_is_not_outside(rows: list[StaffRow], why: str | None) -> None:
    found = Staff(rows, WATCHED).near("a", ["r"])
    assert (found and found.code) == why


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([_row("a", "legal")], None),
        ([], "unplaced"),
        ([_row("a", "legal", person=None)], "unplaced"),
        ([_row("a", "legal"), _row("a", "legal", person="p-b")], "unplaced"),
        ([_row("a", None)], "unplaced"),
        ([_row("a", "legal", recorded=NOW + HOUR)], "unplaced"),
        ([_row("a", "legal", recorded=NOW + timedelta(seconds=1))], "unplaced"),
        ([_row("a", "legal", recorded=NOW + timedelta(microseconds=999_999))], None),  # requests tell time in whole seconds
        ([_row("a", "legal", left=NOW)], "left"),
        ([_row("a", "legal", ends=NOW)], "left"),
        ([_row("a", "legal", begins=NOW + 2 * HOUR)], "left"),
        ([_row("a", "legal"), _row("a", "legal", left=NOW, recorded=NOW + HOUR)], "left"),
        ([_row("a", "legal", left=NOW), _row("a", "legal", recorded=NOW + HOUR)], None),
    ],
)
def test_an_approver_is_placed_before_the_request_and_works_here_now(rows: list[StaffRow], why: str | None) -> None:
    found = Staff(rows, Policy()).may_approve("a", NOW, NOW + HOUR)
    assert (found and found.code) == why


# — slips —


def test_a_torn_slip_tells_nothing_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    slips = Slips(tmp_path / "slips", FileKeys(tmp_path / "keys", bytes(32)))
    first, second = slips.write("s-aaaa"), slips.write("s-aaaa")
    assert first != second
    assert list(slips.references()) == sorted([first, second])
    assert slips.read(first) == slips.read(second) == "s-aaaa"
    copy = (tmp_path / "slips" / f"{first}.slip").read_bytes()
    slips.tear(first)
    slips.tear(first)
    assert slips.read(first) is None
    assert not list((tmp_path / "keys").glob(f"*{first[:16]}*"))
    (tmp_path / "slips" / f"{second}.slip").write_bytes(copy)
    with pytest.raises(PartMissing):
        slips.read(second)
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"s-aaaa" not in file.read_bytes()
