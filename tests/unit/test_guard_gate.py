"""The gate on a real home: what is refused, what is recorded first, and that nothing refills a quota."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from approval_stage import seed_of
from gate_stage import FIELD, OTHER, POLICY, SUBJECT, GateStage

from custodes import decisions, watching
from custodes.errors import InputError, NotDurable, Outage, Refused
from custodes.guard.approval import DENY, sign
from custodes.guard.book import GRANT
from custodes.guard.decide import NEVER, Judge
from custodes.guard.grants import state
from custodes.guard.seams import Facts
from custodes.guard.words import MODES, REASON_CODES, Decision, Known
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import Kind, decode
from custodes.model.policy import Policy
from custodes.store.desk import Quotas


def refusals(stage: GateStage) -> list[str]:
    return [str(leaf.what["why"]) for leaf in stage.home.own_leaves() if leaf.what.get("what") == "refusal"]


def decided(stage: GateStage) -> list[Any]:
    return [leaf.what for leaf in stage.home.own_leaves() if leaf.what.get("what") == "decision"]


# — the record comes first —


def test_decision_and_access_are_in_the_ledger_before_the_value_is_read(stage: GateStage) -> None:
    asked, seen = stage.granted(), []

    class Watching:
        region = stage.rows.region

        @staticmethod
        def read(*_: object) -> list[Any]:
            with Home.open(stage.home.path) as other:
                seen.append([decode(entry).kind for entry in other.log().read(other.log().size - 3, other.log().size)])
            return [{FIELD: "203.0.113.1"}]

    released = stage.release(asked, gate=stage.fresh_gate(reader=Watching()))
    assert seen == [[Kind.DECISION, Kind.POLICY, Kind.ACCESS]], "the first release says in between what this source can see"
    assert released.values == ({FIELD: "203.0.113.0/24"},)


def test_the_access_leaf_has_the_subjects_tag_and_becomes_a_row_with_that_leaf(stage: GateStage) -> None:
    released = stage.release(stage.granted())
    assert released.access is not None
    stage.home.intake().recover()
    with closing(stage.home.engine()) as engine:
        stage.home.accesses().register(engine)
        rows = engine.fetch(
            "SELECT t.subject, a.outcome FROM stored_accesses a JOIN stored_touches t USING (leaf) "
            f"WHERE a.leaf = {released.access}"
        ).to_pylist()
    assert rows == [{"subject": stage.subject(), "outcome": "success"}]
    assert decode(stage.home.log().read(released.access, released.access + 1)[0]).tag != bytes(32)
    assert stage.home.vault().check(stage.home.log().read, stage.home.log().size).problems == []


def test_a_denied_request_is_a_row_too_and_says_no_more_than_its_class(stage: GateStage) -> None:
    released = stage.release(None)
    told = released.decision.told(released.number)
    assert told["decision"] is False
    assert told["context"]["reason_class"] == "needs_approval"  # type: ignore[index]  # an object
    assert "no-grant" not in str(told)
    assert "no-grant" in decided(stage)[-1]["reasons"]
    stage.home.intake().recover()
    with closing(stage.home.engine()) as engine:
        stage.home.accesses().register(engine)
        assert engine.rows("SELECT outcome FROM stored_accesses") == [("denied",)]


def test_releases_and_a_run_of_intake_share_one_key_for_each_subject(stage: GateStage, tmp_path: Path) -> None:
    asked = stage.granted(reveals=2)
    first = stage.release(asked)
    log = tmp_path / "x.ndjson"
    log.write_text(
        f'{{"time":"2026-03-01T10:00:00Z","actor":"dora","action":"read","system":"crm","resource":"p","subjects":["{SUBJECT}"]}}\n'
    )
    stage.home.intake().read("access", [str(log)])
    second = stage.release(asked)
    with closing(stage.home.engine()) as engine:
        stage.home.accesses().register(engine)
        (looked,) = [leaf for (leaf,) in engine.rows("SELECT leaf FROM stored_accesses WHERE source = 'access'")]
    tags = {decode(stage.home.log().read(at, at + 1)[0]).tag for at in (first.access, looked, second.access)}  # type: ignore[operator,arg-type]  # indexes
    assert len(tags) == 1


# — fail closed —


@pytest.mark.parametrize(
    "unknown", ["unit", "place_of_work", "session_country", "region", "employed", "human", "categories", "duties"]
)
def test_what_is_not_known_is_denied(stage: GateStage, unknown: str) -> None:
    asked = stage.granted()
    facts = stage.gate._seams.facts

    def without(*given: Any) -> Facts:
        found = facts(*given)
        absent: Any = {"employed": False, "human": False, "categories": (None,)}.get(unknown)
        return found._replace(known=replace(found.known, **{unknown: absent}, **({"no_duty": True} if unknown == "unit" else {})))

    released = stage.release(asked, gate=stage.fresh_gate(facts=without))
    # An unknown registry means that everybody is protected: one approval, from outside, is then one too few.
    assert not released.decision.allowed or unknown == "unit"
    if unknown == "unit":  # whoever cannot be placed needs an approval from outside, and Ada is outside
        assert released.decision.allowed


def test_an_obligation_that_this_program_does_not_know_is_a_denial(stage: GateStage) -> None:
    class Demanding(Judge):
        def decide(self, request: Any, known: Known) -> Decision:
            found = super().decide(request, known)
            return replace(found, obligations=(*found.obligations, {"watermark": True}))

    judge = Demanding(stage.gate._seams.judge.rules)
    assert not stage.release(stage.granted(), gate=stage.fresh_gate(judge=judge)).decision.allowed
    assert stage.rows.reads == 0


def test_without_rules_and_when_the_decision_breaks_everything_is_refused(stage: GateStage) -> None:
    asked = stage.granted()
    assert stage.release(asked, gate=stage.fresh_gate(judge=Judge(None))).decision.reason_class == "unavailable"
    broken = replace(stage.gate._seams.judge.rules, facts=None)  # type: ignore[type-var]  # rules are there
    assert stage.release(asked, gate=stage.fresh_gate(judge=Judge(broken))).decision.reason_class == "unavailable"
    assert stage.rows.reads == 0


def test_a_ledger_that_is_down_or_full_releases_nothing_and_takes_no_quota(
    stage: GateStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stage.granted()

    def full(*_: object) -> None:
        raise NotDurable("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Disk, "write", full)
        with pytest.raises(NotDurable) as wrong:
            stage.release(asked)
    assert wrong.value.exit_code == 5
    assert stage.rows.reads == 0


def test_a_desk_that_cannot_be_written_releases_nothing(stage: GateStage) -> None:
    asked = stage.granted()
    (stage.home.path / "desk.sqlite").unlink(missing_ok=True)
    (stage.home.path / "desk.sqlite").mkdir()
    with pytest.raises(NotDurable):
        stage.release(asked)
    assert stage.rows.reads == 0


def test_a_registry_that_is_down_means_that_everybody_is_protected(stage: GateStage) -> None:
    asked = stage.granted()
    (stage.home.path / "keys" / "registry.key").unlink()
    with Home.open(stage.home.path) as started:
        released = stage.release(asked, gate=stage.fresh_gate(started))
    assert released.decision.reason_class == "needs_approval"
    assert released.decision.requestable == ("one-person", "outside")


def test_a_database_that_is_down_leaves_a_release_unknown_which_counts(stage: GateStage) -> None:
    class Down:
        region = stage.rows.region

        @staticmethod
        def read(*_: object) -> list[Any]:
            raise Outage("the database is down")

    asked = stage.granted()
    with pytest.raises(Outage):
        stage.release(asked, gate=stage.fresh_gate(reader=Down()))
    assert len(stage.gate.unknown(stage.now)) == 1
    assert stage.release(asked).decision.reasons[-1] == "used up"


# — what nobody can be granted —


def test_no_purpose_finds_a_source_and_no_action_locates(stage: GateStage) -> None:
    words = {*MODES, *REASON_CODES, *stage.home.policy.purposes}
    assert not [word for word in words if any(part in word.lower() for part in ("locat", "source", "leak"))]
    assert {"identify_source", "leak_hunt", "colocate", "locate_subject"} <= {*NEVER}
    everything = Policy.of({"schema": "custodes.policy/1", "purposes": {name: ["*"] for name in NEVER}})
    assert {"identify_source", "leak_hunt", "colocate"} <= {*everything.never_purposes}


@pytest.mark.parametrize("purpose", NEVER)
def test_a_purpose_that_nobody_can_be_granted_is_refused_whatever_the_policy_says(stage: GateStage, purpose: str) -> None:
    stage.home.adopt(
        "policy.yaml", (POLICY + "never_purposes: []\n").replace("  support:", f'  {purpose}: ["*"]\n  support:').encode()
    )
    with pytest.raises(Refused, match="granted by nobody"):
        stage.ask(purpose=purpose)
    asked = stage.granted()
    assert stage.release(asked, purpose=purpose).decision.reason_class == "not_permitted"


# — policy —


def test_a_bad_reload_keeps_the_last_good_set_and_the_epoch_never_falls(stage: GateStage) -> None:
    asked = stage.granted(reveals=3)
    first = stage.release(asked).decision
    (stage.home.path / "policy.yaml").write_text("purposes: [")
    stage.home.record(Kind.POLICY, {"what": "policy.yaml", "sha256": sha256(b"purposes: [").hexdigest()})
    second = stage.release(asked).decision
    assert second.allowed
    assert (second.epoch, second.policy_hash) == (first.epoch, first.policy_hash)
    stage.home.adopt("policy.yaml", (POLICY + "late_record_minutes: 5\n").encode())
    third = stage.release(asked).decision
    assert third.allowed
    assert third.epoch == first.epoch + 1
    assert third.policy_hash != first.policy_hash
    assert [what["policy_hash"] for what in decided(stage)] == [first.policy_hash, first.policy_hash, third.policy_hash]


def test_a_grant_is_judged_again_under_a_new_policy(stage: GateStage) -> None:
    asked = stage.granted()
    stage.home.adopt("policy.yaml", POLICY.replace("support: [ip_address, identity]", "support: [identity]").encode())
    assert stage.release(asked).decision.reason_class == "not_permitted"


# — clock —


def test_a_grant_holds_from_its_approval_up_to_and_not_including_its_end(stage: GateStage) -> None:
    asked = stage.granted(reveals=5, lasts_s=600)
    start = stage.now
    assert stage.release(asked).decision.allowed
    stage.now = start + timedelta(seconds=599)
    assert stage.release(asked).decision.allowed
    stage.now = start + timedelta(seconds=600)
    assert not stage.release(asked).decision.allowed


def test_a_clock_that_is_set_back_revives_nothing(stage: GateStage) -> None:
    asked = stage.granted(reveals=5, lasts_s=60)
    stage.now += timedelta(seconds=60)
    assert not stage.release(asked).decision.allowed
    stage.now -= timedelta(minutes=5)
    assert not stage.release(asked).decision.allowed


def test_a_request_that_nobody_answered_has_died_after_24_hours(stage: GateStage) -> None:
    asked = stage.ask()
    stage.now += timedelta(hours=24)
    with pytest.raises(Refused, match="expired"):
        stage.answer(asked, "ada")
    assert state(asked, stage.now) == "expired"


# — approvals —


def test_one_approval_from_outside_the_unit_opens_an_ordinary_grant(stage: GateStage) -> None:
    assert stage.release(stage.granted(approvers=["ada"])).decision.allowed


@pytest.mark.parametrize(
    ("who", "why"), [("dora", "requester"), ("finn", "same-unit"), ("hugo", "same-unit"), ("gwen", "same-unit")]
)
def test_nobody_approves_who_asks_or_stands_in_their_unit_or_chain(stage: GateStage, who: str, why: str) -> None:
    asked = stage.ask()
    with pytest.raises(Refused, match=why):
        stage.answer(asked, who)
    assert refusals(stage)[-1] == why
    assert not stage.release(asked).decision.allowed


def test_sets_are_anded_and_two_accounts_of_one_person_fill_one(stage: GateStage) -> None:
    stage.home.registry().enrol(stage.subject(), "journalist")
    asked = stage.ask()
    assert asked.request.content["sets"] == ["one-person", "outside"]
    stage.answer(asked, "ben")
    assert not stage.release(asked).decision.allowed, "one set of two is filled"
    with pytest.raises(Refused, match="same-person"):
        stage.answer(asked, "ben2")
    with pytest.raises(Refused, match="same-person"):
        stage.answer(asked, "ben")
    stage.answer(asked, "ada")
    assert stage.release(asked).decision.allowed


def test_a_set_for_outsiders_is_filled_by_no_insider_also_with_an_edited_slot(stage: GateStage) -> None:
    stage.home.registry().enrol(stage.subject(), "journalist")
    asked = stage.ask()
    with pytest.raises(Refused):
        stage.answer(asked, "ben", slot="outside")
    asking = decisions.asking(stage.home)
    edited = replace(asking.statement(asked.number, stage.actor("ben"), "approve", stage.now), slot="outside")
    with pytest.raises(Refused, match="outside"):
        asking.answer(asked.number, edited, sign(edited, seed_of("ben")), stage.now)


def test_a_request_that_asks_for_fewer_approvals_than_needed_is_refused(stage: GateStage) -> None:
    stage.home.registry().enrol(stage.subject(), "journalist")
    with pytest.raises(Refused, match="these approvals are needed"):
        stage.ask(sets=("one-person",))


def test_audit_is_approved_from_outside_only(stage: GateStage) -> None:
    asked = stage.ask("vera", purpose="trust_safety")
    with pytest.raises(Refused, match="same-unit"):
        stage.answer(asked, "wolf")
    with pytest.raises(Refused, match="same-unit"):
        stage.answer(asked, "ben")
    stage.answer(asked, "cleo")
    stage.answer(asked, "ada")
    assert stage.release(asked, "vera", purpose="trust_safety").decision.allowed


def test_who_was_approved_by_the_requester_lately_does_not_approve_back(stage: GateStage) -> None:
    theirs = stage.ask("ben", purpose="trust_safety")
    stage.answer(theirs, "dora")
    asked = stage.ask()
    with pytest.raises(Refused, match="reciprocity"):
        stage.answer(asked, "ben")
    stage.now += timedelta(days=31)
    stage.answer(stage.ask(), "ben")


def test_one_denial_ends_a_request_and_a_grant_in_force(stage: GateStage) -> None:
    asked = stage.ask()
    stage.answer(asked, "ben", DENY)
    with pytest.raises(Refused, match="denied"):
        stage.answer(asked, "ada")
    granted = stage.granted(reveals=5)
    assert stage.release(granted).decision.allowed
    stage.answer(granted, "ben", DENY)
    assert not stage.release(granted).decision.allowed


def test_an_approver_who_left_kills_the_grant(stage: GateStage) -> None:
    asked = stage.granted(reveals=5)
    assert stage.release(asked).decision.allowed
    left = (stage.now - timedelta(minutes=1)).isoformat()
    stage.load("staff", [stage.staff_row("ada", left=left)], at=stage.now)
    assert not stage.release(asked).decision.allowed
    assert "left" in decided(stage)[-1]["reasons"]


def test_an_approver_who_was_moved_into_the_unit_or_whose_key_was_revoked_kills_the_grant(stage: GateStage) -> None:
    asked, other = stage.granted(reveals=5), stage.granted(approvers=["ben"], reveals=5)
    stage.load("staff", [stage.staff_row("ada", unit="support/tier2/dublin")], at=stage.now)
    assert not stage.release(asked).decision.allowed
    key = next(key for key in decisions.asking(stage.home).book().keys if key.actor == stage.actor("ben"))
    stage.ask_for("revoke", "ben", {"actor": key.actor, "key": key.public.hex()})
    assert not stage.release(other).decision.allowed


def test_an_approval_that_was_replayed_edited_or_signed_by_another_is_refused(stage: GateStage) -> None:
    asked, again = stage.ask(), stage.ask()
    asking = decisions.asking(stage.home)
    statement = asking.statement(asked.number, stage.actor("ada"), "approve", stage.now)
    signature = sign(statement, seed_of("ada"))
    with pytest.raises(Refused, match="edited"):
        asking.answer(again.number, statement, signature, stage.now)
    with pytest.raises(Refused, match="signature"):
        stage.answer(asked, "ada", key="ben")
    with pytest.raises(Refused, match="edited"):
        stage.answer(asked, "ada", shown={**statement.shown, "mode": "lease"})
    with pytest.raises(Refused, match="expired"):
        stage.answer(asked, "ada", expires=stage.now)
    asking.answer(asked.number, statement, signature, stage.now)
    with pytest.raises(Refused, match=r"replayed|same-person"):
        asking.answer(asked.number, statement, signature, stage.now)


def test_a_revoked_grant_is_refused_and_anybody_with_a_key_may_revoke(stage: GateStage) -> None:
    asked = stage.granted(reveals=5)
    stage.ask_for("revoke-grant", "finn", {"grant": asked.number})
    assert not stage.release(asked).decision.allowed
    assert [found for _, found, _ in stage.gate.grants(stage.now)] == ["revoked"]


def test_a_narrower_grant_needs_no_approval_and_a_wider_one_does(stage: GateStage) -> None:
    parent = stage.granted(reveals=2, fields=(FIELD, "app.users.name"), lasts_s=600)
    child = stage.ask(parent=parent.number, reveals=2, lasts_s=600)
    assert stage.release(child).decision.allowed
    with pytest.raises(Refused, match="widened"):
        stage.ask(parent=parent.number, reveals=2, lasts_s=601)
    with pytest.raises(Refused, match="widened"):
        stage.ask(parent=parent.number, subjects=(stage.subject(OTHER),), lasts_s=600)
    assert stage.release(parent, fields=(FIELD,)).decision.allowed
    assert not stage.release(child).decision.allowed, "what the child took is taken from its parent"


def test_nobody_is_granted_longer_than_the_settings_allow_nor_without_naming_subjects(stage: GateStage) -> None:
    with pytest.raises(Refused, match="at most"):
        stage.ask(lasts_s=9 * 3600)
    with pytest.raises(Refused, match="names its subjects"):
        stage.ask(subjects=())


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": ("app.users.name",)},
        {"purpose": "trust_safety"},
        {"reason": "T-2"},
        {"reason_code": "SUBJECT_REPORT"},
        {"max_rows": 2},
        {"mode": "lease"},
        {"system": "other"},
    ],
)
def test_a_grant_covers_its_own_terms_and_nothing_else(stage: GateStage, changes: dict[str, Any]) -> None:
    assert not stage.release(stage.granted(), **changes).decision.allowed
    assert stage.rows.reads == 0


def test_a_grant_is_for_its_subject_and_for_who_asked(stage: GateStage) -> None:
    asked = stage.granted()
    assert not stage.release(asked, key=OTHER, subject=stage.subject(OTHER)).decision.allowed
    assert not stage.release(asked, "finn").decision.allowed
    with pytest.raises(InputError):
        stage.release(asked, key=OTHER)
    with pytest.raises(InputError):
        stage.release(asked, identity=stage.identity("finn"))


def test_a_reason_must_be_on_record_open_about_the_subject_and_older_than_the_request(stage: GateStage) -> None:
    late = stage.granted(reason="T-9")
    stage.load(
        "tickets", [{"ticket": "T-9", "subject": SUBJECT, "opened": "2026-01-01T00:00:00Z"}], at=stage.now + timedelta(seconds=1)
    )
    assert stage.release(late, reason="T-9").decision.reason_class == "needs_approval"
    stage.load("tickets", [{"ticket": "T-7", "subject": OTHER, "opened": "2026-01-01T00:00:00Z"}])
    assert not stage.release(stage.granted(reason="T-7"), reason="T-7").decision.allowed
    closed = {"ticket": "T-1", "subject": SUBJECT, "opened": "2026-01-01T00:00:00Z", "closed": "2026-02-01T00:00:00Z"}
    asked = stage.granted()
    stage.load("tickets", [closed], at=stage.now)
    assert not stage.release(asked).decision.allowed


# — break-glass —


def test_glass_is_not_broken_with_a_key_that_shows_nobody_present(stage: GateStage) -> None:
    with pytest.raises(Refused, match="passkey"):
        stage.ask(reason_code="LIFE_SAFETY", break_glass=True, lasts_s=600, sets=())
    with pytest.raises(Refused, match="break-glass alone"):
        stage.ask(reason_code="LIFE_SAFETY")


# — quota —


def test_twenty_threads_on_a_quota_of_five_get_exactly_five(stage: GateStage) -> None:
    asked = stage.granted(reveals=5)
    got: list[bool] = []
    threads = [threading.Thread(target=lambda: got.append(stage.release(asked).decision.allowed)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 15 + [True] * 5


_TAKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from gate_stage import GateStage
from custodes.home import Home
from custodes import watching
from custodes.guard.grants import name_of
from datetime import datetime
with Home.open(sys.argv[2]) as home:
    stage = GateStage(Path(sys.argv[2]).parent, home)
    stage.now = datetime.fromisoformat(sys.argv[4])
    request = stage.request(None, grant=name_of(int(sys.argv[3])))
    print(stage.gate.release(request, stage.identity(), stage.now, key="4711").decision.allowed)
"""


def test_processes_on_one_quota_never_take_more_than_it_holds(stage: GateStage) -> None:
    asked = stage.granted(reveals=2)
    stage.home.close()
    made = Path(__file__).parent.parent / "made"
    command = [sys.executable, "-c", _TAKER, str(made), str(stage.home.path), str(asked.number), stage.now.isoformat()]
    environment = {**os.environ, "PYTHONPATH": str(made)}
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(4)]
    said = [process.communicate(timeout=120)[0].strip() for process in running]
    assert sorted(said) == ["False", "False", "True", "True"]


def test_a_desk_that_was_edited_or_restored_refills_nothing(stage: GateStage) -> None:
    asked = stage.granted(reveals=2)
    stage.release(asked)
    desk = stage.home.path / "desk.sqlite"
    stage.release(asked)
    with closing(sqlite3.connect(desk)) as forger, forger:
        forger.execute("UPDATE quotas SET left = 100")
    assert not stage.release(asked).decision.allowed
    desk.unlink()
    for rest in stage.home.path.glob("desk.sqlite-*"):
        rest.unlink()
    gate = stage.fresh_gate(quotas=Quotas(desk))
    assert not stage.release(asked, gate=gate).decision.allowed


def test_the_desk_alone_grants_nothing(stage: GateStage) -> None:
    with closing(sqlite3.connect(stage.home.path / "desk.sqlite")) as forger, forger:
        forger.execute("CREATE TABLE grants (grant_number INTEGER, state TEXT)")
        forger.execute("INSERT INTO grants VALUES (7, 'approved')")
    assert not stage.release(None, grant="g-7").decision.allowed


def test_a_counter_that_shows_too_little_is_believed(stage: GateStage) -> None:
    asked = stage.granted(reveals=2)
    stage.release(asked)
    with closing(sqlite3.connect(stage.home.path / "desk.sqlite")) as forger, forger:
        forger.execute("UPDATE quotas SET left = 0")
    assert not stage.release(asked).decision.allowed


def test_the_same_idempotency_key_is_the_same_release(stage: GateStage) -> None:
    asked = stage.granted(reveals=1)
    first = stage.release(asked, idempotency="word")
    again = stage.release(asked, idempotency="word")
    assert (again.again, again.number, again.index, again.values) == (True, first.number, first.index, first.values)
    restarted = stage.release(asked, idempotency="word", gate=stage.fresh_gate())
    assert restarted.number == first.number
    assert not stage.release(asked, idempotency="another").decision.allowed
    with pytest.raises(InputError, match="idempotency"):
        stage.release(asked, idempotency="word", max_rows=2)


def test_two_names_of_one_subject_are_one_subject_and_distinct_subjects_are_counted(stage: GateStage) -> None:
    both = (stage.subject(), stage.subject(OTHER))
    with pytest.raises(Refused, match="limit"):
        stage.ask(subjects=both, reveals=5, distinct_subjects=1)


def test_predicates_have_a_budget_for_actor_subject_and_field(stage: GateStage) -> None:
    asked = stage.granted(mode="compare", reveals=100)
    same = {"mode": "compare", "predicate": "same_network"}
    assert stage.release(asked, operand="203.0.113.200", **same).values == ({FIELD: True},)
    assert stage.release(asked, operand="203.0.112.1", **same).values == ({FIELD: False},)
    for number in range(30):
        assert stage.release(asked, operand=f"10.0.{number}.1", **same).decision.allowed
    spent = stage.release(asked, operand="10.1.0.1", **same)
    assert not spent.decision.allowed
    assert "budget" in decided(stage)[-1]["reasons"]
    other = stage.granted(mode="compare", reveals=100)
    assert not stage.release(other, operand="10.1.0.1", **same).decision.allowed, "another grant is no other budget"


def test_no_operand_and_no_value_stands_in_the_record(stage: GateStage) -> None:
    asked = stage.granted(mode="compare")
    stage.release(asked, mode="compare", predicate="same_network", operand="203.0.113.200")
    stage.release(stage.granted(fields=("app.users.name",)), fields=("app.users.name",))
    leaves = str(stage.home.own_leaves())
    assert "203.0.113" not in leaves
    assert "Ann Subject" not in leaves
    assert SUBJECT not in leaves


# — identity and residency —


def test_a_service_account_and_a_stranger_are_refused(stage: GateStage) -> None:
    asked = stage.granted()
    assert not stage.release(asked, identity=stage.identity(human=False)).decision.allowed
    assert not stage.release(None, "nobody", identity=stage.identity("nobody")).decision.allowed


@pytest.mark.parametrize(
    ("changes", "allowed"), [({}, True), ({"session_country": None}, False), ({"session_country": "US"}, False)]
)
def test_the_country_of_the_session_must_be_known_and_that_of_the_place_of_work(
    stage: GateStage, changes: dict[str, Any], allowed: bool
) -> None:
    assert stage.release(stage.granted(), identity=stage.identity(**changes)).decision.allowed is allowed


def test_a_subject_of_another_or_of_no_known_region_is_refused(stage: GateStage) -> None:
    asked = stage.granted()
    stage.load("subjects", [{"subject": SUBJECT, "region": "US"}], at=stage.now)
    assert not stage.release(asked).decision.allowed
    stage.load("subjects", [{"subject": SUBJECT, "region": ""}], at=stage.now + timedelta(seconds=1))
    assert not stage.release(asked).decision.allowed


def test_staff_rows_that_contradict_each_other_leave_the_place_of_work_unknown(stage: GateStage) -> None:
    asked = stage.granted()
    rows = [stage.staff_row("dora"), stage.staff_row("dora", country="US")]
    stage.load("staff", rows, at=stage.now)
    assert not stage.release(asked).decision.allowed


def test_a_request_names_the_grant_as_the_record_does(stage: GateStage) -> None:
    asked = stage.ask_for(GRANT, "dora", stage.terms().content())
    for name in ("g-0", f"g-0{asked.number}", f"G-{asked.number}", f"g-{asked.number} ", str(asked.number), "g-999999"):
        assert not stage.release(None, grant=name).decision.allowed


def test_grants_releases_and_refusals_reach_the_rules_from_the_record_and_a_loaded_grant_does_not(stage: GateStage) -> None:
    stage.load("grants", [{"grant": "forged", "actor": "dora", "subject": SUBJECT}])
    asked = stage.granted()
    stage.release(asked)
    stage.release(asked)
    rooms = watching.rooms(stage.home)
    with closing(rooms.engine) as engine:
        rooms.build_views(engine, None, None)
        assert engine.rows("SELECT row_key, actor, subject FROM grants") == [
            (f"g-{asked.number}", stage.actor("dora"), stage.subject())
        ]
        assert engine.rows("SELECT approver, decision FROM approvals") == [(stage.actor("ada"), "approve")]
        assert engine.rows("SELECT outcome FROM accesses ORDER BY access") == [("success",), ("denied",)]
        assert engine.rows("SELECT count(*) FROM looks WHERE subject IS NOT NULL") == [(1,)]
        said = engine.rows("SELECT act FROM own_record WHERE what = 'decision' ORDER BY leaf")
    assert said == [("released",), ("denied",)]
    assert {"grants", "approvals"} <= set(rooms.loaded)
