"""Facts read by hand from real CloudTrail files hold on the drafts. A kind or key of fact that is not known here fails."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Note, Raw, Rejected
from custodes.source import Position
from custodes.sources.cloudtrail import SOURCE

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CUSTODES_DATA", REPOSITORY.parent / "shared" / "data")) / "logs"


@dataclass
class Read:
    """What came of one file."""

    raws: list[Raw] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def _facts() -> list[Any]:
    facts = [
        (folder, fact)
        for folder in ("aws_cloudtrail", "panther")
        if (DATA / folder / "expected.json").is_file()
        for fact in json.loads((DATA / folder / "expected.json").read_text())["facts"]
        if folder == "aws_cloudtrail" or "AWS.CloudTrail.ndjson" in fact["file"]
    ]
    return [pytest.param(folder, fact, id=f"{folder}-{fact['id']}") for folder, fact in facts]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Read]:
    known: dict[str, Read] = {}

    def one(folder: str, name: str) -> Read:
        if name not in known:
            path = DATA / folder / name
            if folder == "panther":  # the set wraps each event with the rule it tests: the event is what CloudTrail wrote
                unwrapped = tmp_path_factory.mktemp("panther") / name
                lines = path.read_text().splitlines()
                unwrapped.write_text("".join(json.dumps(json.loads(line)["event"]) + "\n" for line in lines))
                path = unwrapped
            known[name] = _read(path)
        return known[name]

    return one


def _read(path: Path) -> Read:
    parser, got = SOURCE.parser(DataMap()), Read()
    parsed = []
    for chunk in SOURCE.read(str(path), Position()):
        got.raws += chunk.raws
        parsed.append(parser.feed(chunk.raws))
    parsed.append(parser.finish())
    for part in parsed:
        got.drafts += part.drafts
        got.rejected += part.rejected
        got.notes += part.notes
    return got


@pytest.mark.parametrize(("folder", "fact"), _facts())
def test_fact_holds(read: Callable[[str, str], Read], folder: str, fact: dict[str, Any]) -> None:
    for name in fact["file"]:
        KINDS[fact["kind"]](read(folder, name), fact, name)


def test_facts_are_there(shared_data: Path) -> None:
    assert len(_facts()) >= 13


def _count(got: Read, fact: dict[str, Any], name: str) -> None:
    category = Counter(draft.extra["event_category"] for draft in got.drafts)
    answers: dict[str, Callable[[Any], Any]] = {
        "records": lambda _: len(got.raws),
        "lines": lambda _: len(got.raws),
        "management": lambda _: category["management"],
        "data": lambda _: category["data"],
        "actors": lambda _: dict(Counter(draft.actor for draft in got.drafts)),
        "distinct_event_ids": lambda _: len({draft.id for draft in got.drafts}),
        "read_only_false": lambda _: sum(json.loads(draft.raws[0].data)["readOnly"] is False for draft in got.drafts),
        "errors": lambda _: sum(draft.outcome in ("denied", "failure") for draft in got.drafts),
        "by_event": lambda wanted: {event: sum(draft.operation == event for draft in got.drafts) for event in wanted},
        "accesses_with_on_behalf_of": lambda wanted: {
            human: sum(draft.on_behalf_of == human for draft in got.drafts) for human in wanted
        },
    }
    _compare(answers, fact["expect"])


def _order(got: Read, fact: dict[str, Any], name: str) -> None:
    times = [draft.time for draft in sorted(got.drafts, key=lambda draft: draft.raws[0].line)]
    _compare(
        {
            "sorted_by_time": lambda _: times == sorted(times),
            "first": lambda _: _text(min(times)),
            "last": lambda _: _text(max(times)),
        },
        fact["expect"],
    )


def _access(got: Read, fact: dict[str, Any], name: str) -> None:
    at = fact["at"]
    assert len(at) == 1
    line = at["line"] if "line" in at else at["record"] + 1  # records of a document are numbered from 0 in the facts
    draft = next(draft for draft in got.drafts if any(raw.line == line for raw in draft.raws))
    _compare(
        {
            **{key: lambda _, key=key: getattr(draft, key) for key in PLAIN},
            "time": lambda _: _text(draft.time),
            "actor_has": lambda wanted: wanted if wanted in draft.actor else draft.actor,
            "resource_has": lambda wanted: [one for one in wanted if one in {item.name for item in draft.resources}],
            "coverage_has": lambda wanted: [one for one in wanted if one in draft.coverage],
        },
        fact["expect"],
    )


def _manifest(got: Read, fact: dict[str, Any], name: str) -> None:
    cannot_see = {item.what for item in SOURCE.manifest.cannot_see}
    seen = not any(note.facts.get("data_events") == 0 for note in got.notes)
    _compare(
        {
            "cannot_see_has": lambda wanted: [one for one in wanted if one in cannot_see],
            "data_events_seen": lambda wanted: {**wanted, name: seen},
        },
        fact["expect"],
    )


PLAIN = ("operation", "outcome", "actor", "actor_kind", "on_behalf_of", "action", "id", "bytes", "subject_scope")
KINDS = {"count": _count, "order": _order, "access": _access, "manifest": _manifest}


def _compare(answers: dict[str, Callable[[Any], Any]], expect: dict[str, Any]) -> None:
    assert {key: answers[key](value) for key, value in expect.items()} == expect


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def test_all_calls_of_an_assumed_session_are_booked_on_the_human_and_none_of_a_service(shared_data: Path) -> None:
    got = _read(next((shared_data / "logs" / "aws_cloudtrail").glob("*T1200Z*")))
    role = [draft for draft in got.drafts if draft.delegation == "role"]
    human = [draft for draft in role if "aws-go-sdk-1688990082523310002" in draft.actor]
    assert [(draft.on_behalf_of, draft.behalf_basis) for draft in human] == [("bert-jan", "assume_role_chain")] * 24
    others = [draft for draft in role if draft not in human]
    assert len(others) == 9
    assert all(draft.on_behalf_of is None and "actor_hidden" in draft.coverage for draft in others)
