"""From findings to campaigns: actor set x subject set x window.

Strong findings (`medium` and above) belong together when the same actors looked at the same subjects, when their actors cite the
same broken reason, both in at least half of what the smaller one tells; when one rule sees the same single actor again; or when
their looks made or opened the same copy, with no pause longer than `PAUSE`. A shared subject alone binds nobody: two strangers
who each looked at a known person are two matters; rules that see a group say so in one finding. What is told of one actor and
very many people (`BROAD`) binds such findings about this actor and no others: it would swallow whatever else a heavy reader did.
A ring (`RING`) binds the actors whom it ties even where it is too weak to be told alone. Other weak findings join the strong
group whose matter at least half of them is, the broad ones last; what is left is grouped by actor and subject. A note that
nothing was missing brings nobody in: who did what was asked of them is not named beside those who did not. Grouping never depends
on the order in which findings come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from custodes.model.finding import Finding
from custodes.model.words import LEVELS

PAUSE: Final = timedelta(days=30)
STRONG: Final = LEVELS.index("medium")
RING: Final = "V9"
"""The code of looks that several actors share out, or share."""

BROAD: Final = 25
"""Subjects of one finding from which on it speaks of breadth: as many as D12 asks for."""

_COPY: Final = "copy"

NOBODY: Final = "unknown"
"""The actor of a finding that names nobody: it binds no two findings."""

Key = tuple[str, str]
Reasons = Mapping[int, tuple[Key, ...]]
"""Access → (table, readable key) of each reason that the log cites for it and that turned out broken."""
Copies = Mapping[int, tuple[str, ...]]
"""Access → the copies that it made or opened."""


class _Ties(NamedTuple):
    """What accesses have in common beside actor and subject."""

    reasons: Reasons
    copies: Copies


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
    keys = [_keys(finding, reasons, copies) for finding in ordered]
    strong = [index for index, finding in enumerate(ordered) if _binds(finding)]
    earlier: dict[Key, list[int]] = defaultdict(list)
    hosts: dict[Key, list[int]] = defaultdict(list)
    for index in strong:
        for key in (*_binding(ordered[index], keys[index]), *_again(ordered[index])):
            for before in reversed(earlier[key]):
                one, other = ordered[before], ordered[index]
                near = other.first - one.last <= PAUSE
                if near and (_mostly(key, one, other, reasons) or _mostly(key, other, one, reasons)):
                    groups.join(before, index)
                    if key[0] not in other.actors:
                        break  # those before it are in its group; a rule that is loud every day would be compared with itself
            earlier[key].append(index)
    for index in sorted(strong, key=lambda index: _is_broad(ordered[index])):
        for key in keys[index]:
            hosts[key].append(index)
    _attach_weak(ordered, hosts, groups, keys, _Ties(reasons, copies))
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
        *((_COPY, copy) for copy in sorted(touched | set(finding.derived))),
    ]


def _is_broad(finding: Finding) -> bool:
    """Say whether one actor and very many people are told; a ring is told of several."""
    return len(finding.actors) == 1 and finding.actors != (NOBODY,) and len(finding.subjects) >= BROAD


def _binding(finding: Finding, keys: Sequence[Key]) -> Sequence[Key]:
    """Return what binds a strong finding to others of its kind."""
    return [("breadth", finding.actors[0])] if _is_broad(finding) else keys


def _size(finding: Finding) -> int:
    """Return how many pairs a finding tells; of people linked to somebody it tells that somebody."""
    return len(finding.actors) * len(set(finding.subjects or finding.linked_subjects))


def _shared(one: Finding, other: Finding) -> int:
    """Return how many pairs of actor and subject two findings have in common."""
    subjects = {*one.subjects, *one.linked_subjects} & {*other.subjects, *other.linked_subjects}
    return len({*one.actors} & {*other.actors}) * len(subjects)


def _mostly(key: Key, finding: Finding, other: Finding, reasons: Reasons) -> bool:
    """Say whether most of a finding is the other's matter, where a pair or a reason that is cited is what they have in common."""
    if key[0] in finding.actors:
        return 2 * _shared(finding, other) >= _size(finding)
    if not any(key in reasons.get(leaf, ()) for leaf in finding.leaves):
        return True
    own = set(cited(other, reasons))
    return 2 * sum(not own.isdisjoint(reasons.get(leaf, ())) for leaf in finding.leaves) >= len(finding.leaves)


def _again(finding: Finding) -> list[Key]:
    """Return what binds a loud finding to another of its rule about the same single actor. Rings are told of two or more."""
    alone = len(finding.actors) == 1 and finding.actors != (NOBODY,) and LEVELS.index(finding.level) >= STRONG
    return [(f"rule {finding.rule}", finding.actors[0])] if alone else []


def _attach_weak(
    ordered: Sequence[Finding],
    hosts: Mapping[Key, Sequence[int]],
    groups: _Groups,
    keys: Sequence[Sequence[Key]],
    ties: _Ties,
) -> None:
    """Join each weak finding to the earliest strong one that it touches, else to the same actor and subject."""
    alone: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for index, finding in enumerate(ordered):
        if _binds(finding):
            continue
        offered = ((key, ordered[place], place) for key in keys[index] for place in hosts.get(key, ()))
        host = _host(finding, offered, ties)
        if host is not None and _is_met(finding) and not set(finding.actors) <= set(ordered[host].actors):
            host = None
        if host is None:
            host = alone.setdefault((finding.actors, finding.subjects), index)
        groups.join(host, index)


def _host(finding: Finding, offered: Iterable[tuple[Key, Finding, int]], ties: _Ties) -> int | None:
    """Return the first strong finding near in time whose matter most of a weak one is."""
    for key, other, place in offered:
        near = finding.first - other.last <= PAUSE and other.first - finding.last <= PAUSE
        mostly = _mostly_copied(key, finding, ties.copies) if key[0] == _COPY else _mostly(key, finding, other, ties.reasons)
        if near and mostly:
            return place
    return None


def _mostly_copied(key: Key, finding: Finding, copies: Copies) -> bool:
    """Say whether most looks of a finding made or opened one copy."""
    copied = sum(key[1] in copies.get(leaf, ()) for leaf in finding.leaves)
    return key[1] in finding.derived or 2 * copied >= len(finding.leaves)
