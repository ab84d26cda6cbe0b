"""The table of keys in a mapped file behaves as a dictionary, over growth, restarts and lost pages."""

from __future__ import annotations

import random
from hashlib import blake2b
from pathlib import Path

import pytest

from custodes.errors import PartMissing
from custodes.store import table as table_module
from custodes.store.table import Table, look


def key(number: int) -> bytes:
    return blake2b(str(number).encode(), digest_size=16).digest()


def test_keys_stay_known_over_growth_and_restart(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", 0)
    keys = [key(number) for number in range(30_000)]
    for start in range(0, len(keys), 1000):
        table.add(keys[start : start + 1000])
        table.add(keys[start : start + 10])
    table.close()
    again = Table(tmp_path / "t", 0)
    assert len(again) == 30_000
    assert all(again.known(keys))
    assert not any(again.known([key(-number) for number in range(1, 1000)]))
    again.close()


def test_values_are_kept_and_replaced(tmp_path: Path) -> None:
    chance = random.Random(5)
    table, plain = Table(tmp_path / "t", 8), dict[bytes, bytes]()
    for _ in range(20_000):
        item = (key(chance.randrange(9000)), chance.randbytes(8))
        table.put([item])
        plain[item[0]] = item[1]
    assert len(table) == len(plain)
    assert all(table.get(known) == value for known, value in plain.items())
    assert table.get(key(-1)) is None
    table.add([key(-1) + b"eight by", key(1) + b"ignored!"])
    assert table.get(key(-1)) == b"eight by"
    assert table.get(key(1)) == plain.get(key(1), b"ignored!")
    table.close()


def test_covered_falls_back_to_what_was_synced_after_a_power_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(tmp_path / "t", 0)
    table.cover(3)
    table.sync()
    table.cover(5)
    assert Table(tmp_path / "t", 0).covered == 5
    monkeypatch.setattr(table_module, "_boot_id", lambda: bytes(16))
    assert Table(tmp_path / "t", 0).covered == 3


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    Table(tmp_path / "t", 0).close()
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data[:5000])
    with pytest.raises(PartMissing):
        Table(tmp_path / "t", 0)
    (tmp_path / "t").write_bytes(b"CVTX" + data[4:])
    with pytest.raises(PartMissing):
        Table(tmp_path / "t", 0)


def test_a_destroyed_slot_keeps_nothing_and_hides_no_other(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", 8)
    keys = [key(number) for number in range(2000)]
    table.put((one, bytes((number % 256,)) * 8) for number, one in enumerate(keys))
    for one in keys[::2]:
        assert table.destroy(one)
        assert not table.destroy(one)
    assert [table.get(one) is None for one in keys] == [True, False] * 1000
    table.put([(keys[0], b"new life")])
    assert table.get(keys[0]) == b"new life"
    table.close()
    data = (tmp_path / "t").read_bytes()
    assert not [one for one in keys[2::2] if one in data]
    assert all(look(tmp_path / "t", 8, one)[0] for one in keys[1::2])


def test_looking_beside_the_writer_changes_nothing(tmp_path: Path) -> None:
    assert look(tmp_path / "t", 8, key(1)) == (None, 0)
    assert not (tmp_path / "t").exists()
    table = Table(tmp_path / "t", 8)
    table.put([(key(1), b"12345678")])
    table.cover(3)
    before = (tmp_path / "t").read_bytes()
    assert look(tmp_path / "t", 8, key(1)) == (b"12345678", 3)
    assert look(tmp_path / "t", 8, key(2)) == (None, 3)
    assert (tmp_path / "t").read_bytes() == before
    table.close()
    (tmp_path / "t").write_bytes(b"something else")
    with pytest.raises(PartMissing):
        look(tmp_path / "t", 8, key(1))
