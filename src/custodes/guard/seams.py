"""What the gate stands on, as contracts: who reads, who writes leases, who counts, who knows. The composition root fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from custodes.guard.words import Known
from custodes.model.canonical import Json

if TYPE_CHECKING:
    from custodes.guard.decide import Judge
    from custodes.guard.distance import Staff
    from custodes.guard.words import Identity, Request
    from custodes.store.released import Sitting


class Reader(Protocol):
    """Reads protected fields of one subject, as the service's own login (`custodes_reveal`)."""

    def region(self, system: str, fields: Sequence[str], key: str) -> str | None:
        """Return the region of the subject's data as the database has it; None where it does not say, or says several."""

    def read(self, system: str, fields: Sequence[str], key: str, rows: int) -> list[Mapping[str, Json]]:
        """Return at most `rows` rows of field → value of the subject whose company id is `key`. Raises `Outage`."""


class Lease(NamedTuple):
    """One row of the lease table. `key`: the company's id of the subject; `leaf`: of the decision that allowed it."""

    lease: str
    grant: str
    login: str
    key: str
    field: str
    until: datetime
    leaf: int


class Leases(Protocol):
    """Writes leases into a guarded database, as the login that may do nothing else (`custodes_lease`)."""

    def open(self, system: str, lease: Lease) -> None:
        """Insert a lease; committed on return. Again with the same id: nothing. Raises `Outage`."""

    def end(self, grant: str) -> int:
        """Revoke the open leases of a grant and end their logins' open transactions; return how many. Raises `Outage`."""


class Quotas(Protocol):
    """The quick counter (`store.desk`). The record is held against it at every use, so it can only ever be too low."""

    def take(self, grant: int, limit: int, taken: int) -> bool:
        """Take one release of a grant, atomically over all processes, if fewer than `limit` were; False if none is left.

        `taken`: how many the record holds; a counter that shows more left is lowered first. Raises `NotDurable`.
        """


class Facts(NamedTuple):
    """What is known of a request outside the book. `reason_since`: since when its reason is on record; None: it does not stand."""

    known: Known
    reason_since: datetime | None


@dataclass(frozen=True, slots=True)
class Limits:
    """`lease_max`: no lease lasts longer. `minimise`: category → how a value of it is shown (network · pseudonym · none · null).

    `patience`: a record that took longer is there, and nothing is released under it.
    """

    lease_max: timedelta = timedelta(minutes=15)
    minimise: Mapping[str, str] = field(default_factory=dict)
    patience: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Seams:
    """What the gate stands on, handed in by the composition root.

    `sitting`: one commit under the ledger's lock, with the leaves since the last one. `facts`: staff, registry, data map, region.
    `country`: where an actor works, None if that is not known. `subject`: a company id's pseudonym; `keyed`: of a value. `shown`: a
    value cut as its category asks; `answer`: a predicate's answer over values (see `custodes.minimise.release`). `close`: gives
    back what reader and leases hold open. `glass`: what the gate stands on for broken glass while the ledger takes no records
    (`custodes.guard.glass`); without it nothing is released then.
    """

    sitting: Callable[[datetime], AbstractContextManager[Sitting]]
    judge: Judge
    facts: Callable[[Request, Identity, datetime, str], Facts]
    staff: Callable[[], Staff]
    quotas: Quotas
    reader: Reader
    leases: Leases
    subject: Callable[[str], str]
    keyed: Callable[[str], str]
    category: Callable[[str, str], str | None]
    shown: Callable[[Json, str], Json]
    answer: Callable[[str, str, Sequence[Json]], Json]
    limits: Limits = field(default_factory=Limits)
    close: Callable[[], None] = lambda: None
    glass: Callable[[Seams], Seams] | None = None
    country: Callable[[str, datetime], str | None] = lambda _, __: None
