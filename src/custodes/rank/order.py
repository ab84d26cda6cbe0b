"""What is shown first, what is cut, and which accesses are looked at by lot.

Order: level, then strength of the best reason (weakest first), then score x harm, all integers, ties by id. The budget counts
campaigns a week; no rule may lead more than its quota, so that no noisy rule fills the page. The lot is drawn from the root of the
ledger's checkpoint: nobody can predict it and everybody can check it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from custodes.model.finding import Campaign, Finding
from custodes.model.words import LEVELS

DEFAULT_BUDGET: Final = 20
"""Campaigns a week and reviewer."""
AUDIT_SHARE: Final = 8
"""One audit slot for every eight shown campaigns: 12.5 %."""

_HARM: Final = {"location": 4, "message": 4, "ip_address": 3, "credential": 3, "health": 4, "contact": 2, "device": 2, "payment": 2}


def harm(findings: Sequence[Finding], categories: Sequence[str]) -> int:
    """Return an integer weight, 1 or more: what was looked at, unmet duties, borders crossed, how many looked at how many."""
    codes = {code for finding in findings for code in finding.codes}
    actors = {actor for finding in findings for actor in finding.actors}
    subjects = {subject for finding in findings for subject in finding.subjects}
    weight = 1 + max((_HARM.get(category, 1) for category in categories), default=0)
    weight += 3 * ("V5" in codes) + 2 * bool(codes & {"V7", "V8", "V17"}) + 2 * ("V6" in codes)
    return weight * min(len(actors), 12) * (1 + min(len(subjects), 60).bit_length())


def strength(findings: Sequence[Finding]) -> int:
    """Return the strength of the best reason that speaks for any of the accesses: 0 none, 3 a valid-looking one."""
    return 3 if any(finding.explained_by for finding in findings) else 0


def order_key(level: str, reason: int, weight: int, campaign: str) -> tuple[int, int, int, str]:
    """Return the sort key of a campaign: smallest first."""
    return (-LEVELS.index(level), reason, -weight, campaign)


def week(time: datetime) -> tuple[int, int]:
    """Return the ISO week (year, number, from Monday, UTC) to which a campaign's last access belongs."""
    return time.isocalendar()[:2]


def within_budget(
    ranked: Sequence[Campaign], leads: Mapping[str, str], *, budget: int, quotas: Mapping[str, int]
) -> tuple[list[Campaign], dict[str, int]]:
    """Return the campaigns to show, in order, and how many were cut by leading rule.

    `leads`: campaign id → code of its leading rule; `quotas`: campaigns a week that a rule may lead (absent: the budget).
    """
    shown: list[Campaign] = []
    cut: Counter[str] = Counter()
    weeks: Counter[tuple[int, int]] = Counter()
    ruled: Counter[tuple[str, tuple[int, int]]] = Counter()
    for campaign in ranked:
        lead, when = leads[campaign.campaign], week(campaign.last)
        if weeks[when] >= budget or ruled[(lead, when)] >= quotas.get(lead, budget):
            cut[lead] += 1
            continue
        weeks[when] += 1
        ruled[(lead, when)] += 1
        shown.append(campaign)
    return shown, dict(sorted(cut.items()))


def loud_beyond(ranked: Sequence[Campaign], shown: Sequence[Campaign]) -> tuple[Campaign, ...]:
    """Return the campaigns at `medium` or above that are not shown, in order."""
    kept = {campaign.campaign for campaign in shown}
    least = LEVELS.index("medium")
    return tuple(one for one in ranked if one.campaign not in kept and LEVELS.index(one.level) >= least)


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return both counts by rule added up, sorted by rule."""
    return dict(sorted((Counter(one) + Counter(other)).items()))


def lot(root: bytes, size: int, count: int) -> list[int]:
    """Return up to `count` distinct ledger indexes below `size`, drawn from SHA-256(root ‖ counter): checkable by anyone."""
    drawn: dict[int, None] = {}
    counter = 0
    while len(drawn) < min(count, size) and counter < 64 * max(count, 1):
        digest = sha256(root + counter.to_bytes(8, "big")).digest()
        drawn[int.from_bytes(digest, "big") % size] = None
        counter += 1
    return list(drawn)
