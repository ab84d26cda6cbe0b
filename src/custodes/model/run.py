"""One run of the main path, as values: what `watch` found, what it could not check, and on which record it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from custodes.model.finding import Campaign, Finding


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Something that could not be checked, and why: never counted as clean."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Unexplained accesses of one actor to one subject."""

    actor: str
    subject: str
    count: int


@dataclass(frozen=True, slots=True)
class Mark:
    """One access on an actor's band. `residue`: nothing explains it."""

    actor: str
    subject: str | None
    time: datetime
    residue: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A grant on an actor's band."""

    actor: str
    label: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class PressEvent:
    """A vertical line on the bands: article, leak, arrest … `key` is the row's readable key."""

    key: str
    kind: str
    time: datetime


@dataclass(frozen=True, slots=True)
class HeatCell:
    """Looks of a unit at a category of fields, and how many of them nothing explains."""

    unit: str
    category: str
    looks: int
    residue: int


@dataclass(frozen=True, slots=True)
class ActorFacts:
    """What may be printed beside an actor's pseudonym: place in the organisation, never a name."""

    unit: str
    country: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The ledger's last signed checkpoint. `root`: base64."""

    origin: str
    size: int
    root: str


@dataclass(frozen=True, slots=True)
class SourceCoverage:
    """How much of one source's accesses name a subject, and what such a log cannot show."""

    source: str
    accesses: int
    resolved: int
    cannot_see: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleUse:
    """A rule or template that ran: its version and the hash of its file."""

    code: str
    title: str
    version: int
    digest: str
    findings: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RankedBy:
    """What ordered the looks without a reason. `method`: trained · cold; `digest`: of the model's recorded recipe, or empty."""

    method: str = "cold"
    why: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class WatchRun:
    """Everything that the text form, the JSON, SARIF and the report are made from."""

    simulated: bool
    since: datetime | None
    until: datetime | None
    budget: int
    accesses: int
    looks: int
    residue: int
    explained: Mapping[str, int]
    campaigns: tuple[Campaign, ...]
    findings: Mapping[str, Finding]
    cut: Mapping[str, int]
    audit: tuple[str, ...]
    not_checked: tuple[NotChecked, ...]
    failed_rules: tuple[NotChecked, ...]
    coverage: tuple[SourceCoverage, ...]
    rejected: Mapping[str, int]
    checkpoint: Checkpoint | None
    rules: tuple[RuleUse, ...]
    actors: Mapping[str, ActorFacts]
    cells: tuple[Cell, ...] = ()
    marks: tuple[Mark, ...] = ()
    spans: tuple[Span, ...] = ()
    press: tuple[PressEvent, ...] = ()
    heat: tuple[HeatCell, ...] = ()
    protected_actors: int = 0
    reasons_known: bool = True
    engine: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    waterfall: Mapping[str, int] = field(default_factory=dict)
    """Explained looks, each counted once, under its strongest reason (ties by template code): with `residue` all `looks`."""
    ranked_by: RankedBy = RankedBy()
