"""Display names: same names for the same set, no two alike, actors and subjects apart."""

from __future__ import annotations

import random
import re
from base64 import b32encode

import pytest

from custodes.minimise import display
from custodes.minimise.display import Display, found_in
from custodes.minimise.display_words import ADJECTIVES, ANIMALS, PLANTS

KEY = bytes(range(32))


def pseudonyms(kind: str, count: int) -> list[str]:
    dice = random.Random(kind)
    return [f"{kind}-{b32encode(dice.randbytes(10)).decode().lower()}" for _ in range(count)]


def test_a_name_is_two_words_and_four_digits():
    names = Display(KEY, pseudonyms("a", 200))
    assert all(re.fullmatch(r"[a-z]{3,9}-[a-z]{2,9}-\d{4}", names.name(one)) for one in pseudonyms("a", 200))


def test_actors_are_animals_and_subjects_are_plants():
    everybody = pseudonyms("a", 300) + pseudonyms("s", 300)
    names = Display(KEY, everybody)
    second = {kind: {names.name(one).split("-")[1] for one in everybody if one[0] == kind} for kind in "as"}
    assert second["a"] <= set(ANIMALS)
    assert second["s"] <= set(PLANTS)
    assert not set(ANIMALS) & set(PLANTS)


def test_the_word_lists_hold_each_word_once():
    for words in (ADJECTIVES, ANIMALS, PLANTS):
        assert len(words) == len(set(words)) == 256
        assert all(re.fullmatch(r"[a-z]{3,9}", word) for word in words)


def test_names_do_not_depend_on_who_came_first():
    everybody = pseudonyms("a", 500) + pseudonyms("s", 500)
    turned = Display(KEY, reversed(everybody))
    straight = Display(KEY, everybody)
    assert [straight.name(one) for one in everybody] == [turned.name(one) for one in everybody]


def test_ten_thousand_subjects_have_ten_thousand_names():
    everybody = pseudonyms("s", 10_000)
    names = Display(KEY, everybody)
    assert len({names.name(one) for one in everybody}) == 10_000


def test_collisions_are_resolved_in_hash_order(monkeypatch):
    monkeypatch.setattr(display, "ADJECTIVES", ("mossy",))
    monkeypatch.setattr(display, "_NOUNS", {"a": ("wren",), "s": ("fern",)})
    everybody = pseudonyms("a", 400)  # 400 of 10,000 names: about eight collisions are expected
    straight, turned = Display(KEY, everybody), Display(KEY, sorted(everybody))
    assert len({straight.name(one) for one in everybody}) == 400
    assert [straight.name(one) for one in everybody] == [turned.name(one) for one in everybody]
    alone = [Display(KEY, [one]).name(one) for one in everybody]
    assert len(set(alone)) < 400, "without a collision this test would prove nothing"


def test_another_key_gives_other_names():
    everybody = pseudonyms("a", 100)
    one, two = Display(KEY, everybody), Display(KEY[::-1], everybody)
    assert all(one.name(actor) != two.name(actor) for actor in everybody)


def test_text_names_every_known_pseudonym_and_nothing_else():
    (actor,), (subject,) = pseudonyms("a", 1), pseudonyms("s", 1)
    names = Display(KEY, [actor, subject])
    told = names.text(f"{actor} read {subject}, then {actor}; k-{actor[2:]} and x{actor} and {actor}z stay.")
    assert told == (
        f"{names.name(actor)} read {names.name(subject)}, then {names.name(actor)}; k-{actor[2:]} and x{actor} and {actor}z stay."
    )


def test_strangers_and_other_kinds_keep_their_pseudonym():
    (known, stranger) = pseudonyms("a", 2)
    names = Display(KEY, [known, "k-aaaaaaaaaaaaaaaa"])
    assert names.name(stranger) == stranger
    assert names.name("k-aaaaaaaaaaaaaaaa") == "k-aaaaaaaaaaaaaaaa"


def test_pseudonyms_are_found_in_sentences():
    (actor,), (subject,) = pseudonyms("a", 1), pseudonyms("s", 1)
    assert found_in([f"{actor} looked at ({subject}).", "nobody"]) == {actor, subject}


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_short_or_long_key_is_refused(size):
    with pytest.raises(ValueError, match="display key"):
        Display(b"k" * size, [])
