"""A log grows in any batches, by any number of writers, under readers' eyes: always the same tree, and no entry is lost."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from merkle_reference import Reference

from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import decode
from custodes.ledger.log import Log
from custodes.ledger.proof import consistency, inclusion, root_of
from custodes.ledger.segments import SEGMENT, Segments
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer

SIGNER = Signer("hammer.example/log", b"\x01" * 32, b"\x02" * 32)


def entry(index: int) -> bytes:
    """An entry of 8 to 300 bytes; every 1,000th has the most that an entry may have."""
    return b"%08d" % index + b"." * (65_527 if index % 1_000 == 999 else index * 7_919 % 293)


REFERENCE = Reference(entry)


def _append(log: Log, count: int) -> None:
    entries = [entry(index) for index in range(log.size, log.size + count)]
    offsets = [0]
    for one in entries:
        offsets.append(offsets[-1] + len(one))
    log.append_batch(b"".join(entries), offsets)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Logs that end shortly before a tile, and before a segment, is full."""
    folders = {}
    for size in (0, 253, SEGMENT - 3):
        folders[size] = tmp_path_factory.mktemp("start") / "log"
        with Log.create(folders[size], SIGNER.name, SIGNER) as log:
            if size:
                _append(log, size)
            log.publish()
    return folders


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 1), st.sampled_from([1, 1, 2, 3, 5, 254, 256, 600])),
        st.tuples(st.sampled_from(["publish", "reopen"]), st.integers(0, 1), st.just(0)),
    ),
    max_size=10,
)


@given(st.sampled_from([0, 253, SEGMENT - 3]), ACTS)
def test_any_batches_of_two_writers_in_turn_make_the_tree_of_the_reference(
    starts: dict[int, Path], start: int, acts: list[tuple[str, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "log"
        shutil.copytree(starts[start], folder)
        logs, size = [Log.open(folder, SIGNER) for _ in range(2)], start
        for act, who, count in acts:
            if act == "append":
                _append_after(logs[who], size, count)
                size += count
            elif act == "publish":
                point = logs[who].publish()
                assert (point.size, point.root) == (size, REFERENCE.mth(0, size))
            else:
                logs[who].close()
                logs[who] = Log.open(folder, SIGNER)
                assert logs[who].size == size
        assert logs[0].publish().root == REFERENCE.mth(0, size)
        first = max(0, size - 700)
        assert logs[0].read(first, size) == [entry(index) for index in range(first, size)]
        for log in logs:
            log.close()
        reader = Segments(folder)
        assert root_of(reader, size) == REFERENCE.mth(0, size)
        for index in {0, size // 2, size - 1} if size else ():
            assert inclusion(reader, index, size) == REFERENCE.path(index, 0, size)
        for record in read_signed(folder / "signed"):
            if record.size:
                assert consistency(reader, record.size, size) == REFERENCE.steps(record.size, 0, size)
        report = fsck(folder)
        assert (report.exit_code, report.problems, report.entries) == (0, [], size)


def _append_after(log: Log, size: int, count: int) -> None:
    """Append the entries after `size`, which this object may not have seen yet."""
    entries = [entry(index) for index in range(size, size + count)]
    offsets = [0]
    for one in entries:
        offsets.append(offsets[-1] + len(one))
    assert log.append_batch(b"".join(entries), offsets) == size


WRITER = """
import random, sys
from pathlib import Path
from custodes.ledger.hammer import commitment_at
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
folder, source, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(f"{folder} {source}")
with Log.open(folder, Signer("hammer.example/log", b"\\x01" * 32, b"\\x02" * 32)) as log:
    done = 0
    while done < count:
        with log.batch() as batch:
            many = min(count - done, chance.choice((1, 7, 100, 900, 3000)))
            batch.add_all(1, source, [(1, NO_TAG, commitment_at(at)) for at in range(batch.first, batch.first + many)])
        print(batch.first, many, flush=True)
        done += many
        if chance.random() < 0.3:
            log.publish()
"""


@pytest.mark.parametrize("writers", [3])
def test_writing_processes_in_turn_and_readers_beside_them_agree_on_one_history(tmp_path: Path, writers: int) -> None:
    each = 24_000  # together more than a segment
    with Log.create(tmp_path / "log", SIGNER.name, SIGNER) as log:
        log.publish()
    with ExitStack() as started:
        readers = [
            _start(started, "-m", "custodes.ledger.hammer", "read", str(tmp_path), str(name), stdout=None) for name in range(2)
        ]
        children = [_start(started, "-c", WRITER, str(tmp_path / "log"), str(source), str(each)) for source in range(writers)]
        told = [child.communicate(timeout=120)[0] for child in children]
        assert [child.returncode for child in children] == [0] * writers
        _assert_all_stand(tmp_path, told, each)
        (tmp_path / "stop").touch()
        assert [reader.wait(120) for reader in readers] == [0, 0]
    for name in range(2):
        found = json.loads((tmp_path / f"reader-{name}").read_text())
        assert found["problems"] == []
        assert found["checkpoints"] == len(read_signed(tmp_path / "log/signed"))
    report = fsck(tmp_path / "log")
    assert (report.exit_code, report.problems, report.sources) == (0, [], writers)


def _start(started: ExitStack, *arguments: str, stdout: int | None = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start a process that does not outlive the test, whatever the test meets."""
    child = started.enter_context(subprocess.Popen([sys.executable, *arguments], stdout=stdout, text=True))
    started.callback(child.kill)  # called before the process is waited for; nothing happens to one that has ended
    return child


def _assert_all_stand(tmp_path: Path, told: list[str], each: int) -> None:
    """Nobody's entry is lost or doubled: each batch lies where its writer was told, and the batches fill the log."""
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.publish().size == len(told) * each
        ranges = []
        for source, lines in enumerate(told):
            done = 0
            for line in lines.splitlines():
                first, many = map(int, line.split())
                leaves = [decode(data) for data in log.read(first, first + many)]
                assert [leaf.seq for leaf in leaves] == list(range(done, done + many))
                assert {leaf.source for leaf in leaves} == {source}
                done += many
                ranges.append((first, first + many))
            assert done == each
    ranges.sort()
    assert [end for _, end in ranges[:-1]] == [start for start, _ in ranges[1:]]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tiles_of_the_second_upper_level_are_made_again_when_they_were_lost(tmp_path: Path) -> None:
    chance = random.Random("second level")
    with Log.create(tmp_path / "log", SIGNER.name, SIGNER) as log:
        for _ in range(257):
            data = chance.randbytes(SEGMENT)
            log.append_batch(data, range(SEGMENT + 1))
        root = log.publish().root
        assert log.size > 256**3
    upper = (tmp_path / "log/upper").read_bytes()
    (tmp_path / "log/edge").unlink()
    (tmp_path / "log/upper").write_bytes(upper[: 100 * 8_192] + bytes(len(upper) - 100 * 8_192))
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.publish().root == root
    assert (tmp_path / "log/upper").read_bytes() == upper
    report = fsck(tmp_path / "log")
    assert (report.exit_code, report.problems) == (0, [])
    assert root_of(Segments(tmp_path / "log"), 257 * SEGMENT) == root
