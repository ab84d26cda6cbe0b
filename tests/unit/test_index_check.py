"""A mirror computes every root again without a key, and no false root, damaged list or lost file passes for sound."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from custodes.errors import ConfigError
from custodes.ledger.blobs import Blobs
from custodes.ledger.export import export
from custodes.ledger.fsck import fsck
from custodes.ledger.fsck_report import FsckReport
from custodes.ledger.index import IndexEntry
from custodes.ledger.index_check import recompute
from custodes.ledger.index_log import IndexLog, open_index
from custodes.ledger.leaf import MANY_TAG, NO_TAG, Kind, hour_of
from custodes.ledger.log import Log
from custodes.ledger.signer import Signer
from custodes.verify.check import check
from custodes.verify.verdict import Verdict

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
START = datetime(2026, 1, 30, 22, tzinfo=UTC)
TAGS = [bytes((number,)) * 32 for number in range(1, 20)]


def write(folder: Path, looks: int = 45) -> None:
    """Leaves, lists and roots, a look every 26 hours: of three months, if there are 45."""
    (folder / "keys").mkdir(parents=True)
    Log.create(folder / "ledger/log", SIGNER.name, SIGNER).close()
    with Log.open(folder / "ledger/log", SIGNER) as main:
        index = index_of(main, folder)
        index.keep_from = 10
        with index.log:
            for number in range(looks):
                when = START + timedelta(hours=26 * number)
                leaves = [(Kind.ACCESS, tag) for tag in (*TAGS[number % 7 : number % 7 + 3], NO_TAG, MANY_TAG)]
                if number % 9 == 0:
                    digest, _ = Blobs(main.path).put(TAGS[number % 4 :])
                    leaves.append((Kind.BULK, digest))
                add(main, when, leaves)
                index.publish(when)


def index_of(main: Log, folder: Path) -> IndexLog:
    return open_index(main, folder / "ledger/index", folder / "keys/index.key", lambda _: None)


def add(main: Log, when: datetime, leaves: list[tuple[Kind, bytes]]) -> None:
    with main.batch() as batch:
        for kind, tag in leaves:
            batch.add(kind, hour_of(when), 1, tag, os.urandom(32))
    main.publish()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    write(folder / "home")
    export(folder / "home/ledger/log", folder / "public")
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def judge(folder: Path) -> FsckReport:
    return fsck(folder / "home/ledger/log", index=folder / "home/ledger/index")


def policy(folder: Path) -> bytes:
    keys = [*SIGNER.keys, *Signer.from_bytes((folder / "home/keys/index.key").read_bytes()).keys]
    return "".join(f"log {key.vkey()}\n" for key in keys).encode() + b"quorum none\n"


def test_a_sound_index_is_sound_everywhere(made: Path) -> None:
    report = judge(made)
    assert (report.exit_code, report.problems, report.unread) == (0, [], [])
    assert report.index is not None
    assert (report.index.months, report.index.lists) == (3, 4)
    found = recompute(made / "public")
    assert (found.exit_code, found.entries, found.covered) == (0, report.index.entries, report.index.covered)
    for path in (made / "public", made / "home"):
        told = check(path, policy(made))
        assert (told.exit_code, {claim.verdict for claim in told.claims}) == (0, {Verdict.INCLUDED}), told.as_text()
        assert any(f"{found.entries} roots" in claim.what for claim in told.claims)


def test_the_index_log_by_itself_is_a_log_like_any_other(made: Path) -> None:
    for path in (made / "home/ledger/index", made / "public/index"):
        told = check(path, policy(made))
        assert (told.exit_code, {claim.verdict for claim in told.claims}) == (0, {Verdict.INCLUDED}), told.as_text()


def test_a_reader_whose_policy_does_not_list_the_index_believes_the_log_alone(made: Path) -> None:
    only = "".join(f"log {key.vkey()}\n" for key in SIGNER.keys).encode() + b"quorum none\n"
    for path in (made / "public", made / "home"):
        told = check(path, only)
        assert told.exit_code == 2
        assert {claim.verdict for claim in told.claims} == {Verdict.INCLUDED, Verdict.UNVERIFIED}


def test_a_mirror_without_keys_needs_no_more_than_the_folder(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "public", tmp_path / "mirror")
    names = {file.name for file in (tmp_path / "mirror").rglob("*") if file.is_file()}
    assert not [name for name in names if name.endswith(".key")]
    assert recompute(tmp_path / "mirror").exit_code == 0
    shutil.rmtree(tmp_path / "mirror/blobs")
    found = recompute(tmp_path / "mirror")
    assert (found.exit_code, found.problems) == (2, [])
    assert check(tmp_path / "mirror", policy(made)).exit_code == 2


def test_export_goes_on_with_index_and_lists(copy: Path) -> None:
    with Log.open(copy / "home/ledger/log", SIGNER) as main:
        index = index_of(main, copy / "home")
        with index.log:
            when = START + timedelta(days=70)
            digest, _ = Blobs(main.path).put(TAGS[:2])
            add(main, when, [(Kind.ACCESS, MANY_TAG), (Kind.BULK, digest)])
            index.publish(when)
    before = recompute(copy / "public").entries
    export(copy / "home/ledger/log", copy / "public")
    found = recompute(copy / "public")
    assert (found.exit_code, found.lists) == (0, 5)
    assert found.entries > before
    with pytest.raises(ConfigError):
        export(copy / "home/ledger/index", copy / "public")


def rewrite(folder: Path, change: Callable[[IndexEntry], IndexEntry], place: int) -> None:
    """Do what an operator can: sign another entry in an index log of the same key, with all that follows from it."""
    signer = Signer.from_bytes((folder / "home/keys/index.key").read_bytes())
    path = folder / "home/ledger/index"
    with Log.open(folder / "home/ledger/log", SIGNER) as main:
        index = index_of(main, folder / "home")
        with index.log:
            entries = index.entries()
    entries[place] = change(entries[place])
    shutil.rmtree(path)
    with Log.create(path, signer.name, signer) as log:
        with log.batch() as batch:
            for entry in entries:
                batch.add_entry(entry.to_bytes())
        log.publish()


LIES: dict[str, Callable[[IndexEntry], IndexEntry]] = {
    "another trie": lambda entry: replace(entry, index=b"\x05" * 32),
    "fewer without a name": lambda entry: replace(entry, unresolved=entry.unresolved - 1),
    "fewer bulk accesses": lambda entry: replace(entry, many=entry.many - 1),
    "more tags": lambda entry: replace(entry, tags=entry.tags + 1),
    "more positions": lambda entry: replace(entry, positions=entry.positions + 1),
    "another month": lambda entry: replace(entry, epoch="2025-12"),
    "another size": lambda entry: replace(entry, size=entry.size + 1),
    "a size that was never published": lambda entry: replace(entry, size=10**6),
    "another root": lambda entry: replace(entry, root=bytes(32)),
    "another log": lambda entry: replace(entry, origin="other.example/log"),
    "final or not": lambda entry: replace(entry, final=not entry.final),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_false_root_is_found_by_fsck_and_by_every_mirror(copy: Path, name: str, place: int) -> None:
    rewrite(copy, LIES[name], place)
    report = judge(copy)
    assert report.exit_code == 3
    assert all(text.startswith("index: ") for text in report.problems)
    shutil.rmtree(copy / "public")
    export(copy / "home/ledger/log", copy / "public")
    assert recompute(copy / "public").exit_code == 3
    assert check(copy / "public", policy(copy)).exit_code == 3
    assert check(copy / "home", policy(copy)).exit_code == 3


def test_a_leaf_after_the_final_root_of_its_month_is_found(copy: Path) -> None:
    with Log.open(copy / "home/ledger/log", SIGNER) as main:
        old = main.read(0, 1)[0]  # a leaf of January, appended again although March has begun
        main.append_batch(old, [0, len(old)])
        main.publish()
    report = judge(copy)
    assert "index: a leaf below" in " ".join(report.problems)


FILES = [
    "log/blobs",
    "index/seg/000000.log",
    "index/signed",
    "index/checkpoint",
    "index/vkey",
    "index/tries",
]


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_byte_of_index_and_lists_is_found(copy: Path, name: str) -> None:
    path = copy / "home/ledger" / name
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    assert files
    chance = random.Random(name)
    for file in files:
        good = file.read_bytes()
        for at in {0, len(good) - 1, *chance.sample(range(len(good)), min(len(good), 6))}:
            data = bytearray(good)
            data[at] ^= 1 << chance.randrange(8)
            file.write_bytes(data)
            assert judge(copy).exit_code == 3, (file.name, at)
        file.write_bytes(good)
        file.unlink()
        if "tries" not in name:
            assert judge(copy).exit_code == 3, file.name
        file.write_bytes(good)
    assert judge(copy).exit_code == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_byte_of_the_index_changed_once_is_found(tmp_path: Path) -> None:
    write(tmp_path / "home", 3)
    assert judge(tmp_path).exit_code == 0
    paths = [tmp_path / "home/ledger" / name for name in FILES]
    for file in [file for path in paths for file in (path.iterdir() if path.is_dir() else [path])]:
        good = file.read_bytes()
        for at in range(len(good)):
            data = bytearray(good)
            data[at] ^= 1 << at % 8
            file.write_bytes(data)
            assert judge(tmp_path).exit_code == 3, (file.name, at)
        file.write_bytes(good)


def test_an_exported_folder_with_a_changed_byte_is_never_proven(copy: Path) -> None:
    chance = random.Random(3)
    files = [file for file in (copy / "public").rglob("*") if file.is_file() and "checkpoint" not in file.name]
    for file in chance.sample(files, min(len(files), 12)):
        good = file.read_bytes()
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 4
        file.write_bytes(data)
        assert check(copy / "public", policy(copy)).exit_code in {2, 3}, file
        file.write_bytes(good)


def test_a_list_that_a_crash_left_without_its_leaf_is_a_note(copy: Path) -> None:
    Blobs(copy / "home/ledger/log").put([b"\x77" * 32])
    report = judge(copy)
    assert (report.exit_code, report.problems) == (0, [])
    assert any("named by no signed leaf" in note for note in report.notes)


def test_an_index_behind_the_log_is_a_note(copy: Path) -> None:
    with Log.open(copy / "home/ledger/log", SIGNER) as main:
        add(main, START + timedelta(days=60), [(Kind.ACCESS, TAGS[0])])
    report = judge(copy)
    assert (report.exit_code, report.problems) == (0, [])
    assert any("under no root of the index yet" in note for note in report.notes)


def test_an_index_of_another_log_is_refused(copy: Path, tmp_path: Path) -> None:
    other = Signer("other.example/log", bytes(32), bytes(32))
    Log.create(tmp_path / "other/log", other.name, other).close()
    report = fsck(tmp_path / "other/log", index=copy / "home/ledger/index")
    assert report.exit_code == 3
    shutil.rmtree(copy / "public/index")
    export(tmp_path / "other/log", copy / "public/index")
    assert recompute(copy / "public").exit_code == 3
