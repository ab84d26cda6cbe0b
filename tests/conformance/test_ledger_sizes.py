"""Our log at every size where something turns, against an independent recursion over RFC 6962; damaged copies are refused.

The reference plays the part of the Go judges where they are not at hand (`test_ledger_go.py`).
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from growing_log import grow
from merkle_reference import Reference

from custodes.ledger.export import export
from custodes.ledger.log import Log
from custodes.ledger.merkle import EMPTY_ROOT
from custodes.ledger.proof import consistency, inclusion
from custodes.ledger.segments import Segments
from custodes.ledger.signed import read_signed
from custodes.ledger.signer import Signer
from custodes.ledger.static import Folder
from custodes.verify.check import check

SIGNER = Signer("test.example/log", b"\x01" * 32, b"\x02" * 32)
POLICY = f"log {SIGNER.keys[0].vkey()}\nlog {SIGNER.keys[1].vkey()}\nquorum none\n".encode()
SIZES = [0, 1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 1_000_000]
REFERENCE = Reference(lambda index: b"entry %d" % index)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One log, published at each size and exported at those up to 65,537."""
    base = tmp_path_factory.mktemp("grown")
    with Log.create(base / "log", SIGNER.name, SIGNER) as log:
        for size in SIZES:
            grow(log, size)
            log.publish()
            if size <= 65_537:
                export(base / "log", base / str(size))
    return base


def test_every_published_root_is_that_of_the_reference(grown: Path) -> None:
    records = read_signed(grown / "log/signed")
    assert [record.size for record in records] == SIZES
    for record in records:
        assert record.root == REFERENCE.mth(0, record.size), record.size
    assert records[0].root == EMPTY_ROOT


@pytest.mark.parametrize("size", SIZES[1:])
def test_every_proof_is_that_of_the_reference(grown: Path, size: int) -> None:
    reader, chance = Segments(grown / "log"), random.Random(size)
    for index in sorted({0, size // 2, size - 1, *(chance.randrange(size) for _ in range(20))}):
        assert inclusion(reader, index, size) == REFERENCE.path(index, 0, size)
    for old in [one for one in SIZES if 0 < one <= size]:
        assert consistency(reader, old, size) == REFERENCE.steps(old, 0, size)


@pytest.mark.parametrize("size", [size for size in SIZES if 0 < size <= 65_537])
def test_an_export_holds_exactly_the_tiles_of_the_reference_and_its_damage_is_refused(grown: Path, size: int) -> None:
    folder = grown / str(size)
    reader = Folder(folder)
    for level in range(3):
        count = size >> 8 * level
        for index in {0, count // 256 // 2, (count - 1) // 256} if count else ():
            width, step = min(256, count - index * 256), 256**level
            wanted = b"".join(REFERENCE.mth(at * step, (at + 1) * step) for at in range(index * 256, index * 256 + width))
            assert reader.tile(level, index, width) == wanted
    assert check(folder, POLICY).exit_code == 0
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in {files[0], files[1], files[len(files) // 2], files[-2], files[-1]}:
        data = file.read_bytes()
        for damaged in (data[:-1], data + b"\x00", bytes((data[0] ^ 1,)) + data[1:], data[:-1] + bytes((data[-1] ^ 1,))):
            file.write_bytes(damaged)
            assert check(folder, POLICY).exit_code != 0, file
        file.write_bytes(data)
    assert check(folder, POLICY).exit_code == 0
