"""The signed side of `fsck`: every record of `signed`, what of it is published, and a second history if one is claimed."""

from __future__ import annotations

from pathlib import Path

from custodes.errors import CustodesError
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.fsck_report import FsckReport
from custodes.ledger.note import Key, Note, parse, parse_key, verify
from custodes.ledger.published import FORK, WITNESSES, is_proven_fork
from custodes.ledger.signed import split


def _read(path: Path, report: FsckReport) -> bytes | None:
    """Return a file's bytes. Absent is a problem, unreadable is unread."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        report.problem(f"{path.name} is missing")
    except OSError as wrong:
        report.unread.append(f"{path.name} cannot be read ({wrong.strerror})")
    return None


def read_keys(path: Path, report: FsckReport) -> list[Key]:
    """Return the verifier keys of a file, none if it does not hold exactly such a list."""
    data = _read(path, report)
    if data is None:
        return []
    try:
        keys = [parse_key(line) for line in data.decode().splitlines()]
    except (CustodesError, UnicodeDecodeError):
        report.problem(f"{path.name} does not hold verifier keys")
        return []
    if "".join(f"{key.vkey()}\n" for key in keys).encode() != data or not keys:
        report.problem(f"{path.name} is not exactly a list of verifier keys")
    return keys


def published_and_signed(path: Path, report: FsckReport) -> tuple[bytes | None, bytes | None]:
    """Read both, the published one first; again if they differ: a writer at work appends to `signed` before it publishes."""
    for _ in range(5):
        published, signed = (_peek(path / name) for name in ("checkpoint", "signed"))
        if published is None or signed is None or published.partition(b"\n\n")[0] in signed:
            break
    return _read(path / "checkpoint", report) if published is None else published, (
        _read(path / "signed", report) if signed is None else signed
    )


def _peek(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_records(data: bytes, report: FsckReport) -> list[Checkpoint]:
    """Return the records of `signed` that are checkpoints, in their order; what they should be and are not is a problem."""
    notes, length = split(data)
    if length < len(data):
        report.notes.append("signed ends with a record that a crash cut off; it was never shown")
    records: list[Checkpoint] = []
    for at, note in enumerate(notes):
        try:
            record = read_unverified(note)
        except CustodesError as wrong:
            report.problem(f"record {at} of signed is damaged: {wrong}")
            continue
        if records and (record.origin != records[0].origin or record.size <= records[-1].size):
            report.problem(f"record {at} of signed is of another log, or not larger than the one before")
        records.append(record)
    if not records:
        report.problem("signed holds no checkpoint; a log signs its empty tree when it is made")
        return []
    report.records, report.origin, report.last = len(records), records[0].origin, records[-1]
    report.signed_entries = records[-1].size
    return records


def check_signatures(at: int, record: Checkpoint, keys: list[Key], report: FsckReport, *, strict: bool) -> None:
    """Check record `at` under `keys`. `strict`: all of them must have signed it, and nobody else."""
    if not keys:
        return
    try:
        opened = verify(parse(record.note), keys)
    except CustodesError as wrong:
        report.problem(f"record {at} of signed (size {record.size}): {wrong}")
        return
    report.signatures += len(opened.verified)
    if strict and (opened.unverified or len(opened.verified) != len(keys)):
        report.problem(f"record {at} of signed (size {record.size}) is not signed by exactly the log's keys")


def check_published(path: Path, data: bytes, records: list[Checkpoint], report: FsckReport) -> None:
    """The published note is a record of `signed`, byte for byte, and after it lines of the log's witnesses alone."""
    at = next((at for at in reversed(range(len(records))) if data.startswith(records[at].note)), None)
    if at is None:
        report.problem("checkpoint is not the last record of signed, byte for byte")
        return
    witnessed = (path / WITNESSES).exists()
    waiting = len(records) - 1 - at
    if waiting and witnessed:
        report.notes.append(f"{waiting} signed checkpoints after size {records[at].size} wait for enough witnesses")
    elif waiting == 1:
        # A crash (or a writer at this moment) between the two steps of publishing: the next start publishes the last.
        report.notes.append("the last signed checkpoint is not published yet")
    elif waiting:
        report.problem("checkpoint is not the last record of signed, byte for byte")
    if data != records[at].note:
        _check_cosigned(
            data, read_keys(path / WITNESSES, report) if witnessed else [], len(parse(records[at].note).signatures), report
        )


def check_fork(path: Path, keys: list[Key], report: FsckReport) -> None:
    """A second history under this log's key is a problem; one that a witness only claims keeps the first from being believed."""
    if is_proven_fork(path, keys):
        report.problem(f"this log has signed another history, which a witness has seen: {FORK}")
    else:
        report.unread.append(f"a witness claims to have seen another history, and {FORK} does not prove it")


def _check_cosigned(data: bytes, keys: list[Key], own: int, report: FsckReport) -> None:
    """Check the lines after the log's own: each verifies under a key in `witnesses`."""
    try:
        note = parse(data)
        opened = verify(Note(note.text, note.signatures[own:]), keys)
    except CustodesError as wrong:
        report.problem(f"a cosignature of checkpoint: {wrong}")
        return
    if opened.unverified or note.to_bytes() != data:
        report.problem("checkpoint has a line that no witness of this log has made")
    report.signatures += len(opened.verified)
