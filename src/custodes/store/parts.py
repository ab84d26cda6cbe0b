"""The writing side of the store: rows → Parquet parts by day, small parts of a day joined, left-overs cleared.

Parts are durable before the manifest that names them is renamed into place. A part is never changed; a file that the manifest no
longer names stays for ten minutes, for a reader that has just opened it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from custodes.errors import NotDurable
from custodes.ledger.disk import Disk
from custodes.model.arrow import ACCESSES, TOUCHES
from custodes.store.manifest import Manifest, Part

_GRACE_S: Final = 600
_SMALL_ROWS: Final = 50_000
_SMALL_MANY: Final = 8
_JOINED_ROWS: Final = 400_000
_UNIQUE: Final = frozenset({"leaf", "touch_leaf", "access_id", "id_ref", "seq", "time", "time_end", "observed", "rows", "bytes"})
_DAY_US: Final = 86_400_000_000


class Parts:
    """Writes parts under `folder` and enters them into a manifest that the caller commits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disk = Disk()

    def write(self, manifest: Manifest, accesses: pa.Table, touches: pa.Table) -> None:
        """Write rows as one part for each day that they fall on. Durable on return, but not yet committed."""
        if not accesses.num_rows:
            return
        days = pc.divide(pc.cast(accesses["time"], pa.int64()), _DAY_US)  # of times before 1970 the day is only a folder's name
        distinct = sorted(pc.unique(days).to_pylist())
        for day in distinct:
            alone = len(distinct) == 1
            mine = accesses if alone else accesses.filter(pc.equal(days, day))
            theirs = touches if alone else touches.filter(pc.is_in(touches["leaf"], mine["leaf"]))
            manifest.parts.append(self._part(manifest, mine, theirs))

    def fieldsets(self, manifest: Manifest, rows: pa.Table) -> None:
        """Write new combinations of fields. Durable on return, but not yet committed."""
        if rows.num_rows:
            manifest.serial += 1
            name = f"fieldsets/{manifest.serial:08d}.parquet"
            self._save(name, rows)
            manifest.fieldsets.append(name)

    def compact(self, manifest: Manifest, days: Iterable[str]) -> bool:
        """Join the small parts of the given days where many have gathered. Returns whether anything changed."""
        changed = False
        for day in sorted(set(days)):
            small = [part for part in manifest.parts if part.day == day and part.rows < _SMALL_ROWS]
            if len(small) < _SMALL_MANY:
                continue
            gone: list[Part] = []
            rows = 0
            for part in small:
                if rows + part.rows > _JOINED_ROWS:
                    break
                gone.append(part)
                rows += part.rows
            accesses = self._read([part.accesses for part in gone], ACCESSES)
            touches = self._read([part.touches for part in gone if part.touches], TOUCHES)
            accesses, touches = _without_superseded(manifest, accesses, touches)
            manifest.parts = [part for part in manifest.parts if part not in gone]
            if accesses.num_rows:
                manifest.parts.append(self._part(manifest, accesses, touches))
            changed = True
        return changed

    def clear(self, manifest: Manifest, *, grace_s: float = _GRACE_S) -> None:
        """Remove files that no manifest names: left by a killed run, or joined into others."""
        named = {name for part in manifest.parts for name in (part.accesses, part.touches) if name} | set(manifest.fieldsets)
        before = time.time() - grace_s
        for file in self._folder.glob("*/*.parquet"):
            name = f"{file.parent.name}/{file.name}"
            if name not in named and file.stat().st_mtime < before:
                file.unlink(missing_ok=True)

    def _part(self, manifest: Manifest, accesses: pa.Table, touches: pa.Table) -> Part:
        order = pc.sort_indices(
            pa.table({"actor": _plain(accesses["actor"]), "time": accesses["time"], "leaf": accesses["leaf"]}),
            sort_keys=[("actor", "ascending"), ("time", "ascending"), ("leaf", "ascending")],
        )
        accesses = accesses.take(order)
        span = pc.min_max(pc.cast(accesses["time"], pa.int64()))
        first, last = span["min"].as_py(), span["max"].as_py()
        day = str(pc.min(accesses["time"]).cast(pa.date32()).as_py()) if first is not None else ""
        manifest.serial += 1
        name = f"day={day}/{manifest.serial:08d}"
        size = self._save(f"{name}-accesses.parquet", accesses)
        touched = ""
        if touches.num_rows:
            touched = f"{name}-touches.parquet"
            self._save(touched, touches)
        return Part(day, f"{name}-accesses.parquet", accesses.num_rows, first, last, touched, touches.num_rows, size)

    def _save(self, name: str, rows: pa.Table) -> int:
        file = self._folder / name
        if not file.parent.is_dir():
            self._disk.make_folder(file.parent)
        repeated = [column for column in rows.column_names if column not in _UNIQUE]
        try:
            pq.write_table(
                rows, file, compression="zstd", use_dictionary=repeated, write_statistics=["leaf", "time"], store_schema=True
            )
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
                size = os.fstat(handle).st_size
            finally:
                os.close(handle)
        except OSError as wrong:
            raise NotDurable(f"a part of the store could not be written: {wrong.strerror or 'input or output error'}") from None
        self._disk.sync_folder(file.parent)
        file.chmod(0o600)
        return size

    def _read(self, names: Sequence[str], schema: pa.Schema) -> pa.Table:
        if not names:
            return schema.empty_table()
        tables = [pq.read_table(self._folder / name, schema=schema, partitioning=None) for name in names]
        return pa.concat_tables(tables).unify_dictionaries()


def stored_fieldsets(folder: Path, manifest: Manifest) -> set[str]:
    """Return the ids of the combinations that the store holds."""
    names: set[str] = set()
    for name in manifest.fieldsets:
        names.update(pq.read_table(folder / name, columns=["fieldset"], partitioning=None)["fieldset"].to_pylist())
    return names


def _without_superseded(manifest: Manifest, accesses: pa.Table, touches: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Leave out rows that were replaced, and the entries that hid them."""
    hidden = pa.array(manifest.superseded, pa.int64())
    mine = pc.is_in(accesses["leaf"], hidden)
    if not pc.any(mine).as_py():
        return accesses, touches
    gone = set(accesses["leaf"].filter(mine).to_pylist())
    manifest.superseded = tuple(leaf for leaf in manifest.superseded if leaf not in gone)
    return accesses.filter(pc.invert(mine)), touches.filter(pc.invert(pc.is_in(touches["leaf"], hidden)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.string())
