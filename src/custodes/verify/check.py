"""The check itself: what is this path, and does it hold what the reader's policy lets one believe?

Every check starts with the same three steps: the reader's policy, the checkpoint under the log's key, the witnesses. A log's
directory or exported folder is then hashed again from its contents, a proof is followed from its entry to the root. A wrong
content is BROKEN also without a policy; nothing is ever proven without one.
"""

from __future__ import annotations

from pathlib import Path

from custodes.errors import BadInclusion, ConfigError, CouldNotCheck, CustodesError, PartMissing
from custodes.ledger.checkpoint import Checkpoint, parse_body, read_unverified
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import leaf_hash
from custodes.ledger.merkle import verify_inclusion
from custodes.ledger.note import Unsigned, parse, verify
from custodes.ledger.policy import Policy, parse_policy
from custodes.ledger.proof import HEADER, Proof, parse_proof
from custodes.ledger.segments import read_bytes
from custodes.verify.folder import walk
from custodes.verify.verdict import Verdict, VerifyReport


def check(path: Path, policy: bytes | None) -> VerifyReport:
    """Check a path under the text of the reader's policy; `None` if the reader has none. Raises `ConfigError` for a bad policy."""
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
        _file(path, rules, report)
    else:
        report.claim(Verdict.UNVERIFIED, path.name, "no log, exported folder or proof is here")
    return report


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
    doubt = _signed(checkpoint, policy, report)
    found = fsck(path)
    report.step(
        f"contents: {found.entries} entries hashed again, {found.tiles} stored tiles and {found.records} signed roots compared, "
        f"{found.sources} sources followed"
    )
    for text in (*found.problems, *([f"and {found.untold} more"] if found.untold else [])):
        report.claim(Verdict.BROKEN, checkpoint.origin, text)
    for text in found.unread:
        report.claim(Verdict.UNVERIFIED, checkpoint.origin, text)
    _conclude(f"all {checkpoint.size} entries of {checkpoint.origin}", doubt or _empty(checkpoint), report)


def _folder(path: Path, policy: Policy | None, report: VerifyReport) -> None:
    """A static folder of tiles and entry bundles."""
    try:
        checkpoint = read_unverified(read_bytes(path / "checkpoint"))
        doubt = _signed(checkpoint, policy, report)
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


def _file(path: Path, policy: Policy | None, report: VerifyReport) -> None:
    """A proof."""
    try:
        data = read_bytes(path)
    except CouldNotCheck as wrong:
        report.claim(Verdict.UNVERIFIED, path.name, str(wrong))
        return
    if not data.startswith(HEADER.encode()):
        report.claim(Verdict.UNVERIFIED, path.name, "this is no proof that this reader knows")
        return
    try:
        proof = parse_proof(data)
        checkpoint = read_unverified(proof.checkpoint)
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, path.name, str(wrong))
        return
    doubt = _signed(checkpoint, policy, report)
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


def _signed(checkpoint: Checkpoint, policy: Policy | None, report: VerifyReport) -> str:
    """Check signature and witnesses; return why the checkpoint is not to be believed, or "". Broken signatures are claims."""
    what = f"checkpoint of {checkpoint.origin} at size {checkpoint.size}"
    if policy is None:
        report.step("checkpoint: not checked, the key of the log is in the reader's policy")
        return "no policy was given (--policy FILE)"
    # 1. The log: the keys that the policy lists under exactly this origin. All must have signed: with "any one of them" a second
    #    key, which is there so that a forger must break both, would give him the choice instead.
    logs = [key for key in policy.logs if key.name == checkpoint.origin]
    if not logs:
        report.step("checkpoint: not checked, the policy names other logs")
        return "the policy does not list this log"
    try:
        opened = verify(parse(checkpoint.note), [*logs, *policy.witnesses.values()])
        parse_body(opened.text)
    except Unsigned as wrong:
        report.step(f"checkpoint: {wrong}")
        return "the log's key in the policy has not signed this checkpoint"
    except ConfigError:
        raise
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, what, str(wrong))
        return "its signature does not verify"
    silent = [f"{key.name}+{key.key_id.hex()}" for key in logs if key not in opened.verified]
    if silent:
        report.step(f"checkpoint: {', '.join(silent)} has not signed it")
        return "not every key that the policy lists for this log has signed the checkpoint"
    names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in logs)
    report.step(f"checkpoint: size {checkpoint.size} of {checkpoint.origin}, signed by {names}")
    # 2. The witnesses, as the policy groups them.
    if not policy.is_met(opened.verified):
        report.step("witnesses: the quorum is not met")
        return "the quorum of witnesses is not met"
    report.step("witnesses: none asked for" if policy.quorum == "none" else f"witnesses: quorum {policy.quorum} met")
    return ""


def _empty(checkpoint: Checkpoint) -> str:
    return "" if checkpoint.size else "the log is empty, so there is nothing to prove"


def _conclude(what: str, doubt: str, report: VerifyReport) -> None:
    """INCLUDED unless something was broken or missing."""
    if doubt:
        report.claim(Verdict.UNVERIFIED, what, doubt)
    elif not report.claims:
        report.claim(Verdict.INCLUDED, what)
