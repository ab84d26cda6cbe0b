"""The gate: the one place where something is released, and only after it is recorded. Everything it stands on is handed to it.

    registry → Cedar → grant → quota → decision and access leaf in one commit, durable → value or lease → outcome leaf

The reader's transaction cannot undo the record, because the record is not in it. A ledger that is slow, full or down means no.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn, Protocol

from custodes.errors import Outage

if TYPE_CHECKING:
    from custodes.guard.words import Identity, Released, Request
    from custodes.model.canonical import Json


class Reader(Protocol):
    """Reads protected fields of one subject, as the service's own login (`custodes_reveal`)."""

    def region(self, system: str, fields: Sequence[str], key: str) -> str | None:
        """Return the region of the subject's data as the database has it; None where it does not say, or says several."""

    def read(self, system: str, fields: Sequence[str], key: str, rows: int) -> list[Mapping[str, Json]]:
        """Return at most `rows` rows of field → value of the subject whose company id is `key`. Raises `Outage`."""


class Leases(Protocol):
    """Writes leases into a guarded database, as the login that may do nothing else (`custodes_lease`)."""

    def open(self, lease: str, grant: str, login: str, key: str, fields: Sequence[str], until: datetime, leaf: int) -> None:
        """Insert one lease per field, committed on return. Raises `Outage`."""

    def end(self, grant: str) -> int:
        """Revoke the open leases of a grant and end their logins' open transactions; return how many. Raises `Outage`."""


class Gate:
    """Releases of one home. Safe to call from several threads and processes; quotas hold over all of them."""

    def release(self, request: Request, identity: Identity, now: datetime, *, key: str) -> Released:
        """Decide, record, release. `key`: the company's id of the subject (its pseudonym is `request.subject`); never kept.

        A refusal is recorded, too, and returned (`decision.allowed` is False). Durable: decision and access leaf before any value
        is read. Again with the same `idempotency`: the same release, no quota taken. Raises `Outage` (exit 5) if the ledger or the
        database cannot: then nothing was released, or the record says that it may have been.
        """
        return self._not_yet(request, identity, now, key)

    @staticmethod
    def _not_yet(*_: object) -> NoReturn:
        raise Outage("the gate is closed: this build cannot release yet")
