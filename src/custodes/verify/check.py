"""The check itself: what is this path, and does it hold what the reader's policy lets one believe?

Every check starts with the same three steps: the reader's policy, the checkpoint under the log's key, the witnesses. A log's
directory or exported folder is then hashed again from its contents, a proof is followed from its entry to the root, a bundle
(`verify.bundle`) from what it shows. A wrong content is BROKEN also without a policy; nothing is ever proven without one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from custodes.errors import BadInclusion, ConfigError, CouldNotCheck, CustodesError, PartMissing
from custodes.ledger.bundle import MAGIC, MOST_BYTES
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.fsck import fsck
from custodes.ledger.index_check import IndexReport, recompute
from custodes.ledger.leaf import leaf_hash
from custodes.ledger.merkle import verify_inclusion
from custodes.ledger.policy import Policy, parse_policy
from custodes.ledger.proof import HEADER, Proof, parse_proof
from custodes.ledger.segments import read_bytes
from custodes.verify.believe import believe
from custodes.verify.bundle import check_bundle
from custodes.verify.folder import walk
from custodes.verify.verdict import Verdict, VerifyReport

_KEY: Final = re.compile("[0-9a-fA-F]{64}")
_MOST_KEY: Final = 4096


def check(path: Path, policy: bytes | None, tag_key: bytes | None = None) -> VerifyReport:
    """Check a path under the text of the reader's policy; `None` if the reader has none. Raises `ConfigError` for a bad policy.

    `tag_key`: the reader's own (32 bytes), with which the tags of a bundle are computed instead of believed.
    """
    report = VerifyReport()
    rules = None if policy is None else parse_policy(policy)
    if rules is None:
        report.step("policy: none was given, so nobody's signature can be believed")
    else:
        report.step(f"policy: {len(rules.logs)} log key(s), {len(rules.witnesses)} witness(es), quorum {rules.quorum}")
    for folder in (path, path / "ledger" / "log"):
        if (folder / "seg").is_dir():
            _log(folder, rules, report)
            return report
    if (path / "checkpoint").is_file():
        _folder(path, rules, report)
    elif path.is_file():
        _file(path, rules, tag_key, report)
    else:
        report.claim(Verdict.UNVERIFIED, path.name, "no log, exported folder, bundle or proof is here")
    return report


def read_tag_key(given: str) -> bytes:
    """Return a tag key from 64 hex digits, or from a file that holds them. Raises `ConfigError`, `OSError`."""
    text = given if _KEY.fullmatch(given) else _first_bytes(given).decode("ascii", "replace").strip()
    if not _KEY.fullmatch(text):
        raise ConfigError("a tag key is 64 hex digits, or a file that holds them")
    return bytes.fromhex(text)


def _first_bytes(name: str) -> bytes:
    """Return the first bytes of a file or pipe, more than a key has; a pipe without a writer is empty."""
    number = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(number, True)
    with os.fdopen(number, "rb") as file:
        return file.read(_MOST_KEY)


def _log(path: Path, policy: Policy | None, report: VerifyReport) -> None:
    """A log's own directory."""
    try:
        data = read_bytes(path / "checkpoint")
        checkpoint = read_unverified(data)
    except CouldNotCheck as wrong:
        report.claim(Verdict.UNVERIFIED, "checkpoint", str(wrong))
        return
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, "checkpoint", str(wrong))
        return
    doubt = believe(checkpoint, policy, report)
    index = path.with_name("index")
    beside = index != path and (index / "signed").exists()  # an index log by itself is a log like any other
    found = fsck(path, index=index if beside else None)
    report.step(
        f"contents: {found.entries} entries hashed again, {found.tiles} stored tiles and {found.records} signed roots compared, "
        f"{found.sources} sources followed"
    )
    for text in (*found.problems, *([f"and {found.untold} more"] if found.untold else [])):
        report.claim(Verdict.BROKEN, checkpoint.origin, text)
    for text in found.unread:
        report.claim(Verdict.UNVERIFIED, checkpoint.origin, text)
    _conclude(f"all {checkpoint.size} entries of {checkpoint.origin}", doubt or _empty(checkpoint), report)
    if found.index is not None:
        _index(index, found.index, policy, report)


def _index(path: Path, found: IndexReport, policy: Policy | None, report: VerifyReport) -> None:
    """The index log's own directory; its contents were hashed with those of the log that it covers."""
    try:
        checkpoint = read_unverified(read_bytes(path / "checkpoint"))
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, "index", str(wrong))
        return
    _roots(found, checkpoint.origin, believe(checkpoint, policy, report), report)


def _roots(found: IndexReport, origin: str, doubt: str, report: VerifyReport) -> None:
    report.step(
        f"index: {found.entries} roots of {found.months} months computed again from the entries below {found.covered} "
        f"and {found.lists} tag lists"
    )
    _conclude(f"all {found.entries} roots of {origin}", doubt, report)


def _folder(path: Path, policy: Policy | None, report: VerifyReport) -> None:
    """A static folder of tiles and entry bundles, and the index in it if there is one."""
    _tiles(path, policy, report)
    if not (path / "index" / "checkpoint").is_file():
        return
    _tiles(path / "index", policy, report)
    found = recompute(path)
    for text in found.problems:
        report.claim(Verdict.BROKEN, "index", text)
    for text in found.unread:
        report.claim(Verdict.UNVERIFIED, "index", text)
    _roots(found, f"the index in {path.name}", "", report)


def _tiles(path: Path, policy: Policy | None, report: VerifyReport) -> None:
    try:
        checkpoint = read_unverified(read_bytes(path / "checkpoint"))
        doubt = believe(checkpoint, policy, report)
        root, entries, tiles = walk(path, checkpoint.size)
    except PartMissing as wrong:
        report.claim(Verdict.UNVERIFIED, path.name, str(wrong))
        return
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, path.name, str(wrong))
        return
    report.step(f"contents: {entries} entries hashed again, {tiles} tiles compared")
    if root != checkpoint.root:
        report.claim(Verdict.BROKEN, checkpoint.origin, "the entries do not lead to the root of the checkpoint")
    _conclude(f"all {checkpoint.size} entries of {checkpoint.origin}", doubt or _empty(checkpoint), report)


def _file(path: Path, policy: Policy | None, tag_key: bytes | None, report: VerifyReport) -> None:
    """A bundle or a proof."""
    if path.stat().st_size > MOST_BYTES:
        report.claim(Verdict.BROKEN, path.name, "it is larger than a bundle or proof can be, and was not read")
        return
    try:
        data = read_bytes(path)
    except CouldNotCheck as wrong:
        report.claim(Verdict.UNVERIFIED, path.name, str(wrong))
        return
    if data.startswith(MAGIC):
        check_bundle(data, path.name, policy, tag_key, report)
        return
    if not data.startswith(HEADER.encode()):
        report.claim(Verdict.UNVERIFIED, path.name, "this is no bundle or proof that this reader knows")
        return
    try:
        proof = parse_proof(data)
        checkpoint = read_unverified(proof.checkpoint)
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, path.name, str(wrong))
        return
    doubt = believe(checkpoint, policy, report)
    _follow(proof, checkpoint, report)
    _conclude(f"entry {proof.index} of {checkpoint.origin} (size {checkpoint.size})", doubt, report)


def _follow(proof: Proof, checkpoint: Checkpoint, report: VerifyReport) -> None:
    what = f"entry {proof.index} of {checkpoint.origin}"
    if proof.extra is None:
        report.claim(Verdict.UNVERIFIED, what, "the proof does not carry its entry")
        return
    try:
        verify_inclusion(proof.index, checkpoint.size, leaf_hash(proof.extra), proof.hashes, checkpoint.root)
    except BadInclusion as wrong:
        report.claim(Verdict.BROKEN, what, str(wrong))
        return
    report.step(f"entry: {len(proof.extra)} bytes, {len(proof.hashes)} hashes lead to the root of the checkpoint")


def _empty(checkpoint: Checkpoint) -> str:
    return "" if checkpoint.size else "the log is empty, so there is nothing to prove"


def _conclude(what: str, doubt: str, report: VerifyReport) -> None:
    """INCLUDED unless something was broken or missing."""
    if doubt:
        report.claim(Verdict.UNVERIFIED, what, doubt)
    elif all(claim.verdict is Verdict.INCLUDED for claim in report.claims):
        report.claim(Verdict.INCLUDED, what)
