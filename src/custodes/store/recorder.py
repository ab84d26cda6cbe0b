"""The home's own leaves: settings, loads, decisions. Sealed first, then in the ledger, then acknowledged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from custodes.ledger.leaf import NO_TAG, Kind, hour_of, record_commitment
from custodes.model.canonical import Json, canonical
from custodes.store.contents import Own
from custodes.store.vault import Vault

if TYPE_CHECKING:
    from custodes.ledger.log import Log

OWN: Final = 0
"""The home's own source number in leaves. Log sources count from 1."""


class Recorder:
    """Appends leaves of kinds 4 to 10 for source 0. Several processes may: the log's lock is held for one record."""

    def __init__(self, log: Log, vault: Vault) -> None:
        self._log, self._vault = log, vault

    def record(self, kind: int, what: Mapping[str, Json], now: datetime | None = None) -> int:
        """Record `what` and return its ledger index. Durable on return; raises `NotDurable`. `now`: instead of the clock."""
        if not Kind.DECISION <= kind <= Kind.LINES:
            raise ValueError("own records have kinds 4 to 10")
        content, seed = canonical(dict(what)), os.urandom(32)
        now = now or datetime.now(UTC)
        with self._log.batch() as batch:
            index, _ = batch.add(kind, hour_of(now), OWN, NO_TAG, record_commitment(content, seed))
            self._vault.own.look_again()
            sealed = msgspec.msgpack.encode(Own(index, batch.entries[-1], seed, content))
            # Before this line nothing is recorded; after it a crash leaves a sealed record without a leaf, acknowledged to nobody.
            self._vault.own.append([sealed], now.date(), first=index, span=1)
        return index
