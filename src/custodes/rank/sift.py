"""Which groups of rows become findings at all: everything loud, everything about the same people, and the best of the rest.

In a large company a hundred thousand looks have no reason, nearly all of them innocent, and a person looks at twenty campaigns
a week. Telling each of them in words would cost more than finding them. So weak groups that nothing loud touches are put in
order by score, a generous multiple of the budget is told, and the rest is counted by rule: it is cut, and said to be cut.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from custodes.model.words import LEVELS
from custodes.rank.campaigns import STRONG
from custodes.rank.order import week
from custodes.rule_findings import Draft

SLACK: Final = 5
"""Weak campaigns told a week, as a multiple of the budget: they are ordered by score here, by score x harm later."""

Pair = tuple[frozenset[object], frozenset[object]]


class Sieve:
    """Chooses the groups to tell. The order of groups plays no part. `known`: accesses of findings of earlier runs.

    Afterwards, of all groups, told or not: `cut`, campaigns left out by leading rule; `found`, how many have just these actors;
    `met`, rule → those of `known` that it still holds.
    """

    def __init__(self, scores: Mapping[int, int], budget: int, known: AbstractSet[int] = frozenset()) -> None:
        self._scores = scores
        self._most = SLACK * budget
        self._known = known
        self.cut: dict[str, int] = {}
        self.found: Counter[frozenset[object]] = Counter()
        self.met: dict[str, set[int]] = defaultdict(set)

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Return the groups to tell, in the order given."""
        self._note(drafts)
        strong = {id(draft) for draft in drafts if _level(draft) >= STRONG}
        loud = {pair for draft in drafts if id(draft) in strong for pair in _pairs(draft)}
        weak: dict[Pair, list[Draft]] = defaultdict(list)
        keep = set(strong)
        for draft in drafts:
            if id(draft) in strong:
                continue
            if loud.intersection(_pairs(draft)):
                keep.add(id(draft))
            else:
                weak[(frozenset(draft.values("actor")), frozenset(draft.values("subject")))].append(draft)
        keep.update(id(draft) for members in self._best(weak) for draft in members)
        return [draft for draft in drafts if id(draft) in keep]

    def _note(self, drafts: Sequence[Draft]) -> None:
        self.found.update(frozenset(draft.values("actor")) for draft in drafts)
        for draft in drafts if self._known else ():
            own = {access for access in draft.values("access") if isinstance(access, int)}
            self.met[draft.rule.code].update(own & self._known)

    def _best(self, weak: Mapping[Pair, list[Draft]]) -> list[list[Draft]]:
        """Return the best groups of each week; count the others by the rule that leads them."""
        weeks: dict[tuple[int, int], list[tuple[tuple[int, int, str], list[Draft]]]] = defaultdict(list)
        for members in weak.values():
            level = max(_level(draft) for draft in members)
            score = max(self._score(draft) for draft in members)
            name = min(f"{_first_time(draft)}{draft.values('actor')}{draft.values('subject')}" for draft in members)
            weeks[week(max(_last_time(draft) for draft in members))].append(((-level, -score, name), members))
        best: list[list[Draft]] = []
        cut: Counter[str] = Counter()
        for groups in weeks.values():
            groups.sort(key=lambda group: group[0])
            best.extend(members for _, members in groups[: self._most])
            cut.update(min(draft.rule.code for draft in members) for _, members in groups[self._most :])
        self.cut = dict(sorted(cut.items()))
        return best

    def _score(self, draft: Draft) -> int:
        return max((self._scores.get(access, 0) for access in draft.values("access") if isinstance(access, int)), default=0)


def _pairs(draft: Draft) -> set[tuple[object, object]]:
    """Return who looked at whom, or at which copy, in the group's own rows."""
    actor, others = draft.where["actor"], [draft.where[name] for name in ("subject", "derived") if name in draft.where]
    return {(row[actor], row[other]) for row in draft.rows for other in others if row[other] is not None}


def _level(draft: Draft) -> int:
    return LEVELS.index(draft.level())


def _times(draft: Draft) -> list[datetime]:
    return [value for value in draft.values("time") if isinstance(value, datetime)]


def _first_time(draft: Draft) -> datetime:
    return min(_times(draft))


def _last_time(draft: Draft) -> datetime:
    return max(_times(draft))
