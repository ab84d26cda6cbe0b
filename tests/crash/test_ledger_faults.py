"""Every call to the disk fails once, each way; then no acknowledged entry is lost, no second history signed, and work goes on.

`Faulty` is a disk of its own that stops at the n-th call: before it, after half of it, or after it with the error reported all the
same. `power` drops what was not synced, or a part of it, as a lost power supply does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.errors import NotDurable
from custodes.ledger.disk import Disk
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.segments import SEGMENT
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
WAYS = ("before", "half", "after", "power", "power half")


class Faulty(Disk):
    """A disk whose call number `stop` fails; after that every call does."""

    def __init__(self, stop: int, way: str) -> None:
        self.calls = 0
        self._stop = stop
        self._way = way
        self._synced: dict[int, int] = {}

    def _step(self) -> str:
        self.calls += 1
        if self.calls > self._stop:
            raise NotDurable("the test's disk is gone")
        return self._way if self.calls == self._stop else ""

    def open(self, path: Path, *, create: bool = False) -> int:
        if self._step() in {"before", "half", "power", "power half"}:
            raise NotDurable("open")
        descriptor = super().open(path, create=create)
        self._synced[descriptor] = os.fstat(descriptor).st_size
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        way = self._step()
        if way == "before":
            raise NotDurable("write")
        super().write(descriptor, data[: len(data) // 2] if way == "half" else data, offset)
        if way:
            self._lose(descriptor, way)
            raise NotDurable("write")

    def sync(self, descriptor: int) -> None:
        way = self._step()
        if way in {"", "after"}:
            super().sync(descriptor)
            self._synced[descriptor] = os.fstat(descriptor).st_size
        if way:
            self._lose(descriptor, way)
            raise NotDurable("sync")

    def truncate(self, descriptor: int, size: int) -> None:
        way = self._step()
        if way != "before":
            super().truncate(descriptor, size)
        if way:
            raise NotDurable("truncate")

    def rename(self, scratch: Path, path: Path) -> None:
        way = self._step()
        if way in {"", "after"}:
            super().rename(scratch, path)
        if way:
            raise NotDurable("rename")

    def _lose(self, descriptor: int, way: str) -> None:
        if not way.startswith("power"):
            return
        kept, size = self._synced.get(descriptor, 0), os.fstat(descriptor).st_size
        if size > kept:
            os.ftruncate(descriptor, kept if way == "power" else (kept + size) // 2)


def _add(log: Log, count: int) -> list[bytes]:
    with log.batch() as batch:
        for number in range(count):
            batch.add(1, 500_000, 1, NO_TAG, number.to_bytes(32, "big"))
    return batch.entries


def _day(folder: Path, disk: Disk) -> Iterator[list[bytes]]:
    """Some commits and publishes, one over the end of a segment; yield what was acknowledged."""
    with Log.open(folder, SIGNER, disk) as log:
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


def _copy(source: Path, target: Path) -> None:
    (target / "seg").mkdir(parents=True)
    for file in source.rglob("*"):
        if file.is_file():
            (target / file.relative_to(source)).write_bytes(file.read_bytes())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("start", ["short", pytest.param("turning", marks=pytest.mark.slow)])
def test_after_a_fault_at_any_call_nothing_acknowledged_is_lost(
    starts: dict[str, Path], tmp_path: Path, start: str, way: str
) -> None:
    stop = 0
    while True:
        stop += 1
        folder = tmp_path / str(stop)
        _copy(starts[start], folder)
        before = read_signed(folder / "signed")
        disk, acknowledged, failed = Faulty(stop, way), [], False
        try:
            for entries in _day(folder, disk):
                acknowledged += entries
        except NotDurable:
            failed = True
        _look(folder, before[-1].size, acknowledged, before)
        if not failed:
            break
    assert stop > 20  # all calls of the day were reached


def _look(folder: Path, base: int, acknowledged: list[bytes], before: list) -> None:
    """Start again and check the promises."""
    shown = (folder / "checkpoint").read_bytes()
    with Log.open(folder, SIGNER) as log:
        # P1: what was acknowledged is there, in its place.
        assert log.read(base, base + len(acknowledged)) == acknowledged
        # P3: one history: what was signed before, and what was shown, are in it.
        records = read_signed(folder / "signed")
        assert [record.note for record in records[: len(before)]] == [record.note for record in before]
        assert shown in [record.note for record in records]
        assert len({record.size for record in records}) == len(records)
        # Work goes on.
        _add(log, 1)
        assert log.publish().size == log.size
    report = fsck(folder)
    assert (report.exit_code, report.problems) == (0, [])


def test_an_object_that_met_a_failed_write_takes_no_more_work(starts: dict[str, Path], tmp_path: Path) -> None:
    _copy(starts["short"], tmp_path / "log")
    probe = Faulty(10**9, "before")
    Log.open(tmp_path / "log", SIGNER, probe).close()
    with Log.open(tmp_path / "log", SIGNER, Faulty(probe.calls + 2, "before")) as log:
        for work in (lambda: _add(log, 1), lambda: _add(log, 1), log.publish, lambda: log.append_batch(b"a", [0, 1])):
            with pytest.raises(NotDurable) as wrong:
                work()
            assert wrong.value.exit_code == 5
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.size == 10


def test_making_a_log_can_be_tried_again_after_any_fault(tmp_path: Path) -> None:
    for way in WAYS:
        stop, done = 0, False
        while not done:
            stop += 1
            folder = tmp_path / way.replace(" ", "-") / str(stop)
            try:
                Log.create(folder, SIGNER.name, SIGNER, Faulty(stop, way)).close()
                done = True
            except NotDurable:
                if not (folder / "signed").exists():
                    Log.create(folder, SIGNER.name, SIGNER).close()
            with Log.open(folder, SIGNER) as log:
                assert log.size == 0
            assert fsck(folder).exit_code == 0
        assert stop > 5


FULL = """
import resource, signal, sys
from pathlib import Path
from custodes.errors import CustodesError
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
log = Log.open(Path(sys.argv[1]), Signer("test.example/log", b"\\x01" * 32, b"\\x02" * 32))
try:
    while True:
        first = log.append_batch(b"x" * 960, list(range(0, 961, 96)))
        print(first + 10, flush=True)
except CustodesError as wrong:
    print(wrong, file=sys.stderr)
    sys.exit(wrong.exit_code)
"""


def test_a_full_disk_is_an_outage_and_the_next_start_goes_on(starts: dict[str, Path], tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    _copy(starts["short"], tmp_path / "log")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "log")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 5, done.stderr
    assert "could not write" in done.stderr
    acknowledged = int(done.stdout.split()[-1])
    assert 500 < acknowledged < 620
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert acknowledged <= log.size < acknowledged + 10
        assert log.publish().size == log.size
    assert fsck(tmp_path / "log").exit_code == 0
