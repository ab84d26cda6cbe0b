"""A made kind of log whose operations span records, as server logs do: `SESSION OPERATION ACTOR PERSON` per line.

Records of one operation of a session follow each other; it is over when the session's next operation begins. `twin` begins a
record of two accesses, `!…` is noise, `#…` a record that cannot be read, `gap …` a note.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import msgspec
import pytest

from custodes import sources
from custodes.lines import read_lines
from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Note, Parsed, Raw, Rejected, SubjectUse
from custodes.source import CannotSee, Chunk, Coverage, Follow, Position

START = datetime(2026, 9, 1, tzinfo=UTC)


def put_on_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `paired` a source for one test."""
    module = ModuleType("custodes.sources.paired")
    module.SOURCE = PairedSource()  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "custodes.sources.paired", module)
    monkeypatch.setattr(sources, "SHELF", (*sources.SHELF, "paired"))


class PairedSource:
    name = "paired"
    version = "paired/1"
    manifest = Coverage(
        source="paired",
        version="paired/1",
        sees=("operations",),
        cannot_see=(CannotSee("everything else", "it is made", "none"),),
        subject="named",
        fields="none",
        rows=True,
        purpose=None,
        gap_proof="per_session",
        tail_proof=False,
        deletable_by=(),
        checked="2026-09-01",
    )

    def sniff(self, head: bytes, name: str) -> bool:
        return head.startswith(b"S") and not name.endswith(".gz")

    def read(self, path: str, position: Position, *, follow: Follow | None = None) -> Iterator[Chunk]:
        return read_lines(path, position, follow=follow)

    def parser(self, datamap: DataMap, state: bytes | None = None) -> PairedParser:
        assert isinstance(datamap, DataMap)
        return PairedParser(state)


class PairedParser:
    def __init__(self, state: bytes | None) -> None:
        self._open: dict[str, list[Any]] = {}
        for session, operation, raws in msgspec.msgpack.decode(state or b"\x90"):
            self._open[session] = [operation, [Raw(*raw) for raw in raws]]

    def feed(self, raws: Sequence[Raw]) -> Parsed:
        parsed = Parsed()
        for raw in raws:
            if raw.data.startswith(b"!"):
                parsed.counted["noise"] = parsed.counted.get("noise", 0) + 1
            elif raw.data.startswith(b"#"):
                parsed.rejected.append(Rejected(raw, "expected an operation"))
            elif raw.data.startswith(b"gap"):
                parsed.notes.append(Note("gap", "records are missing", raw.file, raw.line))
                parsed.counted["gap"] = parsed.counted.get("gap", 0) + 1
            elif raw.data.startswith(b"twin"):
                parsed.drafts += [_draft([raw]), _draft([raw])]
            else:
                session, operation, *_ = raw.data.decode().split()
                held = self._open.get(session)
                if held is not None and held[0] != operation:
                    parsed.drafts.append(_draft(held[1]))
                if held is None or held[0] != operation:
                    self._open[session] = [operation, [raw]]
                else:
                    held[1].append(raw)
        return parsed

    def finish(self) -> Parsed:
        return Parsed(drafts=[_draft(raws) for _, raws in self._open.values()])

    def state(self) -> bytes:
        return msgspec.msgpack.encode([(session, operation, raws) for session, (operation, raws) in self._open.items()])


def _draft(raws: list[Raw]) -> Draft:
    _, operation, actor, *_ = raws[0].data.decode().split()
    people = [raw.data.decode().split()[3] for raw in raws]
    return Draft(
        list(raws),
        START + timedelta(minutes=int(operation)),
        actor,
        "read",
        "paired",
        subjects=[SubjectUse(person) for person in dict.fromkeys(people)],
        subject_scope="named",
        rows=len(raws),
    )
