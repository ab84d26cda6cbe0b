"""Words, names and times of a report: everything that its pages share, escaped once and in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup, escape

from custodes.minimise.display import PSEUDONYM, Display, found_in
from custodes.model.run import WatchRun
from custodes.pictures.metrics import clean
from custodes.pictures.svg import grouped

_WHOLE: Final = re.compile(rf"{PSEUDONYM.pattern}|\b\d{{4}}-\d\d-\d\d\b|\b[A-Za-z]{{1,5}}-\d{{4,}}\b")
"""What no line may break: names, dates and the ids of tickets and cases."""


def pseudonyms_of(run: WatchRun) -> set[str]:
    """Return every pseudonym of an actor or a subject that a run names, in sentences too: what its `Display` needs to know."""
    names = {cell.actor for cell in run.cells} | {cell.subject for cell in run.cells} | set(run.actors)
    names |= {mark.actor for mark in run.marks} | {span.actor for span in run.spans}
    texts: list[str] = [item.why for item in (*run.not_checked, *run.failed_rules)]
    for one in run.suppressed:
        names.update((*one.actors, one.by, one.approved_by))
    for campaign in run.campaigns:
        names.update(campaign.actors, campaign.subjects, campaign.linked_subjects)
        names.update(row.key for row in campaign.evidence)
        texts.append(campaign.sentence)
    for finding in run.findings.values():
        names.update(finding.actors, finding.subjects, finding.linked_subjects)
        names.update(row.key for row in finding.evidence)
        texts += [finding.sentence, *finding.questions, *finding.innocent, *finding.facts.values()]
    return found_in((*names, *texts))


class Names:
    """Display names as markup: actors and subjects each in their class, everything else escaped."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def plain(self, pseudonym: str) -> str:
        """Return the display name as text."""
        return self._display.name(pseudonym)

    def one(self, pseudonym: str) -> Markup:
        """Return one name as markup."""
        kind = "actor" if pseudonym.startswith("a-") else "subject"
        return Markup('<span class="{}">{}</span>').format(kind, clean(self.plain(pseudonym)))

    def listed(self, pseudonyms: Sequence[str], most: int) -> Markup:
        """Return names in order of what is read, cut after `most` with the number of those left out."""
        ordered = sorted(pseudonyms, key=self.plain)
        shown = Markup(", ").join(self.one(pseudonym) for pseudonym in ordered[:most])
        return shown + (f" and {grouped(len(ordered) - most)} more" if len(ordered) > most else "")

    def text(self, text: str) -> Markup:
        """Return a sentence with its pseudonyms named."""
        done: list[Markup] = []
        end = 0
        for match in _WHOLE.finditer(text):
            word = match[0]
            named = self.one(word) if PSEUDONYM.fullmatch(word) else Markup('<span class="whole">{}</span>').format(word)
            done += [escape(_spaced(text[end : match.start()])), named]
            end = match.end()
        return Markup("").join([*done, escape(_spaced(text[end:]))])


def _spaced(text: str) -> str:
    """`clean` trims; between names a space at either end is part of the sentence."""
    inner = clean(text)
    return (" " if text[:1].isspace() else "") + inner + (" " if inner and text[-1:].isspace() else "")


def counted(count: int, one: str, many: str) -> str:
    """Return "1 look", "2,701 looks"."""
    return f"{grouped(count)} {one if count == 1 else many}"


def window(first: datetime, last: datetime) -> str:
    """Return two times as a reader says them: one day, or from day to day."""
    if first.date() == last.date():
        clock = f"{first:%H:%M}" if last - first < timedelta(minutes=1) else f"{first:%H:%M}–{last:%H:%M}"
        return f"{day(first)}, {clock} UTC"
    start = f"{first.day} {first:%b}" if first.year == last.year else day(first)
    return f"{start} – {day(last)}"


def day(time: datetime) -> str:
    """Return a day."""
    return f"{time.day} {time:%b %Y}"


def unique(texts: Iterable[str], most: int) -> list[str]:
    """Return the first `most` different texts, in order."""
    return list(dict.fromkeys(texts))[:most]
