"""What is stored of a draft: pseudonyms, words of vocabularies, counts; and nothing that says who."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from custodes.minimise.address import network_of, parse_address
from custodes.minimise.pseudonym import Pseudonyms
from custodes.model.arrow import ACCESSES, FIELDSETS, TOUCHES
from custodes.model.datamap import DataMap
from custodes.model.draft import Draft, FieldUse, Raw, Resource, Selector, SubjectUse
from custodes.store.rows import FREE_TEXT, About, Fieldsets, Minimiser, Placed, fieldset_table

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
PSEUDONYMS = Pseudonyms(bytes(32))


def stored(draft: Draft, *, coarse: bool = False) -> dict[str, Any]:
    minimiser = Minimiser(PSEUDONYMS, frozenset({"support"}), coarse_net=coarse)
    table = minimiser.accesses([Placed(draft, "x-1", 7, [7] * len(draft.subjects), "f-1")], About("crm", "crm/1", NOW))
    assert table.schema == ACCESSES
    row: dict[str, Any] = table.to_pylist()[0]
    return row


def draft(**given: Any) -> Draft:
    return Draft([Raw(b"x", "f", 1)], given.pop("time", NOW), given.pop("actor", "ann"), "read", "crm", **given)


def test_ids_become_pseudonyms_of_their_kind() -> None:
    row = stored(
        draft(id="own", session="s", device="d", reason="T-1", derived="e1", derived_from="e0", seq_of="q", on_behalf_of="bob")
    )
    kinds = {"actor": "a", "on_behalf_of": "a", "reason": "k", "session": "o", "device": "o", "derived": "o", "seq_of": "o"}
    kinds |= {"derived_from": "o", "id_ref": "o"}
    for column, letter in kinds.items():
        assert re.fullmatch(rf"{letter}-[a-z2-7]{{16}}", row[column]), column
    assert row["actor"] == PSEUDONYMS.of("actor", "ann")


def test_a_purpose_is_kept_in_clear_only_if_it_is_a_word_of_the_vocabulary() -> None:
    known, free, none = (stored(draft(purpose=text)) for text in ("support", "my neighbour ann", None))
    assert (known["purpose"], free["purpose"], none["purpose"]) == ("support", FREE_TEXT, None)
    assert free["purpose_ref"].startswith("v-")
    assert none["purpose_ref"] is None


def test_an_address_is_kept_as_keyed_words_and_its_network_only_if_a_setting_says_so() -> None:
    keyed, near, coarse = (
        stored(draft(client_address="192.0.2.77:443")),
        stored(draft(client_address="192.0.2.78")),
        stored(draft(client_address="192.0.2.77"), coarse=True),
    )
    assert keyed["client_net"] == near["client_net"] != keyed["client_ref"] != near["client_ref"]
    assert keyed["client_net"].startswith("v-")
    assert coarse["client_net"] == "192.0.2.0/24"
    assert coarse["client_ref"] == keyed["client_ref"]
    assert stored(draft(client_address="office-pc.example"))["client_net"] is None


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.9", "192.0.2.0/24"),
        ("192.0.2.9/32", "192.0.2.0/24"),
        ("[2001:db8:1:2::3]:5432", "2001:db8:1::/48"),
        ("2001:db8:1:2::3%eth0", "2001:db8:1::/48"),
        ("::ffff:192.0.2.9", "192.0.2.0/24"),
        ("[local]", None),
        ("", None),
        ("300.1.1.1", None),
    ],
)
def test_addresses_end_at_their_network(text: str, network: str | None) -> None:
    address = parse_address(text)
    assert (None if address is None else network_of(address)) == network


def test_a_country_is_two_letters_or_nothing() -> None:
    assert [stored(draft(client_country=text))["client_country"] for text in ("ie", "IE", "Ireland", "1.2.3.4")] == [
        "IE",
        "IE",
        None,
        None,
    ]


def test_a_time_ahead_of_the_clock_is_flagged() -> None:
    assert stored(draft(time=NOW + timedelta(days=26_000)))["coverage"] == ["clock_skew"]
    assert stored(draft(time=NOW, coverage=["cursor"]))["coverage"] == ["cursor"]


def test_selectors_are_kept_with_keyed_values_so_that_equal_searches_meet() -> None:
    row = stored(draft(selectors=[Selector("ip_range", "192.0.2.0/24", 24), Selector("email")]))
    first, second = row["selectors"]
    assert (first["kind"], first["width"], second["ref"]) == ("ip_range", 24, None)
    assert first["ref"] == PSEUDONYMS.once("value", "192.0.2.0/24")


def test_who_was_only_searched_for_is_not_counted_as_seen() -> None:
    people = [SubjectUse("p1"), SubjectUse("p1", relation="listed"), SubjectUse("p2", relation="searched_for")]
    one = draft(subjects=people)
    assert stored(one)["subject_count"] == 1
    touches = Minimiser(PSEUDONYMS, frozenset()).touches(
        [Placed(one, "x-1", 3, [4, 4, 5], "f-1"), Placed(draft(), "x-2", 6, (), "f-1")]
    )
    assert touches.schema == TOUCHES
    assert [(row["leaf"], row["touch_leaf"], row["relation"]) for row in touches.to_pylist()] == [
        (3, 4, "accessed"),
        (3, 4, "listed"),
        (3, 5, "searched_for"),
    ]


def test_damaged_text_does_not_stop_the_batch() -> None:
    row = stored(draft(actor="a\ud800", operation="\udfff", template="\ud800x", purpose="\ud800"))
    assert row["template"] == "\ufffd\ufffd\ufffdx"
    assert row["purpose"] == FREE_TEXT


DATAMAP = DataMap.of({"crm": {"users": {"fields": {"email": "contact"}}, "orders": {"fields": {"total": "payment"}}}})


def test_a_field_is_put_to_the_resource_that_has_it() -> None:
    sets = Fieldsets(DATAMAP, ())
    both = [Resource("users"), Resource("orders")]
    name = sets.of(draft(resources=both, fields=[FieldUse("email"), FieldUse("total", "filter"), FieldUse("odd")])).id
    found = {(row["resource"], row["field"], row["role"]) for row in fieldset_table(sets.fresh).to_pylist()}
    assert found == {("users", "email", "projected"), ("orders", "total", "filter"), (None, "odd", "projected")}
    assert sets.of(draft(resources=both, fields=[FieldUse("email")])).id != name
    sets.settle(list(sets.fresh))
    assert fieldset_table(sets.fresh).num_rows == 0


def test_a_resource_without_named_fields_and_an_access_to_nothing_have_a_row_each() -> None:
    sets = Fieldsets(DATAMAP, ())
    bare, nothing = sets.of(draft(resources=[Resource("users")])), sets.of(draft())
    table = fieldset_table(sets.fresh)
    assert table.schema == FIELDSETS
    rows = {row["fieldset"]: (row["resource"], row["field"]) for row in table.to_pylist()}
    assert rows == {bare.id: ("users", None), nothing.id: (None, None)}


def test_a_known_combination_is_not_stored_again() -> None:
    first = Fieldsets(DATAMAP, ())
    name = first.of(draft(resources=[Resource("users")])).id
    second = Fieldsets(DATAMAP, {name})
    assert second.of(draft(resources=[Resource("users")])).id == name
    assert not second.fresh
