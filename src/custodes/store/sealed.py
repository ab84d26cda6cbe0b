"""Sealed streams: append-only files of frames, one file per day of recording, each frame several sections under AES-256-GCM.

A frame is `CVF1 | sections u8 | reserved 3 | number u64`, then per section `sealed length u64 | plain length u64 | nonce 12`, then
the sealed sections. Header bytes are authenticated, so frames can be neither exchanged nor renumbered. Each section is compressed
(zstd) before it is sealed and has a key of its own kind, so that raw records can be destroyed earlier than the values made of them.
Frame numbers of a stream run 0, 1, 2 … without a gap over all its files.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodes.errors import PartMissing
from custodes.ledger.disk import Disk

_MAGIC: Final = b"CVF1"
_HEAD: Final = struct.Struct(">4sB3xQ")
_SECTION: Final = struct.Struct(">QQ12s")
_TAG: Final = 16
_Read = Callable[[int], bytes]
_NAME: Final = re.compile(r"\d{4}-\d\d-\d\d\.sealed")


@cache
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=1)


class Frame:
    """One frame as it lies on disk; sections are read and opened only when asked for."""

    def __init__(self, stream: Stream, file: Path, offset: int, head: bytes) -> None:
        self._stream, self.file, self.offset, self._head = stream, file, offset, head
        self.number: int = _HEAD.unpack_from(head)[2]
        self._sections = [_SECTION.unpack_from(head, at) for at in range(_HEAD.size, len(head), _SECTION.size)]
        self.end = offset + len(head) + sum(sealed for sealed, _, _ in self._sections)

    @property
    def day(self) -> str:
        """Day of recording, `YYYY-MM-DD`."""
        return self.file.name[:10]

    def section(self, index: int) -> bytes:
        """Return a section's content. Raises `PartMissing` if it was changed or cut."""
        at = self.offset + len(self._head) + sum(sealed for sealed, _, _ in self._sections[:index])
        sealed, plain, nonce = self._sections[index]
        with self.file.open("rb") as handle:
            handle.seek(at)
            data = handle.read(sealed)
        try:
            packed = self._stream.cipher(index).decrypt(nonce, data, self._head)
        except InvalidTag:
            raise PartMissing(f"a sealed record of {self.file.parent.name}/{self.file.name} was changed or cut") from None
        return _codec().decompress(packed, decompressed_size=plain, asbytes=True) if plain else b""


class Stream:
    """One append-only stream of sealed frames in `folder`. One writer at a time (the caller's lock); readers need none."""

    def __init__(self, folder: Path, key: bytes, sections: Sequence[str]) -> None:
        """`key`: 32 bytes; `sections`: names of the sections, each of which gets a key derived from `key`."""
        self._folder = folder
        self._ciphers = [
            AESGCM(blake2b(f"{folder.name}/{name}".encode(), key=key, digest_size=32, person=b"section").digest())
            for name in sections
        ]
        self._disk = Disk()
        self._count: int | None = None

    def cipher(self, index: int) -> AESGCM:
        """Return the cipher of a section."""
        return self._ciphers[index]

    def count(self) -> int:
        """Return how many whole frames the stream holds; cuts a frame that a crash left half-written. For the writer."""
        if self._count is None:
            self._count = self._recover()
        return self._count

    def look_again(self) -> None:
        """Forget what this object believes: another process may have appended since."""
        self._count = None

    def append(self, sections: Sequence[bytes], day: date) -> int:
        """Seal `sections` as the next frame and return its number. Durable on return; raises `NotDurable`."""
        number = self.count()
        files = self._files()  # if the clock fell, the later file goes on: order of files = order of frames
        name = f"{day.isoformat()}.sealed"
        file = self._folder / (name if not files or name > files[-1].name else files[-1].name)
        packed = [_codec().compress(content, asbytes=True) if content else b"" for content in sections]
        nonces = [os.urandom(12) for _ in sections]
        head = _HEAD.pack(_MAGIC, len(sections), number) + b"".join(
            _SECTION.pack(len(data) + _TAG, len(content), nonce)
            for data, content, nonce in zip(packed, sections, nonces, strict=True)
        )
        sealed = [
            cipher.encrypt(nonce, data, head)
            for cipher, nonce, data in zip(self._ciphers[: len(packed)], nonces, packed, strict=True)
        ]
        self._write(file, b"".join((head, *sealed)))
        self._count = number + 1
        return number

    def cut_to(self, count: int) -> None:
        """Take back all frames from number `count` on: nothing made of them was ever acknowledged."""
        while self.count() > count:
            *_, last = self.frames(self.count() - 1)
            self._cut(last.file, last.offset)
            self._count = last.number

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield frames from number `start` on; a half-written one at the very end is passed over.

        Raises `PartMissing` where a file is damaged or a number is missing.
        """
        files = self._files()
        first = 0
        for place, file in enumerate(files):
            number = self._first_number(file)
            if number is not None and number <= start:
                first = place
        expected: int | None = None
        for file in files[first:]:
            for frame in self._walk(file, last=file == files[-1]):
                if expected is not None and frame.number != expected:
                    raise PartMissing(f"sealed records are missing before number {frame.number} of {self._folder.name}/{file.name}")
                expected = frame.number + 1
                if frame.number >= start:
                    yield frame

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def _first_number(self, file: Path) -> int | None:
        with file.open("rb") as handle:
            head = handle.read(_HEAD.size)
        return _HEAD.unpack(head)[2] if len(head) == _HEAD.size and head.startswith(_MAGIC) else None

    def _walk(self, file: Path, *, last: bool) -> Iterator[Frame]:
        size = file.stat().st_size
        with file.open("rb") as handle:
            offset = 0
            while offset < size:
                frame = self._at(file, handle.read(_HEAD.size), offset, size, handle.read)
                if frame is None:
                    if last:
                        return
                    raise PartMissing(f"{self._folder.name}/{file.name} is damaged at byte {offset}")
                yield frame
                offset = frame.end
                handle.seek(offset)

    def _at(self, file: Path, start: bytes, offset: int, size: int, read: _Read) -> Frame | None:
        if len(start) < _HEAD.size or not start.startswith(_MAGIC):
            return None
        head = start + read(start[4] * _SECTION.size)
        if len(head) < _HEAD.size + start[4] * _SECTION.size:
            return None
        frame = Frame(self, file, offset, head)
        return frame if frame.end <= size else None

    def _recover(self) -> int:
        files = self._files()
        while files:
            frames = list(self._walk(files[-1], last=True))
            end = frames[-1].end if frames else 0
            if files[-1].stat().st_size > end:
                self._check_torn(files[-1], end)
                self._cut(files[-1], end)
            if frames:
                return frames[-1].number + 1
            files[-1].unlink()
            files.pop()
        return 0

    def _check_torn(self, file: Path, end: int) -> None:
        """Only a frame cut short by a crash may be dropped; anything else is damage, and damage is never tidied away."""
        with file.open("rb") as handle:
            handle.seek(end)
            rest = handle.read()
        if rest.startswith(_MAGIC[: len(rest)]) or not rest.strip(b"\0"):
            return
        raise PartMissing(f"{self._folder.name}/{file.name} is damaged at byte {end}", hint="restore this file from a backup")

    def _cut(self, file: Path, size: int) -> None:
        handle = self._disk.open(file)
        try:
            self._disk.truncate(handle, size)
        finally:
            os.close(handle)

    def _write(self, file: Path, data: bytes) -> None:
        if not self._folder.is_dir():
            self._disk.make_folder(self._folder)
        handle = self._disk.open(file, create=True)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            try:
                self._disk.write(handle, data, end)
                self._disk.sync(handle)
            except BaseException:
                self._count = None  # nobody knows what the disk holds: look again before the next append
                raise
        finally:
            os.close(handle)


class Drawer:
    """Small sealed files by keyed name, each replaced whole: reading positions with their parser states."""

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._naming = blake2b(b"names", key=key, digest_size=32, person=folder.name.encode()[:16]).digest()
        self._cipher = AESGCM(blake2b(b"content", key=key, digest_size=32, person=folder.name.encode()[:16]).digest())
        self._disk = Disk()

    def get(self, name: str) -> bytes | None:
        """Return what was put under `name`, or None. Raises `PartMissing` if the file was changed."""
        file = self._file(name)
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return self._cipher.decrypt(data[:12], data[12:], file.name.encode())
        except (InvalidTag, ValueError):
            raise PartMissing(f"a sealed file of {self._folder.name} was changed") from None

    def put(self, name: str, content: bytes) -> None:
        """Put `content` in place of what lies under `name`. Durable on return."""
        if not self._folder.is_dir():
            self._disk.make_folder(self._folder)
        nonce, file = os.urandom(12), self._file(name)
        self._disk.replace(file, nonce + self._cipher.encrypt(nonce, content, file.name.encode()))

    def _file(self, name: str) -> Path:
        digest = blake2b(name.encode("utf-8", "surrogatepass"), key=self._naming, digest_size=16).hexdigest()
        return self._folder / f"{digest}.sealed"
