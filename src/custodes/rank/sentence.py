"""One sentence per campaign that a tired person understands: who, what, whose, how often, when, and which reason was missing.

It speaks of accesses, never of guilt. Units and countries are places of work; persons are pseudonyms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from custodes.model.wording import category as category_words

CLAUSES: Final[Mapping[str, str]] = {
    "V20": "a public statement is refuted by the record",
    "V18": "a part of the log is missing there",
    "V19": "those who oversee others did so themselves",
    "V14": "{approval} came from the wrong person",
    "V21": "an emergency override has no emergency or no review",
    "V22": "the reader's role had ended or not begun",
    "V13": "a standing query names single persons",
    "V24": "a machine account named single persons, and no human stands behind it",
    "V15": "device or shift do not fit the owner of the account",
    "V23": "the search was so narrow that it names persons",
    "V3": "{reason} was made by the reader",
    "V4": "{reason} was closed, recorded too late or used for others",
    "V7": "one statement joined places of staff with addresses of subjects",
    "V9": "several actors share the same few subjects",
    "V11": "a personal relation to the subject is on file",
    "V6": "they go out from one person who was read before",
    "V25": "the same subject was opened in three systems within minutes",
    "V2": "{reason} does not name {them}",
    "V10": "it began after a press event about the subject",
    "V8": "the reader's place of work may not read this region",
    "V17": "a copy was exported and opened by somebody without a reason",
    "V12": "more people, or more readers, than others have who do this work",
    "V16": "the legal process cited does not cover the look",
    "V5": "a duty of protection was not met",
    "V1": "no reason is recorded",
}
"""Code → clause, in the order in which they are told. A campaign names at most `_TOLD` of them."""

OPENED: Final = "opened"
"""What somebody did who looked; other rules than those on looks say in a column `did` what it was."""
_TOLD: Final = 5
_KINDS: Final = 4
_CITED: Final = {"cases": "case", "tickets": "ticket", "grants": "grant", "legal": "legal process", "jobs": "job"}


def campaign_sentence(
    *,
    actors: Sequence[str],
    subjects: int,
    linked: int,
    accesses: int,
    units: Sequence[str],
    countries: Sequence[str],
    categories: Sequence[str],
    codes: Sequence[str],
    reasons: Sequence[tuple[str, str]],
    first: datetime,
    last: datetime,
    deeds: Sequence[str] = (),
) -> str:
    """Return the sentence. `reasons`: (table, key) of the reasons that turned out broken, most cited first.

    `deeds`: what findings say was done (the column `did` of rules), where it was something else than to open data.
    """
    told = [clause for clause in _clauses(codes, reasons, subjects + linked) if clause]
    head = (
        f"{_who(actors, units, countries)} {_did(deeds)} {_what(categories)} of {_whose(subjects, linked)}"
        f" {_times(accesses)} {_when(first, last)}"
    )
    return head + (": " + "; ".join(told) if told else "") + "."


def listed(words: Sequence[str], most: int = 4) -> str:
    """Return "a, b and c", cut after `most` with the number of those left out."""
    if len(words) > most:
        return ", ".join(words[:most]) + f" and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def common_unit(units: Sequence[str]) -> str:
    """Return the longest common path of the units, or the units listed where they share none."""
    paths = [unit.split("/") for unit in units]
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared) or listed(sorted({path[0] for path in paths}), 3)


def _who(actors: Sequence[str], units: Sequence[str], countries: Sequence[str]) -> str:
    place = common_unit(units) if units else "a small or unknown unit"
    where = f"{place}, {', '.join(countries)}" if countries else place
    return f"{actors[0]} ({where})" if len(actors) == 1 else f"{len(actors)} actors ({where})"


def _did(deeds: Sequence[str]) -> str:
    others = [deed for deed in deeds if deed != OPENED]
    return listed(["looked at", *others] if OPENED in deeds or not others else others)


def _what(categories: Sequence[str]) -> str:
    words = [category_words(category) for category in categories if category != "public"]
    if len(words) > _KINDS:
        left = len(words) - _KINDS
        return f"{', '.join(words[:_KINDS])} and {left} more kind{'' if left == 1 else 's'} of data"
    return f"{listed(words)} data" if words else "data"


def _whose(subjects: int, linked: int) -> str:
    if not subjects and not linked:
        return "persons the log does not name"
    direct = "1 subject" if subjects == 1 else f"{subjects} subjects"
    return f"{direct} and of {linked} linked to them" if linked else direct


def _times(accesses: int) -> str:
    return "once" if accesses == 1 else f"{accesses} times"


def _when(first: datetime, last: datetime) -> str:
    start, end = f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"
    return f"on {start}" if start == end else f"between {start} and {end}"


def _clauses(codes: Sequence[str], reasons: Sequence[tuple[str, str]], people: int) -> list[str]:
    reason, approval = "the reason given", "an approval"
    if reasons:
        table, key = reasons[0]
        reason = f"the {_CITED.get(table, 'reason')} cited ({key})"
        approval = f"an approval of {reason}"
    them = "this subject" if people == 1 else "these subjects"
    have = set(codes)
    if have & {"V2", "V3", "V4", "V14", "V16"}:
        have.discard("V1")
    return [text.format(reason=reason, approval=approval, them=them) for code, text in CLAUSES.items() if code in have][:_TOLD]
