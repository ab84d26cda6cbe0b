"""Rings: who shares few subjects that little explains, whatever the order of looks; and the looks that hold a ring together."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from custodes.rank.rings import (
    LEAST_SCORE,
    LEAST_WEIGHT,
    WITHIN,
    Ring,
    Touch,
    beyond_chance,
    firsts,
    opened,
    ordered,
    rings,
    weights,
)

BEGAN = datetime(2026, 3, 2, 9)  # noqa: DTZ001  # engine times are UTC without a zone


def _touches(*pairs: tuple[str, str], score: int = 950, apart: timedelta = timedelta(hours=1)) -> list[Touch]:
    return [Touch(place, actor, subject, BEGAN + place * apart, score) for place, (actor, subject) in enumerate(pairs)]


RING = _touches(("a", "s"), ("b", "s"), ("b", "t"), ("c", "t"), ("a", "t"), ("c", "u"), ("a", "u"), ("b", "u"), ("z", "q"))


def test_three_who_keep_meeting_are_one_ring_and_others_are_not() -> None:
    shared = firsts(RING)
    found = rings(shared, weights(shared, {}))
    assert [(ring.actors, ring.subjects) for ring in found] == [(("a", "b", "c"), ("s", "t", "u"))]
    assert 8 not in found[0].looks


@given(st.randoms(use_true_random=False))
def test_the_order_of_looks_plays_no_part(random: Random) -> None:
    mixed = list(RING)
    random.shuffle(mixed)
    assert rings(firsts(mixed), weights(firsts(mixed), {})) == rings(firsts(RING), weights(firsts(RING), {}))


def test_every_witness_is_needed() -> None:
    shared = firsts(RING)
    (ring,) = rings(shared, weights(shared, {}))
    kept = [touch for touch in RING if touch.look in ring.witnesses]
    assert _whole(kept, ring.actors)
    assert not any(_whole([other for other in kept if other != touch], ring.actors) for touch in kept)


def _whole(touches: list[Touch], actors: tuple[str, ...]) -> bool:
    reached, before = {actors[0]}, 0
    while len(reached) != before:
        before = len(reached)
        subjects = {touch.subject for touch in touches if touch.actor in reached}
        reached |= {touch.actor for touch in touches if touch.subject in subjects}
    return reached == set(actors)


def test_what_has_context_enough_ties_nobody() -> None:
    shared = firsts(_touches(("a", "s"), ("b", "s"), ("a", "t"), ("b", "t"), score=LEAST_SCORE))
    assert weights(shared, {}) == {}


def test_colleagues_weigh_a_third_and_strangers_who_meet_twice_more_than_twice_once() -> None:
    once, twice = firsts(_touches(("a", "s"), ("b", "s"))), firsts(_touches(("a", "s"), ("b", "s"), ("a", "t"), ("b", "t")))
    apart, alike = weights(once, {})["a", "b"], weights(once, {"a": frozenset({"x"}), "b": frozenset({"x", "y"})})["a", "b"]
    assert abs(3 * alike - apart) <= 2
    assert weights(twice, {})["a", "b"] > 3 * apart


COMPANY = [("y", f"y{place}") for place in range(5_000)]
"""Somebody who opened five thousand people, so that a company is not made of a ring alone."""


def _harvest(actor: str, count: int) -> list[tuple[str, str]]:
    return [(actor, f"{actor}{place}") for place in range(count)]


CROWD_OF_OTHERS = [(f"{side}{place}", f"o{place}") for place in range(40) for side in ("x", "y")]
"""Forty subjects on whom two strangers each met once: a company in which sharing is nothing special."""


def test_a_third_who_meets_both_lifts_their_pair() -> None:
    pair = firsts(_touches(("a", "s"), ("b", "s"), *CROWD_OF_OTHERS))
    three = firsts(_touches(("a", "s"), ("b", "s"), ("a", "t"), ("c", "t"), ("b", "u"), ("c", "u"), *CROWD_OF_OTHERS))
    assert weights(three, {})["a", "b"] > weights(pair, {})["a", "b"]


def test_two_who_open_very_many_share_some_by_chance_and_are_no_pair() -> None:
    many = [(actor, f"{actor}{place}") for actor in ("a", "b") for place in range(30)]
    met = [(f"z-{subject}", subject) for _, subject in many]  # each of them shared with one stranger, so that it counts as reach
    both = [("a", "s"), ("b", "s"), ("a", "t"), ("b", "t")]
    assert ("a", "b") in weights(firsts(_touches(*both, *CROWD_OF_OTHERS)), {})
    assert ("a", "b") not in weights(firsts(_touches(*both, *many, *met, *CROWD_OF_OTHERS)), {})


def _kept(ring: Ring, touches: list[Touch]) -> list[Ring]:
    return beyond_chance([ring], firsts(touches), *opened(touches))


def test_two_alone_are_no_ring_if_one_of_them_opens_so_many_that_chance_ties_them() -> None:
    both = [(actor, subject) for actor in ("a", "b") for subject in ("s", "t", "u")]
    few, many = _touches(*COMPANY, *both), _touches(*COMPANY, *both, *_harvest("a", 300))
    (ring,) = rings(firsts(few), weights(firsts(few), {}))
    assert _kept(ring, few) == [ring]
    assert _kept(ring, many) == []


def test_of_a_ring_of_busy_people_only_what_most_of_them_share_is_told() -> None:
    shared = [(actor, subject) for actor in "abcd" for subject in ("s", "t")]
    met = [pair for place in range(30) for pair in ((f"{'abc'[place % 3]}", f"m{place}"), (f"{'bcd'[place % 3]}", f"m{place}"))]
    busy = [pair for actor in "abcd" for pair in _harvest(actor, 30)]
    touches = _touches(*COMPANY, *shared, *met, *busy, apart=timedelta(minutes=1))
    own = firsts(touches)
    strong = dict.fromkeys((("a", "b"), ("b", "c"), ("c", "d")), 10 * LEAST_WEIGHT)
    (ring,) = rings(own, strong)
    assert set(ring.subjects) == {"s", "t"} | {f"m{place}" for place in range(30)}
    (kept,) = _kept(ring, touches)
    assert (kept.actors, kept.subjects, len(kept.looks)) == (("a", "b", "c", "d"), ("s", "t"), 8)
    assert _whole([touch for touch in touches if touch.look in kept.witnesses], kept.actors)


def test_who_met_a_ring_by_chance_alone_is_no_part_of_it() -> None:
    shared = [(actor, subject) for actor in "abc" for subject in ("s", "t", "u")]
    touches = _touches(*COMPANY, *shared, ("z", "v"), ("a", "v"), *_harvest("z", 400), apart=timedelta(minutes=1))
    strong = dict.fromkeys((("a", "b"), ("b", "c"), ("a", "z")), 10 * LEAST_WEIGHT)
    (ring,) = rings(firsts(touches), strong)
    (kept,) = _kept(ring, touches)
    assert (ring.actors, kept.actors) == (("a", "b", "c", "z"), ("a", "b", "c"))


def test_a_crowd_is_cut_to_the_ring_within_it_or_falls_apart() -> None:
    crowd = [(f"c{place}", f"p{(place + more) // 2}-{more}") for more in (0, 1) for place in range(40)]
    tied = [(actor, subject) for actor in ("c0", "c1", "c2") for subject in ("s", "t", "u", "v", "w")]
    weight = dict.fromkeys(weights(firsts(_touches(*crowd)), {}), LEAST_WEIGHT)
    assert rings(firsts(_touches(*crowd)), weight) == []
    shared = firsts(_touches(*crowd, *tied))
    strong = dict.fromkeys((("c0", "c1"), ("c0", "c2"), ("c1", "c2")), 10 * LEAST_WEIGHT)
    assert [ring.actors for ring in rings(shared, weight | strong)] == [("c0", "c1", "c2")]


def test_a_month_apart_still_meets_and_a_day_more_does_not() -> None:
    assert weights(firsts(_touches(("a", "s"), ("b", "s"), apart=WITHIN)), {})
    assert not weights(firsts(_touches(("a", "s"), ("b", "s"), apart=WITHIN + timedelta(days=1))), {})


def test_the_strongest_pair_is_first_and_ties_go_by_name() -> None:
    assert ordered({("b", "c"): 5, ("a", "z"): 5, ("x", "y"): 9}) == [(("x", "y"), 9), (("a", "z"), 5), (("b", "c"), 5)]
