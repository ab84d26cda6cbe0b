"""Write a log out as the static folder that any C2SP client reads: `checkpoint`, `tile/<level>/…`, `tile/entries/…`.

Beside it lie `blobs/` (tag lists of bulk leaves) and `index/` (the index log as a folder of the same kind): whoever holds it
computes every root of the index again, without a key.

The folder is of one published size. Exporting again into the same folder goes on where it stopped, puts the checkpoint last, and
then deletes the partial tiles that full ones have replaced: kept, they grow a log to many times its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from custodes.errors import ConfigError, LedgerRewritten
from custodes.ledger.blobs import FOLDER as BLOBS
from custodes.ledger.blobs import Blobs
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.disk import Disk
from custodes.ledger.merkle import TILE_BYTES, WIDTH
from custodes.ledger.proof import root_of
from custodes.ledger.segments import Segments, read_bytes
from custodes.ledger.tiles import ENTRIES, parse_tile_path, tile_path, tiles_of

Progress = Callable[[int, int], None]
"""Called with tiles done and tiles in all."""


def export(path: Path, target: Path, *, progress: Progress | None = None) -> Checkpoint:
    """Write the log in `path` at its published checkpoint to `target` and return the checkpoint.

    Raises `LedgerRewritten`, and leaves the old checkpoint in `target`, if the stored tiles do not lead to the published root;
    `ConfigError` if `target` holds another log or a larger one.

    Durable: the checkpoint; tiles may be lost by a power cut, and `verify` then says so (export into an empty folder). Order:
    tiles, then the checkpoint, then stale tiles go. Again: writes what is new.
    """
    index = path.with_name("index")
    # The index first: what it covers was published before, so the log as published now holds it.
    roots = read_unverified(read_bytes(index / "checkpoint")) if (index / "checkpoint").exists() else None
    published = read_unverified(read_bytes(path / "checkpoint"))
    _check_target(target, published)
    if roots is not None:
        _check_target(target / "index", roots)
    _lists(path, target)
    _write(path, target, published, progress)
    if roots is not None:
        _write(index, target / "index", roots, None)
    return published


def _lists(path: Path, target: Path) -> None:
    """Copy the tag lists: before the leaves that name them."""
    lists, disk = Blobs(path), Disk()
    for name in lists.names():
        file = target / BLOBS / name
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            disk.replace(file, read_bytes(lists.path / name))


def _write(path: Path, target: Path, published: Checkpoint, progress: Progress | None) -> None:
    reader, disk = Segments(path), Disk()
    if root_of(reader, published.size) != published.root:
        raise LedgerRewritten("the stored tiles do not lead to the published root; run fsck")
    wanted = list(_wanted(published.size))
    for done, (level, index, width) in enumerate(wanted, 1):
        file = target / tile_path(ENTRIES if level < 0 else level, index, width)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            data = reader.bundle(index, width) if level < 0 else reader.tile(level, index, width)
            if level >= 0 and len(data) != width * (TILE_BYTES // WIDTH):
                raise LedgerRewritten("a stored tile is shorter than the published size asks for; run fsck")
            file.with_name(file.name + ".new").write_bytes(data)
            file.with_name(file.name + ".new").replace(file)
        if progress is not None:
            progress(done, len(wanted))
    # Before this line readers see the old size, whose files are all still there; after it the new one, whose files all are.
    disk.replace(target / "checkpoint", published.note)
    _delete_stale(target)


def _wanted(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, index, width) of each bundle (level −1) and tile of a tree."""
    levels = tiles_of(size)
    for level, (full, partial) in [*([(-1, levels[0])] if levels else []), *enumerate(levels)]:
        for index in range(full):
            yield level, index, WIDTH
        if partial:
            yield level, full, partial


def _check_target(target: Path, published: Checkpoint) -> None:
    if not target.exists():
        target.mkdir(parents=True)
    elif (target / "checkpoint").exists():
        there = read_unverified((target / "checkpoint").read_bytes())
        if there.origin != published.origin or there.size > published.size:
            raise ConfigError("the folder holds another log, or a larger size of this one", hint="name an empty folder")
    elif any(target.iterdir()):
        raise ConfigError("the folder is not empty and holds no log", hint="name an empty folder")


def _delete_stale(target: Path) -> None:
    """Delete partial tiles of which the full one exists."""
    for partial in sorted(target.glob("tile/**/*.p/*")):
        parsed = parse_tile_path(partial.relative_to(target).as_posix())
        full = partial.parent.with_name(partial.parent.name.removesuffix(".p"))
        if parsed is not None and full.exists():
            partial.unlink()
            if not any(partial.parent.iterdir()):
                partial.parent.rmdir()
