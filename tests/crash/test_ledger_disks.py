"""Real disks that give no more: full, and read-only. An outage is told as one, nothing acknowledged is lost, and reading goes on.

The disks are memory file systems in a mount namespace of a child's own, so that only the child sees them and they vanish with it.
Where that is not allowed, a limit on the size of files stands in for the full disk, and the test of the read-only one skips.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from custodes.ledger.fsck import fsck
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
HEAD = """
import os, resource, signal, subprocess, sys
from pathlib import Path
from custodes.errors import NotDurable
from custodes.ledger.fsck import fsck
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
from custodes.verify.check import check
SIGNER = Signer("test.example/log", b"\\x01" * 32, b"\\x02" * 32)
POLICY = "".join(f"log {key.vkey()}\\n" for key in SIGNER.keys).encode() + b"quorum none\\n"
folder = Path(sys.argv[1])
batch, offsets = b"x" * 9_600, list(range(0, 9_601, 96))
def refused(work):
    try:
        work()
    except NotDurable as wrong:
        assert wrong.exit_code == 5
        return str(wrong)
    raise AssertionError("work went on")
"""
FULL = (
    HEAD
    + """
ballast = folder / "ballast"
ballast.write_bytes(bytes(1_000_000))
log = Log.create(folder / "log", SIGNER.name, SIGNER)
acknowledged = shown = 0
try:
    while True:
        acknowledged = log.append_batch(batch, offsets) + 100
        if acknowledged % 1_000 == 0:
            shown = log.publish().size
except NotDurable as wrong:
    assert "ENOSPC" in str(wrong), wrong
assert acknowledged > 10_000
assert "takes no more work" in refused(log.publish)
log.close()
# The disk is still full: the record can be checked, and nothing is pretended.
assert fsck(folder / "log").exit_code == 0
assert check(folder / "log", POLICY).exit_code == 0
for turn in range(3):
    try:
        with Log.open(folder / "log", SIGNER) as log:
            assert log.size >= acknowledged
            refused(lambda: [log.append_batch(batch, offsets) for _ in range(1_000)])
    except NotDurable:
        pass
ballast.unlink()
with Log.open(folder / "log", SIGNER) as log:
    assert log.size >= acknowledged and log.checkpoint.size >= shown
    log.append_batch(batch, offsets)
    assert log.publish().size == log.size
report = fsck(folder / "log")
assert (report.exit_code, report.problems, report.entries) == (0, [], report.signed_entries), report
print("done", acknowledged)
"""
)
READ_ONLY = (
    HEAD
    + """
home, folder = folder, folder / "ledger" / "log"
with Log.create(folder, SIGNER.name, SIGNER) as log:
    log.append_batch(batch, offsets)
    log.publish()
subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
assert "EROFS" in refused(lambda: Log.open(folder, SIGNER))
assert "EROFS" in refused(lambda: Log.create(home / "other" / "log", SIGNER.name, SIGNER))
# Reading needs no writing.
assert fsck(folder).exit_code == 0
assert check(folder, POLICY).exit_code == 0
subprocess.run([sys.executable, "-m", "custodes", "ledger", "fsck", "--home", str(home)], check=True, stdout=subprocess.DEVNULL)
subprocess.run(["mount", "-o", "remount,rw", str(home)], check=True)
with Log.open(folder, SIGNER) as log:
    assert log.size == 100
    log.append_batch(batch, offsets)
    assert log.publish().size == 200
assert fsck(folder).exit_code == 0
print("done 100")
"""
)


def _on_a_disk(folder: Path, size: str, script: str) -> int:
    """Run the script with a small disk of its own mounted at `folder`; return the number that it prints."""
    mount = ["unshare", "--mount", "--map-root-user"]
    try:
        probe = subprocess.run([*mount, "mount", "-t", "tmpfs", "none", folder], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here, which gives a test a disk of its own")
    if probe.returncode:
        pytest.skip(f"no file system can be mounted here ({probe.stderr.strip()})")
    command = 'mount -t tmpfs -o size="$1" none "$2" && exec "$3" -c "$4" "$2"'
    done = subprocess.run(
        [*mount, "sh", "-c", command, "sh", size, folder, sys.executable, script],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    word, number = done.stdout.split()[-2:]
    assert word == "done"
    return int(number)


def test_a_full_disk_is_an_outage_that_loses_nothing_and_ends_when_there_is_room(tmp_path: Path) -> None:
    assert _on_a_disk(tmp_path, "4m", FULL) > 10_000


def test_a_read_only_disk_is_an_outage_for_writers_and_none_for_readers(tmp_path: Path) -> None:
    assert _on_a_disk(tmp_path, "4m", READ_ONLY) == 100


LIMITED = (
    HEAD
    + """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
log = Log.open(folder, SIGNER)

def fill():
    while True:
        print("done", log.append_batch(b"x" * 960, list(range(0, 961, 96))) + 10, flush=True)
assert "could not write" in refused(fill)
"""
)


def test_a_file_that_may_grow_no_more_is_an_outage_and_the_next_start_goes_on(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    Log.create(tmp_path / "log", SIGNER.name, SIGNER).close()
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    acknowledged = int(done.stdout.split()[-1])
    assert 500 < acknowledged < 620
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert acknowledged <= log.size < acknowledged + 10
        assert log.publish().size == log.size
    assert fsck(tmp_path / "log").exit_code == 0
