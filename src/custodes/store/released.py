"""What the guard releases, recorded before it is released: a decision (the home's own leaf) and an access (the subject's tag).

Both stand in one commit. The access is sealed as a batch of intake's stream, so that everything which holds of accesses holds of
it: the subject's statement, proofs, erasure, fsck, and a row in the store, which intake adds when it settles. Several threads and
processes may record, also while logs are being read: whoever holds the ledger's lock is alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

import msgspec

from custodes.errors import HomeInUse, LedgerRewritten, NotDurable
from custodes.ledger import leaf as leaves
from custodes.ledger.blobs import Blobs
from custodes.ledger.leaf import NO_TAG, Kind, epoch_of, hour_of, record_commitment, tag
from custodes.minimise.pseudonym import Pseudonyms, base32
from custodes.model.canonical import Json, canonical
from custodes.model.datamap import DataMap
from custodes.model.draft import Draft
from custodes.store.contents import NAMES, VALUES, Marks, Names, Own, Raws, Values, octets
from custodes.store.manifest import GUARD_NUMBER, Tally
from custodes.store.own_leaves import OwnLeaf
from custodes.store.places import find_leaves
from custodes.store.plan import Plan
from custodes.store.recorder import OWN
from custodes.store.rows import About, Fieldsets, Minimiser, Placed
from custodes.store.rowset import Rows, to_ipc
from custodes.store.sealed import Mark, Stream, append_together
from custodes.store.subject_keys import Wrapping, stored_key
from custodes.store.vault import Vault

if TYPE_CHECKING:
    from custodes.ledger.chain import Batch
    from custodes.ledger.log import Log

SOURCE: Final = "guard"
_PARSER: Final = "guard/1"
_COVERAGE: Final[dict[str, Json]] = {
    "schema": "custodes.coverage/1",
    "source": SOURCE,
    "version": _PARSER,
    "sees": ["every release and refusal of custodes' own gate, before it happens"],
    "cannot_see": [],
    "subject": "named",
    "fields": "reported",
    "rows": False,
    "purpose": "required",
    "gap_proof": "ledger",
    "tail_proof": True,
    "deletable_by": [],
    "checked": "2026-11-22",
}
_DIGEST: Final = sha256(canonical(_COVERAGE)).hexdigest()


@dataclass(slots=True)
class Sitting:
    """One commit being made, under the ledger's lock. `news`: the home's own leaves since the last sitting, in order."""

    news: list[OwnLeaf]
    now: datetime
    _batch: Batch
    _own: list[tuple[int, bytes]] = field(default_factory=list)
    _drafts: list[Draft] = field(default_factory=list)
    _told: list[OwnLeaf] = field(default_factory=list)
    first_access: int = -1
    places: list[int] = field(default_factory=list)

    def add(self, what: Mapping[str, Json], draft: Draft | None) -> tuple[int, int | None]:
        """Add a decision and its access. Returns the decision's ledger index, and a number for `access`."""
        content, seed = canonical(dict(what)), os.urandom(32)
        commit = record_commitment(content, seed)
        index, _ = self._batch.add(Kind.DECISION, hour_of(self.now), OWN, NO_TAG, commit)
        entry = self._batch.entries[-1]
        self._own.append((index, msgspec.msgpack.encode(Own(index, entry, seed, content))))
        self._told.append(OwnLeaf(index, Kind.DECISION, _hour(leaves.decode(entry).hour), msgspec.json.decode(content)))
        if draft is None:
            return index, None
        self._drafts.append(draft)
        return index, len(self._drafts) - 1

    def access(self, number: int) -> int:
        """Return the ledger index of an access, once the sitting has ended."""
        return self.first_access + self.places[number]


class Releases:
    """Records decisions and accesses of the gate. One object may serve several threads."""

    def __init__(
        self,
        *,
        log: Log,
        vault: Vault,
        pseudonyms: Pseudonyms,
        key: bytes,
        table_key: bytes,
        datamap: DataMap,
        vocabulary: frozenset[str],
        lock: Callable[[], AbstractContextManager[None]],
        settle: Callable[[], None],
    ) -> None:
        """`lock`: the guard's, which an erasure holds. `settle`: completes what a killed run of intake left."""
        self._log, self._vault, self._pseudonyms, self._key = log, vault, pseudonyms, key
        self._wrapping, self._lock, self._settle = Wrapping(table_key), lock, settle
        given = _Given(pseudonyms)
        self._given, self._minimiser = given, Minimiser(given, vocabulary)
        self._fieldsets, self._lists = Fieldsets(datamap, ()), Blobs(log.path)
        self._mark: Mark | None = None
        self._read = 0
        self._told: list[OwnLeaf] = []
        """Leaves that this object recorded and that no sitting was told of yet: they need not be read back."""
        self._settled = -1
        self._keys = _SubjectKeys(vault, self._wrapping, log.origin)
        self._mutex = threading.Lock()

    @contextmanager
    def sitting(self, now: datetime) -> Iterator[Sitting]:
        """Hold the ledger while the body decides and adds; record everything it added when it ends, nothing if it raises.

        Durable: all of it, when the body has ended. Order: sealed in the vault, then decisions and accesses in the ledger, in one
        commit. Again: adds again. Raises `NotDurable`.
        """
        for last in (False, True):
            with self._mutex:
                sitting, appended = None, None
                with self._lock(), self._log.batch() as batch:
                    if self._tail_is_whole(batch.first):
                        sitting = Sitting(self._news(batch), now, batch)
                        yield sitting
                        if sitting._own:  # noqa: SLF001  # one module, one task
                            appended = self._seal(sitting, batch)
                if sitting is not None:
                    if appended is not None:
                        self._believe(sitting, appended)
                    return
            if last:
                break
            try:
                self._settle()  # a run of intake was killed between its seal and its leaves
            except HomeInUse:
                break
        raise NotDurable("the record's last batch is not complete", hint="run the interrupted `custodes ingest` again")

    # — reading —

    def _news(self, batch: Batch) -> list[OwnLeaf]:
        frames, mark = self._vault.own.since(self._mark)
        found, count = list(self._told), self._read
        for frame in frames:
            own = msgspec.msgpack.decode(frame.section(0), type=Own)
            at = find_leaves(own.leaf, self._log.read, own.first, batch.first)
            if not at:
                continue  # sealed, then a crash: nobody holds the ledger but us, so its leaf will never come
            leaf = leaves.decode(own.leaf)
            if leaf.commit != record_commitment(own.what, own.seed) or leaf.source != OWN or leaf.seq != count:
                raise LedgerRewritten(f"the sealed contents of leaf {at[0]} are not what it commits to")
            found.append(OwnLeaf(at[0], leaf.kind, _hour(leaf.hour), msgspec.json.decode(own.what)))
            count += 1
        if count != batch.next_of(OWN)[0]:
            raise LedgerRewritten("contents of the home's own leaves are missing from the vault")
        self._mark, self._read, self._told = mark, count, []
        if any(leaf.kind == Kind.ERASURE for leaf in found):
            self._keys.forget()  # whose keys were destroyed has none, or another
        return found

    def _tail_is_whole(self, size: int) -> bool:
        """Say whether the stream's last batch is in the ledger. One of ours that a crash kept from it is taken back."""
        stream = self._vault.intake
        stream.look_again()
        while (count := stream.count()) and count - 1 != self._settled:
            *_, last = stream.frames(count - 1)
            values = msgspec.msgpack.decode(last.section(VALUES), type=Values)
            if len(find_leaves(values.leaves, self._log.read, values.first, size)) * leaves.SIZE == len(values.leaves):
                self._settled = count - 1
            elif values.source == SOURCE:
                stream.cut_to(count - 1)  # nothing was released: the commit that would have allowed it never came
            else:
                return False
        return True

    # — writing —

    def _seal(self, sitting: Sitting, batch: Batch) -> list[int]:
        """Seal what the sitting added; return the numbers of the first frame of its own records and of its accesses."""
        own, drafts = sitting._own, sitting._drafts  # noqa: SLF001  # one module, one task
        self._vault.own.look_again()
        parts: list[tuple[Stream, list[tuple[list[bytes], int, int]]]] = [
            (self._vault.own, [([sealed], index, 1) for index, sealed in own])
        ]
        if drafts:
            sections, span = self._accesses(sitting, drafts, batch)
            sitting.first_access = batch.first + len(own)
            parts.append((self._vault.intake, [(sections, sitting.first_access, span)]))
        # Before this line nothing is recorded; after a crash from here on the next sitting, or intake, takes it back.
        return append_together(parts, sitting.now.date())

    def _believe(self, sitting: Sitting, appended: list[int]) -> None:
        """Take note of what is in the ledger now, so that it need not be read back. Nobody else has the mutex."""
        told, tip = sitting._told, self._vault.own.tip()  # noqa: SLF001  # one module, one task
        if len(appended) > 1:
            self._settled = appended[1]
            self._keys.believe(appended[1], self._vault.intake.tip())
        if self._mark is not None and self._mark.number == appended[0]:  # else somebody else's lies between: all is read back
            self._mark, self._read, self._told = tip, self._read + len(told), list(told)

    def _accesses(self, sitting: Sitting, drafts: list[Draft], batch: Batch) -> tuple[list[bytes], int]:
        hour, own = hour_of(sitting.now), len(batch.entries)
        keys = self._keys
        keys.fresh = {}
        plan = Plan(self._given, keys, epoch_of(batch.hour(hour)))
        if batch.next_of(GUARD_NUMBER)[0] == 0:
            plan.add_record(Kind.POLICY, {"what": "coverage", "number": GUARD_NUMBER, "manifest": _COVERAGE})
        placed = []
        for draft in drafts:
            fieldset = self._fieldsets.of(draft)
            place, touches = plan.add_access(draft, fieldset, ())
            placed.append(Placed(draft, access_id(self._key, str(draft.id)), place, touches, fieldset.id))
        sitting.places = [item.leaf for item in placed]
        about = About(SOURCE, _PARSER, sitting.now)
        accesses, touched = self._minimiser.accesses(placed, about), self._minimiser.touches(placed)
        resolved = sum(bool(draft.subjects) for draft in drafts)
        rows = Rows(
            accesses=to_ipc(accesses),
            touches=to_ipc(touched),
            fieldsets={item.fieldset: self._fieldsets.fresh[item.fieldset] for item in placed},
            tally=Tally(accesses=len(placed), resolved=resolved),
            superseded=[],
            notes=[],
            cannot_see=[],
        )
        names = Names(
            pseudonyms=[(made, octets(original)) for made, original in self._pseudonyms.take_fresh()],
            subject_keys=list(keys.fresh.items()),
            ids=[(item.access_id, octets(str(item.draft.id))) for item in placed],
            claimed=[],
            given=[],
        )
        plan.write(batch, GUARD_NUMBER, hour, self._lists)
        values = Values(
            source=SOURCE,
            number=GUARD_NUMBER,
            first=batch.first + own,
            leaves=b"".join(batch.entries[own:]),
            groups=plan.groups,
            seeds=plan.seeds,
            lines_seed=plan.lines_seed,
            positions=[],
            coverage=_DIGEST,
        )
        raws = Raws(files=[], prefixes=[], data=[], file_of=[], prefix_of=[], line=[], rejected=[])
        return [msgspec.msgpack.encode(part) for part in (names, values, raws, rows, Marks(b""))], len(plan)


def access_id(key: bytes, number: str) -> str:
    """Return the public id of the access that goes with decision `number` ("d-…"). `key`: the home's key of records."""
    keyed = blake2b(octets(f"{SOURCE}\0{number}"), key=key, digest_size=16, person=b"release").digest()
    return f"x-{base32(keyed)}"


def _hour(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)


class _SubjectKeys:
    """Keys of subjects; one that nobody looked at before gets a key, sealed with the commit at hand (`fresh`).

    What is found on disk is kept, until an erasure is recorded or a file of the stream is put in place of another.
    """

    def __init__(self, vault: Vault, wrapping: Wrapping, origin: str) -> None:
        self._vault, self._wrapping, self._origin = vault, wrapping, origin
        self.fresh: dict[str, bytes] = {}
        self._known: dict[str, bytes] = {}
        self._mark: Mark | None = None

    def forget(self) -> None:
        """Look for every key on disk again."""
        self._known, self._mark = {}, None

    def believe(self, number: int, tip: Mark) -> None:
        """Take note that the fresh keys are on disk, in frame `number`, and that `tip` is behind it."""
        self._known |= self.fresh
        if self._mark is not None and self._mark.number == number:
            self._mark = tip

    def tag_of(self, subject: str, epoch: str) -> bytes:
        key = self.fresh.get(subject) or self._known.get(subject) or self._found(subject)
        if key is None:
            key = self.fresh[subject] = os.urandom(32)
        return tag(key, self._origin, epoch)

    def _found(self, subject: str) -> bytes | None:
        stored, covered = stored_key(self._vault, self._wrapping, subject)
        if stored is not None:
            self._known[subject] = stored.key
            return stored.key
        # Batches that intake has not settled yet: each is opened once, however many subjects are looked for in them.
        frames, self._mark = self._vault.intake.since(self._mark or Mark("", 0, 0, covered))
        for frame in frames:
            for name, key in msgspec.msgpack.decode(frame.section(NAMES), type=Names).subject_keys:
                self._known.setdefault(name, key)
        return self._known.get(subject)


class _Given(Pseudonyms):
    """The gate knows people by their pseudonyms only: these stand as they are."""

    def __init__(self, real: Pseudonyms) -> None:
        self._real = real

    def of(self, kind: str, value: str) -> str:
        return value if kind in {"actor", "subject"} else self._real.of(kind, value)

    def once(self, kind: str, value: str) -> str:
        return value if kind in {"actor", "subject"} else self._real.once(kind, value)
