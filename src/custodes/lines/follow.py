"""Reading a file of records from a position to its end, or for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from custodes.lines.content import Content, open_content, unreadable
from custodes.lines.framing import CHUNK, LIMIT, Framer, Quoted
from custodes.model.draft import Note, Raw
from custodes.model.reading import Chunk, Follow, Position

_ROTATION_LOOKS: Final = 3
_TRUNCATED: Final = (
    "the file was cut or rewritten while it was followed: records written between the last look and the cut may be missing"
)


def read_lines(
    path: str, position: Position, *, follow: Follow | None = None, limit: int = LIMIT, quoted: Quoted | None = None
) -> Iterator[Chunk]:
    """Yield the records of `path` after `position`, in chunks of 2,000 to 4,000 or what there is.

    If the file was replaced or cut since `position` (its digest does not match), reading starts at its beginning, after the rest of
    the old file if that one still lies beside it under another name. With `follow` it goes on waiting, yields empty chunks while
    idle, finishes a renamed file before the new one, and starts again after a truncation (with a note of the possible gap).
    Raises `UnreadableFile`.
    """
    opened = open_content(path)
    try:
        if position.offset and not opened.seek(position):
            yield from _finish_renamed(path, position, limit, quoted)
            opened.close()
            opened = open_content(path)
            position = Position()
        start = position if position.offset else Position()
        framer = Framer(path, start._replace(inode=opened.inode), opened.tail, limit, quoted)
        if follow is None:
            yield from _to_end(opened, framer)
        else:
            yield from _following(path, opened, framer, follow)
    finally:
        opened.close()


def _to_end(opened: Content, framer: Framer) -> Iterator[Chunk]:
    yield from _available(opened, framer)
    yield from framer.rest(passed=False)
    if opened.torn:
        yield Chunk([], framer.position, 0, (_note("gap", opened.torn, framer),))


def _available(opened: Content, framer: Framer) -> Iterator[Chunk]:
    """Yield the records that can be read now, gathered into chunks of good size."""
    raws, blank = list[Raw](), 0
    while block := opened.read():
        for chunk in framer.feed(block):
            raws += chunk.raws
            blank += chunk.blank
            if len(raws) + blank > CHUNK:
                yield Chunk(raws, chunk.position, blank)
                raws, blank = [], 0
    if raws or blank:
        yield Chunk(raws, framer.position, blank)


def _finish_renamed(path: str, position: Position, limit: int, quoted: Quoted | None) -> Iterator[Chunk]:
    """Read the rest of a file that was renamed while nobody looked: the same inode in the same folder, and the same last bytes."""
    with os.scandir(Path(path).parent) as entries:
        names = [entry.path for entry in entries if entry.inode() == position.inode and entry.is_file(follow_symlinks=False)]
    for name in names:
        opened = open_content(name)
        try:
            if opened.seek(position):
                framer = Framer(name, position, opened.tail, limit, quoted)
                yield from _available(opened, framer)
                yield from framer.rest(passed=True)
                return
        finally:
            opened.close()


def _following(path: str, opened: Content, framer: Framer, follow: Follow) -> Iterator[Chunk]:
    """Read for ever (or until idle for `idle_stop_s`). Closes what it opens; the first `opened` belongs to the caller."""
    mine: Content | None = None
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
                    fresh = open_content(path)
                    if mine is not None:
                        mine.close()
                    opened = mine = fresh
                    framer = framer.again(path, opened.inode)
                    seen, looks_after_rename = opened.look(), 0
                    quiet_since = time.monotonic()
    finally:
        if mine is not None:
            mine.close()


def _note(kind: str, text: str, framer: Framer) -> Note:
    return Note(kind, text, framer.file, framer.position.line + 1)


def _is_other(path: str, inode: int) -> bool:
    """Say whether another file lies at `path` now. None at all means: renamed, the new one is still to come."""
    try:
        return Path(path).stat().st_ino != inode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unreadable(path, error) from error
