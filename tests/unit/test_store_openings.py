"""Groups of a leaf: every column of the contract in exactly one, canonical bytes, absent values left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from custodes.ledger.leaf import GROUPS
from custodes.model.canonical import canonical
from custodes.model.draft import Draft, Raw, Selector
from custodes.sources.access import SOURCE
from custodes.store import openings

TEXT = st.text(max_size=12) | st.sampled_from(["\ud800", 'é\n"\\', "\x00", "\u2028", "𝔘"])
MAYBE = st.none() | TEXT
NUMBER = st.none() | st.integers(0, 2**53 - 1)
FLAG = st.none() | st.booleans()
CONTRACT = {
    "id", "time", "actor", "actor_kind", "on_behalf_of", "action", "system", "resource", "fields", "subjects", "subject_scope",
    "selector", "rows", "query", "purpose", "reason", "client_country", "session", "device", "deliberate", "break_glass",
    "derived", "derived_from", "outcome", "seq",
}  # fmt: skip


def test_each_column_of_the_contract_stands_in_exactly_one_group() -> None:
    placed = [column for group in openings.COLUMNS.values() for column in group]
    assert len(placed) == len(set(placed))
    assert set(placed) == CONTRACT | {"seq_of", "extra"}
    assert tuple(openings.COLUMNS) == GROUPS
    assert SOURCE.name == "access"


@given(
    st.builds(
        Draft,
        raws=st.lists(st.builds(Raw, st.binary(max_size=9), st.just("f"), st.just(1)), min_size=1, max_size=3),
        time=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))])),
        actor=TEXT,
        action=TEXT,
        system=TEXT,
        id=MAYBE,
        on_behalf_of=MAYBE,
        outcome=MAYBE,
        query=MAYBE,
        rows=NUMBER,
        purpose=MAYBE,
        reason=MAYBE,
        client_country=MAYBE,
        session=MAYBE,
        device=MAYBE,
        deliberate=FLAG,
        break_glass=FLAG,
        derived=MAYBE,
        derived_from=MAYBE,
        seq=NUMBER,
        seq_of=MAYBE,
        selectors=st.lists(st.builds(Selector, TEXT), max_size=2),
        extra=st.dictionaries(TEXT, TEXT, max_size=3),
    ),
    st.lists(TEXT, max_size=2),
    MAYBE,
)
def test_groups_are_canonical_and_complete(draft: Draft, words: list[str], subject: str | None) -> None:
    groups = {
        "who": openings.who(draft),
        "what": openings.what(draft, words, words, subject),
        "why": openings.why(draft),
        "where": openings.where(draft),
        "raw": openings.raw(draft, [sha256(raw.data).digest() for raw in draft.raws]),
    }
    for group, content in groups.items():
        given_names = {name for name in openings.COLUMNS[group] if _of(draft, name, words, subject) not in (None, [], {})}
        if content is None:
            assert not given_names
            continue
        value = json.loads(content.decode("utf-8", "surrogatepass"))
        assert canonical(value) == content
        assert set(value) == given_names | ({"sha256"} if group == "raw" else set())


def _of(draft: Draft, name: str, words: list[str], subject: str | None) -> object:
    special = {
        "resource": words,
        "fields": words,
        "subjects": None if subject is None else [subject],
        "selector": [item.kind for item in draft.selectors],
    }
    return special[name] if name in special else getattr(draft, name)


def test_times_are_written_in_utc() -> None:
    draft = Draft([], datetime(2026, 9, 1, 2, 0, tzinfo=timezone(timedelta(hours=2))), "a", "read", "crm")
    assert json.loads(openings.what(draft, [], [], None))["time"] == "2026-09-01T00:00:00Z"
