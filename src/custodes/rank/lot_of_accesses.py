"""Random audit slots: accesses that nobody would have looked at, drawn so that nobody can predict and everybody can check them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from custodes.engine import Engine
from custodes.model.finding import Campaign
from custodes.model.run import Checkpoint
from custodes.rank.order import AUDIT_SHARE, lot

_TRIES: Final = (64, 1024, 16_384)
"""Indexes drawn for each slot, more if a short window in a long record leaves few that fit."""


class Drawn(NamedTuple):
    """Access ids drawn, from how many (each stands for `of / len(accesses)` that nobody looked at), and by which checkpoint."""

    accesses: tuple[str, ...] = ()
    of: int = 0
    by: Checkpoint | None = None


def draw(engine: Engine, signed_over: Callable[[int], Checkpoint | None], shown: Sequence[Campaign], accesses: int) -> Drawn:
    """Return access ids drawn by a checkpoint's root from all recorded accesses of the window that no shown campaign holds.

    The checkpoint is the first that was signed over the window's last access (`signed_over`: ledger index → checkpoint). Whatever
    the record takes in later, the use of custodes itself above all, moves nothing: nobody can run again for another draw.
    One for every eight shown campaigns, at least one; none without a signed checkpoint. An index that is no access (a heartbeat, a
    policy leaf), is outside the window or is shown anyway is passed over and the next one taken. `accesses`: in the window.
    """
    last = engine.rows("select max(access) from accesses")[0][0]
    checkpoint = signed_over(last) if isinstance(last, int) else None
    if checkpoint is None:
        return Drawn()
    want = max(1, -(-len(shown) // AUDIT_SHARE))
    seen = {access for campaign in shown for access in campaign.accesses}
    fitting: list[str] = []
    for tries in _TRIES:
        drawn = lot(base64.b64decode(checkpoint.root), checkpoint.size, tries * want)
        named = ", ".join(str(index) for index in drawn)
        found = {row[0]: str(row[1]) for row in engine.rows(f"select access, access_id from accesses where access in ({named})")}
        fitting = [found[index] for index in drawn if index in found and found[index] not in seen]
        if len(fitting) >= want or len(drawn) == checkpoint.size:
            break
    return Drawn(tuple(fitting[:want]), accesses - len(seen), checkpoint)
