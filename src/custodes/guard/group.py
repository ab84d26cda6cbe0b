"""Group commit: what several threads hand in while one commit is under way goes into the next one, together.

Who hands something in waits until it is committed, and one of those who wait does it for all. What nobody waits for is carried by
the next commit, or has one of its own soon. A commit that fails has failed for everybody in it: nobody may believe otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from custodes.errors import Outage

LATE_S: Final = 0.2
"""How long what nobody waits for may wait for company."""
_STEP_S: Final = 0.002
_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Place(Generic[_T]):
    """A place in the queue. `woken` and not `done`: this one's thread commits next. `late`: nobody waits for it."""

    item: _T
    late: bool = False
    done: bool = False
    wrong: BaseException | None = None
    woken: threading.Lock = field(default_factory=threading.Lock)
    """Held until then: a lock is quicker to wait for than an event."""

    def __post_init__(self) -> None:
        self.woken.acquire()


class Group(Generic[_T]):
    """Hands items to `work` in groups, in the order in which they came, one group at a time. Safe for threads."""

    def __init__(self, work: Callable[[Sequence[_T]], None], *, late_s: float = LATE_S) -> None:
        """`work`: commits a group whole, or raises and nothing of it counts."""
        self._work, self._late_s = work, late_s
        self._turn = threading.Lock()
        self._mutex = threading.Lock()
        self._queue: list[_Place[_T]] = []
        self._led = False
        self._late, self._closing = threading.Event(), threading.Event()
        self._late_thread: threading.Thread | None = None
        self._late_wrong: BaseException | None = None

    def commit(self, item: _T) -> None:
        """Return when the item is committed, with whatever else waited. Raises what kept its group from it."""
        place = _Place(item)
        with self._mutex:
            self._queue.append(place)
            waits, self._led = self._led, True
        if waits:
            place.woken.acquire()
        if not place.done:
            self._lead(place)
        if place.wrong is not None:
            raise place.wrong

    def later(self, item: _T) -> None:
        """Have the item committed soon, and return at once. One that fails is tried again with each group until `close`."""
        with self._mutex:
            if self._closing.is_set():
                raise Outage("nothing more is recorded here")
            self._queue.append(_Place(item, late=True))
            if self._late_thread is None:
                self._late_thread = threading.Thread(target=self._carry, name="late records", daemon=True)
                self._late_thread.start()
            self._late.set()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold commits back while the body runs."""
        with self._turn:
            yield

    def close(self) -> None:
        """Commit what nobody waited for; take no more of it. Raises what kept it from being committed, as the last try told."""
        with self._mutex:
            thread, self._late_thread = self._late_thread, None
            self._closing.set()
            self._late.set()
        if thread is not None:
            thread.join()
            if self._late_wrong is not None:
                raise self._late_wrong

    def _lead(self, mine: _Place[_T] | None) -> None:
        """Commit all that waits; then wake everybody who is done, and who leads next."""
        with self._mutex:
            batch, self._queue = self._queue, []
        wrong: BaseException | None = Outage("the commit was interrupted")
        try:
            with self._turn:
                self._work([place.item for place in batch])
            wrong = None
        except Exception as found:  # noqa: BLE001  # whatever it was: nobody who waited may believe that they were recorded
            wrong = found
        finally:
            self._end(batch, wrong, mine)

    def _end(self, batch: Sequence[_Place[_T]], wrong: BaseException | None, mine: _Place[_T] | None) -> None:
        late = [place for place in batch if place.late]
        with self._mutex:
            if late:
                self._late_wrong = wrong
            if wrong is not None:
                self._queue[:0] = late
            following = next((place for place in self._queue if not place.late), None)
            self._led = following is not None
        for place in batch:
            if not place.late:
                place.wrong, place.done = wrong, True
                if place is not mine:
                    place.woken.release()
        if following is not None:
            following.woken.release()

    def _carry(self) -> None:
        """Commit what has waited long enough for company; when closing try twice, and leave."""
        tries = 2
        while tries:
            self._late.wait()
            self._closing.wait(self._late_s)
            with self._mutex:
                closing = self._closing.is_set()
                waits = any(place.late for place in self._queue)
                leads = waits and not self._led
                self._led = self._led or leads
                if not waits and not closing:
                    self._late.clear()
            if leads:
                self._lead(None)
            if closing and not waits:
                return
            tries -= closing and leads
            if closing and not leads:
                time.sleep(_STEP_S)  # somebody else commits
