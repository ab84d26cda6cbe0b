"""The store: one commit or the next, windows, small parts joined, left-overs cleared; tables made again from the vault."""

from __future__ import annotations

import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest
from intake_reading import START, check, ingest, new_home, records, rows, write
from paired_source import put_on_shelf

from custodes.errors import PartMissing, UnknownVersion
from custodes.home import Home
from custodes.store.contents import VALUES, Values
from custodes.store.manifest import Manifest, read_manifest, write_manifest
from custodes.store.parts import Parts


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return new_home(tmp_path / "home")


def test_a_window_shows_its_accesses_and_their_touches_only(home: Path, tmp_path: Path) -> None:
    ingest(home, write(tmp_path / "a.ndjson", records(600)))
    since, until = START + timedelta(hours=30), START + timedelta(hours=40)
    with Home.open(home) as opened:
        engine = opened.engine()
        opened.accesses().register(engine)
        times = f"time >= TIMESTAMPTZ '{since.isoformat()}' AND time < TIMESTAMPTZ '{until.isoformat()}'"
        expected = engine.rows(f"SELECT leaf FROM stored_accesses WHERE {times} ORDER BY leaf")
        touched = engine.rows("SELECT leaf, touch_leaf FROM stored_touches ORDER BY ALL")
        opened.accesses().register(engine, since, until)
        assert engine.rows("SELECT leaf FROM stored_accesses ORDER BY leaf") == expected
        inside = {leaf for (leaf,) in expected}
        assert engine.rows("SELECT leaf, touch_leaf FROM stored_touches ORDER BY ALL") == [
            row for row in touched if row[0] in inside
        ]
        assert 0 < len(expected) < 600
        opened.accesses().register(engine, START + timedelta(days=900))
        assert engine.rows("SELECT count(*) FROM stored_accesses") == [(0,)]
        engine.close()


def test_small_parts_of_a_day_are_joined_and_rows_stay(home: Path, tmp_path: Path) -> None:
    lines = records(60)
    for number in range(20):
        ingest(home, write(tmp_path / f"{number}.ndjson", lines[number * 3 : number * 3 + 3]))
    manifest = read_manifest(home / "accesses")
    assert len(manifest.parts) < 10
    assert sum(part.rows for part in manifest.parts) == len(rows(home)[0])
    check(home, lines)
    whole = new_home(tmp_path / "whole")
    ingest(whole, write(tmp_path / "all.ndjson", lines))
    assert len(rows(whole)[0]) == len(rows(home)[0])
    assert len(rows(whole)[1]) == len(rows(home)[1])


def test_joining_drops_rows_that_were_replaced(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_shelf(monkeypatch)
    lines = [b"S1 1 ann p%d" % number for number in range(12)]
    for end in range(1, 13):
        ingest(home, write(tmp_path / "log", lines[:end]), source="paired")
    assert [(row["rows"], row["subject_count"]) for row in rows(home)[0]] == [(12, 12)]
    manifest = read_manifest(home / "accesses")
    assert sum(part.rows for part in manifest.parts) < 12
    assert len(manifest.superseded) == sum(part.rows for part in manifest.parts) - 1


def test_left_overs_are_cleared_after_a_while_and_parts_in_use_never(home: Path, tmp_path: Path) -> None:
    ingest(home, write(tmp_path / "a.ndjson", records(20)))
    part = next((home / "accesses").glob("day=*/*-accesses.parquet"))
    orphan = part.with_name("99999999-accesses.parquet")
    shutil.copy(part, orphan)
    parts = Parts(home / "accesses")
    parts.clear(read_manifest(home / "accesses"))
    assert orphan.exists()
    os.utime(orphan, (0, 0))
    os.utime(part, (0, 0))
    parts.clear(read_manifest(home / "accesses"))
    assert not orphan.exists()
    assert part.exists()


def test_tables_and_positions_are_made_again_from_the_vault(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_shelf(monkeypatch)
    lines = records(40)
    source = write(tmp_path / "a.ndjson", lines)
    log = write(tmp_path / "log", [b"S1 1 ann p1"])
    ingest(home, source)
    ingest(home, log, source="paired")
    before = rows(home)
    shutil.rmtree(home / "vault" / "tables")
    shutil.rmtree(home / "vault" / "positions")
    again = ingest(home, source)
    assert (again.lines, again.folded, again.accesses) == (0, 40, 0)
    assert rows(home) == before
    write(log, [b"S1 1 ann p1", b"S1 1 ann p2"])
    ingest(home, log, source="paired")
    assert [row["rows"] for row in rows(home)[0] if row["source"] == "paired"] == [2]


def test_a_subject_keeps_its_tag_within_a_month_and_over_restarts(home: Path, tmp_path: Path) -> None:
    import msgspec

    line = b'{"time":"2026-09-01T00:00:0%dZ","actor":"a","action":"read","system":"crm","subjects":["p1"]}'
    for number in range(3):
        ingest(home, write(tmp_path / f"{number}.ndjson", [line % number]))
        if number == 1:
            shutil.rmtree(home / "vault" / "tables")
    with Home.open(home) as opened:
        frames = [msgspec.msgpack.decode(frame.section(VALUES), type=Values) for frame in opened.vault().intake.frames()]
        tags = {entry[16:48] for entry in opened.log().read(0, opened.log().size) if entry[1] == 1}
    assert len(frames) == 3
    assert len(tags) == 1
    assert tags.isdisjoint({bytes(32), b"\xff" * 32})


def test_fsck_notices_contents_that_are_not_what_was_committed(home: Path, tmp_path: Path) -> None:
    import msgspec

    from custodes.store import contents

    ingest(home, write(tmp_path / "a.ndjson", records(10)))
    with Home.open(home) as opened:
        vault, read, size = opened.vault(), opened.log().read, opened.log().size
        (frame,) = vault.intake.frames()
        sections = [frame.section(index) for index in range(5)]
        day = date.fromisoformat(frame.day)
        for change in ("group", "record", "leaf"):
            values = msgspec.msgpack.decode(sections[contents.VALUES], type=Values)
            raws = msgspec.msgpack.decode(sections[contents.RAWS], type=contents.Raws)
            if change == "group":
                values.groups[-1] = (b'{"actor":"somebody else"}', *values.groups[-1][1:])
            elif change == "record":
                raws.data[0] += b" "
            else:
                values.leaves = values.leaves[:-96] + bytes(96)
            vault.intake.cut_to(0)
            changed = [sections[0], msgspec.msgpack.encode(values), msgspec.msgpack.encode(raws), *sections[3:]]
            vault.intake.append(changed, day, first=frame.first, span=frame.span)
            assert vault.check(read, size).problems, change


def test_a_manifest_that_cannot_be_used_is_no_empty_store(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) == Manifest()
    write_manifest(tmp_path, Manifest(batches=3))
    assert read_manifest(tmp_path).batches == 3
    (tmp_path / "MANIFEST.json").write_bytes(b"{")
    with pytest.raises(PartMissing):
        read_manifest(tmp_path)
    (tmp_path / "MANIFEST.json").write_bytes(b'{"schema":"custodes.store/9"}')
    with pytest.raises(UnknownVersion):
        read_manifest(tmp_path)
