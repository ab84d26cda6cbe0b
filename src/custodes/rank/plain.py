"""Plainer relations for windows too large for relations as of each look: five counts over the whole window, joined once.

They cost the same few scans whatever the relations are, and know nothing of time. A sample of the window stands for all of it, the
first looks in the order of their access ids: those are keyed hashes, so their order is as good as chance, and the same however
the log was split. `rank.score` says when they were used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.rank import synthetic
from custodes.rank.synthetic import Look, looks

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
_IDS: Final = "create or replace temp table score_ids as select access, access_id from accesses where {within}"
_SAMPLE: Final = """create or replace temp table score_sample as
  select l.time, l.subject, l.human, l.unit, l.fieldset, a.access_id
  from looks l join score_ids a on a.access = l.access anti join residue r on r.look = l.look
  where l.subject is not null order by a.access_id, l.subject limit {n}"""
_FILES: Final = """create or replace temp table score_rows as
  select l.subject, unnest([min(l.time), max(l.time)]) as time from looks l anti join residue r on r.look = l.look
  where l.subject is not null and {within} group by l.subject"""
"""From when on and until when a file was open: what `synthetic.draw` asks of the state."""
_DRAWN: Final = """(select d.ask, d.subject, d.human, p.unit, d.thing as fieldset from score_drawn d
  left join staff_spans p on p.actor = d.human and p.valid_from <= d.time and d.time < p.valid_to)"""
_NUMBERED: Final = "(select row_number() over (order by access_id, subject) - 1 as ask, * from score_sample)"

_TABLES: Final = (
    # only subjects that are asked about, each by a number: most pairs of human and subject are never asked for
    """create or replace temp table score_subjects as
       select subject, row_number() over () as place from (
         select subject from residue union select subject from score_sample union select subject from score_drawn)
       where subject is not null""",
    """create or replace temp table score_pair as
       select s.place, l.human, min(l.unit) as unit, count(*) as n
       from looks l join score_subjects s on s.subject = l.subject anti join residue r on r.look = l.look
       group by s.place, l.human""",
    "create or replace temp table score_unit as select unit, place, count(*) as n from score_pair group by unit, place",
    "create or replace temp table score_subject as select place, count(*) as n from score_pair group by place",
    """create or replace temp table score_habits as
       select human, unit, fieldset, sum(w) as n from (
         select human, unit, fieldset, count(*) as w from looks where subject is not null group by human, unit, fieldset
         union all
         select human, unit, fieldset, -count(*) from residue where subject is not null group by human, unit, fieldset)
       group by human, unit, fieldset""",
    """create or replace temp table score_habit as
       select human, fieldset, sum(n) as n from score_habits group by human, fieldset""",
    """create or replace temp table score_unit_habit as
       select unit, fieldset, sum(n) as n from score_habits group by unit, fieldset""",
)

_VALUES_OF: Final = """
select l.{key},
  cast(greatest(coalesce(p.n, 0) - {self}, 0) as bigint) as own,
  cast(coalesce(u.n, 0) - case when p.n is null then 0 else 1 end as bigint) as mates,
  cast(coalesce(c.n, 0) - case when p.n is null then 0 else 1 end as bigint) as others,
  cast(greatest(coalesce(h.n, 0) - {self}, 0) as bigint) as habit,
  cast(greatest(coalesce(v.n, 0) - {self}, 0) as bigint) as unit_habit
from {looks} l
left join score_subjects s on s.subject = l.subject
left join score_pair p on p.human = l.human and p.place = s.place
left join score_unit u on u.unit = l.unit and u.place = s.place
left join score_subject c on c.place = s.place
left join score_habit h on h.human = l.human and h.fieldset = l.fieldset
left join score_unit_habit v on v.unit = l.unit and v.fieldset = l.fieldset
"""
_NAMES: Final = ", ".join(FEATURES)
_UNEXPLAINED: Final = f"create or replace temp table score_residue as {_VALUES_OF.format(looks='residue', key='access', self=0)}"
_KINDS: Final = f"""create or replace temp table score_kinds as
  select row_number() over (order by {_NAMES}) - 1 as kind, * from (select distinct {_NAMES} from score_residue)"""
_BEST: Final = f"""select r.access, max(p.place) as place from score_residue r
  join score_kinds k on {" and ".join(f"k.{name} = r.{name}" for name in FEATURES)}
  join score_places p on p.kind = k.kind group by r.access"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Values of the looks of the sample and of those drawn, in order."""

    known: Sequence[Values]
    drawn: Sequence[Values]


@dataclass(frozen=True, slots=True)
class Placed:
    """Each access with an unexplained look, and the place in `kinds` (least unusual first) of the most unusual one."""

    accesses: Sequence[int]
    places: Sequence[int]


def sample(engine: Engine) -> list[Look]:
    """Return the explained looks that stand for the window, in the order of their access ids; at most `_REFERENCE`."""
    count = _one(engine, "select count(subject) from looks") - _one(engine, "select count(subject) from residue")
    for within in (_below("access_id", "x-", count, _REFERENCE), "true"):
        engine.run(_IDS.format(within=within))
        engine.run(_SAMPLE.format(n=_REFERENCE))
        if _one(engine, "select count(*) from score_sample") >= min(count, _REFERENCE):
            break
    return looks(engine.fetch("select time, subject, human, fieldset as thing from score_sample order by access_id, subject"))


def open_files(engine: Engine) -> None:
    """Make `score_rows`, from which subjects are drawn, of at least as many subjects as are ever drawn from."""
    count = _one(engine, "select approx_count_distinct(subject) from looks")
    for within in (_below("l.subject", "s-", count, synthetic.MOST), "true"):
        engine.run(_FILES.format(within=within))
        if _one(engine, "select count(*) from score_rows") >= 2 * synthetic.MOST:
            break


def measures(engine: Engine, drawn: Sequence[Look]) -> Measured:
    """Return the values of the sample and of looks that nobody made. Leaves tables behind, for `kinds`."""
    columns = {
        "ask": pa.array(range(len(drawn)), pa.int64()),
        "time": pa.array([look.time for look in drawn], pa.timestamp("us")),
        "subject": pa.array([look.subject for look in drawn], pa.string()),
        "human": pa.array([look.human for look in drawn], pa.string()),
        "thing": pa.array([look.thing for look in drawn], pa.string()),
    }
    engine.table("score_drawn", pa.table(columns))
    for sql in _TABLES:
        engine.run(sql)
    return Measured(
        known=_values(engine, f"{_VALUES_OF.format(looks=_NUMBERED, key='ask', self=1)} order by ask"),
        drawn=_values(engine, f"{_VALUES_OF.format(looks=_DRAWN, key='ask', self=0)} order by ask"),
    )


def kinds(engine: Engine) -> list[Values]:
    """Return the distinct values of the unexplained looks, sorted. Call it after `measures`; `placed` drops its tables."""
    for sql in (_UNEXPLAINED, _KINDS):
        engine.run(sql)
    return _values(engine, "select * from score_kinds order by kind")


def placed(engine: Engine, order: Sequence[int]) -> Placed:
    """Return the place of every access with an unexplained look, the highest of its own. `order`: kinds, least unusual first."""
    places = pa.table({"kind": pa.array(order, pa.int64()), "place": pa.array(range(len(order)), pa.int64())})
    engine.table("score_places", places)
    found = engine.fetch(_BEST)
    for name in ("places", "kinds", "residue", "unit_habit", "habit", "habits", "subject", "unit", "pair", "subjects"):
        engine.run(f"drop table score_{name}")
    return Placed(found["access"].to_pylist(), found["place"].to_pylist())


def _below(column: str, begins: str, count: int, wanted: int) -> str:
    """Return a condition on keyed hashes that about twice as many as are wanted of `count` fulfil: most are then never read."""
    share = 2 * wanted / max(count, 1)
    if share >= 1:
        return "true"
    place, word = int(share * len(_LETTERS) ** 4), ""
    for _ in range(4):
        place, letter = divmod(place, len(_LETTERS))
        word = _LETTERS[letter] + word
    return f"{column} < '{begins}{word}'"


def _one(engine: Engine, sql: str) -> int:
    return int(str(engine.rows(sql)[0][0]))


def _values(engine: Engine, sql: str) -> list[Values]:
    table = engine.fetch(sql)
    return list(zip(*(table[name].to_pylist() for name in FEATURES), strict=True))
