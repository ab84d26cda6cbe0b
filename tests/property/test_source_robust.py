"""Any bytes go through the sources without an exception, and each record ends as a draft, as noise, or rejected."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, Parsed, Raw
from custodes.source import Position, Source
from custodes.sources.access import AccessSource
from custodes.sources.cloudtrail import SOURCE as CLOUDTRAIL

ACCESS = AccessSource(clock=lambda: datetime(2026, 11, 22, tzinfo=UTC))
BOTH = pytest.mark.parametrize("source", [ACCESS, CLOUDTRAIL], ids=lambda source: source.name)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(max_size=12) | st.sampled_from(
    ["", "a;b", "\u202eabc", 'q"\n', "\x00", "2026-03-02T10:00:00Z", "2099-01-01T00:00:00+14:00"]
)
LINE = {
    "time": st.just("2026-03-02T10:00:00Z") | TEXT,
    "actor": TEXT,
    "action": st.just("read") | TEXT,
    "system": TEXT,
}
ROW = st.fixed_dictionaries(
    LINE,
    optional={
        "id": TEXT | JSON,
        "subjects": st.lists(TEXT, max_size=3) | JSON,
        "subject_scope": st.sampled_from(["set", "named", "none"]) | JSON,
        "fields": st.lists(TEXT, max_size=3) | JSON,
        "resource": TEXT | st.lists(TEXT, max_size=2) | JSON,
        "selector": st.sampled_from(["ip", "email"]) | JSON,
        "rows": st.integers() | JSON,
        "seq": st.integers(0, 9) | JSON,
        "deliberate": st.booleans() | JSON,
        "client_country": st.just("DE") | JSON,
        "purpose": TEXT | JSON,
        "colour": JSON,
    },
)
IDENTITY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["IAMUser", "AssumedRole", "Root", "AWSService", "AWSAccount", "odd"]) | JSON,
        "arn": st.sampled_from(["arn:aws:sts::1:assumed-role/r/s", "arn:aws:sts::1:assumed-role/r/t"]) | JSON,
        "userName": TEXT | JSON,
        "principalId": TEXT | JSON,
        "sessionContext": JSON,
        "accessKeyId": JSON,
    },
)
EVENT = st.fixed_dictionaries(
    {
        "eventName": st.sampled_from(["GetObject", "AssumeRole", "GetItem", "ListBuckets"]) | JSON,
        "eventSource": st.just("s3.amazonaws.com") | JSON,
    },
    optional={
        "eventTime": st.just("2026-03-02T10:00:00Z") | JSON,
        "userIdentity": IDENTITY | JSON,
        "requestParameters": st.fixed_dictionaries({}, optional={"bucketName": TEXT | JSON, "key": TEXT | JSON, "tableName": JSON})
        | JSON,
        "responseElements": JSON,
        "resources": st.lists(JSON, max_size=2) | JSON,
        "additionalEventData": JSON,
        "errorCode": TEXT | JSON,
        "sourceIPAddress": st.sampled_from(["10.0.0.1", "::1", "s3.amazonaws.com"]) | JSON,
        "readOnly": JSON,
        "eventCategory": JSON,
    },
)
DATAMAP = DataMap.of(
    {"s3": {"b": {"subject_key": "people/{subject}/", "fields": {}}}, "dynamodb": {"t": {"subject_key": "id", "fields": {}}}}
)


def parse(source: Source, raws: list[Raw], cuts: list[int]) -> Parsed:
    """Feed in pieces, each to a new parser that knows the state of the one before."""
    whole, parser = Parsed(), source.parser(DATAMAP)
    edges = [0, *sorted(min(cut, len(raws)) for cut in cuts), len(raws)]
    parts = []
    for start, stop in pairwise(edges):
        parser = source.parser(DATAMAP, parser.state())
        parts.append(parser.feed(raws[start:stop]))
    parts.append(parser.finish())
    for part in parts:
        whole.drafts += part.drafts
        whole.rejected += part.rejected
        for kind, number in part.counted.items():
            whole.counted[kind] = whole.counted.get(kind, 0) + number
    return whole


def accounted(parsed: Parsed) -> Counter[int]:
    lines = [raw.line for draft in parsed.drafts for raw in draft.raws]
    return Counter(lines + [item.raw.line for item in parsed.rejected])


def plain(drafts: list[Draft]) -> list[str]:
    return sorted(repr(draft) for draft in drafts)


@BOTH
@given(records=st.lists(st.binary(max_size=60), max_size=4), cuts=st.lists(st.integers(0, 4), max_size=2))
def test_any_bytes_are_accounted_for(source: Source, records: list[bytes], cuts: list[int]) -> None:
    raws = [Raw(data, "log", number) for number, data in enumerate(records, 1)]
    parsed = parse(source, raws, cuts)
    assert sum(accounted(parsed).values()) + sum(parsed.counted.values()) == len(raws)


@BOTH
@given(data=st.data())
def test_any_objects_are_accounted_for_once_and_splits_change_nothing(source: Source, data: st.DataObject) -> None:
    objects = data.draw(st.lists(ROW if source is ACCESS else EVENT, max_size=5))
    raws = [Raw(json.dumps(item).encode(), "log", number) for number, item in enumerate(objects, 1)]
    whole = parse(source, raws, [])
    assert all(number == 1 for number in accounted(whole).values())
    assert len(accounted(whole)) + sum(whole.counted.values()) == len(raws)
    split = parse(source, raws, data.draw(st.lists(st.integers(0, 5), max_size=3)))
    assert plain(split.drafts) == plain(whole.drafts)
    assert {item.raw.line: item.reason for item in split.rejected} == {item.raw.line: item.reason for item in whole.rejected}


@given(row=ROW)
def test_reasons_and_drafts_are_the_same_by_the_fast_and_the_careful_way(row: dict[str, object]) -> None:
    """A blank before each colon sends a record the careful way."""
    fast = parse(ACCESS, [Raw(json.dumps(row, separators=(",", ":")).encode(), "log", 1)], [])
    careful = parse(ACCESS, [Raw(json.dumps({**row, "extra": {"a": 1}}).encode(), "log", 1)], [])
    for draft in (*fast.drafts, *careful.drafts):
        draft.extra.pop("extra", None)
        draft.raws = []
    assert plain(fast.drafts) == plain(careful.drafts)
    assert [item.reason for item in fast.rejected] == [item.reason for item in careful.rejected]


CANARY = "zx81secret"


@given(
    row=ROW,
    column=st.sampled_from(["time", "action", "rows", "seq", "deliberate", "client_country", "outcome", "subjects", "selector"]),
)
def test_reasons_never_repeat_a_value(row: dict[str, object], column: str) -> None:
    parsed = parse(ACCESS, [Raw(json.dumps({**row, column: CANARY}).encode(), "log", 1)], [])
    assert parsed.rejected
    assert CANARY not in parsed.rejected[0].reason


@given(
    events=st.lists(EVENT, max_size=5),
    cut=st.integers(0, 3000),
    noise=st.binary(max_size=12),
    place=st.integers(0, 3000),
)
def test_damaged_documents_are_read_without_exception_and_resume(
    events: list[dict[str, object]], cut: int, noise: bytes, place: int
) -> None:
    document = json.dumps({"Records": events}).encode()
    damaged = (document[:place] + noise + document[place:])[: max(12, len(document) - cut)]
    if not damaged.startswith(b'{"Records": ['):
        damaged = b'{"Records": [' + damaged
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trail.json"
        path.write_bytes(damaged)
        whole = list(CLOUDTRAIL.read(str(path), Position()))
        raws = [raw for chunk in whole for raw in chunk.raws]
        parse(CLOUDTRAIL, raws, [])
        again = [raw for chunk in CLOUDTRAIL.read(str(path), whole[-1].position) for raw in chunk.raws]
        assert [raw.data for raw in again] == [raw.data for raw in raws[len(raws) - len(again) :]]
