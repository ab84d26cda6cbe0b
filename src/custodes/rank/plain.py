"""Plainer relations for windows too large for relations as of each look: five counts over the whole window, joined once.

They cost the same few scans whatever the relations are, and know nothing of time. A sample of the window stands for all of it, the
first looks in the order of their access ids: those are keyed hashes, so their order is as good as chance, and the same however
the log was split. `rank.score` says when they were used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.rank.synthetic import Look, looks
from custodes.rank.tail import Reference

Values = tuple[int, ...]

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

_LETTERS: Final = "234567abcdefghijklmnopqrstuvwxyz"
_SAMPLE: Final = """create or replace temp table score_sample as
  select e.*, a.access_id from score_explained e
  join (select access, access_id from accesses where {within}) a on a.access = e.access
  order by a.access_id, e.subject limit {n}"""

_TABLES: Final = (
    """create or replace temp table score_explained as
       select l.access, l.time, l.subject, l.human, l.unit, l.fieldset from looks l
       left join residue r on r.access = l.access and r.subject = l.subject
       where l.subject is not null and r.access is null""",
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

_NUMBERED: Final = """(select row_number() over (order by access_id, subject) - 1 as access, subject, human, unit, fieldset
  from score_sample)"""
_FILES: Final = """create or replace temp table score_rows as
  select subject, unnest([min(time), max(time)]) as time from score_explained group by subject"""
"""From when on and until when a file was open: what `synthetic.draw` asks of the state."""
_DRAWN: Final = """(select d.n as access, d.subject, d.human, p.unit, d.thing as fieldset from score_drawn d
  left join staff_spans p on p.actor = d.human and p.valid_from <= d.time and d.time < p.valid_to)"""

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
    """What was found. `residue`: access and values of each unexplained look; `known`: explained looks that stand for the window."""

    residue: Sequence[tuple[int, Values]]
    known: Sequence[tuple[Look, Values]]

    def reference(self) -> Reference:
        """Return the known looks as a reference of the tail sum."""
        return Reference([values for _, values in self.known])

    def highest(self, measure: Callable[[Sequence[Values]], Sequence[float]]) -> tuple[dict[int, float], dict[int, Values]]:
        """Return access → the highest measure of its looks, and access → the values of that look."""
        distinct = list(dict.fromkeys(values for _, values in self.residue))  # a million looks have few different values
        of = dict(zip(distinct, measure(distinct), strict=True))
        found: dict[int, float] = {}
        rows: dict[int, Values] = {}
        for access, values in self.residue:
            if access not in found or (of[values], values) > (found[access], rows[access]):
                found[access], rows[access] = of[values], values
        return found, rows


def measures(engine: Engine) -> Measured:
    """Return the values of all residue looks, and of a sample of the others. Leaves its temporary tables behind."""
    for sql in _TABLES:
        engine.run(sql)
    count = int(str(engine.rows("select count(*) from score_explained")[0][0]))
    engine.run(_SAMPLE.format(n=_REFERENCE, within=_below(count)))
    if int(str(engine.rows("select count(*) from score_sample")[0][0])) < min(count, _REFERENCE):
        engine.run(_SAMPLE.format(n=_REFERENCE, within="true"))
    values = dict(_rows(engine, _FEATURES_OF.format(looks=_NUMBERED, self=1)))
    sample = looks(engine.fetch("select time, subject, human, fieldset as thing from score_sample order by access_id, subject"))
    known = [(look, values[place]) for place, look in enumerate(sample)]
    return Measured(_rows(engine, _FEATURES_OF.format(looks="residue", self=0)), known)


def open_files(engine: Engine) -> None:
    """Make `score_rows`, from which subjects are drawn, after `measures`."""
    engine.run(_FILES)


def values_of(engine: Engine, drawn: Sequence[Look]) -> list[Values]:
    """Return the values of looks that nobody made, in order, after `measures`."""
    columns = {
        "n": pa.array(range(len(drawn)), pa.int64()),
        "time": pa.array([look.time for look in drawn], pa.timestamp("us")),
        "subject": pa.array([look.subject for look in drawn], pa.string()),
        "human": pa.array([look.human for look in drawn], pa.string()),
        "thing": pa.array([look.thing for look in drawn], pa.string()),
    }
    engine.table("score_drawn", pa.table(columns))
    found = dict(_rows(engine, _FEATURES_OF.format(looks=_DRAWN, self=0)))
    return [found[place] for place in range(len(drawn))]


def _below(count: int) -> str:
    """Return a condition on access ids that about twice the sample fulfils: most ids are then never read."""
    share = 2 * _REFERENCE / max(count, 1)
    if share >= 1:
        return "true"
    place, word = int(share * len(_LETTERS) ** 4), ""
    for _ in range(4):
        place, letter = divmod(place, len(_LETTERS))
        word = _LETTERS[letter] + word
    return f"access_id < 'x-{word}'"


def _rows(engine: Engine, sql: str) -> list[tuple[int, Values]]:
    shared: dict[Values, Values] = {}
    found = []
    for row in engine.rows(sql):
        values = tuple(value if isinstance(value, int) else int(str(value)) for value in row[2:])
        found.append((int(str(row[0])), shared.setdefault(values, values)))
    return found
