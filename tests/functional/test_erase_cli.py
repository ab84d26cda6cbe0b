"""The doors to erasure: whose key opens them, what they refuse, and that ids of subjects come in by file or stdin only."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from approval_stage import FIRST, LATER, SUBJECT, Stage, public_of, seed_of
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from custodes import decisions
from custodes.cli import run
from custodes.guard.approval import written
from custodes.home import Home
from custodes.ledger.checkpoint import read_unverified

OPENS_ALL = "a passphrase for tests"
AT = ["--at", written(LATER)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    stage = Stage.built(tmp_path_factory.mktemp("built"), simulated=True)
    stage.home.close()
    return stage


@pytest.fixture
def home(built: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A simulated home with its people; key files lie beside it."""
    built.copied(tmp_path).home.close()
    for name in (*FIRST, "mole"):
        key = Ed25519PrivateKey.from_private_bytes(seed_of(name))
        sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(OPENS_ALL.encode()))
        (tmp_path / f"{name}.key").write_bytes(sealed)
    (tmp_path / "pass").write_text(f"{OPENS_ALL}\n")
    (tmp_path / "subject").write_text(f"{SUBJECT}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUSTODES_HOME", "home")
    return tmp_path / "home"


def _as(name: str) -> list[str]:
    return ["--key", f"{name}.key", "--passphrase-file", "pass", "--yes"]


def _last_refusal(home: Path) -> object:
    with Home.open(home) as opened:
        return decisions.asking(opened).book().refusals[-1][1]["why"]


def _request(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["ledger", "erase", "request", "--basis", "b", "--subject-file", "subject", *_as("ada"), *AT]) == 0
    return capsys.readouterr().out.strip()


def test_the_clock_of_a_real_home_cannot_be_chosen(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    approvers = [word for name in FIRST[:3] for word in ("--approver", f"{name}={public_of(name)}")]
    assert run(["init", str(tmp_path / "real"), *approvers]) == 0
    for command in (
        ["request", "--basis", "a", "--subject-file", "subject", *_as("ada")],
        ["approve", "3", *_as("ben")],
        ["deny", "3", *_as("ben")],
        ["carry-out", "3"],
        ["list"],
        ["hold", "add", "--everybody", "--reason", "court", *_as("ada")],
        ["hold", "lift", "3", *_as("ada")],
    ):
        assert run(["ledger", "erase", *command, "--home", str(tmp_path / "real"), *AT]) == 4, command
    assert "simulated homes only" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("approvers", "said"),
    [
        (["ada", "ben"], "at least 3"),
        (["ada", "ada", "ben", "cleo"], "one key for each"),
        (["ada", "ben", "cleo=00"], "64 hex digits"),
        (["=", "ada", "ben"], "ID=KEY"),
    ],
)
def test_a_home_is_not_made_with_keys_that_cannot_work(
    tmp_path: Path, approvers: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for name in approvers for word in ("--approver", name if "=" in name else f"{name}={public_of(name)}")]
    assert run(["init", str(tmp_path / "new"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_home_without_first_keys_never_erases(tmp_path: Path, home: Path) -> None:
    assert run(["init", str(tmp_path / "bare")]) == 0
    bare = ["--home", str(tmp_path / "bare")]
    assert run(["ledger", "erase", "request", "--basis", "a", "--subject-file", "subject", *_as("ada"), *bare]) == 4
    enrol = ["ledger", "approver", "enrol", "--actor", "ada", "--public-key", public_of("ada"), *_as("ada"), *bare]
    assert run(enrol) == 4
    assert _last_refusal(tmp_path / "bare") == "no-key"


def test_a_key_of_nobody_is_refused_and_recorded_and_published(home: Path) -> None:
    before = read_unverified((home / "ledger" / "log" / "checkpoint").read_bytes()).size
    assert run(["ledger", "erase", "request", "--basis", "a", "--subject-file", "subject", *_as("mole"), *AT]) == 4
    assert _last_refusal(home) == "no-key"
    assert read_unverified((home / "ledger" / "log" / "checkpoint").read_bytes()).size > before


def test_another_passphrase_opens_no_key(home: Path, tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("another passphrase\n")
    assert run(["ledger", "erase", "hold", "add", "--everybody", "--reason", "court", *_as("ada")]) == 2


def test_the_subject_comes_from_stdin_or_a_file_and_is_shown_as_a_pseudonym(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{SUBJECT}\n".encode())))
    assert run(["ledger", "erase", "request", "--basis", "a", *_as("ada"), *AT]) == 0
    said = capsys.readouterr()
    assert "4 accesses (1 of them" in said.err
    assert SUBJECT not in said.out + said.err
    assert run(["ledger", "erase", "approve", said.out.strip(), *_as("ben"), *AT]) == 0
    assert "the reference in it means s-" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\n"])
def test_what_names_no_one_subject_is_refused(home: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "subject").write_bytes(content)
    assert run(["ledger", "erase", "request", "--basis", "a", "--subject-file", "subject", *_as("ada"), *AT]) == 2


def test_what_is_shown_has_the_digest_that_statements_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hashlib import sha256

    number = _request(capsys)
    assert run(["ledger", "erase", "show", number]) == 0
    shown = capsys.readouterr()
    digest = sha256(b"custodes.request/1\n" + shown.out.strip().encode()).hexdigest()
    assert shown.err.strip() == f"sha256:{digest}"
    assert run(["ledger", "erase", "approve", number, *_as("ben"), *AT]) == 0
    assert digest in capsys.readouterr().err
    assert run(["ledger", "erase", "show", "999"]) == 2


def test_who_does_not_confirm_signs_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = _request(capsys)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(["ledger", "erase", "approve", number, "--key", "ben.key", "--passphrase-file", "pass", *AT]) == 130
    with Home.open(home) as opened:
        assert not decisions.asking(opened).book().requests[int(number)].answers


def test_the_list_is_for_people_and_for_machines(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    number = _request(capsys)
    assert run(["ledger", "erase", "deny", number, *_as("dora"), *AT]) == 0
    capsys.readouterr()
    assert run(["ledger", "erase", "list", *AT, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "custodes.erasures/1"
    assert [(row["request"], row["state"], row["accesses"]) for row in document["requests"]] == [(int(number), "denied", 4)]
    assert run(["ledger", "approver", "list", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["keys"]) == len(FIRST)


def test_a_key_file_is_private_and_never_overwritten(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ledger", "approver", "keygen", "new.key", "--passphrase-file", "pass"]) == 0
    assert len(capsys.readouterr().out.strip()) == 64
    content = (tmp_path / "new.key").read_bytes()
    assert (tmp_path / "new.key").stat().st_mode & 0o777 == 0o600
    assert run(["ledger", "approver", "keygen", "new.key", "--passphrase-file", "pass"]) == 2
    assert (tmp_path / "new.key").read_bytes() == content
