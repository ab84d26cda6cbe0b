"""Intake, the only writer of accesses: raw record → sealed → ledger → minimised → stored, in that order.

    read a chunk, fold what is known, parse          nothing is kept yet
    under the ledger's lock: leaves, then one sealed frame of the vault, durable       the write-ahead record
    the leaves themselves, durable                   acknowledged: from here on the batch will be in the store
    rows to Parquet, positions, then MANIFEST.json   the store's commit line; many batches may share one

A run that was killed is completed at the next start from the sealed frames, so running again always ends in the same rows. Reading
a file twice, in any split or order, adds nothing.
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from custodes.errors import HomeInUse, InputError, NotDurable
from custodes.ledger.leaf import Kind
from custodes.ledger.pulse import Pulse
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.canonical import Json
from custodes.model.datamap import DataMap
from custodes.model.draft import Raw
from custodes.model.policy import Policy
from custodes.source import Chunk, Follow, Position, Source
from custodes.store.gather import Gathered, Replay, Stream
from custodes.store.manifest import read_manifest
from custodes.store.memory import Memory
from custodes.store.recorder import Recorder
from custodes.store.rows import Minimiser
from custodes.store.settle import Settler
from custodes.store.vault import Vault

if TYPE_CHECKING:
    from custodes.ledger.log import Log

PURPOSES: Final = frozenset(
    {
        "analytics",
        "code_of_conduct",
        "fraud",
        "legal_hold",
        "legal_process",
        "life_safety",
        "marketing",
        "oversight",
        "privacy_request",
        "quality",
        "repair",
        "security_analytics",
        "security_response",
        "support",
        "training",
        "trust_safety",
    }
)
"""Purposes that stand in clear where no policy names its own vocabulary."""
_PUBLISH_EVERY_S: Final = 1.0
_MOST_SHOWN: Final = 100
_SEARCH_EVERY: Final = 16

Progress = Callable[[int], None]


def vocabulary(policy: Policy) -> frozenset[str]:
    """Return the purposes that stand in clear under a policy."""
    return (frozenset(policy.purposes) or PURPOSES) | frozenset(policy.never_purposes)


@dataclass(frozen=True, slots=True)
class Limits:
    """Size of a batch: raw records, and their bytes. `coarse_net`: keep a client's /24 or /48 readable.

    `heartbeat_s`: seconds between two heartbeats of a log that is followed.
    """

    records: int = 10_000
    bytes: int = 32 * 2**20
    coarse_net: bool = False
    heartbeat_s: float = 600


@dataclass(slots=True)
class IngestReport:
    """What one run read. `lines`: new raw records; `folded`: records met before; `unread`: (path, reason) of inputs not read.

    `rejected_at`: the first hundred as `file:line: reason`. Reasons and notes hold no content of records.
    """

    lines: int = 0
    accesses: int = 0
    touches: int = 0
    blank: int = 0
    folded: int = 0
    files: int = 0
    noise: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_at: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)

    @property
    def rejected_lines(self) -> int:
        """How many records could not be read."""
        return sum(self.rejected.values())


class Intake:
    """Reads logs into one home. One run at a time: `read` raises `HomeInUse` while another process reads."""

    def __init__(
        self,
        home: Path,
        *,
        log: Log,
        vault: Vault,
        pseudonyms: Pseudonyms,
        key: bytes,
        table_key: bytes,
        datamap: DataMap,
        policy: Policy,
        limits: Limits,
        publish: Callable[[], object],
    ) -> None:
        """`key`: makes ids of records; `table_key`: wraps subjects' keys (32 random bytes each).

        `publish`: signs and publishes the log; called at the end of a run, and every second while logs are followed.
        """
        self._home, self._log, self._vault, self._pseudonyms = home, log, vault, pseudonyms
        self._key, self._table_key, self._datamap, self._limits, self._publish = key, table_key, datamap, limits, publish
        self._vocabulary = vocabulary(policy)
        self.stopping = False
        """Set from a signal handler to end `read` cleanly after the chunk at hand."""

    def read(
        self, source: str, paths: Sequence[str], *, follow: Follow | None = None, progress: Progress | None = None
    ) -> IngestReport:
        """Read `paths` with the source of that name (`auto`: each file's own), record and store them. Idempotent, crash-safe.

        An input that cannot be opened or recognised is named in the report's `unread`; the others are read all the same. With
        `follow` it goes on until `stopping` is set or every input has been idle for `idle_stop_s`. `progress` gets the number of
        records read so far. Raises `HomeInUse`, `NotDurable`.
        """
        with self._lock(), no_cycle_search(), self._run(progress) as run:
            run.recover()
            opened = []
            for path, kind in run.sources(source, paths):
                if follow is None:
                    run.one(kind, path)
                else:
                    opened.append((kind, path))
                if self.stopping:
                    break
            if follow is not None and opened:
                run.follow(opened, follow)
            run.end()
            return run.report

    def recover(self) -> None:
        """Complete what a killed run left, without reading anything. Raises `HomeInUse`."""
        with self._lock():
            self.settle()

    def take_in(self) -> None:
        """Store what the gate recorded since the last run; nothing while logs are being read: that run does it."""
        if self._vault.intake.count() > read_manifest(self._home / "accesses").batches:
            with suppress(HomeInUse):
                self.recover()

    def settle(self) -> None:
        """Do what `recover` does, for a caller who holds `quiet`."""
        with self._run(None) as run:
            run.recover()
            run.end()

    def quiet(self) -> AbstractContextManager[None]:
        """Keep this home from taking anything in while the body runs. Raises `HomeInUse` if logs are being read."""
        return self._lock()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        try:
            handle = os.open(self._home / "intake.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as wrong:
            raise NotDurable(f"the home cannot be written: {wrong.strerror}") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeInUse("another process is reading logs into this home") from None
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _run(self, progress: Progress | None) -> Iterator[_Run]:
        memory = Memory(self._vault, table_key=self._table_key, origin=self._log.origin)
        try:
            settler = Settler(
                self._home / "accesses",
                log=self._log,
                vault=self._vault,
                memory=memory,
                pseudonyms=self._pseudonyms,
                minimiser=Minimiser(self._pseudonyms, self._vocabulary, coarse_net=self._limits.coarse_net),
                datamap=self._datamap,
                key=self._key,
            )
            yield _Run(self, settler, memory, progress)
        finally:
            memory.close()


@dataclass(slots=True)
class Beat:
    """What was recorded of one source since its last heartbeat: raw records, accesses, records that could not be read."""

    since: datetime
    records: int = 0
    accesses: int = 0
    rejected: int = 0

    def content(self, source: str) -> dict[str, Json]:
        """Return the heartbeat's record."""
        since = self.since.isoformat(timespec="seconds").replace("+00:00", "Z")
        counts: dict[str, Json] = {"records": self.records, "accesses": self.accesses, "rejected": self.rejected}
        return {"what": "heartbeat", "source": source, "since": since, **counts}


@contextmanager
def no_cycle_search() -> Iterator[None]:
    """Keep Python from searching for reference cycles among the millions of objects of a run (a fifth of its time, here).

    Batches hold none, and are freed when they are recorded; what parsers leave is looked for now and then (`_commit`). What a run
    of `watch` makes lives to its end.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Run:
    """One run of `read`."""

    def __init__(self, intake: Intake, settler: Settler, memory: Memory, progress: Progress | None) -> None:
        self._intake, self._settler, self._memory, self._progress = intake, settler, memory, progress
        self._vault, self._log, self._key = intake._vault, intake._log, intake._key  # noqa: SLF001  # one module, one task
        self._batch = Gathered()
        self._source: Source | None = None
        self._carried: dict[str, bytes] = {}
        self._unsaved: dict[str, bytes] = {}
        self._recorded = 0
        self._beats: dict[str, Beat] = {}
        self._beaten = self._committed = time.monotonic()
        self.report = IngestReport()

    def recover(self) -> None:
        self._settler.recover()

    def sources(self, name: str, paths: Sequence[str]) -> Iterator[tuple[str, Source]]:
        """Yield each input with its source; those that cannot be opened or recognised go to the report."""
        from custodes import sources

        fixed = None if name == "auto" else sources.load(name)
        for path in paths:
            try:
                kind = fixed or sources.detect(path)
            except InputError as wrong:
                self.report.unread.append((path, str(wrong)))
                continue
            self.report.files += 1
            if kind is not None:
                yield path, kind

    def one(self, kind: Source, path: str) -> None:
        """Read one input to its end."""
        stream = self._open(kind, path)
        try:
            for chunk in kind.read(path, stream.position):
                self._take(kind, stream, chunk)
                if self._intake.stopping:
                    break
        except InputError as wrong:
            self.report.unread.append((path, str(wrong)))
        self._finish(kind, stream)

    def follow(self, opened: Sequence[tuple[Source, str]], follow: Follow) -> None:
        """Read all inputs in turns for as long as they give something; publish at a fixed pace, and write heartbeats."""
        self._beats = {kind.name: Beat(datetime.now(UTC)) for kind, _ in opened}
        with Pulse(self._intake._publish, _PUBLISH_EVERY_S) as pulse:  # noqa: SLF001  # one module, one task
            self._follow(opened, follow, pulse)
            self._commit()
            self._beat()

    def _follow(self, opened: Sequence[tuple[Source, str]], follow: Follow, pulse: Pulse) -> None:
        each = Follow(follow.poll_s / len(opened), follow.idle_stop_s)
        going = []
        for kind, path in opened:
            stream = self._open(kind, path)
            going.append((kind, stream, kind.read(path, stream.position, follow=each)))
        while going and not self._intake.stopping:
            for turn in list(going):
                kind, stream, chunks = turn
                try:
                    chunk = next(chunks, None)
                except InputError as wrong:
                    self.report.unread.append((stream.path, str(wrong)))
                    chunk = None
                if chunk is None:
                    going.remove(turn)
                    self._finish(kind, stream)
                    continue
                self._take(kind, stream, chunk)
                if not chunk.raws:
                    self._idle(kind, stream)
            pulse.check()
            if self._batch.raws and time.monotonic() - self._committed >= _PUBLISH_EVERY_S:
                self._commit()  # a log that is never quiet does not wait until a batch is full
            if time.monotonic() - self._beaten >= self._intake._limits.heartbeat_s:  # noqa: SLF001  # see above
                self._beat()
        for kind, stream, _ in going:
            self._finish(kind, stream)

    def end(self) -> None:
        """Store what is left, join small parts, sign and publish."""
        self._commit()
        self._settler.flush(final=True)
        self._intake._publish()  # noqa: SLF001  # see above

    def _open(self, kind: Source, path: str) -> Stream:
        name = f"{kind.name}\0{os.path.abspath(path)}"  # noqa: PTH100  # a word for the sealed name table, not a path to open
        kept = self._vault.positions.get(name)
        if kept is None:
            return Stream(name, path, kind.parser(self._intake._datamap), Position(), Replay())  # noqa: SLF001  # see above
        position, state = msgspec.msgpack.decode(kept, type=tuple[Position, bytes])
        return Stream(name, path, kind.parser(self._intake._datamap, state), position)  # noqa: SLF001  # see above

    def _take(self, kind: Source, stream: Stream, chunk: Chunk) -> None:
        self._turn_to(kind, stream)
        batch = self._batch
        stream.changed |= stream.position != chunk.position
        stream.position = chunk.position
        batch.notes += chunk.notes
        self.report.blank += chunk.blank
        if chunk.raws:
            self._feed(kind, stream, chunk)
            if self._progress:
                self._progress(self.report.lines + self.report.folded)
        if len(batch.raws) >= self._intake._limits.records or batch.size >= self._intake._limits.bytes:  # noqa: SLF001  # see above
            self._commit()

    def _turn_to(self, kind: Source, stream: Stream) -> None:
        """A batch is of one source: record the batch at hand if it is another's."""
        if kind is not self._source:
            self._commit()
            self._source = kind
        self._batch.streams[stream.name] = stream

    def _feed(self, kind: Source, stream: Stream, chunk: Chunk) -> None:
        batch, raws = self._batch, chunk.raws
        fresh = batch.fresh(raws, kind.name, self._memory, self._key)
        new = sum(fresh)
        self.report.lines += new
        self.report.folded += len(raws) - new
        if stream.replay and fresh[0] and not stream.begun:
            stream.replay = None
            if (state := self._carry(kind)) is not None:
                stream.parser = kind.parser(self._intake._datamap, state)  # noqa: SLF001  # see above
        stream.begun = stream.held = stream.changed = True
        if stream.replay:
            self._feed_again(kind, stream, stream.replay, batch.unfed(raws, fresh, stream.replay))
            return
        taken = raws if new == len(raws) else list(compress(raws, fresh))
        batch.take(stream.parser.feed(taken), kind.name, self._memory, self._key, early=False)

    def _feed_again(self, kind: Source, stream: Stream, replay: Replay, runs: Sequence[tuple[bool, list[Raw]]]) -> None:
        """Feed known records too, for what they say about new ones; count and note only what is new."""
        for new, raws in runs:
            parsed = stream.parser.feed(raws)
            if new:
                self._batch.take(parsed, kind.name, self._memory, self._key, early=False)
            else:
                self._batch.take_again(parsed, kind.name, self._memory, self._key, replay.new)

    def _carry(self, kind: Source) -> bytes | None:
        """Return the state in which the last file of a log ended, if sessions of such logs go on from file to file."""
        if kind.manifest.gap_proof != "per_session":
            return None
        return self._carried.get(kind.name) or self._vault.positions.get(f"{kind.name}\0last")

    def _finish(self, kind: Source, stream: Stream) -> None:
        self._turn_to(kind, stream)
        parsed = stream.parser.finish()
        if not stream.replay or stream.replay.new:
            self._batch.take(parsed, kind.name, self._memory, self._key, early=True)
        if kind.manifest.gap_proof == "per_session":
            self._carried[kind.name] = self._unsaved[kind.name] = stream.parser.state()

    def _idle(self, kind: Source, stream: Stream) -> None:
        """Nothing more for now: give out what was held back, and let it be seen."""
        if stream.held:
            self._turn_to(kind, stream)
            stream.held, stream.changed = False, True
            self._batch.take(stream.parser.finish(), kind.name, self._memory, self._key, early=True)
            self._commit()
            self._settler.flush(final=False)

    def _beat(self) -> None:
        """Write a heartbeat of each source that is followed: silence is then told from a reader that has stopped."""
        self._beaten, now = time.monotonic(), datetime.now(UTC)
        recorder = Recorder(self._log, self._vault)
        for name, beat in self._beats.items():
            recorder.record(Kind.HEARTBEAT, beat.content(name), now)
            self._beats[name] = Beat(now)

    def _commit(self) -> None:
        """Record the batch at hand and begin another."""
        self._committed = time.monotonic()
        if self._source is not None:
            self._record(self._batch, self._source)
            self._batch = Gathered()
            self._recorded += 1
            if self._recorded % _SEARCH_EVERY == 0:
                gc.collect(0)

    def _record(self, batch: Gathered, kind: Source) -> None:
        positions = [
            (stream.name, msgspec.msgpack.encode((stream.position, stream.parser.state())))
            for stream in batch.streams.values()
            if stream.changed
        ]
        if kind.name in self._unsaved:
            positions.append((f"{kind.name}\0last", self._unsaved.pop(kind.name)))
        made = self._settler.record(kind, batch, positions)
        if beat := self._beats.get(kind.name):
            beat.records += len(batch.raws)
            beat.accesses += made.accesses
            beat.rejected += len(batch.rejected)
        self.report.accesses += made.accesses
        self.report.touches += made.touches
        self.report.sources[kind.name] = self.report.sources.get(kind.name, 0) + made.accesses
        self._say(batch)
        for stream in batch.streams.values():
            stream.changed = False

    def _say(self, batch: Gathered) -> None:
        report = self.report
        for kind, count in batch.counted.items():
            report.noise[kind] = report.noise.get(kind, 0) + count
        for item in batch.rejected:
            report.rejected[item.reason] = report.rejected.get(item.reason, 0) + 1
            if len(report.rejected_at) < _MOST_SHOWN:
                report.rejected_at.append(f"{item.raw.file}:{item.raw.line}: {item.reason}")
        for note in batch.notes:
            if len(report.notes) < _MOST_SHOWN:
                where = note.file if note.line is None else f"{note.file}:{note.line}"
                report.notes.append(f"{where}: {note.text}")
