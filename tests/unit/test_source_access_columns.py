"""What `custodes.access/1` promises for each column, in NDJSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, FieldUse, Parsed, Raw, Resource, Selector
from custodes.sources.access import AccessSource

SOURCE = AccessSource(clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
ROW = {"time": "2026-03-02T10:00:00Z", "actor": "a1", "action": "read", "system": "crm"}


def parse(line: bytes) -> Parsed:
    return SOURCE.parser(DataMap()).feed([Raw(line, "log", 1)])


def draft(**columns: Any) -> Draft:
    parsed = parse(json.dumps({**ROW, **columns}).encode())
    assert not parsed.rejected, parsed.rejected[0].reason
    return parsed.drafts[0]


def reason(**columns: Any) -> str:
    parsed = parse(json.dumps({**ROW, **columns}).encode())
    assert not parsed.drafts
    return parsed.rejected[0].reason


def test_every_column_of_the_contract_arrives() -> None:
    got = draft(
        id="7",
        actor_kind="human",
        on_behalf_of="h",
        resource="profile;orders",
        fields=["email"],
        subjects=["s1", "s2"],
        subject_scope="key_predicate",
        selector="email",
        rows=2,
        query="select 1",
        purpose="support",
        reason="T-1",
        client_country="DE",
        session="se",
        device="de",
        deliberate=False,
        break_glass=True,
        derived="d1",
        derived_from="d0",
        outcome="denied",
        seq=9,
        seq_of="shard",
    )
    assert (got.id, got.actor_kind, got.on_behalf_of, got.behalf_basis) == ("7", "human", "h", "declared")
    assert got.resources == [Resource("profile"), Resource("orders")]
    assert got.fields == [FieldUse("email", "projected", -1)]
    assert (got.field_basis, got.subject_basis, got.rows_basis, got.purpose_basis) == (
        "reported",
        "source_named",
        "reported",
        "source_justification",
    )
    assert [(subject.id, subject.relation, subject.certainty) for subject in got.subjects] == [
        ("s1", "accessed", "certain"),
        ("s2", "accessed", "certain"),
    ]
    assert (got.subject_scope, got.subject_min, got.subject_max) == ("key_predicate", 2, 2)
    assert got.selectors == [Selector("email")]
    assert (got.rows, got.query, got.purpose, got.reason, got.client_country) == (2, "select 1", "support", "T-1", "DE")
    assert (got.session, got.device, got.deliberate, got.break_glass) == ("se", "de", False, True)
    assert (got.derived, got.derived_from, got.outcome, got.seq, got.seq_of) == ("d1", "d0", "denied", 9, "shard")
    assert not got.extra
    assert not got.coverage


def test_missing_is_never_zero() -> None:
    got = draft(rows=None, fields=None, purpose="", subjects=None, outcome="")
    assert (got.rows, got.purpose, got.outcome, got.deliberate, got.seq) == (None, None, None, None, None)
    assert (got.field_basis, got.rows_basis, got.purpose_basis) == ("unknown", "none", "none")
    assert (got.subject_scope, got.subject_min, got.subject_max) == ("unknown", 0, None)


def test_empty_list_of_fields_is_a_statement() -> None:
    assert draft(fields=[]).field_basis == "reported"


@pytest.mark.parametrize(
    ("columns", "bounds"),
    [
        ({"subjects": ["s"]}, ("named", 1, 1)),
        ({"subjects": ["s", "s", ""]}, ("named", 1, 1)),
        ({"subjects": []}, ("unknown", 0, None)),
        ({"subjects": ["s"], "subject_scope": "set"}, ("set", 1, None)),
        ({"subject_scope": "named"}, ("named", 0, None)),
        ({"subject_scope": "none"}, ("none", 0, 0)),
        ({"subject_scope": "aggregate"}, ("aggregate", 0, 0)),
        ({"subject_scope": "set"}, ("set", 0, None)),
    ],
)
def test_scope_and_bounds_are_honest(columns: dict[str, Any], bounds: tuple[str, int, int | None]) -> None:
    got = draft(**columns)
    assert (got.subject_scope, got.subject_min, got.subject_max) == bounds


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-02T11:00:00+01:00", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("2026-03-02t10:00:00.5z", datetime(2026, 3, 2, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-03-02 10:00:00.123456789Z", datetime(2026, 3, 2, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_become_utc(text: str, time: datetime) -> None:
    assert draft(time=text).time == time


@pytest.mark.parametrize("text", ["2099-01-01T00:00:00Z", "2026-11-23T00:00:01Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_time_that_cannot_be_is_kept_and_flagged(text: str) -> None:
    assert draft(time=text).coverage == ["clock_skew"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-03-02T10:00:00", "time without zone"),
        ("yesterday", "time is not a time"),
        ("2026-02-30T10:00:00Z", "time is not a time"),
        ("2026-W10-1T10:00:00Z", "time is not a time"),
        ("0001-01-01T00:00:00+14:00", "time is not a time"),
        ("２０２６-03-02T10:00:00Z", "time is not a time"),
        (1772445600, "time is not text"),
        (None, "missing time"),
        ("", "missing time"),
    ],
)
def test_time_that_is_none_is_rejected(text: object, words: str) -> None:
    assert reason(time=text).startswith(words)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"actor": ""}, "missing actor"),
        ({"system": None}, "missing system"),
        ({"actor": 5}, "actor is not text"),
        ({"action": "peek"}, "action is none of the words"),
        ({"action": ["read"]}, "action is none of the words"),
        ({"actor_kind": "robot"}, "actor_kind is none of the words"),
        ({"outcome": "ok"}, "outcome is none of the words"),
        ({"selector": ["ip", "shoe size"]}, "selector is none of the words"),
        ({"subjects": "s1"}, "subjects is not a list"),
        ({"subjects": ["s1", 2]}, "subjects holds something that is not text"),
        ({"fields": {"a": 1}}, "fields is not a list"),
        ({"resource": 3}, "resource is not a list"),
        ({"rows": "10"}, "rows is not a number"),
        ({"rows": 1.5}, "rows is not a number"),
        ({"rows": True}, "rows is not a number"),
        ({"rows": -1}, "negative count in rows"),
        ({"rows": 2**63}, "rows is out of range"),
        ({"deliberate": "yes"}, "deliberate is neither true nor false"),
        ({"client_country": "Germany"}, "client_country is not a country"),
    ],
)
def test_wrong_type_is_rejected_with_its_column(columns: dict[str, Any], words: str) -> None:
    assert reason(**columns).startswith(words)


def test_whole_number_stored_as_float_is_a_number() -> None:
    assert draft(rows=2.0).rows == 2


def test_unknown_columns_go_to_extra() -> None:
    assert draft(colour="blue", size=4, list=[1], nothing=None).extra == {"colour": "blue", "size": "4", "list": "[1]"}


@pytest.mark.parametrize(
    "line",
    [
        b'{"time":"2026-03-02T10:00:00Z","actor":"a","actor":"b","action":"read","system":"c"}',
        b'{"time":"2026-03-02T10:00:00Z","actor":"a","actor" :"b","action":"read","system":"c"}',
        b'{"time":"2026-03-02T10:00:00Z","actor":"a","actor"\t\r : "b","action":"read","system":"c"}',
        b'{"time":"2026-03-02T10:00:00Z","actor":"a","\\u0061ctor":"b","action":"read","system":"c"}',
        b'{"time":"2026-03-02T10:00:00Z","actor":"a","action":"read","system":"c","id":"x","id":null}',
        b'{"time":"2026-03-02T10:00:00Z","actor":"a","action":"read","system":"c","x":{"y":1,"y":2}}',
    ],
)
def test_duplicate_keys_are_rejected(line: bytes) -> None:
    assert parse(line).rejected[0].reason.startswith("duplicate key")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"time":', "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe{\x00", "not JSON"),
        (b'{"time":"2026-03-02T10:00:00Z","actor":"\xe9","action":"read","system":"c"}', "not UTF-8"),
        (b'{"actor":"\\ud800","time":"2026-03-02T10:00:00Z","action":"read","system":"c"}', "not JSON"),
        (b'{"actor":1e400}', "a number is out of range"),
        (b'{"actor":NaN}', "not JSON"),
        (b'{"a":"\x00"}', "not JSON"),
        (b"[" * 100_000, "not JSON that can be read"),
    ],
)
def test_bytes_that_are_no_record_are_rejected(line: bytes, words: str) -> None:
    assert parse(line).rejected[0].reason.startswith(words)


@pytest.mark.parametrize("name", ['q"uote', "new\nline", "\u202ebidi", "\x00", "a;b", "’; --"])
def test_odd_ids_stay_one_value(name: str) -> None:
    got = draft(actor=name, subjects=[name])
    assert (got.actor, [subject.id for subject in got.subjects]) == (name, [name])


def test_record_that_was_cut_is_rejected() -> None:
    parsed = SOURCE.parser(DataMap()).feed([Raw(b"{...\n[custodes: cut; ...]", "log", 1, cut=10**8)])
    assert "longer than the limit" in parsed.rejected[0].reason
