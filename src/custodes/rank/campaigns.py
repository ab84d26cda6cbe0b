"""From findings to campaigns: actor set x subject set x window.

Strong findings (`medium` and above) belong together when they share a subject, cite the same broken reason, or hang on
the same copy, with no pause longer than `PAUSE`. Weak ones join a strong group when one of its actors looked at one of its
subjects, or under the same broken reason; what is left is grouped by actor and subject. Grouping never depends on the order
in which findings come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from custodes.model.finding import Finding
from custodes.model.words import LEVELS

PAUSE: Final = timedelta(days=30)
STRONG: Final = LEVELS.index("medium")
_REASONS: Final = frozenset({"cases", "tickets", "grants", "legal", "jobs"})
_BROKEN: Final = frozenset({"V2", "V3", "V4", "V14", "V16"})

Key = tuple[str, str]


class _Groups:
    """Union-find over findings, by position."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low


def group(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Return the findings in groups, each sorted by (first, id); groups sorted by their first finding's id."""
    ordered = sorted(findings, key=lambda finding: (finding.first, finding.finding))
    groups = _Groups(len(ordered))
    strong = [index for index, finding in enumerate(ordered) if LEVELS.index(finding.level) >= STRONG]
    _join_strong(ordered, strong, groups)
    _attach_weak(ordered, strong, groups)
    together: dict[int, list[Finding]] = defaultdict(list)
    for index, finding in enumerate(ordered):
        together[groups.find(index)].append(finding)
    return sorted(together.values(), key=lambda members: members[0].finding)


def broken_reasons(finding: Finding) -> list[str]:
    """Return the keys of reasons that the finding shows to be broken: what several actors cite alike."""
    if not _BROKEN.intersection(finding.codes):
        return []
    return [f"{row.table}:{row.key}" for row in finding.evidence if row.table in _REASONS]


def _keys(finding: Finding) -> list[Key]:
    return [
        *(("subject", subject) for subject in finding.subjects),
        *(("subject", subject) for subject in finding.linked_subjects),
        *(("reason", reason) for reason in broken_reasons(finding)),
        *(("copy", copy) for copy in finding.derived),
    ]


def _join_strong(ordered: Sequence[Finding], strong: Sequence[int], groups: _Groups) -> None:
    latest: dict[Key, int] = {}
    for index in strong:
        for key in _keys(ordered[index]):
            before = latest.get(key)
            if before is not None and ordered[index].first - ordered[before].last <= PAUSE:
                groups.join(before, index)
            if before is None or ordered[index].last >= ordered[before].last:
                latest[key] = index


def _attach_weak(ordered: Sequence[Finding], strong: Sequence[int], groups: _Groups) -> None:
    """Join each weak finding to the earliest strong group that it touches, else to the same pair of actor and subject."""
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in strong:
        finding = ordered[index]
        for actor in finding.actors:
            for _, value in _keys(finding):
                pairs[(actor, value)].append(index)
    alone: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    is_strong = set(strong)
    for index, finding in enumerate(ordered):
        if index in is_strong:
            continue
        host = _host(finding, pairs, ordered)
        if host is None:
            same = (finding.actors, finding.subjects)
            host = alone.setdefault(same, index)
        groups.join(host, index)


def _host(finding: Finding, pairs: dict[tuple[str, str], list[int]], ordered: Sequence[Finding]) -> int | None:
    values = [value for _, value in _keys(finding)]
    for actor in finding.actors:
        for value in values:
            for index in pairs.get((actor, value), ()):
                other = ordered[index]
                if finding.first - other.last <= PAUSE and other.first - finding.last <= PAUSE:
                    return index
    return None
