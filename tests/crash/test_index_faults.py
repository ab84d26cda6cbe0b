"""Every call to the disk fails once while an index is made and published: no root is lost, doubled or false, and work goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from failing_disk import WAYS, Failing, PowerCut, Steps, Stopped

from custodes.errors import NotDurable
from custodes.ledger.blobs import Blobs
from custodes.ledger.disk import Calls, Disk
from custodes.ledger.fsck import fsck
from custodes.ledger.index import IndexEntry
from custodes.ledger.index_log import IndexLog, open_index
from custodes.ledger.leaf import MANY_TAG, Kind, hour_of
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
START = datetime(2026, 1, 30, tzinfo=UTC)
LATER = START + timedelta(days=5)
TAGS = [bytes((number,)) * 32 for number in range(1, 9)]
QUICK = ("EIO before", "ENOSPC half")


def look(main: Log, when: datetime, leaves: list[tuple[int, bytes]]) -> None:
    with main.batch() as batch:
        for kind, tag in leaves:
            batch.add(kind, hour_of(when), 1, tag, bytes(32))


def made(folder: Path, calls: Calls | None = None) -> tuple[Log, IndexLog]:
    disk = Disk(calls) if calls else Disk()
    main = Log.open(folder / "ledger/log", SIGNER, disk)

    def record(what: object) -> None:
        look(main, START, [(Kind.POLICY, bytes(32))])
        assert json.dumps(what)

    try:
        index = open_index(main, folder / "ledger/index", folder / "keys/index.key", record, disk)
    except BaseException:
        main.close()
        raise
    index.keep_from = 4
    return main, index


def day(folder: Path, calls: Calls) -> Iterator[list[IndexEntry]]:
    """Make the index, publish a root, a list, a final root; yield what was acknowledged."""
    main, index = made(folder, calls)
    with main, index.log:
        look(main, START, [(Kind.ACCESS, tag) for tag in TAGS])
        main.publish()
        yield index.publish(START)
        digest, _ = Blobs(main.path, Disk(calls)).put(TAGS[2:])
        look(main, LATER, [(Kind.ACCESS, MANY_TAG), (Kind.BULK, digest)])
        main.publish()
        yield index.publish(LATER)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has a log and no index yet."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "keys").mkdir()
    with Log.create(folder / "ledger/log", SIGNER.name, SIGNER) as log:
        look(log, START, [(Kind.POLICY, bytes(32))])
        log.publish()
    return folder


def calls_of(start: Path, folder: Path) -> int:
    shutil.copytree(start, folder)
    calls = Steps()
    assert sum(len(entries) for entries in day(folder, calls)) == 3
    steps = calls.steps
    # The key has its name only when its log has a checkpoint; a list is durable before the leaf that names it.
    assert steps.index("rename index.key.making") < steps.index("rename signed") < steps.index("rename index.key")
    listed = next(at for at, step in enumerate(steps) if step == "names blobs")
    assert any(step == "write 000000.log" for step in steps[listed:])
    return len(steps)


def judge(folder: Path, acknowledged: list[IndexEntry], case: str) -> None:
    """Start again and check: what was acknowledged is published, nothing twice, and a whole index can be made."""
    key = (folder / "keys/index.key").read_bytes() if (folder / "keys/index.key").exists() else None
    main, index = made(folder)
    with main, index.log:
        assert index.entries()[: len(acknowledged)] == acknowledged, case
        look(main, LATER, [(Kind.ACCESS, TAGS[0])])
        main.publish()
        index.publish(LATER, force=True)
        entries = index.entries()
        assert len({(entry.epoch, entry.size) for entry in entries}) == len(entries), case
        assert sum(entry.final for entry in entries) == 1, case
        assert index.lookup(TAGS[0], "2026-02")[0].positions == (main.size - 1,), case
    assert key in {None, (folder / "keys/index.key").read_bytes()}, case
    report = fsck(folder / "ledger/log", index=folder / "ledger/index")
    assert (report.exit_code, report.problems) == (0, []), case


@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS])
def test_after_a_fault_at_any_call_the_index_is_whole(start: Path, tmp_path: Path, way: str) -> None:
    total = calls_of(start, tmp_path / "whole")
    for stop in range(1, total + 1, 5 if way in QUICK else 1):
        folder = tmp_path / str(stop)
        shutil.copytree(start, folder)
        calls, acknowledged = Failing(stop, way), []
        try:
            for entries in day(folder, calls):
                acknowledged += entries
        except NotDurable:
            assert calls.failed
        judge(folder, acknowledged, f"{way}, {calls.steps[stop - 1]}")
        shutil.rmtree(folder)


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_after_a_power_cut_at_any_call_the_index_is_whole(start: Path, tmp_path: Path, step: int) -> None:
    total, found = calls_of(start, tmp_path / "whole"), 0
    for stop in range(1, total + 2, step):
        folder = tmp_path / str(stop) / "home"
        shutil.copytree(start, folder)
        calls, acknowledged = PowerCut(folder, stop), []
        try:
            for entries in day(folder, calls):
                acknowledged += entries
        except Stopped:
            pass
        for disk, state in calls.disks(tmp_path / str(stop) / "after"):
            judge(disk, acknowledged, f"before {calls.steps[-1]}: {state}")
            found += 1
        shutil.rmtree(tmp_path / str(stop))
    assert found > total // step
