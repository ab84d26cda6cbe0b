"""The view `ring_looks`: rings on what little explains, for the rule that tells them. The rule sees the ring, never a score.

Who opens a copy meets everybody in it at once, and everybody else who opens it: that is one tie, not many, and other rules tell it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import pyarrow as pa

from custodes.engine import Engine
from custodes.rank import rings

_LOOKS: Final = """select access, human, subject, min(time) as time from residue
  where subject is not null and human is not null and public_only = 0 and coalesce(deliberate, true) and via = 'direct'
  group by access, human, subject"""
_UNITS: Final = "select distinct human, unit from looks where unit is not null and human is not null"


def build(engine: Engine, weights: Mapping[int, int]) -> None:
    """Make `ring_looks`. `weights`: access → per mille, as the score says how little explains it. Reads `looks` and `residue`."""
    units: dict[str, set[str]] = defaultdict(set)
    for human, unit in engine.rows(_UNITS):
        units[str(human)].add(str(unit))
    touches: list[rings.Touch] = []
    subjects: dict[int, tuple[int, str]] = {}
    for access, human, subject, time in engine.rows(_LOOKS):
        if isinstance(access, int) and isinstance(time, datetime) and weights.get(access, 0) > rings.LEAST_SCORE:
            key = len(touches)
            subjects[key] = (access, str(subject))
            touches.append(rings.Touch(key, str(human), str(subject), time, weights[access]))
    shared = rings.firsts(touches)
    pairs = rings.weights(shared, {human: frozenset(own) for human, own in units.items()})
    rows = []
    for ring in beyond_chance(rings.rings(shared, pairs), touches):
        name = sha256("\n".join(ring.actors).encode()).hexdigest()[:16]
        rows += [(name, *subjects[look], ring.weight, int(look in ring.witnesses)) for look in ring.looks]
    columns = list(zip(*sorted(rows), strict=True)) or [()] * len(_SCHEMA)
    engine.table(
        "ring_looks", pa.table([pa.array(values, kind.type) for values, kind in zip(columns, _SCHEMA, strict=True)], _SCHEMA)
    )


def beyond_chance(found: Iterable[rings.Ring], touches: Iterable[rings.Touch]) -> Iterator[rings.Ring]:
    """Leave out two alone who share no more than two who open so many share by chance; three or more are no such chance."""
    opened: dict[str, set[str]] = defaultdict(set)
    for touch in touches:
        opened[touch.actor].add(touch.subject)
    everybody = len(set().union(*opened.values()))
    for ring in found:
        own = [len(opened[actor]) for actor in ring.actors]
        if len(own) > _ALONE or len(ring.subjects) * everybody >= _TIMES * own[0] * own[1]:
            yield ring


_ALONE: Final = 2
_TIMES: Final = 20
"""Times what drawing from all subjects would give; within one line of work chance gives several times as much."""
_SCHEMA: Final = pa.schema(
    [("ring", pa.string()), ("access", pa.int64()), ("subject", pa.string()), ("weight", pa.int64()), ("witness", pa.int32())]
)
