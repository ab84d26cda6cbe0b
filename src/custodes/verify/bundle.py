"""An evidence bundle, checked: container, checkpoint, tiles, entries with what is shown of them, and the index's answers.

The first thing that is broken ends the check: half a proof proves nothing. What a reader without this package runs instead is
`standalone.py`, which does the same in one file and shares no code with this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from custodes.errors import BadInclusion, ConfigError, CouldNotCheck, LedgerRewritten, VerificationError
from custodes.ledger.bundle import BadBundle, OpenedEntry, open_bundle, read_json, read_openings, shaped, unhex
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.index import (
    BITS,
    IndexEntry,
    Lookup,
    bit_of,
    inner_node,
    key_of,
    leaf_node,
    parse_entry,
    parse_lookup,
    prefix_of,
    verify_in_entry,
)
from custodes.ledger.leaf import GROUPS, NO_TAG, Kind, Leaf, decode, epoch_of, leaf_hash, tag_under
from custodes.ledger.merkle import TILE_BYTES, WIDTH, fold, fold_levels, verify_consistency, verify_inclusion
from custodes.ledger.note import Malformed
from custodes.ledger.policy import Policy
from custodes.ledger.proof import parse_proof
from custodes.ledger.tiles import parse_tile_path, tiles_of
from custodes.verify.approvals import Record, check_approvals
from custodes.verify.believe import believe
from custodes.verify.verdict import Verdict, VerifyReport


class Entry(NamedTuple):
    """Entry number `at`, which is in the tree, with its month of recording and the shown groups by name."""

    at: int
    leaf: Leaf
    hash: bytes
    epoch: str
    shown: Mapping[str, object]

    @property
    def access(self) -> str:
        """Of a touch or bulk entry: the hex leaf hash of the access that it belongs to, as far as it is shown."""
        what = self.shown.get("what")
        found = what.get("access") if self.leaf.kind in {Kind.TOUCH, Kind.BULK} and isinstance(what, dict) else None
        return found if isinstance(found, str) else ""


class Month(NamedTuple):
    """The index's answer for one tag: its proven positions, and the proven number of entries with nobody resolved (in `entry`).

    `lists`: for bulk entries, by index as text: where the tag stands in their list; not proven yet.
    """

    entry: IndexEntry
    tag: bytes
    positions: tuple[int, ...]
    lists: Mapping[str, object]


def check_bundle(data: bytes, name: str, policy: Policy | None, tag_key: bytes | None, report: VerifyReport) -> None:
    """Check the bytes of a bundle and take down steps and verdicts. Raises `ConfigError` if the policy is at fault."""
    try:
        _Bundle(data, policy, report).check(tag_key)
    except ConfigError:
        raise
    except CouldNotCheck as wrong:
        report.claim(Verdict.UNVERIFIED, name, str(wrong))
    except VerificationError as wrong:
        report.claim(Verdict.BROKEN, name, str(wrong))


class _Bundle:
    """One bundle under one policy."""

    def __init__(self, data: bytes, policy: Policy | None, report: VerifyReport) -> None:
        self._policy, self._report = policy, report
        self._manifest, self._members = open_bundle(data)
        report.step(
            f"bundle: about a {self._manifest.kind}; {len(self._members)} members, {len(data)} bytes, as the manifest lists them"
        )

    def check(self, tag_key: bytes | None) -> None:
        """Follow everything to the signed root."""
        manifest, members, report = self._manifest, self._members, self._report
        report.step(_about_script(members["verify.py"]))
        point = read_unverified(members["checkpoint"])
        if (point.origin, point.size) != (manifest.origin, manifest.size):
            raise BadBundle("the manifest names another log or size than the checkpoint")
        doubt = believe(point, self._policy, report)
        if "checkpoint.tsr" in members:
            report.step("time-stamp: there is one over the checkpoint, not checked here")
        tiles = read_tiles(members, point)
        report.step(f"tiles: {len(tiles)} tiles of hashes lead to the root of the checkpoint")
        entries = read_entries(members, point, tiles)
        if tuple(entries) != manifest.included:
            raise BadBundle("the manifest claims other entries than the bundle holds")
        report.step(f"entries: {len(entries)} are in the tree and commit to what is shown of them")
        if manifest.kind == "subject":
            self._about_subject(point, entries, doubt, tag_key)
        elif manifest.complete or any(member.startswith("index/") for member in members):
            raise BadBundle("a bundle of single entries makes no claim about months")
        judge(entries, doubt, report)
        check_approvals(_own_records(entries), doubt, report)

    def _about_subject(self, point: Checkpoint, entries: Mapping[int, Entry], doubt: str, tag_key: bytes | None) -> None:
        """Check that these are all entries about one tag, month by month, and that nothing else is in the bundle."""
        members, claimed = self._members, self._manifest.complete
        if "index/checkpoint" not in members:
            raise BadBundle("a bundle about a subject holds a checkpoint of the index")
        index = read_unverified(members["index/checkpoint"])
        if index.origin != f"{point.origin}/index":
            raise BadBundle("the index is of another log")
        doubt = believe(index, self._policy, self._report) or doubt
        listed = {member for member in members if member.startswith("index/")}
        if listed != {"index/checkpoint", *(f"index/{epoch}.json" for epoch in claimed)}:
            raise BadBundle("the manifest claims other months than the bundle has index proofs for")
        wanted: set[int] = set()
        for epoch in sorted(claimed):
            month = read_month(members[f"index/{epoch}.json"], epoch, unhex(claimed[epoch]), index, point)
            if tag_key is not None and month.tag != tag_under(tag_key, point.origin, epoch):
                raise BadBundle(f"{epoch}: the tag in the bundle is not the one that your key gives")
            check_list(month, entries)
            wanted.update(month.positions)
            _judge_month(month, point, doubt, "you" if tag_key else "this tag", self._report)
        months = sorted(int(epoch[:4]) * 12 + int(epoch[5:]) for epoch in claimed)
        if not months or months[-1] - months[0] + 1 != len(months):
            self._report.claim(Verdict.UNVERIFIED, "months", "between the first and the last month of the bundle some are missing")
        _refuse_strays(entries, wanted)


def _about_script(shipped: bytes) -> str:
    ours = Path(__file__).with_name("standalone.py").read_bytes()
    name = f"SHA-256 {sha256(shipped).hexdigest()}"
    if shipped == ours:
        return f"its verify.py is the one that this version of custodes ships ({name})"
    return f"its verify.py is not the one that this version of custodes ships ({name}); it was not used"


def judge(entries: Mapping[int, Entry], doubt: str, report: VerifyReport) -> None:
    """Give each entry its verdict."""
    hashes = {entry.hash.hex() for entry in entries.values()}
    records = [(entry.at, ranges) for entry in entries.values() if (ranges := _erased_by(entry)) is not None]
    for entry in entries.values():
        what = f"entry {entry.at}, {Kind(entry.leaf.kind).name.lower().replace('_', ' ')}, recorded {entry.epoch}"
        record = next((at for at, ranges in records if at > entry.at and _covers(ranges, entry.at)), None)
        lines = tuple(_line(group, value) for group, value in entry.shown.items())
        if "what" in entry.shown and entry.access and entry.access not in hashes:
            report.claim(Verdict.UNVERIFIED, what, "the access that it belongs to is not in the bundle", lines)
        elif "what" in entry.shown:
            report.prove(Verdict.INCLUDED, what, doubt, lines)
        elif record is not None:
            text = f"{what}: it stays in the record, its contents were destroyed; see entry {record}"
            report.prove(Verdict.ERASED, text, doubt, lines)
        else:
            report.claim(Verdict.UNVERIFIED, what, "it is not shown what happened, and no record says that it was erased", lines)


def _own_records(entries: Mapping[int, Entry]) -> dict[int, Record]:
    """Return the shown entries that the home made about itself."""
    shown = {at: (entry.leaf, entry.shown.get("what")) for at, entry in entries.items() if entry.leaf.source == 0}
    return {at: Record(at, leaf, what) for at, (leaf, what) in shown.items() if isinstance(what, dict)}


def _judge_month(month: Month, point: Checkpoint, doubt: str, whom: str, report: VerifyReport) -> None:
    entry, count = month.entry, len(month.positions)
    end = "month closed" if entry.final else f"as of entry {entry.size} of {point.size}"
    what = f"{entry.epoch}: {count or 'no'} entries about {whom} ({end}); with nobody resolved: {entry.unresolved}"
    if entry.size < point.size and not entry.final:
        report.claim(Verdict.UNVERIFIED, what, "the index does not reach the checkpoint")
    else:
        report.prove(Verdict.COMPLETE, what, doubt)


def _refuse_strays(entries: Mapping[int, Entry], wanted: set[int]) -> None:
    """Raise if the bundle holds more than entries on the list, the accesses that they belong to, and records of erasures."""
    accesses = {entries[index].access for index in wanted}
    for entry in entries.values():
        if entry.at not in wanted and entry.hash.hex() not in accesses and entry.leaf.kind != Kind.ERASURE:
            raise BadBundle(f"entry {entry.at} is in the bundle without being about this person")


def _line(group: str, value: object) -> str:
    """Return a group's contents, safe to print: they come from logs that anybody may have written into."""
    text = f"{group:5}  {json.dumps(value, ensure_ascii=False, sort_keys=True)}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


# Entries


def read_tiles(members: Mapping[str, bytes], point: Checkpoint) -> dict[tuple[int, int], bytes]:
    """Return the bundle's tiles by level and index; all of them lead to the root of the checkpoint. Raises `VerificationError`."""
    sizes = tiles_of(point.size)
    tiles: dict[tuple[int, int], bytes] = {}
    for name, body in members.items():
        path = parse_tile_path(name.removeprefix("log/")) if name.startswith("log/") else None
        if path is None:
            continue
        full, partial = sizes[path.level] if path.level < len(sizes) else (0, 0)
        if not (path.index < full and path.width == WIDTH) and (path.index, path.width) != (full, partial):
            raise BadBundle("a tile of the bundle is not one of this tree")
        if len(body) != 32 * path.width:
            raise BadBundle("a tile of the bundle has a wrong length")
        tiles[path.level, path.index] = body
    try:
        edge = [tiles[level, full] if partial else b"" for level, (full, partial) in enumerate(sizes)]
        if fold_levels(edge) != point.root:
            raise LedgerRewritten("the tiles of the bundle do not lead to the root of the checkpoint")
        for (level, index), body in tiles.items():
            at = index % WIDTH * 32
            if len(body) == TILE_BYTES and tiles[level + 1, index // WIDTH][at : at + 32] != fold(body):
                raise LedgerRewritten("a tile of the bundle does not fit into the one above it")
    except KeyError:
        raise BadBundle("the bundle lacks a tile between an entry and the root") from None
    return tiles


def read_entries(members: Mapping[str, bytes], point: Checkpoint, tiles: Mapping[tuple[int, int], bytes]) -> dict[int, Entry]:
    """Return the bundle's entries by index, ascending; each is in the tree and commits to what is shown of it."""
    entries: dict[int, Entry] = {}
    for opened in read_openings(members["openings.ndjson"]):
        entry = _read_entry(opened, members, point)
        at = opened.index % WIDTH * 32
        if tiles.get((0, opened.index // WIDTH), b"")[at : at + 32] != entry.hash:
            raise BadInclusion(f"entry {opened.index}: the tile over it is missing or holds another one")
        entries[opened.index] = entry
    if {name for name in members if name.startswith("proofs/")} != {f"proofs/{index}.tlog-proof" for index in entries}:
        raise BadBundle("there is a proof without its opening")
    return entries


def _read_entry(opened: OpenedEntry, members: Mapping[str, bytes], point: Checkpoint) -> Entry:
    what = f"entry {opened.index}"
    proof = parse_proof(members.get(f"proofs/{opened.index}.tlog-proof", b""))
    if (proof.index, proof.extra, proof.checkpoint) != (opened.index, opened.leaf, point.note):
        raise BadInclusion(f"{what}: its proof is of another entry or checkpoint")
    hashed = leaf_hash(opened.leaf)
    try:
        verify_inclusion(opened.index, point.size, hashed, proof.hashes, point.root)
    except BadInclusion as wrong:
        raise BadInclusion(f"{what}: {wrong}") from None
    leaf = decode(opened.leaf)
    if opened.groups and opened.commitment() != leaf.commit:
        raise BadInclusion(f"{what}: what is shown is not what the entry commits to")
    shown = {name: read_json(group.value) for name, group in zip(GROUPS, opened.groups, strict=False) if group.value is not None}
    try:
        return Entry(opened.index, leaf, hashed, epoch_of(leaf.hour), shown)
    except OverflowError:
        raise BadBundle(f"{what}: its hour is in no year that there is") from None


def _erased_by(entry: Entry) -> Sequence[object] | None:
    """Return the ranges that a shown record of an erasure or expiry names, None for other entries."""
    record = entry.shown.get("what")
    if entry.leaf.kind != Kind.ERASURE or not isinstance(record, dict) or record.get("what") not in {"erasure", "expiry"}:
        return None
    ranges = record.get("ranges")
    return ranges if isinstance(ranges, list) else []


def _covers(ranges: Sequence[object], index: int) -> bool:
    for pair in ranges:
        match pair:
            case [int(first), int(last)] if not isinstance(first, bool) and not isinstance(last, bool) and first <= index <= last:
                return True
    return False


# The index


def read_month(data: bytes, epoch: str, tag: bytes, index: Checkpoint, point: Checkpoint) -> Month:
    """Return the proven answer of the index for `tag` in `epoch`. Raises `VerificationError`, `UnknownVersion`."""
    document = read_json(data)
    fields = {"at": int, "consistency": list, "entry": str, "inclusion": list, "lists": dict, "lookup": dict, "unresolved": dict}
    proof = shaped(document, fields)
    raw = proof["entry"].encode("utf-8", "surrogatepass")
    try:
        # 1. The entry is in the index log, and what it covers is the beginning of the log that the checkpoint signs.
        hashes = [unhex(value) for value in proof["inclusion"]]
        verify_inclusion(proof["at"], index.size, leaf_hash(raw), hashes, index.root)
        entry = parse_entry(raw)
        if (entry.origin, entry.epoch) != (point.origin, epoch):
            raise BadBundle("the index entry is of another log or month")
        steps = [unhex(value) for value in proof["consistency"]]
        verify_consistency(entry.size, point.size, entry.root, point.root, steps)
        # 2. The positions are those of this tag, and the number of entries with nobody resolved is that of the zero tag.
        lookup = parse_lookup(proof["lookup"])
        if lookup.tag != tag:
            raise BadBundle("the index was asked for another tag than the manifest claims")
        verify_in_entry(lookup, entry)
        _verify_unresolved(proof["unresolved"], entry)
    except (BadInclusion, Malformed) as wrong:
        raise BadBundle(f"index {epoch}: {wrong}") from None
    return Month(entry, tag, lookup.positions, proof["lists"])


def _verify_unresolved(value: Mapping[str, object], entry: IndexEntry) -> None:
    """Check the number of positions of the zero tag; the positions themselves are not told."""
    if value.keys() != {"count", "end", "list", "path"} or type(value["count"]) is not int or type(value["list"]) is not str:
        raise BadBundle("the number of entries with nobody resolved has other fields than its format")
    given = {"schema": "custodes.lookup/1", "tag": NO_TAG.hex(), "epoch": entry.epoch, "positions": [], **value}
    lookup = parse_lookup({name: given[name] for name in ("schema", "tag", "epoch", "positions", "path", "end")})
    count = value["count"]
    if count != entry.unresolved or count < 0:
        raise BadBundle("the number of entries with nobody resolved is not the one of the index entry")
    if not count:
        verify_in_entry(lookup, entry)
    elif lookup.end is not None or _climb(lookup, leaf_node(key_of(NO_TAG), count, unhex(value["list"]))) != entry.index:
        raise BadBundle("the number of entries with nobody resolved does not lead to the root of the index")


def _climb(lookup: Lookup, node: bytes) -> bytes:
    """Return the root that a path leads to from the entry of its tag. Raises `BadBundle`."""
    key, below = key_of(lookup.tag), BITS
    for step in reversed(lookup.path):
        if not step.depth < below or step.prefix != prefix_of(key, step.depth):
            raise BadBundle("a path in the index is not the one to its tag")
        below = step.depth
        sides = (step.sibling, node) if bit_of(key, step.depth) else (node, step.sibling)
        node = inner_node(step.depth, step.prefix, *sides)
    return node


def check_list(month: Month, entries: Mapping[int, Entry]) -> None:
    """Check that every entry on the index's list is in the bundle and carries the tag in that month, and that no proof is left."""
    epoch, bulk = month.entry.epoch, set[str]()
    for index in month.positions:
        entry = entries.get(index)
        if entry is None:
            raise BadBundle(f"{epoch}: the index lists entry {index} for this tag, and the bundle leaves it out")
        if entry.leaf.kind == Kind.BULK and entry.epoch == epoch:
            _check_bulk(entry, month)
            bulk.add(str(index))
        elif entry.leaf.kind not in {Kind.ACCESS, Kind.TOUCH} or entry.leaf.tag != month.tag or entry.epoch != epoch:
            raise BadBundle(f"{epoch}: entry {index} stands in the list of this tag and does not carry it")
    if month.lists.keys() != bulk:
        raise BadBundle(f"{epoch}: there is a proof for a list that no entry of this tag has")


def _check_bulk(entry: Entry, month: Month) -> None:
    """Check that the tag stands in the list that a bulk entry commits to."""
    place = shaped(month.lists.get(str(entry.at)), {"at": int, "hashes": list})
    what = shaped(entry.shown.get("what"), {"access": str, "count": int, "root": str})
    try:
        hashes = [unhex(value) for value in place["hashes"]]
        verify_inclusion(place["at"], what["count"], leaf_hash(month.tag), hashes, unhex(what["root"]))
    except BadInclusion as wrong:
        raise BadBundle(f"entry {entry.at}: the tag is not in its list: {wrong}") from None
