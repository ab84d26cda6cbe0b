"""The registry's key is exchanged with a trustee's help: nobody loses protection, decoys change, one person opens the list."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custodes.cli.guard.registry import command
from custodes.cli.load import enrol
from custodes.decisions.people import lookups
from custodes.errors import InputError
from custodes.home import Home
from custodes.home_making import make_home
from custodes.model.policy import Policy
from custodes.protected.lookups import DECOYS
from custodes.protected.registry import Enrolment, Registry
from custodes.protected.trustee import keygen, open_list, public_of, seal

POLICY = "schema: custodes.policy/1\nprotected:\n  journalist: {obliges: [outside_approver]}\n"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


class Rotating:
    """A home with a trustee, and two people enrolled."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.key, self.rows = folder / "trustee.key", folder / "rows.json"
        public = run("keygen", self.key).output.strip()
        make_home(self.home).close()
        file = self.home / "custodes.toml"
        file.write_text(f'{file.read_text()}\n[registry]\ntrustee = "{public}"\n')
        with Home.open(self.home) as home:
            home.adopt("policy.yaml", POLICY.encode())
        self.enrol("Ann", "Bob")

    def enrol(self, *names: str) -> None:
        file = self.folder / "protected.csv"
        file.write_text("subject,class\n" + "".join(f"{name},journalist\n" for name in names))
        with Home.open(self.home) as home:
            enrol(home, file)

    def opened(self) -> Result:
        self.rows.unlink(missing_ok=True)
        return run("open-list", self.home / "registry" / "for-the-trustee", "--key", self.key, "-o", self.rows)

    def protects(self, name: str) -> bool:
        with Home.open(self.home) as home:
            return bool(home.registry().enrolments([home.pseudonyms.once("subject", name)]))


@pytest.fixture
def made(tmp_path: Path) -> Rotating:
    return Rotating(tmp_path)


def test_everybody_is_protected_under_the_new_key_and_decoys_are_drawn_anew(made: Rotating) -> None:
    before, names = (made.home / "keys" / "registry.key").read_bytes(), [f"s-{number}" for number in range(3000)]
    decoys = {name for name in names if Registry(made.folder, before).drawn(name) < DECOYS}
    assert made.opened().exit_code == 0
    done = run("rotate", "--home", made.home, "--rows", made.rows)
    assert done.exit_code == 0, done.output
    after = (made.home / "keys" / "registry.key").read_bytes()
    assert after != before
    assert {name for name in names if Registry(made.folder, after).drawn(name) < DECOYS} != decoys
    assert made.protects("Ann")
    assert made.protects("Bob")
    assert not made.protects("Cleo")
    assert not (made.home / "registry" / "registry").exists()
    with Home.open(made.home) as home:
        assert any(leaf.what == {"what": "registry rotated"} for leaf in home.own_leaves())
        assert home.policy == Policy.of(
            {"schema": "custodes.policy/1", "protected": {"journalist": {"obliges": ["outside_approver"]}}}
        )
        assert lookups(home).duties("a-1", home.pseudonyms.once("subject", "Ann"), ["identity"], home.policy, NOW)


def test_a_second_rotation_and_later_enrolments_work_as_the_first(made: Rotating) -> None:
    for name in ("Cleo", "Dora"):
        made.enrol(name)
        assert made.opened().exit_code == 0
        assert run("rotate", "--home", made.home, "--rows", made.rows).exit_code == 0
    assert all(map(made.protects, ("Ann", "Bob", "Cleo", "Dora")))
    assert len(list((made.home / "registry").glob("registry*"))) == 1


def test_a_list_that_lacks_somebody_is_refused_and_nothing_changes(made: Rotating) -> None:
    made.opened()
    document = json.loads(made.rows.read_text())
    made.rows.write_text(json.dumps({**document, "rows": document["rows"][:1]}))
    key = (made.home / "keys" / "registry.key").read_bytes()
    done = run("rotate", "--home", made.home, "--rows", made.rows)
    assert done.exit_code == 4 or "lacks people" in str(done.exception)
    assert (made.home / "keys" / "registry.key").read_bytes() == key
    assert made.protects("Ann")
    assert made.protects("Bob")


def test_who_was_erased_is_not_enrolled_again_nor_left_on_the_list(made: Rotating) -> None:
    with Home.open(made.home) as home:
        assert home.registry().forget(home.pseudonyms.once("subject", "Bob")) == 1
    made.opened()
    assert run("rotate", "--home", made.home, "--rows", made.rows).exit_code == 0
    assert not made.protects("Bob")
    made.opened()
    assert len(json.loads(made.rows.read_text())["rows"]) == 1


def test_a_crash_before_the_exchange_leaves_the_old_key_in_force(made: Rotating) -> None:
    with Home.open(made.home) as home:
        rows = open_list((made.home / "registry" / "for-the-trustee").read_bytes(), made.key.read_text().strip())
        Registry(made.home / "registry", bytes(32), fresh=True).enrol_all(rows)  # …and the power went
        assert home.registry().is_current()
    assert made.protects("Ann")
    assert Registry(made.home / "registry", bytes(32)).enrolments([rows[0][0]])


def test_the_list_opens_for_the_trustee_alone(made: Rotating, tmp_path: Path) -> None:
    data = (made.home / "registry" / "for-the-trustee").read_bytes()
    with Home.open(made.home) as home:
        assert home.pseudonyms.once("subject", "Ann").encode() not in data
    run("keygen", tmp_path / "other.key")
    for wrong in (data[:-1], data[:80] + bytes([data[80] ^ 1]) + data[81:]):
        with pytest.raises(InputError):
            open_list(wrong, made.key.read_text().strip())
    with pytest.raises(InputError):
        open_list(data, (tmp_path / "other.key").read_text().strip())


def test_the_list_s_length_tells_little() -> None:
    public = public_of(keygen()[1])
    one, many = ([(f"s-{number}", Enrolment("journalist")) for number in range(count)] for count in (1, 60))
    assert len(seal(one, public)) == len(seal(many, public))


def test_without_a_trustee_no_list_is_kept(tmp_path: Path) -> None:
    make_home(tmp_path / "home").close()
    (tmp_path / "protected.csv").write_text("subject,class\nAnn,journalist\n")
    with Home.open(tmp_path / "home") as home:
        enrol(home, tmp_path / "protected.csv")
        assert not (home.path / "registry" / "for-the-trustee").exists()
        assert replace(home.settings.registry).trustee == ""


LIBRARIES = ("softhsm/libsofthsm2.so", "x86_64-linux-gnu/softhsm/libsofthsm2.so", "aarch64-linux-gnu/softhsm/libsofthsm2.so")


def test_a_key_in_a_token_is_made_and_exchanged_by_commands(made: Rotating) -> None:
    """From one key of a token to the next; the token's library reads its settings once a process. The home is as a new one."""
    module = next((place for name in LIBRARIES if (place := Path("/usr/lib") / name).exists()), None)
    if module is None:
        pytest.skip("SoftHSM is not installed (Debian: softhsm2)")
    shutil.rmtree(made.home / "registry")
    (made.folder / "tokens").mkdir()
    (made.folder / "conf").write_text(f"directories.tokendir = {made.folder / 'tokens'}\nobjectstore.backend = file\n")
    (made.folder / "pin").write_text("0815-4711")
    environment = {**os.environ, "SOFTHSM2_CONF": str(made.folder / "conf")}

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*map(str, words)], capture_output=True, text=True, check=False, env=environment)

    def registry(*words: str | Path) -> int:
        return call(sys.executable, "-m", "custodes", "guard", "registry", *words, "--home", made.home).returncode

    assert (
        call("softhsm2-util", "--init-token", "--free", "--label", "t", "--pin", "0815-4711", "--so-pin", "0815-4711").returncode
        == 0
    )
    assert registry("make-key") == 2  # custodes.toml names no token yet
    file = made.home / "custodes.toml"
    file.write_text(f'{file.read_text()}module = "{module}"\ntoken = "t"\nlabel = "one"\npin_file = "{made.folder / "pin"}"\n')
    assert registry("make-key") == 0
    assert registry("make-key") == 2  # never overwritten
    loaded = made.folder / "exports"
    (loaded / "context").mkdir(parents=True)
    (loaded / "context" / "protected.csv").write_text("subject,class\nAnn,journalist\nBob,journalist\n")
    assert call(sys.executable, "-m", "custodes", "load", loaded, "--home", made.home).returncode == 0
    assert made.opened().exit_code == 0
    assert registry("rotate", "--rows", made.rows) == 2  # a token's next key has a name
    assert registry("rotate", "--rows", made.rows, "--label", "two") == 0
    assert len(list((made.home / "registry").glob("registry-*"))) == 1
    file.write_text(file.read_text().replace('label = "one"', 'label = "two"'))
    assert registry("rotate", "--rows", made.rows, "--label", "three") == 0  # what the second key holds is whole
