"""Reading XES event logs (IEEE 1849), gzip or not, as a stream: one trace after the other, attributes as text.

Names of persons are hashed by the callers while reading; nothing of a log is ever printed.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError, iterparse

from custodes.errors import UnreadableFile


@dataclass(frozen=True, slots=True)
class Trace:
    """One case: its own attributes, and those of its events in file order."""

    attributes: dict[str, str]
    events: list[dict[str, str]]


def traces(path: Path) -> Iterator[Trace]:
    """Yield the traces of a log. Raises `UnreadableFile` naming the file."""
    try:
        with _open(path) as stream:
            for _, element in iterparse(stream, events=("end",)):  # noqa: S314  # a log file the caller names, no entities needed
                if element.tag.rpartition("}")[2] == "trace":
                    yield _trace(element)
                    element.clear()
    except (OSError, EOFError, ParseError) as wrong:
        raise UnreadableFile(f"{path}: not a readable XES log ({type(wrong).__name__})") from wrong


def moment(text: str) -> datetime:
    """Return an XES date in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal: stands beside every figure."""
    return sha256(path.read_bytes()).hexdigest()


def _open(path: Path) -> IO[bytes]:
    stream = path.open("rb")
    if stream.read(2) == b"\x1f\x8b":
        stream.close()
        return gzip.open(path, "rb")  # type: ignore[return-value]  # GzipFile is a binary stream
    stream.seek(0)
    return stream


def _trace(element: Element) -> Trace:
    events = [_attributes(child) for child in element if child.tag.rpartition("}")[2] == "event"]
    return Trace(_attributes(element), events)


def _attributes(element: Element) -> dict[str, str]:
    return {child.attrib["key"]: child.attrib.get("value", "") for child in element if "key" in child.attrib}
