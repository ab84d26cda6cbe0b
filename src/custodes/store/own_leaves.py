"""The home's own leaves, read back: each with its sealed contents, all of them or an error.

Decisions rest on this. A denial, a hold or a revocation that somebody took out of the vault must not read as if it had never been:
so every leaf of source 0 must have its contents here, and contents that lead to no leaf do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from custodes.errors import LedgerRewritten, PartMissing
from custodes.ledger import leaf as leaves
from custodes.model.canonical import Json
from custodes.store.places import Read, find_leaves
from custodes.store.recorder import OWN
from custodes.store.vault import Vault


class OwnLeaf(NamedTuple):
    """One leaf of the home's own. `number`: its ledger index; `hour`: start of the hour of recording, which never falls."""

    number: int
    kind: int
    hour: datetime
    what: Mapping[str, Json]


def own_leaves(vault: Vault, read: Read, size: int, count: int | None) -> list[OwnLeaf]:
    """Return all leaves of source 0 below `size` with their contents, in order. `read` gives entries of the log.

    `count`: how many there must be; None where somebody else looks for missing ones (`fsck`). Raises `PartMissing` if the contents
    of one are not here, `LedgerRewritten` if they are not what it commits to.
    """
    found: list[OwnLeaf] = []
    for own in vault.own_records():
        at = find_leaves(own.leaf, read, own.first, size)
        if not at:
            continue  # sealed, then a crash: acknowledged to nobody
        leaf = leaves.decode(own.leaf)
        if leaf.commit != leaves.record_commitment(own.what, own.seed):
            raise LedgerRewritten(f"the sealed contents of leaf {at[0]} are not what it commits to")
        if leaf.source != OWN or (count is not None and leaf.seq != len(found)):
            raise _missing()
        hour = datetime.fromtimestamp(0, UTC) + timedelta(hours=leaf.hour)
        found.append(OwnLeaf(at[0], leaf.kind, hour, msgspec.json.decode(own.what)))
    if count is not None and len(found) != count:
        raise _missing()
    return found


def _missing() -> PartMissing:
    return PartMissing("contents of the home's own leaves are missing from the vault", hint="run `custodes ledger fsck --deep`")
