"""From findings to campaigns: actor set x subject set x window.

Strong findings (`medium` and above) belong together when the same actor looked at the same subject, when one rule sees the same
single actor again, when their actors cite the same broken reason, or when their looks made or opened the same copy, with no pause
longer than `PAUSE`. A shared subject alone binds nobody: two strangers who each looked at a known person are two matters; rules
that see a group say so in one finding. A ring (`RING`) binds the actors whom it ties even where it is too weak to be told alone.
Other weak findings join the strong group of their own actor and subject, reason or copy; what is left is grouped by actor and
subject. A note that nothing was missing brings nobody in: who did what was asked of them is not named beside those who did
not. Grouping never depends on the order in which findings come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from custodes.model.finding import Finding
from custodes.model.words import LEVELS

PAUSE: Final = timedelta(days=30)
STRONG: Final = LEVELS.index("medium")
RING: Final = "V9"
"""The code of looks that several actors share out, or share."""

BROAD: Final = 25
"""Subjects of one finding from which on it speaks of breadth: as many as D12 asks for."""

NOBODY: Final = "unknown"
"""The actor of a finding that names nobody: it binds no two findings."""

Key = tuple[str, str]
Reasons = Mapping[int, tuple[Key, ...]]
"""Access → (table, readable key) of each reason that the log cites for it and that turned out broken."""
Copies = Mapping[int, tuple[str, ...]]
"""Access → the copies that it made or opened."""


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


def group(findings: Iterable[Finding], reasons: Reasons, copies: Copies = MappingProxyType({})) -> list[list[Finding]]:
    """Return the findings in groups, each sorted by (first, id); groups sorted by their first finding's id."""
    ordered = sorted(findings, key=lambda finding: (finding.first, finding.finding))
    groups = _Groups(len(ordered))
    latest: dict[Key, int] = {}
    strong = [index for index, finding in enumerate(ordered) if _binds(finding)]
    hosts: dict[Key, list[int]] = defaultdict(list)
    for index in strong:
        for key in (*_binding(ordered[index], reasons, copies), *_again(ordered[index])):
            before = latest.get(key)
            if before is not None and ordered[index].first - ordered[before].last <= PAUSE:
                groups.join(before, index)
            if before is None or ordered[index].last >= ordered[before].last:
                latest[key] = index
    for index in sorted(strong, key=lambda index: _is_broad(ordered[index])):
        for key in _keys(ordered[index], reasons, copies):
            hosts[key].append(index)
    _attach_weak(ordered, set(strong), hosts, groups, lambda finding: _keys(finding, reasons, copies))
    together: dict[int, list[Finding]] = defaultdict(list)
    for index, finding in enumerate(ordered):
        together[groups.find(index)].append(finding)
    return sorted(together.values(), key=lambda members: members[0].finding)


def cited(finding: Finding, reasons: Reasons) -> list[Key]:
    """Return the broken reasons that the finding's accesses cite, each once, sorted."""
    return sorted({reason for leaf in finding.leaves for reason in reasons.get(leaf, ())})


def _binds(finding: Finding) -> bool:
    return LEVELS.index(finding.level) >= STRONG or (RING in finding.codes and RING not in finding.flagged)


def _is_met(finding: Finding) -> bool:
    """Say whether a finding only notes that a duty was met: its rule names no code."""
    return finding.level == LEVELS[0] and set(finding.codes) <= set(finding.flagged)


def _keys(finding: Finding, reasons: Reasons, copies: Copies) -> list[Key]:
    subjects = (*finding.subjects, *finding.linked_subjects)
    touched = {copy for leaf in finding.leaves for copy in copies.get(leaf, ())}
    return [
        *((actor, subject) for actor in finding.actors for subject in subjects),
        *cited(finding, reasons),
        *(("copy", copy) for copy in sorted(touched | set(finding.derived))),
    ]


def _is_broad(finding: Finding) -> bool:
    """Say whether one actor and very many people are told; a ring is told of several."""
    return len(finding.actors) == 1 and finding.actors != (NOBODY,) and len(finding.subjects) >= BROAD


def _binding(finding: Finding, reasons: Reasons, copies: Copies) -> list[Key]:
    """Return what binds a strong finding to others of its kind."""
    if _is_broad(finding):
        return [("breadth", finding.actors[0])]
    return _keys(finding, reasons, copies)


def _again(finding: Finding) -> list[Key]:
    """Return what binds a loud finding to another of its rule about the same single actor. Rings are told of two or more."""
    alone = len(finding.actors) == 1 and finding.actors != (NOBODY,) and LEVELS.index(finding.level) >= STRONG
    return [(f"rule {finding.rule}", finding.actors[0])] if alone else []


def _attach_weak(
    ordered: Sequence[Finding],
    strong: set[int],
    hosts: Mapping[Key, Sequence[int]],
    groups: _Groups,
    keys_of: Callable[[Finding], list[Key]],
) -> None:
    """Join each weak finding to the earliest strong one that it touches, else to the same actor and subject."""
    alone: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for index, finding in enumerate(ordered):
        if index in strong:
            continue
        host = _host(finding, ordered, hosts, keys_of(finding))
        if host is not None and _is_met(finding) and not set(finding.actors) <= set(ordered[host].actors):
            host = None
        if host is None:
            host = alone.setdefault((finding.actors, finding.subjects), index)
        groups.join(host, index)


def _host(finding: Finding, ordered: Sequence[Finding], hosts: Mapping[Key, Sequence[int]], keys: Iterable[Key]) -> int | None:
    for key in keys:
        for index in hosts.get(key, ()):
            other = ordered[index]
            if finding.first - other.last <= PAUSE and other.first - finding.last <= PAUSE:
                return index
    return None
