"""Exported logs before foreign judges, at every size where a tile or a segment turns, and damaged copies, which they must refuse.

What the judges are, and how to have them, is told in `tests/conformance_go/README.md`. Without them these tests skip; the reference
in `test_ledger_sizes.py` plays their part.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from growing_log import grow

from custodes.ledger.export import export
from custodes.ledger.log import Log
from custodes.ledger.proof import consistency, inclusion
from custodes.ledger.segments import Segments
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
SIZES = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 1_000_000]
SOURCE = Path(__file__).parents[1] / "conformance_go" / "tlog"
LIMIT = 60
"""Seconds for one judgement; an expired limit is a failure, never a skip."""

Judge = Callable[..., subprocess.CompletedProcess]
pytestmark = pytest.mark.xdist_group("go")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Build the judge over golang.org/x/mod, or skip."""
    go = os.environ.get("CUSTODES_GO") or shutil.which("go")
    if go is None:
        pytest.skip("no Go tool-chain is at hand: set CUSTODES_GO, or put go on the path")
    sources = Path(os.environ.get("CUSTODES_GO_SOURCES", "/usr/share/gocode"))
    if not (sources / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("the sources of golang.org/x/mod are not at hand: set CUSTODES_GO_SOURCES to a GOPATH that holds them")
    folder = tmp_path_factory.mktemp("go")
    offline = {"GO111MODULE": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOPROXY": "off", "CGO_ENABLED": "0"}
    places = {"GOPATH": str(sources), "GOCACHE": str(folder / "cache"), "PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(
        [go, "build", "-o", folder / "judge", "."],
        cwd=SOURCE, env=offline | places, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return _judge(folder / "judge")


@pytest.fixture(scope="module")
def large() -> Judge:
    """Return the foreign program that is named in the environment, or skip."""
    program = os.environ.get("CUSTODES_FOREIGN_FSCK")
    if program is None:
        pytest.skip("no foreign fsck is at hand: CUSTODES_FOREIGN_FSCK names none")
    return _judge(Path(program))


def _judge(program: Path) -> Judge:
    def judge(folder: Path, *more: Path) -> subprocess.CompletedProcess:
        command = [program, folder, SIGNER.keys[0].vkey(), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)

    return judge


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One growing log, exported at each size, with the proofs that were made of it there."""
    base = tmp_path_factory.mktemp("exported")
    chance, folders, roots = random.Random("proofs for Go"), {}, {}
    with Log.create(base / "log", SIGNER.name, SIGNER) as log:
        for size in SIZES:
            grow(log, size)
            roots[size] = log.publish().root
            folders[size] = base / str(size)
            export(base / "log", folders[size])
            reader, old = Segments(base / "log"), [one for one in roots if one > 0]
            indexes = {0, size - 1, *(chance.randrange(size) for _ in range(6))} if size else set()
            proofs = {
                "inclusion": [{"index": at, "hashes": _texts(inclusion(reader, at, size))} for at in sorted(indexes)],
                "consistency": [
                    {"size": one, "root": _texts([roots[one]])[0], "hashes": _texts(consistency(reader, one, size))} for one in old
                ],
            }
            (base / f"{size}.json").write_text(json.dumps(proofs))
    return folders


def _texts(hashes: list[bytes]) -> list[str]:
    return [b64encode(one).decode() for one in hashes]


@pytest.mark.parametrize("size", SIZES)
def test_the_small_judge_accepts_our_log_and_our_proofs(small: Judge, exported: dict[int, Path], size: int) -> None:
    folder = exported[size]
    done = small(folder, folder.with_suffix(".json"))
    assert done.returncode == 0, done.stdout + done.stderr
    tiles = [file for file in folder.rglob("tile/[0-9]*/**/*") if file.is_file()]
    proofs = json.loads(folder.with_suffix(".json").read_text())
    count = len(proofs["inclusion"]) + len(proofs["consistency"])
    assert done.stdout == f"{size} entries, {len(tiles)} tiles, {count} proofs accepted\n"


@pytest.mark.parametrize("size", SIZES)
def test_the_large_judge_accepts_our_log(large: Judge, exported: dict[int, Path], size: int) -> None:
    done = large(exported[size])
    assert done.returncode == 0, done.stdout + done.stderr


def _damage(folder: Path, size: int) -> list[tuple[str, Callable[[], None]]]:
    """Return what to damage in a copy, one thing at a time."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    chosen = [folder / "checkpoint"]
    for kind in ("tile/entries/", "tile/0/", "tile/1/", "tile/2/"):
        found = [file for file in files if file.relative_to(folder).as_posix().startswith(kind)]
        chosen += [*found[:1], *found[-1:]]

    def flip(file: Path) -> Callable[[], None]:
        def act() -> None:
            data = bytearray(file.read_bytes())
            data[40 if file.name == "checkpoint" else len(data) - 1] ^= 1
            file.write_bytes(data)

        return act

    def cut(file: Path) -> Callable[[], None]:
        return lambda: file.write_bytes(file.read_bytes()[:-1])

    def other_size() -> None:
        text = (folder / "checkpoint").read_bytes()
        (folder / "checkpoint").write_bytes(text.replace(b"\n%d\n" % size, b"\n%d\n" % (size - 1), 1))

    cases = [(f"flip {file.relative_to(folder)}", flip(file)) for file in dict.fromkeys(chosen)]
    cases += [(f"cut {file.relative_to(folder)}", cut(file)) for file in dict.fromkeys(chosen[1:])]
    cases += [(f"remove {file.relative_to(folder)}", file.unlink) for file in dict.fromkeys(chosen)]
    return [*cases, ("size in the checkpoint", other_size)]


@pytest.mark.parametrize("size", [size for size in SIZES if size])
@pytest.mark.parametrize("judge", ["small", "large"])
def test_a_damaged_copy_is_refused(request: pytest.FixtureRequest, tmp_path: Path, size: int, judge: str) -> None:
    refuse: Judge = request.getfixturevalue(judge)  # skips before anything is exported
    exported = request.getfixturevalue("exported")
    copy = tmp_path / "copy"
    shutil.copytree(exported[size], copy, copy_function=os.link)  # a damaged file is parted from its link first
    assert refuse(copy).returncode == 0
    for name, act in _damage(copy, size):
        before = {
            file: file.read_bytes() for file in copy.rglob("*") if file.is_file() and file.relative_to(copy).as_posix() in name
        }
        before[copy / "checkpoint"] = (copy / "checkpoint").read_bytes()
        for file, data in before.items():
            file.unlink()
            file.write_bytes(data)
        act()
        done = refuse(copy)
        assert done.returncode == 1, (name, done.stdout, done.stderr)
        for file, data in before.items():
            file.write_bytes(data)
    assert refuse(copy).returncode == 0


@pytest.mark.parametrize("size", [257, 65_537])
def test_a_wrong_proof_is_refused(small: Judge, exported: dict[int, Path], tmp_path: Path, size: int) -> None:
    proofs = json.loads(exported[size].with_suffix(".json").read_text())
    other = _texts([bytes(32)])[0]
    for kind, last in (("inclusion", -1), ("consistency", 0)):
        wrong = json.loads(json.dumps(proofs))
        wrong[kind][last]["hashes"][0] = other
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        done = small(exported[size], tmp_path / "wrong.json")
        assert (done.returncode, "refused: " + kind in done.stdout) == (1, True), done.stdout
