"""The writer: what is acknowledged is there after a restart, and nothing but an extension of what was signed is ever signed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from custodes.errors import ConfigError, LedgerRewritten, MissingSecret, PartMissing
from custodes.ledger.checkpoint import open_checkpoint
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG, Kind, decode, leaf_hash
from custodes.ledger.log import Log
from custodes.ledger.merkle import EMPTY_ROOT
from custodes.ledger.note import parse, verify
from custodes.ledger.segments import frame
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)


def make(folder: Path, count: int = 0, *, publish: bool = True) -> Log:
    log = Log.create(folder, SIGNER.name, SIGNER)
    if count:
        add(log, count)
        if publish:
            log.publish()
    return log


def add(log: Log, count: int, source: int = 1) -> Sequence[bytes]:
    with log.batch() as batch:
        for _ in range(count):
            batch.add(Kind.ACCESS, 500_000, source, NO_TAG, os.urandom(32))
    return batch.entries


def test_a_new_log_has_signed_its_empty_tree(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        assert (log.size, log.checkpoint.size, log.checkpoint.root, log.origin) == (0, 0, EMPTY_ROOT, SIGNER.name)
    signed, opened = open_checkpoint((tmp_path / "log/checkpoint").read_bytes(), SIGNER.name, SIGNER.keys)
    assert (signed.size, opened.verified) == (0, SIGNER.keys)
    assert (tmp_path / "log/vkey").read_text().splitlines() == [key.vkey() for key in SIGNER.keys]


def test_a_log_is_never_made_over_another(tmp_path: Path) -> None:
    make(tmp_path / "log", 3).close()
    before = {file.name: file.read_bytes() for file in (tmp_path / "log").iterdir() if file.is_file()}
    with pytest.raises(ConfigError):
        Log.create(tmp_path / "log", SIGNER.name, SIGNER)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "log").iterdir() if file.is_file()}
    with pytest.raises(ConfigError):
        Log.create(tmp_path / "other", "another.name", SIGNER)


def test_no_log_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(PartMissing):
        Log.open(tmp_path, SIGNER)
    assert list(tmp_path.iterdir()) == []


def test_entries_are_there_after_a_restart_byte_for_byte(tmp_path: Path) -> None:
    entries = [b"x", b"y" * 65_535, b"z" * 96, b"\x00"]
    offsets = [0, 1, 65_536, 65_632, 65_633]
    with make(tmp_path / "log") as log:
        assert log.append_batch(b"".join(entries), offsets) == 0
        assert log.append_batch(b"", [0]) == 4
        assert log.append_batch(b"abcdef", [2, 4]) == 4
        assert log.size == 5
    assert (tmp_path / "log/seg/000000.log").read_bytes() == frame([*entries, b"cd"])
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.read(0, 5) == [*entries, b"cd"]
        assert log.read(3, 3) == []
        for start, stop in ((0, 6), (3, 2), (-1, 1)):
            with pytest.raises(ValueError, match="no such entries"):
                log.read(start, stop)


@pytest.mark.parametrize("bad", [b"", b"x" * 65_536])
def test_an_entry_that_the_format_cannot_hold_is_refused_and_nothing_written(tmp_path: Path, bad: bytes) -> None:
    with make(tmp_path / "log") as log:
        with pytest.raises(ValueError, match="1 to 65,535"):
            log.append_batch(b"a" + bad, [0, 1, 1 + len(bad)])
        assert log.size == 0
    assert (tmp_path / "log/seg/000000.log").stat().st_size == 0


def test_publish_signs_once_for_one_size(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        first = log.publish()
        assert log.publish() == first
        add(log, 1)
        assert log.publish().size == 4
    assert [record.size for record in read_signed(tmp_path / "log/signed")] == [0, 3, 4]
    assert (tmp_path / "log/signed").read_bytes().endswith((tmp_path / "log/checkpoint").read_bytes() + b"\n")


def test_both_keys_sign_every_checkpoint(tmp_path: Path) -> None:
    with make(tmp_path / "log", 1) as log:
        assert verify(parse(log.checkpoint.note), SIGNER.keys).verified == SIGNER.keys


def test_without_a_key_nothing_is_signed(tmp_path: Path) -> None:
    make(tmp_path / "log", 2, publish=False).close()
    with Log.open(tmp_path / "log") as log:
        add(log, 1)
        with pytest.raises(MissingSecret):
            log.publish()
        assert (log.size, log.checkpoint.size) == (3, 0)


def test_another_key_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "log", 2).close()
    with pytest.raises(ConfigError):
        Log.open(tmp_path / "log", Signer(SIGNER.name, bytes(32), bytes(32)))


def test_each_source_has_a_gap_free_chain_also_across_restarts_and_processes(tmp_path: Path) -> None:
    first, second = make(tmp_path / "log"), Log.open(tmp_path / "log", SIGNER)
    add(first, 2, source=1)
    add(second, 3, source=1)
    add(first, 1, source=9)
    second.close()
    with Log.open(tmp_path / "log", SIGNER) as third:
        add(third, 1, source=1)
    first.publish()
    leaves = [(entry, decode(entry)) for entry in first.read(0, first.size)]
    assert [leaf.seq for _, leaf in leaves if leaf.source == 1] == [0, 1, 2, 3, 4, 5]
    ones = [(entry, leaf) for entry, leaf in leaves if leaf.source == 1]
    assert all(leaf.prev == leaf_hash(before)[:16] for (before, _), (_, leaf) in pairwise(ones))
    first.close()
    assert fsck(tmp_path / "log").exit_code == 0


def test_the_hour_never_falls(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        with log.batch() as batch:
            batch.add(1, 500, 1, NO_TAG, bytes(32))
        with log.batch() as batch:
            batch.add(1, 499, 2, NO_TAG, bytes(32))
        assert [decode(entry).hour for entry in log.read(0, 2)] == [500, 500]


def test_a_batch_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        with pytest.raises(RuntimeError), log.batch() as batch:  # noqa: PT012  # the raise is what is tested
            batch.add(1, 1, 1, NO_TAG, bytes(32))
            raise RuntimeError
        assert log.size == 0
        index, hashed = 0, b""
        with log.batch() as batch:
            index, hashed = batch.add(1, 1, 1, NO_TAG, bytes(32))
        assert (index, hashed) == (0, leaf_hash(log.read(0, 1)[0]))


def test_two_writers_see_each_others_entries_and_checkpoints(tmp_path: Path) -> None:
    with make(tmp_path / "log") as one, Log.open(tmp_path / "log", SIGNER) as two:
        for turn in range(40):
            add((one, two)[turn % 2], 700)
            if turn % 3 == 0:
                assert (two, one)[turn % 2].publish().size == (turn + 1) * 700
        assert one.publish() == two.publish()
        assert one.size == two.size == 28_000
    assert fsck(tmp_path / "log").exit_code == 0


def test_writers_meet_at_the_end_of_a_segment(tmp_path: Path) -> None:
    with make(tmp_path / "log") as one, Log.open(tmp_path / "log", SIGNER) as two:
        add(one, 65_530)
        add(two, 10)
        add(one, 65_540)
        assert two.publish().size == 131_080
        add(two, 1)
        one.publish()
    report = fsck(tmp_path / "log")
    assert (report.exit_code, report.segments, report.entries) == (0, 3, 131_081)
    assert sorted(file.name for file in (tmp_path / "log/seg").iterdir()) == [
        "000000.hash",
        "000000.log",
        "000001.hash",
        "000001.log",
        "000002.log",
    ]


def test_a_torn_tail_is_cut_at_every_byte_and_complete_entries_stay(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        add(log, 2)
    whole = (tmp_path / "log/seg/000000.log").read_bytes()
    assert len(whole) == 5 * 98
    for cut in range(3 * 98, len(whole)):
        shutil.rmtree(tmp_path / "torn", ignore_errors=True)
        shutil.copytree(tmp_path / "log", tmp_path / "torn")
        (tmp_path / "torn/seg/000000.log").write_bytes(whole[:cut])
        with Log.open(tmp_path / "torn", SIGNER) as log:
            assert log.size == cut // 98
            if cut % 98 in {0, 1, 2, 50, 97}:
                add(log, 1)
                assert log.publish().size == cut // 98 + 1
                assert fsck(tmp_path / "torn").exit_code == 0
        assert (tmp_path / "torn/seg/000000.log").read_bytes()[: cut // 98 * 98] == whole[: cut // 98 * 98]


def half_of_an_entry(size: int) -> bytes:
    """Return what a power cut may leave of a JSON entry: its start, and zeros to its end."""
    return b'{"half":'.ljust(size, b"\0")


def test_an_entry_that_ends_in_zeros_is_cut_as_long_as_nobody_has_signed_it(tmp_path: Path) -> None:
    first = make(tmp_path / "log", 3)
    with Log.open(tmp_path / "log", SIGNER) as second:
        second.append_batch(half_of_an_entry(96), [0, 96])
    add(first, 1)
    assert first.publish().size == 4
    first.close()
    assert fsck(tmp_path / "log").exit_code == 0


def test_what_another_has_signed_is_never_cut_although_it_ends_in_zeros(tmp_path: Path) -> None:
    behind = make(tmp_path / "log", 3)
    with Log.open(tmp_path / "log", SIGNER) as other:
        other.append_batch(half_of_an_entry(96), [0, 96])
        signed = other.publish()
    assert (behind.checkpoint.size, signed.size) == (3, 4)
    add(behind, 1)
    assert behind.read(3, 4) == [half_of_an_entry(96)]
    assert behind.publish().size == 5
    behind.close()
    assert fsck(tmp_path / "log").exit_code == 0


@pytest.mark.parametrize("cut", [0, 1, 97, 98, 293])
def test_a_log_shorter_than_what_was_signed_is_refused(tmp_path: Path, cut: int) -> None:
    make(tmp_path / "log", 3).close()
    os.truncate(tmp_path / "log/seg/000000.log", cut)
    with pytest.raises(LedgerRewritten, match="size 3 was signed") as wrong:
        Log.open(tmp_path / "log", SIGNER)
    assert wrong.value.exit_code == 3
    assert (tmp_path / "log/signed").exists()


def test_a_log_with_another_root_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "log", 3).close()
    file = tmp_path / "log/seg/000000.log"
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with pytest.raises(LedgerRewritten, match="not the ones that were signed"):
        Log.open(tmp_path / "log", SIGNER)


def test_old_data_under_new_checkpoints_is_refused(tmp_path: Path) -> None:
    log = make(tmp_path / "log", 70_000)
    shutil.copytree(tmp_path / "log", tmp_path / "backup")
    add(log, 70_000)
    log.publish()
    log.close()
    shutil.copy(tmp_path / "log/signed", tmp_path / "backup/signed")
    with pytest.raises(LedgerRewritten, match="size 140000 was signed"):
        Log.open(tmp_path / "backup", SIGNER)


def test_other_entries_of_the_same_length_are_refused_by_a_running_writer(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        add(log, 2)
        os.truncate(tmp_path / "log/seg/000000.log", 98)
        with pytest.raises(LedgerRewritten):
            add(log, 1)


def test_a_cut_store_of_checkpoints_is_refused_by_a_running_writer(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        os.truncate(tmp_path / "log/signed", len(read_signed(tmp_path / "log/signed")[0].note) + 1)
        add(log, 1)
        with pytest.raises(LedgerRewritten):
            log.publish()


def test_an_old_store_of_checkpoints_under_a_newer_published_one_is_refused(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        old = (tmp_path / "log/signed").read_bytes()
        add(log, 2)
        log.publish()
    (tmp_path / "log/signed").write_bytes(old)
    with pytest.raises(LedgerRewritten, match="size 5 was published"):
        Log.open(tmp_path / "log", SIGNER)
    (tmp_path / "log/checkpoint").write_bytes(b"damaged")
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.checkpoint.size == 3


def test_a_cut_off_record_of_signed_is_dropped_wherever_it_was_cut(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        before = len((tmp_path / "log/signed").read_bytes())
        add(log, 2)
        log.publish()
    whole = (tmp_path / "log/signed").read_bytes()
    for cut in [*range(before, before + 200, 7), *range(before + 200, len(whole), 511), len(whole) - 2, len(whole) - 1]:
        (tmp_path / "log/signed").write_bytes(whole[:cut])
        (tmp_path / "log/checkpoint").unlink()
        with Log.open(tmp_path / "log", SIGNER) as log:
            assert (log.checkpoint.size, log.size) == (3, 5)
            assert (tmp_path / "log/signed").stat().st_size == before
            assert log.publish().size == 5
        assert fsck(tmp_path / "log").exit_code == 0


def test_many_records_are_read_from_the_end(tmp_path: Path) -> None:
    with make(tmp_path / "log") as log:
        for _ in range(60):
            add(log, 1)
            log.publish()
        assert (tmp_path / "log/signed").stat().st_size > 3 * 65_536
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert log.checkpoint.size == 60
        add(log, 1)
        assert log.publish().size == 61
    assert [record.size for record in read_signed(tmp_path / "log/signed")] == list(range(62))


def test_a_lost_checkpoint_file_is_published_again(tmp_path: Path) -> None:
    with make(tmp_path / "log", 3) as log:
        note = log.checkpoint.note
    (tmp_path / "log/checkpoint").unlink()
    Log.open(tmp_path / "log").close()
    assert (tmp_path / "log/checkpoint").read_bytes() == note


@pytest.mark.parametrize(
    "lost", [["edge"], ["upper"], ["seg/000000.hash"], ["seg/000001.hash", "upper", "edge"], ["seg/000002.log"]]
)
def test_whatever_can_be_made_again_is_made_again(tmp_path: Path, lost: list[str]) -> None:
    with make(tmp_path / "log", 131_072) as log:
        note = log.checkpoint.note
    names = ["edge", "upper", "seg/000000.hash", "seg/000001.hash", "seg/000002.log"]
    before = {name: (tmp_path / "log" / name).read_bytes() for name in names}
    for name in lost:
        (tmp_path / "log" / name).unlink()
    with Log.open(tmp_path / "log", SIGNER) as log:
        assert (log.size, log.publish().note) == (131_072, note)
    after = {name: (tmp_path / "log" / name).read_bytes() for name in names if (tmp_path / "log" / name).exists()}
    assert after == before
    assert fsck(tmp_path / "log").exit_code == 0


def test_keys_survive_their_file() -> None:
    again = Signer.from_bytes(SIGNER.to_bytes())
    assert again.keys == SIGNER.keys
    for damaged in (b"", b"custodes.signer/1\nname\nAA==\nAA==\n", SIGNER.to_bytes()[:-1], b"\xff" + SIGNER.to_bytes()):
        with pytest.raises(MissingSecret):
            Signer.from_bytes(damaged)


def test_fresh_keys_differ() -> None:
    assert Signer.generate("a").keys != Signer.generate("a").keys
