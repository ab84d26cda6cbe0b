"""Leaves are opened by their index: only their frames are decoded, and what opens fits what was committed."""

from __future__ import annotations

from pathlib import Path

import pytest
from intake_reading import ingest, new_home, records, rows, write

from custodes.errors import PartMissing
from custodes.home import Home
from custodes.ledger.leaf import Kind, decode, group_digest, join, tag_under
from custodes.ledger.log import Log
from custodes.store.contents import VALUES, fits
from custodes.store.sealed import Frame


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = new_home(tmp_path / "home", batch=20)
    for number in range(6):
        ingest(home, write(tmp_path / f"{number}.ndjson", records(20, seed=number)))
    with Home.open(home) as opened:
        opened.record(Kind.POLICY, {"what": "something of the home's own"})
    ingest(home, write(tmp_path / "b.ndjson", records(60, seed=2)))
    return home


def test_every_leaf_opens_by_its_index_and_fits(home: Path) -> None:
    with Home.open(home) as opened:
        log, vault = opened.log(), opened.vault()
        found = list(vault.openings(range(log.size + 5), log.read, log.size))
        assert [item.index for item in found] == list(range(log.size))
        for item in found:
            assert item.leaf == log.read(item.index, item.index + 1)[0]
            assert fits(item)
            assert not item.erased
            made = [
                group_digest(group, salt, content) if content is not None and salt is not None else bytes(32)
                for group, (content, salt) in enumerate(zip(item.groups, item.salts, strict=True))
            ]
            assert join(made) == decode(item.leaf).commit
        assert list(vault.openings([], log.read, log.size)) == []


def test_only_the_frames_of_the_leaves_are_opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_frames: list[tuple[int, int]] = []
    real = Frame.section

    def section(self: Frame, index: int) -> bytes:
        opened_frames.append((self.number, index))
        return real(self, index)

    monkeypatch.setattr(Frame, "section", section)
    with Home.open(home) as opened:
        log, vault = opened.log(), opened.vault()
        frames = list(vault.intake.frames())
        wanted = [frames[2].first, frames[2].first + 1, frames[5].first]
        assert [item.index for item in vault.openings(wanted, log.read, log.size)] == wanted
        assert opened_frames == [(2, VALUES), (5, VALUES)]


def test_leaves_are_found_where_others_came_between(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the frame and two of its leaves; another process records something; the next start completes the batch."""
    with monkeypatch.context() as crash, Home.open(home) as opened:
        crash.setattr(Log, "publish", lambda log, *_: log.checkpoint)  # nothing is signed
        opened.intake().read("access", [str(write(tmp_path / "c.ndjson", records(30, seed=3)))])
        *_, last = opened.vault().intake.frames()
    entries = home / "ledger" / "log" / "seg" / "000000.log"
    entries.write_bytes(entries.read_bytes()[: (last.first + 2) * 98])
    manifest = home / "accesses" / "MANIFEST.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"batches":%d' % (last.number + 1), b'"batches":%d' % last.number))
    with Home.open(home) as opened:
        own = opened.record(Kind.POLICY, {"what": "something between"})
        assert own == last.first + 2
        opened.intake().recover()
        log = opened.log()
        found = list(opened.vault().openings(range(last.first, log.size), log.read, log.size))
        assert [item.index for item in found] == list(range(last.first, log.size))
        assert all(fits(item) for item in found)
        assert not opened.vault().check(log.read, log.size).problems


def test_a_missing_file_or_key_is_said(home: Path) -> None:
    with Home.open(home) as opened:
        vault = opened.vault()
        (frame, *_) = vault.intake.frames()
    for key in (home / "vault" / "keys").glob("intake.*"):
        key.unlink()
    with Home.open(home) as opened, pytest.raises(PartMissing):
        list(opened.vault().openings([frame.first], opened.log().read, opened.log().size))


def test_a_subjects_key_makes_the_tags_of_its_leaves(home: Path) -> None:
    with Home.open(home) as opened:
        (touched, *_) = rows(home)[1]
        log, subject = opened.log(), touched["subject"]
        key = opened.tag_key(subject)
        assert key is not None
        assert opened.tag_key("s-nobody") is None
        engine = opened.engine()
        opened.accesses().register(engine)
        leaves = {leaf for (leaf,) in engine.rows(f"SELECT touch_leaf FROM stored_touches WHERE subject = '{subject}'")}
        engine.close()
        tags = {tag_under(key, log.origin, f"{year}-{month:02d}") for year in (2026, 2027) for month in range(1, 13)}
        tagged = {index for index, entry in enumerate(log.read(0, log.size)) if decode(entry).tag in tags}
        assert leaves
        assert tagged == leaves
    for table in (home / "vault" / "tables").iterdir():
        table.unlink()
    with Home.open(home) as opened:
        assert opened.tag_key(subject) == key
