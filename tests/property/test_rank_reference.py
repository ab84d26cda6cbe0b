"""What ranking asks the engine is what a plain reading of the looks says, in small random worlds with many ties and gaps."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from custodes.engine import Engine
from custodes.rank import pictured, plain, ring_looks, rings, synthetic
from custodes.rank.synthetic import Look

BEGAN = datetime(2026, 3, 2)  # noqa: DTZ001  # engine times are UTC without a zone


class Seen(NamedTuple):
    """A look of a world; `reasons`: (template, strength) of each row that explains it."""

    access: int
    subject: str | None
    human: str | None
    unit: str | None
    fieldset: str
    minute: int
    via: str
    reasons: tuple[tuple[str, int], ...]
    weight: int

    @property
    def time(self) -> datetime:
        return BEGAN + timedelta(minutes=self.minute)


SUBJECT, HUMAN = st.sampled_from(["s-2", "s-c", "s-m", "s-z"]), st.sampled_from(["a", "b", "c", "d", None])
REASONS = st.lists(st.tuples(st.sampled_from(["E1", "E1", "E2", "E9"]), st.integers(2, 4)), max_size=3).map(tuple)
ACCESS = st.tuples(
    HUMAN, st.sampled_from(["u", "v", None]), st.integers(0, 9), st.lists(st.one_of(st.none(), SUBJECT), max_size=3, unique=True)
)
LOOK = st.tuples(st.sampled_from(["f", "g"]), st.sampled_from(["direct", "derived"]), REASONS, st.sampled_from([50, 400, 950]))
WORLD = st.lists(st.tuples(ACCESS, st.lists(LOOK, min_size=3, max_size=3)), min_size=1, max_size=25).map(
    lambda world: [
        Seen(13 * number, subject, human, unit, fieldset, minute, via, reasons, looks[0][3])
        for number, ((human, unit, minute, subjects), looks) in enumerate(world)
        for subject, (fieldset, via, reasons, _) in zip(subjects, looks, strict=False)
    ]
)
COMPANY = [Seen(1000 + n, f"s-{n}", "z", None, "f", n, "direct", (), 950) for n in range(90)]
"""Subjects whom only one more person opens: among so many, sharing two is no chance."""
many = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _fill(engine: Engine, world: list[Seen]) -> None:
    text, whole, moment = pa.string(), pa.int64(), pa.timestamp("us")
    columns = {
        "look": pa.array(range(len(world)), whole),
        "access": pa.array([one.access for one in world], whole),
        "time": pa.array([one.time for one in world], moment),
        **{name: pa.array([getattr(one, name) for one in world], text) for name in ("subject", "human", "unit", "fieldset", "via")},
        "public_only": pa.array([0] * len(world), pa.int32()),
        "deliberate": pa.array([None] * len(world), pa.bool_()),
    }
    engine.table("looks", pa.table(columns))
    engine.table("residue", pa.table(columns).filter(pa.array([not one.reasons for one in world], pa.bool_())))
    accesses = sorted({one.access for one in world})
    ids = {"access": pa.array(accesses, whole), "access_id": pa.array([_id(access) for access in accesses], text)}
    engine.table("accesses", pa.table(ids))
    spans = {"actor": ["a"], "unit": ["v"], "valid_from": [BEGAN], "valid_to": [BEGAN + timedelta(days=1)]}
    engine.table("staff_spans", pa.table(spans))
    told = [(look, *reason) for look, one in enumerate(world) for reason in one.reasons]
    explanations = {name: [row[place] for row in told] for place, name in enumerate(("look", "template", "strength"))}
    kinds = (whole, text, whole)
    engine.table(
        "explanations", pa.table([pa.array(v, k) for v, k in zip(explanations.values(), kinds, strict=True)], [*explanations])
    )
    flags = [
        (look, code, "cases")
        for look, one in enumerate(world)
        for code in (() if one.access % 5 else ("V4",) if one.access % 2 else ("V4", "V2"))
    ]
    kinds = (whole, text, text)
    columns = {
        name: pa.array([row[place] for row in flags], kinds[place]) for place, name in enumerate(("look", "code", "evidence_table"))
    }
    engine.table("flags", pa.table(columns))
    engine.table("fieldsets", pa.table({"fieldset": ["f", "g", "g"], "category": ["health", "health", "contact"]}))


LATE = 5
"""Last digit of an access whose one flaw is that its case was entered late."""


def _id(access: int) -> str:
    return f"x-{'27acz'[access * 3 % 5]}{access}"


def _values(world: list[Seen], look: Look, unit: str | None, own: int) -> tuple[int, ...]:
    known = [one for one in world if one.reasons and one.subject is not None]
    mine = [one for one in known if look.human is not None and one.human == look.human]
    units: dict[str | None, list[str]] = defaultdict(list)
    pairs = {one.human for one in known if one.subject == look.subject}
    for one in known:
        if one.subject == look.subject:
            units[one.human] += [one.unit] if one.unit is not None else []
    besides = int(look.human is not None and look.human in pairs)
    return (
        max(sum(one.subject == look.subject for one in mine) - own, 0),
        sum(unit is not None and min(units[human], default=None) == unit for human in pairs) - besides,
        len(pairs) - besides,
        max(sum(one.fieldset == look.thing for one in mine) - own, 0),
        max(sum(unit is not None and one.unit == unit and one.fieldset == look.thing for one in known) - own, 0),
    )


@many
@given(WORLD)
def test_the_counts_of_a_large_window_are_those_of_a_plain_reading(engine: Engine, world: list[Seen]) -> None:
    _fill(engine, world)
    drawn = [Look(one.time, one.subject, "a", one.fieldset) for one in world[:5] if one.subject]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(plain, "_REFERENCE", 3)
        sample = plain.sample(engine)
    known = sorted((_id(one.access), one.subject, one) for one in world if one.reasons and one.subject is not None)[:3]
    assert sample == [Look(one.time, one.subject, one.human, one.fieldset) for *_, one in known]
    measured = plain.measures(engine, drawn)
    kinds = plain.kinds(engine)
    assert measured.known == [_values(world, look, one.unit, 1) for look, (*_, one) in zip(sample, known, strict=True)]
    assert measured.drawn == [_values(world, look, "v", 0) for look in drawn]
    left = [
        (one, _values(world, Look(one.time, one.subject, one.human, one.fieldset), one.unit, 0)) for one in world if not one.reasons
    ]
    assert kinds == sorted({values for _, values in left})
    order = list(range(len(kinds)))[::-1]
    best: dict[int, int] = defaultdict(int)
    for one, values in left:
        best[one.access] = max(best[one.access], order.index(kinds.index(values)))
    found = plain.placed(engine, order)
    assert dict(zip(found.accesses, found.places, strict=True)) == best


@many
@given(WORLD, st.integers(1, 4))
def test_files_are_drawn_from_the_first_subjects_as_if_all_were_read(engine: Engine, world: list[Seen], most: int) -> None:
    _fill(engine, world)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(synthetic, "MOST", most)
        plain.open_files(engine)
    times: dict[str, list[datetime]] = defaultdict(list)
    for one in world:
        if one.reasons and one.subject is not None:
            times[one.subject].append(one.time)
    expected = [(subject, min(times[subject]), max(times[subject])) for subject in sorted(times)[:most]]
    found = f"select subject, min(time), max(time) from score_rows group by subject order by subject limit {most}"
    assert engine.rows(found) == expected


@many
@given(WORLD)
def test_rings_are_those_of_all_looks_that_little_explains(engine: Engine, world: list[Seen]) -> None:
    world = [one._replace(reasons=(), via="direct") if len(one.reasons) < 3 else one for one in world] + COMPANY
    _fill(engine, world)
    left = [one for one in world if not one.reasons]
    ring_looks.build(engine, {one.access: one.weight for one in left})
    bare = [
        one
        for one in sorted(left, key=lambda one: (one.access, one.subject or ""))
        if one.subject and one.human and one.via == "direct" and one.weight > rings.LEAST_SCORE and one.access % 10 != LATE
    ]
    touches = [rings.Touch(key, str(one.human), str(one.subject), one.time, one.weight) for key, one in enumerate(bare)]
    units: dict[str, set[str]] = defaultdict(set)
    for one in world:
        if one.human and one.unit:
            units[one.human].add(one.unit)
    shared = rings.firsts(touches)
    found = rings.rings(shared, rings.weights(shared, {human: frozenset(own) for human, own in units.items()}))
    told = rings.beyond_chance(found, shared, *rings.opened(touches))
    expected = {
        (bare[look].access, bare[look].subject, ring.weight, look in ring.witnesses) for ring in told for look in ring.looks
    }
    rows = engine.rows("select access, subject, weight, witness from ring_looks")
    assert {(access, subject, weight, witness == 1) for access, subject, weight, witness in rows} == expected
    event(f"{len(told)} rings")


@many
@given(WORLD, st.integers(1, 12))
def test_pictures_count_what_a_plain_reading_counts(engine: Engine, world: list[Seen], most: int) -> None:
    _fill(engine, world)
    strongest = [min((-strength, template) for template, strength in one.reasons)[1] for one in world if one.reasons]
    assert pictured._waterfall(engine) == dict(sorted(Counter(strongest).items()))
    bare = {one.access for one in world if not one.reasons}
    categories = {"f": {"health"}, "g": {"health", "contact"}}
    seen = {(one.access, one.unit, one.fieldset) for one in world}
    cells = Counter((unit or "(unknown)", word) for _, unit, fieldset in seen for word in categories[fieldset])
    left = Counter(
        (unit or "(unknown)", word) for access, unit, fieldset in seen if access in bare for word in categories[fieldset]
    )
    heat = {(cell.unit, cell.category): (cell.looks, cell.residue) for cell in pictured._heat(engine, str)}
    assert heat == {cell: (count, left[cell]) for cell, count in cells.items()}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pictured, "MOST_MARKS", most)
        marks = pictured._marks(engine, ["a", "c"])
    ordered = sorted(
        (one for one in world if one.human in {"a", "c"}),
        key=lambda one: (bool(one.reasons), one.time, one.access, one.subject is None, one.subject),
    )
    assert [(mark.actor, mark.subject, mark.time, mark.residue) for mark in marks] == [
        (one.human, one.subject, one.time.replace(tzinfo=UTC), not one.reasons) for one in ordered[:most]
    ]
