"""Erasing one of many thousand subjects of a bulk access: nothing of theirs stays, everybody else's answer holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from erasing_stage import erase, everything_in
from intake_reading import ingest, new_home, write

from custodes.home import Home
from custodes.ledger.fsck import fsck
from custodes.ledger.index import verify_in_entry
from custodes.ledger.leaf import Kind, decode, tag_under

CROWD = [f"p{number:04d}" for number in range(1_500)]  # too short to be searched for in contents
WHO, OTHER = CROWD[7], CROWD[8]


def look(number: int, subjects: list[str]) -> bytes:
    base = {"time": "2026-09-01T10:00:00Z", "actor": "staff-1", "action": "export", "system": "crm", "resource": "profile"}
    return json.dumps({**base, "id": f"own-{number}", "subjects": subjects}).encode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = new_home(tmp_path / "home", batch=2)
    lines = [look(0, [WHO]), look(1, CROWD), look(2, [OTHER, WHO]), look(3, [name for name in CROWD if name != WHO])]
    ingest(folder, write(tmp_path / "a.ndjson", lines))
    return folder


def test_one_of_a_crowd_is_erased_and_the_others_are_not(home: Path) -> None:
    with Home.open(home) as opened:
        opened.checkpoint()
        subject, other = (opened.pseudonyms.of("subject", name) for name in (WHO, OTHER))
        keys = {name: opened.tag_key(opened.pseudonyms.of("subject", name)) for name in (WHO, OTHER)}
        (entry,) = opened.index().entries()
        erased = erase(opened, subject)
        assert erased.accesses == 3
        opened.checkpoint()
        report = fsck(home / "ledger/log", opened.vault(), index=home / "ledger/index")
        assert (report.exit_code, report.problems) == (0, [])
        # The leaves, the list and the index are as they were; whoever kept the key can still check the old answer.
        for name, key in keys.items():
            assert key is not None
            lookup, _ = opened.index().lookup(tag_under(key, opened.log().origin, entry.epoch), entry.epoch)
            verify_in_entry(lookup, entry)
            assert len(lookup.positions) == 3, name
        assert opened.tag_key(subject) is None
        assert opened.tag_key(other) == keys[OTHER]
        # The crowd's bulk leaf still opens: it is about nobody in particular.
        log, vault = opened.log(), opened.vault()
        bulk = [at for at, leaf in enumerate(log.read(0, log.size)) if decode(leaf).kind == Kind.BULK]
        for opening in vault.openings(bulk, log.read, log.size):
            assert not opening.erased
            assert json.loads(opening.groups[1] or b"")["count"] in {1_500, 1_499}
        engine = opened.engine()
        try:
            opened.accesses().register(engine)
            left = engine.fetch("SELECT subject, leaf FROM stored_touches").to_pylist()
        finally:
            engine.close()
    assert subject not in {row["subject"] for row in left}
    assert len([row for row in left if row["subject"] == other]) == 3
    assert len(left) == 1_499 + 1 + 1_499
    known = [content for _, content in everything_in(home) if subject.encode() in content or b'"p0007"' in content]
    assert known == []
