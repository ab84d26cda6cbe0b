"""What the service did, as counts for a monitor (Prometheus' text form). No person, field or reason stands in them."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

_BOUNDS: Final = (0.005, 0.012, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the classes of durations, in seconds."""


class Metrics:
    """Counters of one process, from its start. Safe for threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._answers: Counter[tuple[str, str]] = Counter()
        self._times: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self.in_flight = 0

    def began(self) -> None:
        """Count a request that is being answered."""
        with self._turn:
            self.in_flight += 1

    def ended(self, door: str, answer: str, seconds: float) -> None:
        """Count its answer. `door`: evaluation, release, …; `answer`: its class."""
        with self._turn:
            self.in_flight -= 1
            self._answers[door, answer] += 1
            self._seconds[door] += seconds  # type: ignore[assignment]  # a counter of seconds
            for bound in _BOUNDS:
                if seconds <= bound:
                    self._times[door, bound] += 1

    def text(self, *, shadow: bool) -> str:
        """Return all counters. `shadow`: whether decisions are not enforced now."""
        with self._turn:
            answers, times, seconds = Counter(self._answers), Counter(self._times), dict(self._seconds)
            in_flight = self.in_flight
        lines = [
            "# TYPE custodes_guard_shadow gauge",
            f"custodes_guard_shadow {int(shadow)}",
            "# TYPE custodes_guard_in_flight gauge",
            f"custodes_guard_in_flight {in_flight}",
            "# TYPE custodes_guard_answers_total counter",
            *(f'custodes_guard_answers_total{{door="{d}",answer="{a}"}} {count}' for (d, a), count in sorted(answers.items())),
            "# TYPE custodes_guard_seconds histogram",
        ]
        for door in sorted(seconds):
            count = sum(number for (where, _), number in answers.items() if where == door)
            lines += [f'custodes_guard_seconds_bucket{{door="{door}",le="{bound:g}"}} {times[door, bound]}' for bound in _BOUNDS]
            lines += [
                f'custodes_guard_seconds_bucket{{door="{door}",le="+Inf"}} {count}',
                f'custodes_guard_seconds_sum{{door="{door}"}} {seconds[door]:.6f}',
                f'custodes_guard_seconds_count{{door="{door}"}} {count}',
            ]
        return "\n".join([*lines, ""])
