"""Look-ups tell duties and never membership: decoys, canaries, limits, a key that is down, and a key in a token."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from custodes.errors import MissingSecret, Outage
from custodes.model.policy import Policy
from custodes.protected.hsm import TokenKey
from custodes.protected.lookups import CANARY, DECOYS, MOST, Lookups
from custodes.protected.registry import Enrolment, Registry

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY = b"r" * 32
POLICY = Policy.of(
    {
        "protected": {
            "journalist": {"obliges": ["outside_approver", "two_person"], "categories": ["ip_address", "message"]},
            "official": {"obliges": ["reason"]},
        }
    }
)
IP = ("ip_address",)


class Stage:
    """A registry with its look-ups, and what was noted."""

    def __init__(self, folder: Path, key: object = KEY) -> None:
        self.registry = Registry(folder, key)  # type: ignore[arg-type]  # bytes or a token's
        self.notes: list[tuple[str, str]] = []
        self.lookups = Lookups(lambda: self.registry, lambda *note: self.notes.append(note[:2]))

    def duties(self, subject: str, categories: tuple[str | None, ...] = IP, actor: str = "a-1", now: datetime = NOON) -> object:
        return self.lookups.duties(actor, subject, categories, POLICY, now)


def ordinary(registry: Registry, count: int) -> list[str]:
    return [name for name in (f"s-{number}" for number in range(2 * count)) if registry.drawn(name) >= DECOYS][:count]


def test_who_is_enrolled_has_the_duties_of_the_class_for_its_categories(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    one, two, three, four = ordinary(stage.registry, 4)
    stage.registry.enrol_all([(one, Enrolment("journalist")), (two, Enrolment("official")), (three, Enrolment("unheard-of"))])
    assert stage.duties(one) == ("outside_approver", "two_person")
    assert stage.duties(one, ("identity",)) == ()
    assert stage.duties(one, (None,)) == ("outside_approver", "two_person")  # what is not mapped may be anything
    assert stage.duties(two, ("identity",)) == ("reason",)
    assert stage.duties(three) == ("outside_approver",)
    assert stage.duties(four) == ()


def test_one_to_two_in_a_hundred_ordinary_subjects_have_the_same_duties(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    subjects = [f"s-{number}" for number in range(20_000)]
    found = [stage.duties(name, (None,), actor=name) for name in subjects]
    decoys = [duties for duties in found if duties]
    assert 0.01 <= len(decoys) / len(subjects) <= 0.02
    assert {("outside_approver", "two_person"), ("reason",)} == set(decoys)
    again = Stage(tmp_path)
    assert [again.duties(name, (None,), actor=name) for name in subjects[:500]] == found[:500]  # the same ones each time
    assert [Stage(tmp_path / "other", b"x" * 32).duties(name, (None,)) for name in subjects[:100]] != found[:100] or not any(
        found[:100]
    )


def test_an_enrolment_by_another_process_is_seen_at_once(tmp_path: Path) -> None:
    lookups = Lookups(lambda: Registry(tmp_path, KEY), lambda *_: None)
    who, other = ordinary(Registry(tmp_path, KEY), 2)
    for name in (who, other):
        assert lookups.duties("a-1", name, IP, POLICY, NOON) == ()
    for name in (who, other):
        Registry(tmp_path, KEY).enrol(name, "journalist")
        assert lookups.duties("a-1", name, IP, POLICY, NOON) == ("outside_approver", "two_person")


def test_a_key_that_is_down_protects_everybody(tmp_path: Path) -> None:
    def down() -> Registry:
        raise MissingSecret("no key")

    lookups = Lookups(down, lambda *_: None)
    assert lookups.duties("a-1", "s-1", IP, POLICY, NOON) is None
    stage = Stage(tmp_path)
    stage.registry.enrol("s-1", "journalist")
    (tmp_path / "registry").write_bytes(b"cut")
    stage.registry = Registry(tmp_path, KEY)
    assert stage.duties("s-2") is None
    assert stage.duties("s-1") is None


def test_who_goes_through_subjects_learns_nothing_any_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for number in range(MOST):
        assert stage.duties(f"s-{number}") is not None
    assert stage.duties("s-more") is None
    assert stage.duties("s-even-more") is None
    assert stage.duties("s-1") is not None  # whom they had asked about before
    assert stage.duties("s-more", actor="a-2") is not None
    assert stage.notes == [("a-1", "too many look-ups")]
    assert stage.duties("s-more", now=NOON + timedelta(hours=1, seconds=1)) is not None


def test_a_canary_is_noted_and_answered_like_anybody(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    bird, protected = ordinary(stage.registry, 2)
    stage.registry.enrol_all([(bird, Enrolment(CANARY)), (protected, Enrolment("unheard-of"))])
    assert stage.duties(bird) == stage.duties(protected)
    assert stage.notes == [("a-1", "canary")]


def test_what_cannot_be_noted_is_not_answered(tmp_path: Path) -> None:
    def full(actor: str, what: str, now: datetime) -> None:
        del actor, what, now
        raise Outage("the ledger is full")

    registry = Registry(tmp_path, KEY)
    registry.enrol("s-bird", CANARY)
    with pytest.raises(Outage):
        Lookups(lambda: registry, full).duties("a-1", "s-bird", IP, POLICY, NOON)


def test_there_is_no_bulk_question(tmp_path: Path) -> None:
    assert {name for name in dir(Stage(tmp_path).lookups) if not name.startswith("_")} == {"duties"}


@pytest.mark.parametrize("pair", [("s-one", "S-ONE"), ("s-one", "s-one "), ("s-é", "s-e\u0301")])
def test_pseudonyms_are_compared_as_they_are(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Case and Unicode are settled where pseudonyms are made; here another word is another subject."""
    stage = Stage(tmp_path)
    stage.registry.enrol(pair[0], "journalist")
    assert set(stage.registry.classes_of(pair, NOON)) == {pair[0]}


LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenKey]:
    module = next((path for path in LIBRARIES if Path(path).exists()), None)
    if module is None:
        pytest.skip("SoftHSM is not installed (Debian: softhsm2)")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin = secrets.token_hex(8)
    (folder / "pin").write_text(pin)
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "conf")  # the library reads it once, when it is loaded
    command = ["softhsm2-util", "--init-token", "--free", "--label", "custodes", "--pin", pin, "--so-pin", pin]
    subprocess.run(command, check=True, capture_output=True)
    key = TokenKey(module, "custodes", "registry", folder / "pin")
    key.make()
    yield key
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def test_a_registry_under_a_token_s_key_answers_as_one_under_a_file_s(tmp_path: Path, token: TokenKey) -> None:
    stage = Stage(tmp_path, token)
    one, two = ordinary(stage.registry, 2)
    stage.registry.enrol(one, "journalist")
    again = Stage(tmp_path, token)
    assert again.duties(one) == ("outside_approver", "two_person")
    assert again.duties(two) == ()
    assert again.registry.forget(one) == 1
    assert Stage(tmp_path, token).duties(one) == ()


def test_the_token_does_not_hand_its_key_out(token: TokenKey) -> None:
    assert token.is_sealed_in()
    assert len(token(b"label", b"data", 32)) == 32
    assert token(b"label", b"data", 16) == token(b"label", b"data", 32)[:16]
    assert token(b"label", b"data", 32) != token(b"label2", b"data", 32)


def test_a_token_without_the_key_or_its_pin_protects_everybody(tmp_path: Path, token: TokenKey) -> None:
    no_key = TokenKey(token._module, "custodes", "another", token._pin_file)
    assert Stage(tmp_path, no_key).duties("s-1") is None
    no_pin = TokenKey(token._module, "custodes", "registry", tmp_path / "no pin")
    assert Stage(tmp_path, no_pin).duties("s-1") is None
    no_token = TokenKey(token._module, "nobody's", "registry", token._pin_file)
    assert Stage(tmp_path, no_token).duties("s-1") is None
