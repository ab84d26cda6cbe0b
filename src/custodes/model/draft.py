"""What a source yields: the company's own ids, raw addresses allowed. Intake turns drafts into rows; tests look at drafts.

`Raw` is one record of a log exactly as its bytes were. A `Draft` names every raw record it is made of; a record that is no
access is a `Note`, counted noise, or `Rejected`. Records of drafts + counted + rejected + blank = records read (an invariant).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Raw(NamedTuple):
    """One raw record. `data`: its exact bytes without the final newline. `line`: 1-based line of its first byte in `file`.

    `cut`: 0, or the true length in bytes of a record that was too long to be kept whole; `data` is then `lines.cut_record`, and a
    parser rejects it.
    """

    data: bytes
    file: str
    line: int
    seq_of: str | None = None
    seq: int | None = None
    cut: int = 0


class FieldUse(NamedTuple):
    """One field touched. `role`: projected · filter · join · written · unknown; `resource`: index into `Draft.resources`, or -1."""

    name: str
    role: str = "projected"
    resource: int = -1


class Resource(NamedTuple):
    """One table, endpoint or page.

    `kind`: table · view · routine · bucket · object · page · other; `via`: direct · view · function · cursor · derived · denied.
    """

    name: str
    kind: str = "table"
    via: str = "direct"


class Selector(NamedTuple):
    """What was searched by. `value` is the company's own value (keyed at intake) or None; `width` = prefix length or hours."""

    kind: str
    value: str | None = None
    width: int | None = None


class SubjectUse(NamedTuple):
    """One person an access is about.

    `relation`: accessed · searched_for · possibly_returned · listed; `certainty`: certain · upper_bound · estimate.
    """

    id: str
    id_kind: str = "user_id"
    relation: str = "accessed"
    certainty: str = "certain"
    basis: str = "source_named"


@dataclass(slots=True)
class Draft:
    """One access in the company's own words. Times are aware UTC; None means that the log does not say, never zero."""

    raws: list[Raw]
    time: datetime
    actor: str
    action: str
    system: str
    operation: str = ""
    id: str | None = None
    time_end: datetime | None = None
    actor_kind: str = "unknown"
    on_behalf_of: str | None = None
    behalf_basis: str | None = None
    effective: str | None = None
    delegation: str | None = None
    outcome: str | None = None
    resources: list[Resource] = field(default_factory=list)
    fields: list[FieldUse] = field(default_factory=list)
    field_basis: str = "reported"
    subjects: list[SubjectUse] = field(default_factory=list)
    subject_scope: str = "unknown"
    subject_basis: str = "none"
    subject_min: int = 0
    subject_max: int | None = None
    selectors: list[Selector] = field(default_factory=list)
    template: str | None = None
    query: str | None = None
    rows: int | None = None
    bytes: int | None = None
    rows_basis: str = "none"
    purpose: str | None = None
    purpose_basis: str = "none"
    reason: str | None = None
    client_address: str | None = None
    client_country: str | None = None
    session: str | None = None
    device: str | None = None
    deliberate: bool | None = None
    break_glass: bool | None = None
    derived: str | None = None
    derived_from: str | None = None
    seq_of: str | None = None
    seq: int | None = None
    coverage: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, frozen=True)
class Rejected:
    """A record that could not be read. `reason` names what was expected and never repeats the record's content."""

    raw: Raw
    reason: str


@dataclass(slots=True, frozen=True)
class Note:
    """Something about the log itself, in words that hold no content of records.

    `kind`: gap · forged · configuration · tail_unproven · routine · other.
    """

    kind: str
    text: str
    file: str
    line: int | None = None
    facts: dict[str, str | int] = field(default_factory=dict)


@dataclass(slots=True)
class Parsed:
    """What one `feed` made of the raw records. `counted`: noise by kind (records that are no access and no error)."""

    drafts: list[Draft] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
