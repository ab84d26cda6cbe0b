"""Facts about real pgaudit captures hold on drafts, from csvlog and from jsonlog. A kind or key of fact not known here fails.

Facts of kind `absent` speak of a whole home; here they are checked on those parts of drafts, notes and reasons that are kept in
clear. That nothing else of a record reaches the store is for the tests of intake.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Note, Parsed, Raw
from custodes.source import Position
from custodes.sources.pgaudit import SOURCE
from custodes.sources.pgaudit.record import Line, Unreadable, audit_of, decode

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CUSTODES_DATA", REPOSITORY.parent / "shared" / "data")) / "logs"
FOLDERS = ("postgres_pgaudit", "hostile")
CHECKED = 2 * (28 + 23) + 2
"""28 and 23 facts about files in two formats, 2 about the torn csvlog."""


def _facts() -> list[Any]:
    found = []
    for folder in FOLDERS:
        path = DATA / folder / "expected.json"
        for fact in json.loads(path.read_text())["facts"] if path.is_file() else ():
            found += [pytest.param(fact, file, id=f"{fact['id']}-{file}") for file in fact["file"] if file.startswith("pgaudit")]
    return found


class Got:
    """One file, read."""

    def __init__(self, folder: str, file: str) -> None:
        self.path = DATA / folder / file
        self.datamap = DataMap.of(yaml.safe_load((DATA / folder / "datamap.yaml").read_text()))
        self.parser = SOURCE.parser(self.datamap)
        self.raws: list[Raw] = []
        self.parsed: list[Parsed] = []
        for chunk in SOURCE.read(str(self.path), Position()):
            self.raws += chunk.raws
            self.parsed.append(self.parser.feed(chunk.raws))
        self.parsed.append(self.parser.finish())
        self.drafts = [draft for parsed in self.parsed for draft in parsed.drafts]
        self.notes = [note for parsed in self.parsed for note in parsed.notes]
        self.rejected = [item for parsed in self.parsed for item in parsed.rejected]
        self.counted: Counter[str] = sum((Counter(parsed.counted) for parsed in self.parsed), Counter())
        self.lines: list[tuple[Raw, Line]] = []
        for raw in self.raws:
            try:
                self.lines.append((raw, decode(raw)))
            except Unreadable:
                continue

    def at(self, at: dict[str, Any]) -> list[Raw]:
        """Return the records that a fact speaks of."""
        assert set(at) == {"session", "seqs"}
        found = {line.line_num: raw for raw, line in self.lines if line.session_id == at["session"]}
        return [found[seq] for seq in at["seqs"]]

    def draft(self, raws: list[Raw]) -> Draft:
        """Return the one access that is made of these records."""
        found = [draft for draft in self.drafts if set(raws) & set(draft.raws)]
        assert len(found) == 1
        assert set(raws) <= set(found[0].raws)
        return found[0]

    def notes_of(self, kind: str) -> list[Note]:
        return [note for note in self.notes if note.kind == kind]


@cache
def _read(folder: str, file: str) -> Got:
    return Got(folder, file)


def test_facts_are_there(shared_data: Path) -> None:
    assert len(_facts()) == CHECKED


@pytest.mark.parametrize(("fact", "file"), _facts())
def test_expected_fact(fact: dict[str, Any], file: str) -> None:
    KINDS[fact["kind"]](_read(fact["folder"], file), fact)


@pytest.mark.parametrize("folder", FOLDERS)
def test_both_formats_of_one_run_give_equal_rows(folder: str, shared_data: Path) -> None:
    stem = "pgaudit" if folder == "postgres_pgaudit" else "pgaudit_hostile"
    rows = [
        [{**asdict(draft), "raws": len(draft.raws)} for draft in _read(folder, file).drafts]
        for file in (f"{stem}_csvlog.csv", f"{stem}_jsonlog.ndjson")
    ]
    assert len(rows[0]) > 20
    assert rows[0] == rows[1]


@pytest.mark.parametrize(("folder", "file"), sorted({(p.values[0]["folder"], p.values[1]) for p in _facts()}))
def test_lines_add_up(folder: str, file: str) -> None:
    got = _read(folder, file)
    assert len(got.raws) == sum(len(d.raws) for d in got.drafts) + sum(got.counted.values()) + len(got.rejected)


def _count(got: Got, fact: dict[str, Any]) -> None:
    audits = [(line, audit_of(line.message)) for _, line in got.lines if line.message.startswith("AUDIT: ")]
    genuine = [(line.session_id, audit) for line, audit in audits if audit and not line.context and not line.statement]
    errors = [line for _, line in got.lines if line.error_severity == "ERROR"]
    checks = got.counted["foreign_key_check"]
    drafts_of = {(line.session_id) for raw, line in got.lines for draft in got.drafts if raw in draft.raws}
    expect = dict(fact["expect"])
    answers = {
        "records": len(got.raws),
        "audit_records": len(audits),
        "genuine_audit_records": len(audits) - got.counted["forged"],
        "sessions": len({line.session_id for _, line in got.lines}),
        "sessions_with_statements": len({session for session, _ in genuine}),
        "errors": len(errors),
        "operations": len({(session, audit.statement, audit.substatement) for session, audit in genuine}),
        "foreign_key_operations": checks,
        "statements": len({(session, audit.statement) for session, audit in genuine}),
    }
    assert {key: answers[key] for key in expect} == expect
    assert drafts_of
    made = [line for raw, line in got.lines if line.error_severity == "ERROR" and any(raw in draft.raws for draft in got.drafts)]
    assert len(errors) == len(made) + got.counted["error"] + got.counted["never_ran"]


def _gap(got: Got, fact: dict[str, Any]) -> None:
    expect = fact["expect"]
    assert set(expect) <= {"gaps", "sessions_without_gap", "tails_proven"}
    keys = ("seq_of", "after", "before", "missing")
    gaps = [{key: note.facts[key] for key in keys} for note in got.notes_of("gap")]
    assert gaps == expect["gaps"]
    sessions = {line.session_id for _, line in got.lines}
    assert len(sessions - {gap["seq_of"] for gap in gaps}) == expect.get("sessions_without_gap", len(sessions))
    if "tails_proven" in expect:
        assert [name for name, tail in got.parser.tails().items() if tail == "proven"] == expect["tails_proven"]
        assert not got.notes_of("tail_unproven")


def _not_provable(got: Got, fact: dict[str, Any]) -> None:
    assert fact["expect"] == {"tail": "unproven"}
    assert set(fact["at"]) == {"session"}
    assert fact["at"]["session"] in {note.facts["seq_of"] for note in got.notes_of("tail_unproven")}
    assert got.parser.tails()[fact["at"]["session"]] == "unproven"
    assert any("end of a session" in item.what and "log_disconnections" in item.remedy for item in SOURCE.manifest.cannot_see)


def _no_access(got: Got, fact: dict[str, Any]) -> None:
    assert set(fact["expect"]) == {"counted_as"}
    raws = got.at(fact["at"])
    assert not [draft for draft in got.drafts if set(raws) & set(draft.raws)]
    alone = SOURCE.parser(got.datamap)
    counted = Counter(alone.feed(raws).counted) + Counter(alone.finish().counted)
    assert counted == {fact["expect"]["counted_as"]: len(raws)}


def _access(got: Got, fact: dict[str, Any]) -> None:
    draft = got.draft(got.at(fact["at"]))
    for key, wanted in fact["expect"].items():
        name, negative = (key.removesuffix("_not"), True) if key.endswith("_not") else (key, False)
        value = ANSWERS[name](draft)
        if negative:
            assert not set(wanted) & set(value) if isinstance(wanted, list) else value != wanted, key
        elif key == "coverage_has":
            assert set(wanted) <= set(value), key
        else:
            assert value == (sorted(wanted) if isinstance(wanted, list) else wanted), key


def _forged(got: Got, fact: dict[str, Any]) -> None:
    assert set(fact["expect"]) == {"not_an_access_to", "reported"}
    raws = got.at(fact["at"])
    for draft in got.drafts:
        if set(raws) & set(draft.raws):
            assert not set(fact["expect"]["not_an_access_to"]) & {resource.name for resource in draft.resources}
    (note,) = got.notes_of("forged")
    assert (note.facts["seq_of"], note.facts["seq"]) == (fact["at"]["session"], fact["at"]["seqs"][0])


def _event(got: Got, fact: dict[str, Any]) -> None:
    assert set(fact["expect"]) == {"operation", "routine"}
    where = (fact["at"]["session"], fact["at"]["seqs"][0])
    (note,) = [note for note in got.notes_of("routine") if (note.facts["seq_of"], note.facts["seq"]) == where]
    assert {key: note.facts[key] for key in fact["expect"]} == fact["expect"]


def _kept(got: Got, fact: dict[str, Any]) -> None:
    expect = fact["expect"]
    accepted = {line.line_num for _, line in got.lines}
    missing = {seq for note in got.notes_of("gap") for seq in range(int(note.facts["after"]) + 1, int(note.facts["before"]))}
    whole = {key: set(value) for key, value in expect.items() if key.endswith("_at_least")}
    assert whole.pop("accepted_seqs_at_least") <= accepted
    assert whole.pop("missing_at_least") <= missing
    assert not whole
    accounted = sum(len(draft.raws) for draft in got.drafts) + sum(got.counted.values()) + len(got.rejected)
    lines = got.path.read_bytes().count(b"\n") + (not got.path.read_bytes().endswith(b"\n"))
    answers = {
        "lines": lines,
        "lost_silently": lines - accounted,
        "duplicates": got.counted["duplicate"],
        "torn_records": sum(item.reason.startswith("torn") for item in got.rejected),
    }
    assert answers == {key: value for key, value in expect.items() if not key.endswith("_at_least")}


def _absent(got: Got, fact: dict[str, Any]) -> None:
    expect = fact["expect"]
    assert set(expect) <= {"strings_not_in_store", "actors_not_present"}
    assert not set(expect.get("actors_not_present", ())) & {draft.actor for draft in got.drafts}
    clear = "\n".join(_in_clear(got))
    assert len(clear) > 1000
    for text in expect.get("strings_not_in_store", ()):
        assert text not in clear


def _in_clear(got: Got) -> Iterable[str]:
    """Yield what is kept in clear: ids, values of selectors, texts and addresses are hashed or sealed by intake."""
    for draft in got.drafts:
        yield from (draft.template or "", draft.operation, draft.action, draft.system, *draft.coverage)
        yield from (resource.name for resource in draft.resources)
        yield from (field.name for field in draft.fields)
    for note in got.notes:
        yield from (note.text, json.dumps(note.facts))
    yield from (item.reason for item in got.rejected)


def _names(draft: Draft, role: str) -> list[str]:
    return sorted(field.name for field in draft.fields if field.role == role)


def _subjects(draft: Draft, relation: str) -> list[str]:
    return sorted(subject.id for subject in draft.subjects if subject.relation == relation)


def _lookup(draft: Draft) -> dict[str, list[str | None]]:
    kinds: dict[str, list[str | None]] = {}
    for selector in draft.selectors:
        if selector.kind in {"handle", "email", "phone"}:
            kinds.setdefault(selector.kind, []).append(selector.value)
    return kinds


ANSWERS: dict[str, Callable[[Draft], Any]] = {
    "actor": lambda draft: draft.actor,
    "action": lambda draft: draft.action,
    "resource": lambda draft: sorted(resource.name for resource in draft.resources),
    "rows": lambda draft: draft.rows,
    "projected": lambda draft: _names(draft, "projected"),
    "filter": lambda draft: _names(draft, "filter"),
    "subjects": lambda draft: _subjects(draft, "accessed"),
    "searched_for": lambda draft: _subjects(draft, "searched_for"),
    "subject_count": lambda draft: len(draft.subjects),
    "subject_scope": lambda draft: draft.subject_scope,
    "subject_basis": lambda draft: draft.subject_basis,
    "subject_max": lambda draft: draft.subject_max,
    "selector": lambda draft: sorted({selector.kind for selector in draft.selectors}),
    "lookup": _lookup,
    "session": lambda draft: draft.session,
    "outcome": lambda draft: draft.outcome,
    "coverage_has": lambda draft: draft.coverage,
    "purpose": lambda draft: draft.purpose,
    "purpose_basis": lambda draft: draft.purpose_basis,
    "reason": lambda draft: draft.reason,
    "derived": lambda draft: draft.derived,
    "field_basis": lambda draft: draft.field_basis,
}
KINDS = {
    "count": _count,
    "gap": _gap,
    "not_provable": _not_provable,
    "no_access": _no_access,
    "access": _access,
    "forged": _forged,
    "event": _event,
    "kept": _kept,
    "absent": _absent,
}
