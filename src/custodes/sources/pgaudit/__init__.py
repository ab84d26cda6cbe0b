"""PostgreSQL's own log with pgaudit: csvlog or jsonlog.

Rules: an operation is (session, statement, substatement); operations of one statement that name a table are one access, the others
fold into it; key checks of foreign keys are counted, not read; a record that a statement wrote itself is forged; a statement that
died left only its ERROR record and is an access all the same; a number that is missing in a session proves missing lines.

The story: `record` reads a record, `parser` keeps sessions and statements, `access` makes the drafts, `lineage` learns copies,
views and routines from the log itself, `purpose` reads tags.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from custodes.lines import Quoted, first_lines, read_head, read_lines
from custodes.model.datamap import DataMap
from custodes.source import Chunk, Coverage, Follow, Position, Source
from custodes.sources.pgaudit.manifest import MANIFEST
from custodes.sources.pgaudit.parser import PgauditParser
from custodes.sources.pgaudit.record import STARTS, is_whole

_JSON_WORDS: Final = (b'"session_id"', b'"line_num"', b'"error_severity"')


class PgauditSource(Source):
    """The source."""

    @property
    def manifest(self) -> Coverage:
        """Say what such a log cannot show."""
        return MANIFEST

    def sniff(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - content decides, names lie
        """Recognise the first record that is whole enough: jsonlog by its names, csvlog by its first columns."""
        for line in first_lines(head):
            if line.startswith(b"{"):
                if all(word in line for word in _JSON_WORDS):
                    return True
            elif STARTS.match(line) or is_whole(line.rstrip(b"\r")):
                return True
        return False

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        """Yield raw records; in a csvlog a record may be several lines."""
        is_json = read_head(path).lstrip()[:1] == b"{"
        quoted = None if is_json else Quoted(starts=STARTS, whole=is_whole)
        return read_lines(path, position, follow=follow, quoted=quoted)

    def parser(self, datamap: DataMap, state: bytes | None = None) -> PgauditParser:
        """Return a parser, fresh or as it was when `state()` was taken."""
        return PgauditParser(datamap, state)


SOURCE: Final = PgauditSource()
