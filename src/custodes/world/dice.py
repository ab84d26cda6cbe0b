"""Chance: named streams of one seed, and draws that every Python version makes alike.

Each part of the world draws from a stream of its own, so that a change in one part leaves the others as they were. Only
`random.Random.random` and `getrandbits` are used: their output is fixed for ever, that of `choice` or `shuffle` is not.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

T = TypeVar("T")
_FAR: Final = 1e-12


class Dice:
    """One stream of chance. `roll` is uniform in [0, 1)."""

    def __init__(self, seed: int, name: str) -> None:
        self.source = Random(f"custodes.world/1 {seed} {name}")  # noqa: S311  # a simulation, no secret
        self.roll = self.source.random
        self.bits = self.source.getrandbits

    def below(self, count: int) -> int:
        """Return a whole number from 0 to `count` - 1."""
        return int(self.roll() * count)

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self.roll() * (high - low + 1))

    def moment(self, low: float, high: float) -> int:
        """Return a time from `low` up to `high`."""
        return int(low + self.roll() * (high - low))

    def one(self, items: Sequence[T]) -> T:
        """Return one of `items`."""
        return items[int(self.roll() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Return up to `count` different members of `items`, in random order."""
        pool = list(items)
        taken: list[T] = []
        while pool and len(taken) < count:
            at = self.below(len(pool))
            pool[at], pool[-1] = pool[-1], pool[at]
            taken.append(pool.pop())
        return taken

    def shuffle(self, items: list[T]) -> None:
        """Put `items` into random order."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def wait(self, mean: float) -> int:
        """Return an exponential waiting time."""
        return int(-math.log(1.0 - self.roll()) * mean)

    def lognormal(self, sigma: float) -> float:
        """Return a lognormal number of median 1."""
        return math.exp(sigma * math.cos(2 * math.pi * self.roll()) * math.sqrt(-2 * math.log(1.0 - self.roll() + _FAR)))

    def poisson(self, mean: float) -> int:
        """Return a Poisson number; `mean` up to some hundred."""
        limit, count, product = math.exp(-min(mean, 500.0)), 0, self.roll()
        while product > limit:
            count += 1
            product *= self.roll()
        return count


class Curve:
    """A distribution given by points (share, value), straight in between; values on a log scale where `log`."""

    def __init__(self, *points: tuple[float, float], log: bool = True) -> None:
        self._shares = [share for share, _ in points]
        self._values = [math.log(value) if log else value for _, value in points]
        self._log = log

    def at(self, share: float) -> float:
        """Return the value below which `share` of all draws lie."""
        place = min(max(bisect_right(self._shares, share), 1), len(self._shares) - 1)
        left, right = self._shares[place - 1], self._shares[place]
        part = (share - left) / (right - left)
        value = self._values[place - 1] + part * (self._values[place] - self._values[place - 1])
        return math.exp(value) if self._log else value


class Wheel:
    """A choice among weighted items in O(log n). It gives indexes; who asks keeps the items."""

    def __init__(self, weights: Sequence[float]) -> None:
        self._sums: list[float] = []
        total = 0.0
        for weight in weights:
            total += weight
            self._sums.append(total)
        self._total = total

    def turn(self, roll: float) -> int:
        """Return the index chosen by `roll`, a number in [0, 1)."""
        return min(bisect_right(self._sums, roll * self._total), len(self._sums) - 1)
