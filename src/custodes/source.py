"""The contract of a log source. The shelf `custodes.sources` holds one file per kind of log; none of them knows another.

Guarantees a source gives: the same bytes give the same drafts, in any split and after any restart from a position and state;
every raw record ends as part of a draft, as counted noise, as rejected, or as blank; nothing is raised for a bad record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from custodes.model.datamap import DataMap
from custodes.model.draft import Parsed, Raw
from custodes.model.reading import Chunk, Follow, Position

__all__ = ["CannotSee", "Chunk", "Coverage", "Follow", "Parser", "Position", "Source"]


@dataclass(frozen=True, slots=True)
class CannotSee:
    """One blind spot of a kind of log: what, why, and what would close it."""

    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Coverage manifest, `custodes.coverage/1`: what a log of this kind shows and what it cannot show."""

    source: str
    version: str
    sees: tuple[str, ...]
    cannot_see: tuple[CannotSee, ...]
    subject: str
    fields: str
    rows: bool
    purpose: str | None
    gap_proof: str
    tail_proof: bool
    deletable_by: tuple[str, ...]
    checked: str
    delay_s: int | None = None
    retention_d: int | None = None
    settings_expected: dict[str, str] = field(default_factory=dict)
    settings_seen: dict[str, str] = field(default_factory=dict)
    licence_tier: str | None = None


class Parser(Protocol):
    """Turns raw records into drafts, keeping what is not complete yet."""

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        """Take the next records, in file order. Never raises for a bad record."""

    def finish(self) -> Parsed:
        """Give out what was held back: the input ends here for now.

        Feeding may go on afterwards: a draft whose records arrive in two halves is then given out again, whole, with the same first
        record (intake replaces the earlier row).
        """

    def state(self) -> bytes:
        """Return what a new parser needs to go on from here. May hold raw records: the caller seals it."""


class Source(Protocol):
    """One kind of log. What it is called stands in its manifest, once."""

    @property
    def manifest(self) -> Coverage:
        """What such a log cannot show."""

    @property
    def name(self) -> str:
        """The word for `--source`."""
        return self.manifest.source

    @property
    def version(self) -> str:
        """Parser version, such as `pgaudit/1`: stored with every access."""
        return self.manifest.version

    def sniff(self, head: bytes, name: str) -> bool:
        """Say whether the first 64 KiB (`head`, unzipped) of file `name` are of this kind. Cheap and strict."""

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        """Yield raw records from `path` (gzip or not) after `position`, in chunks of at most some thousand.

        With `follow` it keeps waiting for more, yields empty chunks while idle, and goes through rotation. Raises `UnreadableFile`.
        """

    def parser(self, datamap: DataMap, state: bytes | None = None) -> Parser:
        """Return a parser, fresh or as it was when `state()` was taken."""
