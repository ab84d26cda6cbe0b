"""A file that is read at once: exports of context, documents, keys, policies. Never waits for a writer that does not exist."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

MOST_PIPED: Final = 16 * 1024 * 1024
"""Bytes that a pipe or device may give: without a bound one that never ends would fill the memory."""


def read_whole(path: Path, *, pipes: bool = False) -> bytes:
    """Return the bytes of a regular file; with `pipes` also what comes out of a pipe (one without a writer is empty).

    Raises `OSError`, whose `strerror` says what it is, for everything else: a directory, a device, a pipe that gives too much.
    """
    # Without O_NONBLOCK the opening of a pipe waits until somebody writes, which may be never.
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(number, "rb") as file:
        mode = os.fstat(number).st_mode
        if S_ISDIR(mode):
            raise OSError(errno.EISDIR, "it is a directory")
        if S_ISREG(mode):
            return file.read()
        if not pipes:
            raise OSError(errno.EINVAL, "it is no regular file")
        os.set_blocking(number, True)
        data = file.read(MOST_PIPED + 1)
    if len(data) > MOST_PIPED:
        raise OSError(errno.EFBIG, f"it gives more than {MOST_PIPED // 2**20} MiB")
    return data
