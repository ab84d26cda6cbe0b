"""Passkeys in the book: enrolled by two others after a day, they weigh more than key files, and their counters are kept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from approval_stage import Stage, public_of, seed_of
from authenticator import Authenticator

from custodes import decisions
from custodes.errors import Refused
from custodes.guard import passkey
from custodes.guard.approval import APPROVE, sign
from custodes.guard.book import Asked

DAY = timedelta(hours=24)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("passkeys")
    Stage.built(folder).home.close()
    return folder


@pytest.fixture
def stage(built: Path, tmp_path: Path) -> Stage:
    import shutil

    from custodes.home import Home

    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return Stage(tmp_path, Home.open(tmp_path / "home"))


def enrol(stage: Stage, name: str, device: Authenticator, *, wait: bool = True) -> Asked:
    """Have two others enrol a passkey of `name`."""
    asked = stage.ask_for("enrol", "dora", actor=stage.actor(name), key=device.passkey().to_text())
    stage.answer(asked, "ada" if name == "cleo" else "cleo")
    if wait:
        stage.now += DAY
    return asked


def hand_in(stage: Stage, device: Authenticator, act: str, by: str, **content: Any) -> Asked:
    """Hand in a request signed with a passkey."""
    asking = decisions.asking(stage.home)
    request, statement = asking.draft(act, stage.actor(by), content, stage.now)
    assertion = device.answer(statement.challenge())
    return asking.hand_in(request, statement, assertion.to_bytes(), stage.now, passkey.METHOD)


def test_a_passkey_counts_a_day_after_two_others_enrolled_it(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device, wait=False)
    with pytest.raises(Refused, match="no-key"):
        hand_in(stage, device, "hold", "ada", ref="*")
    stage.now += DAY
    asked = hand_in(stage, device, "hold", "ada", ref="*")
    again = decisions.asking(stage.home).book().requests[asked.number]
    assert again.in_force is not None  # read back from the leaves alone


def test_nobody_enrols_a_passkey_of_their_own(stage: Stage) -> None:
    with pytest.raises(Refused, match="self-enrolled"):
        stage.ask_for("enrol", "ada", actor=stage.actor("ada"), key=Authenticator.of("ada").passkey().to_text())


def test_a_passkey_belongs_to_one_person(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device)
    with pytest.raises(Refused, match="enrolled before"):
        stage.ask_for("enrol", "dora", actor=stage.actor("ben"), key=device.passkey().to_text())


def test_who_has_a_passkey_enrols_with_it_and_not_with_a_key_file(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device)
    fresh = Authenticator.of("finn").passkey().to_text()
    with pytest.raises(Refused, match="weak-key"):
        stage.ask_for("enrol", "ada", actor=stage.actor("finn"), key=fresh)
    asked = hand_in(stage, device, "enrol", "ada", actor=stage.actor("finn"), key=fresh)
    stage.answer(asked, "cleo")  # she has none yet: else there would never be a first one
    stage.ask_for("hold", "ada", ref="*")  # what is on the safe side stays as easy as it was


def test_a_counter_that_does_not_rise_is_refused_also_after_a_restart(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device)
    device.counter = 7
    hand_in(stage, device, "hold", "ada", ref="*")
    for counter in (7, 6, 0):
        device.counter = counter
        with pytest.raises(Refused, match="counter"):
            hand_in(stage, device, "hold", "ada", ref="*")
    device.counter = 8
    hand_in(stage, device, "hold", "ada", ref="*")


def test_a_passkey_of_another_or_without_verification_is_refused(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device)
    with pytest.raises(Refused, match="no-key"):
        hand_in(stage, Authenticator.of("eve"), "hold", "ada", ref="*")
    asking = decisions.asking(stage.home)
    request, statement = asking.draft("hold", stage.actor("ada"), {"ref": "*"}, stage.now)
    unseen = device.answer(statement.challenge(), flags=0x01)
    with pytest.raises(Refused, match="no-verification"):
        asking.hand_in(request, statement, unseen.to_bytes(), stage.now, passkey.METHOD)
    with pytest.raises(Refused, match="signature"):
        asking.hand_in(request, statement, sign(statement, seed_of("ada")), stage.now, passkey.METHOD)
    with pytest.raises(Refused, match="not known"):
        asking.hand_in(request, statement, sign(statement, seed_of("ada")), stage.now, "password")


def test_an_assertion_counts_once_and_for_its_own_statement(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device)
    asking = decisions.asking(stage.home)
    request, statement = asking.draft("hold", stage.actor("ada"), {"ref": "*"}, stage.now)
    assertion = device.answer(statement.challenge()).to_bytes()
    asking.hand_in(request, statement, assertion, stage.now, passkey.METHOD)
    with pytest.raises(Refused, match="replayed"):
        asking.hand_in(request, statement, assertion, stage.now, passkey.METHOD)
    other, shown = asking.draft("hold", stage.actor("ada"), {"ref": "*"}, stage.now)
    with pytest.raises(Refused, match="signature"):
        asking.hand_in(other, shown, assertion, stage.now, passkey.METHOD)


def test_a_revoked_passkey_counts_no_more_and_the_key_file_stands_again(stage: Stage) -> None:
    device = Authenticator.of("ada")
    enrol(stage, "ada", device)
    stage.ask_for("revoke", "ada", actor=stage.actor("ada"), key=device.passkey().to_text())
    with pytest.raises(Refused, match="no-key"):
        hand_in(stage, device, "hold", "ada", ref="*")
    stage.ask_for("enrol", "ada", actor=stage.actor("finn"), key=public_of("someone"))


def test_an_approval_by_passkey_carries_an_erasure_and_dies_with_the_passkey(stage: Stage) -> None:
    device = Authenticator.of("cleo")
    enrol(stage, "cleo", device)
    stage.now += timedelta(hours=1)
    asked = stage.ask()
    statement = decisions.asking(stage.home).statement(asked.number, stage.actor("cleo"), APPROVE, stage.now)
    decisions.asking(stage.home).answer(
        asked.number, statement, device.answer(statement.challenge()).to_bytes(), stage.now, passkey.METHOD
    )
    keys = decisions.asking(stage.home).book().keys
    assert keys.still(stage.actor("cleo"), stage.now, stage.now)
    stage.ask_for("revoke", "cleo", actor=stage.actor("cleo"), key=device.passkey().to_text())
    keys = decisions.asking(stage.home).book().keys
    assert not keys.still(stage.actor("cleo"), stage.now - timedelta(seconds=1), stage.now)
