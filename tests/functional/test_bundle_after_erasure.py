"""After a real erasure: what was handed out still proves, the person's own key finds what was erased, and others lose nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from erasing_stage import OTHER, WHO, erase, marked_home

from custodes.cli import run
from custodes.home import Home
from custodes.ledger.bundle import open_bundle


def _prove(home: Path, out: Path, *who: str, code: int = 0) -> Path:
    assert run(["ledger", "prove", "--home", str(home), *who, "-o", str(out)]) == code
    return out


def test_before_after_and_beside_an_erasure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, key, policy = marked_home(tmp_path), tmp_path / "key", tmp_path / "policy"
    for name in (WHO, OTHER):
        (tmp_path / name).write_text(name + "\n")
    by_id = ["--subject-from", str(tmp_path / WHO)]
    before = _prove(home, tmp_path / "before.custodes-bundle", *by_id, "--tag-key-out", str(key))
    with Home.open(home) as opened:
        erase(opened, opened.pseudonyms.of("subject", WHO))
    _prove(home, tmp_path / "none.custodes-bundle", *by_id, code=2)
    after = _prove(home, tmp_path / "after.custodes-bundle", "--subject-key", str(key))
    beside = _prove(home, tmp_path / "beside.custodes-bundle", "--subject-from", str(tmp_path / OTHER), "--with-actor")
    capsys.readouterr()
    assert run(["ledger", "checkpoint", "--home", str(home), "--policy"]) == 0
    policy.write_text(capsys.readouterr().out)
    said = {}
    for file, options in ((before, ["--tag-key", str(key)]), (after, ["--tag-key", str(key)]), (beside, [])):
        assert run(["verify", str(file), "--policy", str(policy), *options]) == 0
        said[file] = capsys.readouterr().out
    members = open_bundle(before.read_bytes())[1]
    months = [json.loads(body) for name, body in members.items() if name.endswith(".json") and name.startswith("index/")]
    assert said[after].count("\nERASED") == sum(len(month["lookup"]["positions"]) for month in months) > 0
    assert "ERASED" not in said[before] + said[beside]
    assert "kanarie" in said[before]
    assert "kanarie" not in said[after] + said[beside]
    assert b"kanarie" not in after.read_bytes() + beside.read_bytes()
    assert "entries about you" in said[after]
