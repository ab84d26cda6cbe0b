"""`fsck`: does this directory hold what was signed? Everything is hashed again from its contents; no stored state is believed.

    contents → leaf hashes → stored tiles → the root of every record in `signed` → its signatures → `checkpoint` is the last
    record, byte for byte → `seq` and `prev` of every source → what a vault says of the contents behind the leaves
    → the index log, likewise, and each of its roots from the leaves and tag lists

The outcome is a report, also for the worst log; nothing is raised for content. `problems` mean that nobody should trust the log
(exit 3), `unread` that a part could not be looked at (exit 2), `notes` are facts worth knowing that prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from custodes.errors import CustodesError
from custodes.ledger.fsck_entries import Progress, Walk
from custodes.ledger.fsck_report import FsckReport
from custodes.ledger.fsck_signed import check_fork, check_published, check_signatures, published_and_signed, read_keys, read_records
from custodes.ledger.index_check import check_index
from custodes.ledger.note import Key
from custodes.ledger.published import FORK
from custodes.ledger.segments import Segments


class Findings(Protocol):
    """What a vault says of itself: leaves whose contents fit, and sentences about those that do not."""

    opened: int
    erased: int
    expired: int
    problems: list[str]


class Vault(Protocol):
    """Whoever holds the contents behind the leaves."""

    def check(self, read: Callable[[int, int], list[bytes]], size: int) -> Findings:
        """Compare the contents held with the log's entries; `read(start, stop)` gives them, up to `size`."""
        ...


def fsck(
    path: Path,
    vault: Vault | None = None,
    *,
    keys: Sequence[Key] | None = None,
    index: Path | None = None,
    progress: Progress | None = None,
) -> FsckReport:
    """Check the log in the directory `path`, with `vault` the contents behind its leaves, with `index` its index log there.

    `keys`: the reader's keys; without them the log's own (`vkey`) are used, which find damage but not an exchanged log.
    May run while a writer appends: what is not signed yet is checked for its form only.
    """
    report = FsckReport()
    # 0. The index log on its own, and before the log that it covers: a writer may be at work.
    index_report = None if index is None else fsck(index)
    # 1. The keys that every record must be signed with. A log's own list must name all signers, a reader's need not.
    own = keys is None
    known = read_keys(path / "vkey", report) if keys is None else list(keys)
    # 2. Every checkpoint ever signed: its form, its order, its signatures.
    published, signed = published_and_signed(path, report)
    records = read_records(signed, report) if signed is not None else []
    for at, record in enumerate(records):
        check_signatures(at, record, known, report, strict=own)
    # 3. `checkpoint` is the last of them, or the last that enough witnesses have seen; none of those has seen another history.
    if published is not None and records:
        check_published(path, published, records, report)
    if (path / FORK).exists():
        check_fork(path, known, report)
    # 4. Contents → leaf hashes → tiles → the root of every record; `seq` and `prev` on the way.
    reader = Segments(path)
    Walk(reader, records, report, progress).run()
    # 5. What lies behind the leaves.
    if vault is not None:
        _check_vault(vault, reader, report)
    # 6. Each root of the index, from the leaves and tag lists.
    if index is not None and index_report is not None:
        _check_index(index, index_report, path, report)
    return report


def _check_index(index: Path, own: FsckReport, path: Path, report: FsckReport) -> None:
    for text in own.problems:
        report.problem(f"index log: {text}")
    report.untold += own.untold
    report.unread += [f"index log: {text}" for text in own.unread]
    if own.last is None or report.last is None or own.problems or own.unread:
        return
    found = report.index = check_index(path, index, own.origin, own.signed_entries, report.last)
    for text in found.problems:
        report.problem(f"index: {text}")
    report.unread += [f"index: {text}" for text in found.unread]
    report.notes += found.notes


def _check_vault(vault: Vault, reader: Segments, report: FsckReport) -> None:
    try:
        found = vault.check(reader.read, report.entries)
    except CustodesError as wrong:
        report.unread.append(f"the vault could not be checked: {wrong}")
        return
    report.opened, report.erased, report.expired = found.opened, found.erased, found.expired
    for text in found.problems:
        report.problem(f"vault: {text}")
