"""Raw records end after their time; everything made of them stays, and the record says what happened."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from erasing_stage import MARKS, OTHER, WHO, erase, everything_in, marked_home
from intake_reading import ingest, rows

from custodes.errors import PartMissing
from custodes.home import Home
from custodes.ledger.fsck import fsck
from custodes.store.contents import fits
from custodes.store.keys import KeyDestroyed

AFTER = datetime.now(UTC).date() + timedelta(days=3)
"""Later than whatever these tests record, also where midnight passes meanwhile."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marked_home(tmp_path_factory.mktemp("expiry"))


@pytest.fixture(scope="module")
def expired(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Path(shutil.copytree(start, tmp_path_factory.mktemp("expired") / "home"))
    with Home.open(home) as opened:
        done = opened.expire_raws(AFTER)
        assert done.days
        opened.checkpoint()
    return home


def test_raw_records_open_for_nobody_and_everything_else_opens(start: Path, expired: Path) -> None:
    with Home.open(expired) as opened:
        vault, log = opened.vault(), opened.log()
        frames = list(vault.intake.frames())
        for frame in frames:
            with pytest.raises(KeyDestroyed):
                frame.section(2)
        for stream in (vault.rejected, vault.rejected_rows):
            for frame in stream.frames():
                with pytest.raises(KeyDestroyed):
                    frame.section(0)
        assert all(fits(found) for found in vault.openings(range(log.size), log.read, log.size))
        subject = opened.pseudonyms.of("subject", WHO)
        assert vault.names({subject}) == {subject: WHO}
    assert rows(expired) == rows(start)


def test_old_copies_of_the_files_open_no_raw_record(start: Path, expired: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(expired, tmp_path / "home"))
    for file in (start / "vault" / "intake").iterdir():
        shutil.copy(file, home / "vault" / "intake" / file.name)
    with Home.open(home) as opened:
        for frame in opened.vault().intake.frames():
            with pytest.raises(PartMissing):
                frame.section(2)


def test_fsck_tells_expired_from_missing(start: Path, expired: Path, tmp_path: Path) -> None:
    with Home.open(expired) as opened:
        report = fsck(expired / "ledger" / "log", opened.vault())
        assert (report.problems, report.exit_code) == ([], 0)
        assert report.expired == len(list(opened.vault().intake.frames()))
    home = Path(shutil.copytree(start, tmp_path / "home"))
    with Home.open(home) as opened, opened.intake().quiet():
        opened.eraser().expire_raws(AFTER)  # without a record
        report = fsck(home / "ledger" / "log", opened.vault())
        assert report.exit_code == 3
        assert any("no record says that they expired" in text for text in report.problems)


def test_a_second_run_changes_nothing(expired: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(expired, tmp_path / "home"))
    with Home.open(home) as opened:
        size = opened.log().size
        assert opened.expire_raws(AFTER).days == ()
        assert opened.expire_raws(date(2020, 1, 1)).days == ()
        assert opened.log().size == size


@pytest.mark.parametrize("tables", ["kept", "deleted"])
def test_reading_again_adds_nothing(start: Path, expired: Path, tmp_path: Path, tables: str) -> None:
    home = Path(shutil.copytree(expired, tmp_path / "home"))
    if tables == "deleted":
        for table in (home / "vault" / "tables").iterdir():
            table.unlink()
    report = ingest(home, start.parent / "0.ndjson", start.parent / "1.ndjson")
    assert (report.lines, report.accesses) == (0, 0)
    assert rows(home) == rows(expired)


def test_what_comes_after_an_expiry_of_today_is_kept(start: Path, expired: Path, tmp_path: Path) -> None:
    """The clock fell behind a day that expired: new records must not be sealed under keys that are gone."""
    home = Path(shutil.copytree(expired, tmp_path / "home"))
    new = tmp_path / "new.ndjson"
    new.write_text('{"time":"2026-09-01T10:00:00Z","actor":"staff-1","action":"read","system":"crm","subjects":["person-new"]}\n')
    assert ingest(home, new).accesses == 1
    with Home.open(home) as opened:
        *_, last = opened.vault().intake.frames()
        assert b"person-new" in last.section(2)


def test_an_expired_subject_can_still_be_erased(start: Path, expired: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(expired, tmp_path / "home"))
    with Home.open(home) as opened:
        subject = opened.pseudonyms.of("subject", WHO)
        erased = erase(opened, subject)
        assert erased.accesses == 36
        opened.checkpoint()
        report = fsck(home / "ledger" / "log", opened.vault())
        assert report.problems == []
        assert report.erased
        assert report.expired
        other = opened.pseudonyms.of("subject", OTHER)
        assert opened.vault().names({other}) == {other: OTHER}
    for name, content in everything_in(home):
        assert not [mark for mark in (*MARKS, subject.encode()) if mark in content], name
    report = ingest(home, start.parent / "0.ndjson")
    assert (report.lines, report.accesses) == (0, 0)
