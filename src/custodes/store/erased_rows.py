"""Stored rows without what an erasure destroys: accesses and touches by their leaves, context rows by the subject's pseudonym."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from custodes.ledger.disk import Disk
from custodes.model.arrow import ACCESSES, TOUCHES, context_schema
from custodes.model.tables import TABLES, Table
from custodes.store.manifest import Part, read_manifest, write_manifest
from custodes.store.parts import Parts
from custodes.store.reach import Leaves, Text

_WORDS: Final = ("reason", "purpose_ref", "session", "device", "derived", "derived_from", "seq_of")
"""Columns of pseudonyms behind which the vault may hold an original."""


# — accesses —


def cut_tables(
    accesses: pa.Table,
    touches: pa.Table,
    *,
    subject: str,
    gone: Collection[int],
    many: Collection[int],
    blanked: Collection[int],
) -> tuple[pa.Table, pa.Table]:
    """Leave out the accesses `gone` with their touches, and the subject's touches of the accesses `many` (all by `leaf`).

    Also blank what `blanked` accesses took from destroyed records. One bulk leaf stands for many subjects' touches, so these are
    told by the subject's pseudonym.
    """
    accesses = accesses.filter(pc.invert(_in(accesses["leaf"], gone)))
    mine = pc.and_(_in(touches["leaf"], many), pc.equal(pc.cast(touches["subject"], pa.string()), subject))
    lost = pc.or_(_in(touches["leaf"], gone), mine)
    return _blank(accesses, blanked), touches.filter(pc.invert(lost))


def erase_accesses(folder: Path, subject: str, leaves: Leaves, blanked: Collection[int]) -> None:
    """Write the parts that hold rows of an erasure anew, commit, and remove the old ones at once. Durable, repeatable.

    A reader that has just opened an old part fails and may ask again: erasing does not wait for readers.
    """
    manifest, parts = read_manifest(folder), Parts(folder)
    everything = {*leaves.single, *leaves.touches, *leaves.many, *blanked}
    hit = [part for part in manifest.parts if _holds(folder, part, everything)]
    for part in hit:
        accesses, touches = _tables(folder, part)
        manifest.parts.remove(part)
        kept = cut_tables(
            accesses, touches, subject=subject, gone=leaves.single, many=leaves.many, blanked={*leaves.many, *blanked}
        )
        parts.write(manifest, *kept)
    if hit:
        # Before this line readers see the old parts, after it the new ones; the old ones go with the next.
        write_manifest(folder, manifest)
    (folder / "MANIFEST.json.new").unlink(missing_ok=True)
    parts.clear(manifest, grace_s=-60)
    Disk().sync_folder(folder)


@dataclass(slots=True)
class Looked:
    """What the stored rows say of a subject's accesses. `words`: pseudonyms in rows that go, and in no row that stays."""

    actors: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    access_ids: set[str] = field(default_factory=set)


def look_at_accesses(folder: Path, leaves: Leaves, *, words: bool) -> Looked:
    """Return who looked at a subject, and when; with `words` also what nobody else's accesses name."""
    found, mine = Looked(), {*leaves.single, *leaves.many}
    names = ["leaf", "access_id", "time", "actor", "on_behalf_of", *(_WORDS if words else ())]
    held: set[str] = set()
    parts = [pq.read_table(folder / part.accesses, columns=names, partitioning=None) for part in read_manifest(folder).parts]
    for table in parts:
        rows = table.filter(_in(table["leaf"], mine))
        found.actors.update(_distinct(rows["actor"]), _distinct(rows["on_behalf_of"]))  # the person behind a service is one too
        found.days.update(str(day) for day in pc.unique(rows["time"].cast(pa.date32())).to_pylist())
        gone = rows.filter(_in(rows["leaf"], leaves.single))
        found.access_ids.update(gone["access_id"].to_pylist())
        if words:
            found.words.update(*(_distinct(gone[name]) for name in _WORDS))
    for table in parts if found.words else ():
        stays = table.filter(pc.invert(_in(table["leaf"], leaves.single)))
        held.update(*(_distinct(stays[name]) & found.words for name in _WORDS))
    found.words -= held
    return found


def _holds(folder: Path, part: Part, leaves: set[int]) -> bool:
    column = pq.read_table(folder / part.accesses, columns=["leaf"], partitioning=None)["leaf"]
    return pc.any(_in(column, leaves)).as_py() is True


def _tables(folder: Path, part: Part) -> tuple[pa.Table, pa.Table]:
    accesses = pq.read_table(folder / part.accesses, schema=ACCESSES, partitioning=None)
    if not part.touches:
        return accesses, TOUCHES.empty_table()
    return accesses, pq.read_table(folder / part.touches, schema=TOUCHES, partitioning=None)


def _blank(accesses: pa.Table, leaves: Collection[int]) -> pa.Table:
    """Take away what an access had from its record alone: the source's own id, and what was searched by."""
    mask = _in(accesses["leaf"], leaves)
    if not pc.any(mask).as_py():
        return accesses
    place = accesses.schema.get_field_index("id_ref")
    blank = pc.if_else(mask, pa.scalar(None, pa.string()), accesses["id_ref"])
    accesses = accesses.set_column(place, ACCESSES.field("id_ref"), blank)
    return accesses.set_column(
        accesses.schema.get_field_index("selectors"), ACCESSES.field("selectors"), _without_refs(accesses["selectors"], mask)
    )


def _without_refs(selectors: pa.ChunkedArray, mask: pa.ChunkedArray) -> pa.Array:
    lists = selectors.combine_chunks()
    flat = lists.flatten()
    hit = mask.combine_chunks().take(pc.list_parent_indices(lists))
    ref = pc.if_else(hit, pa.scalar(None, pa.string()), flat.field("ref"))
    items = pa.StructArray.from_arrays([flat.field("kind"), ref, flat.field("width")], fields=list(lists.type.value_type))
    counts = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(counts).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, items, type=lists.type)


# — context —


@dataclass(slots=True)
class Named:
    """What the context rows of a subject hold. `texts`: sealed ones; `words`: pseudonyms that go; `held`: those that stay."""

    texts: list[Text] = field(default_factory=list)
    words: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)


def look_at_context(folder: Path, subject: str) -> Named:
    """Return what goes with the context rows of a subject, and what other rows hold."""
    found = Named()
    for table, file, rows in _context(folder):
        mask = _about(table, rows, subject)
        goes = any(column.kind == "subject" and column.required for column in table.columns)
        if pc.any(mask).as_py():
            found.texts.append(Text(table.name, file.stem, pc.indices_nonzero(mask).to_pylist(), rows.num_rows))
        for column in table.columns:
            if column.kind in {"text", "person", "ref"}:
                lost = column.kind == "text" or goes
                values = rows[column.name]
                found.words |= _distinct(values.filter(mask)) if lost else set()
                found.held |= _distinct(values.filter(pc.invert(mask)) if lost else values)
    return found


def erase_context(folder: Path, subject: str) -> int:
    """Take the subject out of all context tables; return how many rows it was in. Durable, repeatable.

    A row that is about the subject (its column must be filled) goes; in others the pseudonym, and free text's hash, become null.
    """
    count = 0
    for table, file, rows in list(_context(folder)):
        mask = _about(table, rows, subject)
        if not pc.any(mask).as_py():
            continue
        count += pc.sum(mask).as_py()
        _save(file, _without(table, rows, subject, mask))
    for left in folder.glob("*/*.new"):  # of a load that a crash ended, or of this
        if _is_about(left, subject):
            left.unlink()
            Disk().sync_folder(left.parent)
    return count


def _context(folder: Path) -> Iterator[tuple[Table, Path, pa.Table]]:
    for name, table in TABLES.items():
        for file in sorted((folder / name).glob("*.parquet")):
            yield table, file, pq.read_table(file, schema=context_schema(name), partitioning=None)


def _about(table: Table, rows: pa.Table, subject: str) -> Any:
    """Return a mask of the rows that name the subject."""
    mask = pa.chunked_array([pa.array([False] * rows.num_rows, pa.bool_())])
    for column in table.columns:
        if column.kind == "subject":
            mask = pc.or_(mask, pc.fill_null(pc.equal(rows[column.name], subject), False))
    return mask


def _without(table: Table, rows: pa.Table, subject: str, mask: Any) -> pa.Table:
    if any(column.kind == "subject" and column.required for column in table.columns):
        return rows.filter(pc.invert(mask))
    nothing = pa.scalar(None, pa.string())
    for column in table.columns:
        if column.kind == "subject":
            gone = pc.fill_null(pc.equal(rows[column.name], subject), False)
        elif column.kind == "text":
            gone = mask
        else:
            continue
        place = rows.schema.get_field_index(column.name)
        rows = rows.set_column(place, rows.schema.field(place), pc.if_else(gone, nothing, rows[column.name]))
    return rows


def _is_about(file: Path, subject: str) -> bool:
    """Say whether an unfinished file holds rows of the subject; one that cannot be read was never finished."""
    try:
        rows = pq.read_table(file, schema=context_schema(file.parent.name), partitioning=None)
    except (OSError, pa.ArrowException):
        return False
    return bool(pc.any(_about(TABLES[file.parent.name], rows, subject)).as_py())


def _save(file: Path, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    Disk().replace(file, sink.getvalue().to_pybytes())


def _in(column: Any, values: Collection[int]) -> Any:
    return pc.is_in(column, value_set=pa.array(list(values), pa.int64()))


def _distinct(column: Any) -> set[str]:
    plain: Sequence[str | None] = pc.unique(pc.cast(column, pa.string())).to_pylist()
    return {word for word in plain if word is not None}
