"""The stored accesses: Parquet parts by day, and the manifest whose atomic rename is the commit line of the store.

What is not named in `MANIFEST.json` does not exist: parts of a run that was killed are left-overs and are cleared away later.
Reading hides rows that a later, whole row of the same operation replaced. The most sensitive table of a company: who is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from custodes.model.arrow import ACCESSES, FIELDSETS, TOUCHES
from custodes.store.manifest import Manifest, Part, read_manifest

if TYPE_CHECKING:
    from custodes.engine import Engine

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Accesses:
    """The reading side of `DIR/accesses`. Each `register` sees the store as it was committed at that moment."""

    def __init__(self, path: Path, manifest: Manifest | None = None) -> None:
        """`manifest`: see the store as of this commit, whatever comes in meanwhile."""
        self.path, self._manifest = path, manifest

    def manifest(self) -> Manifest:
        """Return what is committed now; an empty manifest before the first commit."""
        return self._manifest or read_manifest(self.path)

    def notes(self) -> list[dict[str, str]]:
        """Return what intake noticed about the logs themselves: `source`, `kind`, `text`, `file`, `line`. No content of records."""
        try:
            data = (self.path / "notes.ndjson").read_bytes()[: self.manifest().notes]
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(line, type=dict[str, str]) for line in data.splitlines()]

    def register(
        self,
        engine: Engine,
        since: datetime | None = None,
        until: datetime | None = None,
        only: Collection[str] | None = None,
    ) -> Manifest:
        """Make the views `stored_accesses`, `stored_touches` and `stored_fieldsets` in `engine`; returns what they stand on.

        Columns are those of `custodes.model.arrow`. With `since` (inclusive) and `until` (exclusive, both aware) only accesses
        of that window and their touches are seen. Superseded rows are hidden. `only`: of the parts named so, by their accesses.
        """
        manifest = self.manifest()
        parts = [part for part in manifest.parts if _within(part, since, until) and (only is None or part.accesses in only)]
        engine.parquet("stored_accesses_all", [str(self.path / part.accesses) for part in parts], ACCESSES)
        engine.parquet("stored_touches_all", [str(self.path / part.touches) for part in parts if part.touches], TOUCHES)
        engine.parquet("stored_fieldsets", [str(self.path / name) for name in manifest.fieldsets], FIELDSETS)
        kept = [f"time >= {_literal(since)}"] if since else []
        kept += [f"time < {_literal(until)}"] if until else []
        hidden = _hide(engine, manifest.superseded)
        engine.run(f"CREATE OR REPLACE VIEW stored_accesses AS SELECT * FROM stored_accesses_all{_where([*kept, *hidden])}")
        if kept:
            hidden = ["leaf IN (SELECT leaf FROM stored_accesses)"]
        engine.run(f"CREATE OR REPLACE VIEW stored_touches AS SELECT * FROM stored_touches_all{_where(hidden)}")
        return manifest

    def read(self, part: Part, columns: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """Return accesses and touches of one part as `register` shows them, without an engine. `columns`: those of the accesses."""
        hidden = pa.array(self.manifest().superseded, pa.int64())
        accesses = _shown(self.path / part.accesses, columns, hidden)
        if not part.touches:
            return accesses, TOUCHES.empty_table()
        return accesses, _shown(self.path / part.touches, TOUCHES.names, hidden)


def _shown(file: Path, columns: Sequence[str], hidden: pa.Array) -> pa.Table:
    with pq.ParquetFile(file) as opened:
        rows = opened.read(list(columns), use_threads=False)
    return rows.filter(pc.invert(pc.is_in(rows["leaf"], hidden))) if len(hidden) else rows


def _hide(engine: Engine, superseded: tuple[int, ...]) -> list[str]:
    if not superseded:
        return []
    engine.table("superseded_leaves", pa.table({"leaf": pa.array(superseded, pa.int64())}))
    return ["leaf NOT IN (SELECT leaf FROM superseded_leaves)"]


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _literal(time: datetime) -> str:
    return f"TIMESTAMPTZ '{time.astimezone(UTC).isoformat(sep=' ')}'"


def microseconds(time: datetime) -> int:
    """Return microseconds since 1970 of an aware time, exactly."""
    gap = time - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def _within(part: Part, since: datetime | None, until: datetime | None) -> bool:
    return not ((since and part.last < microseconds(since)) or (until and part.first >= microseconds(until)))
