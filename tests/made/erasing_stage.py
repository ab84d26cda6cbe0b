"""A home with marked people, and plain ways to open everything in it. For tests of erasure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from intake_reading import ingest, new_home, write

from custodes.home import Home
from custodes.ledger.leaf import Kind
from custodes.store.erasure import Erased
from custodes.store.keys import KeyDestroyed
from custodes.store.sealed import Stream

WHO = "subject-kanarie"
OTHER = "subject-drossel"
MARKS = (b"kanarie",)
"""What must be nowhere once `WHO` is erased. Everything that is about `WHO` alone holds it."""


def marked(count: int = 30) -> list[bytes]:
    """Return records about `WHO`, about others, about both, and some that cannot be read; those about `WHO` alone are marked."""
    base = {"time": "2026-09-01T10:00:00Z", "actor": "staff-1", "action": "read", "system": "crm", "resource": "profile"}
    made: list[dict[str, Any]] = []
    for number in range(count):
        mine = {
            **base,
            "id": f"own-kanarie-{number}",
            "subjects": [WHO],
            "purpose": f"kanarie asked {number}",
            "reason": f"TICKET-kanarie-{number}",
            "query": "select * from people where name = 'kanarie'",
            "session": f"session-{number}",
            "favourite_colour": "kanarie yellow",
            "client_address": "203.0.113.77",
        }
        theirs = {**base, "id": f"own-{number}", "subjects": [f"person-{number % 7}"], "reason": "TICKET-1", "actor": "staff-2"}
        made += [mine, theirs]
        if number % 5 == 0:
            both = {**base, "id": f"both-{number}", "subjects": [WHO, OTHER], "purpose": "support", "session": "session-shared"}
            made.append({**both, "selector": "handle"})
            made.append({**theirs, "id": f"free-{number}", "query": f"select 1 -- not {WHO}", "subjects": [OTHER]})
            made.append({**base, "time": "yesterday", "subjects": [WHO], "id": f"rejected-{number}"})
    return [json.dumps(record).encode() for record in made]


def load_context(folder: Path, home: Path) -> None:
    """Load context tables that name `WHO`, with free text about it, and a row that cannot be read."""
    folder.mkdir(exist_ok=True)
    tables = {
        "tickets": "ticket,subject,origin,opened,inbound,opened_by\n"
        f"T-1,{WHO},subject,2026-09-01T09:00:00Z,mail of kanarie,\nT-2,{OTHER},subject,2026-09-01T09:00:00Z,mail of somebody,\n"
        f"T-3,{WHO},subject,the other day,mail of kanarie,\n",
        "subjects": f"subject,region,kind,person\n{WHO},EU,person,person-kanarie\n{OTHER},EU,person,person-drossel\n",
        "links": f"subject,other,kind\n{WHO},{OTHER},contact\n{OTHER},person-3,contact\n",
        "press": f"event,time,kind,subject,about\nP-1,2026-08-30T00:00:00Z,article,{WHO},what kanarie wrote\n",
        "staff": "actor,unit\nstaff-1,audit\nstaff-2,support\n",
    }
    with Home.open(home) as opened:
        for name, text in tables.items():
            file = folder / f"{name}.csv"
            file.write_text(text)
            opened.context().load(name, file, now=datetime(2026, 9, 2, tzinfo=UTC))
        opened.registry().enrol(opened.pseudonyms.of("subject", WHO), "journalist")


def marked_home(folder: Path, *, parts: int = 2, count: int = 30) -> Path:
    """Return a home that has read marked files and context, and has findings on its desk."""
    home = new_home(folder / "home", batch=20)
    load_context(folder / "context", home)
    lines = marked(count)
    for part in range(parts):
        ingest(home, write(folder / f"{part}.ndjson", lines[part::parts]))
    with Home.open(home) as opened:
        subject = opened.pseudonyms.of("subject", WHO)
        other = opened.pseudonyms.of("subject", OTHER)
        row = {"rule": "D01", "campaign": "c1", "sentence": f"a look at {subject} and {other}", "subjects": [subject, other]}
        opened.desk().save_findings([{"finding": "f1", **row}, {"finding": "f2", **row, "subjects": [other], "sentence": "a look"}])
        opened.desk().save_campaigns([{"campaign": "c1", "subjects": [subject], "accesses": []}])
    return home


def intend(home: Home, subject: str) -> dict[str, Any]:
    """Record the intent, as the decision does; return what it says."""
    ranges = [list(pair) for pair in home.eraser().preview(subject).leaves]
    said = {"what": "erasure", "request": 0, "basis": "GDPR-17-1-a", "ranges": ranges}
    home.record(Kind.ERASURE, {**said, "step": "intent"})
    return said


def erase(home: Home, subject: str) -> Erased:
    """Erase as the decision does: intent, destruction, done."""
    with home.intake().quiet():
        said = intend(home, subject)
        erased = home.eraser().destroy(subject)
        home.record(Kind.ERASURE, {**said, "step": "done"})
    return erased


def everything_in(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every byte of a home: its files as they lie, and everything sealed that its keys open."""
    for file in sorted(home.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(home)), file.read_bytes()
    with Home.open(home) as opened:
        vault = opened.vault()
        for stream in (vault.intake, vault.own, vault.rejected, vault.rejected_rows, vault.texts):
            yield from _frames(stream)
        yield from _frames(Stream(vault.path / "erasing", vault.keys, ("reach",)))
        for file in sorted(vault.positions._folder.glob("*")):
            yield f"positions {file.name}", vault.positions._open(file) or b""


def _frames(stream: Stream) -> Iterator[tuple[str, bytes]]:
    for frame in stream.frames():
        for place, name in enumerate(stream.sections):
            try:
                yield f"{stream._name} frame {frame.number} {name}", frame.section(place)
            except KeyDestroyed:
                continue


def state(home: Path, size: int) -> Any:
    """Return what an erasure leaves, without what is random: openings of the first `size` leaves, rows, context, desk."""
    with Home.open(home) as opened:
        log, vault = opened.log(), opened.vault()
        leaves = [
            (found.index, found.groups, found.erased, found.digests) for found in vault.openings(range(size), log.read, log.size)
        ]
        engine = opened.engine()
        try:
            opened.accesses().register(engine)
            accesses = engine.fetch("SELECT * FROM stored_accesses ORDER BY leaf").to_pylist()
            touches = engine.fetch("SELECT * FROM stored_touches ORDER BY leaf, subject").to_pylist()
            opened.context().register(engine)
            context = {
                name: engine.fetch(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in sorted(opened.context().tables())
            }
        finally:
            engine.close()
        frames = [msgspec.msgpack.decode(frame.section(2)) for frame in vault.intake.frames()]
        raws = [[*part[:7], [place for place, _ in part[7]]] for part in frames]
        texts = [msgspec.msgpack.decode(frame.section(0)) for frame in vault.texts.frames()]
        return leaves, accesses, touches, context, raws, texts, opened.desk().findings(), opened.desk().campaigns()
