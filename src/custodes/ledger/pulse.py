"""A fixed beat in a thread of its own: publishing goes on at its pace while the main thread is busy, or waits for input."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self


class Pulse:
    """Calls `act` every `every_s` seconds while the body of its `with` runs; what it raises, `check` raises, and beats no more."""

    def __init__(self, act: Callable[[], object], every_s: float) -> None:
        self._act, self._every_s = act, every_s
        self._end = threading.Event()
        self._wrong: BaseException | None = None
        self._thread = threading.Thread(target=self._beat, name="pulse")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, wrong: BaseException | None, trace: object) -> None:
        """Wait for the beat at hand to end. A failure of it is raised, unless the body failed by itself."""
        self._end.set()
        self._thread.join()
        if wrong is None:
            self.check()

    def check(self) -> None:
        """Raise what a beat raised, if any did."""
        if self._wrong is not None:
            raise self._wrong

    def _beat(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                self._act()
            except BaseException as wrong:  # noqa: BLE001  # it is raised in the thread that waits for it
                self._wrong = wrong
                return
