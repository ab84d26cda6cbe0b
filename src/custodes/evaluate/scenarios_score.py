"""Score one watched world against its truth, by episode: what was found, how near, and whether the innocent were left alone.

An *episode* is one entry of `truth.json`. Pairs are (actor, subject), or (actor, copy), and come from the accesses themselves, so
that a campaign cannot claim a pair that nobody made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

LEVELS: Final = ("note", "low", "medium", "high")
LOUD: Final = ("medium", "high")
_HELD: Final = 0.3
"""Share of an episode's pairs that a campaign holds if it hits the episode."""
_OWN: Final = 0.5
"""Share of a campaign's own pairs that belong to an episode, if it hits one or is not false."""

TRIGGER: Final = "V10"
"""The code of looks that begin after an event."""

Pair = tuple[str, str]
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """A campaign in the company's own ids. `shown`: within the budget; `loud`: accesses under findings at `medium` or above."""

    rank: int
    level: str
    shown: bool
    codes: tuple[str, ...]
    rules: tuple[str, ...]
    missing: frozenset[str]
    evidence: frozenset[tuple[str, str]]
    accesses: frozenset[str]
    actors: frozenset[str]
    subjects: frozenset[str]
    linked: frozenset[str]
    loud: frozenset[str]
    explained_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run told of one world: campaigns by rank, loud findings as sets of accesses, what could not be checked."""

    campaigns: tuple[Told, ...]
    loud_findings: tuple[frozenset[str], ...]
    not_checked: tuple[str, ...]
    ranked_by: str


@dataclass(frozen=True, slots=True)
class World:
    """The truth about one world: episodes, the pairs and times of every access, and how large the company is.

    `events`: articles, leaks, arrests and the like on its record.
    """

    episodes: tuple[Mapping[str, Any], ...]
    pairs: Mapping[str, frozenset[Pair]]
    times: Mapping[str, datetime]
    staff: int
    days: int
    events: int
    pending: tuple[str, ...]

    def pairs_of(self, accesses: Iterable[str]) -> frozenset[Pair]:
        """Return the pairs that these accesses made."""
        return frozenset().union(*(self.pairs.get(access, frozenset()) for access in accesses))

    def abusive(self) -> frozenset[str]:
        """Return the accesses of all abuse episodes, explained hops included."""
        return frozenset(access for one in self.episodes if one["kind"] == "abuse" for access in one["truth"])


def score(world: World, seen: Seen) -> Figures:
    """Return the figures of one world: abuse episodes, innocent ones, and what was false."""
    abuse = [one for one in world.episodes if one["kind"] == "abuse"]
    hits = match(world, [frozenset(one["truth"]) for one in abuse], seen.campaigns)
    found = [_episode(one, hits.get(place), seen) for place, one in enumerate(abuse)]
    hit_ranks = [hit.rank for hit in hits.values()]
    twins = [_innocent(one, seen, hit_ranks) for one in world.episodes if one["kind"] != "abuse"]
    return {"abuse": found, "innocent": twins, "false": _false(world, seen), "ranked_by": seen.ranked_by}


def match(world: World, episodes: Sequence[frozenset[str]], campaigns: Sequence[Told]) -> dict[int, Told]:
    """Return the campaign that hits each episode, one to one, largest overlap first (ties: the better rank)."""
    offers = []
    own = [world.pairs_of(one.accesses) for one in campaigns]
    for place, accesses in enumerate(episodes):
        wanted = world.pairs_of(accesses)
        for campaign, pairs in zip(campaigns, own, strict=True):
            shared = len(wanted & pairs)
            if wanted and pairs and shared >= _HELD * len(wanted) and shared >= _OWN * len(pairs):
                offers.append((-shared, campaign.rank, place, campaign))
    offers.sort(key=lambda offer: offer[:3])
    taken: dict[int, Told] = {}
    ranks: set[int] = set()
    for _, rank, place, campaign in offers:
        if place not in taken and rank not in ranks:
            taken[place] = campaign
            ranks.add(rank)
    return taken


def _episode(one: Mapping[str, Any], hit: Told | None, seen: Seen) -> Figures:
    reads = frozenset(one["truth"])
    touching = [campaign for campaign in seen.campaigns if campaign.accesses & reads]
    figures: Figures = {
        "id": one["id"],
        "scenario": one["scenario"],
        "accesses": len(reads),
        "trigger": TRIGGER in one["codes"],
        "found": bool(hit and hit.shown),
        "rank": hit.rank if hit and hit.shown else None,
        "touched": sorted({rule for campaign in touching for rule in campaign.rules}),
        "best_level": max((campaign.level for campaign in touching), key=LEVELS.index, default=None),
    }
    if hit is None or not hit.shown:
        figures["why"] = why_missed(one, hit, touching)
        return figures
    wanted = {(row["table"], row["key"]) for row in one["evidence"]}
    return figures | {
        "level": hit.level,
        "rules": list(hit.rules),
        "codes": list(hit.codes),
        "first_code": not one["codes"] or one["codes"][0] in hit.codes,
        "all_codes": set(one["codes"]) <= set(hit.codes),
        "codes_absent": sorted(set(one["codes"]) - set(hit.codes)),
        "own_rule": not one["rules"] or one["rules"][0] in hit.rules,
        "missing": _share(set(one["missing"]), hit.missing),
        "evidence": _share(wanted, hit.evidence),
        "actor_f1": f1(set(one["actors"]), hit.actors),
        "direct_f1": f1(set(one["subjects"]), hit.subjects),
        "linked_f1": f1(set(one["linked"]), hit.linked),
        "subject_f1": f1({*one["subjects"], *one["linked"]}, hit.subjects | hit.linked),
    }


def why_missed(one: Mapping[str, Any], hit: Told | None, touching: Sequence[Told]) -> str:
    """Say what kind of miss it is: cut by the budget, split or swallowed by grouping, too weak, or not seen at all."""
    if hit is not None:
        return "budget: the campaign exists at `medium` or above and was cut"
    if not touching:
        return "no rule: no campaign that was told touches any of its accesses"
    reads = frozenset(one["truth"])
    widest = max(touching, key=lambda campaign: len(campaign.accesses & reads))
    share = len(widest.accesses & reads) / len(reads)
    if share >= _HELD:
        return f"grouping: swallowed, {share:.0%} of its accesses lie in a campaign of {len(widest.accesses)}"
    together = frozenset().union(*(campaign.accesses for campaign in touching)) & reads
    if len(together) >= _HELD * len(reads):
        return f"grouping: split over {len(touching)} campaigns, the widest holds {share:.0%}"
    return f"rule: only {len(together)} of {len(reads)} accesses lie in any campaign that was told"


def _innocent(one: Mapping[str, Any], seen: Seen, hit_ranks: Sequence[int]) -> Figures:
    """Quiet: no finding at `medium` or above holds one of its accesses. `below` also asks for a place under every hit."""
    reads = frozenset(one["truth"])
    touching = [campaign for campaign in seen.campaigns if campaign.accesses & reads]
    loud = [campaign for campaign in touching if campaign.loud & reads]
    above = one["outcome"] == "below" and any(campaign.rank < rank for campaign in touching for rank in hit_ranks)
    named = all(set(one["explained_by"]) & campaign.explained_by for campaign in touching)
    return {
        "id": one["id"],
        "scenario": one["scenario"],
        "outcome": one["outcome"],
        "quiet": not loud and not above,
        "loud_rules": sorted({rule for campaign in loud for rule in campaign.rules}),
        "above_a_hit": above,
        "reason_named": named if one["outcome"] == "note" and touching else None,
    }


def _false(world: World, seen: Seen) -> Figures:
    abusive = world.abusive()
    pairs = world.pairs_of(abusive)
    shown = [one for one in seen.campaigns if one.shown]
    wrong = [one for one in shown if mostly_other(world.pairs_of(one.accesses), pairs)]
    loud = [one for one in wrong if one.level in LOUD]
    leads: dict[str, int] = {}
    for one in loud:
        leads[one.rules[0]] = leads.get(one.rules[0], 0) + 1
    benign = len(world.pairs) - len(abusive)
    findings = sum(len(accesses & abusive) * 2 < len(accesses) for accesses in seen.loud_findings)
    weeks = world.staff * world.days / 7
    return {
        "shown": len(wrong),
        "loud": len(loud),
        "trigger_loud": sum(TRIGGER in one.codes for one in loud),
        "days": world.days,
        "events": world.events,
        "loud_by_lead": dict(sorted(leads.items(), key=lambda item: -item[1])),
        "loud_per_30_days": round(len(loud) * 30 / world.days, 2),
        "loud_per_1000_staff_weeks": round(len(loud) * 1000 / weeks, 2),
        "loud_findings": findings,
        "benign_accesses": benign,
        "loud_findings_per_1000_benign": round(findings * 1000 / benign, 3) if benign else None,
    }


def mostly_other(own: frozenset[Pair], abuse: frozenset[Pair]) -> bool:
    """Say whether fewer than half of a campaign's own pairs belong to abuse: it is false."""
    return not own or len(own & abuse) < _OWN * len(own)


def _share(wanted: set[Any], named: frozenset[Any]) -> float | None:
    return round(len(wanted & named) / len(wanted), 3) if wanted else None


def f1(wanted: set[str], told: frozenset[str]) -> float | None:
    """Return 2 x shared / (asked + told), None if there was nothing to name and nothing was named."""
    both = len(wanted) + len(told)
    return round(2 * len(wanted & told) / both, 3) if both else None
