"""Erases one subject from a home, and lets raw records expire. Who may ask for it, and its record: `custodes.disclose.erasing`.

    1 what goes is worked out and sealed under a key of its own      nothing is destroyed yet
    2 the subject's key destroyed, tables                            from here on nobody can tell the subject's tags
    3 sealed files written anew, then their old keys destroyed       old copies of them open for nobody
    4 stored rows, context, what runs kept, desk, registry
    5 what was worked out is destroyed

Each step may be done again, and a second call after a crash begins again at 2 with what 1 had sealed: it ends in the same state.
Of an erased access its leaf stays, with what shows who looked from where, and the keyed ids of its records, so that reading the
same file again brings nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from custodes.ledger.disk import Disk
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json
from custodes.store.check import ranges_of
from custodes.store.contents import RAWS, octets
from custodes.store.cutting import cut, open_batch, sections_of
from custodes.store.derived import Derived
from custodes.store.erased_rows import erase_accesses, erase_context
from custodes.store.keys import KeyDestroyed, shred
from custodes.store.memory import Memory
from custodes.store.reach import Needles, Reach
from custodes.store.sealed import Frame, Stream
from custodes.store.subject_keys import Wrapping
from custodes.store.survey import Survey

if TYPE_CHECKING:
    from custodes.ledger.log import Log
    from custodes.minimise.pseudonym import Pseudonyms
    from custodes.store.desk import Desk
    from custodes.store.vault import Vault

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Affected:
    """What an erasure blinds. `leaves`: the subject's, and accesses about several people, as ranges (first, last).

    `accesses`: about the subject, alone or among others; `touches`: looks at several people at once; `actors`: pseudonyms of who
    looked; `first`, `last`: days of these looks; `findings`: on the desk, that name the subject.
    """

    accesses: int = 0
    touches: int = 0
    leaves: Ranges = ()
    actors: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    findings: int = 0


@dataclass(frozen=True, slots=True)
class Erased(Affected):
    """What was erased. `context_rows`, `desk_rows`: rows that named the subject."""

    context_rows: int = 0
    desk_rows: int = 0


@dataclass(frozen=True, slots=True)
class Expired:
    """Days whose raw records end, and the `lines` leaves over them as ranges."""

    days: tuple[str, ...] = ()
    ranges: Ranges = ()


class Eraser:
    """Erases subjects (pseudonyms `s-…`) of one home.

    `destroy` and `expire_raws` need intake's lock held by the caller (`Intake.quiet`); `preview` needs none.
    """

    def __init__(
        self,
        home: Path,
        *,
        log: Log,
        vault: Vault,
        desk: Desk,
        pseudonyms: Pseudonyms,
        key: bytes,
        table_key: bytes,
        settle: Callable[[], None],
        record: Callable[[int, Mapping[str, Json]], int],
        unprotect: Callable[[str], int],
    ) -> None:
        """`key`: makes ids of records; `table_key`: wraps subjects' keys. `settle`: completes what a killed intake left.

        `record` appends a leaf of the home's own; `unprotect` takes a subject out of the registry of protected people.
        """
        self._home, self._log, self._vault, self._desk, self._pseudonyms = home, log, vault, desk, pseudonyms
        self._table_key, self._settle, self._record, self._unprotect = table_key, settle, record, unprotect
        self._survey = Survey(home, log, vault, Wrapping(table_key), key)
        self._begun = Stream(vault.path / "erasing", vault.keys, ("reach",))

    def preview(self, subject: str) -> Affected:
        """Return what `destroy` would blind, or blinds since a call that a crash cut short. Nothing, once it has ended."""
        reach = self._unfinished()
        if reach is None or reach.subject != subject:
            reach = self._survey.leaves(subject)
            reach.findings = self._desk.naming(subject)
        return Affected(**_facts(reach))

    def destroy(self, subject: str) -> Erased:
        """Destroy everything that is about one subject. Durable on return; a second call completes, or finds nothing to do.

        The caller has recorded the intent, and records *done* afterwards. What it destroys beside the leaves that `preview` names
        (raw records that name the subject, and what rests on them) it records itself before. Raises `NotDurable`, `PartMissing`.
        """
        self._settle()
        begun = self._unfinished()
        if begun is not None:
            erased = self._carry_out(begun)
            if begun.subject == subject:
                return erased
        self._begun.end()  # a crash in the last step leaves files that open for nobody
        return self._carry_out(self._begin(subject))

    def expiring(self, before: date) -> Expired:
        """Return which days' raw records `expire_raws` would end: the caller records `ranges` before calling it."""
        old = (frame for frame in self._vault.intake.frames() if frame.day < before.isoformat())
        return self._expired(frame for frame in old if not frame.is_gone(RAWS))

    def expire_raws(self, before: date) -> Expired:
        """Destroy the keys of the raw records of days of recording before `before`. Durable on return; repeatable.

        Accesses, group values and openings stay. Rejected records and rows of these days are destroyed with their files' keys.
        """
        self._settle()
        expiring = self.expiring(before)
        self._vault.intake.expire(RAWS, before)
        self._vault.rejected.expire(0, before)
        with self._vault.locked():
            self._vault.rejected_rows.expire(0, before)
        return expiring

    # — step 1 —

    def _unfinished(self) -> Reach | None:
        """Return what an erasure that a crash cut short has still to destroy. There is at most one."""
        try:
            for frame in self._begun.frames():
                return msgspec.msgpack.decode(frame.section(0), type=Reach)
        except KeyDestroyed:
            pass  # it had come to its last step
        return None

    def _begin(self, subject: str) -> Reach:
        reach = self._survey.whole(subject)
        reach.findings = self._desk.naming(subject)
        beside = ranges_of(sorted(reach.beside))
        if beside:
            self._record(Kind.ERASURE, {"what": "erased beside", "ranges": [list(pair) for pair in beside]})
        self._begun.look_again()
        # Before this line nothing is destroyed, and a crash leaves at most a leaf; after it the erasure is completed by every call.
        self._begun.append([msgspec.msgpack.encode(reach)], datetime.now(UTC).date())
        return reach

    # — steps 2 to 5 —

    def _carry_out(self, reach: Reach) -> Erased:
        needles = Needles(reach.ids)
        self._erase_tables(reach)
        self._erase_batches(reach, needles)
        self._erase_rejected(needles)
        self._erase_texts(reach, needles)
        self._vault.positions.drop(needles.near)
        erase_accesses(self._home / "accesses", reach.subject, reach.leaves, reach.blanked)
        context_rows = erase_context(self._home / "context", reach.subject)
        Derived(self._home / "derived").empty()
        desk_rows = self._desk.forget({reach.subject, *reach.access_ids})
        self._unprotect(reach.subject)
        # Before this line a crash leaves an erasure that the next call completes; after it nothing says who it was.
        self._begun.end()
        return Erased(**_facts(reach), context_rows=context_rows, desk_rows=desk_rows)

    def _erase_tables(self, reach: Reach) -> None:
        with self._memory() as memory:
            memory.mark_erased(sorted(reach.keys))
            memory.forget(reach.subject, reach.nonce, own_ids=reach.own_ids, given=reach.given)
        for left in (self._vault.path / "tables").glob("*.new"):
            shred(Disk(), left)

    def _erase_batches(self, reach: Reach, needles: Needles) -> None:
        def change(frame: Frame) -> list[bytes] | None:
            batch = open_batch(frame, self._log.read, self._log.size)
            return sections_of(batch) if cut(batch, reach, needles) else None

        self._vault.intake.look_again()
        self._vault.intake.rewrite(change, reach.frames)
        self._vault.intake.sweep()

    def _erase_rejected(self, needles: Needles) -> None:
        def change(frame: Frame) -> list[bytes] | None:
            try:
                content = frame.section(0)
            except KeyDestroyed:
                return None  # expired
            if not needles.near(content):
                return None
            before = msgspec.msgpack.decode(content)
            after = _without_lines(before, needles)
            return None if after == before else [msgspec.msgpack.encode(after)]

        self._rewrite(self._vault.rejected, change)
        with self._vault.locked():
            self._rewrite(self._vault.rejected_rows, change)

    def _erase_texts(self, reach: Reach, needles: Needles) -> None:
        rows = {(item.table, item.load): item for item in reach.texts}

        def change(frame: Frame) -> list[bytes] | None:
            load = msgspec.msgpack.decode(frame.section(0))
            mine, changed = rows.get((load["table"], load["load"])), False
            for name, values in load["columns"].items():
                places = set(mine.places) if mine is not None and mine.rows == len(values) else set()
                for place, text in enumerate(values):
                    if text and (place in places or self._is_text_of(text, reach, needles)):
                        values[place], changed = None, True
                load["columns"][name] = values
            return [msgspec.msgpack.encode(load)] if changed else None

        with self._vault.locked():
            self._rewrite(self._vault.texts, change)

    def _is_text_of(self, text: str, reach: Reach, needles: Needles) -> bool:
        return needles.within(octets(text)) or bool(reach.text_words and self._pseudonyms.once("value", text) in reach.text_words)

    def _rewrite(self, stream: Stream, change: Callable[[Frame], list[bytes] | None]) -> None:
        stream.look_again()
        stream.rewrite(change, set(range(stream.count())))
        stream.sweep()

    @contextmanager
    def _memory(self) -> Iterator[Memory]:
        memory = Memory(self._vault, table_key=self._table_key, origin=self._log.origin)
        try:
            yield memory
        finally:
            memory.close()

    # — expiry —

    def _expired(self, frames: Iterable[Frame]) -> Expired:
        found = list(frames)
        indexes = sorted({index for frame in found for index in range(frame.first, frame.first + frame.span)})
        return Expired(tuple(dict.fromkeys(frame.day for frame in found)), tuple(ranges_of(indexes)))


def _facts(reach: Reach) -> dict[str, Any]:
    return {
        "accesses": reach.accesses,
        "touches": len(reach.leaves.touches),
        "leaves": tuple(ranges_of(reach.leaves.all())),
        "actors": reach.actors,
        "first": date.fromisoformat(reach.first) if reach.first else None,
        "last": date.fromisoformat(reach.last) if reach.last else None,
        "findings": reach.findings,
    }


def _without_lines(content: Any, needles: Needles) -> Any:
    """Return a frame of rejected records, or of rejected rows of a context load, with the bytes of some taken out."""
    if isinstance(content, dict):
        return {**content, "lines": [_without_line(item, needles) for item in content["lines"]]}
    return [_without_line(item, needles) for item in content]


def _without_line(item: list[Any], needles: Needles) -> list[Any]:
    return [b"" if isinstance(part, bytes) and needles.within(part) else part for part in item]
