"""fsck and verify never say "sound" of a log of which one byte is other than it was written."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from custodes.errors import ConfigError, LedgerRewritten, PartMissing
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.export import export
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG, Kind, encode, leaf_hash
from custodes.ledger.log import Log
from custodes.ledger.proof import Proof, inclusion, parse_proof
from custodes.ledger.segments import Segments, frame
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer
from custodes.verify.check import check
from custodes.verify.verdict import Verdict

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
OTHER = Signer(SIGNER.name, bytes(32), bytes(32))
WITNESS = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
POLICY = f"log {SIGNER.keys[0].vkey()}\nlog {SIGNER.keys[1].vkey()}\nquorum none\n".encode()


def write(folder: Path, parts: list[int], signer: Signer = SIGNER) -> None:
    with Log.create(folder, signer.name, signer) as log:
        for part in parts:
            with log.batch() as batch:
                for number in range(part):
                    batch.add(Kind.ACCESS, 500_000, number % 3, NO_TAG, number.to_bytes(32, "big"))
            log.publish()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "log"
    write(folder, [300, 400, 300])
    return folder


@pytest.fixture(scope="module")
def two_segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "log"
    write(folder, [65_000, 700])
    return folder


def flip(file: Path, at: int, bit: int = 0) -> Callable[[], None]:
    data = file.read_bytes()
    with file.open("r+b") as handle:
        handle.seek(at)
        handle.write(bytes((data[at] ^ 1 << bit,)))

    def back() -> None:
        file.write_bytes(data)

    return back


def test_a_sound_log_is_sound_and_counted(small: Path) -> None:
    report = fsck(small)
    assert (report.exit_code, report.problems, report.unread, report.notes) == (0, [], [], [])
    assert (report.entries, report.signed_entries, report.segments, report.records) == (1000, 1000, 1, 4)
    assert (report.signatures, report.sources, report.origin) == (8, 3, SIGNER.name)


def test_tiles_are_counted_and_progress_told(two_segments: Path) -> None:
    told: list[tuple[int, int]] = []
    report = fsck(two_segments, progress=lambda done, total: told.append((done, total)))
    assert (report.exit_code, report.tiles) == (0, 257)
    assert told == [(65_536, 65_700), (65_700, 65_700)]


@pytest.mark.parametrize("name", ["seg/000000.log", "signed", "checkpoint", "vkey"])
def test_a_flipped_bit_is_found_anywhere_in_a_small_log(small: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(small, tmp_path / "log")
    file = tmp_path / "log" / name
    chance = random.Random(f"flips in {name}")
    places = chance.sample(range(file.stat().st_size), 60)
    for at in sorted({0, file.stat().st_size - 1, *places}):
        back = flip(file, at, chance.randrange(8))
        assert fsck(tmp_path / "log").exit_code == 3, at
        assert check(tmp_path / "log", POLICY).exit_code != 0, at
        back()
    assert fsck(tmp_path / "log").exit_code == check(tmp_path / "log", POLICY).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seg/000000.log", "signed", "checkpoint", "vkey"])
def test_a_flipped_byte_is_found_at_every_place(tmp_path: Path, name: str) -> None:
    write(tmp_path / "log", [30, 20])
    file = tmp_path / "log" / name
    for at in range(file.stat().st_size):
        back = flip(file, at, at % 8)
        assert fsck(tmp_path / "log").exit_code == 3, at
        back()


@pytest.mark.parametrize("name", ["seg/000000.log", "seg/000000.hash", "seg/000001.log", "upper", "edge"])
def test_a_flipped_bit_is_found_in_stored_tiles_and_edge(two_segments: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(two_segments, tmp_path / "log")
    file = tmp_path / "log" / name
    chance = random.Random(f"more flips in {name}")
    for at in chance.sample(range(file.stat().st_size), 5):
        back = flip(file, at, chance.randrange(8))
        report = fsck(tmp_path / "log")
        assert report.exit_code == 3, at
        back()


@pytest.mark.parametrize("name", ["seg/000000.log", "seg/000001.log", "signed", "checkpoint", "vkey"])
def test_a_missing_part_is_broken(two_segments: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(two_segments, tmp_path / "log")
    (tmp_path / "log" / name).unlink()
    assert fsck(tmp_path / "log").exit_code == 3


@pytest.mark.parametrize("name", ["seg/000000.hash", "upper", "edge"])
def test_a_part_that_can_be_made_again_is_a_note_at_most(two_segments: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(two_segments, tmp_path / "log")
    (tmp_path / "log" / name).unlink()
    assert fsck(tmp_path / "log").exit_code == 0


@pytest.mark.parametrize("name", ["seg/000000.log", "signed", "checkpoint", "vkey"])
def test_a_part_that_cannot_be_read_is_two(small: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(small, tmp_path / "log")
    (tmp_path / "log" / name).unlink()
    (tmp_path / "log" / name).mkdir()
    report = fsck(tmp_path / "log")
    assert (report.exit_code, report.problems) == (2, [])
    assert report.unread


def test_a_cut_log_is_broken(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "log")
    os.truncate(tmp_path / "log/seg/000000.log", 98 * 999)
    report = fsck(tmp_path / "log")
    assert report.problems == ["size 1000 was signed, but the log ends at 999"]


def test_an_unsigned_tail_and_its_torn_end_are_notes(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "log")
    with Log.open(tmp_path / "log") as log, log.batch() as batch:
        batch.add(1, 500_000, 1, NO_TAG, bytes(32))
    with (tmp_path / "log/seg/000000.log").open("ab") as file:
        file.write(b"\x00\x60\x01")
    report = fsck(tmp_path / "log")
    assert (report.exit_code, len(report.notes), report.entries) == (0, 2, 1001)


def test_a_gap_in_a_source_is_found_although_all_hashes_fit(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log", SIGNER.name, SIGNER) as log:
        first = encode(1, 1, 5, 0, NO_TAG, bytes(32), bytes(16))
        for entry in (first, encode(1, 1, 5, 2, NO_TAG, bytes(32), leaf_hash(first)[:16])):
            log.append_batch(entry, [0, 96])
        log.publish()
    assert fsck(tmp_path / "log").problems == ["entry 1 does not follow the last one of its source (5)"]


def test_a_rewritten_log_with_fresh_tiles_is_found_by_its_old_checkpoints(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "log")
    reader = Segments(small)
    entries = reader.read(0, 1000)
    entries[5] = encode(1, 500_000, 2, 1, NO_TAG, b"other" * 6 + b"ab", entries[5][80:])
    (tmp_path / "log/seg/000000.log").write_bytes(frame(entries))
    assert any("size 300" in text for text in fsck(tmp_path / "log").problems)


def test_an_exchanged_log_is_sound_in_itself_but_not_for_a_reader(tmp_path: Path) -> None:
    forger = Signer(SIGNER.name, b"\x03" * 32, b"\x04" * 32)
    write(tmp_path / "log", [10], forger)
    assert fsck(tmp_path / "log").exit_code == 0
    report = check(tmp_path / "log", POLICY)
    assert [claim.verdict for claim in report.claims] == [Verdict.UNVERIFIED]
    assert fsck(tmp_path / "log", keys=SIGNER.keys).exit_code == 3


class Contents:
    """A vault that holds the entries themselves."""

    def __init__(self, entries: list[bytes]) -> None:
        self.entries = entries
        self.opened = self.erased = self.expired = 0
        self.problems: list[str] = []

    def check(self, read: Callable[[int, int], list[bytes]], size: int) -> Contents:
        self.opened = min(size, len(self.entries))
        self.problems = [f"{n}" for n, pair in enumerate(zip(read(0, size), self.entries, strict=True)) if pair[0] != pair[1]]
        return self


def test_what_a_vault_says_is_part_of_the_report(small: Path) -> None:
    entries = Segments(small).read(0, 1000)
    sound = fsck(small, Contents(entries))
    assert (sound.exit_code, sound.opened) == (0, 1000)
    assert fsck(small, Contents([*entries[:7], b"", *entries[8:]])).problems == ["vault: 7"]


def test_many_problems_are_counted_not_listed(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log", SIGNER.name, SIGNER) as log:
        log.append_batch(b"\x01" + bytes(range(200)) * 200, list(range(0, 96 * 201, 96)))
        log.append_batch(
            b"".join(encode(1, 1, 5, 9, NO_TAG, bytes(32), bytes(16)) for _ in range(150)), list(range(0, 96 * 151, 96))
        )
        log.publish()
    report = fsck(tmp_path / "log")
    assert len(report.problems) == 100
    assert report.untold >= 50


# — verify —


def test_without_a_policy_nothing_is_proven(small: Path) -> None:
    report = check(small, None)
    assert (report.exit_code, [claim.verdict for claim in report.claims]) == (2, [Verdict.UNVERIFIED])


def test_a_broken_log_is_broken_also_without_a_policy(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "log")
    flip(tmp_path / "log/seg/000000.log", 200)
    assert check(tmp_path / "log", None).exit_code == 3


def test_a_log_is_proven_with_the_readers_key(small: Path) -> None:
    report = check(small, POLICY)
    assert [claim.line() for claim in report.claims] == [f"INCLUDED  all 1000 entries of {SIGNER.name}"]
    assert [step[:2] for step in report.steps] == ["1.", "2.", "3.", "4."]
    assert '"schema": "custodes.verify/1"' in report.as_json()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (b"quorum none\n", "does not list"),
        (f"log {Signer('other.example', bytes(32), bytes(32)).keys[0].vkey()}\nquorum none\n".encode(), "does not list"),
        (f"log {OTHER.keys[0].vkey()}\nquorum none\n".encode(), "has not signed"),
        (f"log {SIGNER.keys[0].vkey()}\nwitness w {WITNESS}\nquorum w\n".encode(), "quorum"),
        (f"log {SIGNER.keys[0].vkey()}\nlog {OTHER.keys[1].vkey()}\nquorum none\n".encode(), "not every key"),
    ],
)
def test_a_policy_that_the_checkpoint_does_not_meet_leaves_it_unverified(small: Path, policy: bytes, reason: str) -> None:
    report = check(small, policy)
    assert (report.exit_code, report.claims[-1].verdict) == (2, Verdict.UNVERIFIED)
    assert reason in report.claims[-1].reason


def test_a_bad_policy_is_an_error_of_the_reader(small: Path) -> None:
    with pytest.raises(ConfigError, match="line 1"):
        check(small, b"nonsense\n")


def test_an_empty_log_proves_nothing(tmp_path: Path) -> None:
    Log.create(tmp_path / "log", SIGNER.name, SIGNER).close()
    assert check(tmp_path / "log", POLICY).exit_code == 2
    assert check(tmp_path, POLICY).exit_code == 2


def test_an_export_is_proven_and_every_damaged_file_found(small: Path, tmp_path: Path) -> None:
    assert export(small, tmp_path / "out").size == 1000
    assert check(tmp_path / "out", POLICY).exit_code == 0
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert len(files) == 4 + 4 + 1 + 1
    chance = random.Random("flips in an export")
    for file in files:
        for at in chance.sample(range(min(file.stat().st_size, 150)), 4):
            back = flip(file, at, chance.randrange(8))
            assert check(tmp_path / "out", POLICY).exit_code in ({2, 3} if file.name == "checkpoint" else {3}), (file, at)
            back()
        data = file.read_bytes()
        file.unlink()
        assert check(tmp_path / "out", POLICY).exit_code == 2, file
        file.write_bytes(data)


def test_an_export_goes_on_where_it_stopped_and_drops_replaced_partial_tiles(tmp_path: Path) -> None:
    with Log.create(tmp_path / "log", SIGNER.name, SIGNER) as log:
        for part in (10, 300, 600):
            with log.batch() as batch:
                for _ in range(part):
                    batch.add(1, 500_000, 1, NO_TAG, bytes(32))
            log.publish()
            export(tmp_path / "log", tmp_path / "out")
            assert check(tmp_path / "out", POLICY).exit_code == 0
    names = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out/tile").rglob("*") if file.is_file()}
    assert {name for name in names if name.startswith("tile/0/")} == {
        "tile/0/000",
        "tile/0/001",
        "tile/0/002",
        "tile/0/003.p/142",
    }


def test_an_export_refuses_foreign_folders_and_damaged_logs(small: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(ConfigError):
        export(small, tmp_path / "full")
    write(tmp_path / "other", [2], Signer("other.example", bytes(32), bytes(32)))
    export(tmp_path / "other", tmp_path / "out")
    with pytest.raises(ConfigError):
        export(small, tmp_path / "out")
    shutil.copytree(small, tmp_path / "log")
    flip(tmp_path / "log/seg/000000.log", 200)
    with pytest.raises(LedgerRewritten):
        export(tmp_path / "log", tmp_path / "fresh")
    assert not (tmp_path / "fresh/checkpoint").exists()


def prove(folder: Path, index: int) -> Proof:
    reader, published = Segments(folder), read_signed(folder / "signed")[-1]
    hashes = inclusion(reader, index, published.size)
    return Proof(index, tuple(hashes), published.note, reader.read(index, index + 1)[0])


def test_a_proof_is_proven_and_a_tampered_one_broken(small: Path, tmp_path: Path) -> None:
    good = prove(small, 617)
    file = tmp_path / "look.tlog-proof"
    file.write_bytes(good.to_bytes())
    assert check(file, POLICY).exit_code == 0
    assert check(file, None).exit_code == 2
    other = prove(small, 618)
    tampered = [
        Proof(616, good.hashes, good.checkpoint, good.extra),
        Proof(617, good.hashes[:-1], good.checkpoint, good.extra),
        Proof(617, other.hashes, good.checkpoint, good.extra),
        Proof(617, good.hashes, good.checkpoint, other.extra),
        Proof(617, good.hashes, good.checkpoint.replace(b"\n1000\n", b"\n999\n"), good.extra),
        Proof(617, good.hashes, good.checkpoint[:-10], good.extra),
        Proof(617, good.hashes, b"", good.extra),
    ]
    for proof in tampered:
        file.write_bytes(proof.to_bytes())
        assert check(file, POLICY).exit_code == 3, proof
    file.write_bytes(Proof(617, good.hashes, good.checkpoint).to_bytes())
    assert check(file, POLICY).exit_code == 2
    forged = Checkpoint(SIGNER.name, 1, leaf_hash(b"never happened"))
    note = Signer(SIGNER.name, b"\x05" * 32, b"\x06" * 32).sign(forged.body()).to_bytes()
    file.write_bytes(Proof(0, (), note, b"never happened").to_bytes())
    assert check(file, POLICY).exit_code == 2
    assert parse_proof(good.to_bytes()) == good


def test_a_path_that_holds_nothing_known_is_two(tmp_path: Path) -> None:
    assert check(tmp_path, POLICY).exit_code == 2
    (tmp_path / "file").write_bytes(b"anything")
    assert check(tmp_path / "file", POLICY).exit_code == 2
    with pytest.raises(PartMissing):
        Segments(tmp_path).read(0, 1)


def test_verify_runs_as_a_module_and_imports_neither_click_nor_a_database(small: Path, tmp_path: Path) -> None:
    (tmp_path / "policy").write_bytes(POLICY)
    code = (
        "import sys, custodes.verify.__main__ as m; code = m.main(sys.argv[1:]);"
        "bad = {'click', 'duckdb', 'pyarrow', 'msgspec', 'jinja2', 'sqlglot', 'sqlite3', 'http', 'fcntl'} & set(sys.modules);"
        "assert not bad, bad; sys.exit(code)"
    )
    for arguments, wanted in (([str(small), "--policy", str(tmp_path / "policy")], 0), ([str(small), "--format", "json"], 2)):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (wanted, "")
    gone = subprocess.run(
        [sys.executable, "-m", "custodes.verify", str(small), "--policy", "/none"], capture_output=True, check=False
    )
    assert gone.returncode == 2
