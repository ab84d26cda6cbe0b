"""The view `ring_looks`: rings on what little explains, for the rule that tells them. The rule sees the ring, never a score.

Who opens a copy meets everybody in it at once, and everybody else who opens it: that is one tie, not many, and other rules tell it.
Nor do looks tie anybody whose one flaw is that their case was entered late: the case brought its readers together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.rank import rings

_LATE: Final = """select look from flags where code in ('V2', 'V3', 'V4') group by look
  having min(case when code = 'V4' and evidence_table = 'cases' then 1 else 0 end) = 1"""
_TOUCHES: Final = f"""create or replace temp table ring_touches as
  select r.subject, r.human, min({{'time': r.time, 'access': r.access, 'weight': w.weight}}) as first
  from residue r join ring_weights w on w.access = r.access
  where r.subject is not null and r.human is not null and r.public_only = 0 and coalesce(r.deliberate, true) and r.via = 'direct'
    and w.weight > {rings.LEAST_SCORE} and r.look not in ({_LATE})
  group by r.subject, r.human"""
"""The first look of each human at each subject among those that little explains."""
_SHARED: Final = f"""select first.access, human, subject, first.time, first.weight from ring_touches
  where subject in (select subject from ring_touches group by subject having count(*) between 2 and {rings.MOST_ACTORS})
  order by first.access, subject"""
_OPENED: Final = "select human, count(*) from ring_touches group by human"
_SUBJECTS: Final = "select count(distinct subject) from ring_touches"
_UNITS: Final = "select distinct human, unit from looks where unit is not null and human is not null"


def build(engine: Engine, weights: Mapping[int, int]) -> None:
    """Make `ring_looks` from looks, residue and flags. `weights`: access → per mille, as the score says how little explains it."""
    units: dict[str, set[str]] = defaultdict(set)
    for human, unit in engine.rows(_UNITS):
        units[str(human)].add(str(unit))
    given = {"access": pa.array(weights.keys(), pa.int64()), "weight": pa.array(weights.values(), pa.int64())}
    engine.table("ring_weights", pa.table(given))
    engine.run(_TOUCHES)
    touches: dict[str, dict[str, rings.Touch]] = defaultdict(dict)
    accesses: list[int] = []
    for access, human, subject, time, weight in engine.rows(_SHARED):
        if isinstance(access, int) and isinstance(time, datetime) and isinstance(weight, int):
            touches[str(subject)][str(human)] = rings.Touch(len(accesses), str(human), str(subject), time, weight)
            accesses.append(access)
    shared = {subject: touches[subject] for subject in sorted(touches)}  # as `rings.firsts` makes it, of first looks already
    pairs = rings.weights(shared, {human: frozenset(own) for human, own in units.items()})
    opened = {str(human): int(str(count)) for human, count in engine.rows(_OPENED)}
    everybody = int(str(engine.rows(_SUBJECTS)[0][0]))
    rows = []
    for ring in rings.beyond_chance(rings.rings(shared, pairs), shared, opened, everybody):
        name = sha256("\n".join(ring.actors).encode()).hexdigest()[:16]
        own = {touch.look: touch for subject in ring.subjects for touch in shared[subject].values()}
        rows += [(name, accesses[look], own[look].subject, ring.weight, int(look in ring.witnesses)) for look in ring.looks]
    columns = list(zip(*sorted(rows), strict=True)) or [()] * len(_SCHEMA)
    engine.table(
        "ring_looks", pa.table([pa.array(values, kind.type) for values, kind in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
    )
    for name in ("ring_weights", "ring_touches"):
        engine.run(f"drop table {name}")


_SCHEMA: Final = pa.schema(
    [("ring", pa.string()), ("access", pa.int64()), ("subject", pa.string()), ("weight", pa.int64()), ("witness", pa.int32())]
)
