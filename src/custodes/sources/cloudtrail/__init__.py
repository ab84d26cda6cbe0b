"""`cloudtrail`: AWS CloudTrail, as delivered files (`{"Records": […]}`), as one event per line, gzip or not.

What an event says is taken; what it does not say stays open. The human behind a role session is named only by what the log proves
or the platform sets: the call that created the session (`assume_role_chain`), the source identity (`declared`), or the session
name of a single sign-on role (`session_name`). Files are not in time order: an event of an unexplained session waits until `finish`
(at most 20,000 wait) for the call that created it. In a `Records` file the line of a record is its number, counted from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from custodes.lines import first_lines, read_head, read_lines
from custodes.lines.arrays import ArrayFormat, read_array
from custodes.model.datamap import DataMap
from custodes.model.draft import Raw
from custodes.source import CannotSee, Chunk, Coverage, Follow, Position, Source
from custodes.sources.cloudtrail.event import BadEvent, decode
from custodes.sources.cloudtrail.parser import CloudTrailParser

MANIFEST: Final = Coverage(
    source="cloudtrail",
    version="cloudtrail/1",
    sees=("management calls: who changed or listed what", "data events, where switched on: object key, item key, caller"),
    cannot_see=(
        CannotSee(
            "object reads unless data events are on",
            "data events are off by default; management events show buckets and tables, not what was read from them",
            "switch on data events for every bucket and table that holds personal data (put-event-selectors), and keep them on",
        ),
        CannotSee(
            "values that are not keys",
            "only the object key or the item's primary key is in an event; filters, results and contents are not",
            "declare key templates in the data map; put the gate or a result tap in front of the store",
        ),
        CannotSee(
            "the human behind a role without a session name or source identity",
            "an assumed role is a shared identity; instance and service roles have no human at all",
            "require sts:SourceIdentity, or single sign-on with the person's id as session name; keep AssumeRole events",
        ),
        CannotSee(
            "the human behind a session that was created outside the files read",
            "the call that created a session may stand in another region's, account's or day's file",
            "read the trail of all regions and accounts together, in one run",
        ),
        CannotSee(
            "how many rows a query returned",
            "events carry bytes at most, for object reads",
            "read the log of the query engine as well",
        ),
        CannotSee(
            "events that were never delivered",
            "the files carry no sequence numbers, and who may write to the bucket may remove a file",
            "turn on log file validation and check the digest chain; deliver to an account that nobody works in",
        ),
    ),
    subject="key",
    fields="none",
    rows=False,
    purpose=None,
    gap_proof="none",
    tail_proof=False,
    deletable_by=("whoever may write to the delivery bucket", "whoever may stop the trail"),
    checked="2026-11-22",
    delay_s=900,
    retention_d=90,
    settings_expected={"data events": "on for stores with personal data", "log file validation": "on", "regions": "all"},
)

_DOCUMENT: Final = ArrayFormat(
    opens=re.compile(r'\s*(?:\{\s*"Records"\s*:\s*)?\['),
    record=re.compile(r'\{\s*"(?:eventVersion|eventSource|eventName|eventTime|userIdentity|awsRegion)"'),
)
_EMPTY: Final = re.compile(r'\s*\{\s*"Records"\s*:\s*\[\s*\]\s*\}\s*')


@dataclass(frozen=True, slots=True)
class CloudTrailSource(Source):
    """The source."""

    @property
    def manifest(self) -> Coverage:
        """Say what a trail cannot show."""
        return MANIFEST

    def sniff(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - content decides, names lie
        """Recognise a `Records` document with events (or empty), or lines that are events."""
        if _DOCUMENT.matches(head):
            return b'"eventSource"' in head or _EMPTY.fullmatch(head.decode("latin-1")) is not None
        return any(_is_event(line) for line in first_lines(head))

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        """Yield raw records. A delivered file does not grow: with `follow` it is read to its end, a file of lines is followed."""
        if _DOCUMENT.matches(read_head(path)):
            return read_array(path, position, _DOCUMENT)
        return read_lines(path, position, follow=follow)

    def parser(self, datamap: DataMap, state: bytes | None = None) -> CloudTrailParser:
        """Return a parser that knows the sessions seen so far."""
        return CloudTrailParser(datamap, state)


def _is_event(line: bytes) -> bool:
    try:
        event = decode(Raw(line, "", 1))
    except BadEvent:
        # Perhaps an event longer than what is looked at.
        return line.lstrip().startswith(b"{") and all(
            word in line for word in (b'"eventSource"', b'"eventName"', b'"userIdentity"')
        )
    return {"eventSource", "eventName"} <= event.keys()


SOURCE: Final = CloudTrailSource()
