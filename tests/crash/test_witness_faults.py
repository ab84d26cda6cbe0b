"""Publishing with a witness fails at every call to the disk: what a witness has seen is always in `signed`, and never unsaid."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from failing_disk import WAYS, Failing, PowerCut, Steps, Stopped
from witness_town import SIGNER, Stand, grow, new_log, policy_of, stand

from custodes.errors import NotDurable
from custodes.ledger.checkpoint import read_unverified
from custodes.ledger.disk import Calls, Disk
from custodes.ledger.fsck import fsck
from custodes.ledger.log import Log
from custodes.ledger.signed import read_signed
from custodes.ledger.witness_client import WitnessClient


def day(folder: Path, one: Stand, calls: Calls) -> None:
    """Start, append, publish; the witness sees it; twice."""
    with Log.open(folder, SIGNER, Disk(calls)) as log:
        asker = WitnessClient(policy_of([one]), strict=True)
        for _ in range(2):
            grow(log, 2)
            log.publish(asker)


def look(folder: Path, one: Stand, case: str) -> None:
    """What the witness cosigned, and what is published, was signed; `fsck` finds it sound."""
    records = {(record.size, record.root) for record in read_signed(folder / "signed")}
    seen = one.state.latest(SIGNER.name)
    assert seen is None or (seen.size, seen.root) in records, case
    shown = read_unverified((folder / "checkpoint").read_bytes())
    assert (shown.size, shown.root) in records, case
    assert fsck(folder).problems == [], case


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    calls, folder = Steps(), tmp_path_factory.mktemp("whole")
    new_log(folder / "log", 3).close()
    with stand(folder, "w") as one:
        day(folder / "log", one, calls)
    asked, shown = calls.steps.index("open publish.lock"), calls.steps.index("rename checkpoint")
    # The order: signed durable, then the witnesses' keys, then shown.
    assert asked < calls.steps.index("sync signed", asked) < calls.steps.index("rename witnesses") < shown
    return len(calls.steps)


def test_after_a_power_cut_at_any_call_no_witness_remembers_what_the_log_forgot(tmp_path: Path, steps: int) -> None:
    found = 0
    for stop in range(1, steps + 2):
        place = tmp_path / str(stop)
        place.mkdir()
        new_log(place / "log", 3).close()
        with stand(place, "w") as one:
            calls = PowerCut(place / "log", stop)
            with suppress(Stopped):
                day(place / "log", one, calls)
            disks = list(calls.disks(place))
            for disk, state in disks:
                look(disk, one, f"before {calls.steps[-1]}: {state}")
                found += 1
            last, state = disks[-1]
            with Log.open(last, SIGNER) as log:
                grow(log, 1, "after")
                assert log.publish(WitnessClient(policy_of([one]), strict=True)).size == log.size, state
                assert read_unverified(log.published.read()).size == log.size
            look(last, one, f"went on, {state}")
        shutil.rmtree(place)
    assert found > 40


@pytest.mark.parametrize("way", [pytest.param(way, marks=[] if way == "ENOSPC half" else pytest.mark.slow) for way in WAYS[:4]])
def test_after_a_failed_call_the_log_goes_on_with_the_same_witness(tmp_path: Path, steps: int, way: str) -> None:
    for stop in range(1, steps + 1):
        place = tmp_path / str(stop)
        place.mkdir()
        new_log(place / "log", 3).close()
        with stand(place, "w") as one:
            calls = Failing(stop, way)
            with pytest.raises(NotDurable):
                day(place / "log", one, calls)
            look(place / "log", one, calls.steps[stop - 1])
            with Log.open(place / "log", SIGNER) as log:
                grow(log, 1, "after")
                assert log.publish(WitnessClient(policy_of([one]), strict=True)).size == log.size
                assert read_unverified(log.published.read()).size == log.size
            look(place / "log", one, calls.steps[stop - 1])
        shutil.rmtree(place)
