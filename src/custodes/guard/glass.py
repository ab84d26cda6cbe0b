"""Broken glass while the ledger takes no records: a sealed spool in its place, for this alone, and told outside before any release.

    request or release → sealed frame, durable → its digest into the notices of at least three → value
    ledger mended → all frames in one commit, with the digests → the spool begins anew → everything else

Only requests for break-glass, their notices, releases under them and outcomes go into it; no leases (a row without its leaf is an
open path). Records of the spool are numbered from `FIRST` on until the ledger gives them numbers. Nothing is weighed here: gate and
book judge as always, over the leaves that can be read and the spool's behind them. A ledger that cannot even be read tells nobody
whose passkey is whose: then this is refused, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from custodes.errors import LedgerRewritten, NotDurable, Outage
from custodes.guard.approval import read_time, written
from custodes.guard.book import GRANT
from custodes.guard.grants import name_of, number_of
from custodes.guard.taken import DECISION, OUTCOME
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json
from custodes.model.draft import Draft
from custodes.store.own_leaves import OwnLeaf
from custodes.store.released import Sitting

if TYPE_CHECKING:
    from custodes.store.spool import Frame, Spool

FIRST: Final = 10**15
"""Number of the first record of a spool: no ledger has as many."""
SPOOL: Final = "spool"
"""What the leaf is called that says which frames were taken over."""
SPOOLED: Final = "spooled"
"""The part of a leaf that was taken over from a spool: the digest of its frame."""
TOLD: Final = 3
"""So many must be told of every record, before anything is released."""
_NUMBERS: Final = ("grant", "parent", "decision")


class _Kept(NamedTuple):
    """One record as it lies in the spool."""

    kind: int
    at: str
    what: Mapping[str, Json]
    draft: Draft | None


class Glass:
    """The spool in the ledger's place, for the length of an outage. One object may serve several threads."""

    def __init__(
        self,
        spool: Spool,
        leaves: Callable[[], Iterable[OwnLeaf]],
        tell: Callable[[str, int, datetime], Iterable[str]],
        lock: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`leaves`: the home's own, read without writing. `tell`: puts (digest, number of records, time) into notices, durably.

        `lock`: the guard's, held for a sitting.
        """
        self._spool, self._leaves, self._tell, self._lock = spool, leaves, tell, lock

    def leaves(self) -> list[OwnLeaf]:
        """Return the home's own leaves, and behind them what the spool holds."""
        return [*self._leaves(), *_as_leaves(self._spool.frames())]

    def record(self, kind: int, what: Mapping[str, Json], now: datetime) -> int:
        """Keep one record; return its number. Durable, and told outside, on return. Raises `Outage` for all but broken glass."""
        return self._keep(_Kept(kind, written(now), what, None), now)

    @contextmanager
    def sitting(self, now: datetime) -> Iterator[Sitting]:
        """Stand in for a sitting of the ledger: what the body adds is kept and told when it ends; nothing if it raises."""
        with self._lock():
            sitting = GlassSitting(self.leaves(), now)
            yield sitting
            for kept in sitting.added:
                self._keep(kept, now)

    def _keep(self, kept: _Kept, now: datetime) -> int:
        _refuse_others(kept)
        digest = self._spool.append(msgspec.json.encode(kept)).hex()
        places = {frame.digest.hex(): place for place, frame in enumerate(self._spool.frames())}
        # Before this line nobody outside knows; what was released after it can be taken from no record unnoticed.
        if len(set(self._tell(digest, places[digest] + 1, now))) < TOLD:
            raise NotDurable("nobody outside could be told that glass is broken", hint="name at least three in guard.notices")
        return FIRST + places[digest]


class GlassSitting(Sitting):
    """What the gate adds to, in place of the ledger. It gives no ledger indexes."""

    def __init__(self, news: list[OwnLeaf], now: datetime) -> None:
        """`news`: all leaves so far, the spool's included."""
        self.news, self.now, self.added = news, now, list[_Kept]()
        self._next = FIRST + sum(leaf.number >= FIRST for leaf in news)

    def add(self, what: Mapping[str, Json], draft: Draft | None) -> tuple[int, int | None]:
        """Add a decision and its access; see `Sitting.add`. Raises `Outage` for all but broken glass."""
        kept = _Kept(Kind.DECISION, written(self.now), what, draft)
        _refuse_others(kept)
        self.added.append(kept)
        return self._next + len(self.added) - 1, None

    def access(self, number: int) -> int:
        """There is none yet."""
        raise ValueError(number)


def _refuse_others(kept: _Kept) -> None:
    what = kept.what
    request = what.get("request")
    match what.get("what"):
        case "notice":
            allowed = True
        case "request":
            content = request.get("content") if isinstance(request, Mapping) and request.get("act") == GRANT else None
            allowed = isinstance(content, Mapping) and content.get("break_glass") is True
        case word if word == DECISION:
            released = what.get("act") == "released" and what.get("mode") != "lease"
            allowed = released and kept.draft is not None and kept.draft.break_glass is True
        case word:
            allowed = word == OUTCOME
    if kept.kind != Kind.DECISION or not allowed:
        raise Outage("the ledger takes no records, and nothing but broken glass goes without it", hint="mend the ledger")


def _read(frame: Frame) -> _Kept:
    kind, at, what, draft = msgspec.json.decode(frame.content)
    return _Kept(kind, at, what, None if draft is None else msgspec.convert(draft, Draft))


def _as_leaves(frames: Iterable[Frame]) -> Iterator[OwnLeaf]:
    for place, frame in enumerate(frames):
        kept = _read(frame)
        at = read_time(kept.at)
        if at is None:
            raise LedgerRewritten("a record of the spool has no time")
        yield OwnLeaf(FIRST + place, kept.kind, at.replace(minute=0, second=0), kept.what)


def reconcile(spool: Spool, sitting: Callable[[], AbstractContextManager[Sitting]], told: Iterable[str]) -> int:
    """Take over into the ledger what the spool holds, then begin it anew; return how many records there were.

    `told`: the digests that notices name. Raises `LedgerRewritten` if the spool is not what it was, or lacks what somebody outside
    was told of: then nothing is taken over, and the file stays as it is. Durable on return. Order: all leaves in one commit, then
    the spool; a crash between leaves what is recorded already, and is only cleared the next time.
    """
    frames = spool.frames()
    with sitting() as into:
        recorded = {digest for leaf in into.news if leaf.what.get("what") == SPOOL for digest in _digests(leaf.what)}
        here = [frame.digest.hex() for frame in frames]
        if set(told) - recorded - {*here}:
            raise LedgerRewritten(
                "a notice names a record of broken glass that neither the spool nor the ledger has",
                hint="somebody took it out: keep spool and notices as evidence",
            )
        if recorded.isdisjoint(here):
            _take_over(frames, into)
        elif not recorded.issuperset(here):
            raise LedgerRewritten("the spool holds records that were taken over, and others behind them that were not")
    if frames:
        spool.clear()
    return len(frames)


def _take_over(frames: Iterable[Frame], into: Sitting) -> None:
    numbers: dict[int, int] = {}
    for place, frame in enumerate(frames):
        kept = _read(frame)
        what = {name: _renumbered(value, numbers) if name in _NUMBERS else value for name, value in kept.what.items()}
        number, _ = into.add({**what, SPOOLED: frame.digest.hex()}, _of_now(kept.draft, numbers))
        numbers[FIRST + place] = number
    if numbers:
        digests: list[Json] = [frame.digest.hex() for frame in frames]
        into.add({"what": SPOOL, "records": len(numbers), "digests": digests, "at": written(into.now)}, None)


def _of_now(draft: Draft | None, numbers: Mapping[int, int]) -> Draft | None:
    """Return an access that names its grant by the number that the ledger gave it."""
    number = number_of(draft.reason) if draft is not None else None
    if draft is not None and number is not None and number in numbers:
        draft.reason = name_of(numbers[number])
    return draft


def _renumbered(value: Any, numbers: Mapping[int, int]) -> Any:
    return numbers.get(value, value) if isinstance(value, int) else value


def _digests(what: Mapping[str, Json]) -> list[str]:
    found = what.get("digests")
    return [str(digest) for digest in found] if isinstance(found, list) else []
