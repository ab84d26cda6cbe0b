"""What the guard decides is itself a source: real requests, refusals, overrides and reads reach the rules, each the rule for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from approval_stage import seed_of
from gate_stage import OTHER, SUBJECT, SYSTEM
from glass_stage import GlassStage
from pgaudit_lines import as_json, audit, record

from custodes import decisions, watch, watching
from custodes.cli.explain import ask
from custodes.decisions import people
from custodes.errors import Refused
from custodes.guard.approval import APPROVE, sign
from custodes.guard.book import REVIEW
from custodes.guard.words import Released
from custodes.ledger.leaf import Kind
from custodes.model.finding import Finding
from custodes.protected import lookups
from custodes.protected.lookups import CANARY

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
REFUSED_AGAIN = 3


class Busy:
    """A home in which everything happened that the guard can tell of, and what one run of detection found there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        GlassStage.whole(folder).home.close()
        self.stage = GlassStage.opened(folder)
        guard = replace(self.stage.home.settings.guard, databases={SYSTEM: "app-db.url"})
        self.stage.home.settings = replace(self.stage.home.settings, guard=guard)
        self.glass()
        self.requests()
        self.approvals()
        self.lookups()
        self.stage.home.record(Kind.ERASURE, {"what": "erasure", "request": 3, "step": "done", "ranges": [[1, 2]]})
        self.reads()
        rooms = watching.rooms(self.stage.home)
        with closing(rooms.engine) as engine:
            found = watch.run(rooms, budget=1000)
            self.outcomes = engine.rows(
                "SELECT o.act, o.rows, a.access, a.outcome FROM own_record o JOIN accesses a ON a.access_id = o.about "
                "WHERE o.what = 'outcome' AND o.rows = 0"
            )
            ((self.covered_id,),) = engine.rows(f"SELECT access_id FROM accesses WHERE access = {self.covered.access}")
        assert found.failed_rules == ()
        self.found = list({**found.findings, **found.held_findings}.values())

    def of(self, rule: str, by: str = "") -> list[Finding]:
        """Return what a rule found, of everybody or of one actor."""
        actor = self.stage.actor(by)
        return sorted(
            (one for one in self.found if one.rule == rule and (not by or actor in one.actors)), key=lambda one: one.first
        )

    def glass(self) -> None:
        """Dora breaks glass, wants to again before a review that is overdue, and is then found not to have been justified."""
        stage = self.stage
        stage.load("incidents", [{"incident": "I-1", "kind": "life_safety", "opened": "2026-01-01T00:00:00Z"}])
        asked = stage.break_glass(reason="I-1")
        assert stage.use(asked, reason="I-1").decision.allowed
        stage.now += 80 * HOUR
        with pytest.raises(Refused, match="locked-out"):
            stage.break_glass(reason="I-1")
        stage.ask_for(REVIEW, "ada", {"grant": asked.number, "found": "not-justified"})

    def requests(self) -> None:
        """Vera and Gwen are refused once, Hugo and Finn thrice; Finn then gets it; Dora stretches a grant; Gwen finds nothing."""
        stage = self.stage
        self.refused("vera")
        self.refused("gwen")
        for _ in range(REFUSED_AGAIN):
            self.refused("hugo")
            self.refused("finn")
        self.covered = stage.release(stage.granted("finn"), "finn")
        assert self.covered.decision.allowed
        asked = stage.granted("dora")
        beyond = {"subject": stage.subject(OTHER), "key": OTHER}
        assert not stage.release(asked, **beyond).decision.allowed
        self.released_at = stage.now
        assert stage.release(asked).decision.allowed
        assert not stage.release(asked, **beyond).decision.allowed  # used up, and for somebody else all the same
        rows, stage.rows.rows[SUBJECT] = stage.rows.rows[SUBJECT], []
        self.empty: Released = stage.release(stage.granted("gwen", ("cleo",)), "gwen")
        stage.rows.rows[SUBJECT] = rows

    def refused(self, by: str) -> None:
        assert not self.stage.release(None, by).decision.allowed
        self.stage.now += MINUTE

    def approvals(self) -> None:
        """Vera's request is approved by herself, by her unit's lead, and in a name that did not sign: all refused."""
        asked, asking = self.stage.ask("vera"), decisions.asking(self.stage.home)
        for by, key in (("vera", "vera"), ("wolf", "wolf"), ("cleo", "finn")):
            statement = asking.statement(asked.number, self.stage.actor(by), APPROVE, self.stage.now)
            with pytest.raises(Refused):
                asking.answer(asked.number, statement, sign(statement, seed_of(key)), self.stage.now)

    def lookups(self) -> None:
        """Wolf asks for somebody who does not exist, Ben for more people than the guard answers for."""
        stage, home = self.stage, self.stage.home
        looked_up = people.lookups(home)
        home.registry().enrol(stage.subject("nobody"), CANARY)
        looked_up.duties(stage.actor("wolf"), stage.subject("nobody"), ["ip_address"], home.policy, stage.now)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lookups, "MOST", 3)
            for number in range(4):
                looked_up.duties(stage.actor("ben"), stage.subject(f"person {number}"), ["ip_address"], home.policy, stage.now)

    def reads(self) -> None:
        """The database's own log: the guard's account reads beside a release, of another person then, and hours later."""
        lines = (
            (self.released_at + timedelta(seconds=1), SUBJECT),
            (self.released_at, "4799"),
            (self.stage.now + 2 * HOUR, SUBJECT),
        )
        log = self.folder / "server.json"
        log.write_bytes(b"".join(_line(number, at, key) + b"\n" for number, (at, key) in enumerate(lines, 1)))
        self.stage.home.intake().read("pgaudit", [str(log)])


def _line(number: int, at: datetime, key: str) -> bytes:
    message = audit(number, f"select last_ip::pg_catalog.text from app.users where id = {key} limit 1", table="app.users")
    when = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.000} UTC"
    return as_json(record(number, message, timestamp=when, user="custodes_reveal", dbname=SYSTEM))


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    made = Busy(tmp_path_factory.mktemp("busy"))
    yield made
    made.stage.home.close()


def test_a_refused_request_of_an_auditor_is_told_and_the_first_one_of_others_is_not(busy: Busy) -> None:
    (found,) = busy.of("D09", "vera")
    assert (found.level, found.subjects) == ("medium", (busy.stage.subject(),))
    assert "asked the guard for IP address" in found.sentence
    assert "the guard refused it" in found.sentence
    assert busy.of("D11", "gwen") == []
    assert busy.of("D09", "gwen") == []


def test_the_third_refused_request_is_told_unless_an_approved_release_followed(busy: Busy) -> None:
    (found,) = busy.of("D11", "hugo")
    assert (found.level, found.codes, len(found.accesses)) == ("medium", ("V1",), REFUSED_AGAIN)
    assert busy.of("D11", "finn") == []


def test_whoever_stretches_a_grant_to_somebody_else_is_told_also_once_it_is_used_up(busy: Busy) -> None:
    (found,) = busy.of("D11", "dora")
    assert (found.level, found.codes, found.subjects) == ("low", ("V2",), (busy.stage.subject(OTHER),))
    assert len(found.accesses) == 2


def test_a_release_that_finds_nothing_is_shown_to_rules_as_over_reach(busy: Busy) -> None:
    assert busy.empty.values == ()
    assert busy.outcomes == [("over-reach", 0, busy.empty.access, "success")]


def test_one_release_is_explained_by_the_grant_that_the_record_knows(busy: Busy) -> None:
    with closing(busy.stage.home.engine()) as engine:
        answer = ask(busy.stage.home, engine, busy.covered_id)
    assert "E3" in {entry.template for tried in answer.tried.values() for entry in tried if entry.verdict == "explains"}


def test_approvals_by_the_wrong_person_are_told_although_the_guard_refused_them(busy: Busy) -> None:
    found = {one.actors: one for one in busy.of("D22")}
    assert set(found) == {(busy.stage.actor(by),) for by in ("vera", "wolf", "cleo")}
    assert {one.level for one in found.values()} == {"medium"}
    assert all("handed in an approval for" in one.sentence for one in found.values())
    assert "not signed as it was handed in" in found[busy.stage.actor("cleo"),].sentence


def test_glass_found_not_justified_and_the_next_one_before_the_review_are_told(busy: Busy) -> None:
    found = busy.of("D14", "dora")
    assert {one.level for one in found} == {"high", "medium"}
    judged = next(one for one in found if one.level == "high")
    assert judged.subjects == (busy.stage.subject(),)
    assert "the review found it not justified" in judged.sentence
    assert any("had not been reviewed in time" in one.sentence for one in found)


def test_a_canary_and_too_many_look_ups_are_told_with_the_actor(busy: Busy) -> None:
    (tripped,), (many,) = busy.of("D09", "wolf"), busy.of("D09", "ben")
    assert (tripped.level, tripped.codes) == ("high", ("V19",))
    assert "does not exist" in tripped.sentence
    assert (many.level, many.codes) == ("high", ("V1",))
    assert "more people were asked for" in many.sentence


def test_an_erasure_that_two_people_did_not_approve_is_told(busy: Busy) -> None:
    (found,) = (one for one in busy.of("D19") if "erasure" in one.sentence)
    assert found.level == "high"
    assert "no two people had approved" in found.sentence


def test_reads_by_the_guards_account_are_told_unless_a_decision_about_this_person_stands_beside_them(busy: Busy) -> None:
    found = [one for one in busy.of("D19") if "no decision of the guard stands behind it" in one.sentence]
    assert {one.level for one in found} == {"high"}
    assert sorted(subject for one in found for subject in one.subjects) == sorted(
        [busy.stage.subject(), busy.stage.subject("4799")]
    )
    assert sum(len(one.accesses) for one in found) == 2
