"""The score of a run: it orders looks that nothing explains, in whole numbers per mille, and says how it came about.

State are explained looks (one a day of the same human, subject and fields) and assignments made by somebody else: what an actor did
without a reason, or arranged alone, is no context for the actor. Two ways to the same scale, the share of unexplained looks of the
window that are less unusual: the tail sum, and a model trained on the company's own looks against as many drawn at random. The
second is used only where it can be trained and separates held-out days at least as well; else the first, and the run says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.errors import PartMissing
from custodes.rank import features, plain, synthetic, trained
from custodes.rank.features import FEATURES, TAIL
from custodes.rank.reasons import Reasoned, Yardstick
from custodes.rank.synthetic import Look
from custodes.rank.tail import Reference, Scale

SAMPLE: Final = 6_000
"""Looks of the window that stand for all of them, and as many drawn at random."""
MOST_LOOKS: Final = 400_000
"""Looks of a window beyond which relations as of each look would double the time of a run."""
LEAST_DAYS: Final = 14
"""Days of looks without which nothing is learned."""
SEED: Final = 0

Row = Sequence[int]
Known = tuple[Look, Row]
_LEAST: Final = 2 * trained.LEAST
_TAIL: Final = tuple(FEATURES.index(name) for name in TAIL)
_FILE: Final = tuple(FEATURES.index(name) for name in ("cn", "tn", "people"))

_ROWS: Final = """create or replace temp table score_rows as
  select row_number() over (order by time, subject, human, team, thing, queued) as n, * from (
    select min(l.time) as time, l.subject, l.human, l.unit as team, l.fieldset as thing, 0 as queued
    from looks l semi join explanations e on e.look = l.look where l.subject is not null
    group by l.subject, l.human, l.unit, l.fieldset, cast(l.time as date)
    union all
    select a.valid_from, s.subject, a.actor, coalesce(a.unit, p.unit), cast(null as varchar), 1
    from assignments a
    join (select ticket as id, subject from tickets union all select "case" as id, subject from case_scope) s
      on s.id = coalesce(a.ticket, a."case")
    left join staff_spans p on p.actor = a.actor and p.valid_from <= a.valid_from and a.valid_from < p.valid_to
    where a.valid_from is not null and s.subject is not null and a.actor is not null and coalesce(a.assigned_by, '') <> a.actor)"""

_RESIDUE: Final = """create or replace temp table score_groups as
  select row_number() over (order by time, subject, human, thing) - 1 as ask, * from (
    select min(time) as time, subject, human, fieldset as thing, cast(time as date) as day from residue
    group by subject, human, fieldset, cast(time as date))"""
_MEMBERS: Final = """select r.access, g.ask from residue r join score_groups g
  on g.human = r.human and g.day = cast(r.time as date) and g.subject is not distinct from r.subject
  and g.thing is not distinct from r.fieldset"""
_SAMPLED: Final = """select l.time, l.subject, l.human, l.fieldset as thing from looks l
  join (select access_id, access from accesses) a on a.access = l.access
  where l.subject is not null and l.time >= (select min(time) + (max(time) - min(time)) / 3 from looks)
  order by a.access_id, l.subject limit {n}"""
# access ids are keyed hashes: their order is as good as chance, and the same however the log was split


@dataclass(frozen=True, slots=True)
class Scored:
    """What orders the looks without a reason.

    `by_access`: access → per mille. `weights`: access → what it weighs in a ring: of a thousand such looks, how many were drawn at
    random (trained), or its per mille (cold). `method`: `trained` or `cold`. `why`: in words. `rows`: access → values of its look
    that scored highest, which `yardstick` puts into words.
    """

    by_access: Mapping[int, int]
    weights: Mapping[int, int]
    method: str
    why: str
    rows: Mapping[int, Row]
    yardstick: Yardstick
    recipe: trained.Recipe | None = None

    @property
    def digest(self) -> str:
        """The digest of the recipe that ordered, empty for the cold start."""
        return self.recipe.digest() if self.recipe else ""

    def reasoned(self) -> Reasoned:
        """Return what can be said of the order, in words."""
        return Reasoned(self.by_access, self.rows, self.yardstick, self.digest)


def make_ready(engine: Engine, method: str = "auto") -> None:
    """Begin what takes long and needs no looks, if a model will be trained on these `looks`. Call it as soon as they are there."""
    if method != "auto":
        return
    count, first, last = engine.rows("select count(*), min(time), max(time) from looks")[0]
    days = (last - first).days if isinstance(first, datetime) and isinstance(last, datetime) else 0
    if days >= LEAST_DAYS and int(str(count)) >= _LEAST:
        trained.fetch_library()


def scores(engine: Engine, method: str = "auto") -> Scored:
    """Score every unexplained look (the highest over its subjects). Reads views, leaves temporary tables behind.

    `method`: `auto` trains where it can; `cold` never does. Deterministic for the same views and the same library.
    """
    looks = int(str(engine.rows("select count(*) from looks")[0][0]))
    if looks > MOST_LOOKS:
        return _large(engine, looks, method)
    engine.run(_ROWS)
    engine.run(_RESIDUE)
    groups = engine.fetch("select time, subject, human, thing from score_groups order by ask")
    real = synthetic.looks(engine.fetch(_SAMPLED.format(n=SAMPLE)))
    drawn = synthetic.draw(engine, real, SEED) if method == "auto" else []
    why = _cannot_train(real, drawn) if method == "auto" else "the settings ask for it"
    values = _values(engine, groups, [*real, *([] if why else drawn)])
    asked = values[: groups.num_rows]
    known = [pair for pair in zip(real, values[groups.num_rows :], strict=False) if why or any(pair[1][place] for place in _FILE)]
    random = list(zip(drawn, values[groups.num_rows + len(real) :], strict=False))
    model = None
    if not why:
        model, why = _trained(known, random, FEATURES, _only)
    if model is not None:
        times = [look.time for look in real]
        recipe = trained.Recipe(f"{min(times)}Z", f"{max(times)}Z", SEED, FEATURES, trained.library())
        margins = model.margins([_opened(row) for row in asked])
        by_access, weights, rows = _by_access(engine, asked, _ranks(margins), trained.shares(margins))
        learned = model
        yardstick = Yardstick.of(FEATURES, (row for _, row in known), lambda some: learned.margins([_opened(row) for row in some]))
        return Scored(by_access, weights, "trained", why, rows, yardstick, recipe)
    reference = Reference([_only(row) for _, row in known])
    ranks = _ranks([reference.tail_sum(_only(row)) for row in asked])
    by_access, weights, rows = _by_access(engine, asked, ranks, ranks)
    yardstick = Yardstick.of(FEATURES, (row for _, row in known), lambda some: [reference.tail_sum(_only(row)) for row in some])
    return Scored(by_access, weights, "cold", why, rows, yardstick)


def _opened(row: Row) -> tuple[int, ...]:
    """Return the values of a look as if somebody had worked on the subject once.

    Looks are drawn at subjects whose file is open, so a model learns nothing of the others and would take them for usual: those
    whom nobody ever had a reason to open would stand last. Looks at them are not learned from, and judged as without any relation.
    """
    values = list(row)
    for place in _FILE:
        values[place] = max(values[place], 1)
    return tuple(values)


def _large(engine: Engine, looks: int, method: str) -> Scored:
    """Score a window of so many looks by plainer relations; a model learns from a sample, which its recipe names."""
    sample = plain.sample(engine)
    real, drawn = sample[:SAMPLE], list[Look]()
    why = "the settings ask for the tail sum"
    if method == "auto":
        plain.open_files(engine)
        drawn = synthetic.draw(engine, real, SEED)
        why = _cannot_train(real, drawn)
    measured = plain.measures(engine, [] if why else drawn)
    known = list(zip(real, measured.known, strict=False))
    reference = Reference(measured.known)
    model, learned = None, None
    with ThreadPoolExecutor(1) as beside:  # the library learns on one thread, and needs nothing of what the engine counts meanwhile
        if not why:
            learned = beside.submit(_trained, known, list(zip(drawn, measured.drawn, strict=True)), plain.FEATURES, tuple)
        kinds = plain.kinds(engine)
    if learned:
        model, why = learned.result()
    measure = model.margins if model else lambda some: [reference.tail_sum(row) for row in some]
    margins = measure(kinds)
    order = sorted(range(len(margins)), key=margins.__getitem__)  # kinds are sorted, and equal margins leave them as they are
    found = plain.placed(engine, order)
    by_access = dict(zip(found.accesses, _by_place([margins[kind] for kind in order], found.places), strict=True))
    rows = {access: kinds[order[place]] for access, place in zip(found.accesses, found.places, strict=True)}
    yardstick = Yardstick.of(plain.FEATURES, measured.known, measure)
    beyond = f"relations as of each look are left out beyond {MOST_LOOKS:,} looks"
    if model is None:
        return Scored(by_access, by_access, "cold", f"{beyond}; {why}", rows, yardstick)
    times = [look.time for look in real]
    told = f"the first {len(times)} of {looks} looks by access id"
    recipe = trained.Recipe(f"{min(times)}Z", f"{max(times)}Z", SEED, plain.FEATURES, trained.library(), told)
    shares = trained.shares([margins[kind] for kind in order])  # they rise with the margins: the highest look has the highest share
    weights = {access: shares[place] for access, place in zip(found.accesses, found.places, strict=True)}
    return Scored(by_access, weights, "trained", f"{why}; {beyond}", rows, yardstick, recipe)


def _by_place(measures: Sequence[float], places: Sequence[int]) -> list[int]:
    """Return the rank of each of `places`: per mille of all of them that measure less. `measures`: by place, rising."""
    counted = Counter(places)
    ranks: list[int] = []
    below = through = 0
    for place, measure in enumerate(measures):
        if place and measure > measures[place - 1]:
            below = through
        through += counted[place]
        ranks.append(1000 * below // len(places) if places else 1000)
    return [ranks[place] for place in places]


def _cannot_train(real: Sequence[Look], drawn: Sequence[Look]) -> str:
    """Return why nothing can be learned here, or nothing."""
    try:
        trained.library()
    except PartMissing as missing:
        return f"{missing} ({missing.hint})"
    days = (max(look.time for look in real) - min(look.time for look in real)).days if real else 0
    if days < LEAST_DAYS:
        return f"{days} days of looks are too few to learn from, {LEAST_DAYS} are needed"
    if min(len(real), len(drawn)) < _LEAST:
        return f"{len(real)} looks, and {len(drawn)} drawn at random, are too few to learn from; {_LEAST} of each are needed"
    return ""


def _trained(
    known: Sequence[Known], random: Sequence[Known], names: Sequence[str], only: Callable[[Row], Sequence[int]]
) -> tuple[trained.Model | None, str]:
    """Return a model that proved itself on the last fifth of the window, or None; and the words for either.

    `names`: of the values in rows; `only`: those of the tail sum, against which it has to prove itself.
    """
    cut = sorted(look.time for look, _ in known)[len(known) * 4 // 5]
    early = [[row for look, row in group if look.time < cut] for group in (known, random)]
    late = [[row for look, row in group if look.time >= cut] for group in (known, random)]
    if min(map(len, early)) < trained.LEAST or not all(late):
        return None, "too few looks on the days that were held out"
    proof = trained.Model(early[0], early[1], names, SEED)
    reference = Reference([only(row) for row in early[0]])
    boosted = trained.area(*(proof.margins(rows) for rows in late))
    untrained = trained.area(*([reference.tail_sum(only(row)) for row in rows] for rows in late))
    told = f"area {boosted:.3f} on held-out days, {untrained:.3f} without training"
    if boosted < untrained:
        return None, f"training did not help: {told}"
    model = trained.Model([row for _, row in known], [row for _, row in random], names, SEED)
    return model, f"trained on {len(known)} looks of this company against {len(random)} drawn at random; {told}"


def _values(engine: Engine, groups: pa.Table, looks: Sequence[Look]) -> list[Row]:
    """Return the features of the unexplained looks, then of the others, in order."""
    spelled = [pa.field(one.name, one.type.value_type) if pa.types.is_dictionary(one.type) else one for one in groups.schema]
    groups = groups.cast(pa.schema(spelled))  # codes of two tables need not be of one width
    more = {
        "time": pa.array([look.time for look in looks], groups.schema.field("time").type),
        "subject": pa.array([look.subject for look in looks], groups.schema.field("subject").type),
        "human": pa.array([look.human for look in looks], groups.schema.field("human").type),
        "thing": pa.array([look.thing for look in looks], groups.schema.field("thing").type),
    }
    asked = pa.concat_tables([groups, pa.table(more)])
    engine.table("score_asked", asked.append_column("ask", pa.array(range(asked.num_rows), pa.int64())))
    features.build(engine)
    found = features.rows(engine)
    return [found[ask] for ask in range(asked.num_rows)]


def _only(row: Row) -> tuple[int, ...]:
    return tuple(row[place] for place in _TAIL)


def _ranks(measures: Sequence[float]) -> list[int]:
    """Return the place of each among the unexplained looks of the window, per mille."""
    scale = Scale(measures)
    return [scale.per_mille(measure) for measure in measures]


def _by_access(
    engine: Engine, asked: Sequence[Row], ranks: Sequence[int], weights: Sequence[int]
) -> tuple[dict[int, int], dict[int, int], dict[int, Row]]:
    """Return access → the highest of its looks, for both; and the values of the look with the highest rank."""
    rank: dict[int, int] = {}
    weight: dict[int, int] = {}
    best: dict[int, int] = {}
    members = engine.fetch(_MEMBERS)
    for access, ask in zip(members["access"].to_pylist(), members["ask"].to_pylist(), strict=True):
        if access not in best or (ranks[ask], -ask) > (rank[access], -best[access]):
            rank[access], best[access] = ranks[ask], ask
        weight[access] = max(weight.get(access, 0), weights[ask])
    return rank, weight, {access: asked[ask] for access, ask in best.items()}
