"""A campaign as a card of the report: sentence, people, bands, what was ruled out, what to check and to ask, evidence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from markupsafe import Markup

from custodes.disclose.said import Names, counted, unique, window
from custodes.model import wording
from custodes.model.finding import Campaign, Evidence, Finding
from custodes.model.run import Mark, PressEvent, WatchRun
from custodes.model.words import LEVELS
from custodes.pictures import bands
from custodes.pictures.axis import Event, moment
from custodes.pictures.metrics import clean
from custodes.pictures.svg import grouped

_MOST_NAMES: Final = 24
_MOST_FINDINGS: Final = 10
_MOST_POINTS: Final = 6
_MOST_KEYS: Final = 6
_MOST_EVENTS: Final = 12
_WIDE: Final = 1184.0
_SLIM: Final = 336.0


@dataclass(frozen=True, slots=True)
class Point:
    """One thing in words, with the code or the reason that it belongs to."""

    words: str
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A row of the evidence table."""

    rule: str
    level: str
    sentence: Markup
    when: str
    accesses: str


@dataclass(frozen=True, slots=True)
class ContextRow:
    """Context rows of one table that speak for or against."""

    table: str
    keys: str


@dataclass(frozen=True, slots=True)
class BandRow:
    """What one band shows, in numbers."""

    name: str
    case: str
    other: str
    calm: str
    grants: str


@dataclass(frozen=True, slots=True)
class Bands:
    """The timeline twice (wide, narrow) and once as a table."""

    wide: Markup
    narrow: Markup
    rows: tuple[BandRow, ...]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Card:
    """One campaign, ready for the template."""

    anchor: str
    id: str
    rank: int
    level: str
    urgency: str
    window: str
    size: str
    sentence: Markup
    actors: Markup
    subjects: Markup
    linked: Markup
    fields: str
    route: str
    bands: Bands | None
    against: tuple[Point, ...]
    ruled_out: tuple[Point, ...]
    unlike: tuple[str, ...]
    innocent: tuple[Markup, ...]
    questions: tuple[Markup, ...]
    findings: tuple[FindingRow, ...]
    findings_left: str
    context: tuple[ContextRow, ...]
    access: str
    copies: str


def card(campaign: Campaign, run: WatchRun, names: Names, *, drawn: bool) -> Card:
    """Return the card of one campaign. `drawn`: with its timeline."""
    found = _telling_first([run.findings[name] for name in campaign.findings])
    return Card(
        anchor=f"campaign-{campaign.rank}",
        id=campaign.campaign,
        rank=campaign.rank,
        level=campaign.level,
        urgency=wording.LEVELS.get(campaign.level, ""),
        window=window(campaign.first, campaign.last),
        size=counted(len(campaign.accesses), "access", "accesses"),
        sentence=names.text(campaign.sentence),
        actors=_actors(campaign, run, names),
        subjects=_people(campaign.subjects, names),
        linked=_people(campaign.linked_subjects, names) if campaign.linked_subjects else Markup(""),
        fields=", ".join(campaign.fields[:_MOST_NAMES]),
        route=campaign.route,
        bands=_bands(campaign, run, names) if drawn else None,
        against=tuple(Point(wording.against(code), code=code) for code in campaign.codes),
        ruled_out=_ruled_out(campaign.missing),
        unlike=campaign.score_reasons,
        innocent=tuple(names.text(text) for text in _in_turn([one.innocent for one in found])),
        questions=tuple(names.text(text) for text in _in_turn([one.questions for one in found])),
        findings=tuple(_finding(finding, names) for finding in found[:_MOST_FINDINGS]),
        findings_left=f"and {grouped(len(found) - _MOST_FINDINGS)} more findings" if len(found) > _MOST_FINDINGS else "",
        context=_context(campaign.evidence, names),
        access=campaign.accesses[0] if campaign.accesses else "",
        copies=", ".join(campaign.derived[:_MOST_KEYS]),
    )


def place(run: WatchRun, actor: str) -> str:
    """Return an actor's place of work in words, empty if unknown."""
    facts = run.actors.get(actor)
    return clean(" · ".join(word for word in (facts.unit, facts.country) if word)) if facts else ""


def _telling_first(found: Sequence[Finding]) -> list[Finding]:
    """Each rule speaks once before any speaks twice; among equals the higher level, then the higher score."""
    ordered = sorted(found, key=lambda one: (-LEVELS.index(one.level), -one.score, one.rule, one.finding))
    turn: dict[str, int] = defaultdict(int)
    placed = []
    for finding in ordered:
        placed.append((turn[finding.rule], finding))
        turn[finding.rule] += 1
    return [finding for _, finding in sorted(placed, key=lambda pair: pair[0])]


def _in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return the first points: one of each list before a second of any, so that no rule keeps another from asking."""
    longest = max(map(len, lists), default=0)
    return unique((points[turn] for turn in range(longest) for points in lists if turn < len(points)), _MOST_POINTS)


def _actors(campaign: Campaign, run: WatchRun, names: Names) -> Markup:
    by_place: dict[str, list[str]] = defaultdict(list)
    for actor in campaign.actors:
        by_place[place(run, actor)].append(actor)
    groups = []
    for where in sorted(by_place):
        told = names.listed(by_place[where], _MOST_NAMES)
        groups.append(Markup('{} <span class="soft">({})</span>').format(told, where) if where else told)
    return Markup("; ").join(groups)


def _people(subjects: Sequence[str], names: Names) -> Markup:
    if not subjects:
        return Markup("persons the log does not name")
    if len(subjects) == 1:
        return names.one(subjects[0])
    return Markup('{} <span class="soft small">· {}</span>').format(grouped(len(subjects)), names.listed(subjects, _MOST_NAMES))


def _ruled_out(missing: Sequence[str]) -> tuple[Point, ...]:
    """Each innocent reason once, most often lacking first, with everything that it lacked."""
    by_code: dict[str, list[str]] = {}
    for token in missing:
        by_code.setdefault(token.partition(":")[0], []).append(wording.lacked(token))
    points = []
    for code, lacked in list(by_code.items())[:_MOST_POINTS]:
        reason = wording.reason(code)
        points.append(Point("; ".join(unique(lacked, _MOST_POINTS)), code=code, reason=reason[:1].upper() + reason[1:]))
    return tuple(points)


def _finding(finding: Finding, names: Names) -> FindingRow:
    return FindingRow(
        rule=finding.rule,
        level=finding.level,
        sentence=names.text(finding.sentence),
        when=window(finding.first, finding.last),
        accesses=grouped(len(finding.accesses)),
    )


def _context(evidence: Sequence[Evidence], names: Names) -> tuple[ContextRow, ...]:
    tables: dict[str, list[str]] = {}
    for row in evidence:
        tables.setdefault(row.table, []).append(names.plain(row.key))
    return tuple(ContextRow(table, _cut(keys)) for table, keys in sorted(tables.items()))


def _cut(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - _MOST_KEYS} more" if len(keys) > _MOST_KEYS else ""
    return ", ".join(keys[:_MOST_KEYS]) + more


def _bands(campaign: Campaign, run: WatchRun, names: Names) -> Bands | None:
    marks: Mapping[str, list[Mark]] = _by_actor(campaign, run)
    if not any(marks.values()):
        return None
    events = _events(campaign, run.press)
    pad = max(timedelta(days=2), (campaign.last - campaign.first) / 6)
    start = min([campaign.first, *(event.time for event in events)]) - pad
    end = max([campaign.last, *(event.time for event in events)]) + pad
    found = [_band(actor, campaign, run, names, marks[actor]) for actor in campaign.actors]
    found.sort(key=lambda band: (-bands.counts(band, start, end)[bands.CASE], band.name))
    title = f"When they looked: campaign {campaign.rank}"
    name = f"bands-{campaign.rank}"
    public = [Event(f"{event.kind} {event.key}", event.time) for event in events]
    return Bands(
        wide=Markup(bands.draw(found, public, start, end, title=title, name=name, width=_WIDE, columns=7)),  # noqa: S704  # own SVG
        narrow=Markup(  # noqa: S704  # own SVG
            bands.draw(found, public, start, end, title=title, name=f"{name}-narrow", width=_SLIM, columns=8, most=12)
        ),
        rows=tuple(_band_row(band, bands.counts(band, start, end)) for band in found),
        events=tuple(f"{event.name}, {moment(event.time)}" for event in public),
    )


def _by_actor(campaign: Campaign, run: WatchRun) -> dict[str, list[Mark]]:
    found: dict[str, list[Mark]] = {actor: [] for actor in campaign.actors}
    for mark in run.marks:
        if mark.actor in found:
            found[mark.actor].append(mark)
    return found


def _events(campaign: Campaign, press: Sequence[PressEvent]) -> list[PressEvent]:
    """Press events that the campaign's evidence names, earliest first."""
    cited = {row.key for row in campaign.evidence if row.table == "press"}
    return sorted((event for event in press if event.key in cited), key=lambda event: (event.time, event.key))[:_MOST_EVENTS]


def _band(actor: str, campaign: Campaign, run: WatchRun, names: Names, marks: Sequence[Mark]) -> bands.Band:
    theirs = {*campaign.subjects, *campaign.linked_subjects}

    def kind(mark: Mark) -> str:
        if not mark.residue:
            return bands.CALM
        inside = campaign.first <= mark.time <= campaign.last and (mark.subject is None or mark.subject in theirs)
        return bands.CASE if inside else bands.OTHER

    return bands.Band(
        name=names.plain(actor),
        note=place(run, actor),
        marks=tuple((mark.time, kind(mark)) for mark in marks),
        spans=tuple((span.label, span.start, span.end) for span in run.spans if span.actor == actor),
    )


def _band_row(band: bands.Band, counts: Mapping[str, int]) -> BandRow:
    return BandRow(
        name=band.name,
        case=grouped(counts[bands.CASE]),
        other=grouped(counts[bands.OTHER]),
        calm=grouped(counts[bands.CALM]),
        grants=", ".join(sorted({span[0] for span in band.spans})) or "none",
    )
