"""One run of intake: chunks of raw records become batches, each recorded and stored in the order that `custodes.intake` tells."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import compress
from typing import TYPE_CHECKING, Final

import msgspec

from custodes.errors import InputError
from custodes.intake.report import IngestReport
from custodes.ledger.leaf import Kind
from custodes.ledger.pulse import Pulse
from custodes.model.canonical import Json
from custodes.model.datamap import DataMap
from custodes.model.draft import Raw
from custodes.source import Chunk, Follow, Position, Source
from custodes.store.gather import Gathered, Replay, Stream
from custodes.store.memory import Memory
from custodes.store.recorder import Recorder
from custodes.store.settle import Settler
from custodes.store.vault import Vault

if TYPE_CHECKING:
    from custodes.ledger.log import Log

_PUBLISH_EVERY_S: Final = 1.0
_SEARCH_EVERY: Final = 16

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """Size of a batch: raw records, and their bytes. `coarse_net`: keep a client's /24 or /48 readable.

    `heartbeat_s`: seconds between two heartbeats of a log that is followed.
    """

    records: int = 10_000
    bytes: int = 32 * 2**20
    coarse_net: bool = False
    heartbeat_s: float = 600


@dataclass(frozen=True, slots=True)
class Setup:
    """What every run into a home works with. `key`: of the ids of records; `stopping`: whether to end after the chunk at hand."""

    log: Log
    vault: Vault
    key: bytes
    datamap: DataMap
    limits: Limits
    publish: Callable[[], object]
    stopping: Callable[[], bool]


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


class Run:
    """One run of `read`."""

    def __init__(self, setup: Setup, settler: Settler, memory: Memory, progress: Progress | None) -> None:
        self._setup, self._settler, self._memory, self._progress = setup, settler, memory, progress
        self._vault, self._log, self._key = setup.vault, setup.log, setup.key
        self._batch = Gathered()
        self._source: Source | None = None
        self._carried: dict[str, bytes] = {}
        self._unsaved: dict[str, bytes] = {}
        self._recorded = 0
        self._beats: dict[str, Beat] = {}
        self._beaten = self._committed = time.monotonic()
        self.report = IngestReport()

    def recover(self) -> None:
        """Complete what a killed run left."""
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
                if self._setup.stopping():
                    break
        except InputError as wrong:
            self.report.unread.append((path, str(wrong)))
        self._finish(kind, stream)

    def follow(self, opened: Sequence[tuple[Source, str]], follow: Follow) -> None:
        """Read all inputs in turns for as long as they give something; publish at a fixed pace, and write heartbeats."""
        self._beats = {kind.name: Beat(datetime.now(UTC)) for kind, _ in opened}
        with Pulse(self._setup.publish, _PUBLISH_EVERY_S) as pulse:
            self._follow(opened, follow, pulse)
            self._commit()
            self._beat()

    def _follow(self, opened: Sequence[tuple[Source, str]], follow: Follow, pulse: Pulse) -> None:
        each = Follow(follow.poll_s / len(opened), follow.idle_stop_s)
        going = []
        for kind, path in opened:
            stream = self._open(kind, path)
            going.append((kind, stream, kind.read(path, stream.position, follow=each)))
        while going and not self._setup.stopping():
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
            if time.monotonic() - self._beaten >= self._setup.limits.heartbeat_s:
                self._beat()
        for kind, stream, _ in going:
            self._finish(kind, stream)

    def end(self) -> None:
        """Store what is left, join small parts, sign and publish."""
        self._commit()
        self._settler.flush(final=True)
        self._setup.publish()

    def _open(self, kind: Source, path: str) -> Stream:
        name = f"{kind.name}\0{os.path.abspath(path)}"  # noqa: PTH100  # a word for the sealed name table, not a path to open
        kept = self._vault.positions.get(name)
        if kept is None:
            return Stream(name, path, kind.parser(self._setup.datamap), Position(), Replay())
        position, state = msgspec.msgpack.decode(kept, type=tuple[Position, bytes])
        return Stream(name, path, kind.parser(self._setup.datamap, state), position)

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
        if len(batch.raws) >= self._setup.limits.records or batch.size >= self._setup.limits.bytes:
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
                stream.parser = kind.parser(self._setup.datamap, state)
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
        self.report.take(batch)
        for stream in batch.streams.values():
            stream.changed = False
