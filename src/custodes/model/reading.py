"""Where reading stands, what it hands on, and how it waits. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from custodes.model.draft import Note, Raw


class Position(NamedTuple):
    """Where reading goes on.

    `offset`: bytes (of the uncompressed content for gzip); `line`: lines before it; `inode` and `digest` (hex SHA-256 of the last
    4 KiB before it) notice rotation and replacement. A position is kept sealed, for a digest of a record can be guessed.
    """

    offset: int = 0
    line: int = 0
    inode: int = 0
    digest: str = ""


class Chunk(NamedTuple):
    """Raw records and the position after the last of them. `blank`: empty lines passed over; `notes`: what reading itself noticed
    (a torn gzip file, a truncation), to be reported like the notes of a parser.
    """

    raws: list[Raw]
    position: Position
    blank: int = 0
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Follow:
    """How to tail: seconds between looks at the file, and when to stop (None = never; tests pass a limit)."""

    poll_s: float = 0.3
    idle_stop_s: float | None = None
