"""After an erasure not one byte of the subject is left under the home, and everything else still holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from erasing_stage import MARKS, OTHER, WHO, erase, everything_in, marked_home
from intake_reading import ingest, rows

from custodes.home import Home
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import MANY_TAG, Kind, decode, join, leaf_hash
from custodes.ledger.merkle import verify_inclusion
from custodes.ledger.proof import inclusion
from custodes.store.contents import fits
from custodes.store.erasure import Erased
from custodes.store.subject_keys import Wrapping, find_key


class Case(NamedTuple):
    """One erasure: the home before and after, what was known before, and what it returned."""

    before: Path
    home: Path
    subject: str
    other: str
    held: list[bytes]
    derived: list[bytes]
    erased: Erased
    folder: Path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("erased")
    home = marked_home(folder)
    before = Path(shutil.copytree(home, folder / "before"))
    with Home.open(home) as opened:
        subject, other = opened.pseudonyms.of("subject", WHO), opened.pseudonyms.of("subject", OTHER)
        held, derived = _secrets(opened, subject)
        erased = erase(opened, subject)
        opened.checkpoint()
    return Case(before, home, subject, other, held, derived, erased, folder)


def _secrets(home: Home, subject: str) -> tuple[list[bytes], list[bytes]]:
    """Return what the vault holds to open the subject's groups and tags, and what is made of it."""
    log, vault = home.log(), home.vault()
    found = find_key(vault, Wrapping(home._table_key()), subject)
    key = home.tag_key(subject)
    assert found is not None
    assert key is not None
    table = (home.path / "vault" / "tables" / "subjects.table").read_bytes()
    at = table.find(found.nonce)
    seeds, salts = [], []
    for first, last in home.eraser().preview(subject).leaves:
        for opening in vault.openings(range(first, last + 1), log.read, log.size):
            seeds += opening.seeds[1:]
            several = decode(opening.leaf).tag == MANY_TAG
            salts += [salt for group, salt in enumerate(opening.salts) if salt and group in ({4} if several else {1, 2, 4})]
    return [found.key, *seeds], [key, table[at + 8 : at + 40], *salts]


def test_what_is_erased_was_there_before(case: Case) -> None:
    """The tests below would also pass if nothing had been kept."""
    found = {mark for _, content in everything_in(case.before) for mark in MARKS if mark in content}
    assert found == set(MARKS)
    contents = [content for _, content in everything_in(case.before)]
    assert len(case.held) == 1 + 30 + 6 * 2 + 6  # the key; single accesses; what, why and raw of shared ones; touches
    for secret in case.held:
        assert any(secret in content for content in contents)
    assert case.erased.accesses == 36
    assert case.erased.touches == 6
    assert case.erased.findings == 1
    assert case.erased.desk_rows == 2
    assert case.erased.context_rows == 4


def test_no_byte_of_the_subject_is_left(case: Case) -> None:
    forms = [mark for word in MARKS for mark in (word, word.upper(), word.decode().encode("utf-16-le"), word.hex().encode())]
    looked = 0
    for name, content in everything_in(case.home):
        looked += len(content)
        for form in [*forms, case.subject.encode(), *case.held, *case.derived]:
            at = content.find(form)
            assert at < 0, (name, content[max(0, at - 60) : at + 60])
    assert looked > 100_000
    assert not list(case.home.rglob("*.new"))
    assert not list((case.home / "vault" / "erasing").iterdir())


def test_old_files_and_keys_do_not_open_each_other(case: Case, tmp_path: Path) -> None:
    """Whoever kept a copy of the sealed files, but not of their keys, reads nothing in them."""
    home = Path(shutil.copytree(case.home, tmp_path / "home"))
    for folder in ("vault/intake", "vault/texts", "rejected"):
        for file in (case.before / folder).glob("*.sealed"):
            shutil.copy(file, home / folder / file.name)
    for name, content in everything_in_that_opens(home):
        assert not [mark for mark in MARKS if mark in content], name


def everything_in_that_opens(home: Path) -> list[tuple[str, bytes]]:
    from custodes.errors import PartMissing

    found = []
    with Home.open(home) as opened:
        vault = opened.vault()
        for stream in (vault.intake, vault.rejected, vault.texts):
            for frame in stream.frames():
                for place, name in enumerate(stream.sections):
                    with pytest.raises(PartMissing):
                        found.append((name, frame.section(place)))
    return found


def test_old_proofs_verify(case: Case) -> None:
    with Home.open(case.before) as opened:
        log = opened.log()
        point = opened.checkpoint()
        proofs = {index: (inclusion(log, index, point.size), log.read(index, index + 1)[0]) for index in range(point.size)}
    with Home.open(case.home) as opened:
        for index, (proof, entry) in proofs.items():
            assert opened.log().read(index, index + 1)[0] == entry
            verify_inclusion(index, point.size, leaf_hash(entry), proof, point.root)


def test_the_other_persons_groups_open(case: Case) -> None:
    with Home.open(case.home) as opened, Home.open(case.before) as earlier:
        log, vault = opened.log(), opened.vault()
        size = earlier.log().size
        before = list(earlier.vault().openings(range(size), earlier.log().read, size))
        after = list(vault.openings(range(size), log.read, size))
        mine = {index for first, last in case.erased.leaves for index in range(first, last + 1)}
        several = 0
        for old, new in zip(before, after, strict=True):
            assert fits(new)
            assert join([digest or bytes(32) for digest in new.digests]) == decode(new.leaf).commit
            assert (new.groups[0], new.groups[3]) == (old.groups[0], old.groups[3])  # who looked, and from where
            if old.index not in mine:
                assert new.groups[1] == old.groups[1]  # what was seen of somebody else
                if not new.erased:
                    assert new == old
            elif decode(new.leaf).kind == Kind.ACCESS and decode(new.leaf).tag == MANY_TAG:
                several += 1
                assert new.groups[1:3] == old.groups[1:3]
                assert new.groups[4] is None
            else:
                assert new.groups[1] is new.groups[2] is new.groups[4] is None
                assert new.erased
                assert new.seeds == ()
        assert several == 6
        assert opened.tag_key(case.other) == earlier.tag_key(case.other)
        assert opened.tag_key(case.subject) is None


def test_others_rows_stay_and_the_subjects_go(case: Case) -> None:
    before, after = rows(case.before), rows(case.home)
    kept = {touch["access_id"] for touch in before[1] if touch["subject"] != case.subject}
    mine = {touch["access_id"] for touch in before[1] if touch["subject"] == case.subject}
    assert {row["access_id"] for row in after[0]} == {row["access_id"] for row in before[0]} - (mine - kept)
    assert after[1] == [touch for touch in before[1] if touch["subject"] != case.subject]
    shared = mine & kept
    assert len(shared) == 6
    for row in after[0]:
        was = next(other for other in before[0] if other["access_id"] == row["access_id"])
        if row["access_id"] in shared:
            assert row["id_ref"] is None
            assert [item["ref"] for item in row["selectors"]] == [None] * len(was["selectors"])
            assert {**row, "id_ref": 0, "selectors": 0} == {**was, "id_ref": 0, "selectors": 0}


def test_context_names_the_subject_no_more_and_others_still(case: Case) -> None:
    with Home.open(case.home) as opened:
        engine = opened.engine()
        opened.context().register(engine)
        assert engine.rows("SELECT subject, inbound FROM tickets WHERE row_key = 'T-1'") == [(None, None)]
        assert engine.rows(
            "SELECT count(*) FROM tickets WHERE row_key = 'T-2' AND subject IS NOT NULL AND inbound IS NOT NULL"
        ) == [(1,)]
        assert engine.rows("SELECT count(*) FROM subjects") == [(1,)]
        assert engine.rows("SELECT count(*) FROM links") == [(1,)]
        engine.close()
        assert opened.registry().enrolments([case.subject]) == {}
        texts = b"".join(frame.section(0) for frame in opened.vault().texts.frames())
        assert b"mail of somebody" in texts
        (finding, other) = opened.desk().findings()
        assert finding["subjects"] == ["(erased)", case.other]
        assert finding["sentence"] == f"a look at (erased) and {case.other}"
        assert other["subjects"] == [case.other]


@pytest.mark.parametrize("rename", ["0.ndjson", "other-name.ndjson", "0.ndjson.1"])
@pytest.mark.parametrize("tables", ["kept", "deleted"])
def test_reading_again_brings_nothing_back(case: Case, tmp_path: Path, rename: str, tables: str) -> None:
    home = Path(shutil.copytree(case.home, tmp_path / "home"))
    if tables == "deleted":
        for table in (home / "vault" / "tables").iterdir():
            table.unlink()
    shutil.copy(case.folder / "0.ndjson", tmp_path / rename)
    before = rows(home)
    report = ingest(home, tmp_path / rename)
    assert (report.lines, report.accesses) == (0, 0)
    assert rows(home) == before
    for name, content in everything_in(home):
        assert not [mark for mark in (*MARKS, case.subject.encode()) if mark in content], name


def test_the_person_may_come_anew_with_a_new_key(case: Case, tmp_path: Path) -> None:
    home = Path(shutil.copytree(case.home, tmp_path / "home"))
    new = {"time": "2026-10-01T10:00:00Z", "actor": "staff-1", "action": "read", "system": "crm", "subjects": [WHO], "id": "new-1"}
    (tmp_path / "new.ndjson").write_text(json.dumps(new) + "\n")
    assert ingest(home, tmp_path / "new.ndjson").accesses == 1
    with Home.open(home) as opened, Home.open(case.before) as earlier:
        assert opened.tag_key(case.subject) not in {None, earlier.tag_key(case.subject)}
        assert opened.eraser().preview(case.subject).accesses == 1


def test_fsck_tells_erased_from_missing(case: Case, tmp_path: Path) -> None:
    with Home.open(case.home) as opened:
        report = fsck(case.home / "ledger" / "log", opened.vault())
        assert (report.problems, report.exit_code) == ([], 0)
        assert report.erased >= case.erased.accesses + case.erased.touches
    home = Path(shutil.copytree(case.before, tmp_path / "home"))
    with Home.open(home) as opened, opened.intake().quiet():
        opened.eraser().destroy(case.subject)  # nobody asked, nobody approved: there is no record
        report = fsck(home / "ledger" / "log", opened.vault())
        assert report.exit_code == 3
        assert any("no record says that they were erased" in text for text in report.problems)


@pytest.mark.parametrize("what", ["vault/intake/*.sealed", "vault/keys/intake.*.key", "vault/own/*.sealed"])
def test_fsck_tells_what_was_deleted_by_hand(case: Case, tmp_path: Path, what: str) -> None:
    home = Path(shutil.copytree(case.home, tmp_path / "home"))
    for file in home.glob(what):
        file.unlink()
    with Home.open(home) as opened:
        report = fsck(home / "ledger" / "log", opened.vault())
    assert report.exit_code == 3
    assert any("missing" in text for text in report.problems)


def test_a_second_call_finds_nothing_to_do(case: Case, tmp_path: Path) -> None:
    home = Path(shutil.copytree(case.home, tmp_path / "home"))
    before = {file: file.read_bytes() for file in (home / "vault" / "intake").iterdir()}
    with Home.open(home) as opened:
        assert opened.eraser().preview(case.subject).accesses == 0
        with opened.intake().quiet():
            assert opened.eraser().destroy(case.subject) == Erased()
    assert before == {file: file.read_bytes() for file in (home / "vault" / "intake").iterdir()}
