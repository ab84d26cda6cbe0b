r"""Reading log files as records with exact bytes: gzip or plain, resumable, rotated, torn.

Rules: bytes only, nothing is decoded here. A record is a line (or, with `Quoted`, several lines held together by double quotes)
without its newline (`\n` or `\r\n`); a byte-order mark at the start of a file is no part of the first record; other bytes pass.
Positions stand after the last record that ended in a newline. A last record without one is given out at the end of a normal read
and *not* passed: read again it is either the same bytes (intake knows them) or the whole record, so it is neither lost nor doubled.
While following, it is held back until its newline comes. A line longer than the limit never lies in memory whole: `cut_record`.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count, repeat
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from custodes.errors import UnreadableFile
from custodes.model.draft import Note, Raw
from custodes.source import Chunk, Follow, Position

LIMIT: Final = 32 * 1024 * 1024
"""Longest record in bytes that is kept whole."""
KEPT: Final = 64 * 1024
"""Bytes kept of a longer one."""
HEAD: Final = 64 * 1024
"""Bytes that sources look at to recognise a file."""
_CHUNK: Final = 2000
_BLOCK: Final = 128 * 1024
"""Small enough to stay in the processor's cache and below the size from which memory is mapped anew each time."""
_TAIL: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
_ROTATION_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class Quoted:
    """Records may hold newlines inside double quotes, as in CSV.

    `starts`: a line matching it always begins a record, so an open quote before it was torn. `whole`: asked about each candidate of
    several lines; if it says no, the first line stands alone (as a damaged record) and framing goes on with the next one. Thus one
    damaged line costs one line.
    """

    starts: re.Pattern[bytes] | None = None
    whole: Callable[[bytes], bool] | None = None


def read_lines(
    path: str, position: Position, *, follow: Follow | None = None, limit: int = LIMIT, quoted: Quoted | None = None
) -> Iterator[Chunk]:
    """Yield the records of `path` after `position`, in chunks of 2,000 to 4,000 or what there is.

    If the file was replaced or cut since `position` (its digest does not match), reading starts at its beginning, after the rest of
    the old file if that one still lies beside it under another name. With `follow` it goes on waiting, yields empty chunks while
    idle, finishes a renamed file before the new one, and starts again after a truncation (with a note of the possible gap).
    Raises `UnreadableFile`.
    """
    opened = _open(path)
    try:
        if position.offset and not opened.seek(position):
            yield from _finish_renamed(path, position, limit, quoted)
            opened.close()
            opened = _open(path)
            position = Position()
        start = position if position.offset else Position()
        framer = _Framer(path, start._replace(inode=opened.inode), opened.tail, limit, quoted)
        if follow is None:
            yield from _to_end(opened, framer)
        else:
            yield from _following(path, opened, framer, follow)
    finally:
        opened.close()


def read_head(path: str) -> bytes:
    """Return the first 64 KiB of content, unzipped and without byte-order mark. Raises `UnreadableFile`."""
    opened = _open(path)
    try:
        head = b""
        while len(head) < HEAD and (block := opened.read()):
            head += block
    finally:
        opened.close()
    return head.removeprefix(_BOM)[:HEAD]


def cut_record(first: bytes, size: int, digest: str) -> bytes:
    """Return what is kept of a record over the limit: its first bytes, then a line with its true length and SHA-256."""
    return b"%b\n[custodes: cut; bytes %d, sha256 %b]" % (first[:KEPT], size, digest.encode("ascii"))


def _to_end(opened: _File, framer: _Framer) -> Iterator[Chunk]:
    yield from _available(opened, framer)
    yield from framer.rest(passed=False)
    if opened.torn:
        yield Chunk([], framer.position, 0, (_note("gap", opened.torn, framer),))


def _available(opened: _File, framer: _Framer) -> Iterator[Chunk]:
    """Yield the records that can be read now, gathered into chunks of good size."""
    raws, blank = list[Raw](), 0
    while block := opened.read():
        for chunk in framer.feed(block):
            raws += chunk.raws
            blank += chunk.blank
            if len(raws) + blank > _CHUNK:
                yield Chunk(raws, chunk.position, blank)
                raws, blank = [], 0
    if raws or blank:
        yield Chunk(raws, framer.position, blank)


def _finish_renamed(path: str, position: Position, limit: int, quoted: Quoted | None) -> Iterator[Chunk]:
    """Read the rest of a file that was renamed while nobody looked: the same inode in the same folder, and the same last bytes."""
    with os.scandir(Path(path).parent) as entries:
        names = [entry.path for entry in entries if entry.inode() == position.inode and entry.is_file(follow_symlinks=False)]
    for name in names:
        opened = _open(name)
        try:
            if opened.seek(position):
                framer = _Framer(name, position, opened.tail, limit, quoted)
                yield from _available(opened, framer)
                yield from framer.rest(passed=True)
                return
        finally:
            opened.close()


def _following(path: str, opened: _File, framer: _Framer, follow: Follow) -> Iterator[Chunk]:
    """Read for ever (or until idle for `idle_stop_s`). Closes what it opens; the first `opened` belongs to the caller."""
    mine: _File | None = None
    try:
        quiet_since, looks_after_rename = time.monotonic(), 0
        seen = opened.look()
        while True:
            came = False
            for chunk in _available(opened, framer):
                came = True
                yield chunk
            now = time.monotonic()
            if came:
                quiet_since, looks_after_rename = now, 0
            elif follow.idle_stop_s is not None and now - quiet_since >= follow.idle_stop_s:
                return
            yield Chunk([], framer.position)
            time.sleep(follow.poll_s)
            looked = opened.look()
            if looked != seen:
                seen = looked
                if not opened.still_has(framer.position):
                    yield from framer.rest(passed=True)
                    framer = framer.again(path, opened.inode)
                    opened.rewind()
                    yield Chunk([], framer.position, 0, (_note("gap", _TRUNCATED, framer),))
            elif _is_other(path, opened.inode):
                looks_after_rename += 1
                if looks_after_rename >= _ROTATION_LOOKS:
                    yield from framer.rest(passed=True)
                    fresh = _open(path)
                    if mine is not None:
                        mine.close()
                    opened = mine = fresh
                    framer = framer.again(path, opened.inode)
                    seen, looks_after_rename = opened.look(), 0
                    quiet_since = time.monotonic()
    finally:
        if mine is not None:
            mine.close()


_TRUNCATED: Final = (
    "the file was cut or rewritten while it was followed: records written between the last look and the cut may be missing"
)
_TORN_END: Final = "the gzip file ends inside a member: what could be unpacked was read, the rest is missing"
_TORN_DATA: Final = "the gzip file is damaged: what could be unpacked before the damage was read, the rest could not"


def _note(kind: str, text: str, framer: _Framer) -> Note:
    return Note(kind, text, framer.file, framer.position.line + 1)


def _is_other(path: str, inode: int) -> bool:
    """Say whether another file lies at `path` now. None at all means: renamed, the new one is still to come."""
    try:
        return Path(path).stat().st_ino != inode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(path, error) from error


def _open(path: str) -> _File:
    try:
        status = Path(path).stat()
        if S_ISDIR(status.st_mode):
            raise UnreadableFile(f"{path} is a directory", hint="name the files in it, for instance with DIR/*.ndjson")
        if not S_ISREG(status.st_mode):
            raise UnreadableFile(f"{path} is no regular file", hint="write the stream to a file first: it must be readable twice")
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        zipped = os.pread(number, 2, 0) == _GZIP
    except OSError as error:
        os.close(number)
        raise _unreadable(path, error) from error
    return _Zipped(path, number) if zipped else _File(path, number)


def _unreadable(path: str, error: OSError) -> UnreadableFile:
    return UnreadableFile(
        f"{path} could not be read: {error.strerror or 'the system gave no reason'}", hint="check the name and the rights"
    )


class _File:
    """An open file as a stream of blocks of content. `tail`: what lies before the place last sought; `torn`: damage at its end."""

    def __init__(self, path: str, number: int) -> None:
        self.path, self._number, self._at = path, number, 0
        self.inode, self.tail, self.torn = os.fstat(number).st_ino, b"", ""

    def read(self) -> bytes:
        """Return the next block, or nothing if there is no more for now."""
        return self._bytes(_BLOCK)

    def _bytes(self, wanted: int) -> bytes:
        try:
            block = os.pread(self._number, wanted, self._at)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        self._at += len(block)
        return block

    def seek(self, position: Position) -> bool:
        """Go to `position` and set `tail`; say whether what lies before it is what was read then."""
        if position.offset > self.look()[0]:
            return False
        self._at = max(0, position.offset - _TAIL)
        self.tail = self._bytes(position.offset - self._at)
        return _digest(self.tail) == position.digest

    def look(self) -> tuple[int, int]:
        """Return size and time of change on disk."""
        try:
            status = os.fstat(self._number)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return status.st_size, status.st_mtime_ns

    def still_has(self, position: Position) -> bool:
        """Say whether what was read is still there: nothing was cut off or written anew."""
        here = self._at
        same = self.look()[0] >= here and (not position.offset or self.seek(position))
        self._at = here
        return same

    def rewind(self) -> None:
        """Go to the beginning."""
        self._at, self.tail = 0, b""

    def close(self) -> None:
        """Close the file; again is harmless."""
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


class _Zipped(_File):
    """Unpacks member after member, in bounded pieces. Zeros after a member are padding."""

    def __init__(self, path: str, number: int) -> None:
        super().__init__(path, number)
        self._member, self._inside, self._broken = zlib.decompressobj(wbits=31), False, False
        self._packed, self._spare = b"", b""

    def read(self) -> bytes:
        if self._spare:
            block, self._spare = self._spare, b""
            return block
        while not self._broken:
            if self._member.eof:
                self._packed = self._packed.lstrip(b"\0")
                if self._packed:
                    self._member, self._inside = zlib.decompressobj(wbits=31), False
            if not self._packed:
                self._packed = self._bytes(_BLOCK // 4)
                if not self._packed:
                    self.torn = _TORN_END if self._inside and not self._member.eof else ""
                    return b""
                continue
            try:
                block = self._member.decompress(self._packed, _BLOCK)
            except zlib.error:
                self._broken, self.torn = True, _TORN_DATA
                return b""
            self._inside = True
            self._packed = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if block:
                return block
        return b""

    def seek(self, position: Position) -> bool:
        self.rewind()
        left, tail = position.offset, b""
        while left > 0:
            block = self.read()
            if not block:
                return False
            self._spare = block[left:]
            tail = (tail + block[:left])[-_TAIL:]
            left -= len(block)
        self.tail = tail
        return _digest(tail) == position.digest

    def still_has(self, position: Position) -> bool:  # noqa: ARG002 - unpacking all of it at each look would cost too much
        return self.look()[0] >= self._at

    def rewind(self) -> None:
        super().rewind()
        self._member, self._inside, self._broken = zlib.decompressobj(wbits=31), False, False
        self._packed, self._spare, self.torn = b"", b"", ""


def _digest(tail: bytes) -> str:
    return sha256(tail).hexdigest()


class _Over:
    """A line over the limit: its first bytes, its length and its hash, as it passes by."""

    def __init__(self, parts: list[bytes]) -> None:
        self.first, self.size, self.tail, self.hash = b"", 0, b"", sha256()
        for part in parts:
            self.add(part)

    def add(self, part: bytes) -> None:
        if len(self.first) < KEPT:
            self.first += part[: KEPT - len(self.first)]
        self.size += len(part)
        self.tail = (self.tail + part[-_TAIL:])[-_TAIL:]
        self.hash.update(part)


class _Framer:
    """Cuts blocks into records and knows the position after the last one passed. One framer reads one file once, forwards."""

    def __init__(self, file: str, position: Position, tail: bytes, limit: int, quoted: Quoted | None) -> None:
        self.file, self.position = file, position
        self._tail, self._limit, self._quoted = tail, limit, quoted
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._over: _Over | None = None
        self._open: list[bytes] = []
        self._open_size = 0

    def again(self, file: str, inode: int) -> _Framer:
        """Return a framer for the beginning of a file."""
        return _Framer(file, Position(inode=inode), b"", self._limit, self._quoted)

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
            if self._pending_size > self._limit:
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
        for start in range(0, len(lines), _CHUNK):
            part = lines[start : start + _CHUNK]
            first, beginning = self.position.line + 1, not self.position.offset
            self._pass(part)
            if beginning:
                part[0] = part[0].removeprefix(_BOM)
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
            if not self._open and not odd:
                single.append(line)
                continue
            torn = bool(self._open) and (
                self._open_size > self._limit or (quoted.starts is not None and quoted.starts.match(line) is not None)
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
        return Chunk([self._raw(data.removeprefix(_BOM) if beginning else data, number)], self.position)

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
        """Return the record of a line over the limit. Its carriage return, if any, counts as content."""
        number = self.position.line + 1
        if passed:
            self._move(over.size + 1, 1, over.tail + b"\n")
        raw = Raw(cut_record(over.first, over.size, over.hash.hexdigest()), self.file, number, cut=over.size)
        return Chunk([raw], self.position)

    def _pass(self, lines: list[bytes]) -> None:
        """Move the position beyond `lines`."""
        last, size = list[bytes](), 0
        for line in reversed(lines):
            last.append(line)
            size += len(line) + 1
            if size >= _TAIL:
                break
        last.reverse()
        self._move(sum(map(len, lines)) + len(lines), len(lines), b"\n".join(last) + b"\n")

    def _move(self, size: int, lines: int, tail: bytes) -> None:
        self._tail = tail[-_TAIL:] if len(tail) >= _TAIL else (self._tail + tail)[-_TAIL:]
        at = self.position
        self.position = Position(at.offset + size, at.line + lines, at.inode, _digest(self._tail))


def _joined(lines: list[bytes]) -> bytes:
    return b"\n".join(lines).removesuffix(b"\r")
