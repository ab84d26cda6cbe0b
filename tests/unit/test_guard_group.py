"""Group commit, alone and under the gate: together or not at all; and what nobody waits for is not lost silently."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import pytest
from gate_stage import GateStage

from custodes.errors import NotDurable, Outage
from custodes.guard.gate import Gate
from custodes.guard.group import Group
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import Kind, decode
from custodes.store.released import Sitting


def until(holds: Callable[[], bool]) -> None:
    """Wait for another thread; a minute is a machine under load, not a measure."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


class Held:
    """Work of a group whose first round waits until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.go, self.begun = threading.Event(), threading.Event()
        self.wrong: dict[int, BaseException] = {}

    def __call__(self, items: Sequence[str]) -> None:
        self.groups.append(list(items))
        self.begun.set()
        assert self.go.wait(60)
        if (wrong := self.wrong.get(len(self.groups))) is not None:
            raise wrong


def crowd(group: Group[str], work: Held, names: str, pool: ThreadPoolExecutor) -> dict[str, Future[None]]:
    """Have one hand in alone, and all others while its commit is under way."""
    asked = {names[0]: pool.submit(group.commit, names[0])}
    assert work.begun.wait(60)
    asked |= {name: pool.submit(group.commit, name) for name in names[1:]}
    until(lambda: len(group._queue) == len(names) - 1)
    return asked


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(12) as made:
        yield made


def test_whoever_comes_while_one_is_recorded_is_recorded_together(pool: ThreadPoolExecutor) -> None:
    work = Held()
    asked = crowd(Group(work), work, "abcdef", pool)
    work.go.set()
    for future in asked.values():
        future.result(60)
    assert [sorted(items) for items in work.groups] == [["a"], list("bcdef")]


def test_a_commit_that_fails_has_failed_for_all_of_its_group_and_for_nobody_else(pool: ThreadPoolExecutor) -> None:
    work = Held()
    work.wrong[2] = NotDurable("no space left on device")
    group = Group(work)
    asked = crowd(group, work, "abcd", pool)
    work.go.set()
    assert asked["a"].result(60) is None
    assert [type(asked[name].exception(60)) for name in "bcd"] == [NotDurable] * 3
    group.commit("e")
    assert work.groups[-1] == ["e"]


def test_who_is_interrupted_while_recording_for_others_leaves_them_refused_not_waiting(pool: ThreadPoolExecutor) -> None:
    work = Held()
    work.wrong[1] = KeyboardInterrupt()
    group = Group(work)
    asked = crowd(group, work, "ab", pool)
    work.go.set()
    assert isinstance(asked["a"].exception(60), KeyboardInterrupt)
    assert asked["b"].result(60) is None  # its own group, which it led itself


def test_what_nobody_waits_for_goes_with_the_next_commit() -> None:
    groups: list[list[str]] = []
    group = Group[str](lambda items: groups.append(list(items)), late_s=3600)
    group.later("outcome")
    group.commit("next")
    assert groups == [["outcome", "next"]]
    group.close()
    assert len(groups) == 1


def test_what_nobody_waits_for_has_a_commit_of_its_own_soon() -> None:
    groups: list[list[str]] = []
    group = Group[str](lambda items: groups.append(list(items)), late_s=0.01)
    group.later("outcome")
    until(lambda: groups == [["outcome"]])
    group.close()


def test_closing_records_what_nobody_waited_for_and_takes_no_more_of_it() -> None:
    groups: list[list[str]] = []
    group = Group[str](lambda items: groups.append(list(items)), late_s=3600)
    group.later("outcome")
    group.close()
    assert groups == [["outcome"]]
    with pytest.raises(Outage):
        group.later("another")
    group.commit("who waits is served")
    assert len(groups) == 2


def test_what_nobody_waits_for_is_tried_again_and_its_loss_is_told() -> None:
    groups: list[list[str]] = []
    wrong: list[Exception] = [NotDurable("no space left on device")]

    def work(items: Sequence[str]) -> None:
        if wrong:
            raise wrong[0]
        groups.append(list(items))

    group = Group[str](work, late_s=3600)
    group.later("outcome")
    with pytest.raises(NotDurable):
        group.commit("refused")
    mended, wrong = wrong, []
    group.commit("next")
    assert groups == [["outcome", "next"]]
    wrong = mended
    group.later("lost")
    with pytest.raises(NotDurable):
        group.close()


# — under the gate —


class Doors:
    """The sittings of a gate; the first waits until it is let go. `at_second`: called when the second begins."""

    def __init__(self, stage: GateStage, at_second: Callable[[], None] = lambda: None) -> None:
        self._real, self._at_second = stage.gate._seams.sitting, at_second
        self.count, self.go, self.begun = 0, threading.Event(), threading.Event()

    def __call__(self, now: datetime) -> AbstractContextManager[Sitting]:
        self.count += 1
        if self.count == 1:
            self.begun.set()
            assert self.go.wait(60)
        if self.count == 2:
            self._at_second()
        made: AbstractContextManager[Sitting] = self._real(now)
        return made


def ask_together(stage: GateStage, gate: Gate, doors: Doors, grants: Sequence[Any], pool: ThreadPoolExecutor) -> list[Future[Any]]:
    """Have the first asked for alone, and all others recorded in one commit behind it."""
    asked = [pool.submit(stage.release, grants[0], gate=gate)]
    assert doors.begun.wait(60)
    asked += [pool.submit(stage.release, grant, gate=gate) for grant in grants[1:]]
    until(lambda: len(gate._group._queue) == len(grants) - 1)
    doors.go.set()
    return asked


@pytest.mark.parametrize("failing", ["vault", "ledger"])
def test_a_sync_that_fails_refuses_the_whole_group_and_nobody_gets_a_value(
    stage: GateStage, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    grant, sync, log = stage.granted(reveals=10), Disk.sync, stage.home.log()

    def refuse(self: Disk, descriptor: int) -> None:
        if (descriptor == log._entries.descriptor) == (failing == "ledger"):
            raise NotDurable("input or output error")
        sync(self, descriptor)

    doors = Doors(stage, lambda: monkeypatch.setattr(Disk, "sync", refuse))
    gate = Gate(stage.fresh_gate(sitting=doors)._seams, outcomes_later=True)
    asked = ask_together(stage, gate, doors, [grant] * 6, pool)
    assert asked[0].result(60).values is not None
    assert [type(future.exception(60)) for future in asked[1:]] == [NotDurable] * 5
    assert stage.rows.reads == 1
    with pytest.raises(NotDurable):
        gate.close()  # the outcome of the first is lost, and that is told
    monkeypatch.undo()
    with Home.open(stage.home.path) as mended:
        unknown = stage.fresh_gate(mended).unknown(stage.now)
    # What never left the vault is nothing. What a failed sync of the ledger left on disk may be found there, and counts: five
    # releases that nobody got, and perhaps the outcome of the first.
    assert len(unknown) in ({1} if failing == "vault" else {5, 6})


def test_who_is_refused_takes_nobody_of_the_group_down_and_one_commit_serves_them_all(
    stage: GateStage, pool: ThreadPoolExecutor
) -> None:
    many, one = stage.granted(reveals=10), stage.granted(reveals=1)
    doors = Doors(stage)
    gate = Gate(stage.fresh_gate(sitting=doors)._seams, outcomes_later=True)
    asked = ask_together(stage, gate, doors, [many, one, one, many, None], pool)
    allowed = [future.result(60).decision.allowed for future in asked]
    assert sorted(allowed[1:3]) == [False, True]
    assert [allowed[0], *allowed[3:]] == [True, True, False]
    gate.close()
    assert 2 <= doors.count <= 4  # two for the five of them, and at most two for their outcomes
    assert not stage.gate.unknown(stage.now)


def test_an_answer_does_not_wait_for_its_outcome_and_closing_records_it(stage: GateStage) -> None:
    grant = stage.granted(reveals=3)
    gate = Gate(stage.gate._seams, outcomes_later=True)
    released = [stage.release(grant, gate=gate) for _ in range(3)]
    gate.close()
    ended = {leaf.what["id"] for leaf in stage.home.own_leaves() if leaf.what.get("what") == "outcome"}
    assert ended == {item.number for item in released}
    assert not stage.fresh_gate().unknown(stage.now)


def test_an_outcome_that_was_never_recorded_reads_as_release_unknown_and_counts(
    stage: GateStage,
) -> None:
    grant = stage.granted(reveals=1)
    gate = Gate(stage.gate._seams, outcomes_later=True)
    gate._group._late_s = 3600.0
    released = stage.release(grant, gate=gate)
    with Home.open(stage.home.path) as after_a_crash:
        other = stage.fresh_gate(after_a_crash)
        assert [intent.number for intent in other.unknown(stage.now)] == [released.number]
        assert stage.release(grant, gate=other).decision.reasons[-1] == "used up"
    gate.close()


def test_what_the_gate_recorded_itself_is_what_another_process_reads_of_it(stage: GateStage) -> None:
    grant = stage.granted(reveals=9)
    for word in ("one", "two", "three"):
        stage.release(grant, idempotency=word)
        stage.release(grant, gate=stage.fresh_gate())  # somebody else's records lie between
        stage.release(None, grant="g-1")
    other = stage.fresh_gate()
    assert other.grants(stage.now) == stage.gate.grants(stage.now)
    assert other._taken == stage.gate._taken
    assert stage.release(grant, idempotency="two").again


def test_subjects_that_were_met_since_intake_last_settled_keep_their_keys(stage: GateStage) -> None:
    stage.load("subjects", [{"subject": f"67{n}", "region": "EU"} for n in range(4)])
    seen = {}
    for number in range(4):
        key = f"67{number}"
        stage.release(None, key=key, subject=stage.subject(key), grant="g-1")
        seen[key] = decode_tags(stage)[-1]
    for number in range(4):
        key, gate = f"67{number}", stage.fresh_gate() if number % 2 else stage.gate
        stage.release(None, key=key, subject=stage.subject(key), grant="g-1", gate=gate)
        assert decode_tags(stage)[-1] == seen[key]
    assert len(set(seen.values())) == 4


def decode_tags(stage: GateStage) -> list[bytes]:
    """Return the tags of all accesses in the ledger, in order."""
    log = stage.home.log()
    with log.batch():
        pass  # takes in what others have appended
    return [leaf.tag for leaf in map(decode, log.read(0, log.size)) if leaf.kind == Kind.ACCESS]
