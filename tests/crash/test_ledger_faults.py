"""Every call to the disk fails once, each way; then no acknowledged entry is lost, no second history signed, and work goes on.

`TABLE` is the order in which an append, the end of a segment and a publish touch the disk, step by step. Each step fails in every
way that an operating system knows, and before each step (so also after the one above it) the power goes, once for every disk that
may be found afterwards.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from failing_disk import WAYS, Failing, PowerCut, Steps, Stopped

from custodes.errors import NotDurable
from custodes.ledger.disk import Calls, Disk
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.segments import SEGMENT
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)

SHOWN = ["open checkpoint.new", "write checkpoint.new", "sync checkpoint.new", "rename checkpoint", "names log"]
TABLE = {
    "append": ["write 000000.log", "sync 000000.log"],
    "publish": ["write signed", "sync signed", *SHOWN],
    "append over the end of a segment": [
        "write 000000.log",
        "sync 000000.log",
        *("open 000000.hash.new", "write 000000.hash.new", "sync 000000.hash.new", "rename 000000.hash", "names seg"),
        *("open upper", "names log", "write upper", "sync upper"),
        *("open edge.new", "write edge.new", "sync edge.new", "rename edge", "names log"),
        *("open 000001.log", "names seg", "names seg"),
        "write 000001.log",
        "sync 000001.log",
    ],
}
"""What each act does to the disk, in order: entries before tiles, all of them before `signed`, `signed` before what is shown."""


def _add(log: Log, count: int) -> list[bytes]:
    with log.batch() as batch:
        for number in range(count):
            batch.add(1, 500_000, 1, NO_TAG, number.to_bytes(32, "big"))
    return batch.entries


def _day(folder: Path, calls: Calls) -> Iterator[list[bytes]]:
    """Some commits and publishes, the last one over the end of a segment if that is near; yield what was acknowledged."""
    with Log.open(folder, SIGNER, Disk(calls)) as log:
        yield _add(log, 3)
        log.publish()
        yield _add(log, 2)
        yield _add(log, 4)
        log.publish()


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short log, and one that ends four entries before its first segment does."""
    folders = {}
    for name, size in (("short", 10), ("turning", SEGMENT - 4)):
        folder = tmp_path_factory.mktemp(name) / "log"
        with Log.create(folder, SIGNER.name, SIGNER) as log:
            _add(log, size)
            log.publish()
        folders[name] = folder
    return folders


def test_the_steps_of_each_act_are_those_of_the_table(starts: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(starts["turning"], tmp_path / "log")
    calls = Steps()
    made = {}
    with Log.open(tmp_path / "log", SIGNER, Disk(calls)) as log:
        acts = {"append": lambda: _add(log, 3), "publish": log.publish, "append over the end of a segment": lambda: _add(log, 2)}
        for name, act in acts.items():
            calls.steps.clear()
            act()
            made[name] = [step for step in calls.steps if step != "open lock"]
    assert made == TABLE


START = ["short", pytest.param("turning", marks=pytest.mark.slow)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start", START)
def test_after_a_fault_at_any_call_nothing_acknowledged_is_lost(
    starts: dict[str, Path], tmp_path: Path, start: str, way: str
) -> None:
    for stop in range(1, _calls(starts[start], tmp_path / "whole" / "log") + 1):
        folder = tmp_path / str(stop) / "log"
        shutil.copytree(starts[start], folder)
        before = read_signed(folder / "signed")[1:]
        calls, acknowledged, failed = Failing(stop, way), [], False
        try:
            for entries in _day(folder, calls):
                acknowledged += entries
        except NotDurable:
            failed = True
        assert failed == calls.failed == (way != "short write"), calls.steps[stop - 1]
        _look(folder, before, acknowledged, calls.steps[stop - 1])
        shutil.rmtree(tmp_path / str(stop))


@pytest.mark.parametrize("start", START)
def test_after_a_power_cut_at_any_call_nothing_acknowledged_is_lost(starts: dict[str, Path], tmp_path: Path, start: str) -> None:
    found = 0
    for stop in range(1, _calls(starts[start], tmp_path / "whole" / "log") + 2):
        folder = tmp_path / str(stop) / "log"
        shutil.copytree(starts[start], folder)
        before = read_signed(folder / "signed")[1:]
        calls, acknowledged = _until_a_power_cut(folder, stop)
        for disk, state in calls.disks(tmp_path / str(stop)):
            _look(disk, before, acknowledged, f"before {calls.steps[-1]}: {state}")
            found += 1
        shutil.rmtree(tmp_path / str(stop))
    assert found > 50


@pytest.mark.parametrize("start", START)
def test_what_a_dying_process_left_unsynced_is_durable_before_another_builds_on_it(
    starts: dict[str, Path], tmp_path: Path, start: str
) -> None:
    for stop in range(1, _calls(starts[start], tmp_path / "whole" / "log") + 1):
        folder = tmp_path / str(stop) / "log"
        shutil.copytree(starts[start], folder)
        before = read_signed(folder / "signed")[1:]
        calls, acknowledged = _until_a_power_cut(folder, stop)
        died = calls.steps[-1]
        assert len(calls.steps) == stop
        calls.go_on()
        with Log.open(folder, SIGNER, Disk(calls)) as log:
            found = log.read(before[-1].size, log.size)
            assert found[: len(acknowledged)] == acknowledged
            for disk, state in calls.disks(tmp_path / str(stop) / "opened"):
                _look(disk, before, acknowledged, f"killed before {died}, opened, then cut: {state}")
            acknowledged = found + _add(log, 1)
            before.append(log.publish())
        for disk, state in calls.disks(tmp_path / str(stop) / "published"):
            _look(disk, before, acknowledged, f"killed before {died}, published, then cut: {state}")
        shutil.rmtree(tmp_path / str(stop))


def _until_a_power_cut(folder: Path, stop: int) -> tuple[PowerCut, list[bytes]]:
    """Live the day on a disk whose power goes before its call number `stop`; return the disk and what was acknowledged."""
    calls, acknowledged = PowerCut(folder, stop), []
    try:
        for entries in _day(folder, calls):
            acknowledged += entries
    except Stopped:
        pass
    return calls, acknowledged


def _calls(start: Path, folder: Path) -> int:
    """Return how many calls the whole day makes."""
    shutil.copytree(start, folder)
    calls = Steps()
    assert sum(len(entries) for entries in _day(folder, calls)) == 9
    steps = set(calls.steps)
    assert steps >= {*TABLE["append"], *TABLE["publish"]}
    if "open 000001.log" in steps:
        assert steps >= set(TABLE["append over the end of a segment"])
    return len(calls.steps)


def _look(folder: Path, before: list, acknowledged: list[bytes], case: str) -> None:
    """Start again and check the promises."""
    shown, base = (folder / "checkpoint").read_bytes(), before[0].size
    with Log.open(folder, SIGNER) as log:
        # P1: what was acknowledged is there, in its place.
        assert log.read(base, base + len(acknowledged)) == acknowledged, case
        # P3: one history: what was signed before, and what was shown, are in it.
        records = read_signed(folder / "signed")
        notes = [record.note for record in records]
        assert [note for note in notes if note in {record.note for record in before}] == [record.note for record in before], case
        assert shown in notes, case
        assert len({record.size for record in records}) == len(records), case
        # Work goes on.
        _add(log, 1)
        assert log.publish().size == log.size, case
    report = fsck(folder)
    assert (report.exit_code, report.problems, report.notes) == (0, [], []), case


@pytest.mark.parametrize("cut", range(0, 3 * 98, 7))
def test_a_hole_anywhere_in_a_batch_that_was_not_acknowledged_leaves_whole_leaves_only(
    starts: dict[str, Path], tmp_path: Path, cut: int
) -> None:
    shutil.copytree(starts["short"], tmp_path / "log")
    with Log.open(tmp_path / "log", SIGNER) as log:
        _add(log, 3)
    file = tmp_path / "log/seg/000000.log"
    data = file.read_bytes()
    start = len(data) - 3 * 98 + cut
    file.write_bytes(data[:start] + bytes(len(data) - start))
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.size == 10 + cut // 98
        _add(log, 1)
        log.publish()
    report = fsck(tmp_path / "log")
    assert (report.exit_code, report.problems, report.notes) == (0, [], [])


def test_a_hole_behind_an_entry_that_is_whole_takes_nothing_away(tmp_path: Path) -> None:
    for name, entries in {"json": [b'{"a":1}', b'{"b":0}'], "other": [b"\x00" * 50, b"a\x00"]}.items():
        folder = tmp_path / name
        with Log.create(folder, SIGNER.name, SIGNER) as log:
            log.append_batch(b"".join(entries), [0, len(entries[0]), len(entries[0]) + len(entries[1])])
        with (folder / "seg/000000.log").open("ab") as file:
            file.write(bytes(300))
        with Log.open(folder, SIGNER) as log:
            assert log.read(0, log.size) == entries
    folder = tmp_path / "torn"
    with Log.create(folder, SIGNER.name, SIGNER) as log:
        log.append_batch(b'{"a":1}', [0, 7])
    with (folder / "seg/000000.log").open("ab") as file:
        file.write(b'\x00\x07{"b"' + bytes(300))
    with Log.open(folder, SIGNER) as log:
        assert log.read(0, log.size) == [b'{"a":1}']


def test_an_object_that_met_a_failed_write_takes_no_more_work(starts: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(starts["short"], tmp_path / "log")
    probe = Steps()
    Log.open(tmp_path / "log", SIGNER, Disk(probe)).close()
    with Log.open(tmp_path / "log", SIGNER, Disk(Failing(len(probe.steps) + 2, "EIO before"))) as log:
        for work in (lambda: _add(log, 1), lambda: _add(log, 1), log.publish, lambda: log.append_batch(b"a", [0, 1])):
            with pytest.raises(NotDurable) as wrong:
                work()
            assert wrong.value.exit_code == 5
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.size == 10


@pytest.mark.parametrize("way", WAYS)
def test_making_a_log_can_be_tried_again_after_any_fault(tmp_path: Path, way: str) -> None:
    stop, failed = 0, True
    while failed:
        stop += 1
        folder = tmp_path / str(stop) / "ledger" / "log"
        calls = Failing(stop, way)
        try:
            Log.create(folder, SIGNER.name, SIGNER, Disk(calls)).close()
        except NotDurable:
            assert calls.failed
            if not (folder / "signed").exists():
                Log.create(folder, SIGNER.name, SIGNER).close()
        failed = len(calls.steps) >= stop
        with Log.open(folder, SIGNER) as log:
            assert log.size == 0
        assert fsck(folder).exit_code == 0
    assert stop > 15


def test_making_a_log_can_be_tried_again_after_any_power_cut(tmp_path: Path) -> None:
    stop, found, done = 0, 0, False
    while not done:
        stop += 1
        base = tmp_path / str(stop) / "home"
        base.mkdir(parents=True)
        calls = PowerCut(base, stop)
        try:
            Log.create(base / "ledger" / "log", SIGNER.name, SIGNER, Disk(calls)).close()
            done = True
        except Stopped:
            pass
        for disk, state in calls.disks(tmp_path / str(stop)):
            folder = disk / "ledger" / "log"
            assert not done or (folder / "signed").exists(), state  # who was told that there is a log finds it
            if not (folder / "signed").exists():
                Log.create(folder, SIGNER.name, SIGNER).close()
            with Log.open(folder, SIGNER) as log:
                assert log.size == 0
            assert fsck(folder).exit_code == 0, state
            found += 1
    assert found > 30
