"""A home: made once, opened often, its settings strict, its first leaf for good."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from custodes.errors import ConfigError, LedgerRewritten, MissingSecret, Refused, UnknownKey, WouldCreate
from custodes.home import Home
from custodes.home_making import make_home
from custodes.settings import Settings, settings_of

ORIGIN = {"ledger": {"origin": "log.example/1"}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_home(tmp_path / "home").close()
    return tmp_path / "home"


@pytest.mark.parametrize("simulated", [True, False])
def test_the_first_leaf_says_whether_the_home_is_simulated(tmp_path: Path, simulated: bool) -> None:
    with make_home(tmp_path / "home", simulated=simulated) as made:
        assert made.simulated is simulated
    with Home.open(tmp_path / "home") as opened:
        assert opened.simulated is simulated
        assert opened.log().read(0, 1)[0][1] == 7


def test_another_first_record_does_not_make_a_home_simulated(tmp_path: Path, home: Path) -> None:
    make_home(tmp_path / "play", simulated=True).close()
    for name in ("vault/own", "vault/keys", "keys"):
        for file in (tmp_path / "play" / name).iterdir():
            if file.name not in ("signing.key", "log.pub"):
                (home / name / file.name).write_bytes(file.read_bytes())
    with Home.open(home) as opened, pytest.raises(LedgerRewritten):
        _ = opened.simulated


def test_a_home_is_never_overwritten(home: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="never overwritten"):
        make_home(home)
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match="not empty"):
        make_home(tmp_path / "full")
    with pytest.raises(ConfigError, match="is a file"):
        make_home(tmp_path / "full" / "file")


def test_nothing_is_created_that_was_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(WouldCreate):
        Home.open(tmp_path / "nowhere")
    with pytest.raises(WouldCreate):
        Home.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_keys_are_for_the_owner_alone(home: Path) -> None:
    assert stat.S_IMODE((home / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(key.stat().st_mode) for key in (home / "keys").iterdir()} == {0o600}


def test_a_missing_key_is_named(home: Path) -> None:
    (home / "keys" / "vault.key").unlink()
    with Home.open(home) as opened, pytest.raises(MissingSecret, match=r"vault\.key"):
        opened.vault()
    (home / "keys" / "pseudonym.key").write_bytes(b"short")
    with Home.open(home) as opened, pytest.raises(MissingSecret, match="32 bytes"):
        _ = opened.pseudonyms


def test_own_records_are_sealed_and_open_to_their_leaves(home: Path) -> None:
    with Home.open(home) as opened:
        index = opened.record(7, {"what": "a load of a secret table", "rows": 5})
        assert opened.log().read(index, index + 1)[0][1] == 7
        found = opened.vault().check(opened.log().read, opened.log().size)
        assert (found.opened, found.problems, found.orphans) == (3, [], 0)
        with pytest.raises(ValueError, match="kinds 4 to 10"):
            opened.record(1, {})
    for file in (home / "vault").rglob("*.sealed"):
        assert b"secret" not in file.read_bytes()


def test_a_policy_in_force_is_recorded_once_and_a_broken_one_changes_nothing(home: Path) -> None:
    policy = b"schema: custodes.policy/1\npurposes: {care: [health]}\n"
    with Home.open(home) as opened:
        size = opened.log().size
        assert opened.adopt("policy.yaml", policy)
        assert not opened.adopt("policy.yaml", policy)
        assert opened.log().size == size + 1
        assert list(opened.policy.purposes) == ["care"]
        with pytest.raises(UnknownKey):
            opened.adopt("policy.yaml", b"purpose: {}")
        with pytest.raises(ConfigError):
            opened.adopt("datamap.yaml", b"a: [")
    with Home.open(home) as opened:
        assert list(opened.policy.purposes) == ["care"]
        assert opened.datamap.systems == {}


def test_company_ids_are_shown_in_simulated_homes_only(home: Path) -> None:
    with Home.open(home) as opened, pytest.raises(Refused):
        opened.reveal_simulated(["a-xxxx"])


def test_settings_have_defaults_and_refuse_what_they_do_not_know() -> None:
    assert settings_of(ORIGIN) == Settings(ledger=settings_of(ORIGIN).ledger)
    assert settings_of({**ORIGIN, "engine": {"threads": 4}}).engine.threads == 4
    for wrong in (
        {**ORIGIN, "colour": 1},
        {**ORIGIN, "engine": {"thread": 4}},
        {**ORIGIN, "engine": []},
        {**ORIGIN, "schema": "custodes.settings/2"},
    ):
        with pytest.raises(UnknownKey):
            settings_of(wrong)
    for wrong in (
        {},
        {**ORIGIN, "engine": {"threads": "4"}},
        {**ORIGIN, "engine": {"threads": True}},
        {**ORIGIN, "engine": {"threads": 0}},
        {**ORIGIN, "intake": {"client_net": "fine"}},
    ):
        with pytest.raises(ConfigError):
            settings_of(wrong)


def test_a_settings_file_that_is_no_toml_is_named(home: Path) -> None:
    (home / "custodes.toml").write_text("ledger = ")
    with pytest.raises(ConfigError, match=r"custodes\.toml"):
        Home.open(home)
    (home / "custodes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        Home.open(home)
