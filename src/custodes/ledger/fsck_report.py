"""What `fsck` takes down: facts and counts, what is wrong, and what could not be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.index_check import IndexReport

_MOST_TOLD: Final = 100
"""Problems that are spelled out; what comes after them is counted only."""


@dataclass(slots=True)
class FsckReport:
    """What was checked and found. `entries`: all complete ones; `signed_entries`: those below the last signed size."""

    origin: str = ""
    entries: int = 0
    signed_entries: int = 0
    segments: int = 0
    tiles: int = 0
    records: int = 0
    signatures: int = 0
    sources: int = 0
    opened: int = 0
    erased: int = 0
    """Leaves of which a part was erased, with a record."""
    expired: int = 0
    """Batches whose raw records expired, with a record."""
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untold: int = 0
    index: IndexReport | None = None
    """What was found about the roots of the index, if they were looked at; its problems are among `problems`."""
    last: Checkpoint | None = None
    """The last record of `signed`, if it can be read (its signatures are a matter of `problems`)."""

    @property
    def exit_code(self) -> int:
        """3 broken, 2 a part could not be read, 0 sound."""
        return 3 if self.problems else 2 if self.unread else 0

    def problem(self, text: str) -> None:
        """Take down a problem."""
        if len(self.problems) < _MOST_TOLD:
            self.problems.append(text)
        else:
            self.untold += 1
