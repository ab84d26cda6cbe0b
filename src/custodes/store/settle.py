"""From a gathered batch to the store, in the order that survives a kill at any moment.

    1 leaves planned, rows built                      nothing on disk
    2 tag lists of bulk leaves durable, then the
      sealed frame durable, under the ledger's lock   the write-ahead record
    3 leaves durable                                  acknowledged
    4 parts, rejected records, notes, positions       durable, not yet committed
    5 MANIFEST.json renamed                           committed

A kill before 3 leaves a frame without leaves: it is completed, or taken back if others have appended since (its input is then read
again). A kill before 5 leaves frames beyond the manifest's count: their rows are stored from the frame.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import pyarrow as pa

from custodes.ledger.blobs import Blobs
from custodes.ledger.disk import Disk
from custodes.ledger.leaf import SIZE, Kind, epoch_of, hour_of
from custodes.minimise.pseudonym import Pseudonyms, base32
from custodes.model.arrow import ACCESSES, TOUCHES
from custodes.model.canonical import Json, canonical
from custodes.model.datamap import DataMap
from custodes.model.draft import Note
from custodes.source import Coverage, Source
from custodes.store.contents import NAMES, RAWS, ROWS, VALUES, Marks, Names, Raws, Values, octets, text_of
from custodes.store.gather import Gathered, Made
from custodes.store.manifest import GUARD_NUMBER, SourceState, Tally, read_manifest, write_manifest
from custodes.store.memory import Memory
from custodes.store.parts import Parts, stored_fieldsets
from custodes.store.places import find_leaves
from custodes.store.plan import Plan
from custodes.store.rows import About, Fieldsets, Minimiser, Placed, clean, fieldset_table
from custodes.store.rowset import Rows, from_ipc, to_ipc
from custodes.store.sealed import Frame
from custodes.store.vault import Vault

if TYPE_CHECKING:
    from custodes.ledger.log import Log

_FLUSH_ROWS: Final = 50_000
_FLUSH_BATCHES: Final = 16
_LEAF: Final = ACCESSES.field("leaf")


class _Overtaken(Exception):
    """Somebody else gave keys to `subjects` first: no error, but a reason to plan the batch again."""

    def __init__(self, subjects: set[str]) -> None:
        super().__init__()
        self.subjects = subjects


class Recorded(NamedTuple):
    """How many accesses and touches a batch became."""

    accesses: int
    touches: int


@dataclass(slots=True)
class _Pending:
    """Recorded, but not yet committed to the store."""

    accesses: list[pa.Table] = field(default_factory=list)
    touches: list[pa.Table] = field(default_factory=list)
    fieldsets: dict[str, list[tuple[str | None, ...]]] = field(default_factory=dict)
    rejected: list[list[tuple[bytes, int, str, bytes]]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    positions: dict[str, bytes] = field(default_factory=dict)
    rows: int = 0
    batches: int = 0


class Settler:
    """Records batches and stores their rows. One at a time (intake's lock)."""

    def __init__(
        self,
        folder: Path,
        *,
        log: Log,
        vault: Vault,
        memory: Memory,
        pseudonyms: Pseudonyms,
        minimiser: Minimiser,
        datamap: DataMap,
        key: bytes,
    ) -> None:
        self._folder, self._log, self._vault, self._memory = folder, log, vault, memory
        self._pseudonyms, self._minimiser, self._key = pseudonyms, minimiser, key
        self._parts, self._disk, self._lists = Parts(folder), Disk(), Blobs(log.path)
        self._manifest = read_manifest(folder)
        self._fieldsets = Fieldsets(datamap, stored_fieldsets(folder, self._manifest))
        self._pending = _Pending()
        self._days: set[str] = set()
        self._named: list[tuple[str, str]] = []

    # — after a kill —

    def recover(self) -> None:
        """Complete what a killed run left between the vault and the store."""
        self._vault.intake.look_again()
        self._vault.rejected.look_again()
        self._vault.rejected.cut_to(self._manifest.rejected)
        for frame in list(self._vault.intake.frames(min(self._manifest.batches, self._vault.intake.count()))):
            values = msgspec.msgpack.decode(frame.section(VALUES), type=Values)
            at = self._complete(values)
            if not at:
                self._vault.intake.cut_to(frame.number)
                break
            self._enter_frame(frame, values, at)
        self._memory.replay(self._vault.intake.count())
        self._flush()
        self._parts.clear(self._manifest)

    def _complete(self, values: Values) -> list[int]:
        """Return where a frame's leaves lie, appending the ones that are missing; nothing if the frame must be taken back."""
        size, count = self._log.size, len(values.leaves) // SIZE
        at = find_leaves(values.leaves, self._log.read, values.first, size)
        # The gate's own: cut from the ledger by a crash, it allowed nothing, and its decision may not be in the ledger either.
        if not at and (values.first != size or values.number == GUARD_NUMBER):
            return []
        if len(at) < count:
            rest = values.leaves[len(at) * SIZE :]
            first = self._log.append_batch(rest, range(0, len(rest) + 1, SIZE))
            at += range(first, first + count - len(at))
        return at

    def _enter_frame(self, frame: Frame, values: Values, at: Sequence[int]) -> None:
        rows = msgspec.msgpack.decode(frame.section(ROWS), type=Rows)
        raws = msgspec.msgpack.decode(frame.section(RAWS), type=Raws)
        self._source_state(values.source, values.number, values.coverage, rows.cannot_see)
        accesses, touches = from_ipc(rows.accesses, ACCESSES), from_ipc(rows.touches, TOUCHES)
        self._enter(values.source, rows, accesses, touches, at)
        self._pending.rejected += _rejected(raws)
        self._pending.positions.update((text_of(name), content) for name, content in values.positions)

    # — a batch —

    def record(self, source: Source, batch: Gathered, positions: Sequence[tuple[str, bytes]]) -> Recorded:
        """Seal a batch, put its leaves into the ledger, keep its rows for the store. Recorded on return; raises `NotDurable`."""
        if not batch.raws and not batch.drafts() and not batch.notes:
            self._pending.positions.update(positions)
            return Recorded(0, 0)
        while True:
            try:
                return self._record(source, batch, positions)
            except _Overtaken as other:
                self._memory.take_back(other.subjects)

    def _record(self, source: Source, batch: Gathered, positions: Sequence[tuple[str, bytes]]) -> Recorded:
        drafts, now = batch.drafts(), datetime.now(UTC)
        hour = hour_of(now)
        plan = Plan(self._pseudonyms, self._memory, epoch_of(hour))
        state = self._announce(source, batch, plan)
        claimed = self._claim(source.name, drafts)
        placed = self._place(plan, drafts, batch)
        about = About(source.name, source.version, now)
        accesses, touches = self._minimiser.accesses(placed, about), self._minimiser.touches(placed)
        tally = _tally(batch, placed)
        rows = Rows(
            accesses=to_ipc(accesses),
            touches=to_ipc(touches),
            fieldsets=dict(self._fieldsets.fresh),
            tally=tally,
            superseded=batch.superseded,
            notes=[_note(source.name, item) for item in batch.notes],
            cannot_see=state.cannot_see,
        )
        self._named += self._pseudonyms.take_fresh()
        names = Names(
            pseudonyms=[(made, octets(original)) for made, original in self._named],
            subject_keys=self._memory.take_fresh_keys(),
            ids=[(item.access_id, octets(item.draft.id)) for item in placed if item.draft.id is not None],
            claimed=claimed,
            given=[
                (made.key, made.records, item.leaf, bool(item.draft.subjects))
                for made, item in zip(drafts, placed, strict=True)
                if made.early
            ],
        )
        raws = batch.sealed_raws()
        with self._log.batch() as leaves:
            self._vault.intake.look_again()
            self._take_in(leaves.first, {subject for subject, _ in names.subject_keys})
            plan.write(leaves, state.number, hour, self._lists)
            values = Values(
                source=source.name,
                number=state.number,
                first=leaves.first,
                leaves=b"".join(leaves.entries),
                groups=plan.groups,
                seeds=plan.seeds,
                lines_seed=plan.lines_seed,
                positions=[(octets(name), content) for name, content in positions],
                coverage=state.coverage,
            )
            marks = Marks(b"".join(batch.keys))
            sections = [msgspec.msgpack.encode(part) for part in (names, values, raws, rows, marks)]
            frame = self._vault.intake.append(sections, now.date(), first=leaves.first, span=len(plan))
        first, self._named = leaves.first, []
        self._memory.learn(frame, batch.keys, names, [first + place for _, _, place, _ in names.given])
        self._enter(source.name, rows, accesses, touches, range(first, first + len(plan)))
        self._pending.rejected += _rejected(raws)
        self._pending.positions.update(positions)
        if self._pending.rows >= _FLUSH_ROWS or self._pending.batches >= _FLUSH_BATCHES:
            self._flush()
        return Recorded(accesses.num_rows, touches.num_rows)

    def _take_in(self, size: int, planned: set[str]) -> None:
        """Take in what the gate recorded meanwhile (`store.released`). For the holder of the ledger's lock.

        Raises `_Overtaken` if it gave a key to a subject that was planned to get one here: a subject has one key.
        """
        stream, expected = self._vault.intake, self._manifest.batches + self._pending.batches
        if stream.count() <= expected:
            return
        for frame in list(stream.frames(expected)):
            values = msgspec.msgpack.decode(frame.section(VALUES), type=Values)
            at = find_leaves(values.leaves, self._log.read, values.first, size)
            if len(at) * SIZE != len(values.leaves):
                stream.cut_to(frame.number)  # of a gate that was killed: it allowed nothing
                break
            self._enter_frame(frame, values, at)
            given = msgspec.msgpack.decode(frame.section(NAMES), type=Names).subject_keys
            planned_twice = planned & {subject for subject, _ in given}
            self._memory.replay(frame.number + 1)
            if planned_twice:
                raise _Overtaken(planned_twice)

    def flush(self, *, final: bool) -> None:
        """Commit everything recorded to the store. `final`: the run ends; join the small parts of the days it wrote to."""
        self._flush()
        if self._parts.compact(self._manifest, self._days):
            write_manifest(self._folder, self._manifest)
        if final:
            self._parts.clear(self._manifest)

    def _announce(self, source: Source, batch: Gathered, plan: Plan) -> SourceState:
        """Plan the leaves that stand before the accesses: the raw records, a new coverage manifest, notes."""
        if batch.raws:
            plan.add_lines(batch.digests)
        document = _coverage(source.manifest)
        digest = sha256(canonical(document)).hexdigest()
        known = self._manifest.sources.get(source.name)
        if known is None or known.coverage != digest:
            taken = (state.number for state in self._manifest.sources.values() if state.number != GUARD_NUMBER)
            number = known.number if known else 1 + max(taken, default=0)
            plan.add_record(Kind.POLICY, {"what": "coverage", "number": number, "manifest": document})
            known = self._source_state(source.name, number, digest, [item.what for item in source.manifest.cannot_see])
        if batch.notes:
            notes = [{**_note(source.name, item), **{k: str(v) for k, v in item.facts.items()}} for item in batch.notes]
            plan.add_record(Kind.POLICY, {"what": "notes", "notes": notes})
        return known

    def _claim(self, source: str, drafts: Sequence[Made]) -> list[tuple[bytes, bytes]]:
        """Flag drafts whose own id another access has already; return the ids that are new."""
        claims: dict[bytes, bytes] = {}
        for made in drafts:
            if made.draft.id is None:
                continue
            own = octets(f"{source}\0{made.draft.id}")
            key = blake2b(own, key=self._key, digest_size=16, person=b"own id").digest()
            holder = claims.get(key) or self._memory.own_ids.get(key)
            if holder is None:
                claims[key] = made.key
            elif holder != made.key:
                made.draft.coverage = sorted({*made.draft.coverage, "id_conflict"})
        return list(claims.items())

    def _place(self, plan: Plan, drafts: Sequence[Made], batch: Gathered) -> list[Placed]:
        placed, used, fieldset_of, digests = [], set(), self._fieldsets.of, batch.digests_of
        for made in drafts:
            key = made.key
            while key in used:  # several accesses that begin with one record
                key = blake2b(key, key=self._key, digest_size=16, person=b"again").digest()
            used.add(key)
            fieldset = fieldset_of(made.draft)
            leaf, touches = plan.add_access(made.draft, fieldset, digests(made.draft))
            placed.append(Placed(made.draft, f"x-{base32(key)}", leaf, touches, fieldset.id))
        return placed

    def _source_state(self, name: str, number: int, coverage: str, cannot_see: list[str]) -> SourceState:
        state = self._manifest.sources.setdefault(name, SourceState(number))
        state.coverage, state.cannot_see = coverage, cannot_see
        return state

    def _enter(self, source: str, rows: Rows, accesses: pa.Table, touches: pa.Table, at: Sequence[int]) -> None:
        """Keep a recorded batch's rows for the next commit; `at`: ledger index of each place in the batch."""
        pending = self._pending
        indexes = pa.array(at, pa.int64())
        if accesses.num_rows:
            pending.accesses.append(accesses.set_column(0, _LEAF, indexes.take(accesses["leaf"])))
        if touches.num_rows:
            moved = touches.set_column(0, TOUCHES.field(0), indexes.take(touches["leaf"]))
            pending.touches.append(moved.set_column(1, TOUCHES.field(1), indexes.take(touches["touch_leaf"])))
        pending.fieldsets.update(self._fieldsets.unknown(rows.fieldsets))
        self._fieldsets.settle(rows.fieldsets)
        pending.notes += rows.notes
        pending.rows += accesses.num_rows
        pending.batches += 1
        self._manifest.superseded = (*self._manifest.superseded, *rows.superseded)
        _add(self._manifest.sources[source].tally, rows.tally)

    # — the store's commit —

    def _flush(self) -> None:
        pending, manifest = self._pending, self._manifest
        if not pending.batches and not pending.positions:
            return
        if pending.batches:
            before = len(manifest.parts)
            self._parts.write(manifest, _joined(pending.accesses, ACCESSES), _joined(pending.touches, TOUCHES))
            self._days.update(part.day for part in manifest.parts[before:])
            self._parts.fieldsets(manifest, fieldset_table(pending.fieldsets))
            for lines in pending.rejected:
                manifest.rejected = 1 + self._vault.rejected.append([msgspec.msgpack.encode(lines)], datetime.now(UTC).date())
            self._append_notes(pending.notes)
        for name, content in pending.positions.items():
            self._vault.positions.put(name, content)
        manifest.batches += pending.batches
        if pending.batches:
            # Before this line the rows are in the vault only and are stored at the next start; after it they are in the store.
            write_manifest(self._folder, manifest)
        self._pending = _Pending()

    def _append_notes(self, notes: Sequence[dict[str, str]]) -> None:
        if not notes:
            return
        handle = self._disk.open(self._folder / "notes.ndjson", create=True)
        try:
            data = b"".join(msgspec.json.encode(note) + b"\n" for note in notes)
            self._disk.truncate(handle, self._manifest.notes)
            self._disk.write(handle, data, self._manifest.notes)
            self._disk.sync(handle)
            self._manifest.notes += len(data)
        finally:
            os.close(handle)


def _joined(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries() if tables else schema.empty_table()


def _rejected(raws: Raws) -> list[list[tuple[bytes, int, str, bytes]]]:
    """Return the rejected records of a batch as one frame's content: file, line, reason, bytes."""
    found = [(raws.files[raws.file_of[at]], raws.line[at], reason, raws.data[at]) for at, reason in raws.rejected]
    return [found] if found else []


def _coverage(manifest: Coverage) -> dict[str, Json]:
    """Return a coverage manifest as plain JSON values."""
    document = msgspec.json.decode(msgspec.json.encode(asdict(manifest)))
    return {"schema": "custodes.coverage/1", **document}


def _note(source: str, note: Note) -> dict[str, str]:
    return {"source": source, "kind": note.kind, "text": clean(note.text) or ""}


def _tally(batch: Gathered, placed: Sequence[Placed]) -> Tally:
    reasons: dict[str, int] = {}
    for item in batch.rejected:
        reasons[item.reason] = reasons.get(item.reason, 0) + 1
    resolved = sum(1 for item in placed if item.draft.subjects)
    return Tally(
        lines=len(batch.raws),
        accesses=len(placed) - len(batch.superseded),
        resolved=resolved - batch.superseded_resolved,
        noise=batch.counted,
        rejected=reasons,
    )


def _add(total: Tally, more: Tally) -> None:
    total.lines += more.lines
    total.accesses += more.accesses
    total.resolved += more.resolved
    for counts, added in ((total.noise, more.noise), (total.rejected, more.rejected)):
        for word, count in added.items():
            counts[word] = counts.get(word, 0) + count
