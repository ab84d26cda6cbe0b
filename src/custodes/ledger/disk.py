"""The only way to a file for the writer: whole, durable, or `NotDurable`.

`NotDurable` is final for the object that meets it: after a failed sync nobody knows what the disk holds, so the writer stops and
starts again from what can be read. Tests hand in a `Disk` whose n-th call fails.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from custodes.errors import NotDurable


class Disk:
    """Writes that are complete and durable on return, or raise `NotDurable`. No state of its own."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """Return a descriptor for reading and writing. With `create` the file and its name are durable when this returns."""
        fresh = create and not path.exists()
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        except OSError as wrong:
            raise _not_durable("open", path, wrong) from wrong
        if fresh:
            self.sync_folder(path.parent)
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`. Durable only after `sync`."""
        view, at = memoryview(data), offset
        try:
            while view:
                done = os.pwrite(descriptor, view, at)
                view, at = view[done:], at + done
        except OSError as wrong:
            raise _not_durable("write", None, wrong) from wrong

    def sync(self, descriptor: int) -> None:
        """Return when all bytes written to the descriptor are on disk."""
        try:
            _datasync(descriptor)
        except OSError as wrong:
            raise _not_durable("sync", None, wrong) from wrong

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes, durably."""
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        except OSError as wrong:
            raise _not_durable("truncate", None, wrong) from wrong

    def replace(self, path: Path, data: bytes) -> None:
        """Put `data` in place of the file in one step: a reader, and a restart after a crash, sees the old or the new whole."""
        scratch = path.with_name(path.name + ".new")
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as wrong:
            raise _not_durable("create", scratch, wrong) from wrong
        try:
            self.write(descriptor, data, 0)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        self.rename(scratch, path)

    def rename(self, scratch: Path, path: Path) -> None:
        """Rename durably."""
        try:
            scratch.replace(path)
        except OSError as wrong:
            raise _not_durable("rename", path, wrong) from wrong
        self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Make a folder (and its parents) durably."""
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as wrong:
            raise _not_durable("make", path, wrong) from wrong
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as wrong:
            raise _not_durable("sync", path, wrong) from wrong

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold an exclusive lock while the body runs; other processes, and other objects of this one, wait."""
        descriptor = self.open(path, create=True)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)  # closing gives the lock back


_datasync = getattr(os, "fdatasync", os.fsync)


def _not_durable(what: str, path: Path | None, wrong: OSError) -> NotDurable:
    where = "" if path is None else f" {path.name}"
    reason = errno.errorcode.get(wrong.errno or 0, "unknown error")
    return NotDurable(f"the ledger could not {what}{where} ({reason}); nothing was acknowledged that is not on disk")
