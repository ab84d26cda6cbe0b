"""Cutting blocks of content into records: lines, or lines held together by quotes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, repeat
from typing import Final

from custodes.lines.content import BOM, TAIL, digest_of
from custodes.model.draft import Raw
from custodes.model.reading import Chunk, Position

LIMIT: Final = 32 * 1024 * 1024
"""Longest record in bytes that is kept whole."""
KEPT: Final = 64 * 1024
"""Bytes kept of a longer one."""
CHUNK: Final = 2000
"""Records that are handed on together, about."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """Records may hold newlines inside double quotes, as in CSV.

    `starts`: a line matching it always begins a record, so an open quote before it was torn. `whole`: asked about each candidate of
    several lines; if it says no, the first line stands alone (as a damaged record) and framing goes on with the next one. Thus one
    damaged line costs one line.
    """

    starts: re.Pattern[bytes] | None = None
    whole: Callable[[bytes], bool] | None = None


def cut_record(first: bytes, size: int, digest: str) -> bytes:
    """Return what is kept of a record over the limit: its first bytes, then a line with its true length and SHA-256."""
    return b"%b\n[custodes: cut; bytes %d, sha256 %b]" % (first[:KEPT], size, digest.encode("ascii"))


class Framer:
    """Cuts blocks into records and knows the position after the last one passed. One framer reads one file once, forwards."""

    def __init__(self, file: str, position: Position, tail: bytes, limit: int, quoted: Quoted | None) -> None:
        self.file, self.position = file, position
        self._tail, self._limit, self._quoted = tail, limit, quoted
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._over: _Over | None = None
        self._open: list[bytes] = []
        self._open_size = 0

    def again(self, file: str, inode: int) -> Framer:
        """Return a framer for the beginning of a file."""
        return Framer(file, Position(inode=inode), b"", self._limit, self._quoted)

    def feed(self, block: bytes) -> Iterator[Chunk]:
        """Take the next block of content and yield the records that it completes."""
        if self._over is not None:
            end = block.find(b"\n")
            self._over.add(block if end < 0 else block[:end])
            if end < 0:
                return
            yield self._cut(self._over, passed=True)
            self._over, block = None, block[end + 1 :]
        end = block.rfind(b"\n")
        if end >= 0:
            self._pending.append(block[:end])
            lines = b"".join(self._pending).split(b"\n")
            self._pending, self._pending_size = [], 0
            yield from self._chunks(lines)
        rest = block[end + 1 :]
        if rest:
            self._pending.append(rest)
            self._pending_size += len(rest)
            if self._pending_size > self._limit + 1:  # a carriage return may still turn out to belong to the newline
                yield from self._singly(self._open)
                self._open, self._open_size = [], 0
                self._over = _Over(self._pending)
                self._pending, self._pending_size = [], 0

    def rest(self, *, passed: bool) -> Iterator[Chunk]:
        """Yield what has no final newline, or stands in an open quote. `passed`: the position goes beyond it."""
        before, tail = self.position, self._tail
        for chunk in self._unfinished(passed=passed):
            yield chunk if passed else chunk._replace(position=before)
        if not passed:
            self.position, self._tail = before, tail

    def _unfinished(self, *, passed: bool) -> Iterator[Chunk]:
        if self._over is not None:
            yield self._cut(self._over, passed=passed)
            return
        last = b"".join(self._pending)
        lines = [*self._open, last] if last else self._open
        if self._open and last and self._is_whole(lines):
            yield self._record(lines)
        else:
            yield from self._singly(lines)

    def _chunks(self, lines: list[bytes]) -> Iterator[Chunk]:
        return self._singly(lines) if self._quoted is None else self._together(lines, self._quoted)

    def _singly(self, lines: list[bytes]) -> Iterator[Chunk]:
        """Yield each line as a record."""
        for start in range(0, len(lines), CHUNK):
            part = lines[start : start + CHUNK]
            first, beginning = self.position.line + 1, not self.position.offset
            self._pass(part)
            if beginning:
                part[0] = part[0].removeprefix(BOM)
            if any(map(bytes.endswith, part, repeat(b"\r"))):
                part = [line.removesuffix(b"\r") for line in part]
            if b"" in part or any(map(bytes.isspace, part)) or max(map(len, part)) > self._limit:
                raws = [self._raw(line, number) for number, line in enumerate(part, first) if line and not line.isspace()]
            else:
                raws = self._raws(part, first)
            yield Chunk(raws, self.position, len(part) - len(raws))

    def _together(self, lines: list[bytes], quoted: Quoted) -> Iterator[Chunk]:
        """Yield records of one or more lines, held together by quotes."""
        todo, single = deque(lines), list[bytes]()
        while todo:
            line = todo.popleft()
            odd = line.count(b'"') & 1
            if len(line) > self._limit and len(line.removesuffix(b"\r")) > self._limit:
                single += [*self._open, line]
                self._open, self._open_size = [], 0
                continue
            if not self._open and not odd:
                single.append(line)
                continue
            torn = bool(self._open) and (
                self._open_size + len(line) > self._limit or (quoted.starts is not None and quoted.starts.match(line) is not None)
            )
            self._open.append(line)
            self._open_size += len(line)
            if not torn and (not odd or len(self._open) == 1):
                continue
            held, self._open, self._open_size = self._open, [], 0
            yield from self._singly(single)
            single = []
            if not torn and self._is_whole(held):
                yield self._record(held)
            else:
                yield from self._singly(held[:1])
                todo.extendleft(reversed(held[1:]))
        yield from self._singly(single)

    def _is_whole(self, lines: list[bytes]) -> bool:
        """Say whether quotes end where `lines` end, and the asker agrees."""
        if self._quoted is None or sum(line.count(b'"') for line in lines) & 1:
            return False
        return self._quoted.whole is None or self._quoted.whole(_joined(lines))

    def _record(self, lines: list[bytes]) -> Chunk:
        number, beginning = self.position.line + 1, not self.position.offset
        self._pass(lines)
        data = _joined(lines)
        return Chunk([self._raw(data.removeprefix(BOM) if beginning else data, number)], self.position)

    def _raws(self, lines: list[bytes], first: int) -> list[Raw]:
        """Return `lines` as records. This is the hot loop of all reading: it runs in C, past the constructor of the named tuple."""
        none = repeat(None)
        return list(
            map(tuple.__new__, repeat(Raw), zip(lines, repeat(self.file), count(first), none, none, repeat(0), strict=False))
        )

    def _raw(self, data: bytes, number: int) -> Raw:
        if len(data) <= self._limit:
            return Raw(data, self.file, number)
        return Raw(cut_record(data, len(data), sha256(data).hexdigest()), self.file, number, cut=len(data))

    def _cut(self, over: _Over, *, passed: bool) -> Chunk:
        number = self.position.line + 1
        over.end()
        if passed:
            self._move(over.read + 1, 1, over.tail + b"\n")
        if over.blank:
            return Chunk([], self.position, 1)
        raw = Raw(cut_record(over.first, over.size, over.hash.hexdigest()), self.file, number, cut=over.size)
        return Chunk([raw], self.position)

    def _pass(self, lines: list[bytes]) -> None:
        """Move the position beyond `lines`."""
        last, size = list[bytes](), 0
        for line in reversed(lines):
            last.append(line)
            size += len(line) + 1
            if size >= TAIL:
                break
        last.reverse()
        self._move(sum(map(len, lines)) + len(lines), len(lines), b"\n".join(last) + b"\n")

    def _move(self, size: int, lines: int, tail: bytes) -> None:
        self._tail = tail[-TAIL:] if len(tail) >= TAIL else (self._tail + tail)[-TAIL:]
        at = self.position
        self.position = Position(at.offset + size, at.line + lines, at.inode, digest_of(self._tail))


class _Over:
    """A line over the limit: its first bytes, its length and its hash, as it passes by.

    `size`: without a carriage return before the newline; `read`: with it; `blank`: it is nothing but spaces.
    """

    def __init__(self, parts: list[bytes]) -> None:
        self.first, self.size, self.read, self.tail, self.blank, self.hash = b"", 0, 0, b"", True, sha256()
        self._return = b""
        for part in parts:
            self.add(part)

    def add(self, part: bytes) -> None:
        """Take the next bytes. A carriage return at their end waits: it may belong to the newline."""
        if not part:
            return
        self.read += len(part)
        self.tail = (self.tail + part[-TAIL:])[-TAIL:]
        part = self._return + part
        self._return = b"\r" if part.endswith(b"\r") else b""
        self._count(part.removesuffix(b"\r"))

    def end(self) -> None:
        """Forget the carriage return that waits: the line is over."""
        self._return = b""

    def _count(self, part: bytes) -> None:
        if len(self.first) < KEPT:
            self.first += part[: KEPT - len(self.first)]
        self.size += len(part)
        self.blank = self.blank and (not part or part.isspace())
        self.hash.update(part)


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join(lines).removesuffix(b"\r")
