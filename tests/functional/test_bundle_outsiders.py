"""From the command line to an outsider's machine: what the company writes, a person checks with next to nothing installed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from custodes.disclose.bundle import script

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "custodes"]
MARKS = {"actor": "staff-amsel", "device": "device-amsel", "query": "select amsel", "id": "own-amsel"}
BASE = {"time": "2026-09-01T10:00:00Z", "action": "read", "system": "crm", "resource": "profile", "fields": ["email"]}


def _run(*arguments: str, code: int = 0, said: str | None = None) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, input=said, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Handed:
    """A home, the folder of what it handed out, and everything that was printed."""

    home: Path
    folder: Path
    said: str


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Handed:
    folder = tmp_path_factory.mktemp("handed")
    home = folder / "home"
    looks = [{**BASE, "id": f"own-amsel-{n}", "actor": "staff-amsel", "query": "select amsel", "seq": n} for n in range(60)]
    for number, look in enumerate(looks):
        look["subjects"] = [f"subject-{name}" for name in ("zaunkoenig", "rotkehlchen", "stieglitz")[: 1 + number % 2]]
        if number % 7 == 3:
            look["subjects"] = []
        if number % 5 == 2:
            look["subjects"] = ["subject-stieglitz"]
        if number % 6 == 0:
            look["purpose"] = "support"
    (folder / "a.ndjson").write_text("".join(json.dumps(look) + "\n" for look in looks))
    _run("init", str(home))
    _run("ingest", "--home", str(home), "--source", "access", str(folder / "a.ndjson"))
    (folder / "id").write_text("subject-zaunkoenig\n")
    prove = ["ledger", "prove", "--home", str(home)]
    said = _run(
        *prove, "--subject-from", str(folder / "id"), "--tag-key-out", str(folder / "key"), "-o", str(folder / "x.custodes-bundle")
    )
    (folder / "policy").write_text(_run("ledger", "checkpoint", "--home", str(home), "--policy"))
    return Handed(home, folder, said)


def test_prove_writes_bundle_and_key_for_their_owner_only(handed: Handed) -> None:
    for name in ("x.custodes-bundle", "key"):
        assert stat.S_IMODE((handed.folder / name).stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{64}\n", (handed.folder / "key").read_text())


def test_a_bundle_holds_no_byte_about_another_subject_or_the_actor(handed: Handed) -> None:
    data = (handed.folder / "x.custodes-bundle").read_bytes()
    for word in (b"rotkehlchen", b"stieglitz", b"amsel", (handed.folder / "key").read_bytes().strip()):
        assert word not in data
    assert b"zaunkoenig" in data
    pseudonyms = set(re.findall(rb"\b[as]-[a-z2-7]{16}\b", data))
    assert not pseudonyms
    assert not re.search("zaunkoenig|rotkehlchen|stieglitz|amsel", handed.said)


def test_with_actor_shows_the_actor_and_is_asked_for(handed: Handed, tmp_path: Path) -> None:
    out = tmp_path / "w.custodes-bundle"
    _run(
        "ledger",
        "prove",
        "--home",
        str(handed.home),
        "--subject-from",
        "-",
        "--with-actor",
        "-o",
        str(out),
        said="subject-zaunkoenig",
    )
    assert b"staff-amsel" in out.read_bytes()
    assert b"select amsel" not in out.read_bytes()


def test_what_is_handed_out_is_recorded(handed: Handed) -> None:
    from hashlib import sha256

    from custodes.home import Home

    with Home.open(handed.home) as home:
        records = [json.loads(own.what) for own in home.vault().own_records()]
    digest = sha256((handed.folder / "x.custodes-bundle").read_bytes()).hexdigest()
    made = next(record for record in records if record.get("sha256") == digest)
    assert made.pop("who").startswith("a-")
    assert made == {"what": "bundle", "about": "subject", "groups": ["what", "where", "why"], "sha256": digest}
    assert records.count({"what": "verify.py", "sha256": sha256(script()).hexdigest()}) == 1


@pytest.mark.parametrize("given", ["key", "hex", "none"])
def test_python_alone_proves_it_in_an_empty_folder(handed: Handed, tmp_path: Path, given: str) -> None:
    (tmp_path / "verify.py").write_bytes(script())
    shutil.copy(handed.folder / "x.custodes-bundle", tmp_path)
    shutil.copy(handed.folder / "policy", tmp_path)
    key = str(handed.folder / "key")
    options = {"key": ["--tag-key", key], "hex": ["--tag-key", Path(key).read_text().strip()], "none": []}[given]
    command = [sys.executable, "-I", "-S", "verify.py", "x.custodes-bundle", "--policy", "policy", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "PROVEN"
    assert any(line.startswith("COMPLETE") and ("about you" in line) is (given != "none") for line in lines)
    assert any("WARNING" in line for line in lines)
    assert sum("ML-DSA-44" in line and "not checked" in line for line in lines) == 2
    numbers = [int(line.split(".")[0]) for line in lines if re.match(r"\d+\. ", line)]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("options", "code"),
    [([], 2), (["--policy", "nowhere"], 2), (["--policy", "policy", "--tag-key", "short"], 2), (["--nonsense"], 2)],
)
def test_verify_py_ends_with_2_where_the_reader_erred(handed: Handed, tmp_path: Path, options: list[str], code: int) -> None:
    (tmp_path / "verify.py").write_bytes(script())
    shutil.copy(handed.folder / "policy", tmp_path)
    command = [sys.executable, "-I", "-S", "verify.py", str(handed.folder / "x.custodes-bundle"), *options]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == code


def test_verify_runs_with_cryptography_alone(handed: Handed, tmp_path: Path) -> None:
    """The environment holds the package's files, cryptography and what cryptography imports; nothing comes from a network."""
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    answer = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], capture_output=True, check=True
    )
    site = Path(os.fsdecode(answer.stdout).strip())
    shutil.copytree(ROOT / "src" / "custodes", site / "custodes", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cryptography", "cffi", "pycparser", "_cffi_backend"):
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            continue  # a newer cryptography does without
        place = Path(found.origin)
        if place.name == "__init__.py":
            shutil.copytree(place.parent, site / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, site)
    arguments = [str(handed.folder / "x.custodes-bundle"), "--policy", str(handed.folder / "policy")]
    command = [python, "-I", "-m", "custodes.verify", *arguments, "--tag-key", str(handed.folder / "key")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "COMPLETE" in done.stdout
    for name in ("click", "msgspec", "duckdb", "pyarrow", "yaml"):
        assert subprocess.run([python, "-I", "-c", f"import {name}"], capture_output=True, check=False).returncode == 1
    assert sysconfig.get_path("platlib") != str(site)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--leaf", "1", "--subject", "s-x"],
        ["--leaf", "1", "--since", "2026-09"],
        ["--subject", "staff"],
        ["--subject", "s-aaaaaaaaaaaaaaaa"],
        ["--leaf", "99999"],
        ["--subject-from", "-", "--since", "September"],
    ],
)
def test_what_cannot_be_proven_is_2_and_writes_nothing(handed: Handed, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "y.custodes-bundle"
    _run("ledger", "prove", "--home", str(handed.home), *options, "-o", str(out), code=2, said="subject-zaunkoenig\n")
    assert not out.exists()


def test_a_bundle_of_one_entry_by_the_subjects_own_key_and_again(handed: Handed, tmp_path: Path) -> None:
    one, two = tmp_path / "one.custodes-bundle", tmp_path / "two.custodes-bundle"
    _run("ledger", "prove", "--home", str(handed.home), "--leaf", "0", "-o", str(one))
    _run("verify", str(one), "--policy", str(handed.folder / "policy"))
    _run("ledger", "prove", "--home", str(handed.home), "--subject-key", str(handed.folder / "key"), "-o", str(two))
    said = _run("verify", str(two), "--policy", str(handed.folder / "policy"), "--tag-key", str(handed.folder / "key"))
    assert "about you" in said
    assert _run("ledger", "fsck", "--home", str(handed.home), "--deep").startswith("ledger")


def test_a_key_file_is_not_overwritten(handed: Handed, tmp_path: Path) -> None:
    before = (handed.folder / "key").read_bytes()
    options = ["--tag-key-out", str(handed.folder / "key"), "-o", str(tmp_path / "z.custodes-bundle")]
    _run("ledger", "prove", "--home", str(handed.home), "--subject-from", "-", *options, code=2, said="subject-zaunkoenig")
    assert (handed.folder / "key").read_bytes() == before
