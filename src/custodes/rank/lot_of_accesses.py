"""Random audit slots: accesses that nobody would have looked at, drawn so that nobody can predict and everybody can check them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from custodes.engine import Engine
from custodes.model.finding import Campaign
from custodes.model.run import Checkpoint
from custodes.rank.order import AUDIT_SHARE, lot


def draw(engine: Engine, checkpoint: Checkpoint | None, shown: Sequence[Campaign]) -> tuple[str, ...]:
    """Return access ids drawn by the checkpoint's root from all recorded accesses that no shown campaign holds.

    One for every eight shown campaigns, at least one; none without a signed checkpoint. An index that is no access (a heartbeat, a
    policy leaf) or is shown anyway is passed over and the next one taken.
    """
    if checkpoint is None or not checkpoint.size:
        return ()
    want = max(1, -(-len(shown) // AUDIT_SHARE))
    drawn = lot(base64.b64decode(checkpoint.root), checkpoint.size, 64 * want)
    named = ", ".join(str(index) for index in drawn)
    found = {row[0]: str(row[1]) for row in engine.rows(f"select access, access_id from accesses where access in ({named})")}
    seen = {access for campaign in shown for access in campaign.accesses}
    fitting = [found[index] for index in drawn if index in found and found[index] not in seen]
    return tuple(fitting[:want])
