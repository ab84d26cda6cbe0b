"""The text form of a run: a headline, then one campaign after the other, each with why and with what to do next.

Persons are display names (`mossy-wren-4825`); the words for codes and tokens are those of the report.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from custodes.disclose import beyond
from custodes.minimise.display import Display
from custodes.model.finding import Campaign
from custodes.model.run import WatchRun
from custodes.model.wording import lacked

_WIDTH: Final = 108
_COLOURS: Final = {"high": "\x1b[1;31m", "medium": "\x1b[1;33m", "low": "\x1b[36m", "note": "\x1b[2m"}
_PLAIN: Final = "\x1b[0m"


def as_text(run: WatchRun, display: Display, *, colour: bool = False, most: int = 20) -> Iterator[str]:
    """Yield the lines. `most`: campaigns printed; the rest is counted, never silently dropped."""
    yield from headline(run)
    for campaign in run.campaigns[:most]:
        yield ""
        yield from _campaign(campaign, run, display, colour=colour)
    yield ""
    yield from _rest(run, display, most)


def headline(run: WatchRun) -> Iterator[str]:
    """Yield the sentence that everything else stands under."""
    if run.simulated:
        yield "SIMULATED company: no real person is meant"
    if not run.accesses:
        yield "No access has been recorded yet: nothing to look at. Read a log first: custodes ingest --source auto FILE"
        return
    if not run.reasons_known:
        yield f"Whether {run.looks:,} looks had a reason could not be checked: no tickets, cases or grants are loaded."
        yield "  → custodes load --home HOME FOLDER, or custodes context load tickets FILE"
        if run.campaigns:
            count = len(run.campaigns)
            yield f"{count} campaign{'' if count == 1 else 's'} stand{'s' if count == 1 else ''} out all the same."
        return
    share = 100 * run.residue / run.looks if run.looks else 0.0
    yield f"{run.residue:,} of {run.looks:,} looks at personal data ({share:.1f} %) have no recorded reason."
    loud = [campaign for campaign in run.campaigns if campaign.level in {"medium", "high"}]
    if not run.campaigns:
        yield "No campaign needs a person."
    else:
        need = "1 campaign needs" if len(loud) == 1 else f"{len(loud)} campaigns need"
        more = len(run.campaigns) - len(loud)
        yield f"{need} a person now, {more:,} more {'is' if more == 1 else 'are'} worth a look."


def _campaign(campaign: Campaign, run: WatchRun, display: Display, *, colour: bool) -> Iterator[str]:
    level = campaign.level.upper()
    if colour:
        level = f"{_COLOURS[campaign.level]}{level}{_PLAIN}"
    yield from _wrapped(f"{campaign.rank:>2}  {level}  ", display.text(campaign.sentence), "      ")
    yield from _wrapped("      readers   ", _people(campaign.actors, run, display))
    if campaign.linked_subjects:
        words = f"{len(campaign.subjects)} directly, {len(campaign.linked_subjects)} linked to them"
        yield f"      looked at {words}"
    if campaign.missing:
        yield from _wrapped("      lacking   ", "; ".join(lacked(token) for token in campaign.missing[:3]))
    if campaign.score_reasons:
        yield from _wrapped("      unlike    ", "; ".join(campaign.score_reasons))
    rules = sorted({run.findings[name].rule for name in campaign.findings})
    yield f"      rules     {', '.join(rules)}   route {campaign.route}   campaign {campaign.campaign}"
    access = next((name for name in campaign.accesses if not name.startswith("leaf ")), None)
    yield f"      look at   custodes explain {access}" if access else f"      recorded  {', '.join(campaign.accesses)}"


def _people(actors: tuple[str, ...], run: WatchRun, display: Display) -> str:
    def told(actor: str) -> str:
        facts = run.actors.get(actor)
        place = ", ".join(word for word in (facts.unit, facts.country) if word) if facts else ""
        return display.name(actor) + (f" ({place})" if place else "")

    more = f" and {len(actors) - 6} more" if len(actors) > 6 else ""
    return ", ".join(told(actor) for actor in actors[:6]) + more


def _rest(run: WatchRun, display: Display, most: int) -> Iterator[str]:
    if len(run.campaigns) > most:
        yield f"{len(run.campaigns) - most} further campaigns within the budget: --format json or --report FILE.html shows them."
    if run.cut:
        told = ", ".join(f"{count:,} led by {rule}" for rule, count in run.cut.items())
        yield f"Beyond {run.budget} campaigns a week: {told}."
    for line in beyond.lines(run):
        yield from _wrapped("", display.text(line), "  ")
    if run.audit:
        more = f" and {len(run.audit) - 3} more" if len(run.audit) > 3 else ""
        yield f"To be looked at by lot, so that nobody knows where nobody looks: {', '.join(run.audit[:3])}{more}"
    for item in (*run.failed_rules, *run.not_checked):
        yield from _wrapped("could not check: ", f"{item.what}: {item.why}")
    for reason, count in run.rejected.items():
        yield f"not read: {count:,} lines ({reason}); they lie sealed in rejected/"
    if run.ranked_by.why:
        order = "a trained score" if run.ranked_by.method == "trained" else "the cold-start score"
        yield from _wrapped("order: ", f"{order} ({run.ranked_by.why})")
    if run.checkpoint:
        yield f"ledger: {run.checkpoint.size:,} leaves, root {run.checkpoint.root}"


def _wrapped(head: str, text: str, indent: str | None = None) -> Iterator[str]:
    visible = head.replace(_PLAIN, "")
    for mark in _COLOURS.values():
        visible = visible.replace(mark, "")
    hang = indent if indent is not None else " " * len(visible)
    lines = textwrap.wrap(text, _WIDTH - len(hang), break_long_words=False, break_on_hyphens=False) or [""]
    yield head + lines[0]
    yield from (hang + line for line in lines[1:])
