"""A bundle out of a log that witnesses have seen: it carries their lines for both logs, and a reader who asks for them has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from intake_reading import ingest, new_home, write
from witness_town import stand

from custodes.cli import run
from custodes.ledger.note import parse_key
from custodes.verify import standalone


def test_a_quorum_of_witnesses_is_met_by_both_verifiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, bundle, policy = new_home(tmp_path / "home"), tmp_path / "x.custodes-bundle", tmp_path / "my.policy"
    vkeys = [line for name in ("log", "index") for line in (home / "ledger" / name / "vkey").read_text().splitlines()]
    look = {"time": "2026-09-01T10:00:00Z", "actor": "staff-1", "action": "read", "system": "crm", "subjects": ["subject-1"]}
    (tmp_path / "id").write_text("subject-1")
    with stand(tmp_path / "w", "ngo", [parse_key(line) for line in vkeys]) as witness:
        (home / "w.policy").write_text(witness.lines() + "quorum ngo\n")
        text = (home / "custodes.toml").read_text()
        (home / "custodes.toml").write_text(text.replace("[ledger]\n", '[ledger]\nwitnesses = "w.policy"\n'))
        ingest(home, write(tmp_path / "a.ndjson", [json.dumps({**look, "id": f"l-{number}"}).encode() for number in range(5)]))
        assert run(["ledger", "prove", "--home", str(home), "--subject-from", str(tmp_path / "id"), "-o", str(bundle)]) == 0
    policy.write_text("".join(f"log {line}\n" for line in vkeys) + witness.lines() + "quorum ngo\n")
    capsys.readouterr()
    assert run(["verify", str(bundle), "--policy", str(policy)]) == 0
    assert capsys.readouterr().out.count("quorum ngo met") == 2
    assert standalone.main([str(bundle), "--policy", str(policy)]) == 0
    assert capsys.readouterr().out.count("quorum ngo met") == 2
