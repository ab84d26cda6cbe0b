"""Made access files, homes for them, and a plain reading of what a home holds. For tests of intake."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from custodes.home import Home
from custodes.home_making import make_home
from custodes.ledger.fsck import fsck
from custodes.store.contents import RAWS, Raws

START = datetime(2026, 9, 1, tzinfo=UTC)


def records(count: int, seed: int = 1) -> list[bytes]:
    """Return made `custodes.access/1` records: accesses of none, one or several subjects, and some that cannot be read."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        record: dict[str, Any] = {
            "id": f"own-{seed}-{number}",
            "time": (START + timedelta(minutes=7 * number)).isoformat(),
            "actor": f"staff-{chance.randrange(20)}",
            "action": chance.choice(["read", "query", "export"]),
            "system": "crm",
            "resource": chance.choice(["profile", "messages"]),
            "fields": chance.sample(["email", "ip_log", "name"], 2),
            "purpose": chance.choice(["support", "because I can"]),
            "session": f"session-{chance.randrange(50)}",
        }
        match chance.randrange(10):
            case 0:
                record["subjects"] = [f"person-{chance.randrange(300)}" for _ in range(3)]
            case 1:
                pass
            case 2:
                record["time"] = "yesterday"
            case _:
                record["subjects"] = [f"person-{chance.randrange(300)}"]
        made.append(json.dumps(record).encode())
    return made


def write(path: Path, lines: list[bytes]) -> Path:
    """Write records as one NDJSON file."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def new_home(path: Path, *, batch: int = 50) -> Path:
    """Make a home that records in batches of `batch`."""
    make_home(path).close()
    set_batch(path, batch)
    return path


def set_batch(path: Path, batch: int) -> None:
    """Set how many records a batch has."""
    with (path / "custodes.toml").open("a") as settings:
        settings.write(f"\n[intake]\nbatch_records = {batch}\n")


def copy_home(home: Path, path: Path) -> Path:
    """Return a copy with the same keys: rows of both can be compared."""
    return Path(shutil.copytree(home, path))


def ingest(home: Path, *paths: Path, source: str = "access") -> Any:
    """Read files into a home and return the report."""
    with Home.open(home) as opened:
        return opened.intake().read(source, [str(path) for path in paths])


def rows(home: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return stored accesses and touches without what may differ from run to run (`observed`, ledger indexes), in order."""
    with Home.open(home) as opened:
        engine = opened.engine()
        try:
            opened.accesses().register(engine)
            accesses = engine.fetch("SELECT * EXCLUDE (leaf, observed) FROM stored_accesses ORDER BY access_id").to_pylist()
            touches = engine.fetch(
                "SELECT * EXCLUDE (leaf, touch_leaf) FROM stored_touches ORDER BY access_id, subject, relation"
            ).to_pylist()
        finally:
            engine.close()
    return accesses, touches


def sealed_records(home: Path) -> Counter[bytes]:
    """Return every raw record that the vault holds, and how often."""
    found: Counter[bytes] = Counter()
    with Home.open(home) as opened:
        for frame in opened.vault().intake.frames():
            found.update(msgspec.msgpack.decode(frame.section(RAWS), type=Raws).data)
    return found


def check(home: Path, lines: list[bytes]) -> None:
    """Check that each record is in the record exactly once, that rows and leaves belong together, and that fsck is content."""
    with Home.open(home) as opened:
        opened.checkpoint()
        vault = opened.vault()
        report = fsck(home / "ledger" / "log", vault)
        found = vault.check(opened.log().read, opened.log().size)
        engine = opened.engine()
        opened.accesses().register(engine)
        leaves = {leaf for (leaf,) in engine.rows("SELECT leaf FROM stored_accesses")}
        touches = {leaf for (leaf,) in engine.rows("SELECT touch_leaf FROM stored_touches")}
        engine.close()
        kinds = {index: entry[1] for index, entry in enumerate(opened.log().read(0, opened.log().size))}
    assert not report.problems
    assert not found.problems
    assert found.orphans == 0
    assert found.opened == len(kinds)
    assert leaves == {index for index, kind in kinds.items() if kind == 1}
    assert touches <= leaves | {index for index, kind in kinds.items() if kind == 2}
    assert sealed_records(home) == Counter(dict.fromkeys(lines, 1))
