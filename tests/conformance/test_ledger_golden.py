"""Our own log of sizes 0 to 15, as release 0.1 wrote it: what changes one of its bytes breaks the format."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from custodes.ledger.checkpoint import open_checkpoint
from custodes.ledger.fsck import fsck
from custodes.ledger.leaf import NO_TAG, commitment, epoch_of, tag
from custodes.ledger.log import Log
from custodes.ledger.merkle import EMPTY_ROOT, fold, leaf_hashes
from custodes.ledger.note import Note, Signature, parse_key, verify
from custodes.ledger.segments import frame
from custodes.ledger.signer import Signer

SIGNER = Signer("custodes.example/golden/2026h2", bytes(range(32)), bytes(range(32, 64)))


@pytest.fixture(scope="module")
def golden() -> dict:
    return json.loads((Path(__file__).parent / "ledger_golden_v1.json").read_text())


def row(number: int) -> tuple[int, int, int, bytes, bytes]:
    """The kind, hour, source, tag and commitment that leaf `number` was made of."""
    kind = (1, 1, 2, 3, 4, 5, 6, 7, 9, 10)[number % 10]
    seeds = (bytes([number]) * 32, bytes([number + 64]) * 32, bytes([number + 128]) * 32)[: 3 if number % 2 else 2]
    groups = [None if number >> group & 1 else f'{{"group":{group},"leaf":{number}}}'.encode() for group in range(5)]
    hour = 498_000 + number
    named = tag(bytes([number]) * 32, SIGNER.name, epoch_of(hour)) if kind in {1, 2} and number % 3 else NO_TAG
    return kind, hour, number % 3, named, commitment(groups, seeds)


def test_the_writer_makes_the_same_bytes_today(golden: dict, tmp_path: Path) -> None:
    assert [key.vkey() for key in SIGNER.keys] == golden["vkeys"]
    with Log.create(tmp_path / "log", SIGNER.name, SIGNER) as log:
        for size, known in enumerate(golden["checkpoints"]):
            if size:
                with log.batch() as batch:
                    kind, hour, source, named, commit = row(size - 1)
                    batch.add(kind, hour, source, named, commit)
            made = log.publish()
            line = made.note.decode().split("\n\n")[1].split("\n")[0]
            assert {"size": made.size, "root": made.root.hex(), "ed25519": line} == known
        assert [entry.hex() for entry in log.read(0, 15)] == golden["leaves"]
    data = (tmp_path / "log/seg/000000.log").read_bytes()
    assert sha256(data).hexdigest() == golden["segment_sha256"]
    assert data == frame([bytes.fromhex(leaf) for leaf in golden["leaves"]])
    assert fsck(tmp_path / "log").exit_code == 0


def test_the_reader_still_reads_what_release_0_1_signed(golden: dict) -> None:
    keys = [parse_key(vkey) for vkey in golden["vkeys"]]
    signed, opened = open_checkpoint(golden["last"].encode(), SIGNER.name, keys)
    assert opened.verified == tuple(keys)
    leaves = [bytes.fromhex(leaf) for leaf in golden["leaves"]]
    assert signed.root == fold(leaf_hashes(leaves))
    for known in golden["checkpoints"]:
        size = known["size"]
        root = fold(leaf_hashes(leaves[:size])) if size else EMPTY_ROOT
        assert root.hex() == known["root"]
        _, name, value = known["ed25519"].split(" ")
        note = Note(type(signed)(SIGNER.name, size, root).body(), (_line(name, value),))
        assert verify(note, keys).verified == (keys[0],)


def _line(name: str, value: str) -> Signature:
    from base64 import b64decode

    data = b64decode(value)
    return Signature(name, data[:4], data[4:])
