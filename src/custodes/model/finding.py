"""What rules say and what is shown: findings (about accesses, never about guilt) and campaigns, as in the public formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """A context row that speaks for or against: `table` and the row's readable key."""

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a rule saw. `accesses`: access ids; `leaves`: their ledger indexes; `score`: per mille, orders only.

    `score_reasons`: which missing relations set the most unusual look apart, in words; `score_recipe`: digest of the recorded
    recipe of the model that ordered it, empty for the cold start and where every look has a reason.

    `facts`: fields of the rule's own rows that its sentence names, already words (pseudonyms, counts, times). `key`: of rule and
    its dedup key, the same in every run that tells of the same people and things. `flagged`: those of `codes` that stand against
    the reasons cited and are not what the rule itself saw.
    """

    finding: str
    rule: str
    rule_version: int
    title: str
    level: str
    confidence: str
    actors: tuple[str, ...]
    subjects: tuple[str, ...]
    accesses: tuple[str, ...]
    leaves: tuple[int, ...]
    first: datetime
    last: datetime
    sentence: str
    codes: tuple[str, ...] = ()
    explained_by: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    questions: tuple[str, ...] = ()
    innocent: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    linked_subjects: tuple[str, ...] = ()
    score: int = 0
    score_reasons: tuple[str, ...] = ()
    score_recipe: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    flagged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Campaign:
    """Findings that belong together: actor set x subject set x window. `rank` counts from 1 over the whole run.

    `score_reasons`: those of its finding with the highest score.
    """

    campaign: str
    rank: int
    level: str
    score: int
    sentence: str
    codes: tuple[str, ...]
    missing: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    findings: tuple[str, ...]
    accesses: tuple[str, ...]
    actors: tuple[str, ...]
    subjects: tuple[str, ...]
    linked_subjects: tuple[str, ...]
    derived: tuple[str, ...]
    units: tuple[str, ...]
    countries: tuple[str, ...]
    first: datetime
    last: datetime
    fields: tuple[str, ...]
    route: str
    score_reasons: tuple[str, ...] = ()
