"""Which groups of rows become findings at all: everything loud, everything about the same people, and the best of the rest.

In a large company a hundred thousand looks have no reason, nearly all of them innocent, and a person looks at twenty campaigns
a week. Telling each of them in words would cost more than finding them. So weak groups that nothing loud touches are put in
order by score, a generous multiple of the budget is told, and the rest is counted by rule: it is cut, and said to be cut.
All this happens in the engine, by statements over the rows of all rules; only the numbers of the groups that are told come out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.rank.campaigns import STRONG
from custodes.rule_groups import ROWS

SLACK: Final = 5
"""Weak campaigns told a week, as a multiple of the budget: they are ordered by score here, by score x harm later."""

_SCORES: Final = "sieve_scores"
_KNOWN: Final = "sieve_known"

_GROUPS: Final = f"""CREATE OR REPLACE TEMP TABLE sieve_groups AS
  SELECT draft, any_value(rule) AS rule, max(level) AS level, min(time) AS first, max(time) AS last,
    coalesce(max(score), 0) AS score, any_value(actor) AS actor, any_value(subject) AS subject
  FROM {ROWS} LEFT JOIN {_SCORES} USING (access) GROUP BY draft"""
_SETS: Final = f"""CREATE OR REPLACE TEMP TABLE sieve_sets AS
  SELECT draft, list_sort(list(DISTINCT actor)) AS actors,
    list_sort(list(DISTINCT subject) FILTER (subject IS NOT NULL)) AS subjects
  FROM {ROWS} SEMI JOIN (
    SELECT draft FROM {ROWS} r JOIN sieve_groups g USING (draft) WHERE r.actor <> g.actor OR r.subject <> g.subject) USING (draft)
  GROUP BY draft"""
"""Who and whom, where it is more than one actor or subject; elsewhere the one of `sieve_groups` is the only one."""
_TOLD: Final = f"""CREATE OR REPLACE TEMP TABLE sieve_told AS
  WITH pairs AS (
    SELECT draft, actor, subject AS other FROM {ROWS} WHERE subject IS NOT NULL
    UNION ALL SELECT draft, actor, derived FROM {ROWS} WHERE derived IS NOT NULL),
  strong AS (SELECT draft FROM sieve_groups WHERE level >= {STRONG}),
  loud AS (SELECT DISTINCT actor, other FROM pairs SEMI JOIN strong USING (draft))
  SELECT draft FROM strong UNION SELECT draft FROM pairs SEMI JOIN loud USING (actor, other)"""
"""Loud groups, and those that speak of somebody who looked at somebody, or at a copy, of whom a row of a loud group speaks."""
_WEAK: Final = """CREATE OR REPLACE TEMP TABLE sieve_weak AS
  SELECT row_number() OVER () AS weak, rank() OVER (PARTITION BY week ORDER BY level DESC, score DESC) AS reached, * FROM (
    SELECT min(rule) AS lead, max(level) AS level, max(score) AS score, date_trunc('week', max(last)) AS week, list(draft) AS drafts
    FROM sieve_groups LEFT JOIN sieve_sets USING (draft) ANTI JOIN sieve_told USING (draft)
    GROUP BY CASE WHEN actors IS NULL THEN actor END, CASE WHEN actors IS NULL THEN subject END, actors, subjects)"""
"""The other groups by actors and subjects. `reached`: the best place that it may have in its week, if ties are decided for it."""


def _listed(name: str) -> str:
    """Return the statement that lists the actors or subjects of the groups that have several, in the order of their rows."""
    return f"""SELECT draft, string_agg({name}, ''', ''' ORDER BY place) AS {name}s FROM (
        SELECT draft, {name}, min(place) AS place FROM {ROWS} SEMI JOIN several USING (draft) WHERE {name} IS NOT NULL
        GROUP BY draft, {name})
      GROUP BY draft"""


_BEST: Final = f"""CREATE OR REPLACE TEMP TABLE sieve_best AS
  WITH reaching AS (SELECT weak, week, level, score, unnest(drafts) AS draft FROM sieve_weak WHERE reached <= {{most}}),
  several AS (SELECT draft FROM sieve_sets SEMI JOIN reaching USING (draft)),
  named AS (
    SELECT weak, any_value(week) AS week, any_value(level) AS level, any_value(score) AS score,
      min(replace(strftime(first, '%Y-%m-%d %H:%M:%S.%f'), '.000000', '') || '[''' || coalesce(actors, actor) || ''']'
        || coalesce('[''' || coalesce(subjects, subject) || ''']', '[]')) AS name
    FROM reaching JOIN (SELECT draft, first, actor, subject FROM sieve_groups) USING (draft)
      LEFT JOIN ({_listed("actor")}) USING (draft) LEFT JOIN ({_listed("subject")}) USING (draft)
    GROUP BY weak)
  SELECT weak FROM named
  QUALIFY row_number() OVER (PARTITION BY week ORDER BY level DESC, score DESC, name) <= {{most}}"""
"""The best of each week. Ties are decided by time and names, which are only put together for those that may come so far."""
_CHOSEN: Final = """SELECT draft FROM sieve_told
  UNION ALL SELECT unnest(drafts) FROM sieve_weak SEMI JOIN sieve_best USING (weak) ORDER BY draft"""
_CUT: Final = "SELECT lead, count(*) FROM sieve_weak ANTI JOIN sieve_best USING (weak) GROUP BY lead ORDER BY lead"
_FOUND: Final = """SELECT coalesce(actors, [actor]) AS who, sum(n) FROM (
    SELECT actors, actor, count(*) AS n FROM sieve_groups LEFT JOIN sieve_sets USING (draft) GROUP BY actors, actor) GROUP BY who"""
_MET: Final = f"SELECT DISTINCT rule, access FROM {ROWS} SEMI JOIN {_KNOWN} USING (access)"
_TABLES: Final = ("sieve_groups", "sieve_sets", "sieve_told", "sieve_weak", "sieve_best", _SCORES, _KNOWN)


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

    def __call__(self, engine: Engine) -> list[int]:
        """Return the numbers of the groups to tell. Reads `rule_groups.ROWS`; leaves nothing behind."""
        try:
            return self._chosen(engine)
        finally:
            for name in _TABLES:
                engine.run(f"DROP TABLE IF EXISTS {name}")

    def _chosen(self, engine: Engine) -> list[int]:
        scores = {"access": pa.array(self._scores.keys(), pa.int64()), "score": pa.array(self._scores.values(), pa.int64())}
        engine.table(_SCORES, pa.table(scores))
        for statement in (_GROUPS, _SETS, _TOLD, _WEAK, _BEST.format(most=self._most)):
            engine.run(statement)
        self._note(engine)
        self.cut = {str(rule): int(str(count)) for rule, count in engine.rows(_CUT)}
        return [int(str(draft)) for (draft,) in engine.rows(_CHOSEN)]

    def _note(self, engine: Engine) -> None:
        for actors, count in engine.rows(_FOUND):
            if isinstance(actors, list):
                self.found[frozenset(actors)] += int(str(count))
        if self._known:
            engine.table(_KNOWN, pa.table({"access": pa.array(self._known, pa.int64())}))
            for rule, access in engine.rows(_MET):
                self.met[str(rule)].add(int(str(access)))
