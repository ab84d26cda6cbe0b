"""Records that several accesses share, that come again later, or that an earlier batch brought; ids that chance could make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from erasing_stage import erase, everything_in, load_context
from intake_reading import ingest, new_home, rows, write
from paired_source import put_on_shelf

from custodes.home import Home
from custodes.ledger.fsck import fsck
from custodes.store.reach import Needles


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put_on_shelf(monkeypatch)
    return new_home(tmp_path / "home", batch=4)


def read(home: Path, tmp_path: Path, name: str, *lines: str) -> None:
    ingest(home, write(tmp_path / name, [line.encode() for line in lines]), source="paired")


def gone(home: Path, person: str) -> str:
    """Erase a person and check the record; return the pseudonym."""
    with Home.open(home) as opened:
        subject = opened.pseudonyms.of("subject", person)
        erase(opened, subject)
        opened.checkpoint()
        report = fsck(home / "ledger" / "log", opened.vault())
        assert report.problems == []
        assert report.erased
    return subject


def subjects(home: Path) -> set[str]:
    return {row["subject"] for row in rows(home)[1]}


def test_an_access_that_goes_on_after_the_erasure_does_not_come_back(home: Path, tmp_path: Path) -> None:
    """It was given out when its input ended; later the input grows by a record of the same operation."""
    lines = ["S1 1 staff person-kanarie", "S2 1 staff person-other"]
    read(home, tmp_path, "a.log", *lines)
    subject = gone(home, "person-kanarie")
    assert subject not in subjects(home)
    read(home, tmp_path, "a.log", *lines, "S1 1 staff person-kanarie again", "S1 2 staff person-third")
    assert subject not in subjects(home)
    assert len(subjects(home)) == 2
    with Home.open(home) as opened:
        assert opened.accesses().manifest().sources["paired"].tally.noise == {"erased": 1}


def test_an_access_that_came_again_is_erased_in_both_forms(home: Path, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", "S1 1 staff person-kanarie")
    read(home, tmp_path, "a.log", "S1 1 staff person-kanarie", "S1 1 staff person-kanarie", "S2 1 staff person-other")
    gone(home, "person-kanarie")
    for name, content in everything_in(home):
        assert b"kanarie" not in content, name


def test_a_record_of_two_peoples_accesses_goes_and_the_others_access_stays(home: Path, tmp_path: Path) -> None:
    read(home, tmp_path, "a.log", "twin 1 staff person-kanarie", "S2 1 staff person-third")
    before = rows(home)
    subject = gone(home, "person-kanarie")
    after = rows(home)
    assert {row["access_id"] for row in after[1]} == {row["access_id"] for row in before[1] if row["subject"] != subject}
    for name, content in everything_in(home):
        assert b"kanarie" not in content, name


def test_a_record_of_an_earlier_batch_goes_with_its_access(home: Path, tmp_path: Path) -> None:
    lines = ["S1 1 staff person-kanarie", "!noise"]
    read(home, tmp_path, "a.log", *lines, *(f"S3 {number} staff person-{number}" for number in range(9)))
    gone(home, "person-kanarie")
    for name, content in everything_in(home):
        assert b"kanarie" not in content, name


def test_a_short_id_is_not_searched_for_in_other_peoples_records(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    base = {"time": "2026-09-01T10:00:00Z", "actor": "staff-1", "action": "read", "system": "crm"}
    lines = [{**base, "subjects": [person], "query": "where id = 7 at 10:07"} for person in ("7", "8", "9")]
    ingest(home, write(tmp_path / "a.ndjson", [json.dumps(line).encode() for line in lines]))
    gone(home, "7")
    with Home.open(home) as opened:
        log = opened.log()
        others = [found for found in opened.vault().openings(range(log.size), log.read, log.size) if found.leaf[1] == 1]
        assert [found.erased for found in others] == [True, False, False]
    assert len(rows(home)[0]) == 2


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        (b'{"subjects":["person-12"]}', True),
        (b"person-12", True),
        (b"mail to person-12.", True),
        (b"person-123", False),
        (b"person-12-b", False),
        (b"a-person-12", False),
        (b"xperson-12", False),
        ("ä".encode() + b"person-12", False),
        (b"person-12@example.org", False),
    ],
)
def test_an_id_is_found_as_a_whole_word(content: bytes, *, holds: bool) -> None:
    assert Needles([b"person-12"]).within(content) is holds
    assert not Needles([]).within(content)
    assert not Needles([b"12"]).within(content)


def test_an_id_is_found_as_json_writes_it() -> None:
    own = 'anna "ä" kanarie'
    needles = Needles([own.encode()])
    assert needles.within(json.dumps({"subject": own}).encode())
    assert needles.within(json.dumps({"subject": own}, ensure_ascii=False).encode())


def test_rejected_rows_of_context_outlive_the_next_intake(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home")
    load_context(tmp_path / "context", home)
    ingest(home, write(tmp_path / "a.ndjson", [b"{}", b"no record"]))
    with Home.open(home) as opened:
        held = b"".join(frame.section(0) for frame in opened.vault().rejected_rows.frames())
        assert b"the other day" in held
        assert len(list(opened.vault().rejected.frames())) == 1
