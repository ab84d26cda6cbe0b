"""Broken glass in a home: its spool, the notices that tell others of it, and how the record takes it over afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Final

from custodes.guard.approval import Request, written
from custodes.guard.glass import Glass, reconcile
from custodes.home import Home
from custodes.ledger.disk import Disk
from custodes.model.canonical import Json, canonical
from custodes.store.own_leaves import OwnLeaf
from custodes.store.spool import Spool

_SPOOL_NOTICE: Final = "spool-"


def settle_spool(home: Home, *, whole: bool = False) -> None:
    """Take over into the ledger what was released under broken glass without it: before anything else.

    `whole`: also look whether notices name records that nobody has any more. Raises `LedgerRewritten` if the spool was changed,
    `Outage` if the ledger still takes nothing: then nothing is lost. Not for who holds the guard's lock.
    """
    spool = spool_of(home)
    told = _told(home) if whole or not spool.is_empty() else set()
    if not told and spool.is_empty():
        return
    with Disk().lock(home.path / "guard.lock"):
        reconcile(spool, lambda: home.releases(nullcontext).sitting(datetime.now(UTC)), told)


def spool_of(home: Home) -> Spool:
    """Return where is kept what was released without the ledger."""
    return home.vault().spool(home.path / home.settings.guard.spool)


def glass_of(home: Home, spool: Spool) -> Glass:
    """Return broken glass over `spool`: what is recorded there is told to everybody whom the settings name."""

    def leaves() -> list[OwnLeaf]:
        with Home.open(home.path) as again:  # a ledger object that met a failed write reads no more
            return again.own_leaves()

    def tell(digest: str, records: int, now: datetime) -> list[str]:
        notice: dict[str, Json] = {"schema": "custodes.notice/1", "spool": digest, "records": records, "at": written(now)}
        return _put_notices(home, f"{_SPOOL_NOTICE}{digest}", notice)

    return Glass(spool, leaves, tell, lambda: Disk().lock(home.path / "guard.lock"))


class InTheRecord:
    """Quotas of broken glass: the gate counts in the record, alone under the lock; the quick counter may lie on a full disk."""

    def take(self, grant: int, limit: int, taken: int) -> bool:
        """Say whether one more is within the limit, after `taken`."""
        del grant
        return taken < limit


def notify(home: Home, request: Request, now: datetime) -> list[str]:
    """Put a notice into each folder that the settings name. Durable; raises `NotDurable`, and then no glass is broken."""
    notice: dict[str, Json] = {"schema": "custodes.notice/1", "request": request.document(), "at": written(now)}
    return _put_notices(home, request.digest().removeprefix("sha256:"), notice)


def _put_notices(home: Home, name: str, notice: Mapping[str, Json]) -> list[str]:
    told = []
    for whom, folder in sorted(home.settings.guard.notices.items()):
        place = home.path / folder
        Disk().make_folder(place)
        Disk().replace(place / f"{name}.json", canonical(dict(notice)))
        told.append(whom)
    return told


def _told(home: Home) -> set[str]:
    """Return the digests that notices name, as far as they still lie here."""
    folders = [home.path / folder for folder in home.settings.guard.notices.values()]
    return {file.stem.removeprefix(_SPOOL_NOTICE) for folder in folders for file in folder.glob(f"{_SPOOL_NOTICE}*.json")}
