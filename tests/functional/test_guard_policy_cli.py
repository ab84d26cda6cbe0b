"""What two people type: `custodes guard policy` from the request to the rule in place, and the enrolment of a passkey."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from approval_stage import Stage, seed_of
from authenticator import Authenticator
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from custodes import decisions
from custodes.cli import run as custodes
from custodes.home import Home

RULE = '@id("nobody") @class("not_permitted") forbid (principal, action, resource);\n'


def test_a_rule_is_asked_for_approved_applied_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage.built(tmp_path, simulated=True)
    stage.home.close()
    home, rule = str(tmp_path / "home"), tmp_path / "nobody.cedar"
    rule.write_text(RULE)
    (tmp_path / "pass").write_text("opens everything\n")
    for person in ("dora", "ben"):
        key = Ed25519PrivateKey.from_private_bytes(seed_of(person))
        sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opens everything"))
        (tmp_path / person).write_bytes(sealed)

    def run(*words: str, person: str = "", later: timedelta = timedelta()) -> tuple[int, str]:
        signs = ["--passphrase-file", str(tmp_path / "pass"), "--yes", "--key", str(tmp_path / person)] if person else []
        capsys.readouterr()
        code = custodes(["guard", "policy", *words, "--home", home, "--at", (stage.now + later).isoformat(), *signs])
        return code, capsys.readouterr().out.strip()

    (tmp_path / "bad.cedar").write_text("forbid (principal, action, resource) when { context.nothing };")
    assert run("request", str(tmp_path / "bad.cedar"), person="dora")[0] == 2
    code, number = run("request", str(rule), person="dora")
    assert code == 0
    assert run("apply", str(rule))[0] == 4
    assert run("approve", number, person="ben")[0] == 0
    assert run("apply", str(rule), later=timedelta(hours=23))[0] == 4
    day = timedelta(hours=24)
    assert run("apply", str(rule), later=day)[0] == 0
    assert (tmp_path / "home" / "policies" / "nobody.cedar").read_text() == RULE
    assert run("list", later=day)[1].endswith("  policies/nobody.cedar")
    rule.write_text(RULE.replace("forbid", "permit"))
    assert run("apply", str(rule), later=day)[0] == 4
    (tmp_path / "home" / "policies" / "nobody.cedar").write_text("permit (principal, action, resource);")
    assert run("list", later=day)[1].endswith("NOT AS DECIDED HERE")


def test_a_passkey_is_enrolled_on_the_command_line_as_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its word has capital letters, and they count."""
    stage = Stage.built(tmp_path, simulated=True)
    word = Authenticator.of("ada").passkey().to_text()
    stage.home.close()
    (tmp_path / "pass").write_text("opens everything\n")
    key = Ed25519PrivateKey.from_private_bytes(seed_of("dora"))
    (tmp_path / "dora").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"opens everything"))
    )
    signs = ["--passphrase-file", str(tmp_path / "pass"), "--yes", "--key", str(tmp_path / "dora"), "--at", stage.now.isoformat()]
    home = ["--home", str(tmp_path / "home")]
    assert custodes(["ledger", "approver", "enrol", *home, "--actor", "ada", "--public-key", word, *signs]) == 0
    number = int(capsys.readouterr().out.strip())
    with Home.open(tmp_path / "home") as opened:
        again = Stage(tmp_path, opened)
        again.now = stage.now
        again.answer(decisions.asking(opened).book().requests[number], "cleo")
    capsys.readouterr()
    assert custodes(["ledger", "approver", "list", *home]) == 0
    assert word in capsys.readouterr().out
