"""A run as the values of a report's page: what the template prints, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from custodes.disclose import beyond
from custodes.disclose.cards import Card, card, place
from custodes.disclose.said import Names, counted, window
from custodes.model import wording
from custodes.model.finding import Campaign
from custodes.model.run import Checkpoint, NotChecked, WatchRun
from custodes.pictures import heat, matrix, seriate, waterfall
from custodes.pictures.metrics import clean
from custodes.pictures.svg import grouped
from custodes.rank.sentence import common_unit

MOST_CARDS: Final = 10
MOST_FURTHER: Final = 60
BANDS_BYTES: Final = 90_000
"""Timelines are drawn for the first campaigns until they take so much."""
_MOST_AUDIT: Final = 60
_WIDE: Final = 1208.0
_SLIM: Final = 348.0
_LOUD: Final = ("high", "medium")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the head."""

    name: str
    value: str
    beside: str = ""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """An actor's row of the matrix, as text."""

    name: str
    note: str
    total: str
    subjects: Markup


@dataclass(frozen=True, slots=True)
class MatrixPart:
    """The matrix: wide, narrow and as a table."""

    caption: str
    wide: Markup
    narrow: Markup
    narrow_size: str
    rows: tuple[MatrixRow, ...]


@dataclass(frozen=True, slots=True)
class CountRow:
    """A name with a count and a share."""

    name: str
    count: str
    share: str = ""


@dataclass(frozen=True, slots=True)
class WaterfallPart:
    """The waterfall: wide, narrow and as a table."""

    caption: str
    wide: Markup
    narrow: Markup
    rows: tuple[CountRow, ...]


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A unit's row of the heat map, as text."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeatPart:
    """The heat map: wide, narrow and as a table."""

    caption: str
    wide: Markup
    narrow: Markup
    heads: tuple[str, ...]
    rows: tuple[HeatRow, ...]


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Coverage of one source."""

    source: str
    accesses: str
    resolved: str
    cannot_see: str


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule or template that ran."""

    code: str
    title: str
    version: int
    findings: str
    digest: str


@dataclass(frozen=True, slots=True)
class FurtherRow:
    """A campaign below the cards."""

    rank: int
    level: str
    sentence: Markup


@dataclass(frozen=True, slots=True)
class FairRow:
    """How findings fall on one group of staff."""

    by: str
    group: str
    actors: str
    accesses: str
    findings: str
    rate: str


@dataclass(frozen=True, slots=True)
class CheckpointPart:
    """The record's last signed checkpoint."""

    size: str
    origin: str
    root: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template prints."""

    simulated: bool
    window: str
    failed: tuple[NotChecked, ...]
    headline: Markup
    second: tuple[str, ...]
    figures: tuple[Figure, ...]
    nothing: str
    matrix: MatrixPart
    campaigns: tuple[Card, ...]
    undrawn: str
    further: tuple[FurtherRow, ...]
    cut: tuple[str, ...]
    beyond: tuple[Markup, ...]
    fairness: tuple[FairRow, ...]
    fair_said: tuple[str, ...]
    waterfall: WaterfallPart
    heat: HeatPart
    not_checked: tuple[NotChecked, ...]
    sources: tuple[SourceRow, ...]
    rejected: tuple[CountRow, ...]
    audit: tuple[str, ...]
    audit_by: str
    checkpoint: CheckpointPart | None
    rules: tuple[RuleRow, ...]
    method: str


def page_of(run: WatchRun, names: Names) -> Page:
    """Return the page of a run."""
    ordered = sorted(run.campaigns, key=lambda campaign: campaign.rank)
    carded = _carded(ordered)
    cards = _cards(carded, run, names)
    return Page(
        simulated=run.simulated,
        window=window(run.since, run.until) if run.since and run.until else "",
        failed=run.failed_rules,
        headline=headline(run),
        second=_second(run),
        figures=_figures(run),
        nothing=_nothing(run),
        matrix=_matrix(run, names),
        campaigns=cards,
        undrawn=_undrawn(cards),
        further=_further(ordered[len(carded) :], names),
        cut=_cut(run, len(ordered) - len(carded)),
        beyond=tuple(names.text(line) for line in (*map(beyond.suppression, run.suppressed), *beyond.changes(run))),
        fairness=_fairness(run),
        fair_said=tuple(beyond.fairness(run.fairness)) if run.fairness else (),
        waterfall=_waterfall(run),
        heat=_heat(run),
        not_checked=run.not_checked,
        sources=_sources(run),
        rejected=tuple(CountRow(reason, grouped(count)) for reason, count in sorted(run.rejected.items())),
        audit=run.audit[:_MOST_AUDIT],
        audit_by=run.audit_by.root if run.audit_by else "",
        checkpoint=_checkpoint(run.checkpoint),
        rules=tuple(
            RuleRow(use.code, use.title, use.version, grouped(use.findings), use.digest)
            for use in sorted(run.rules, key=lambda use: (use.code[:1], len(use.code), use.code))
        ),
        method=_method(run),
    )


def headline(run: WatchRun) -> Markup:
    """Return the sentence that everything else stands under, as markup."""
    if not run.looks:
        return Markup("No look at personal data is recorded in this window: there was nothing to check.")
    share = waterfall.share(run.residue, run.looks)
    if not run.reasons_known:
        return Markup(
            "Whether {} had a reason <strong>could not be checked</strong>: no tickets, cases or grants are loaded."
        ).format(counted(run.looks, "look", "looks"))
    first = Markup("<strong>{}</strong> of {} at personal data ({}) have no recorded reason").format(
        grouped(run.residue), counted(run.looks, "look", "looks"), share
    )
    if run.residue == 0:
        return Markup("Each of {} at personal data has a recorded reason.").format(counted(run.looks, "look", "looks"))
    top = _top(run)
    return first + (_account(run, top) if top else ".")


def _top(run: WatchRun) -> Campaign | None:
    top = min(run.campaigns, key=lambda campaign: campaign.rank, default=None)
    return top if top and top.level in _LOUD else None


def _account(run: WatchRun, top: Campaign) -> Markup:
    actors = set(top.actors)
    subjects = {*top.subjects, *top.linked_subjects}
    cells = [cell for cell in run.cells if cell.actor in actors and cell.subject in subjects]
    if not cells:
        return Markup(".")
    who = counted(len(actors), "actor", "actors") + (f" of {clean(common_unit(top.units))}" if top.units else "")
    verb = "accounts" if len(actors) == 1 else "account"
    many = grouped(sum(cell.count for cell in cells))
    whom = counted(len({cell.subject for cell in cells}), "subject", "subjects")
    return Markup("; <strong>{}</strong> {} for {} of them, on {}.").format(who, verb, many, whom)


def _second(run: WatchRun) -> tuple[str, ...]:
    loud = sum(campaign.level in _LOUD for campaign in run.campaigns)
    said = []
    if run.campaigns:
        quiet = len(run.campaigns) - loud
        needs = f"{counted(loud, 'campaign', 'campaigns')} {'needs' if loud == 1 else 'need'} a person now" if loud else ""
        more = f"{grouped(quiet)} more {'is' if quiet == 1 else 'are'} worth a look" if quiet else ""
        text = ", ".join(part for part in (needs, more) if part)
        said.append(text[:1].upper() + text[1:] + ".")
    if run.protected_actors:
        looked = counted(run.protected_actors, "actor", "actors")
        said.append(f"{looked} looked at specially protected persons although a duty towards them was not met.")
    return tuple(said)


def _nothing(run: WatchRun) -> str:
    if not run.accesses:
        return "No access has been recorded yet, so nothing was looked at."
    return "No campaign was found. That says what the rules below could see, and no more."


def _figures(run: WatchRun) -> tuple[Figure, ...]:
    loud = sum(campaign.level in _LOUD for campaign in run.campaigns)
    figures = [
        Figure("Accesses recorded", grouped(run.accesses)),
        Figure("Looks at personal data", grouped(run.looks)),
        Figure("Without a recorded reason", grouped(run.residue), waterfall.share(run.residue, run.looks)),
        Figure("Campaigns", grouped(len(run.campaigns)), f"{loud} need a person now" if loud else ""),
    ]
    if run.checkpoint:
        figures.append(Figure("Entries in the record", grouped(run.checkpoint.size)))
    return tuple(figures)


def _carded(ordered: Sequence[Campaign]) -> Sequence[Campaign]:
    """The first campaigns get a card each: all that need a person now, and at least three."""
    loud = sum(campaign.level in _LOUD for campaign in ordered)
    return ordered[: min(MOST_CARDS, max(loud, 3))]


def _cards(carded: Sequence[Campaign], run: WatchRun, names: Names) -> tuple[Card, ...]:
    cards: list[Card] = []
    taken = 0
    for campaign in carded:
        cards.append(card(campaign, run, names, drawn=taken < BANDS_BYTES))
        bands = cards[-1].bands
        taken += len(bands.wide) + len(bands.narrow) if bands else 0
    return tuple(cards)


def _undrawn(cards: Sequence[Card]) -> str:
    drawn = sum(card.bands is not None for card in cards)
    return f"Timelines are drawn for the first {drawn}." if 0 < drawn < len(cards) else ""


def _further(rest: Sequence[Campaign], names: Names) -> tuple[FurtherRow, ...]:
    return tuple(FurtherRow(c.rank, c.level, names.text(c.sentence)) for c in rest[:MOST_FURTHER])


def _cut(run: WatchRun, rest: int) -> tuple[str, ...]:
    said = []
    if rest > MOST_FURTHER:
        said.append(f"{grouped(MOST_FURTHER)} of {grouped(rest)} further campaigns; all of them: custodes watch --format ndjson.")
    if run.cut:
        told = ", ".join(f"{grouped(count)} led by {rule}" for rule, count in sorted(run.cut.items()))
        said.append(f"Beyond {grouped(run.budget)} campaigns a week, not shown: {told}.")
    return tuple(said)


def _fairness(run: WatchRun) -> tuple[FairRow, ...]:
    return tuple(
        FairRow(
            by=row.dimension,
            group=row.name,
            actors=grouped(row.actors),
            accesses=grouped(row.accesses),
            findings=grouped(row.findings),
            rate=f"{row.rate:.1f} ({row.low:.1f}–{row.high:.1f})",
        )
        for row in (run.fairness.groups if run.fairness else ())
    )


def _matrix(run: WatchRun, names: Names) -> MatrixPart:
    cells = [(cell.actor, cell.subject, cell.count) for cell in run.cells]
    lead = _lead(run)
    wide, narrow = seriate.arrange(cells, lead=lead), seriate.arrange(cells, rows=8, columns=14, lead=lead)
    labels = {key: names.plain(key) for key in (*wide.rows, *wide.columns, *narrow.rows, *narrow.columns)}
    notes = {row: place(run, row) for row in wide.rows}
    title = "Who looked at whom without a reason?"
    return MatrixPart(
        caption=_about(wide, lead),
        wide=Markup(matrix.paint(wide, labels, notes, title=title, width=_WIDE, name="matrix-wide")),  # noqa: S704  # own SVG
        narrow=Markup(matrix.paint(narrow, labels, {}, title=title, width=_SLIM, name="matrix-narrow")),  # noqa: S704  # own SVG
        narrow_size=f"{len(narrow.rows)} × {len(narrow.columns)} of {grouped(narrow.of_rows)} × {grouped(narrow.of_columns)}",
        rows=_matrix_rows(wide, run, names),
    )


def _lead(run: WatchRun) -> seriate.Lead | None:
    """The campaign of which the headline speaks stands in the corner."""
    top = _top(run)
    return seriate.Lead(frozenset(top.actors), frozenset((*top.subjects, *top.linked_subjects))) if top else None


def _about(shown: seriate.Arranged, lead: seriate.Lead | None) -> str:
    if not shown.counts:
        return "No pair to show."
    corner = " The first campaign stands in the corner." if lead and shown.rows[0] in lead.rows else ""
    block = "Actors who share subjects stand side by side: a dark block is a group who looked at the same people."
    return f"{matrix.caption(shown)}.{corner} {block}"


def _matrix_rows(shown: seriate.Arranged, run: WatchRun, names: Names) -> tuple[MatrixRow, ...]:
    rows = []
    for actor in shown.rows:
        mine = [(column, shown.counts[actor, column]) for column in shown.columns if (actor, column) in shown.counts]
        told = Markup(", ").join(
            names.one(column) + (Markup(" ×&#8239;{}").format(grouped(count)) if count > 1 else "") for column, count in mine
        )
        rows.append(MatrixRow(names.plain(actor), place(run, actor), grouped(sum(count for _, count in mine)), told))
    return tuple(rows)


def _waterfall(run: WatchRun) -> WaterfallPart:
    order = sorted((run.waterfall or run.explained).items(), key=lambda item: (-item[1], item[0]))
    parts = [(wording.reason(code), count) for code, count in order if count]
    adds_up = sum(count for _, count in parts) + run.residue == run.looks
    caption = "All looks, less those with a recorded reason, reason by reason; what is left has none."
    if not adds_up:
        caption = "How many looks each reason explains; a look may have several. What is left has none."
    rows = [CountRow(words, grouped(count), waterfall.share(count, run.looks)) for words, count in parts]
    rows.insert(0, CountRow("all looks at personal data", grouped(run.looks), "100 %" if run.looks else "–"))
    rows.append(CountRow("no recorded reason", grouped(run.residue), waterfall.share(run.residue, run.looks)))
    return WaterfallPart(
        caption=caption,
        wide=Markup(waterfall.draw(run.looks, parts, run.residue, name="waterfall-wide", width=_WIDE)),  # noqa: S704  # own SVG
        narrow=Markup(waterfall.draw(run.looks, parts, run.residue, name="waterfall-narrow", width=_SLIM)),  # noqa: S704  # own SVG
        rows=tuple(rows),
    )


def _heat(run: WatchRun) -> HeatPart:
    cells = [(cell.unit, cell.category, cell.looks, cell.residue) for cell in run.heat]
    wide, narrow = heat.arrange(cells, units=16, categories=12), heat.arrange(cells, units=10, categories=4)
    labels = {category: wording.category(category) for category in (*wide.categories, *narrow.categories)}
    rows = tuple(HeatRow(unit, tuple(_of(wide.cells.get((unit, category))) for category in wide.categories)) for unit in wide.units)
    return HeatPart(
        caption=f"Share of looks without a recorded reason. {len(wide.units)} units with most of them, of {wide.of_units}.",
        wide=Markup(heat.paint(wide, labels, name="heat-wide", width=_WIDE)),  # noqa: S704  # own SVG
        narrow=Markup(heat.paint(narrow, labels, name="heat-narrow", width=_SLIM)),  # noqa: S704  # own SVG
        heads=tuple(labels[category] for category in wide.categories),
        rows=rows,
    )


def _of(counts: tuple[int, int] | None) -> str:
    return f"{grouped(counts[1])} of {grouped(counts[0])}" if counts and counts[0] else "–"


def _sources(run: WatchRun) -> tuple[SourceRow, ...]:
    return tuple(
        SourceRow(
            source=row.source,
            accesses=grouped(row.accesses),
            resolved=f"{grouped(row.resolved)} ({waterfall.share(row.resolved, row.accesses)})",
            cannot_see="; ".join((*row.cannot_see, *row.notes)) or "nothing is declared",
        )
        for row in sorted(run.coverage, key=lambda row: row.source)
    )


def _checkpoint(checkpoint: Checkpoint | None) -> CheckpointPart | None:
    return CheckpointPart(grouped(checkpoint.size), checkpoint.origin, checkpoint.root) if checkpoint else None


def _method(run: WatchRun) -> str:
    parts = [f"Budget: {grouped(run.budget)} campaigns a week"]
    if run.engine:
        parts.append(f"engine: {run.engine}")
    return "; ".join(parts) + "."
