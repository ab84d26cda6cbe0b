"""The only way to a file for the writer: whole, durable, or `NotDurable`.

`NotDurable` is final for the object that meets it: after a failed sync nobody knows what the disk holds, so the writer stops and
starts again from what can be read. Tests hand in `Calls` of which the n-th fails.
"""

from __future__ import annotations

import _thread
import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from custodes.errors import NotDurable


class Calls:
    """The calls to the operating system that change what a disk holds, one method each."""

    def open(self, path: Path, flags: int) -> int:
        """Open a file; it is made with mode 0600 where the flags ask for that."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        """Write, possibly a part only, and return how many bytes."""
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        """Make a file's bytes durable."""
        _datasync(descriptor)

    def sync_size(self, descriptor: int) -> None:
        """Make a file's bytes and a smaller size durable."""
        os.fsync(descriptor)

    def sync_names(self, path: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file, not yet durably."""
        os.ftruncate(descriptor, size)

    def replace(self, scratch: Path, path: Path) -> None:
        """Rename, not yet durably."""
        scratch.replace(path)

    def make_folder(self, path: Path) -> None:
        """Make one folder of mode 0700, not yet durably; fine if it is there."""
        path.mkdir(exist_ok=True, mode=0o700)


_NATIVE: Final = Calls()


class Disk:
    """Writes that are complete and durable on return, or raise `NotDurable`. Holds no state but the calls it makes."""

    def __init__(self, calls: Calls = _NATIVE) -> None:
        """Use `calls` for all that changes the disk."""
        self._calls = calls

    def open(self, path: Path, *, create: bool = False) -> int:
        """Return a descriptor for reading and writing. With `create` the file and its name are durable when this returns.

        Durable: the name, on return. Order: the name before any byte. Again: what the file holds is kept.
        """
        fresh = create and not path.exists()
        try:
            descriptor = self._calls.open(path, os.O_RDWR | (os.O_CREAT if create else 0))
        except OSError as wrong:
            raise _not_durable("open", path, wrong) from wrong
        if fresh:
            self.sync_folder(path.parent)
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`. Durable only after `sync`.

        Durable: after `sync`, and no earlier. Order: none between two writes until then. Again: the same bytes.
        """
        view, at = memoryview(data), offset
        try:
            while view:
                done = self._calls.write(descriptor, view, at)
                view, at = view[done:], at + done
        except OSError as wrong:
            raise _not_durable("write", None, wrong) from wrong

    def sync(self, descriptor: int) -> None:
        """Return when all bytes written to the descriptor are on disk.

        Durable: on return. Order: all that was written to the descriptor before. Again: costs a wait; never after a failure.
        """
        try:
            self._calls.sync(descriptor)
        except OSError as wrong:
            raise _not_durable("sync", None, wrong) from wrong

    def sync_all(self, descriptors: Sequence[int]) -> None:
        """Return when all bytes written to these files are on disk: they wait for the disk side by side, not one after the other.

        Durable: on return, all of them. Order: none among them. Again: costs a wait; never after a failure.
        """
        if len(descriptors) == 1:
            self.sync(descriptors[0])
            return
        wrong: list[BaseException] = []

        def one(descriptor: int, done: threading.Lock) -> None:
            try:
                self.sync(descriptor)
            except BaseException as found:  # noqa: BLE001  # told to who waits, below
                wrong.append(found)
            finally:
                done.release()

        locks = [threading.Lock() for _ in descriptors]
        for lock in locks:
            lock.acquire()
        for descriptor, lock in zip(descriptors[1:], locks[1:], strict=True):
            # Not `Thread`, which waits for its start: that would cost more than it saves.
            _thread.start_new_thread(one, (descriptor, lock))
        one(descriptors[0], locks[0])
        for lock in locks:
            lock.acquire()
        if wrong:
            raise wrong[0]

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes, durably.

        Durable: on return. Order: as called. Again: the same file.
        """
        try:
            self._calls.truncate(descriptor, size)
            self._calls.sync_size(descriptor)
        except OSError as wrong:
            raise _not_durable("truncate", None, wrong) from wrong

    def replace(self, path: Path, data: bytes) -> None:
        """Put `data` in place of the file in one step: a reader, and a restart after a crash, sees the old or the new whole.

        Durable: on return. Order: bytes, then the name. Again: the same file.
        """
        scratch = path.with_name(path.name + ".new")
        try:
            descriptor = self._calls.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        except OSError as wrong:
            raise _not_durable("create", scratch, wrong) from wrong
        try:
            self.write(descriptor, data, 0)
            self.sync(descriptor)
        finally:
            os.close(descriptor)
        self.rename(scratch, path)

    def rename(self, scratch: Path, path: Path) -> None:
        """Rename durably.

        Durable: on return. Order: the bytes must be synced before. Again: fails, the scratch file is gone.
        """
        try:
            self._calls.replace(scratch, path)
        except OSError as wrong:
            raise _not_durable("rename", path, wrong) from wrong
        self.sync_folder(path.parent)

    def make_folder(self, path: Path) -> None:
        """Make a folder (and its parents) durably.

        Durable: on return, with every folder made on the way. Order: parents first. Again: fine if it is there.
        """
        if not path.parent.is_dir():
            # Parents first: a folder is durable only if its name is, and so the name of each above it.
            self.make_folder(path.parent)
        try:
            self._calls.make_folder(path)
        except OSError as wrong:
            raise _not_durable("make", path, wrong) from wrong
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable.

        Durable: on return. Order: all names made before. Again: costs a wait.
        """
        try:
            self._calls.sync_names(path)
        except OSError as wrong:
            raise _not_durable("sync", path, wrong) from wrong

    @contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        """Hold an exclusive lock while the body runs; other processes, and other objects of this one, wait.

        Durable: nothing but the lock's file, which holds no bytes. Order: whoever asks waits. Again: not within itself.
        """
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
