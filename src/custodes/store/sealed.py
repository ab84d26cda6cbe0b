"""Sealed streams: append-only files of frames, one file per day of recording, each frame several sections under AES-256-GCM.

A frame is `CVF2 | sections u8 | reserved 3 | number u64 | first u64 | span u64 | key name 8`, then per section `sealed length u64 |
plain length u64 | nonce 12`, then the sealed sections. Header bytes are authenticated, so frames can be neither exchanged nor
renumbered; `first` and `span` say to which leaves of the ledger a frame belongs, so that these are found without opening others.
Each section is compressed (zstd) before it is sealed. All frames of a file share random keys, one for each kind of section
(`store.keys`): raw records can be destroyed earlier than the values made of them, and a file that is written anew has fresh keys.
Frame numbers of a stream run 0, 1, 2 … without a gap over all its files.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from custodes.errors import PartMissing, UnknownVersion
from custodes.ledger.disk import Disk
from custodes.store.keys import ID, KeyDestroyed, Keys, remove

_MAGIC: Final = b"CVF2"
_HEAD: Final = struct.Struct(f">4sB3xQQQ{ID}s")
_SECTION: Final = struct.Struct(">QQ12s")
_TAG: Final = 16
_Read = Callable[[int], bytes]
_Packed = tuple[bytes, int]
"""A section's compressed content, and its plain length."""
_NAME: Final = re.compile(r"\d{4}-\d\d-\d\d\.sealed")


@cache
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=1)


class Frame:
    """One frame as it lies on disk; sections are read and opened only when asked for.

    `first`, `span`: index of the first leaf that belongs to it, and how many do.
    """

    def __init__(self, stream: Stream, file: Path, offset: int, head: bytes) -> None:
        self._stream, self.file, self.offset, self._head = stream, file, offset, head
        number, first, span, key = _HEAD.unpack_from(head)[2:]
        self.number: int = number
        self.first: int = first
        self.span: int = span
        self.key: bytes = key
        self._sections = [_SECTION.unpack_from(head, at) for at in range(_HEAD.size, len(head), _SECTION.size)]
        self.end = offset + len(head) + sum(sealed for sealed, _, _ in self._sections)

    @property
    def day(self) -> str:
        """Day of recording, `YYYY-MM-DD`."""
        return self.file.name[:10]

    def section(self, index: int) -> bytes:
        """Return a section's content. Raises `KeyDestroyed`, and `PartMissing` if it was changed or cut or its key is missing."""
        packed, plain = self.packed(index)
        return _codec().decompress(packed, decompressed_size=plain, asbytes=True) if plain else b""

    def is_gone(self, index: int) -> bool:
        """Say whether the key of a section was destroyed. Raises `PartMissing` if the file's keys are missing."""
        try:
            self._stream.cipher(self.file, self.key, index)
        except KeyDestroyed:
            return True
        return False

    def packed(self, index: int) -> tuple[bytes, int]:
        """Return a section's content as it was compressed, and its plain length. Raises as `section` does."""
        cipher = self._stream.cipher(self.file, self.key, index)
        at = self.offset + len(self._head) + sum(sealed for sealed, _, _ in self._sections[:index])
        sealed, plain, nonce = self._sections[index]
        with self.file.open("rb") as handle:
            handle.seek(at)
            data = handle.read(sealed)
        try:
            return cipher.decrypt(nonce, data, self._head), plain
        except InvalidTag:
            raise PartMissing(f"a sealed record of {self.file.parent.name}/{self.file.name} was changed or cut") from None


class Mark(NamedTuple):
    """How far a reader has come: the file and its inode, the offset behind its last frame, and the number of the next frame."""

    file: str
    inode: int
    offset: int
    number: int


class Laid(NamedTuple):
    """Frames that were written and not synced: the open file, the mark behind them, and the number of the first."""

    handle: int
    end: Mark
    first: int


class Stream:
    """One append-only stream of sealed frames in `folder`. One writer at a time (the caller's lock); readers need none."""

    def __init__(self, folder: Path, keys: Keys, sections: Sequence[str], *, name: str = "", disk: Disk | None = None) -> None:
        """`sections`: names of the sections; `name`: of the stream's key files, if not the folder's."""
        self._folder, self._keys, self.sections = folder, keys, tuple(sections)
        self._name = name or folder.name
        self.disk = disk or Disk()
        self._count: int | None = None
        self._last: tuple[str, bytes] = ("", b"")
        """Name of the last file, and of its keys."""
        self._end: Mark | None = None
        """What was whole when it was last looked at: looking again begins there."""

    # Reading

    def frames(self, start: int = 0, *, gaps: list[str] | None = None) -> Iterator[Frame]:
        """Yield frames from number `start` on; a half-written one at the very end is passed over.

        Raises `PartMissing` where a file is damaged or, unless `gaps` takes the sentence, a number is missing; `UnknownVersion`.
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
                    text = f"sealed records are missing before number {frame.number} of {self._folder.name}/{file.name}"
                    if gaps is None:
                        raise PartMissing(text)
                    gaps.append(text)
                expected = frame.number + 1
                if frame.number >= start:
                    yield frame

    def since(self, mark: Mark | None) -> tuple[list[Frame], Mark]:
        """Return the frames after a mark (None: all), and the mark behind them. For a caller who keeps writers out."""
        files = self._files()
        start = self._begin(files[-1], mark) if files else 0
        if mark is None or (not start and mark.number) or (files and files[-1].name != mark.file):
            found = list(self.frames(mark.number if mark else 0))
        else:
            found = list(self._walk(files[-1], last=True, start=start)) if files else []
        if found:
            last = found[-1]
            return found, Mark(last.file.name, last.file.stat().st_ino, last.end, last.number + 1)
        return found, mark or Mark("", 0, 0, 0)

    def cipher(self, file: Path, key: bytes, index: int) -> AESGCM:
        """Return the cipher of a section of a file. Raises `PartMissing`."""
        return self._keys.cipher(self._label(file.name), key, self.sections, index)

    # Appending

    def count(self) -> int:
        """Return how many whole frames the stream holds; cuts a frame that a crash left half-written. For the writer."""
        if self._count is None:
            self._count = self._recover()
        return self._count

    def look_again(self) -> None:
        """Forget what this object believes: another process may have appended since."""
        self._count = None

    def append(self, sections: Sequence[bytes], day: date, *, first: int = 0, span: int = 0) -> int:
        """Seal `sections` as the next frame and return its number. Durable on return; raises `NotDurable`.

        `first`, `span`: the leaves that belong to it.
        """
        return self.append_all([(sections, first, span)], day)

    def append_all(self, frames: Sequence[tuple[Sequence[bytes], int, int]], day: date) -> int:
        """Seal several frames (sections, first, span) with one write and one sync; return the first one's number, as `append`."""
        return append_together([(self, frames)], day)[0]

    def lay(self, frames: Sequence[tuple[Sequence[bytes], int, int]], day: date) -> Laid:
        """Write frames, not yet durably; the caller syncs, and ends with `rest`. Raises `NotDurable`."""
        number = self.count()
        # If the clock fell, the later file goes on: order of files = order of frames.
        name = max(f"{day.isoformat()}.sealed", self._last[0])
        if self._last[0] != name or not self._last[1]:
            # Before this line the file's keys are not on disk, and nothing is sealed under keys that a crash could take away.
            self._last = (name, self._keys.make(self._label(name), self.sections))
        sealed = [
            self._sealed((at, first, span), self._label(name), self._last[1], [_pack(content) for content in sections])
            for at, (sections, first, span) in enumerate(frames, number)
        ]
        handle, end = self._write(self._folder / name, b"".join(sealed))
        return Laid(handle, Mark(name, os.fstat(handle).st_ino, end, number + len(frames)), number)

    def rest(self, laid: Laid, *, durable: bool) -> None:
        """Take what was laid as appended, if it is durable; else nobody knows what the disk holds, and it is looked at again."""
        os.close(laid.handle)
        self._count = laid.end.number if durable else None
        self._end = laid.end if durable else self._end

    def tip(self) -> Mark:
        """Return the mark behind the last frame, as this object knows it; for the writer, after it has appended."""
        return self._end or Mark("", 0, 0, 0)

    def cut_to(self, count: int) -> None:
        """Take back all frames from number `count` on: nothing made of them was ever acknowledged."""
        while self.count() > count:
            *_, last = self.frames(self.count() - 1)
            self._cut(last.file, last.offset)
            self._count = last.number
            if not last.offset:
                self._count = None  # an empty file and its keys go with the next look

    # Destroying. For the stream's only writer.

    def rewrite(self, change: Callable[[Frame], Sequence[bytes] | None], numbers: set[int]) -> int:
        """Write anew, under fresh keys, every file that holds a frame of `numbers` which `change` gives other sections for.

        `change` returns a frame's new sections, or None to keep it. Frames keep their numbers and leaves. A file is replaced whole
        and only then its old keys are destroyed: from then on no copy of the old file can be opened. Repeatable: what a crash left
        undone is done by `sweep` and by calling this again. Returns how many files were written. Durable on return.
        """
        self.count()
        changed = 0
        for file in self._files():
            fresh: dict[int, Sequence[bytes]] = {}
            for frame in self._walk(file, last=True):
                if frame.number in numbers and (sections := change(frame)) is not None:
                    fresh[frame.number] = sections
            if fresh:
                self._replace(file, fresh)
                changed += 1
        return changed

    def sweep(self) -> int:
        """Destroy keys that no file uses any more and half-written new files: what a crash of `rewrite` leaves. Durable."""
        for scratch in self._folder.glob("*.sealed.new"):
            scratch.unlink()
        kept = [(self._label(file.name), key) for file in self._files() for key in self._keys_of(file)]
        return self._keys.sweep(self._name, kept)

    def expire(self, index: int, before: date) -> None:
        """Destroy the keys of one section of all files of days before `before`. Durable, repeatable."""
        for file in self._files():
            if file.name[:10] < before.isoformat():
                for key in self._keys_of(file):
                    self._keys.destroy_section(self._label(file.name), key, index)
        self._count = None  # what is appended from now on has other keys

    def end(self) -> None:
        """Destroy the whole stream: its keys, then its files. Durable, repeatable; cut short, what is left says `KeyDestroyed`."""
        for file in self._files():
            for key in self._keys_of(file):
                for place in range(len(self.sections)):
                    self._keys.destroy_section(self._label(file.name), key, place)
        for file in self._folder.glob("*.sealed*"):
            remove(self.disk, file)
        self._keys.sweep(self._name, ())
        self._count, self._last = None, ("", b"")

    def _replace(self, file: Path, fresh: dict[int, Sequence[bytes]]) -> None:
        label, old, made = self._label(file.name), self._keys_of(file), dict[frozenset[int], bytes]()
        gone = {key: frozenset(self._keys.gone(label, key, self.sections)) for key in old}
        scratch = file.with_name(file.name + ".new")
        handle = self.disk.open(scratch, create=True)
        try:
            self.disk.truncate(handle, 0)
            offset = 0
            for frame in self._walk(file, last=True):
                without = gone[frame.key]
                if without not in made:
                    made[without] = self._keys.make(label, self.sections, without)
                packed = self._packed(frame, fresh.get(frame.number), without)
                data = self._sealed((frame.number, frame.first, frame.span), label, made[without], packed)
                self.disk.write(handle, data, offset)
                offset += len(data)
            self.disk.sync(handle)
        finally:
            os.close(handle)
        # Before this line readers see the old frames, after it the new ones; both are whole.
        self.disk.rename(scratch, file)
        self._count = None
        for key in old:
            # Before this line an old copy of the file can be opened, after it by nobody.
            self._keys.destroy(label, key)

    def _packed(self, frame: Frame, given: Sequence[bytes] | None, gone: frozenset[int]) -> list[_Packed | None]:
        places = range(len(self.sections))
        if given is None:
            return [None if place in gone else frame.packed(place) for place in places]
        return [None if place in gone else _pack(given[place]) for place in places]

    # Files

    def _label(self, file: str) -> str:
        return f"{self._name}.{file[:10]}"

    def _sealed(self, about: tuple[int, int, int], label: str, key: bytes, packed: Sequence[_Packed | None]) -> bytes:
        """Return a frame: number, first leaf and span; its sections, None where one was destroyed for good and stays empty."""
        nonces = [os.urandom(12) for _ in packed]
        sizes = [(0, 0) if item is None else (len(item[0]) + _TAG, item[1]) for item in packed]
        head = _HEAD.pack(_MAGIC, len(packed), *about, key) + b"".join(
            [_SECTION.pack(*size, nonce) for size, nonce in zip(sizes, nonces, strict=True)]
        )
        sealed = [
            self._keys.cipher(label, key, self.sections, place).encrypt(nonces[place], item[0], head)
            for place, item in enumerate(packed)
            if item is not None
        ]
        return b"".join((head, *sealed))

    def _keys_of(self, file: Path) -> list[bytes]:
        return list(dict.fromkeys(frame.key for frame in self._walk(file, last=True)))

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def _first_number(self, file: Path) -> int | None:
        with file.open("rb") as handle:
            head = handle.read(_HEAD.size)
        return _HEAD.unpack(head)[2] if len(head) == _HEAD.size and head.startswith(_MAGIC) else None

    def _begin(self, file: Path, mark: Mark | None) -> int:
        """Return where to go on in a file: behind the mark, or at its start if it is another file by now."""
        if mark is None or mark.file != file.name:
            return 0
        found = file.stat()
        return mark.offset if found.st_ino == mark.inode and found.st_size >= mark.offset else 0

    def _walk(self, file: Path, *, last: bool, start: int = 0) -> Iterator[Frame]:
        size = file.stat().st_size
        with file.open("rb") as handle:
            offset = handle.seek(start)
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
            if start[:3] == _MAGIC[:3] and start[3:4].isdigit():
                raise UnknownVersion(f"{self._folder.name}/{file.name} is of a version that this program does not know")
            return None
        head = start + read(start[4] * _SECTION.size)
        if len(head) < _HEAD.size + start[4] * _SECTION.size:
            return None
        frame = Frame(self, file, offset, head)
        return frame if frame.end <= size else None

    def _recover(self) -> int:
        files = self._files()
        while files:
            start = self._begin(files[-1], self._end)
            frames = list(self._walk(files[-1], last=True, start=start))
            if start and not frames and files[-1].stat().st_size > start:  # taken back and written again since: look at all of it
                start, frames = 0, list(self._walk(files[-1], last=True))
            end = frames[-1].end if frames else start
            if files[-1].stat().st_size > end:
                self._check_torn(files[-1], end)
                self._cut(files[-1], end)
            if not frames and start and self._end is not None and self._last[1]:
                return self._end.number
            if frames:
                self._end = Mark(files[-1].name, files[-1].stat().st_ino, end, frames[-1].number + 1)
                self._last = (files[-1].name, frames[-1].key)
                if self._keys.gone(self._label(files[-1].name), frames[-1].key, self.sections):
                    self._last = (files[-1].name, b"")  # what comes now must not be sealed under keys that were destroyed
                return frames[-1].number + 1
            files[-1].unlink()
            files.pop()
        self._last = ("", b"")
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
        handle = self.disk.open(file)
        try:
            self.disk.truncate(handle, size)
        finally:
            os.close(handle)

    def _write(self, file: Path, data: bytes) -> tuple[int, int]:
        """Write behind the end, not yet durably; return the open file and its new end."""
        if not self._folder.is_dir():
            self.disk.make_folder(self._folder)
        handle = self.disk.open(file, create=True)
        try:
            end = os.lseek(handle, 0, os.SEEK_END)
            self.disk.write(handle, data, end)
        except BaseException:
            os.close(handle)
            self._count = None  # nobody knows what the disk holds: look again before the next append
            raise
        return handle, end + len(data)


def append_together(parts: Sequence[tuple[Stream, Sequence[tuple[Sequence[bytes], int, int]]]], day: date) -> list[int]:
    """Append frames to several streams of one disk with one wait for it; return the number of each one's first frame.

    Durable: all, on return. Order: none among the streams. Again: appends again. Raises `NotDurable`: any part may be on disk.
    """
    laid: list[tuple[Stream, Laid]] = []
    durable = False
    try:
        for stream, frames in parts:
            laid.append((stream, stream.lay(frames, day)))
        parts[0][0].disk.sync_all([item.handle for _, item in laid])
        durable = True
    finally:
        for stream, item in laid:
            stream.rest(item, durable=durable)
    return [item.first for _, item in laid]


def _pack(content: bytes) -> _Packed:
    return (_codec().compress(content, asbytes=True) if content else b"", len(content))
