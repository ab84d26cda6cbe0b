"""The index log: what is published when, that it is complete for every tag, and that nothing of it changes on a second look."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from custodes.errors import BadInclusion, LedgerRewritten, PartMissing
from custodes.ledger.blobs import Blobs
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.index import EMPTY, IndexEntry, parse_entry, verify_in_entry
from custodes.ledger.index_log import TRIES, IndexLog, open_index
from custodes.ledger.leaf import MANY_TAG, NO_TAG, Kind, decode, epoch_of, hour_of
from custodes.ledger.log import Log
from custodes.ledger.note import Key
from custodes.ledger.segments import read_bytes
from custodes.ledger.signer import Signer

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
START = datetime(2026, 1, 30, 22, tzinfo=UTC)
TAGS = [bytes((number,)) * 32 for number in range(1, 30)]


@contextmanager
def opened(folder: Path) -> Iterator[IndexLog]:
    if not (folder / "log").exists():
        (folder / "keys").mkdir(parents=True)
        Log.create(folder / "log", SIGNER.name, SIGNER).close()
    with Log.open(folder / "log", SIGNER) as main:
        index = open_index(main, folder / "index", folder / "keys/index.key", lambda _: None)
        with index.log:
            yield index


def add(main: Log, when: datetime, *leaves: tuple[int, bytes]) -> None:
    with main.batch() as batch:
        for kind, tag in leaves:
            batch.add(kind, hour_of(when), 1, tag, os.urandom(32))
    main.publish()


def look(main: Log, when: datetime, *tags: bytes) -> None:
    add(main, when, *((Kind.ACCESS, tag) for tag in tags))


def bulk(main: Log, when: datetime, tags: list[bytes]) -> None:
    digest, _ = Blobs(main.path).put(tags)
    add(main, when, (Kind.ACCESS, MANY_TAG), (Kind.BULK, digest))


def naive(main: Log, size: int, epoch: str, tag: bytes) -> list[int]:
    """What the definition says, leaf by leaf."""
    found = []
    for at, entry in enumerate(main.read(0, size)):
        leaf = decode(entry)
        if epoch_of(leaf.hour) != epoch:
            continue
        if leaf.kind in {Kind.ACCESS, Kind.TOUCH} and leaf.tag == tag != MANY_TAG:
            found.append(at)
        if leaf.kind == Kind.BULK and tag in Blobs(main.path).read(leaf.tag):
            found.append(at)
    return found


def check_all(index: IndexLog, epochs: list[str]) -> None:
    for epoch in epochs:
        entry = [one for one in index.entries() if one.epoch == epoch][-1]
        for tag in [*TAGS, NO_TAG, MANY_TAG, b"\x99" * 32]:
            lookup, place = index.lookup(tag, epoch)
            assert index.entries()[place] == entry
            assert list(lookup.positions) == naive(index.main, entry.size, epoch, tag)
            verify_in_entry(lookup, entry)


def test_a_new_log_has_an_index_without_entries(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        assert index.log.origin == "test.example/log/index"
        assert index.publish(START) == []
        assert index.entries() == []
        with pytest.raises(PartMissing):
            index.lookup(TAGS[0], "2026-01")


def test_open_month_then_final_root_then_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, TAGS[0], NO_TAG, TAGS[1], TAGS[0], NO_TAG)
        add(index.main, START, (Kind.ACCESS, MANY_TAG), (Kind.TOUCH, TAGS[2]), (Kind.TOUCH, TAGS[3]), (Kind.DECISION, NO_TAG))
        first = index.publish(START)
        assert [(e.epoch, e.size, e.final, e.tags, e.positions, e.unresolved, e.many) for e in first] == [
            ("2026-01", 9, False, 5, 7, 2, 1)
        ]
        assert first[0].root == index.main.checkpoint.root
        assert first[0].origin == SIGNER.name
        check_all(index, ["2026-01"])
        # The same day, with new leaves: not due, unless asked for.
        look(index.main, START + timedelta(hours=1), TAGS[4])
        assert index.publish(START + timedelta(hours=1)) == []
        assert [e.size for e in index.publish(START + timedelta(hours=1), force=True)] == [10]
        assert index.publish(START + timedelta(hours=1), force=True) == []
        # The next day without new leaves: nothing to cover.
        assert index.publish(START + timedelta(days=1)) == []
        # A leaf of March ends January, and February, in which there is none.
        look(index.main, START + timedelta(days=40), TAGS[0])
        done = index.publish(START + timedelta(days=40))
        assert [(e.epoch, e.size, e.final, e.positions) for e in done] == [
            ("2026-01", 11, True, 8),
            ("2026-02", 11, True, 0),
            ("2026-03", 11, False, 1),
        ]
        assert done[1].index == EMPTY
        check_all(index, ["2026-01", "2026-02", "2026-03"])
        assert index.publish(START + timedelta(days=40), force=True) == []
    with opened(tmp_path) as index:
        assert index.publish(START + timedelta(days=40), force=True) == []
        check_all(index, ["2026-01", "2026-02", "2026-03"])


def test_a_day_brings_one_root(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        counts = []
        for hour in range(72):
            when = datetime(2026, 5, 4, tzinfo=UTC) + timedelta(hours=hour)
            look(index.main, when, TAGS[hour % 9])
            counts.append(len(index.publish(when)))
        assert [at for at, count in enumerate(counts) if count] == [0, 24, 48]
        check_all(index, ["2026-05"])


def test_a_month_ends_with_the_first_leaf_of_the_next_also_when_nobody_looks(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        assert index.month_to_close(START) is None
        look(index.main, START, TAGS[0])
        assert index.month_to_close(START + timedelta(hours=25)) is None
        later = datetime(2026, 2, 1, tzinfo=UTC)
        assert index.month_to_close(later) == "2026-01"
        add(index.main, later, (Kind.HEARTBEAT, NO_TAG))
        assert index.month_to_close(later) is None
        assert [(e.epoch, e.final) for e in index.publish(later)] == [("2026-01", True), ("2026-02", False)]
        assert index.lookup(TAGS[0], "2026-02")[0].positions == ()


def test_a_clock_that_goes_back_reopens_no_month(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, TAGS[0])
        look(index.main, START + timedelta(days=10), TAGS[0])
        index.publish(START + timedelta(days=10))
        look(index.main, START, TAGS[0])  # the clock says January again; the leaf says February
        assert index.publish(START) == []
        index.publish(START, force=True)
        check_all(index, ["2026-01", "2026-02"])
        assert index.lookup(TAGS[0], "2026-02")[0].positions == (1, 2)


def test_bulk_lists_count_for_everybody_in_them(tmp_path: Path) -> None:
    crowd = [number.to_bytes(32, "big") for number in range(1, 1_200)]
    with opened(tmp_path) as index:
        look(index.main, START, crowd[5], NO_TAG, TAGS[0])
        bulk(index.main, START, crowd)
        look(index.main, START, crowd[5])
        bulk(index.main, START, [*crowd[:3], TAGS[0]])
        (entry,) = index.publish(START)
        assert (entry.tags, entry.positions, entry.many, entry.unresolved) == (1_201, 3 + 1_199 + 1 + 4, 2, 1)
        assert index.lookup(crowd[5], "2026-01")[0].positions == (0, 4, 5)
        assert index.lookup(crowd[0], "2026-01")[0].positions == (4, 7)
        assert index.lookup(TAGS[0], "2026-01")[0].positions == (2, 7)
        check_all(index, ["2026-01"])


def test_random_growth_over_months_stays_complete(tmp_path: Path) -> None:
    chance = random.Random(7)
    when = START
    with opened(tmp_path) as index:
        for _ in range(60):
            when += timedelta(hours=chance.choice([0, 1, 30, 300]))
            for _ in range(chance.randrange(4)):
                look(index.main, when, *chance.choices([*TAGS, NO_TAG, MANY_TAG], k=chance.randrange(1, 20)))
                if chance.random() < 0.2:
                    bulk(index.main, when, chance.sample(TAGS, 7))
            index.publish(when, force=chance.random() < 0.3)
        entries = index.entries()
        assert [e.epoch for e in entries if e.final] == sorted({e.epoch for e in entries if e.final})
        assert [e.size for e in entries] == sorted(e.size for e in entries)
        assert len({(e.epoch, e.size) for e in entries}) == len(entries)
        check_all(index, sorted({e.epoch for e in entries}))


def test_entries_across_segments(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        with index.main.batch() as batch:
            for number in range(140_000):
                day = START + timedelta(minutes=number // 20)
                batch.add(Kind.ACCESS, hour_of(day), 1, TAGS[number % 29] if number % 1000 == 0 else NO_TAG, bytes(32))
        index.main.publish()
        done = index.publish(START + timedelta(days=5))
        assert [(e.epoch, e.final) for e in done] == [("2026-01", True), ("2026-02", False)]
        assert done[0].positions + done[1].positions == 140_000
        tag = TAGS[100_000 % 29]
        assert [*index.lookup(tag, "2026-01")[0].positions, *index.lookup(tag, "2026-02")[0].positions] == [
            at for at in range(0, 140_000, 1000) if TAGS[at % 29] == tag
        ]


def test_index_omission(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *(TAGS * 3))
        (entry,) = index.publish(START)
        for tag in TAGS:
            lookup, _ = index.lookup(tag, "2026-01")
            assert len(lookup.positions) == 3
            for at in range(3):
                short = lookup.positions[:at] + lookup.positions[at + 1 :]
                forged = type(lookup)(tag, lookup.epoch, short, lookup.path, lookup.end)
                with pytest.raises(BadInclusion):
                    verify_in_entry(forged, entry)


@pytest.mark.parametrize("count", [0, 1, 29])
def test_index_absence(tmp_path: Path, count: int) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *(TAGS[:count] or [MANY_TAG]))
        (entry,) = index.publish(START)
        for number in range(200, 256):
            lookup, _ = index.lookup(bytes((number,)) * 32, "2026-01")
            assert (lookup.positions, lookup.end is None) == ((), False)
            verify_in_entry(lookup, entry)
            for tag in TAGS[:count]:
                with pytest.raises(BadInclusion):
                    verify_in_entry(type(lookup)(tag, lookup.epoch, (), lookup.path, lookup.end), entry)


def test_a_kill_between_the_logs_publishing_leaves_nothing_to_mend(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *TAGS)
        # 1. The main log has published, the index knows nothing of it.
    with opened(tmp_path) as index:
        (entry,) = index.publish(START)
        # 2. An entry is in the index log, but was never signed: nobody is answered from it, and it is not appended twice.
        look(index.main, START, TAGS[0])
        fresh = parse_entry(entry.to_bytes())
        fresh = IndexEntry(**{**{name: getattr(fresh, name) for name in fresh.__slots__}, **_at(index)})
        with index.log.batch() as batch:
            batch.add_entry(fresh.to_bytes())
    with opened(tmp_path) as index:
        assert [e.size for e in index.entries()] == [29]
        assert index.publish(START, force=True) == []
        assert [e.size for e in index.entries()] == [29, 30]
        check_all(index, ["2026-01"])


def _at(index: IndexLog) -> dict[str, object]:
    from custodes.ledger.trie import PAIR, build

    point = index.main.checkpoint
    trie = build([b"".join(PAIR.pack(decode(e).tag, at) for at, e in enumerate(index.main.read(0, point.size)))])
    return {"size": point.size, "root": point.root, "index": trie.root, "tags": trie.tags, "positions": trie.positions}


def test_two_processes_publish_one_root(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *TAGS)
        with opened(tmp_path) as other:
            assert len(other.publish(START)) == 1
            assert index.publish(START) == []
            assert index.entries() == other.entries()
            look(index.main, START, TAGS[0])
            assert len(index.publish(START, force=True)) == 1
            other.publish(START, force=True)
            assert index.entries() == other.entries()


def test_an_index_log_that_is_gone_is_not_begun_again(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *TAGS)
        index.publish(START)
    (tmp_path / "index").rename(tmp_path / "hidden")
    with pytest.raises(PartMissing), opened(tmp_path):
        pass
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("left", ["key", "log"])
def test_making_it_goes_on_after_a_crash_with_the_same_key(tmp_path: Path, left: str) -> None:
    told: list[object] = []
    with opened(tmp_path):
        pass
    key = read_bytes(tmp_path / "keys/index.key")
    (tmp_path / "keys/index.key").rename(tmp_path / "keys/index.key.making")
    if left == "key":
        (tmp_path / "index").rename(tmp_path / "hidden")
    with Log.open(tmp_path / "log", SIGNER) as main:
        index = open_index(main, tmp_path / "index", tmp_path / "keys/index.key", told.append)
        index.log.close()
    assert read_bytes(tmp_path / "keys/index.key") == key
    assert not (tmp_path / "keys/index.key.making").exists()
    assert len(told) == (left == "key")


def test_a_published_checkpoint_that_was_never_signed_is_not_indexed(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *TAGS)
        other = Signer(SIGNER.name, bytes(32), bytes(32))
        with Log.create(tmp_path / "other", SIGNER.name, other) as foreign:
            look(foreign, START, *TAGS)
        (tmp_path / "log/checkpoint").write_bytes((tmp_path / "other/checkpoint").read_bytes())
        with pytest.raises(LedgerRewritten):
            index.publish(START)


def test_a_stored_trie_is_used_and_a_damaged_one_is_built_again(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        index.keep_from = 10
        look(index.main, START, *(TAGS * 2))
        look(index.main, START + timedelta(days=5), TAGS[0])
        index.publish(START + timedelta(days=5))
    file = tmp_path / "index" / TRIES / "2026-01.trie"
    good = file.read_bytes()
    assert not (file.parent / "2026-02.trie").exists()
    for at in (0, 20, 40, 75, 40 + 80 * 3, len(good) - 1, None):
        data = bytearray(good)
        if at is not None:
            data[at] ^= 1
        file.write_bytes(data)
        with opened(tmp_path) as index:
            check_all(index, ["2026-01"])
        assert at is None or file.read_bytes() in {good, bytes(data)}
    file.unlink()
    with opened(tmp_path) as index:
        index.keep_from = 10
        check_all(index, ["2026-01"])
    assert file.read_bytes() == good


class Nobody:
    """Witnesses who do not answer."""

    keys: tuple[Key, ...] = ()

    def before_signing(self, log: Log) -> None:
        del log

    def cosign(self, log: Log, point: Checkpoint) -> None:
        del log, point


def test_nobody_is_answered_from_a_root_that_witnesses_have_not_seen(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *TAGS)
        assert len(index.publish(START, witnesses=Nobody())) == 1
        assert index.log.checkpoint.size == 1
        assert index.entries() == []
        with pytest.raises(PartMissing):
            index.lookup(TAGS[0], "2026-01")
        assert index.publish(START, force=True) == []
        assert len(index.entries()) == 1
        check_all(index, ["2026-01"])


def test_a_root_covers_nothing_of_the_log_that_witnesses_have_not_seen(tmp_path: Path) -> None:
    with opened(tmp_path) as index:
        look(index.main, START, *TAGS)
        with index.main.batch() as batch:
            batch.add(Kind.ACCESS, hour_of(START), 1, TAGS[0], bytes(32))
        index.main.publish(Nobody())
        assert index.main.checkpoint.size == 30
        assert [entry.size for entry in index.publish(START)] == [29]
