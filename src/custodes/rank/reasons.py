"""The score in words: which missing relation set a look apart, told from the same values and by the same measure that ordered it.

A relation counts as told if the measure would fall were the look as well related as half of the window's looks are; the larger the
fall, the earlier it is told. Relations only: no attribute of a person has words here, and no number of the measure is printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from custodes.model.finding import Campaign, Finding
from custodes.rank import plain
from custodes.rank.features import CONTEXT

Row = Sequence[int]

MOST: Final = 3
"""Reasons told of one look."""

ABSENT: Final[Mapping[str, str]] = {
    "own": "the actor had not worked on the subject before",
    "assigned": "the subject does not lie with a team of the actor",
    "assigned_n": "the subject does not lie with a team of the actor",
    "any_team": "none of the actor's teams was ever on the subject",
    "mate": "no team-mate of the actor had worked on the subject",
    "collab": "nobody on the subject had worked with the actor",
    "collab_max": "nobody on the subject had worked with the actor",
    "sim": "nobody on the subject does work like the actor's",
    "sim_mean": "nobody on the subject does work like the actor's",
    "aprod": "the actor had not worked on this kind of thing before",
    "tprod": "the actor's teams had not worked on this kind of thing before",
    "hoa": "the last person on the subject had never handed over to the actor",
    "hot": "the subject's team hands nothing over to a team of the actor",
    "team_sim": "no team on the subject does work like the actor's",
    "team_share": "the actor had not worked for any team that was on the subject",
    "mates": "no colleague of the actor's unit had a reason to look at the subject",
    "others": "nobody else had a reason to look at the subject",
    "habit": "the actor has no other look with a reason at these fields",
    "unit_habit": "the actor's unit has no other look with a reason at these fields",
}
"""Feature → what is said where it is nothing."""
_COUNTED: Final[Mapping[str, str]] = {
    **CONTEXT,
    **plain.WORDS,
    "assigned_n": "earlier work of the actor for the team with which the subject lies",
    "aprod": "earlier work of the actor on this kind of thing",
    "tprod": "earlier work of the actor's teams on this kind of thing",
}
"""Feature → what is counted, said before the number where there is a little of it."""
_NOBODY_ELSE: Final = "nobody else is known to have worked on the subject"
_OF_OTHERS: Final = frozenset({"mate", "collab", "collab_max", "sim", "sim_mean"})
_TOGETHER: Final[Mapping[str, str]] = {
    **dict.fromkeys(("assigned", "assigned_n", "any_team", "team_share"), "teams"),
    **dict.fromkeys(("collab", "collab_max"), "collab"),
    **dict.fromkeys(("sim", "sim_mean"), "sim"),
    **dict.fromkeys(("mates", "others"), "others"),
}
"""Features that say nearly the same: only the one that weighs most is told."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What ordered, and what is usual. `measure`: higher is more unusual; `typical`: per feature what half of the looks reach."""

    names: tuple[str, ...]
    typical: tuple[int, ...]
    measure: Callable[[Sequence[Row]], Sequence[float]]

    @classmethod
    def of(cls, names: Sequence[str], known: Iterable[Row], measure: Callable[[Sequence[Row]], Sequence[float]]) -> Yardstick:
        """Return the yardstick of a window whose looks have the values `known`."""
        columns = [sorted(column) for column in zip(*known, strict=True)]
        return cls(tuple(names), tuple(column[len(column) // 2] for column in columns) or (0,) * len(names), measure)

    def reasons(self, rows: Iterable[Row]) -> dict[tuple[int, ...], tuple[str, ...]]:
        """Return the values of each look → its reasons, the weightiest first; none where it is as usual as half of the looks."""
        asked = list(dict.fromkeys(tuple(row) for row in rows))
        raised = [(row, place, value) for row in asked for place, value in self._below(row)]
        measured = self.measure([*asked, *((*row[:place], value, *row[place + 1 :]) for row, place, value in raised)])
        before = dict(zip(asked, measured, strict=False))
        gains: dict[tuple[int, ...], list[tuple[float, int]]] = {row: [] for row in asked}
        for (row, place, _), after in zip(raised, measured[len(asked) :], strict=True):
            if before[row] > after:
                gains[row].append((after - before[row], place))
        return {row: self._told(row, [place for _, place in sorted(found)]) for row, found in gains.items()}

    def _below(self, row: Row) -> list[tuple[int, int]]:
        """Return (place, usual value) of the relations in which a look stands below the usual."""
        usual = enumerate(self.typical)
        return [(place, value) for place, value in usual if self.names[place] in ABSENT and row[place] < value]

    def _told(self, row: Row, places: Sequence[int]) -> tuple[str, ...]:
        alone = "people" in self.names and row[self.names.index("people")] <= row[self.names.index("own")]
        told: dict[str, str] = {}
        for place in places:
            name = self.names[place]
            if alone and name in _OF_OTHERS:
                told.setdefault("others", _NOBODY_ELSE)
            else:
                told.setdefault(_TOGETHER.get(name, name), self._words(name, row[place], self.typical[place]))
        return tuple(dict.fromkeys(told.values()))[:MOST]

    @staticmethod
    def _words(name: str, value: int, usual: int) -> str:
        if not value:
            return ABSENT[name]
        return f"{_COUNTED[name]}: {value:,}, where half of the looks have {usual:,} or more"


@dataclass(frozen=True, slots=True)
class Reasoned:
    """What a run can say of its order. `scores`: access → per mille; `rows`: access → values of its look that scored highest.

    `recipe`: the digest of the model's recipe, empty for the cold start.
    """

    scores: Mapping[int, int]
    rows: Mapping[int, Row]
    yardstick: Yardstick
    recipe: str = ""

    def tell(self, campaigns: Sequence[Campaign], findings: Mapping[str, Finding]) -> tuple[list[Campaign], dict[str, Finding]]:
        """Return the campaigns and all findings with the reasons of their most unusual look, and what ordered it.

        Findings whose looks all have a reason were not ordered by the score: nothing is said of them.
        """
        telling = {name: leaf for name, one in findings.items() if (leaf := self._telling(one.leaves)) is not None}
        words = self.yardstick.reasons(self.rows[leaf] for leaf in telling.values())
        said = {
            name: replace(one, score_reasons=words[tuple(self.rows[telling[name]])], score_recipe=self.recipe)
            if name in telling
            else one
            for name, one in findings.items()
        }
        return [self._campaign(one, said) for one in campaigns], said

    def _telling(self, leaves: Iterable[int]) -> int | None:
        return max((leaf for leaf in leaves if leaf in self.rows), key=lambda leaf: (self.scores.get(leaf, 0), -leaf), default=None)

    @staticmethod
    def _campaign(campaign: Campaign, findings: Mapping[str, Finding]) -> Campaign:
        own = [findings[name] for name in campaign.findings if name in findings]
        best = min((one for one in own if one.score_reasons), key=lambda one: (-one.score, one.finding), default=None)
        return campaign if best is None else replace(campaign, score_reasons=best.score_reasons)
