"""A batch in the making: raw records that are new, and what a parser made of them. Everything in it is sealed together.

A record met before (same source, same bytes) is folded: counted, and taken no second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from itertools import compress
from typing import Final, NamedTuple

from custodes.model.draft import Draft, Note, Parsed, Raw, Rejected
from custodes.source import Parser, Position
from custodes.store.contents import Raws, octets, record_key
from custodes.store.memory import Memory

_LARGEST: Final = 2**53 - 1
_MOST_SEEN: Final = 200_000
"""Records of one batch whose keys are remembered; beyond that they are worked out again."""
_RECENT: Final = 100_000


class Recent:
    """The last hundred thousand keys or more, in bounded memory."""

    def __init__(self) -> None:
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def add(self, key: bytes) -> None:
        """Remember `key`."""
        if len(self._now) >= _RECENT:
            self._before, self._now = self._now, set()
        self._now.add(key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._now or key in self._before

    def __bool__(self) -> bool:
        return bool(self._now)


@dataclass(slots=True)
class Replay:
    """Known records are fed to a parser again, for what they say about new ones. `fed`: all that were fed; `new`: the new."""

    fed: Recent = field(default_factory=Recent)
    new: Recent = field(default_factory=Recent)


@dataclass(slots=True)
class Stream:
    """One input being read. `name`: under which its position is kept.

    `replay`: its beginning is known, but not as this input. `held`: the parser was fed since it was last asked to finish.
    """

    name: str
    path: str
    parser: Parser
    position: Position
    replay: Replay | None = None
    begun: bool = False
    changed: bool = False
    held: bool = False


class Made(NamedTuple):
    """A draft of this batch with its record key, a digest of all its records, and whether it may come again."""

    draft: Draft
    key: bytes
    records: bytes
    early: bool


@dataclass(slots=True)
class Gathered:
    """One batch. `made` has None where a later, whole draft of this batch took a draft's place."""

    made: list[Made | None] = field(default_factory=list)
    raws: list[Raw] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    superseded: list[int] = field(default_factory=list)
    superseded_resolved: int = 0
    streams: dict[str, Stream] = field(default_factory=dict)
    size: int = 0
    _keys: set[bytes] = field(default_factory=set)
    _seen: dict[int, tuple[bytes, bytes, bytes]] = field(default_factory=dict)
    _prefixes: dict[str | None, bytes] = field(default_factory=dict)
    _early: dict[bytes, int] = field(default_factory=dict)

    def fresh(self, raws: Sequence[Raw], source: str, memory: Memory, key: bytes) -> list[bool]:
        """Say of each record whether it is new, and take the new ones in."""
        data = [raw.data for raw in raws]
        digests = [sha256(content).digest() for content in data]
        prefixes = self._prefixes
        for seq_of in {raw.seq_of for raw in raws}:
            if seq_of not in prefixes:
                prefixes[seq_of] = prefix_of(source, seq_of)
        # `record_key`, spelled out: this runs for every line of every log.
        joined = zip([prefixes[raw.seq_of] for raw in raws], digests, strict=True)
        keys = [blake2b(prefix + digest, key=key, digest_size=16).digest() for prefix, digest in joined]
        if len(self._seen) > _MOST_SEEN:
            self._seen.clear()
        # The bytes stand beside what is known of them: an id alone may be given to other bytes once these are gone.
        self._seen.update(zip(map(id, data), zip(data, keys, digests, strict=True), strict=True))
        answers = [not known for known in memory.records.known(keys)]
        mine = self._keys
        if not all(answers) or len(set(keys)) < len(keys) or not mine.isdisjoint(keys):
            for at, made in enumerate(keys):
                answers[at] = answers[at] and made not in mine
                if answers[at]:
                    mine.add(made)
            raws, keys, digests = list(compress(raws, answers)), list(compress(keys, answers)), list(compress(digests, answers))
        mine.update(keys)
        self.raws += raws
        self.keys += keys
        self.digests += digests
        self.size += sum([len(raw.data) for raw in raws])
        return answers

    def take(self, parsed: Parsed, source: str, memory: Memory, key: bytes, *, early: bool) -> None:
        """Take in what a parser gave. `early`: it was asked to finish, and may give a draft again, whole."""
        self.rejected += parsed.rejected
        self.notes += parsed.notes
        for kind, count in parsed.counted.items():
            self.counted[kind] = self.counted.get(kind, 0) + count
        for draft in parsed.drafts:
            self._draft(draft, source, memory, key, early=early)

    def unfed(self, raws: Sequence[Raw], fresh: Sequence[bool], replay: Replay) -> list[tuple[bool, list[Raw]]]:
        """Return the records that a replayed parser still needs, in runs of known and of new ones; note them as fed."""
        runs: list[tuple[bool, list[Raw]]] = []
        for raw, new in zip(raws, fresh, strict=True):
            made = self._seen[id(raw.data)][1]
            if made in replay.fed:
                continue
            replay.fed.add(made)
            if new:
                replay.new.add(made)
            if not runs or runs[-1][0] is not new:
                runs.append((new, []))
            runs[-1][1].append(raw)
        return runs

    def take_again(self, parsed: Parsed, source: str, memory: Memory, key: bytes, new: Recent) -> None:
        """Take in what a parser gave for records that were read before: only accesses that hold a new record."""
        for draft in parsed.drafts:
            if any(self._key_of(raw, source, key) in new for raw in draft.raws):
                self._draft(draft, source, memory, key, early=False)

    def drafts(self) -> list[Made]:
        """Return the drafts that stand."""
        return [made for made in self.made if made is not None]

    def digests_of(self, draft: Draft) -> list[bytes]:
        """Return the SHA-256 of each of a draft's records, also of those held back from an earlier batch."""
        seen = self._seen
        known = [seen.get(id(raw.data)) for raw in draft.raws]
        return [
            item[2] if item is not None and item[0] is raw.data else sha256(raw.data).digest()
            for item, raw in zip(known, draft.raws, strict=True)
        ]

    def sealed_raws(self) -> Raws:
        """Return the records as they are sealed."""
        files: dict[str, int] = {}
        prefixes: dict[bytes, int] = {}
        reasons = {id(item.raw.data): item.reason for item in self.rejected}
        return Raws(
            data=[raw.data for raw in self.raws],
            file_of=[files.setdefault(raw.file, len(files)) for raw in self.raws],
            prefix_of=[prefixes.setdefault(self._prefixes[raw.seq_of], len(prefixes)) for raw in self.raws],
            line=[raw.line for raw in self.raws],
            rejected=[(at, reasons[id(raw.data)]) for at, raw in enumerate(self.raws) if id(raw.data) in reasons]
            if reasons
            else [],
            files=[octets(file) for file in files],
            prefixes=list(prefixes),
        )

    def _draft(self, draft: Draft, source: str, memory: Memory, key: bytes, *, early: bool) -> None:
        first = self._key_of(draft.raws[0], source, key)
        if len(memory.erased) and self._is_erased(draft, source, memory, key):
            return
        whole = not early and first in self._keys and not self._early
        records = b"" if whole else self._records(draft, source, key)
        if not whole and not self._replaces(first, records, memory):
            return
        _bound(draft)
        if early:
            self._early[first] = len(self.made)
        self.made.append(Made(draft, first, records, early))

    def _is_erased(self, draft: Draft, source: str, memory: Memory, key: bytes) -> bool:
        """Say whether an access holds a record that was erased, and count its new records: it would bring a person back."""
        keys = [self._key_of(raw, source, key) for raw in draft.raws]
        if not any(memory.erased.known(keys)):
            return False
        new = sum(made in self._keys for made in keys)
        if new:
            self.counted["erased"] = self.counted.get("erased", 0) + new
        return True

    def _replaces(self, first: bytes, records: bytes, memory: Memory) -> bool:
        """Put an earlier, shorter form of the same access out of force. False: it is the same access, given out once more."""
        earlier = self._early.pop(first, None)
        if earlier is not None:
            made = self.made[earlier]
            if made is not None and made.records == records:
                self._early[first] = earlier
                return False
            self.made[earlier] = None
        elif (given := memory.given(first)) is not None:
            if given.records == records:
                return False
            self.superseded.append(given.leaf)
            self.superseded_resolved += given.resolved
        return True

    def _records(self, draft: Draft, source: str, key: bytes) -> bytes:
        joined = b"".join([self._key_of(raw, source, key) for raw in draft.raws])
        return blake2b(joined, key=key, digest_size=16, person=b"records").digest()

    def _key_of(self, raw: Raw, source: str, key: bytes) -> bytes:
        seen = self._seen.get(id(raw.data))
        if seen is not None and seen[0] is raw.data:
            return seen[1]
        return record_key(key, prefix_of(source, raw.seq_of), sha256(raw.data).digest())


def prefix_of(source: str, seq_of: str | None) -> bytes:
    """Return what stands before a record's bytes in its keyed id: the source, and the log's own `seq_of` if it has one."""
    return octets(f"{source}\0{seq_of or ''}\0")


def _bound(draft: Draft) -> None:
    """Drop numbers that no count can be; the record itself stays sealed."""
    if draft.rows is not None and not 0 <= draft.rows <= _LARGEST:
        draft.rows = None
    if draft.bytes is not None and not 0 <= draft.bytes <= _LARGEST:
        draft.bytes = None
    if draft.seq is not None and not 0 <= draft.seq <= _LARGEST:
        draft.seq = None
    if draft.subject_max is not None and not 0 <= draft.subject_max <= _LARGEST:
        draft.subject_max = None
    if not 0 <= draft.subject_min <= _LARGEST:
        draft.subject_min = 0
