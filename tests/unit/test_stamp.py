"""RFC 3161 stamps over a checkpoint, made by an authority on this machine (`openssl ts`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from witness_town import SIGNER, grow, liar, new_log

from custodes.cli import run
from custodes.errors import BadSignature, Outage
from custodes.ledger.log import Log
from custodes.ledger.stamp import STAMP, STAMPED
from custodes.ledger.witness_stamp import stamp

pytest.importorskip("rfc3161_client", reason="the extra custodes[timestamp] is not installed")

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[stamping]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
authorityKeyIdentifier = keyid
"""
POLICY = "".join(f"log {key.vkey()}\n" for key in SIGNER.keys) + "quorum none\n"


class Authority:
    """A time-stamp authority. `root`: its certificate, for readers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.root = folder, folder / "root.pem"
        (folder / "ts.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        name = ["-subj", f"/CN={folder.name} root"]
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._run(
            "req",
            "-x509",
            *key,
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            *name,
            "-days",
            "30",
            "-config",
            "ts.cnf",
            "-extensions",
            "root",
        )
        self._run("req", "-new", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", f"/CN={folder.name}", "-config", "ts.cnf")
        signing = ["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "30"]
        self._run("x509", "-req", "-in", "tsa.csr", *signing, "-extfile", "ts.cnf", "-extensions", "stamping", "-out", "tsa.pem")

    def _run(self, *arguments: str) -> None:
        if arguments[0] == "req":
            text = (self.folder / "ts.cnf").read_text()
            if "[req]" not in text:
                (self.folder / "ts.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n" + text)
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def answer(self, _: str, query: bytes) -> tuple[int, bytes, str]:
        (self.folder / "query").write_bytes(query)
        self._run("ts", "-reply", "-config", "ts.cnf", "-queryfile", "query", "-out", "reply")
        return 200, (self.folder / "reply").read_bytes(), "application/timestamp-reply"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine, so there is no authority to ask")
    return Authority(tmp_path_factory.mktemp("tsa") / "authority")


@pytest.fixture
def home(tmp_path: Path, authority: Authority) -> Path:
    with new_log(tmp_path / "home/ledger/log", 5) as log:
        log.publish()
    (tmp_path / "policy").write_text(POLICY)
    with liar(authority.answer) as url:
        assert run(["ledger", "checkpoint", "--home", str(tmp_path / "home"), "--stamp", f"{url}/tsr"]) == 0
    return tmp_path / "home"


def verify(home: Path, roots: Path) -> int:
    return run(["verify", str(home), "--policy", str(home.parent / "policy"), "--tsa", str(roots)])


def test_a_stamp_says_when_the_checkpoint_existed(home: Path, authority: Authority, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert verify(home, authority.root) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"INCLUDED  checkpoint of {SIGNER.name} at size 5 existed on 20")


def test_a_stamp_is_still_good_when_the_log_has_gone_on(
    home: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log.open(home / "ledger/log", SIGNER) as log:
        grow(log, 300)
        log.publish()
    capsys.readouterr()
    assert verify(home, authority.root) == 0
    assert "at size 5 existed on" in capsys.readouterr().out
    folder = home / "ledger/log"
    assert run(["ledger", "export", "--home", str(home), str(home.parent / "public")]) == 0
    for name in (STAMP, STAMPED):
        shutil.copy(folder / name, home.parent / "public" / name)
    assert verify(home.parent / "public", authority.root) == 2  # a folder of tiles does not show that it went on from there


def test_a_log_that_was_made_again_after_its_stamp_is_broken(home: Path, authority: Authority) -> None:
    folder = home / "ledger/log"
    kept = {name: (folder / name).read_bytes() for name in (STAMP, STAMPED)}
    shutil.rmtree(folder)
    with new_log(folder, 9, "another") as log:
        log.publish()
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    assert verify(home, authority.root) == 3


def test_a_changed_stamp_a_changed_note_and_a_foreign_authority_are_broken(
    home: Path, authority: Authority, tmp_path: Path
) -> None:
    folder = home / "ledger/log"
    stamped = (folder / STAMP).read_bytes()
    for at in range(30, len(stamped), 150):
        (folder / STAMP).write_bytes(stamped[:at] + bytes((stamped[at] ^ 1,)) + stamped[at + 1 :])
        assert verify(home, authority.root) == 3, at
    (folder / STAMP).write_bytes(b"nonsense")
    assert verify(home, authority.root) == 3
    (folder / STAMP).write_bytes(stamped)
    assert verify(home, Authority(tmp_path / "foreign").root) == 3
    with Log.open(folder, SIGNER) as log:
        grow(log, 1)
        log.publish()
    (folder / STAMPED).write_bytes((folder / STAMPED).read_bytes().replace(b"\n5\n", b"\n6\n"))
    assert verify(home, authority.root) == 3


def test_without_a_stamp_or_a_policy_nothing_is_proven(home: Path, authority: Authority) -> None:
    assert run(["verify", str(home), "--tsa", str(authority.root)]) == 2
    (home / "roots").write_text("no certificate")
    assert verify(home, home / "roots") == 2
    (home / "ledger/log" / STAMP).unlink()
    assert verify(home, authority.root) == 2


def test_an_answer_to_another_question_is_not_kept(tmp_path: Path, authority: Authority) -> None:
    old: list[bytes] = []

    def again(path: str, query: bytes) -> tuple[int, bytes, str]:
        old.append(query)
        return authority.answer(path, old[0])

    with new_log(tmp_path / "log", 5) as log, liar(again) as url:
        log.publish()
        stamp(log.path, url)
        kept = (log.path / STAMP).read_bytes()
        with pytest.raises(BadSignature, match="something else"):  # the nonce is not ours
            stamp(log.path, url)
        assert (log.path / STAMP).read_bytes() == kept
    for status, body, wrong in ((500, b"", Outage), (200, b"", BadSignature), (200, b"\x30\x05\x30\x03\x02\x01\x02", BadSignature)):
        with liar(lambda *_, answer=(status, body, "text/plain"): answer) as url, pytest.raises(wrong):
            stamp(tmp_path / "log", url)


def test_without_the_extra_it_says_what_is_missing_and_ends_with_2(home: Path, authority: Authority) -> None:
    code = "import sys; sys.modules['rfc3161_client'] = None; from custodes.cli import run; sys.exit(run(sys.argv[1:]))"
    for arguments in (
        ["ledger", "checkpoint", "--home", str(home), "--stamp", "http://127.0.0.1:9/"],
        ["verify", str(home), "--policy", str(home.parent / "policy"), "--tsa", str(authority.root)],
    ):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "custodes[timestamp]" in done.stdout + done.stderr
