"""Reading again, in pieces, in other order: the same rows. An access that comes again, whole, replaces its earlier row."""

from __future__ import annotations

from pathlib import Path

import pytest
from intake_reading import check, copy_home, ingest, new_home, records, rows, sealed_records, write
from paired_source import put_on_shelf

from custodes import watching
from custodes.home import Home
from custodes.store.manifest import Tally


def tally(home: Path, source: str) -> Tally:
    with Home.open(home) as opened:
        return opened.accesses().manifest().sources[source].tally


def superseded(home: Path) -> tuple[int, ...]:
    with Home.open(home) as opened:
        return opened.accesses().manifest().superseded


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return new_home(tmp_path / "home")


def test_reading_a_file_twice_adds_nothing(home: Path, tmp_path: Path) -> None:
    lines = records(30)
    source = write(tmp_path / "a.ndjson", lines)
    first = ingest(home, source)
    before, size = rows(home), sealed_records(home)
    again = ingest(home, source)
    copied = ingest(home, write(tmp_path / "b.ndjson", lines))
    assert first.lines == 30
    assert again.lines == again.folded == 0
    assert (copied.lines, copied.folded, copied.accesses) == (0, 30, 0)
    assert rows(home) == before
    assert sealed_records(home) == size
    check(home, lines)


def test_an_unchanged_file_is_not_read_again_but_a_grown_one_goes_on(home: Path, tmp_path: Path) -> None:
    lines = records(40)
    source = write(tmp_path / "a.ndjson", lines[:30])
    ingest(home, source)
    write(source, lines)
    grown = ingest(home, source)
    assert (grown.lines, grown.folded) == (10, 0)
    check(home, lines)


def test_equal_records_count_once_and_it_is_said(home: Path, tmp_path: Path) -> None:
    lines = records(5)
    report = ingest(home, write(tmp_path / "a.ndjson", [*lines, *lines, *lines]))
    assert (report.lines, report.folded) == (5, 10)
    check(home, lines)


def test_the_same_id_with_other_content_is_kept_beside_the_first_and_flagged(home: Path, tmp_path: Path) -> None:
    first, other = records(2)
    changed = first.replace(b'"own-1-0"', b'"own-1-1"')
    assert changed != first
    ingest(home, write(tmp_path / "a.ndjson", [first, other]))
    ingest(home, write(tmp_path / "b.ndjson", [changed]))
    accesses, _ = rows(home)
    assert len(accesses) == 3
    assert [row["coverage"] for row in accesses if row["coverage"]] == [["id_conflict"]]
    assert len({row["id_ref"] for row in accesses}) == 2


def test_an_access_that_comes_again_whole_replaces_its_earlier_row(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_shelf(monkeypatch)
    lines = [b"S1 1 ann p1", b"S1 1 ann p2", b"S1 2 ann p3"]
    source = write(tmp_path / "log", lines[:1])
    ingest(home, source, source="paired")
    assert [(row["rows"], row["subject_count"]) for row in rows(home)[0]] == [(1, 1)]
    write(source, lines[:2])
    ingest(home, source, source="paired")
    assert [(row["rows"], row["subject_count"]) for row in rows(home)[0]] == [(2, 2)]
    assert len(rows(home)[1]) == 2
    assert len(superseded(home)) == 1
    write(source, lines)
    ingest(home, source, source="paired")
    ingest(home, source, source="paired")
    assert sorted(row["rows"] for row in rows(home)[0]) == [1, 2]
    assert (tally(home, "paired").accesses, tally(home, "paired").resolved) == (2, 2)


def test_rows_do_not_depend_on_where_a_log_was_cut(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_shelf(monkeypatch)
    lines = [b"S1 1 ann p1", b"S2 7 bob p9", b"S1 1 ann p2", b"!x", b"S2 7 bob p8", b"#y", b"S1 2 ann p3", b"S2 8 bob p1"]
    whole = copy_home(home, tmp_path / "whole")
    ingest(whole, write(tmp_path / "all", lines), source="paired")
    expected = rows(whole)
    for cut in range(1, len(lines), 2):
        grown = copy_home(home, tmp_path / f"grown-{cut}")
        source = write(tmp_path / f"growing-{cut}", lines[:cut])
        ingest(grown, source, source="paired")
        write(source, lines)
        ingest(grown, source, source="paired")
        assert rows(grown) == expected
        rotated = copy_home(home, tmp_path / f"rotated-{cut}")
        pieces = [write(tmp_path / f"r{cut}.1", lines[:cut]), write(tmp_path / f"r{cut}.2", lines[cut:])]
        ingest(rotated, *pieces, source="paired")
        assert rows(rotated) == expected
        late = copy_home(home, tmp_path / f"late-{cut}")
        ingest(late, write(tmp_path / f"head-{cut}", lines[:cut]), source="paired")
        ingest(late, write(tmp_path / f"copy-{cut}", lines), source="paired")
        assert rows(late) == expected
        assert tally(late, "paired") == tally(grown, "paired") == tally(rotated, "paired") == tally(whole, "paired")


def test_lines_add_up(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_shelf(monkeypatch)
    lines = [b"S1 1 ann p1", b"!n1", b"!n2", b"", b"#bad", b"gap 1", b"S1 2 ann p1"]
    report = ingest(home, write(tmp_path / "log", lines), source="paired")
    counted = tally(home, "paired")
    assert (report.lines, report.blank, counted.lines) == (6, 1, 6)
    assert counted.lines == 2 + sum(counted.noise.values()) + sum(counted.rejected.values())
    assert counted.rejected == report.rejected == {"expected an operation": 1}


def test_rejected_records_are_sealed_with_their_reason_and_counted_without_keys(home: Path, tmp_path: Path) -> None:
    report = ingest(home, write(tmp_path / "a.ndjson", [b"{no json, but a secret}", *records(3)]))
    assert report.rejected_at[0].startswith(f"{tmp_path}/a.ndjson:1: ")
    assert "secret" not in report.rejected_at[0]
    with Home.open(home) as opened:
        (frame,) = opened.vault().rejected.frames()
        assert b"a secret" in frame.section(0)
        assert watching.rejected(opened) == report.rejected
    for file in (home / "rejected").iterdir():
        assert b"secret" not in file.read_bytes()


def test_notes_are_recorded_in_the_ledger_and_readable_for_the_report(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_shelf(monkeypatch)
    ingest(home, write(tmp_path / "log", [b"S1 1 ann p1", b"gap 7", b"S1 2 ann p1"]), source="paired")
    with Home.open(home) as opened:
        assert opened.accesses().notes() == [{"source": "paired", "kind": "gap", "text": "records are missing"}]
        (coverage,) = watching.coverage(opened)
        assert (coverage.accesses, coverage.resolved, coverage.notes) == (2, 2, ("records are missing",))
        kinds = [entry[1] for entry in opened.log().read(0, opened.log().size)]
    assert kinds.count(7) == 4  # the home itself, its index log, the coverage manifest, the notes
    check(home, [b"S1 1 ann p1", b"gap 7", b"S1 2 ann p1"])


def test_a_coverage_manifest_is_recorded_once(home: Path, tmp_path: Path) -> None:
    for number in range(3):
        ingest(home, write(tmp_path / f"{number}.ndjson", records(3, seed=number)))
    with Home.open(home) as opened:
        assert [entry[1] for entry in opened.log().read(0, opened.log().size)].count(7) == 3  # home, index log, coverage


def test_inputs_that_cannot_be_read_are_named_and_the_others_are_read(home: Path, tmp_path: Path) -> None:
    lines = records(4)
    good = write(tmp_path / "good.ndjson", lines)
    report = ingest(home, tmp_path / "missing", tmp_path, good, source="access")
    assert [path for path, _ in report.unread] == [str(tmp_path / "missing"), str(tmp_path)]
    check(home, lines)


def test_an_empty_file_is_nothing(home: Path, tmp_path: Path) -> None:
    report = ingest(home, write(tmp_path / "empty", []), source="auto")
    assert (report.lines, report.unread) == (0, [])


def test_several_accesses_may_begin_with_one_record(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_shelf(monkeypatch)
    ingest(home, write(tmp_path / "log", [b"twin 1 ann p1"]), source="paired")
    accesses, _ = rows(home)
    assert len({row["access_id"] for row in accesses}) == 2
