"""What the pictures of a report show, taken from the views: cells of the matrix, marks and spans on bands, heat, places of work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from custodes.engine import Engine
from custodes.model.finding import Campaign
from custodes.model.run import ActorFacts, Cell, HeatCell, Mark, PressEvent, Span
from custodes.rank import people

MOST_CELLS: Final = 20_000
MOST_MARKS: Final = 200_000
"""The picture gathers marks into columns and needs no fewer; one left out would be an access that the report denies."""
_BAND_CAMPAIGNS: Final = 20
_UNKNOWN_UNIT: Final = "(unknown)"
_SMALL_UNIT: Final = "(small units)"


_HUMANS: Final = "create or replace temp table banded_humans as select distinct human from looks"
_BANDED: Final = "create or replace temp table banded as select human from banded_humans where human in ({actors})"
"""In two steps: a list of names held against the looks themselves would turn every code of a name into a text."""
_BARE: Final = """select human, subject, time from residue semi join banded using (human)
  order by time, access, subject limit {most}"""
_CALM: Final = """select l.human, l.subject, l.time from looks l semi join banded b on b.human = l.human
  anti join residue r on r.look = l.look order by l.time, l.access, l.subject limit {most}"""
_MANY: Final = """create or replace temp table many_looks as
  select access // 32 as block from looks group by block
  having count(*) > bit_count(bit_or(cast(1 as bigint) << (access % 32)))"""
"""Blocks of 32 accesses in which one has several looks: a bit for each access takes a tenth of the time of counting each."""
_HEAT: Final = """
with categories as (select distinct fieldset, category from fieldsets where category is not null and category <> 'public'),
seen as (
  select unit, fieldset, count(*) as looks, 0 as bare from looks group by unit, fieldset
  union all
  select unit, fieldset, count(distinct access) - count(*), 0
  from looks l semi join many_looks m on m.block = l.access // 32 group by unit, fieldset
  union all
  select unit, fieldset, 0, count(distinct access) from looks semi join residue using (access) group by unit, fieldset)
select s.unit, c.category, sum(s.looks), sum(s.bare) from seen s join categories c on c.fieldset = s.fieldset
group by s.unit, c.category"""
_UNUSUAL: Final = """create or replace temp table unusual_looks as
  select distinct look from explanations where template <> {usual}"""
_STRONGEST: Final = """select best.template, count(*) from (
  select min({'below': -strength, 'template': template}) as best from explanations semi join unusual_looks using (look)
  group by look) group by best.template"""


@dataclass(frozen=True, slots=True)
class Pictured:
    """Values for `model.run.WatchRun`, and the people of the window for who asks next."""

    about: Mapping[str, people.About]
    since: datetime | None
    until: datetime | None
    accesses: int
    actors: dict[str, ActorFacts]
    cells: tuple[Cell, ...]
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...]
    press: tuple[PressEvent, ...]
    heat: tuple[HeatCell, ...]
    protected_actors: int
    waterfall: dict[str, int]


def gather(engine: Engine, shown: Sequence[Campaign], printed: Callable[[str], str] = str) -> Pictured:
    """Return the values of one run. Cells: the pairs with most unexplained looks first, at most `MOST_CELLS`.

    `printed`: a unit's path as it may be shown.
    """
    about = people.about(engine)
    banded = sorted({actor for campaign in shown[:_BAND_CAMPAIGNS] for actor in campaign.actors})
    return Pictured(
        about=about,
        since=_aware(people.first(about)),
        until=_aware(people.last(about)),
        accesses=sum(one.accesses for one in about.values()),
        actors=_actors(engine, printed),
        cells=_cells(engine, shown),
        marks=_marks(engine, banded),
        spans=_spans(engine, banded),
        press=_press(engine),
        heat=_heat(engine, printed),
        waterfall=_waterfall(engine),
        protected_actors=_number(
            engine.rows(
                """select count(distinct l.human) from obligations o join looks l on l.access = o.access where o.met = 0"""
            )[0][0]
        ),
    )


def _number(value: object) -> int:
    return value if isinstance(value, int) else int(str(value))


def _aware(value: object) -> datetime | None:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


def _when(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError("expected a time from the engine")
    return value.replace(tzinfo=UTC)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names) or "''"


def _actors(engine: Engine, printed: Callable[[str], str]) -> dict[str, ActorFacts]:
    rows = engine.rows(  # at one time somebody has one place, so which look it is taken from plays no part
        """select human, arg_max(coalesce(unit, ''), time), arg_max(coalesce(country, ''), time) from residue
           group by human order by human"""
    )
    return {str(human): ActorFacts(printed(str(unit or "")), str(country or "")) for human, unit, country in rows}


def _cells(engine: Engine, shown: Sequence[Campaign]) -> tuple[Cell, ...]:
    """Pairs of the shown campaigns come first: what the text speaks of must be in the picture."""
    actors = _quoted(sorted({actor for campaign in shown[:_BAND_CAMPAIGNS] for actor in campaign.actors}))
    rows = engine.rows(
        f"""select human, subject, count(*) as n from residue where subject is not null group by human, subject
            order by case when human in ({actors}) then 0 else 1 end, n desc, human, subject limit {MOST_CELLS}"""
    )
    return tuple(Cell(str(human), str(subject), _number(count)) for human, subject, count in rows)


def _marks(engine: Engine, actors: Sequence[str]) -> tuple[Mark, ...]:
    """Unexplained looks first, then explained ones, until the picture is full."""
    engine.run(_HUMANS)
    engine.run(_BANDED.format(actors=_quoted(actors)))
    bare = engine.rows(_BARE.format(most=MOST_MARKS))
    calm = engine.rows(_CALM.format(most=MOST_MARKS - len(bare)))
    return (*(_mark(row, residue=True) for row in bare), *(_mark(row, residue=False) for row in calm))


def _mark(row: tuple[object, ...], *, residue: bool) -> Mark:
    human, subject, time = row
    return Mark(str(human), _text(subject), _when(time), residue)


def _spans(engine: Engine, actors: Sequence[str]) -> tuple[Span, ...]:
    rows = engine.rows(
        f"""select actor, row_key, valid_from, valid_to from grants
            where actor in ({_quoted(actors)}) and valid_from is not null and valid_to is not null
            order by actor, valid_from, row_key"""
    )
    return tuple(Span(str(row[0]), str(row[1]), _when(row[2]), _when(row[3])) for row in rows)


def _press(engine: Engine) -> tuple[PressEvent, ...]:
    rows = engine.rows("select row_key, min(kind), min(time) from press group by row_key order by 3, 1")
    return tuple(PressEvent(str(row[0]), str(row[1] or "event"), _when(row[2])) for row in rows)


def _heat(engine: Engine, printed: Callable[[str], str]) -> tuple[HeatCell, ...]:
    """Count accesses by unit and category: of all looks less those that the same access made besides, which few do."""
    engine.run(_MANY)
    rows = engine.rows(_HEAT)
    looks: Counter[tuple[str, str]] = Counter()
    bare: Counter[tuple[str, str]] = Counter()
    for unit, category, seen, left in rows:
        cell = (_UNKNOWN_UNIT if unit is None else printed(str(unit)) or _SMALL_UNIT, str(category))
        looks[cell] += _number(seen)
        bare[cell] += _number(left)
    ordered = sorted(looks, key=lambda cell: (-bare[cell], -looks[cell], cell))
    return tuple(HeatCell(*cell, looks[cell], bare[cell]) for cell in ordered)


def _waterfall(engine: Engine) -> dict[str, int]:
    """Count each explained look once, under its strongest reason: with the residue these make up all looks.

    Nearly all looks have the same reason and no other: only the rest is put in order.
    """
    counted = engine.rows("select template, count(*) as n from explanations group by template order by n desc, template")
    if not counted:
        return {}
    usual = str(counted[0][0])
    engine.run(_UNUSUAL.format(usual=_quoted([usual])))
    found = Counter({str(template): _number(count) for template, count in engine.rows(_STRONGEST)})
    all_looks, residue, unusual = (
        _number(engine.rows(f"select count(*) from {name}")[0][0]) for name in ("looks", "residue", "unusual_looks")
    )
    found[usual] += all_looks - residue - unusual
    return {template: found[template] for template in sorted(found) if found[template]}
