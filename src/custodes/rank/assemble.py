"""From groups of findings to ranked campaigns: facts are put together, weighed and said in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from custodes.model.finding import Campaign, Evidence, Finding
from custodes.model.words import LEVELS
from custodes.rank.campaigns import STRONG, Copies, Reasons, cited, group
from custodes.rank.order import harm, order_key, strength
from custodes.rank.sentence import OPENED, campaign_sentence


@dataclass(frozen=True, slots=True)
class Place:
    """Where an actor works, as of the last look: unit path and country, empty if unknown. `printed`: the unit to be shown."""

    unit: str = ""
    country: str = ""
    printed: str | None = None

    @property
    def shown(self) -> str:
        """The unit as it may be shown; whole where nobody said otherwise."""
        return self.unit if self.printed is None else self.printed


@dataclass(frozen=True, slots=True)
class Facts:
    """What ranking needs to know beside the findings, by access (ledger index) and actor."""

    fieldset: Mapping[int, str]
    fields: Mapping[str, tuple[str, ...]]
    categories: Mapping[str, tuple[str, ...]]
    places: Mapping[str, Place]
    scores: Mapping[int, int]
    outside_units: tuple[str, ...]
    codes_first: Mapping[str, int]
    reasons: Reasons = field(default_factory=dict)
    copies: Copies = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Campaigns in order of rank, their findings with scores, and the leading rule of each."""

    campaigns: tuple[Campaign, ...]
    findings: Mapping[str, Finding]
    leads: Mapping[str, str]


def rank(findings: Iterable[Finding], facts: Facts) -> Ranked:
    """Group, weigh and order. The same findings give the same campaigns, in whatever order they come."""
    weighed = []
    scored: dict[str, Finding] = {}
    leads: dict[str, str] = {}
    for members in group(findings, facts.reasons, facts.copies):
        told = [replace(finding, score=_score(finding, facts)) for finding in members]
        campaign = _campaign(told, facts)
        categories = _of_accesses(told, facts, facts.categories)
        weight = campaign.score * harm(told, categories)
        weighed.append((order_key(campaign.level, strength(told), weight, campaign.campaign), campaign))
        leads[campaign.campaign] = _lead(told).rule
        scored.update((finding.finding, finding) for finding in told)
    weighed.sort(key=lambda pair: pair[0])
    ranked = tuple(replace(campaign, rank=position) for position, (_, campaign) in enumerate(weighed, 1))
    return Ranked(ranked, scored, leads)


def route(units: Sequence[str], outside: Sequence[str]) -> str:
    """Return the unit that should read a campaign: an outside approver unit in nobody's line of those concerned."""
    for unit in outside:
        if not any(within(own, unit) or within(unit, own) for own in units):
            return unit
    return "an outside overseer: every outside unit of the policy is itself concerned" if outside else "an outside overseer"


def within(unit: str, prefix: str) -> bool:
    """Say whether a unit is another one or lies below it (paths)."""
    return unit == prefix or unit.startswith(prefix + "/")


def _score(finding: Finding, facts: Facts) -> int:
    return max((facts.scores.get(leaf, 0) for leaf in finding.leaves), default=0)


def _lead(members: Sequence[Finding]) -> Finding:
    return min(members, key=lambda finding: (-LEVELS.index(finding.level), -finding.score, finding.rule, finding.finding))


def _of_accesses(members: Sequence[Finding], facts: Facts, words: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    sets = {facts.fieldset[leaf] for finding in members for leaf in finding.leaves if leaf in facts.fieldset}
    return tuple(sorted({word for fieldset in sets for word in words.get(fieldset, ())}))


def _codes(members: Sequence[Finding], facts: Facts) -> tuple[str, ...]:
    """Most telling first: what the leading rules themselves saw, then what stands against the reasons cited, by how many say so."""
    seen = Counter(code for finding in members for code in finding.codes)
    best = dict.fromkeys(seen, -1)
    for finding in members:
        for code in finding.codes:
            if code not in finding.flagged:
                best[code] = max(best[code], LEVELS.index(finding.level))
    return tuple(sorted(seen, key=lambda code: (-best[code], facts.codes_first.get(code, 99), -seen[code], code)))


_TELLING = ("press", "accesses", "relations", "links")


def _evidence(members: Sequence[Finding], broken: Collection[tuple[str, str]]) -> tuple[Evidence, ...]:
    """Reasons that the log cites first, then events and copies, then what came nearest to a reason; the most frequent first."""
    counted = Counter((row.table, row.key) for finding in members for row in finding.evidence)

    def telling(row: tuple[str, str]) -> int:
        return 0 if row in broken else 1 if row[0] in _TELLING else 2

    return tuple(Evidence(*row) for row in sorted(counted, key=lambda row: (telling(row), -counted[row], row)))


def _campaign(members: Sequence[Finding], facts: Facts) -> Campaign:
    strong = [finding for finding in members if LEVELS.index(finding.level) >= STRONG] or list(members)
    actors = tuple(sorted({actor for finding in members for actor in finding.actors}))
    linked = {subject for finding in members for subject in finding.linked_subjects}
    direct = {subject for finding in strong if not finding.linked_subjects for subject in finding.subjects} - linked
    everyone = {subject for finding in members for subject in finding.subjects}
    subjects = tuple(sorted((everyone | direct) - linked))
    accesses = tuple(sorted({access for finding in members for access in finding.accesses}))
    places = [facts.places.get(actor, Place()) for actor in actors]
    units = tuple(sorted({place.shown for place in places if place.shown}))
    countries = tuple(sorted({place.country for place in places if place.country}))
    codes = _codes(members, facts)
    broken = Counter(reason for finding in members for reason in cited(finding, facts.reasons))
    first, last = min(f.first for f in members), max(f.last for f in members)
    sentence = campaign_sentence(
        actors=actors,
        subjects=len(subjects),
        linked=len(linked),
        accesses=len(accesses),
        deeds=sorted({finding.facts.get("did") or OPENED for finding in members}),
        units=units,
        countries=countries,
        categories=_of_accesses(members, facts, facts.categories),
        codes=codes,
        reasons=sorted(broken, key=lambda reason: (-broken[reason], reason)),
        first=first,
        last=last,
    )
    missing = Counter(token for finding in members for token in finding.missing)
    return Campaign(
        campaign="c-" + sha256(members[0].finding.encode()).hexdigest()[:12],
        rank=0,
        level=_lead(members).level,
        score=max(finding.score for finding in members),
        sentence=sentence,
        codes=codes,
        missing=tuple(sorted(missing, key=lambda token: (-missing[token], token))),
        evidence=_evidence(members, broken),
        findings=tuple(finding.finding for finding in members),
        accesses=accesses,
        actors=actors,
        subjects=subjects,
        linked_subjects=tuple(sorted(linked)),
        derived=tuple(sorted({copy for finding in members for copy in finding.derived})),
        units=units,
        countries=countries,
        first=first,
        last=last,
        fields=_of_accesses(members, facts, facts.fields),
        route=route(sorted({place.unit for place in places if place.unit}), facts.outside_units),
    )
