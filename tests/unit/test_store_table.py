"""The table of keys in a mapped file behaves as a dictionary, over growth, restarts and lost pages."""

from __future__ import annotations

import random
from hashlib import blake2b
from pathlib import Path

import pytest

from custodes.errors import PartMissing
from custodes.store import table as table_module
from custodes.store.table import Table


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
