"""What the pictures of a report show, taken from the views: cells of the matrix, marks and spans on bands, heat, places of work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from custodes.engine import Engine
from custodes.model.finding import Campaign
from custodes.model.run import ActorFacts, Cell, HeatCell, Mark, PressEvent, Span

MOST_CELLS: Final = 20_000
MOST_MARKS: Final = 200_000
"""The picture gathers marks into columns and needs no fewer; one left out would be an access that the report denies."""
_BAND_CAMPAIGNS: Final = 20
_UNKNOWN_UNIT: Final = "(unknown)"
_SMALL_UNIT: Final = "(small units)"


@dataclass(frozen=True, slots=True)
class Pictured:
    """Values for `model.run.WatchRun`."""

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
    since, until, accesses = engine.rows("select min(time), max(time), count(*) from accesses")[0]
    banded = sorted({actor for campaign in shown[:_BAND_CAMPAIGNS] for actor in campaign.actors})
    return Pictured(
        since=_aware(since),
        until=_aware(until),
        accesses=_number(accesses),
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


def _quoted(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names) or "''"


def _actors(engine: Engine, printed: Callable[[str], str]) -> dict[str, ActorFacts]:
    rows = engine.rows(
        """select human, unit, country from (
             select human, unit, country, row_number() over (partition by human order by time desc, access desc, subject) as latest
             from residue) where latest = 1 order by human"""
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
    rows = engine.rows(
        f"""select l.human, l.subject, l.time, case when r.access is null then 0 else 1 end as bare
            from looks l left join residue r on r.access = l.access and r.subject is not distinct from l.subject
            where l.human in ({_quoted(actors)})
            order by bare desc, l.time, l.access, l.subject limit {MOST_MARKS}"""
    )
    return tuple(Mark(str(row[0]), None if row[1] is None else str(row[1]), _when(row[2]), row[3] == 1) for row in rows)


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
    rows = engine.rows(
        """with categories as (
             select distinct fieldset, category from fieldsets where category is not null and category <> 'public'),
           bare as (select distinct access from residue),
           seen as (select distinct access, unit, fieldset from looks)
           select s.unit, c.category, count(*) as looks, count(b.access) as bare
           from seen s join categories c on c.fieldset = s.fieldset left join bare b on b.access = s.access
           group by s.unit, c.category"""
    )
    looks: Counter[tuple[str, str]] = Counter()
    bare: Counter[tuple[str, str]] = Counter()
    for unit, category, seen, left in rows:
        cell = (_UNKNOWN_UNIT if unit is None else printed(str(unit)) or _SMALL_UNIT, str(category))
        looks[cell] += _number(seen)
        bare[cell] += _number(left)
    ordered = sorted(looks, key=lambda cell: (-bare[cell], -looks[cell], cell))
    return tuple(HeatCell(*cell, looks[cell], bare[cell]) for cell in ordered)


def _waterfall(engine: Engine) -> dict[str, int]:
    """Count each explained look once, under its strongest reason: with the residue these make up all looks."""
    rows = engine.rows(
        """with placed as (
             select template, row_number() over (partition by access, subject order by strength desc, template) as place
             from explanations)
           select template, count(*) from placed where place = 1 group by template order by template"""
    )
    return {str(template): _number(count) for template, count in rows}
