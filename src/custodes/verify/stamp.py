"""The age of a checkpoint: an RFC 3161 stamp beside a log or an exported folder, under the reader's own trusted roots."""

from __future__ import annotations

from pathlib import Path

from custodes.errors import ConfigError, CouldNotCheck, CustodesError, LedgerRewritten
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.policy import parse_policy
from custodes.ledger.proof import root_of
from custodes.ledger.segments import Segments, read_bytes
from custodes.ledger.stamp import STAMP, stamped_note, time_of
from custodes.verify.believe import believe
from custodes.verify.verdict import Verdict, VerifyReport


def check_stamp(path: Path, certificates: bytes, policy: bytes | None, report: VerifyReport) -> None:
    """Add a claim about the stamp beside the log at `path` (a home, a log's directory, or an exported folder)."""
    folder = path / "ledger" / "log" if (path / "ledger" / "log").is_dir() else path
    what = "the time stamp"
    try:
        # 1. What it covers.
        stamp = read_bytes(folder / STAMP)
        note = stamped_note(folder, stamp)
        point = read_unverified(note)
        what = f"checkpoint of {point.origin} at size {point.size}"
        # 2. Who made it, and when.
        time = time_of(stamp, note, certificates).isoformat(timespec="seconds")
        report.step(f"time stamp: made {time} over size {point.size} by an authority that you trust")
        # 3. That what it covers is part of this log.
        doubt = believe(point, None if policy is None else parse_policy(policy), report) or _foreign(folder, point, note)
    except ConfigError:
        raise
    except CouldNotCheck as wrong:
        report.claim(Verdict.UNVERIFIED, what, f"{wrong}" + (f" ({wrong.hint})" if wrong.hint else ""))
        return
    except CustodesError as wrong:
        report.claim(Verdict.BROKEN, what, str(wrong))
        return
    report.prove(Verdict.INCLUDED, f"{what} existed on {time}", doubt)


def _foreign(folder: Path, point: Checkpoint, note: bytes) -> str:
    """Return why it cannot be said whether a signed, stamped checkpoint is of the log in this folder; "" if it is.

    Raises `LedgerRewritten` if it is not: then this log signed something else at that time.
    """
    published = read_bytes(folder / "checkpoint")
    if published == note:
        return ""
    if not (folder / "seg").is_dir():
        return "the stamp is over an older checkpoint, and only a log's own directory can show that it belongs to it"
    if read_unverified(published).size < point.size or root_of(Segments(folder), point.size) != point.root:
        raise LedgerRewritten("this log signed another history when the time stamp was made")
    return ""
