"""Cold-start score: how unlike the company's explained looks an unexplained one is, by relation to the subject alone.

One-sided tail sum: for each feature, minus the logarithm of the share of reference looks (explained ones) with a value
that is as low or lower. Few features, all of one direction (more context lowers the score), none of country, person or
volume. The score orders, and is an integer per mille: the share of reference looks that are less unusual. It is no
probability and no threshold of any rule.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from custodes.engine import Engine

FEATURES: Final = ("own", "mates", "others", "habit", "unit_habit")
"""own: explained looks of this human at this subject · mates: other humans of the unit with explained looks at the subject ·
others: such humans of any unit · habit, unit_habit: explained looks of the human, of the unit, at the same set of fields."""

_REFERENCE: Final = 20_000

_SAMPLE: Final = """(
  select e.* from score_explained e join accesses a on a.access = e.access order by a.access_id, e.subject limit {n})"""
# access ids are keyed hashes: their order is as good as chance, and the same however the log was split

_TABLES: Final = (
    """create or replace temp table score_explained as
       select distinct l.access, l.subject, l.human, l.unit, l.fieldset from looks l
       where l.subject is not null and exists (
         select 1 from explanations e where e.access = l.access and e.subject is not distinct from l.subject)""",
    """create or replace temp table score_pair as
       select human, subject, min(unit) as unit, count(*) as n from score_explained group by human, subject""",
    """create or replace temp table score_unit as
       select unit, subject, count(*) as n from score_pair group by unit, subject""",
    "create or replace temp table score_subject as select subject, count(*) as n from score_pair group by subject",
    """create or replace temp table score_habit as
       select human, fieldset, count(*) as n from score_explained group by human, fieldset""",
    """create or replace temp table score_unit_habit as
       select unit, fieldset, count(*) as n from score_explained group by unit, fieldset""",
)

_FEATURES_OF: Final = """
select l.access, l.subject,
  greatest(coalesce(p.n, 0) - {self}, 0) as own,
  coalesce(u.n, 0) - case when p.n is null then 0 else 1 end as mates,
  coalesce(s.n, 0) - case when p.n is null then 0 else 1 end as others,
  greatest(coalesce(h.n, 0) - {self}, 0) as habit,
  greatest(coalesce(v.n, 0) - {self}, 0) as unit_habit
from {looks} l
left join score_pair p on p.human = l.human and p.subject = l.subject
left join score_unit u on u.unit = l.unit and u.subject = l.subject
left join score_subject s on s.subject = l.subject
left join score_habit h on h.human = l.human and h.fieldset = l.fieldset
left join score_unit_habit v on v.unit = l.unit and v.fieldset = l.fieldset
"""


class Reference:
    """What explained looks are like: per feature the sorted values, and the sorted tail sums."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._values = [sorted(row[index] for row in rows) for index in range(len(FEATURES))]
        self._size = len(rows)
        self._memory: dict[tuple[int, ...], float] = {}
        self._sums = sorted(self.tail_sum(row) for row in rows)

    def tail_sum(self, row: Sequence[int]) -> float:
        """Return Σ −ln((reference values ≤ x + 1) / (n + 1)) over the features."""
        key = tuple(row)
        known = self._memory.get(key)
        if known is None:
            counts = (bisect_right(values, x) for values, x in zip(self._values, key, strict=True))
            known = self._memory[key] = sum(-log((count + 1) / (self._size + 1)) for count in counts)
        return known

    def per_mille(self, row: Sequence[int]) -> int:
        """Return the share of reference looks that are less unusual, per mille; 1000 where there is no reference at all."""
        if not self._size:
            return 1000
        return 1000 * bisect_left(self._sums, self.tail_sum(row)) // self._size


def scores(engine: Engine) -> Mapping[int, int]:
    """Return access → score for every residue look (the highest over its subjects). Reads views, leaves temp tables behind."""
    for sql in _TABLES:
        engine.run(sql)
    sample = _SAMPLE.format(n=_REFERENCE)
    reference = Reference([_numbers(row) for row in engine.rows(_FEATURES_OF.format(looks=sample, self=1))])
    found: dict[int, int] = {}
    for row in engine.rows(_FEATURES_OF.format(looks="(select access, subject, human, unit, fieldset from residue)", self=0)):
        access = int(str(row[0]))
        found[access] = max(found.get(access, 0), reference.per_mille(_numbers(row)))
    return found


def _numbers(row: Sequence[object]) -> tuple[int, ...]:
    return tuple(value if isinstance(value, int) else int(str(value)) for value in row[2:])
