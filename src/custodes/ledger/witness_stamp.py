"""Ask an RFC 3161 authority for a time stamp over the published checkpoint, and keep it beside the log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from custodes.errors import BadSignature, Outage
from custodes.ledger.disk import Disk
from custodes.ledger.segments import read_bytes
from custodes.ledger.stamp import STAMP, STAMPED, covers, make_request, read_answer
from custodes.ledger.witness_wire import Place

_WITHIN_S: Final = 30.0


def stamp(folder: Path, url: str, disk: Disk | None = None) -> datetime:
    """Have the published checkpoint of the log in `folder` stamped; return the time that the authority gives it.

    The answer must cover the note and repeat our nonce; who made it is checked by readers, who know whom they trust. Raises
    `BadSignature`, `Outage`, `ConfigError` for the URL, `PartMissing` without the extra; then nothing is kept.

    Durable: on return. Order: after the checkpoint is published. Again: a newer stamp in place of the one before.
    """
    disk = disk or Disk()
    note = read_bytes(folder / "checkpoint")
    request = make_request(note)
    answered = Place(url).ask("", request.as_bytes(), kind="application/timestamp-query", within_s=_WITHIN_S)
    if answered.status != 200:
        raise Outage(f"the time-stamp authority answered {answered.status}")
    answer = read_answer(answered.body)
    if not covers(answer, note) or answer.tst_info.nonce != request.nonce:
        raise BadSignature("the time-stamp authority has stamped something else")
    # The note first: after a crash between the two, the old stamp covers neither file, and stamping again mends it.
    disk.replace(folder / STAMPED, note)
    disk.replace(folder / STAMP, answered.body)
    return answer.tst_info.gen_time
