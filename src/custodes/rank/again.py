"""What a run says about findings that earlier runs left on the desk: seen again, grown, or judged otherwise than before.

Context comes late: a ticket entered after the look withdraws or weakens a finding. Both verdicts are kept and the change is said.
Nothing is concluded from silence alone: a finding counts as withdrawn only if its rule ran over the whole window in which it was
found, and no group of rows of that rule, shown or cut, holds any of its accesses any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from custodes.model.finding import Finding
from custodes.model.run import Change, Known
from custodes.model.words import LEVELS
from custodes.rank import suppress


@dataclass(frozen=True, slots=True)
class Memory:
    """What a run remembers. `known`: findings on the desk; `suppressions`: in force now; `refer`: how those call a subject."""

    known: Sequence[Known] = ()
    suppressions: Sequence[suppress.Suppression] = ()
    refer: suppress.Reference = lambda _subject: None


@dataclass(frozen=True, slots=True)
class Again:
    """`changes`: verdicts that differ. `same`: finding of this run → its id on the desk, where that is another one.

    `repeats`: finding of this run → how often it has grown by new accesses since it was first found.
    """

    changes: tuple[Change, ...] = ()
    same: Mapping[str, str] = field(default_factory=dict)
    repeats: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run covered. `met`: rule → accesses of known findings that rows of the rule hold; `days`: rule → its days of dedup.

    `held`: ids of findings that a suppression holds back. `since`, `until`: the window asked for, None is open.
    """

    met: Mapping[str, Collection[int]]
    days: Mapping[str, int]
    held: Collection[str]
    since: datetime | None
    until: datetime | None

    def covers(self, known: Known) -> bool:
        """Say whether this run saw at least what the run saw that told the finding."""
        begins = self.since is None or (known.since is not None and self.since <= known.since)
        return begins and (self.until is None or (known.until is not None and known.until <= self.until))


def compare(known: Sequence[Known], findings: Iterable[Finding], ran: Ran) -> Again:
    """Compare what the desk holds with all findings of a run, also those that are cut from what is shown. Order plays no part."""
    desk = _Desk(known)
    changes: list[Change] = []
    same: dict[str, str] = {}
    repeats: dict[str, int] = {}
    taken: set[str] = set()
    for finding in sorted(findings, key=lambda one: (one.rule, one.first, one.finding)):
        before = desk.match(finding, ran.days.get(finding.rule, 0), taken)
        if before is None:
            continue
        taken.add(before.finding)
        if finding.finding != before.finding:
            same[finding.finding] = before.finding
        grown = bool(set(finding.leaves) - before.leaves)
        if count := before.repeats + grown:
            repeats[finding.finding] = count
        if not grown and ran.covers(before) and (change := _change(before, finding)):
            changes.append(change)
    for before in known:
        left = before.finding not in taken and before.finding not in ran.held and not before.withdrawn
        gone = left and before.rule in ran.days and before.leaves.isdisjoint(ran.met.get(before.rule, ()))
        if gone and ran.covers(before):
            changes.append(Change(before.finding, before.rule, "withdrawn", before.level, None, ()))
    return Again(tuple(sorted(changes, key=lambda change: (change.rule, change.finding))), same, repeats)


class _Desk:
    """Known findings by what a finding of this run may share with them."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._by_id = {one.finding: one for one in known}
        self._by_key: dict[tuple[str, str], list[Known]] = defaultdict(list)
        self._by_leaf: dict[tuple[str, int], list[Known]] = defaultdict(list)
        for one in self._by_id.values():
            self._by_key[one.rule, one.key].append(one)
            for leaf in one.leaves:
                self._by_leaf[one.rule, leaf].append(one)

    def match(self, finding: Finding, days: int, taken: Collection[str]) -> Known | None:
        """Return what the desk holds of the same thing: the same id, else most accesses in common, else the key within the days."""
        found = self._by_id.get(finding.finding)
        if found is not None:
            return found
        near = timedelta(days=days)
        shared = {one.finding: one for leaf in finding.leaves for one in self._by_leaf.get((finding.rule, leaf), ())}
        keyed = {
            one.finding: one
            for one in self._by_key.get((finding.rule, finding.key), ())
            if finding.key and one.first - near <= finding.last and finding.first <= one.first + near
        }
        left = [one for one in {**keyed, **shared}.values() if one.finding not in taken and not one.withdrawn]
        own = set(finding.leaves)
        return min(left, key=lambda one: (-len(own & one.leaves), one.first, one.finding), default=None)


def _change(before: Known, now: Finding) -> Change | None:
    """Say how the verdict on the same accesses, or on fewer of them, differs; None if it does not."""
    gained = tuple(code for code in now.explained_by if code not in before.explained_by)
    was, level = LEVELS.index(before.level), LEVELS.index(now.level)
    fewer = len(now.leaves) < len(before.leaves)
    if before.withdrawn:
        word = "found again"
    elif level > was:
        word = "strengthened"
    elif level < was or gained or fewer:
        word = "weakened"
    elif set(now.explained_by) != set(before.explained_by):
        word = "strengthened"
    elif set(now.codes) != set(before.codes):
        word = "changed"
    else:
        return None
    return Change(before.finding, before.rule, word, before.level, now.level, gained)


def read(documents: Iterable[Mapping[str, object]]) -> tuple[Known, ...]:
    """Return what the desk's documents say that a later run compares; those that erasure touched are left out."""
    found = []
    for row in documents:
        window, leaves = row.get("window"), row.get("ledger")
        if not isinstance(window, Mapping) or not isinstance(leaves, list) or "key" not in row or row["key"] == "(erased)":
            continue
        seen = row.get("run")
        span = seen if isinstance(seen, Mapping) else {}
        found.append(
            Known(
                finding=str(row["finding"]),
                rule=str(row["rule"]),
                key=str(row["key"]),
                level=str(row["level"]),
                codes=_texts(row["codes"]),
                explained_by=_texts(row["explained_by"]),
                leaves=frozenset(int(leaf) for leaf in leaves),
                first=_time(window["from"]) or datetime.min.replace(tzinfo=UTC),
                last=_time(window["to"]) or datetime.max.replace(tzinfo=UTC),
                since=_time(span.get("since")),
                until=_time(span.get("until")),
                repeats=int(str(row.get("repeats", 0))),
                withdrawn=row.get("verdict") == "withdrawn",
            )
        )
    return tuple(found)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _time(value: object) -> datetime | None:
    return datetime.fromisoformat(str(value)) if value else None
