"""One row of the public input contract, as the simulated company's systems write it."""

from __future__ import annotations

from typing import Final

import msgspec


class Access(msgspec.Struct, omit_defaults=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """One row of `custodes.access/1`. What is None is absent from the file."""

    id: str | None = None
    time: str | None = None
    actor: str | None = None
    actor_kind: str | None = None
    on_behalf_of: str | None = None
    action: str
    system: str
    resource: str | None = None
    fields: list[str] | None = None
    subjects: list[str] | None = None
    subject_scope: str | None = None
    selector: str | None = None
    rows: int | None = None
    query: str | None = None
    purpose: str | None = None
    reason: str | None = None
    client_country: str | None = None
    session: str | None = None
    device: str | None = None
    deliberate: bool | None = None
    break_glass: bool | None = None
    derived: str | None = None
    derived_from: str | None = None
    outcome: str | None = None
    seq_of: str | None = None
    seq: int | None = None


COLUMNS: Final = frozenset(Access.__struct_fields__)
