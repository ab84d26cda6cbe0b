"""A log whose entries tell their index: `entry 0`, `entry 1`, …"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from custodes.ledger.log import Log

_BATCH: Final = 50_000


def grow(log: Log, size: int) -> None:
    """Append such entries until the log has `size` of them."""
    for first in range(log.size, size, _BATCH):
        entries = [b"entry %d" % index for index in range(first, min(size, first + _BATCH))]
        log.append_batch(b"".join(entries), [0, *accumulate(map(len, entries))])
