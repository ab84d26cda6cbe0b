"""Reading a JSON document that is an array of records, or holds one under a name, record by record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Final

from custodes.lines.content import BOM, TAIL, Content, digest_of, open_content
from custodes.lines.framing import CHUNK, LIMIT, cut_record
from custodes.model.draft import Note, Raw
from custodes.model.reading import Chunk, Position

_BOM: Final = BOM.decode("latin-1")
_SPACE: Final = re.compile(r"[\s,]*")
_END: Final = re.compile(r"\]\s*\}?\s*")
_OPENING: Final = 256
"""Characters within which a document must open, and a record must begin to be recognised after a damaged one."""


@dataclass(frozen=True, slots=True)
class ArrayFormat:
    """`opens`: how a document begins, up to the array's bracket. `record`: how a record begins, to go on after a damaged one."""

    opens: re.Pattern[str]
    record: re.Pattern[str]

    def matches(self, head: bytes) -> bool:
        """Say whether the first bytes of a file open such a document."""
        return self.opens.match(head.decode("latin-1")) is not None


def read_array(path: str, position: Position, form: ArrayFormat) -> Iterator[Chunk]:
    """Yield the records of the array after `position`; their `line` is their number, counted from 1.

    Several documents may stand one after the other. A document does not grow: there is nothing to follow. If it was cut, what is
    left at its end is given out and not passed, as with lines. Raises `UnreadableFile`.
    """
    content = open_content(path)
    try:
        inside = position.offset > 0 and content.seek(position)
        if not inside:
            content.rewind()
            position = Position()
        records = _Records(path, content, position._replace(inode=content.inode), form, inside=inside)
        while True:
            raws = list(islice(records, CHUNK))
            yield Chunk(raws, records.position)
            if len(raws) < CHUNK:
                break
        torn = records.torn()
        if torn or content.torn:
            notes = (Note("gap", content.torn, path, records.position.line + 1),) if content.torn else ()
            yield Chunk(torn, records.position, 0, notes)
    finally:
        content.close()


class _Records(Iterator[Raw]):
    """The records of a JSON array, each with its exact bytes, without ever holding the whole document.

    The text is decoded as Latin-1: each character is a byte, and JSON's own signs are the same in UTF-8. A damaged record ends
    where the next one begins. `position` stands after the last record given out.
    """

    def __init__(self, path: str, content: Content, position: Position, form: ArrayFormat, *, inside: bool) -> None:
        self.position = position
        self._path, self._content, self._form, self._inside = path, content, form, inside
        self._text = content.tail.decode("latin-1")
        self._at = len(self._text)
        self._base = position.offset - self._at
        self._scan = json.JSONDecoder(strict=False).raw_decode

    def __next__(self) -> Raw:
        while True:
            self._skip(_SPACE)
            if not self._left() and not self._more(1):
                raise StopIteration
            if not self._inside:
                if not self._enter():
                    return self._damaged()
            elif self._text[self._at : self._at + 1] == "]":
                self._more(_OPENING)
                self._skip(_END)
                self._inside = False
            elif self._left():
                return self._record()

    def torn(self) -> list[Raw]:
        """Return what is left at the end of the file: a record that was cut. The position stays before it."""
        rest = self._text[self._at :]
        return [self._raw(rest)] if rest.strip() else []

    def _left(self) -> int:
        return len(self._text) - self._at

    def _more(self, wanted: int) -> bool:
        """Read on until `wanted` characters are left to look at; say whether anything came."""
        blocks: list[bytes] = []
        size = self._left()
        while size < wanted and (block := self._content.read()):
            blocks.append(block)
            size += len(block)
        if blocks:
            keep = max(0, self._at - TAIL)
            self._text = self._text[keep:] + b"".join(blocks).decode("latin-1")
            self._at -= keep
            self._base += keep
        return bool(blocks)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        while match := pattern.match(self._text, self._at):
            self._at = match.end()
            if self._left() or not self._more(1):
                return

    def _enter(self) -> bool:
        """Go beyond the opening of a document. False if something else stands here."""
        self._more(_OPENING)
        if self._base + self._at == 0 and self._text.startswith(_BOM):
            self._at = len(_BOM)
        match = self._form.opens.match(self._text, self._at)
        if match is None:
            return False
        self._at, self._inside = match.end(), True
        return True

    def _record(self) -> Raw:
        while True:
            try:
                _, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - 8 or error.msg.startswith("Unterminated")
                if cut and self._left() <= LIMIT and self._more(2 * self._left()):
                    continue
                if cut and self._left() <= LIMIT:
                    raise StopIteration from None
                return self._damaged()
            except RecursionError:
                return self._damaged()
            return self._take(end)

    def _damaged(self) -> Raw:
        """Pass over a record that is no JSON, up to the next event."""
        looked = self._at + 1
        while True:
            if match := self._form.record.search(self._text, looked):
                return self._take(match.start())
            if self._left() > LIMIT:
                return self._take(len(self._text))
            looked, before = max(looked, len(self._text) - _OPENING), self._base
            if not self._more(2 * self._left()):
                return self._take(len(self._text))
            looked -= self._base - before

    def _take(self, end: int) -> Raw:
        raw = self._raw(self._text[self._at : end].rstrip(", \t\r\n"))
        self._at = end
        tail = self._text[max(0, end - TAIL) : end].encode("latin-1")
        self.position = Position(self._base + end, self.position.line + 1, self.position.inode, digest_of(tail))
        return raw

    def _raw(self, text: str) -> Raw:
        data, number = text.encode("latin-1"), self.position.line + 1
        if len(data) <= LIMIT:
            return Raw(data, self._path, number)
        return Raw(cut_record(data, len(data), sha256(data).hexdigest()), self._path, number, cut=len(data))
