"""May this checkpoint be believed? The reader's policy says whose signatures count, and which witnesses must have seen it."""

from __future__ import annotations

from custodes.errors import ConfigError, CustodesError
from custodes.ledger.checkpoint import Checkpoint, parse_body
from custodes.ledger.note import Unsigned, parse, verify
from custodes.ledger.policy import Policy
from custodes.verify.verdict import Verdict, VerifyReport


def believe(checkpoint: Checkpoint, policy: Policy | None, report: VerifyReport) -> str:
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
