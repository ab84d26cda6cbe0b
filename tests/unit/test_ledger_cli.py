"""`custodes ledger` and `custodes verify`: data on stdout, talk on stderr, and the exit codes of the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from custodes.cli import run
from custodes.ledger.leaf import NO_TAG
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Log.create(tmp_path / "home/ledger/log", SIGNER.name, SIGNER) as log:
        with log.batch() as batch:
            for number in range(10):
                batch.add(1, 500_000, 1, NO_TAG, number.to_bytes(32, "big"))
        log.publish()
    return tmp_path / "home"


def damage(home: Path) -> None:
    file = home / "ledger/log/seg/000000.log"
    data = bytearray(file.read_bytes())
    data[60] ^= 1
    file.write_bytes(data)


def test_fsck_says_sound_and_ends_with_0(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "fsck", "--home", str(home)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"ledger {SIGNER.name}: sound\n  10 entries, 10 signed")
    assert err == ""


def test_fsck_says_broken_and_ends_with_3(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(home)
    assert run(["ledger", "fsck", "--home", str(home), "--format", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["exit"], document["entries"]) == ("custodes.fsck/1", 3, 10)
    assert document["problems"]
    assert run(["ledger", "fsck", "--home", str(home)]) == 3
    assert "BROKEN" in capsys.readouterr().out


def test_checkpoint_policy_prove_export_and_verify_fit_together(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ledger", "checkpoint", "--home", str(home)]) == 0
    both = capsys.readouterr().out
    assert run(["ledger", "checkpoint", "--home", str(home), "--policy"]) == 0
    policy = capsys.readouterr().out
    assert policy == "".join(f"log {key.vkey()}\n" for key in SIGNER.keys) + "quorum none\n"
    assert both.startswith((home / "ledger/log/checkpoint").read_text())
    assert both.endswith(policy)
    (tmp_path / "policy").write_text(policy)
    assert run(["ledger", "prove", "--home", str(home), "--leaf", "7", "-o", str(tmp_path / "p.tlog-proof")]) == 0
    assert run(["ledger", "export", "--home", str(home), str(tmp_path / "public")]) == 0
    capsys.readouterr()
    for path in (home, home / "ledger/log", tmp_path / "public", tmp_path / "p.tlog-proof"):
        assert run(["verify", str(path), "--policy", str(tmp_path / "policy")]) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith("INCLUDED")
        assert run(["verify", str(path)]) == 2
        assert capsys.readouterr().out.splitlines()[-1].startswith("UNVERIFIED")
    damage(home)
    assert run(["verify", str(home), "--policy", str(tmp_path / "policy"), "--format", "json"]) == 3
    assert json.loads(capsys.readouterr().out)["claims"][0]["verdict"] == "BROKEN"
    assert run(["ledger", "export", "--home", str(home), str(tmp_path / "more")]) == 3
    assert run(["ledger", "prove", "--home", str(home), "--leaf", "0", "-o", str(tmp_path / "q")]) == 3
    assert not (tmp_path / "q").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["ledger", "fsck", "--home", "nowhere"],
        ["ledger", "checkpoint", "--home", "nowhere"],
        ["ledger", "nonsense"],
        ["verify", "nowhere"],
    ],
)
def test_what_is_not_there_is_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_leaf_that_is_not_published_cannot_be_proven(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "prove", "--home", str(home), "--leaf", "10", "-o", str(tmp_path / "p")]) == 2
    assert "10 entries, numbered from 0" in capsys.readouterr().err


def test_a_bad_policy_is_2_and_names_its_line(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy").write_text("quorum none\nlog nonsense\n")
    assert run(["verify", str(home), "--policy", str(tmp_path / "policy")]) == 2
    assert "line 2" in capsys.readouterr().err
