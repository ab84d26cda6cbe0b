"""Machine forms of a run: `custodes.watch/1` as one JSON document, and the same facts one per line.

Pseudonyms only, unless a `reveal` mapping is handed in, which is allowed for simulated homes alone (the caller checks).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime

from custodes.model.finding import Campaign, Evidence, Finding
from custodes.model.run import Change, Fairness, Suppressed, WatchRun

Reveal = Callable[[str], str]
Value = object


def document(run: WatchRun, reveal: Reveal) -> dict[str, Value]:
    """Return the run as `custodes.watch/1`: campaigns in order of rank up to the budget, and the findings of these."""
    return {
        "schema": "custodes.watch/1",
        "simulated": run.simulated,
        "window": {"from": _time(run.since), "to": _time(run.until)},
        "budget": run.budget,
        "ranked_by": {"method": run.ranked_by.method, "why": run.ranked_by.why, "digest": run.ranked_by.digest or None},
        "campaigns": [campaign_of(campaign, reveal) for campaign in run.campaigns],
        "findings": [finding_of(finding, campaign, reveal) for finding, campaign in _shown(run)],
        "cut": [{"rule": rule, "campaigns": count} for rule, count in run.cut.items()],
        "audit": [reveal(access) for access in run.audit],
        "audit_of": run.audit_of,
        "audit_by": None if run.audit_by is None else {"size": run.audit_by.size, "root": run.audit_by.root},
        "suppressed": [suppressed_of(one, reveal) for one in run.suppressed],
        "changes": [change_of(one) for one in run.changes],
        "repeats": dict(sorted((name, count) for name, count in run.repeats.items() if name in run.findings)),
        "fairness": None if run.fairness is None else fairness_of(run.fairness),
        "not_checked": [{"what": item.what, "why": item.why} for item in (*run.failed_rules, *run.not_checked)],
        "coverage": {
            "accesses": run.accesses,
            "looks": run.looks,
            "residue": run.residue,
            "explained": dict(run.explained),
            "kept": None if run.kept is None else {"asked": run.kept.asked, "kept": run.kept.kept, "why": run.kept.why or None},
            "sources": [
                {
                    "source": source.source,
                    "accesses": source.accesses,
                    "resolved": source.resolved,
                    "cannot_see": list(source.cannot_see),
                    "notes": list(source.notes),
                }
                for source in run.coverage
            ],
        },
        "rejected": dict(run.rejected),
        "checkpoint": None
        if run.checkpoint is None
        else {"origin": run.checkpoint.origin, "size": run.checkpoint.size, "root": run.checkpoint.root},
    }


def as_json(run: WatchRun, reveal: Reveal = str) -> str:
    """Return the document as text, indented for people who look at it."""
    return json.dumps(document(run, reveal), ensure_ascii=False, indent=1)


def as_lines(run: WatchRun, reveal: Reveal = str) -> Iterator[str]:
    """Yield the same campaigns, then their findings, one JSON object a line."""
    for campaign in run.campaigns:
        yield json.dumps(campaign_of(campaign, reveal), ensure_ascii=False)
    for finding, shown_in in _shown(run):
        yield json.dumps(finding_of(finding, shown_in, reveal), ensure_ascii=False)


def campaign_of(campaign: Campaign, reveal: Reveal = str) -> dict[str, Value]:
    """Return one campaign as `custodes.campaign/1`."""
    return {
        "schema": "custodes.campaign/1",
        "campaign": campaign.campaign,
        "rank": campaign.rank,
        "level": campaign.level,
        "score": campaign.score,
        "score_reasons": list(campaign.score_reasons),
        "sentence": campaign.sentence,
        "codes": list(campaign.codes),
        "missing": list(campaign.missing),
        "evidence": _evidence(campaign.evidence, reveal),
        "findings": list(campaign.findings),
        "accesses": [reveal(access) for access in campaign.accesses],
        "actors": [reveal(actor) for actor in campaign.actors],
        "subjects": [reveal(subject) for subject in campaign.subjects],
        "linked_subjects": [reveal(subject) for subject in campaign.linked_subjects],
        "derived": [reveal(copy) for copy in campaign.derived],
        "units": list(campaign.units),
        "countries": list(campaign.countries),
        "first": _time(campaign.first),
        "last": _time(campaign.last),
        "fields": list(campaign.fields),
        "route": campaign.route,
    }


def finding_of(finding: Finding, campaign: str, reveal: Reveal = str) -> dict[str, Value]:
    """Return one finding as `custodes.finding/1`."""
    return {
        "schema": "custodes.finding/1",
        "finding": finding.finding,
        "rule": finding.rule,
        "title": finding.title,
        "time": _time(finding.last),
        "actors": [reveal(actor) for actor in finding.actors],
        "subjects": [reveal(subject) for subject in finding.subjects],
        "linked_subjects": [reveal(subject) for subject in finding.linked_subjects],
        "accesses": [reveal(access) for access in finding.accesses],
        "window": {"from": _time(finding.first), "to": _time(finding.last)},
        "level": finding.level,
        "score": finding.score,
        "score_reasons": list(finding.score_reasons),
        "score_recipe": finding.score_recipe or None,
        "sentence": finding.sentence,
        "codes": list(finding.codes),
        "explained_by": list(finding.explained_by),
        "missing": list(finding.missing),
        "evidence": _evidence(finding.evidence, reveal),
        "questions": list(finding.questions),
        "innocent": list(finding.innocent),
        "ledger": list(finding.leaves),
        "campaign": campaign,
    }


def suppressed_of(one: Suppressed, reveal: Reveal = str) -> dict[str, Value]:
    """Return a suppression in force, with how many findings it holds back."""
    return {
        "request": one.number,
        "rule": one.rule,
        "actors": [reveal(actor) for actor in one.actors],
        "unit": one.unit,
        "subjects": one.subjects,
        "reason": one.reason,
        "by": reveal(one.by),
        "approved_by": reveal(one.approved_by),
        "until": _time(one.until),
        "findings": one.findings,
    }


def change_of(one: Change) -> dict[str, Value]:
    """Return how one verdict differs from an earlier run's."""
    return {
        "finding": one.finding,
        "rule": one.rule,
        "change": one.change,
        "was": one.was,
        "now": one.now,
        "gained": list(one.gained),
    }


def fairness_of(table: Fairness) -> dict[str, Value]:
    """Return the fairness table: rates are findings per 1,000 accesses."""
    return {
        "groups": [
            {
                "by": row.dimension,
                "group": row.name,
                "actors": row.actors,
                "accesses": row.accesses,
                "findings": row.findings,
                "per_1000": row.rate,
                "interval": [row.low, row.high],
            }
            for row in table.groups
        ],
        "spreads": [
            {"by": one.dimension, "groups": one.groups, "highest": one.highest, "lowest": one.lowest, "ratio": one.ratio}
            for one in table.spreads
        ],
        "without_history": {"looks": table.new_looks, "residue": table.new_residue},
    }


def _shown(run: WatchRun) -> Iterator[tuple[Finding, str]]:
    for campaign in run.campaigns:
        for name in campaign.findings:
            yield run.findings[name], campaign.campaign


def _evidence(rows: tuple[Evidence, ...], reveal: Reveal) -> list[dict[str, str]]:
    return [{"table": row.table, "key": reveal(row.key)} for row in rows]


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%S.%fZ").replace(".000000Z", "Z")
