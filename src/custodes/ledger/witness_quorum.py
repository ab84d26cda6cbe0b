"""Publishing under a home's settings, and for how long its witnesses were not enough.

`quorum.json` beside the logs remembers when a log's witnesses stopped being enough. After an hour of it a leaf says so, and another
one when they are enough again: that nobody outside confirmed the record in that time must not be forgotten once it is over.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from custodes.errors import ConfigError, Outage
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.disk import Disk
from custodes.ledger.log import Log
from custodes.ledger.policy import parse_policy
from custodes.ledger.witness_client import WitnessClient
from custodes.model.canonical import Json

_SCHEMA: Final = "custodes.quorum/1"
_PATIENCE: Final = timedelta(hours=1)
_MOST_GAPS: Final = 100

Record = Callable[[Mapping[str, Json]], int]
"""Records a fact about the home in a leaf and returns its index."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without enough witnesses. `until` is empty while it lasts; `leaf`: index of the leaf that says so, −1 before an hour.

    Times are RFC 3339 in UTC.
    """

    origin: str
    since: str
    until: str = ""
    leaf: int = -1

    def text(self) -> str:
        """Return the gap as a sentence for people."""
        if self.until:
            return f"too few witnesses confirmed the record from {self.since} to {self.until} (leaf {self.leaf})"
        return f"too few witnesses have confirmed the record since {self.since} (leaf {self.leaf})"


def recorded_gaps(folder: Path) -> list[Gap]:
    """Return the gaps of an hour and more, the latest hundred. `folder`: where `quorum.json` lies."""
    return [gap for gap in _read(folder) if gap.leaf >= 0]


def read_witnesses(file: Path, *, strict: bool) -> WitnessClient:
    """Return the client for the witnesses that a policy file names. Raises `ConfigError`."""
    if file.exists() and not file.is_file():  # the opening of a pipe would wait for a writer
        raise ConfigError(f"the witnesses' file {file.name} is no regular file")
    try:
        data = file.read_bytes()
    except OSError as wrong:
        raise ConfigError(f"the witnesses' file {file.name} cannot be read: {wrong.strerror}") from None
    return WitnessClient(parse_policy(data), strict=strict)


class Publisher:
    """Publishes logs of one home, with witnesses or without."""

    def __init__(
        self,
        folder: Path,
        witnesses: WitnessClient | None,
        record: Record,
        *,
        disk: Disk | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`folder`: of the logs."""
        self.witnesses = witnesses
        self._folder, self._record, self._clock = folder, record, clock
        self._disk = disk or Disk()

    def publish(self, log: Log) -> Checkpoint:
        """Sign and publish as `Log.publish` does; return what was signed. What is noted about witnesses may add a leaf after it.

        Durable: on return. Order: as `Log.publish`; what is noted comes after. Again: without new entries the same checkpoint.
        """
        point = log.publish(self.witnesses)
        self.note(log)
        return point

    def note(self, log: Log) -> None:
        """Take down whether the witnesses were enough when `log` was last published with them.

        Durable: on return. Order: after the publish that it tells of. Again: only a change is taken down.
        """
        if self.witnesses is not None and log.origin in self.witnesses.met:
            self._note(log.origin, enough=self.witnesses.met[log.origin])

    def troubles(self) -> dict[str, str]:
        """Return witness → what was wrong with its last answer, for those with whom something was."""
        seats = self.witnesses.seats if self.witnesses is not None else ()
        return {seat.name: seat.trouble for seat in seats if seat.trouble}

    def _note(self, origin: str, *, enough: bool) -> None:
        if enough and not any(gap.origin == origin and not gap.until for gap in _read(self._folder)):
            return
        with self._changing() as gaps:
            at = next((at for at, gap in enumerate(gaps) if gap.origin == origin and not gap.until), None)
            now = self._clock()
            if at is None:
                if not enough:
                    gaps.append(Gap(origin, _text(now)))
                return
            gap = gaps[at]
            if enough and gap.leaf < 0:
                del gaps[at]
            elif enough:
                gaps[at] = replace(gap, until=_text(now))
                self._record({"what": "witnesses", "enough": True, "origin": origin, "since": gap.since, "until": _text(now)})
            elif gap.leaf < 0 and now - datetime.fromisoformat(gap.since) >= _PATIENCE:
                silent: list[Json] = [*self.troubles()]
                leaf = self._record({"what": "witnesses", "enough": False, "origin": origin, "since": gap.since, "silent": silent})
                gaps[at] = replace(gap, leaf=leaf)

    @contextmanager
    def _changing(self) -> Iterator[list[Gap]]:
        """Let one process change the file at a time. A crash after a leaf and before the file says the same in a second leaf."""
        with self._disk.lock(self._folder / "quorum.lock"):
            gaps = _read(self._folder)
            before = list(gaps)
            yield gaps
            if gaps != before:
                rows = [[gap.origin, gap.since, gap.until, gap.leaf] for gap in gaps[-_MOST_GAPS:]]
                self._disk.replace(self._folder / "quorum.json", json.dumps({"schema": _SCHEMA, "gaps": rows}).encode() + b"\n")


def _read(folder: Path) -> list[Gap]:
    try:
        document = json.loads((folder / "quorum.json").read_bytes())
        return [Gap(*row) for row in document["gaps"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError):
        raise Outage("quorum.json of the ledger cannot be read", hint="remove it: the leaves hold what it remembers") from None


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
