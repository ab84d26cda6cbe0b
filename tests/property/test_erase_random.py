"""Whoever is erased from whatever home: everybody else's openings stay, and nothing of the erased is left."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from erasing_stage import erase, everything_in
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_reading import ingest, new_home, rows, write

from custodes.home import Home
from custodes.ledger.fsck import fsck
from custodes.store.contents import fits

_PEOPLE = [f"person-of-{name}" for name in ("anna", "berta", "clara", "dora")]
_look = st.builds(
    lambda who, actor, query, reason: {"subjects": who, "actor": actor, "query": query, "reason": reason},
    st.lists(st.sampled_from(_PEOPLE), max_size=3),
    st.sampled_from(["staff-1", "staff-2"]),
    st.sampled_from(["", *(f"select 1 where name = '{person}'" for person in _PEOPLE)]),
    st.sampled_from(["T-1", "T-2", *(f"mail of {person}" for person in _PEOPLE)]),
)


@given(batches=st.lists(st.lists(_look, min_size=1, max_size=6), min_size=1, max_size=4), whom=st.permutations(_PEOPLE))
@settings(max_examples=8)
def test_others_openings_stay(batches: list[list[dict[str, Any]]], whom: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _check(Path(folder), batches, whom[:2])


@pytest.mark.slow
@given(batches=st.lists(st.lists(_look, min_size=1, max_size=12), min_size=1, max_size=6), whom=st.permutations(_PEOPLE))
@settings(max_examples=150)
def test_others_openings_stay_in_many_homes(batches: list[list[dict[str, Any]]], whom: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _check(Path(folder), batches, whom)


def _check(folder: Path, batches: list[list[dict[str, Any]]], whom: list[str]) -> None:
    home = new_home(folder / "home", batch=5)
    number = 0
    files = []
    for batch in batches:
        lines = []
        for look in batch:
            number += 1
            base = {"id": f"own-{number}", "time": "2026-09-01T10:00:00Z", "action": "read", "system": "crm"}
            lines.append(json.dumps({**base, **look}).encode())
        files.append(write(folder / f"{number}.ndjson", lines))
        ingest(home, files[-1])
    for person in whom:
        _erase_one(home, person)
    before = rows(home)
    assert ingest(home, *files).accesses == 0
    assert rows(home) == before


def _erase_one(home: Path, person: str) -> None:
    with Home.open(home) as opened:
        subject = opened.pseudonyms.of("subject", person)
        others = [row for row in rows(home)[1] if row["subject"] != subject]
        log, vault, size = opened.log(), opened.vault(), opened.log().size
        earlier = {found.index: found for found in vault.openings(range(size), log.read, size)}
        affected = opened.eraser().preview(subject)
        if not affected.accesses:  # nobody looked, so the id itself is not known here, and nothing is looked for
            return
        mine = {index for first, last in affected.leaves for index in range(first, last + 1)}
        erase(opened, subject)
        for found in vault.openings(range(size), log.read, size):
            was = earlier[found.index]
            assert fits(found)
            assert (found.groups[0], found.groups[3]) == (was.groups[0], was.groups[3])
            if found.index not in mine:
                assert found.groups[1] == was.groups[1]
                if person.encode() not in b"".join(group or b"" for group in was.groups[1:]):
                    assert found.groups[2] == was.groups[2]
        opened.checkpoint()
        report = fsck(home / "ledger" / "log", opened.vault())
        assert report.problems == []
    assert rows(home)[1] == others
    for name, content in everything_in(home):
        assert person.encode() not in content, name
        assert subject.encode() not in content, name
