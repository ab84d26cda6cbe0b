"""A disk that fails at the n-th call, and one whose power is cut there: `Calls` for `ledger.disk.Disk`, over real files.

`Failing` makes one call raise as the operating system would. `PowerCut` stops everything at a call and then writes out what a disk
may hold: of the bytes that were not synced none, a part, a part and zeros in place of the rest, zeros alone, or all; of the names
that were not synced the old ones or the new ones.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from custodes.ledger.disk import Calls

WAYS = ("EIO before", "EIO after", "ENOSPC before", "ENOSPC half", "short write")
DATA = ("none", "half", "hole", "zeros", "all")
NAMES = ("old", "new")


class Stopped(Exception):
    """The power is gone; nothing after this happens."""


class Steps(Calls):
    """Counts and names the calls."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._paths: dict[int, Path] = {}

    def step(self, what: str, path: Path) -> None:
        self.steps.append(f"{what} {path.name}")

    def open(self, path: Path, flags: int) -> int:
        self.step("open", path)
        descriptor = super().open(path, flags)
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        self.step("write", self._paths[descriptor])
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        self.step("sync", self._paths[descriptor])
        super().sync(descriptor)

    def sync_size(self, descriptor: int) -> None:
        self.step("sync", self._paths[descriptor])
        super().sync_size(descriptor)

    def sync_names(self, path: Path) -> None:
        self.step("names", path)
        super().sync_names(path)

    def truncate(self, descriptor: int, size: int) -> None:
        self.step("truncate", self._paths[descriptor])
        super().truncate(descriptor, size)

    def replace(self, scratch: Path, path: Path) -> None:
        self.step("rename", path)
        super().replace(scratch, path)

    def make_folder(self, path: Path) -> None:
        self.step("folder", path)
        super().make_folder(path)


class Failing(Steps):
    """Call number `stop` fails in one of `WAYS`; the calls after it fail too, as on a disk that is gone (but not after a short
    write, which is no error: the rest must be written).
    """

    def __init__(self, stop: int, way: str) -> None:
        super().__init__()
        self._stop = stop
        self._way = way
        self.failed = False

    def step(self, what: str, path: Path) -> None:
        super().step(what, path)
        at = len(self.steps)
        if at < self._stop or self._way == "short write":
            return
        if at > self._stop or self._way.endswith("before") or (self._way == "ENOSPC half" and what != "write"):
            self._raise()

    def _raise(self) -> None:
        self.failed = True
        code = errno.ENOSPC if self._way.startswith("ENOSPC") else errno.EIO
        raise OSError(code, os.strerror(code))

    def _after(self) -> None:
        if len(self.steps) == self._stop and self._way == "EIO after":
            self._raise()

    def open(self, path: Path, flags: int) -> int:
        descriptor = super().open(path, flags)
        try:
            self._after()
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        if len(self.steps) + 1 == self._stop and self._way in {"ENOSPC half", "short write"}:
            data = data[: (len(data) + 1) // 2]
        done = super().write(descriptor, data, offset)
        self._after()
        return done

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self._after()

    def sync_size(self, descriptor: int) -> None:
        super().sync_size(descriptor)
        self._after()

    def sync_names(self, path: Path) -> None:
        super().sync_names(path)
        self._after()

    def truncate(self, descriptor: int, size: int) -> None:
        super().truncate(descriptor, size)
        self._after()

    def replace(self, scratch: Path, path: Path) -> None:
        super().replace(scratch, path)
        self._after()

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._after()


class PowerCut(Steps):
    """The power goes just before call number `stop`; what surely reached the disk below `base` is kept in mind."""

    def __init__(self, base: Path, stop: int) -> None:
        super().__init__()
        self.base = base
        self._stop = stop
        self._files = 0  # numbers of files, since the disk gives the number of a deleted one to the next
        self._live: dict[Path, int] = {}  # path → number; folders have 0
        self._kept: dict[Path, int] = {}
        self._bytes: dict[int, bytes] = {}  # as of the last sync
        for path in sorted(base.rglob("*")):
            self._live[path] = 0 if path.is_dir() else self._fresh()
            if path.is_file():
                self._bytes[self._live[path]] = path.read_bytes()
        self._kept |= self._live

    def _fresh(self) -> int:
        self._files += 1
        return self._files

    def step(self, what: str, path: Path) -> None:
        super().step(what, path)
        if len(self.steps) >= self._stop:
            raise Stopped(self.steps[-1])

    def go_on(self) -> None:
        """It was not the power that went but the process: another one goes on, and what was not synced still is not."""
        self._stop = 10**9

    def open(self, path: Path, flags: int) -> int:
        descriptor = super().open(path, flags)
        if path not in self._live:
            self._live[path] = self._fresh()
        return descriptor

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self._remember(descriptor)

    def sync_size(self, descriptor: int) -> None:
        super().sync_size(descriptor)
        self._remember(descriptor)

    def _remember(self, descriptor: int) -> None:
        self._bytes[self._live[self._paths[descriptor]]] = self._paths[descriptor].read_bytes()

    def sync_names(self, path: Path) -> None:
        super().sync_names(path)
        self._kept = {name: file for name, file in self._kept.items() if name.parent != path}
        self._kept |= {name: file for name, file in self._live.items() if name.parent == path}

    def replace(self, scratch: Path, path: Path) -> None:
        super().replace(scratch, path)
        self._live[path] = self._live.pop(scratch)

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._live.setdefault(path, 0)

    def disks(self, target: Path) -> Iterator[tuple[Path, str]]:
        """Write out, below `target`, each disk that may be found after the cut."""
        seen = set()
        for data, names in product(DATA, NAMES):
            content = {
                path.relative_to(self.base): self._content(file, data)
                for path, file in (self._live if names == "new" else self._kept).items()
                if names == "new"
                or all(above in self._kept for above in path.parents if above.is_relative_to(self.base) and above != self.base)
            }
            state = frozenset(content.items())
            if state in seen:
                continue
            seen.add(state)
            folder = target / f"{data}-{names}"
            folder.mkdir(parents=True)
            for path, held in sorted(content.items()):
                if held is None:
                    (folder / path).mkdir()
                else:
                    (folder / path).write_bytes(held)
            yield folder, f"{data} of the bytes, {names} names"

    def _content(self, file: int, data: str) -> bytes | None:
        if not file:
            return None
        kept = self._bytes.get(file, b"")
        live = next((path.read_bytes() for path, number in self._live.items() if number == file), kept)
        if data == "none" or len(live) < len(kept):
            return live if data == "all" else kept
        middle = (len(kept) + len(live)) // 2
        hole = live[:middle] + bytes(len(live) - middle)
        return {"half": live[:middle], "hole": hole, "zeros": live[: len(kept)] + bytes(len(live) - len(kept)), "all": live}[data]
