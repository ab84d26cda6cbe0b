"""A plainer tail sum for windows too large for relations as of each look: five counts over the whole window, joined once.

It costs the same few scans whatever the relations are, and knows nothing of time. `rank.score` says when it was used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custodes.engine import Engine
from custodes.rank.tail import Reference

FEATURES: Final = ("own", "mates", "others", "habit", "unit_habit")
"""own: explained looks of this human at this subject · mates: other humans of the unit with explained looks at the subject ·
others: such humans of any unit · habit, unit_habit: explained looks of the human, of the unit, at the same set of fields."""
WORDS: Final[Mapping[str, str]] = {
    "own": "looks with a reason of the actor at the subject",
    "mates": "other people of the unit with a reason to look at the subject",
    "others": "other people with a reason to look at the subject",
    "habit": "looks with a reason of the actor at these fields",
    "unit_habit": "looks with a reason of the unit at these fields",
}
"""Feature → what it counts, in words."""

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


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found. `sums`: access → tail sum; `rows`: access → the values of the look with that sum; `known`: of looks that
    stand for the window; `reference`: they as a reference.
    """

    sums: Mapping[int, float]
    rows: Mapping[int, tuple[int, ...]]
    known: Sequence[tuple[int, ...]]
    reference: Reference


def measures(engine: Engine) -> Measured:
    """Return the tail sum of every residue look (the highest over its subjects). Leaves temporary tables behind."""
    for sql in _TABLES:
        engine.run(sql)
    sample = _SAMPLE.format(n=_REFERENCE)
    known = [_numbers(row) for row in engine.rows(_FEATURES_OF.format(looks=sample, self=1))]
    reference = Reference(known)
    found: dict[int, float] = {}
    rows: dict[int, tuple[int, ...]] = {}
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}  # a million looks have few different values
    for row in engine.rows(_FEATURES_OF.format(looks="(select access, subject, human, unit, fieldset from residue)", self=0)):
        access = int(str(row[0]))
        values = _numbers(row)
        tail = reference.tail_sum(values)
        if access not in found or (tail, rows[access]) > (found[access], values):
            found[access], rows[access] = tail, shared.setdefault(values, values)
    return Measured(found, rows, known, reference)


def _numbers(row: Sequence[object]) -> tuple[int, ...]:
    return tuple(value if isinstance(value, int) else int(str(value)) for value in row[2:])
