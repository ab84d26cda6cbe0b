"""Evidence bundles for outsiders: which entries, what is shown of each, and the proofs; checked before they leave the house.

Shown are *what*, *why* and *where* of each look; *who* looked only where it was asked for, *raw* never. Of all other groups, and of
everybody else, a bundle holds digests and hashes only, behind random salts that stay here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256, sha512
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from custodes.disclose.signed import behind
from custodes.errors import CouldNotCheck, InputError, LedgerRewritten, PartMissing
from custodes.ledger.blobs import Blobs
from custodes.ledger.bundle import Manifest, OpenedEntry, Shown, seal
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.evidence import Kept, MonthProofs, hash_tiles, list_proof, month_file, policy_of, prove
from custodes.ledger.index import Lookup, parse_entry
from custodes.ledger.leaf import NO_TAG, Kind, decode, epoch_of, leaf_hash, tag_under
from custodes.ledger.months import epochs_between
from custodes.ledger.policy import parse_policy
from custodes.ledger.proof import consistency, inclusion
from custodes.ledger.segments import Segments, read_bytes
from custodes.store.contents import Opening, Own
from custodes.verify.bundle import check_bundle
from custodes.verify.verdict import Verdict, VerifyReport

Read = Callable[[int, int], Sequence[bytes]]
Ask = Callable[[bytes, str], tuple[Lookup, int]]
"""(tag, epoch) → the index's answer, and the number of the entry of the index log that it belongs to."""

WHO, WHAT, WHY, WHERE, RAW = range(5)
_SHOWN: Final = frozenset({WHAT, WHY, WHERE})
_FIRST_STEP: Final = 16
_MOST_STEP: Final = 65_536


@dataclass(frozen=True, slots=True)
class Sources:
    """What a bundle is taken from. `log`, `index`: directories of the two logs; the others: the vault's `openings` and
    `own_records`, and `IndexLog.lookup`.
    """

    log: Path
    index: Path
    openings: Callable[[Iterable[int], Read, int], Iterable[Opening]]
    records: Callable[[], Iterable[Own]]
    ask: Ask


def months_of(sources: Sources, since: str | None, until: str | None) -> list[str]:
    """Return the months from `since` to `until` (both included; by default those of the first and the last published entry)."""
    size, stored = read_unverified(read_bytes(sources.log / "checkpoint")).size, Segments(sources.log)
    if not size:
        raise CouldNotCheck("the published log is empty")
    first, last = (epoch_of(decode(stored.read(at, at + 1)[0]).hour) for at in (0, size - 1))
    months = list(epochs_between(since or first, until or last))
    if not months or months[0] < first or months[-1] > last:
        raise InputError(f"the record goes from {first} to {last}")
    return months


def leaf_bundle(sources: Sources, indexes: Iterable[int], *, with_actor: bool) -> bytes:
    """Return a bundle of single entries. The same log and arguments give the same bytes.

    Raises `LedgerRewritten` if the record does not hold, `CouldNotCheck` if a part that is needed is not there.
    """
    making = _Making(sources, with_actor=with_actor)
    making.take(indexes)
    return making.finish("leaf", {}, {}, None)


def subject_bundle(sources: Sources, k_tag: bytes, epochs: Sequence[str], *, with_actor: bool) -> bytes:
    """Return a bundle of all entries about the holder of `k_tag` in `epochs` (months, none left out between).

    It holds the index's answer for each month, also where there is none. The same log and arguments give the same bytes. Raises as
    `leaf_bundle`.
    """
    making = _Making(sources, with_actor=with_actor)
    point = making.point
    index = read_unverified(read_bytes(sources.index / "checkpoint"))
    stored = Segments(sources.index)
    tiles = Kept(stored, index.size)
    tags, months = {}, {"index/checkpoint": index.note}
    for epoch in epochs:
        tag = tag_under(k_tag, point.origin, epoch)
        lookup, at = sources.ask(tag, epoch)
        nobody, same = sources.ask(NO_TAG, epoch)
        if at != same or at >= index.size:
            raise CouldNotCheck("the index was published while the bundle was made", hint="run the command again")
        entry = stored.read(at, at + 1)[0]
        size = parse_entry(entry).size
        if size > point.size:
            raise CouldNotCheck("the index is ahead of the published checkpoint", hint="run the command again")
        steps = consistency(making.tiles, size, point.size)
        making.take(lookup.positions)
        proofs = MonthProofs(entry, at, inclusion(tiles, at, index.size), steps, making.lists(lookup))
        months[f"index/{epoch}.json"] = month_file(proofs, lookup, nobody)
        tags[epoch] = tag.hex()
    return making.finish("subject", tags, months, k_tag)


class _Making:
    """A bundle in the making, at the published checkpoint."""

    def __init__(self, sources: Sources, *, with_actor: bool) -> None:
        self._sources = sources
        self._groups = _SHOWN | {WHO} if with_actor else _SHOWN
        self.point: Checkpoint = read_unverified(read_bytes(sources.log / "checkpoint"))
        self._stored = Segments(sources.log)
        self.tiles = Kept(self._stored, self.point.size)
        self._opened: dict[int, OpenedEntry] = {}

    def take(self, indexes: Iterable[int]) -> None:
        """Take entries in, with the accesses that touches among them belong to, the records of what was erased of them, and the
        signatures that requests and releases among them rest on.
        """
        fresh = self._open(indexes)
        if any(decode(entry.leaf).kind == Kind.DECISION for entry in fresh):
            self._open(behind([entry.index for entry in fresh], self._decided()))
        accesses = [access for entry in fresh if (access := self._access_of(entry)) is not None]
        fresh += self._open(accesses)
        self._open(self._records_over([entry.index for entry in fresh if not _tells(entry)]))

    def lists(self, lookup: Lookup) -> dict[int, tuple[int, list[bytes]]]:
        """Return for each bulk entry of an answer where the tag stands in its list, with the proof."""
        leaves = {index: decode(self._opened[index].leaf) for index in lookup.positions}
        blobs = Blobs(self._sources.log)
        return {index: list_proof(blobs.read(leaf.tag), lookup.tag) for index, leaf in leaves.items() if leaf.kind == Kind.BULK}

    def finish(self, kind: str, tags: Mapping[str, str], months: Mapping[str, bytes], k_tag: bytes | None) -> bytes:
        """Return the bytes of the bundle, after checking them as its reader will."""
        entries = [self._opened[index] for index in sorted(self._opened)]
        policy = policy_of(self._sources.log, self._sources.index)
        members = {
            "checkpoint": self.point.note,
            "openings.ndjson": b"".join(entry.to_line() for entry in entries),
            "policy.example": policy,
            "verify.py": script(),
            "README.txt": _README.encode(),
            **hash_tiles(self.tiles, self._opened),
            **prove(self.tiles, self.point, [(entry.index, entry.leaf) for entry in entries]),
            **months,
        }
        stamp = self._sources.log / "checkpoint.tsr"
        if stamp.exists() and _is_over(read_bytes(stamp), self.point.note):
            members["checkpoint.tsr"] = read_bytes(stamp)
        manifest = Manifest(kind, self.point.origin, self.point.size, tuple(entry.index for entry in entries), tags)
        data = seal(manifest, members)
        _check_as_reader(data, policy, k_tag)
        return data

    def _read(self, index: int) -> bytes:
        return self._stored.read(index, index + 1)[0]

    def _open(self, indexes: Iterable[int]) -> list[OpenedEntry]:
        """Open entries that are not in the bundle yet; return them."""
        wanted = sorted({index for index in indexes if index not in self._opened})
        found = {opening.index: opening for opening in self._sources.openings(wanted, self._stored.read, self.point.size)}
        fresh = [
            OpenedEntry(index, self._read(index), _shown(found[index], self._groups) if index in found else ()) for index in wanted
        ]
        self._opened.update((entry.index, entry) for entry in fresh)
        return fresh

    def _access_of(self, entry: OpenedEntry) -> int | None:
        """Return the index of the access that a touch or bulk entry belongs to; None for others, or if it was erased."""
        if decode(entry.leaf).kind not in {Kind.TOUCH, Kind.BULK} or not _tells(entry):
            return None
        wanted = bytes.fromhex(json.loads(entry.groups[WHAT].value or b"{}")["access"])
        stop, step = entry.index, _FIRST_STEP
        while stop > 0:  # most stand a few entries before
            start = max(0, stop - step)
            for at, leaf in enumerate(self._stored.read(start, stop), start):
                if leaf_hash(leaf) == wanted:
                    return at
            stop, step = start, min(2 * step, _MOST_STEP)
        raise LedgerRewritten(f"entry {entry.index} names an access that the ledger does not have")

    def _records_over(self, indexes: Sequence[int]) -> list[int]:
        """Return the records that say why these entries do not open."""
        if not indexes:
            return []
        records = list(self._erasures())
        found = set()
        for index in indexes:
            covering = [at for at, ranges in records if at > index and any(first <= index <= last for first, last in ranges)]
            if not covering:
                raise PartMissing(f"the contents of entry {index} are not in the vault, and no record says that they were erased")
            found.add(covering[-1])
        return sorted(found)

    def _decided(self) -> dict[int, Mapping[str, Any]]:
        """Return the home's own decisions and its first keys, by index."""
        found = {}
        for own in self._sources.records():
            published = own.first < self.point.size and self._read(own.first) == own.leaf
            if published and decode(own.leaf).kind in {Kind.DECISION, Kind.POLICY}:
                found[own.first] = msgspec.json.decode(own.what)
        return found

    def _erasures(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        for own in self._sources.records():
            if decode(own.leaf).kind != Kind.ERASURE or own.first >= self.point.size or self._read(own.first) != own.leaf:
                continue
            record = msgspec.json.decode(own.what)
            if record.get("what") in {"erasure", "expiry"} and isinstance(record.get("ranges"), list):
                yield own.first, [(first, last) for first, last in record["ranges"]]


def _is_over(stamp: bytes, note: bytes) -> bool:
    """Say whether a time stamp is over this note and no older one: its answer holds the note's digest as it is."""
    return sha256(note).digest() in stamp or sha512(note).digest() in stamp


def script() -> bytes:
    """Return `verify.py`, byte for byte as every bundle carries it."""
    return files("custodes.verify").joinpath("standalone.py").read_bytes()


def _shown(opening: Opening, groups: Iterable[int]) -> tuple[Shown, ...]:
    """Return the groups of an opening as the bundle holds them."""
    parts = []
    for number, (content, salt, digest) in enumerate(zip(opening.groups, opening.salts, opening.digests, strict=True)):
        opens = number in groups and content is not None and salt is not None
        parts.append(Shown(digest or bytes(32), salt if opens and salt else b"", content if opens else None))
    return tuple(parts)


def _tells(entry: OpenedEntry) -> bool:
    """Say whether it is shown what happened."""
    return bool(entry.groups) and entry.groups[WHAT].value is not None


def _check_as_reader(data: bytes, policy: bytes, k_tag: bytes | None) -> None:
    """Refuse to hand out what a reader would refuse to believe."""
    report = VerifyReport()
    check_bundle(data, "bundle", parse_policy(policy), k_tag, report)
    wrong = next((claim for claim in report.claims if claim.verdict in {Verdict.BROKEN, Verdict.UNVERIFIED}), None)
    if wrong is not None:
        kind = LedgerRewritten if wrong.verdict is Verdict.BROKEN else CouldNotCheck
        raise kind(f"the bundle does not prove what it should, and was not written: {wrong.what}: {wrong.reason}")


_README: Final = """This is an evidence bundle of custodes: entries of a record of looks at people's data, with proofs.

Check it (Python 3.11 or newer, no network, nothing to install):

    python verify.py NAME.custodes-bundle --policy my.policy [--tag-key my.tag-key]

verify.py     reads as one page from top to bottom. Take it out of the bundle with any zip program, or better: take one that you
              got elsewhere. Who can forge a bundle can forge the script in it. `custodes verify` does the same and more.
my.policy     your own file: the keys of the log, and the witnesses that you want to have seen it. policy.example shows its form;
              never use it as it is: get the keys from people you trust, such as a works council or a regulator.
my.tag-key    the key that you got with your first statement. With it the check is about you; without it only about some tag.

It ends with PROVEN, NOT PROVEN or BROKEN. INCLUDED: this entry is in the record, and what is shown is what it commits to.
COMPLETE: these are all entries about you in that month; none was left out. ERASED: the entry is there, its contents were destroyed,
and a record says so. What it cannot show: a look that never reached the record, and looks whose subject nobody could tell: their
number stands beside every month.

The bundle holds your data. Keep it as you would keep a letter from a bank.
"""
