"""A run as SARIF 2.1.0, for the tools that companies already have. Pseudonyms only: these files travel."""

from __future__ import annotations

import json
from typing import Final

from custodes.model.finding import Finding
from custodes.model.run import WatchRun

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Final = {"note": "note", "low": "note", "medium": "warning", "high": "error"}


def as_sarif(run: WatchRun, *, version: str) -> str:
    """Return one SARIF run: a rule descriptor for each rule that ran, a result for each finding of a shown campaign."""
    shown = [(run.findings[name], campaign) for campaign in run.campaigns for name in campaign.findings]
    codes = sorted({use.code for use in run.rules} | {finding.rule for finding, _ in shown})
    titles = {use.code: use.title for use in run.rules} | {finding.rule: finding.title for finding, _ in shown}
    body = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "custodes",
                        "version": version,
                        "rules": [
                            {
                                "id": code,
                                "name": code,
                                "shortDescription": {"text": titles[code]},
                                "help": {"text": f"`custodes rules show {code}` prints what it finds, why, and innocent reasons."},
                            }
                            for code in codes
                        ],
                    }
                },
                "results": [
                    _result(finding, codes.index(finding.rule), campaign.campaign, campaign.rank, campaign.fields)
                    for finding, campaign in shown
                ],
                "properties": {
                    "simulated": run.simulated,
                    "not_checked": [f"{item.what}: {item.why}" for item in (*run.failed_rules, *run.not_checked)],
                },
            }
        ],
    }
    return json.dumps(body, ensure_ascii=False, indent=1)


def _result(finding: Finding, index: int, campaign: str, rank: int, fields: tuple[str, ...]) -> dict[str, object]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": LEVELS[finding.level],
        "message": {"text": finding.sentence},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": name, "kind": "data"} for name in fields or ("unknown",)]}],
        "partialFingerprints": {"custodes/finding": finding.finding},
        "rank": finding.score / 10,
        "properties": {
            "campaign": campaign,
            "campaignRank": rank,
            "actors": list(finding.actors),
            "subjects": list(finding.subjects),
            "codes": list(finding.codes),
            "missing": list(finding.missing),
        },
    }
