"""The content of a log file as a stream of blocks: plain or gzip, any number of members, damaged or not."""

from __future__ import annotations

import os
import zlib
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from custodes.errors import UnreadableFile
from custodes.model.reading import Position

HEAD: Final = 64 * 1024
"""Bytes that sources look at to recognise a file."""
TAIL: Final = 4096
"""Bytes before a position by which a replaced file is noticed."""
BOM: Final = b"\xef\xbb\xbf"
_LOOKED_AT: Final = 20
_GZIP: Final = b"\x1f\x8b"
_BLOCK: Final = 128 * 1024
"""Small enough to stay in the processor's cache and below the size from which memory is mapped anew each time."""
_TORN_END: Final = "the gzip file ends inside a member: what could be unpacked was read, the rest is missing"
_TORN_DATA: Final = "the gzip file is damaged: what could be unpacked before the damage was read, the rest could not"


def open_content(path: str) -> Content:
    """Open a file for reading its content, unzipped if it is gzip. Raises `UnreadableFile`."""
    try:
        status = Path(path).stat()
        if S_ISDIR(status.st_mode):
            raise UnreadableFile(f"{path} is a directory", hint="name the files in it, for instance with DIR/*.ndjson")
        if not S_ISREG(status.st_mode):
            raise UnreadableFile(f"{path} is no regular file", hint="write the stream to a file first: it must be readable twice")
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        zipped = os.pread(number, 2, 0) == _GZIP
    except OSError as error:
        os.close(number)
        raise unreadable(path, error) from error
    return _Zipped(path, number) if zipped else Content(path, number)


def read_head(path: str) -> bytes:
    """Return the first 64 KiB of content, unzipped and without byte-order mark; nothing for an empty file.

    Raises `UnreadableFile`, also for a damaged gzip file of which nothing can be unpacked.
    """
    opened = open_content(path)
    try:
        head = b""
        while len(head) < HEAD and (block := opened.read()):
            head += block
        if opened.torn and not head:
            raise UnreadableFile(f"{path}: {opened.torn}", hint="fetch the file again")
    finally:
        opened.close()
    return head.removeprefix(BOM)[:HEAD]


def first_lines(head: bytes) -> list[bytes]:
    """Return the lines by which a file is recognised: those of the first 20 that hold anything, without their newlines."""
    return [line for line in head.split(b"\n", _LOOKED_AT)[:_LOOKED_AT] if line.strip()]


def digest_of(tail: bytes) -> str:
    """Return the digest of a position: of the last 4 KiB of content before it (or all, if there is less)."""
    return sha256(tail[-TAIL:]).hexdigest()


class Content:
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
            raise unreadable(self.path, error) from error
        self._at += len(block)
        return block

    def seek(self, position: Position) -> bool:
        """Go to `position` and set `tail`; say whether what lies before it is what was read then."""
        if position.offset > self.look()[0]:
            return False
        self._at = max(0, position.offset - TAIL)
        self.tail = self._bytes(position.offset - self._at)
        return digest_of(self.tail) == position.digest

    def look(self) -> tuple[int, int]:
        """Return size and time of change on disk."""
        try:
            status = os.fstat(self._number)
        except OSError as error:
            raise unreadable(self.path, error) from error
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


class _Zipped(Content):
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
            tail = (tail + block[:left])[-TAIL:]
            left -= len(block)
        self.tail = tail
        return digest_of(tail) == position.digest

    def still_has(self, position: Position) -> bool:  # noqa: ARG002 - unpacking all of it at each look would cost too much
        return self.look()[0] >= self._at

    def rewind(self) -> None:
        super().rewind()
        self._member, self._inside, self._broken = zlib.decompressobj(wbits=31), False, False
        self._packed, self._spare, self.torn = b"", b"", ""


def unreadable(path: str, error: OSError) -> UnreadableFile:
    """Return the error for a file that the system will not give."""
    return UnreadableFile(
        f"{path} could not be read: {error.strerror or 'the system gave no reason'}", hint="check the name and the rights"
    )
