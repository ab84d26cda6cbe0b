"""`custodes guard policy` from the request to the rule in place, as two people and an administrator type it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from approval_stage import Stage, seed_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from custodes.cli import run as custodes

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
