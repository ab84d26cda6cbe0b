"""Erasing as the next move of whoever wants a look forgotten: every way is refused with 4, and every refusal is a leaf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from approval_stage import DAY, LATER, SUBJECT, Stage, public_of, seed_of, staff_row

from custodes import decisions
from custodes.errors import Refused
from custodes.guard.approval import DENY, sign, written
from custodes.ledger.leaf import Kind
from custodes.settings import ErasureSettings
from custodes.store.own_leaves import OwnLeaf


def _leaves(stage: Stage) -> list[OwnLeaf]:
    return stage.home.own_leaves()


# — each attack is a function that must end in `Refused`; the name of the refusal stands beside it —


def alone(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "cleo")
    stage.now += 15 * DAY
    stage.carry_out(asked)


def nobody(stage: Stage) -> None:
    asked = stage.ask()
    stage.now += 15 * DAY
    stage.carry_out(asked)


def same_person_twice(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "ben")
    stage.answer(asked, "ben")


def two_accounts_of_one_person(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "ben")
    stage.answer(asked, "ben2")


def second_account_of_who_asks(stage: Stage) -> None:
    stage.answer(stage.ask(by="ben"), "ben2")


def same_unit(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "dora")
    stage.answer(asked, "finn")
    stage.now += 15 * DAY
    stage.carry_out(asked)


def unit_and_chain(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "dora")
    stage.answer(asked, "hugo")
    stage.now += 15 * DAY
    stage.carry_out(asked)


def moved_into_the_unit_before(stage: Stage) -> None:
    """An approver who once was of the readers' unit stays near."""
    stage.load("staff", [staff_row("cleo", unit="support/tier9", valid_to="2026-02-01T00:00:00Z"), staff_row("cleo")])
    asked = stage.ask()
    stage.answer(asked, "dora")
    stage.answer(asked, "cleo")
    stage.now += 15 * DAY
    stage.carry_out(asked)


def reader_behind_another_account(stage: Stage) -> None:
    stage.look("reader", [SUBJECT], 1, on_behalf_of="ben")
    asked = stage.ask()
    stage.answer(asked, "dora")
    stage.answer(asked, "ben")
    stage.now += 15 * DAY
    stage.carry_out(asked)


def reader_of_no_known_unit(stage: Stage) -> None:
    stage.look("service-7", [SUBJECT], 1)
    stage.carry_out(stage.approved())


def requester_approves(stage: Stage) -> None:
    stage.answer(stage.ask(), "ada")


def requester_signs_for_another(stage: Stage) -> None:
    stage.answer(stage.ask(), "ben", key="ada")


def on_hold(stage: Stage) -> None:
    erasing, asked = decisions.erasing(stage.home), stage.approved()
    request, statement = erasing.draft_hold(stage.subject, "court", stage.actor("dora"), stage.now)
    erasing.hand_in(request, statement, sign(statement, seed_of("dora")), stage.now)
    stage.carry_out(asked)


def everybody_on_hold(stage: Stage) -> None:
    asked = stage.approved()
    stage.ask_for("hold", "dora", ref="*", reason="regulator")
    stage.carry_out(asked)


def hold_of_which_the_slip_was_removed(stage: Stage) -> None:
    asked = stage.approved()
    stage.ask_for("hold", "dora", ref="0" * 64, reason="court")
    stage.carry_out(asked)


def hold_lifted_by_one(stage: Stage) -> None:
    asked = stage.approved()
    hold = stage.ask_for("hold", "dora", ref="*", reason="court")
    stage.ask_for("lift", "ben", hold=hold.number)
    stage.carry_out(asked)


def open_case_on_the_subject(stage: Stage) -> None:
    asked = stage.approved()
    stage.load("cases", [{"case": "C1", "opened": "2026-02-01T00:00:00Z"}])
    stage.load("case_scope", [{"case": "C1", "subject": SUBJECT}])
    stage.carry_out(asked)


def open_case_on_a_reader(stage: Stage) -> None:
    stage.load("cases", [{"case": "C2", "opened": "2026-02-01T00:00:00Z", "closed": "2099-01-01T00:00:00Z"}])
    stage.load("case_scope", [{"case": "C2", "actor": "mole"}])
    stage.carry_out(stage.approved())


def below_the_floor(stage: Stage) -> None:
    stage.now = LATER - 100 * DAY
    stage.carry_out(stage.approved())


def old_by_its_own_word_only(stage: Stage) -> None:
    """The floor counts from the recording, if that is later than the time that a log claims."""
    stage.now = LATER - 33 * DAY  # carried out 182 days after the recording, and more than a year after the looks
    stage.carry_out(stage.approved())


def floor_shortened_after_the_request(stage: Stage) -> None:
    stage.home.settings = replace(stage.home.settings, erasure=ErasureSettings(floor_days=400))
    asked = stage.approved()
    stage.home.settings = replace(stage.home.settings, erasure=ErasureSettings())
    stage.carry_out(asked)


def too_early(stage: Stage) -> None:
    asked = stage.approved()
    stage.now -= 2 * DAY
    stage.carry_out(asked)


def expired_approval(stage: Stage) -> None:
    asked = stage.approved()
    stage.now += 16 * DAY
    stage.carry_out(asked)


def edited_statement(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "ben", shown={**asked.request.content, "accesses": 1})


def edited_request(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "ben", request=replace(asked.request, content={**asked.request.content, "ranges": [[0, 99]]}).digest())


def decision_turned_round(stage: Stage) -> None:
    asked = stage.ask()
    statement = decisions.asking(stage.home).statement(asked.number, stage.actor("ben"), DENY, stage.now)
    signature = sign(statement, seed_of("ben"))
    decisions.erasing(stage.home).answer(asked.number, replace(statement, decision="approve"), signature, stage.now)


def life_prolonged_after_signing(stage: Stage) -> None:
    stage.answer(stage.ask(), "ben", expires=stage.now + 29 * DAY)


def life_too_long(stage: Stage) -> None:
    asked = stage.ask()
    statement = decisions.asking(stage.home).statement(asked.number, stage.actor("ben"), "approve", stage.now)
    statement = replace(statement, expires=stage.now + 31 * DAY)
    decisions.erasing(stage.home).answer(asked.number, statement, sign(statement, seed_of("ben")), stage.now)


def replayed_approval(stage: Stage) -> None:
    asked = stage.ask()
    statement = stage.answer(asked, "ben")
    decisions.erasing(stage.home).answer(asked.number, statement, sign(statement, seed_of("ben")), stage.now)


def approval_of_another_request(stage: Stage) -> None:
    first, second = stage.ask(), stage.ask()
    statement = stage.answer(first, "ben")
    decisions.erasing(stage.home).answer(second.number, statement, sign(statement, seed_of("ben")), stage.now)


def approval_on_another_history(stage: Stage) -> None:
    asked = stage.ask()
    statement = decisions.asking(stage.home).statement(asked.number, stage.actor("ben"), "approve", stage.now)
    statement = replace(statement, checkpoint=f"1:{'00' * 32}")
    decisions.erasing(stage.home).answer(asked.number, statement, sign(statement, seed_of("ben")), stage.now)


def approval_under_another_policy(stage: Stage) -> None:
    asked = stage.ask()
    statement = decisions.asking(stage.home).statement(asked.number, stage.actor("ben"), "approve", stage.now)
    stage.home.adopt("policy.yaml", b"schema: custodes.policy/1\n")
    decisions.erasing(stage.home).answer(asked.number, statement, sign(statement, seed_of("ben")), stage.now)


def revoked_after_approving(stage: Stage) -> None:
    asked = stage.approved()
    stage.ask_for("revoke", "ben", actor=stage.actor("ben"), key=public_of("ben"))
    stage.carry_out(asked)


def revoked_before_approving(stage: Stage) -> None:
    stage.ask_for("revoke", "ben", actor=stage.actor("ben"), key=public_of("ben"))
    stage.answer(stage.ask(), "ben")


def _enrol_ivy(stage: Stage, second: str = "cleo") -> None:
    stage.load("staff", [staff_row("ivy")])
    asked = stage.ask_for("enrol", "ada", actor=stage.actor("ivy"), key=public_of("ivy"))
    stage.answer(asked, second)


def enrolled_23_hours_ago(stage: Stage) -> None:
    _enrol_ivy(stage)
    stage.now += timedelta(hours=23)
    stage.answer(stage.ask(), "ivy")


def enrolment_denied_in_its_first_day(stage: Stage) -> None:
    _enrol_ivy(stage)
    enrolment = max(decisions.asking(stage.home).book().requests.values(), key=lambda asked: asked.number)
    stage.now += timedelta(hours=23)
    stage.answer(enrolment, "dora", DENY)
    stage.now += timedelta(hours=2)
    stage.answer(stage.ask(), "ivy")


def self_enrolled(stage: Stage) -> None:
    stage.ask_for("enrol", "ada", actor=stage.actor("ada"), key=public_of("another of ada"))


def own_enrolment_approved(stage: Stage) -> None:
    stage.answer(stage.ask_for("enrol", "ada", actor=stage.actor("cleo"), key=public_of("another of cleo")), "cleo")


def enrolled_by_the_own_unit(stage: Stage) -> None:
    stage.answer(stage.ask_for("enrol", "dora", actor=stage.actor("reader"), key=public_of("reader")), "finn")


def key_of_a_colleague_enrolled_again(stage: Stage) -> None:
    stage.load("staff", [staff_row("ivy")])
    stage.ask_for("enrol", "ada", actor=stage.actor("ivy"), key=public_of("ben"))


def one_key_for_two_people(stage: Stage) -> None:
    stage.load("staff", [staff_row("ivy"), staff_row("jon")])
    first, second = (stage.ask_for("enrol", "ada", actor=stage.actor(name), key=public_of("ivy")) for name in ("ivy", "jon"))
    stage.answer(first, "cleo")
    stage.answer(second, "cleo")


def second_account_of_a_person_with_a_key(stage: Stage) -> None:
    stage.load("staff", [staff_row("cleo2")])
    stage.ask_for("enrol", "ada", actor=stage.actor("cleo2"), key=public_of("cleo2"))


def key_under_which_anybody_signs(stage: Stage) -> None:
    stage.load("staff", [staff_row("ivy")])
    stage.ask_for("enrol", "ada", actor=stage.actor("ivy"), key="01" + "00" * 31)


def approver_left(stage: Stage) -> None:
    asked = stage.approved()
    stage.load("staff", [staff_row("ben", left=written(stage.now - DAY))])
    stage.carry_out(asked)


def approver_placed_after_the_request(stage: Stage) -> None:
    _enrol_ivy(stage)
    stage.now -= 210 * DAY  # before the load of the row, which has today's time
    asked = stage.ask()
    stage.now += 211 * DAY
    stage.answer(asked, "ivy")


def denied_then_approved(stage: Stage) -> None:
    asked = stage.ask()
    stage.answer(asked, "ben", DENY)
    stage.answer(asked, "cleo")


def denied_then_carried_out(stage: Stage) -> None:
    asked = stage.approved()
    stage.answer(asked, "dora", DENY)
    stage.carry_out(asked)


def withdrawn_by_who_asked(stage: Stage) -> None:
    asked = stage.approved()
    stage.answer(asked, "ada", DENY)
    stage.carry_out(asked)


def another_look_since(stage: Stage) -> None:
    asked = stage.approved()
    stage.look("reader", [SUBJECT], 1)
    stage.carry_out(asked)


def no_legal_basis(stage: Stage) -> None:
    stage.ask(basis="because")


def unknown_subject(stage: Stage) -> None:
    stage.ask(subject="s-aaaaaaaaaaaaaaaa")


def no_such_request(stage: Stage) -> None:
    stage.carry_out(replace(stage.ask(), number=3))


ATTACKS: dict[str, list[Callable[[Stage], None]]] = {
    "alone": [alone, nobody],
    "same-person": [
        same_person_twice,
        two_accounts_of_one_person,
        second_account_of_who_asks,
        second_account_of_a_person_with_a_key,
    ],
    "same-unit": [same_unit, unit_and_chain, moved_into_the_unit_before, reader_behind_another_account, enrolled_by_the_own_unit],
    "unplaced": [reader_of_no_known_unit],
    "requester": [requester_approves],
    "signature": [requester_signs_for_another, decision_turned_round, life_prolonged_after_signing],
    "on-hold": [on_hold, everybody_on_hold, hold_of_which_the_slip_was_removed, hold_lifted_by_one],
    "open-case": [open_case_on_the_subject, open_case_on_a_reader],
    "below-floor": [below_the_floor, old_by_its_own_word_only, floor_shortened_after_the_request],
    "too-early": [too_early],
    "expired": [expired_approval, life_too_long],
    "edited": [
        edited_statement,
        edited_request,
        approval_of_another_request,
        approval_on_another_history,
        approval_under_another_policy,
    ],
    "replayed": [replayed_approval],
    "revoked": [revoked_after_approving],
    "no-key": [
        revoked_before_approving,
        enrolled_23_hours_ago,
        enrolment_denied_in_its_first_day,
        key_of_a_colleague_enrolled_again,
        one_key_for_two_people,
        key_under_which_anybody_signs,
    ],
    "self-enrolled": [self_enrolled, own_enrolment_approved],
    "left": [approver_left],
    "denied": [denied_then_approved, denied_then_carried_out, withdrawn_by_who_asked],
    "changed": [another_look_since],
    "no-basis": [no_legal_basis],
    "unknown": [unknown_subject, no_such_request],
}


@pytest.mark.parametrize(("why", "attack"), [(why, attack) for why, attacks in ATTACKS.items() for attack in attacks])
def test_erasure_as_attack(stage: Stage, why: str, attack: Callable[[Stage], None]) -> None:
    with pytest.raises(Refused, match=rf"^refused \({why}\)") as refused:
        attack(stage)
    assert refused.value.exit_code == 4
    *_, last = _leaves(stage)
    assert (last.kind, last.what["what"], last.what["why"]) == (Kind.DECISION, "refusal", why)
    assert SUBJECT not in str(last.what)
    assert stage.subject not in str(last.what)
    assert not [leaf for leaf in _leaves(stage) if leaf.kind == Kind.ERASURE]
    assert stage.home.eraser().preview(stage.subject).accesses
