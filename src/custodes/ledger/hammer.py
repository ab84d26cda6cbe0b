"""The hammer: a writer at full rate that is killed again and again, and readers who check every checkpoint meanwhile.

    writer    appends batches of random sizes, publishes now and then, and tells what was acknowledged; SIGKILL ends it at random
    readers   for every record of `signed`: signatures, consistency with the one before, inclusion of its last and two other entries
    hammer    opens the log after each kill: nothing acknowledged is lost, nothing shown is unsaid; `fsck` when the log is long

Each entry names its own index, so that an entry in another's place is noticed. The keys are made for the log and die with it. The
processes tell each other by lines in files, which outlive a kill; nothing but the processes started here is ever killed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess  # the writer must be a process of its own, to be killed
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from custodes.errors import ConfigError, CustodesError, LedgerRewritten
from custodes.ledger.checkpoint import Checkpoint, parse_body, read_unverified
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG, Kind, decode, leaf_hash
from custodes.ledger.log import Log
from custodes.ledger.merkle import WIDTH, fold, verify_consistency, verify_inclusion
from custodes.ledger.note import Key, parse, parse_key, verify
from custodes.ledger.proof import consistency, inclusion
from custodes.ledger.segments import Segments, read_bytes
from custodes.ledger.signed import read_signed, split
from custodes.ledger.signer import Signer

_ORIGIN: Final = "hammer.example/log"
_HOUR: Final = 500_000
_BATCHES: Final = (1, 10, 100, 1_000, 5_000)
_READERS: Final = 2
_LONGEST: Final = 3_000_000
"""Entries after which a log is checked whole and the next one is begun: 400 MB of disk."""
_AT_WORK: Final = 0.8
"""Share of the writers that are killed at work; the others while they start, or at work if they were quick."""
_PATIENCE: Final = 120.0
"""Seconds that a writer has to begin, and readers to come to the end of what was signed."""


@dataclass(slots=True)
class HammerReport:
    """What was done and found. `problems`: broken promises; nothing else is ever put there."""

    seconds: float = 0.0
    logs: int = 0
    kills: int = 0
    entries: int = 0
    acknowledged: int = 0
    """Entries of which the writer had told before it was killed."""
    signed: int = 0
    checkpoints: int = 0
    """Checkpoints that readers verified, each with its consistency with the one before."""
    inclusions: int = 0
    kept: Path | None = None
    """Where a broken log lies; sound ones are removed."""
    problems: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 if a promise was broken, else 0."""
        return 3 if self.problems else 0


def hammer(folder: Path, seconds: float, *, seed: int = 0, progress: Callable[[HammerReport], None] | None = None) -> HammerReport:
    """Hammer logs in a fresh folder below `folder` for about `seconds`, plus the time of the last `fsck`.

    `seed` decides batches and moments of the kills (the machine decides what they meet). Raises `ConfigError` if `folder` is none.

    Durable: nothing of value; a broken log is kept. Order: none. Again: makes other logs.
    """
    if not folder.is_dir():
        raise ConfigError("the place to hammer in is no folder", hint="name a folder on the disk that is to be tried")
    report, began = HammerReport(), time.monotonic()
    chance = Random(seed)  # noqa: S311  # moments of kills, no secrets
    place = Path(tempfile.mkdtemp(prefix="custodes-hammer-", dir=folder))
    while not report.problems and time.monotonic() - began < seconds:
        report.logs += 1
        _Round(place / str(report.logs), chance, report).run(began + seconds, progress)
    report.seconds = time.monotonic() - began
    if report.problems:
        report.kept = place
    else:
        shutil.rmtree(place)
    return report


class _Round:
    """One log, from its making to its `fsck`."""

    def __init__(self, folder: Path, chance: Random, report: HammerReport) -> None:
        self._folder, self._chance, self._report = folder, chance, report
        self._log = folder / "log"
        self._size = 0
        self._published: dict[int, str] = {}
        self._told = 0  # bytes of the writer's lines that were read

    def run(self, end: float, progress: Callable[[HammerReport], None] | None) -> None:
        self._folder.mkdir()
        self._signer = Signer.generate(_ORIGIN)
        (self._folder / "key").write_bytes(self._signer.to_bytes())
        Log.create(self._log, _ORIGIN, self._signer).close()
        readers = [self._start("read", name) for name in range(_READERS)]
        try:
            before = self._report.entries
            while time.monotonic() < end and self._size < _LONGEST and not self._report.problems:
                self._kill_one()
                self._report.entries = before + self._size
                if progress is not None:
                    progress(self._report)
        finally:
            (self._folder / "stop").touch()
            self._await(readers)
        self._finish()
        if not self._report.problems:
            shutil.rmtree(self._folder)

    def _start(self, what: str, name: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "custodes.ledger.hammer", what, str(self._folder), str(name)]
        return subprocess.Popen(command)  # noqa: S603  # this program itself

    def _kill_one(self) -> None:
        """Let a writer work for a random while (or not even start), kill it, and look at what it left."""
        with self._start("write", self._chance.randrange(2**32)) as writer:
            try:
                if self._chance.random() < _AT_WORK:
                    self._await_work(writer)
                time.sleep(self._chance.random() ** 2)
            finally:
                writer.kill()
        self._report.kills += 1
        acknowledged = max(self._size, *self._lines())
        self._report.acknowledged += acknowledged - self._size
        try:
            with Log.open(self._log, self._signer) as log:
                self._size = log.size
                self._promise(acknowledged <= log.size, f"{acknowledged} entries were acknowledged, {log.size} are there")
                shown = read_unverified(read_bytes(self._log / "checkpoint"))
                self._promise(shown.size <= log.checkpoint.size <= log.size, "more was shown than signed, or signed than written")
                last = log.read(max(0, log.size - 100), log.size)
                _check_entries(last, log.size - len(last))
        except CustodesError as wrong:
            self._report.problems.append(f"after kill {self._report.kills}: {wrong}")

    def _await_work(self, writer: subprocess.Popen[bytes]) -> None:
        """Wait until the writer has told of something."""
        told, until = self._folder / "told", time.monotonic() + _PATIENCE
        while not told.exists() or told.stat().st_size == self._told:
            if writer.poll() is not None or time.monotonic() > until:
                self._report.problems.append("the writer ended by itself, or did nothing")
                return
            time.sleep(0.002)

    def _lines(self) -> list[int]:
        """Read what the writers have told since last time: sizes acknowledged (at least one number), roots published."""
        path = self._folder / "told"
        data = read_bytes(path, self._told) if path.exists() else b""
        data = data[: data.rfind(b"\n") + 1]
        self._told += len(data)
        sizes = [0]
        for line in data.decode().splitlines():
            size, _, root = line.partition(" ")
            sizes.append(int(size))
            if root:
                self._promise(self._published.setdefault(int(size), root) == root, f"two roots were published at size {size}")
        return sizes

    def _await(self, readers: list[subprocess.Popen[bytes]]) -> None:
        for name, reader in enumerate(readers):
            try:
                reader.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                reader.kill()
                reader.wait()
            found = self._folder / f"reader-{name}"
            if not found.exists():
                self._report.problems.append(f"reader {name} did not come to an end")
                continue
            counts = json.loads(found.read_bytes())
            self._report.checkpoints += counts["checkpoints"]
            self._report.inclusions += counts["inclusions"]
            self._report.problems += counts["problems"]

    def _finish(self) -> None:
        """Publish what is there, and check the whole log."""
        try:
            with Log.open(self._log, self._signer) as log:
                log.publish()
            records = {record.size: record.root.hex() for record in read_signed(self._log / "signed")}
        except CustodesError as wrong:
            self._report.problems.append(f"at the end: {wrong}")
            return
        self._report.signed += len(records)
        self._promise(self._published.items() <= records.items(), "a published root is not in the store of signed checkpoints")
        checked = fsck(self._log)
        self._report.problems += [f"fsck: {text}" for text in (*checked.problems, *checked.unread)]
        self._promise(checked.entries == checked.signed_entries == max(records), "fsck counts other entries than were signed")

    def _promise(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self._report.problems.append(otherwise)


def commitment_at(index: int) -> bytes:
    """Return the 32 bytes that stand for the commitment of the entry at `index`: unlike, and never ending in four zeros.

    A hash does not end so, and a last entry that does is taken for one that a crash tore (`chain.lost_its_end`).
    """
    return (index + 1).to_bytes(32, "big")


def _check_entries(entries: list[bytes], first: int) -> None:
    for index, entry in enumerate(entries, first):
        if decode(entry).commit != commitment_at(index):
            raise LedgerRewritten(f"entry {index} is not the one that was written there")


def _write(folder: Path, seed: int) -> None:
    """The writer: never ends by itself."""
    chance = Random(seed)  # noqa: S311  # sizes of batches, no secrets
    told = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with Log.open(folder / "log", Signer.from_bytes((folder / "key").read_bytes())) as log:
        while True:
            with log.batch() as batch:
                numbers = range(batch.first, batch.first + chance.choice(_BATCHES))
                leaves = [(Kind.ACCESS, NO_TAG, commitment_at(number)) for number in numbers]
                batch.add_all(_HOUR, chance.randrange(4), leaves)
            # Only what is durable is told, and a line that was written whole outlives the kill.
            os.write(told, b"%d\n" % log.size)
            if chance.random() < 0.3:
                point = log.publish()
                os.write(told, f"{point.size} {point.root.hex()}\n".encode())


class _Tiles(Segments):
    """Reads tiles as they are stored, and those of the open segment from its entries; keeps the roots of full ones."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._roots: dict[int, bytes] = {}

    def tile(self, level: int, index: int, width: int = WIDTH) -> bytes:
        if level != 1 or (width == WIDTH and self._is_full(level, index)):
            return super().tile(level, index, width)
        return b"".join(self._root(index * WIDTH + child) for child in range(width))

    def _root(self, index: int) -> bytes:
        if index not in self._roots:
            self._roots[index] = fold(super().tile(0, index))
        return self._roots[index]


class _Reader:
    """Follows `signed` from its beginning."""

    def __init__(self, folder: Path, name: int) -> None:
        self._log, self._stop, self._report = folder / "log", folder / "stop", folder / f"reader-{name}"
        self._chance = Random(name)  # noqa: S311  # which entries to look at, no secrets
        self._tiles = _Tiles(self._log)
        self._keys: list[Key] = [parse_key(line) for line in read_bytes(self._log / "vkey").decode().splitlines()]
        self._at = 0  # bytes of `signed` that were read
        self._last: Checkpoint | None = None
        self._roots: dict[int, bytes] = {}
        self._counts = {"checkpoints": 0, "inclusions": 0}

    def run(self) -> None:
        problems = []
        try:
            while True:
                stop = self._stop.exists()
                if not self._look() and stop:
                    break
                time.sleep(0.01)
        except CustodesError as wrong:
            problems.append(f"reader, after size {self._last.size if self._last else 0}: {wrong}")
        self._report.write_text(json.dumps({**self._counts, "problems": problems}))

    def _look(self) -> int:
        """Check all checkpoints that are new; return how many."""
        shown = read_bytes(self._log / "checkpoint") if (self._log / "checkpoint").exists() else b""
        notes, length = split(read_bytes(self._log / "signed", self._at))
        self._at += length
        for note in notes:
            self._check(note)
        if shown:
            point = self._open(shown)
            # `signed` was read after `checkpoint`, and is durable before it: what was shown is known.
            if self._roots.get(point.size) != point.root:
                raise LedgerRewritten(f"size {point.size} is published and not in the store of signed checkpoints")
        return len(notes)

    def _open(self, note: bytes) -> Checkpoint:
        opened = verify(parse(note), self._keys)
        if len(opened.verified) != len(self._keys):
            raise LedgerRewritten("a checkpoint is not signed by all keys of the log")
        return parse_body(opened.text, note)

    def _check(self, note: bytes) -> None:
        point, last = self._open(note), self._last
        if last is not None and last.size:
            proof = consistency(self._tiles, last.size, point.size)
            verify_consistency(last.size, point.size, last.root, point.root, proof)
        if point.size:
            for index in {point.size - 1, *(self._chance.randrange(point.size) for _ in range(2))}:
                (entry,) = self._tiles.read(index, index + 1)
                _check_entries([entry], index)
                verify_inclusion(index, point.size, leaf_hash(entry), inclusion(self._tiles, index, point.size), point.root)
                self._counts["inclusions"] += 1
        self._last, self._roots[point.size] = point, point.root
        self._counts["checkpoints"] += 1


def main(arguments: list[str]) -> None:
    """Be the writer or a reader: `write FOLDER SEED` or `read FOLDER NAME`."""
    what, folder, number = arguments
    if what == "write":
        _write(Path(folder), int(number))
    else:
        _Reader(Path(folder), int(number)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
