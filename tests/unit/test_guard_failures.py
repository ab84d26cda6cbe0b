"""Failure modes of the gate that have no better place: each fails closed. The map is docs/reference/guard-failures.md."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import cedarpy
import pytest
from gate_stage import ADDRESS, FIELD, POLICY, SUBJECT, GateStage

from custodes import decisions
from custodes.errors import ConfigError, Outage, Refused
from custodes.guard.approval import sign, written
from custodes.guard.decide import Judge, Rules, compile_rules
from custodes.guard.seams import Limits
from custodes.guard.words import Request
from custodes.minimise import release
from custodes.model.policy import Policy


def rules(company: str) -> Rules:
    import yaml

    return compile_rules(Policy.of(yaml.safe_load(POLICY)), POLICY.encode(), 1, [company])


# — fail closed —

OVERFLOWS = '@id("broken") forbid (principal, action, resource) when { context.approvals + 9223372036854775807 > 0 };'


def test_an_allow_with_a_diagnostic_is_a_refusal(stage: GateStage) -> None:
    """A `forbid` that cannot be evaluated is skipped by Cedar, which then says Allow and a diagnostic beside it."""
    asked, broken = stage.granted(), rules(OVERFLOWS)
    raw = cedarpy.is_authorized(_asked_of(stage, asked), broken.policies, broken.facts, schema=broken.schema)
    assert raw.decision is cedarpy.Decision.Allow  # the trap is there
    assert raw.diagnostics.errors
    released = stage.release(asked, gate=stage.fresh_gate(judge=Judge(broken)))
    assert (released.decision.allowed, released.decision.reason_class) == (False, "unavailable")
    assert stage.rows.reads == 0


def _asked_of(stage: GateStage, asked: Any) -> dict[str, object]:
    from custodes.guard import decide

    known = stage.gate._seams.facts(stage.request(asked), stage.identity(), stage.now, SUBJECT).known
    return decide._asked(stage.home.policy, stage.request(asked), replace(known, granted=True, reason_stands=True, approvals=1))


@pytest.mark.parametrize("text", ["forbid (principal, action, resource) when { context.clearance < 3 };", "forbid (principal,"])
def test_a_forbid_on_an_attribute_that_is_not_there_is_no_rule(text: str) -> None:
    with pytest.raises(ConfigError):
        rules(text)


def test_an_empty_set_of_rules_denies(stage: GateStage) -> None:
    empty = replace(rules(""), policies=cedarpy.PolicySet.from_str(""))
    released = stage.release(stage.granted(), gate=stage.fresh_gate(judge=Judge(empty)))
    assert not released.decision.allowed
    assert stage.rows.reads == 0


def test_a_ledger_that_is_slow_releases_nothing_and_what_it_recorded_counts(stage: GateStage) -> None:
    asked = stage.granted()
    with pytest.raises(Outage) as wrong:
        stage.release(asked, gate=stage.fresh_gate(limits=Limits(patience=timedelta(0))))
    assert wrong.value.exit_code == 5
    assert stage.rows.reads == 0
    assert len(stage.gate.unknown(stage.now)) == 1
    assert stage.release(asked).decision.reasons[-1] == "used up"


def test_facts_that_break_release_nothing(stage: GateStage) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage.release(stage.granted(), gate=stage.fresh_gate(facts=broken))
    assert stage.rows.reads == 0


# — clock —


@pytest.mark.parametrize("zone", ["Europe/Dublin", "America/New_York", "Pacific/Apia", "UTC"])
def test_a_grant_lasts_as_many_seconds_over_a_change_of_the_clock(stage: GateStage, zone: str) -> None:
    """The server's own zone may jump; a grant of an hour is 3,600 seconds, to the second, in any of them."""
    stage.now = datetime(2027, 3, 28, 0, 30, tzinfo=UTC)  # half an hour before Dublin's clocks go forward
    asked = stage.granted(reveals=3, lasts_s=3600)
    start = stage.now
    for seconds, allowed in ((0, True), (3599, True), (3600, False)):
        stage.now = (start + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))
        assert stage.release(asked).decision.allowed is allowed


def test_what_a_request_says_of_the_time_is_not_read(stage: GateStage) -> None:
    assert "now" not in Request.__dataclass_fields__
    asked = stage.granted(lasts_s=60)
    stage.now += timedelta(seconds=60)
    assert not stage.release(asked).decision.allowed
    assert written(stage.now)  # the gate's `now` is the only one there is


# — approvals —


def test_a_double_click_is_one_approval(stage: GateStage) -> None:
    stage.home.registry().enrol(stage.subject(), "journalist")
    asked, asking = stage.ask(), decisions.asking(stage.home)
    statement = asking.statement(asked.number, stage.actor("ada"), "approve", stage.now)
    signature = sign(statement, stage_seed("ada"))
    asking.answer(asked.number, statement, signature, stage.now)
    with pytest.raises(Refused, match=r"replayed|same-person"):
        asking.answer(asked.number, statement, signature, stage.now)
    assert len(decisions.asking(stage.home).book().requests[asked.number].approvals) == 1
    assert not stage.release(asked).decision.allowed


def stage_seed(name: str) -> bytes:
    from approval_stage import seed_of

    return seed_of(name)


def test_an_edited_request_is_another_request(stage: GateStage) -> None:
    asked, asking = stage.ask(), decisions.asking(stage.home)
    edited = replace(asked.request, content={**asked.request.content, "lasts_s": 7200})
    assert edited.digest() != asked.request.digest()
    statement = asking.statement(asked.number, stage.actor("ada"), "approve", stage.now)
    changed = replace(statement, request=edited.digest(), shown=edited.content)
    with pytest.raises(Refused, match="edited"):
        asking.answer(asked.number, changed, sign(changed, stage_seed("ada")), stage.now)


def test_no_role_or_setting_approves_in_another_s_place(stage: GateStage) -> None:
    """There is no administrator in the gate's words: a grant that nobody outside the requester's unit approved stays pending."""
    for name in ("finn", "hugo", "gwen"):  # a colleague, the line manager, the executive above
        with pytest.raises(Refused):
            stage.answer(stage.ask(), name)


def test_how_long_an_approver_took_and_how_often_is_in_the_record(stage: GateStage) -> None:
    asked = stage.ask()
    stage.now += timedelta(seconds=90)
    stage.answer(asked, "ada")
    leaves = {leaf.number: leaf.what for leaf in stage.home.own_leaves()}
    answers = [what for what in leaves.values() if what["what"] == "answer"]
    assert [what["statement"]["approver"] for what in answers] == [stage.actor("ada")]  # type: ignore[index,call-overload]  # JSON
    assert (leaves[asked.number]["at"], answers[0]["at"]) == (written(stage.now - timedelta(seconds=90)), written(stage.now))


# — quota —


def test_the_next_page_is_another_release(stage: GateStage) -> None:
    stage.rows.rows[SUBJECT] = [{FIELD: f"203.0.113.{number}"} for number in range(5)]
    asked = stage.granted(rows=2, reveals=2)
    pages = [stage.release(asked, max_rows=2) for _ in range(3)]
    assert [len(page.values or ()) for page in pages] == [2, 2, 0]
    assert pages[-1].decision.reasons[-1] == "used up"
    assert stage.release(asked, max_rows=3).decision.reasons[-1] == "out-of-scope"


# — minimisation —


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77/24", "203.0.113.0/24"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2002:cb00:714d::1", "203.0.113.0/24"),
        ("64:ff9b::cb00:714d", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("999.1.1.1", None),
        ("203.0.113.77; drop", None),
        ("text with 203.0.113.77 in it", None),
        ("", None),
        (None, None),
        (["203.0.113.77"], None),
        ({"ip": "203.0.113.77"}, None),
        (77, None),
    ],
)
def test_a_released_address_is_cut_however_it_is_written(value: Any, network: str | None) -> None:
    assert release.shown(value, "network", str) == network
    assert release.shown(value, "null", str) is None
    assert ADDRESS not in str(release.shown(value, "pseudonym", lambda text: f"p-{len(text)}"))


@pytest.mark.parametrize("value", ["2002:cb00:714d::1", "64:ff9b::cb00:714d", "::ffff:203.0.113.77"])
def test_one_address_has_one_pseudonym_however_it_is_wrapped(value: str) -> None:
    assert release.shown(value, "pseudonym", str) == release.shown(ADDRESS, "pseudonym", str)


# — modes that are not there —


def test_nothing_is_counted_over_people(stage: GateStage) -> None:
    with pytest.raises(Refused, match="nothing is counted over people"):
        stage.ask(mode="aggregate")
    asked = stage.granted()
    assert not stage.release(asked, mode="aggregate").decision.allowed


# — residency —


@pytest.mark.parametrize(("approver", "allowed"), [("ada", True), ("ben", False)])
def test_who_works_abroad_needs_an_approver_who_works_in_the_region(stage: GateStage, approver: str, allowed: bool) -> None:
    """Manila may support subjects of the EU with a ticket; Ben works in the US by now, Ada in Ireland."""
    asked = stage.granted(approvers=[approver], reveals=2)
    stage.load("staff", [stage.staff_row("dora", country="PH"), stage.staff_row("ben", country="US")], at=stage.now)
    released = stage.release(asked, identity=stage.identity("dora", session_country="PH"))
    assert released.decision.allowed is allowed
    if not allowed:
        assert released.decision.reason_class == "needs_approval"
        assert "from another country, approved by nobody who works in the region" in released.decision.reasons
