r"""`access`: the public contract `custodes.access/1`, as NDJSON, CSV or Parquet. Columns: see docs/reference/formats.md.

Every record can be read by itself, today and from the vault in years: an NDJSON record is its line; a CSV record is the header
line, `\n`, and the record (so a changed header makes other records: it changes what they say); a Parquet record is the row as
canonical JSON without nulls. The parser therefore needs no state. What the sender states is taken as stated, never mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from custodes.lines import read_head, read_lines
from custodes.lines.tables import PARQUET, read_csv, read_parquet
from custodes.model.datamap import DataMap
from custodes.source import CannotSee, Chunk, Coverage, Follow, Position, Source
from custodes.sources.access.columns import REQUIRED
from custodes.sources.access.parser import AccessParser
from custodes.sources.access.sniff import is_access, is_csv

MANIFEST: Final = Coverage(
    source="access",
    version="access/1",
    sees=("whatever the sender states: actor, subjects, fields, purpose, reason, rows",),
    cannot_see=(
        CannotSee(
            "accesses that the sender does not report",
            "the file is the sender's own account",
            "read a log of the data store itself as well (pgaudit, cloudtrail), or put the gate in front of it",
        ),
        CannotSee(
            "records that were dropped before sending",
            "only `seq` within `seq_of` numbers them, and both are optional",
            "fill `seq` from a counter without holes, one per session, shard or file",
        ),
        CannotSee(
            "whether a statement in `query` reached more persons than `subjects` names",
            "the sender's list is taken as complete where the scope is `named` or `key_predicate`",
            "state the scope as it is (`set`, `attribute_predicate`), or read the data store's own log",
        ),
        CannotSee(
            "whether purpose and reason are true",
            "they are claims of the sender",
            "load tickets, cases and grants as context: they are what explains, not the claim",
        ),
    ),
    subject="named",
    fields="reported",
    rows=True,
    purpose="purpose",
    gap_proof="none",
    tail_proof=False,
    deletable_by=("the sender", "whoever can write the file before it is read"),
    checked="2026-11-22",
)


@dataclass(frozen=True, slots=True)
class AccessSource(Source):
    """The source. `clock` says what counts as the future."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def manifest(self) -> Coverage:
        """Say what such a file cannot show."""
        return MANIFEST

    def sniff(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - content decides, names lie
        """Recognise Parquet, or at least three of the four required columns (so that an error can name the fourth)."""
        return is_access(head)

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        """Yield raw records. Raises `InputError` if a CSV header or Parquet schema lacks a required column."""
        head = read_head(path)
        if head.startswith(PARQUET):
            return read_parquet(path, position, REQUIRED)
        if is_csv(head):
            return read_csv(path, position, REQUIRED, follow=follow)
        return read_lines(path, position, follow=follow)

    def parser(self, datamap: DataMap, state: bytes | None = None) -> AccessParser:  # noqa: ARG002 - contract of all sources
        """Return a parser; it keeps nothing between records."""
        return AccessParser(self.clock)


SOURCE: Final = AccessSource()
