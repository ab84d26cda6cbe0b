"""One run of the main path, as values: what `watch` found, what it could not check, and on which record it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

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


class Mark(NamedTuple):
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
class Suppressed:
    """A suppression in force and how many findings it holds back. `subjects`: how many it names; `until`: exclusive."""

    number: int
    rule: str
    unit: str | None
    actors: tuple[str, ...]
    subjects: int
    reason: str
    by: str
    approved_by: str
    until: datetime
    findings: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the desk holds of an earlier finding. `since`, `until`: of the run that told it, None is open.

    `repeats`: how often it grew by new accesses; `withdrawn`: a later run found a reason for all of it.
    """

    finding: str
    rule: str
    key: str
    level: str
    codes: tuple[str, ...]
    explained_by: tuple[str, ...]
    leaves: frozenset[int]
    first: datetime
    last: datetime
    since: datetime | None = None
    until: datetime | None = None
    repeats: int = 0
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that differs from an earlier one over the same accesses.

    `change`: withdrawn · weakened · strengthened · changed · found again; `now`: the level, None if nothing is found any more;
    `gained`: templates that now explain and did not before.
    """

    finding: str
    rule: str
    change: str
    was: str
    now: str | None
    gained: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Findings and accesses of one group of staff. `rate`, `low`, `high`: per 1,000 accesses, with its 95 % interval."""

    dimension: str
    name: str
    actors: int
    accesses: int
    findings: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Highest to lowest rate among groups with enough accesses; `ratio` is None if the lowest is 0 or they are fewer than 2."""

    dimension: str
    groups: int
    highest: str
    lowest: str
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Fairness:
    """How findings fall on groups of staff. Shares are of looks and of unexplained looks, by actors without history."""

    groups: tuple[Group, ...]
    spreads: tuple[Spread, ...]
    new_looks: float
    new_residue: float


@dataclass(frozen=True, slots=True)
class Kept:
    """How many looks were asked for their reason in this run, and how many kept the verdict of an earlier one.

    `why`: why nothing was taken from earlier runs; empty where something was.
    """

    asked: int
    kept: int
    why: str


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
    held_back: tuple[Campaign, ...] = ()
    held_findings: Mapping[str, Finding] = field(default_factory=dict)
    """Campaigns at `medium` or above that the budget or a quota cut, and their findings: for those who measure the shelf."""
    audit_of: int = 0
    audit_by: Checkpoint | None = None
    """Accesses from which `audit` was drawn (all of the window that no shown campaign holds), and the checkpoint that drew it."""
    suppressed: tuple[Suppressed, ...] = ()
    changes: tuple[Change, ...] = ()
    same: Mapping[str, str] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Finding → the id under which the desk holds it, where another; and how often it grew by new accesses."""
    fairness: Fairness | None = None
    kept: Kept | None = None
