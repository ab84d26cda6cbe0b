"""The log's side of tlog-witness: show each signed checkpoint to the witnesses of a policy until its quorum is met.

The witnesses are asked in parallel, each in a thread that only speaks HTTP; every decision, and every look at the log, is made by
the thread that publishes. A witness that is down, slow, or answers nonsense costs its cosignature and a rest, never the log. What
it may say that stops the log: a size that the log never signed, or another root for one that it did. Both notes are then kept.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NoReturn

from custodes.errors import ConfigError, CustodesError, LedgerRewritten, Outage
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.log import Log
from custodes.ledger.note import Key, Malformed, Signature, parse, parse_key, verify
from custodes.ledger.policy import Policy
from custodes.ledger.segments import read_bytes
from custodes.ledger.witness_messages import lines_of, read_cosignatures, read_size, request_body
from custodes.ledger.witness_wire import Place, Response

_SKEW_S: Final = 300
"""How far a witness's clock may be from ours."""
_GRACE_S: Final = 0.25
"""How long those are waited for who could still add to a quorum that is met."""
_MOST_REST_S: Final = 30.0
_ROUNDS: Final = 4


@dataclass(slots=True)
class Seat:
    """A witness at one URL, with its keys in the policy. `known`: origin → size that it cosigned last, as far as we know."""

    name: str
    place: Place
    keys: tuple[Key, ...]
    known: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    busy: bool = False
    failures: int = 0
    rests_until: float = 0.0

    def fail(self, trouble: str) -> None:
        """Take down what went wrong, and leave the witness alone for a while: 1, 3, 7, … at most 30 seconds."""
        self.trouble = trouble
        self.failures += 1
        self.rests_until = time.monotonic() + min(_MOST_REST_S, 2.0**self.failures - 1)

    def well(self) -> None:
        """Take down that it answered as it should."""
        self.trouble, self.failures, self.rests_until = "", 0, 0.0

    def is_free(self) -> bool:
        """Say whether it may be asked now."""
        return not self.busy and time.monotonic() >= self.rests_until


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request. `talk`: which call it belongs to; `doubt`: we ask for the size before, since the witness refused the proof."""

    log: Log
    seat: Seat
    talk: object
    point: Checkpoint
    old: int
    at: float
    rounds: int
    doubt: bool = False


class WitnessClient:
    """Asks the witnesses of one policy about any number of logs. One thread at a time (`Log.publish` sees to it for each log).

    `strict`: a checkpoint without quorum is not published; else it is, with the cosignatures that there are.
    """

    def __init__(self, policy: Policy, *, strict: bool, within_s: float = 5.0, clock: Callable[[], float] = time.time) -> None:
        """`within_s`: the longest that one call waits for all witnesses. Raises `ConfigError` if they could never be enough."""
        places: dict[str, list[str]] = {}
        for name, url in policy.urls.items():
            places.setdefault(url, []).append(name)
        self.seats = tuple(
            Seat(", ".join(names), Place(url), tuple(policy.witnesses[name] for name in names)) for url, names in places.items()
        )
        self.keys = tuple(policy.witnesses.values())
        if not policy.is_met([key for seat in self.seats for key in seat.keys]):
            raise ConfigError(
                "the witnesses that have a URL cannot meet the quorum",
                hint="give each witness that should be asked its URL as the last word of its line",
            )
        self.met: dict[str, bool] = {}
        """Origin → whether the quorum was met when its log was last published."""
        self._policy, self._strict, self._within_s, self._clock = policy, strict, within_s, clock
        self._checked: set[tuple[str, str]] = set()
        self._answers: queue.SimpleQueue[tuple[_Asked, Response | str]] = queue.SimpleQueue()
        self._mutex = threading.Lock()

    # Called by `Log.publish`

    def before_signing(self, log: Log) -> None:
        """Show the last signed checkpoint again to each witness not heard yet: one that has seen more means a restored backup.

        Raises `LedgerRewritten`; nothing was signed or kept then. Who does not answer is asked again before a later signature.

        Durable: evidence of a fork, if there is any. Order: before the first signature. Again: cheap once all have answered.
        """
        with self._mutex:
            last, talk = log.checkpoint, object()
            seats = [seat for seat in self.seats if (seat.place.url, log.origin) not in self._checked and seat.is_free()]
            for seat in seats:
                self._send(_Asked(log, seat, talk, last, last.size, self._clock(), _ROUNDS))
            for asked, answer in self._hear(talk, len(seats)):
                self._compare_at_start(asked, answer)

    def cosign(self, log: Log, point: Checkpoint) -> bytes | None:
        """Collect cosignatures until the quorum is met or the time is over; return the note to publish, or `None` for none.

        Durable: evidence of a fork, if there is any. Order: after the checkpoint is durable in `signed`. Again: asks again.
        """
        with self._mutex:
            shown = log.published.read()
            lines = self._standing(point, shown)
            if lines is not None and self._policy.is_met(lines):
                self.met[log.origin] = True
                return None
            lines = lines or {}
            self._collect(log, point, lines)
            self.met[log.origin] = self._policy.is_met(lines)
            if self._strict and not self.met[log.origin]:
                return None
            return point.note + "".join(lines[key].line() for key in self.keys if key in lines).encode()

    # One conversation with all of them

    def _collect(self, log: Log, point: Checkpoint, lines: dict[Key, Signature]) -> None:
        talk = object()
        seats = [seat for seat in self.seats if seat.is_free() and not all(key in lines for key in seat.keys)]
        guess = self._shown_size(log, point)
        for seat in seats:
            self._send(_Asked(log, seat, talk, point, min(seat.known.get(log.origin, guess), point.size), self._clock(), _ROUNDS))
        left, end = len(seats), time.monotonic() + self._within_s
        enough = False
        while left:
            if not enough and self._policy.is_met(lines):
                enough, end = True, min(end, time.monotonic() + _GRACE_S)
            try:
                asked, answer = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            asked.seat.busy = False
            again = self._judge(asked, answer, lines if asked.talk is talk else {})
            if asked.talk is not talk:
                continue
            if again is None:
                left -= 1
            else:
                self._send(again)

    def _hear(self, talk: object, count: int) -> list[tuple[_Asked, Response | str]]:
        """Return the answers of one talk that come in time; late ones of another are judged on the way."""
        end, heard = time.monotonic() + self._within_s, list[tuple[_Asked, Response | str]]()
        while len(heard) < count:
            try:
                asked, answer = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            asked.seat.busy = False
            if asked.talk is talk:
                heard.append((asked, answer))
            else:
                self._judge(asked, answer, {})
        return heard

    def _send(self, asked: _Asked) -> None:
        grows = 0 < asked.old < asked.point.size
        proof = asked.log.prove(asked.old, asked.point.size) if grows else []
        body = request_body(asked.old, proof, asked.point.note)
        asked.seat.busy = True

        def ask() -> None:
            try:
                answer: Response | str = asked.seat.place.ask("/add-checkpoint", body, within_s=self._within_s)
            except Outage as wrong:
                answer = str(wrong)
            except Exception as wrong:  # noqa: BLE001  # what a stranger's bytes may set off must not leave the publisher waiting
                answer = f"its answer could not be read ({type(wrong).__name__})"
            self._answers.put((asked, answer))

        threading.Thread(target=ask, daemon=True, name=f"witness {asked.seat.name}").start()

    # What an answer means

    def _judge(self, asked: _Asked, answer: Response | str, lines: dict[Key, Signature]) -> _Asked | None:
        """Take a cosignature into `lines`, or note what is wrong; return a further request, if one is due."""
        seat = asked.seat
        if isinstance(answer, str):
            seat.fail(answer)
        elif answer.status == 200 and asked.doubt:
            seat.fail("it refused a proof from a checkpoint that it accepts")
        elif answer.status == 200:
            self._accept(asked, answer.body, lines)
        elif answer.status == 409:
            return self._conflict(asked, answer)
        elif answer.status == 422 and 0 < asked.old == asked.point.size:
            self._fork(asked, answer.status, asked.point.size)
        elif answer.status == 422 and asked.old and (before := asked.log.signed_at(asked.old)):
            return _Asked(asked.log, seat, asked.talk, before, before.size, self._clock(), asked.rounds - 1, doubt=True)
        else:
            seat.fail(_MEANINGS.get(answer.status, f"it answered {answer.status}"))
        return None

    def _accept(self, asked: _Asked, body: bytes, lines: dict[Key, Signature]) -> None:
        try:
            found = read_cosignatures(
                asked.point, body, asked.seat.keys, earliest=asked.at - _SKEW_S, latest=self._clock() + _SKEW_S
            )
        except CustodesError as wrong:
            asked.seat.fail(f"its cosignature does not hold: {wrong}")
            return
        lines.update(found)
        asked.seat.known[asked.point.origin] = asked.point.size
        asked.seat.well()

    def _conflict(self, asked: _Asked, answer: Response) -> _Asked | None:
        """The witness last cosigned another size: go on from it if it is one of ours."""
        log, seat, size = asked.log, asked.seat, read_size(answer)
        if size is None:
            seat.fail("it answered 409 without a size")
            return None
        if 0 < size == asked.old == asked.point.size:  # how drafts before 1.0 say that it has another root for this size
            self._fork(asked, answer.status, size)
        if size and log.signed_at(size) is None:
            self._fork(asked, answer.status, size)
        if size == asked.old or asked.doubt or not asked.rounds:
            seat.fail("its answers contradict each other")
            return None
        seat.known[log.origin] = size
        if size > asked.point.size:
            return None  # another process was quicker, and has its cosignature
        return _Asked(asked.log, seat, asked.talk, asked.point, size, self._clock(), asked.rounds - 1)

    def _compare_at_start(self, asked: _Asked, answer: Response | str) -> None:
        log, seat, last = asked.log, asked.seat, asked.point
        if isinstance(answer, str):
            seat.fail(answer)
            return
        size = read_size(answer) if answer.status == 409 else None
        if size is not None and size > last.size and log.signed_at(size) is None:
            raise LedgerRewritten(
                f"the witness {seat.name} has cosigned size {size} of this log, but the last one signed here is {last.size}",
                hint="nothing was signed; this may be a restored backup: refill the tail from a mirror, or close this log and open"
                " a new origin (a witness that errs is taken out of the witnesses' file by two people)",
            )
        if answer.status == 200:
            self._accept(asked, answer.body, {})
        elif size is not None and size != last.size and (not size or log.signed_at(size)):
            seat.known[log.origin] = size
            seat.well()
        else:
            self._judge(asked, answer, {})
        if answer.status in {200, 409}:
            self._checked.add((seat.place.url, log.origin))

    def _fork(self, asked: _Asked, status: int, size: int) -> NoReturn:
        """Keep both notes and stop the log for good. Raises `LedgerRewritten`."""
        log = asked.log
        theirs = _their_note(asked.seat, log.origin, self._within_s)
        signed = theirs is not None and _is_signed_by(log, theirs)
        evidence = {
            "schema": "custodes.fork/1",
            "origin": log.origin,
            "witness": asked.seat.name,
            "url": asked.seat.place.url,
            "answered": status,
            "size": size,
            "ours": asked.point.note.decode(),
            "theirs": None if theirs is None else theirs.decode("utf-8", "replace"),
            "theirs_signed_by_this_log": signed,
            "time": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds"),
        }
        log.stop_signing((json.dumps(evidence, ensure_ascii=False, indent=1) + "\n").encode())
        raise LedgerRewritten(
            f"the witness {asked.seat.name} has seen another history of this log at size {size}; the evidence is in fork.json",
            hint="this log signs no more: read the evidence, then close it and open a new origin"
            if signed
            else "this log signs no more; the witness shows no checkpoint under the log's key, so find out which of the two errs",
        )

    # What is published now

    def _standing(self, point: Checkpoint, shown: bytes) -> dict[Key, Signature] | None:
        """Return the witnesses' lines of the published note, if it is `point`'s and they hold; `None` if it is not."""
        if not shown.startswith(point.note):
            return None
        try:
            return lines_of(parse(shown), self.keys)
        except CustodesError:
            return {}

    def _shown_size(self, log: Log, point: Checkpoint) -> int:
        """Return a size from which a witness that we know nothing of may go on; if it errs, the witness says so."""
        try:
            size = read_unverified(log.published.read()).size
        except Malformed:
            return 0
        return size if size <= point.size else 0


_MEANINGS: Final = {
    403: "it does not accept this log's signature",
    404: "it does not watch this log",
    422: "it refuses the proof",
}


def _their_note(seat: Seat, origin: str, within_s: float) -> bytes | None:
    """Return the last checkpoint that the witness shows of this log, if it shows one."""
    try:
        answer = seat.place.ask(f"/{sha256(origin.encode()).hexdigest()}/checkpoint", within_s=within_s)
    except Outage:
        return None
    return answer.body if answer.status == 200 else None


def _is_signed_by(log: Log, note: bytes) -> bool:
    """Say whether a note carries this log's signature."""
    try:
        keys = [parse_key(line) for line in read_bytes(log.path / "vkey").decode().splitlines()]
        return bool(verify(parse(note), keys).verified)
    except CustodesError:
        return False
