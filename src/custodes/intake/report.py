"""What one run of intake says of itself: counts, and where records could not be read; never what stands in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from custodes.store.gather import Gathered

_MOST_SHOWN: Final = 100


@dataclass(slots=True)
class IngestReport:
    """What one run read. `lines`: new raw records; `folded`: records met before; `unread`: (path, reason) of inputs not read.

    `rejected_at`: the first hundred as `file:line: reason`. Reasons and notes hold no content of records.
    """

    lines: int = 0
    accesses: int = 0
    touches: int = 0
    blank: int = 0
    folded: int = 0
    files: int = 0
    noise: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_at: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    sources: dict[str, int] = field(default_factory=dict)

    @property
    def rejected_lines(self) -> int:
        """How many records could not be read."""
        return sum(self.rejected.values())

    def take(self, batch: Gathered) -> None:
        """Count and note what a batch says, once it is recorded."""
        for kind, count in batch.counted.items():
            self.noise[kind] = self.noise.get(kind, 0) + count
        for item in batch.rejected:
            self.rejected[item.reason] = self.rejected.get(item.reason, 0) + 1
            if len(self.rejected_at) < _MOST_SHOWN:
                self.rejected_at.append(f"{item.raw.file}:{item.raw.line}: {item.reason}")
        for note in batch.notes:
            if len(self.notes) < _MOST_SHOWN:
                where = note.file if note.line is None else f"{note.file}:{note.line}"
                self.notes.append(f"{where}: {note.text}")
