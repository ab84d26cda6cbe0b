"""Logs that others have made: Tessera's golden log, Sunlight's tiles and checkpoints, entries of Sigstore's Rekor.

`NOT_COVERED` names what lies in the folder of vectors and is not read by this room yet, with the reason; a test keeps it complete.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from custodes.ledger.checkpoint import open_checkpoint, read_unverified
from custodes.ledger.leaf import leaf_hash
from custodes.ledger.log import Log
from custodes.ledger.merkle import EMPTY_ROOT, WIDTH, fold, verify_consistency, verify_inclusion
from custodes.ledger.note import Unsigned, make_key, parse, parse_key, verify
from custodes.ledger.proof import consistency, inclusion, root_of
from custodes.ledger.signer import Signer
from custodes.ledger.static import Folder
from custodes.verify.check import check
from custodes.verify.folder import walk
from custodes.verify.verdict import Verdict

COVERED = (
    "merkle/",
    "note/",
    "checkpoint/",
    "proof/",
    "tiles/",
    "policy/",
    "cosignature/",
    "ed25519/",
    "tessera-log/",
    "rekor/entries.json",
    "sunlight/navigli2025h2/",
    "sunlight/skylight/witness/mirror/000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706/",
    "sunlight/skylight/witness/mirror/mirror.v0.json",
    "sunlight/skylight/witness2/",
    "sunlight/skylight/tree/",
)
NOT_COVERED = {
    "witness/add-checkpoint.json": "a conversation with a witness server, which this release does not have",
    "rekor/a.dsse.staging-rekor-v2.txt.sigstore.json": "a Sigstore bundle with certificates; entries.json has its proof",
    "sunlight/skylight/witness/checkpoint": "a decoy for web servers, no checkpoint",
    "sunlight/skylight/witness/mirror/checkpoint": "a decoy for web servers, no checkpoint",
    "sunlight/skylight/witness/witness.v0.json": "names a key of which the folder holds no signature",
    "sunlight/skylight/witness/000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706/": "a witness's own copy",
    "SOURCES.tsv": "where the vectors come from",
    "LICENSES.txt": "licences of the vectors",
}
"""Parts of covered files that are not run: `signing` of notes.json that adds to existing signatures (we sign checkpoints only),
`new_tiles_sumdb` (tiles of height 10), `timestamps` of cosignatures.json (verified, never shown), and RFC 6962 (0x05) and ECDSA
(0x02) signatures, which are read as lines of unknown keys."""


def test_every_vector_is_covered_or_has_a_reason(shared_data: Path) -> None:
    root = shared_data / "vectors"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    listed = (*COVERED, *NOT_COVERED)
    assert {name for name in names if not name.startswith(listed)} == set()
    assert [prefix for prefix in listed if not any(name.startswith(prefix) for name in names)] == []


@pytest.fixture
def tessera(shared_data: Path) -> Path:
    return shared_data / "vectors" / "tessera-log"


def test_tesseras_log_is_verified_at_every_size(tessera: Path) -> None:
    about = json.loads((tessera / "about.json").read_text())
    key, entries = parse_key(about["vkey"]), about["entries"]
    before = None
    sizes = sorted(int(path.suffix[1:]) for path in tessera.glob("checkpoint.*"))
    assert sizes == list(range(16))
    for size in sizes:
        signed, _ = open_checkpoint((tessera / f"checkpoint.{size}").read_bytes(), about["origin"], [key])
        assert signed.size == size
        assert signed.root == (root_of(Folder(tessera), size) if size else EMPTY_ROOT)
        for index in range(size):
            verify_inclusion(index, size, leaf_hash(entries[index].encode()), inclusion(Folder(tessera), index, size), signed.root)
        if before is not None and before.size:
            proof = consistency(Folder(tessera), before.size, size)
            verify_consistency(before.size, size, before.root, signed.root, proof)
        before = signed


def test_verify_accepts_tesseras_log_and_refuses_a_damaged_copy(tessera: Path, tmp_path: Path) -> None:
    policy = f"log {json.loads((tessera / 'about.json').read_text())['vkey']}\nquorum none\n".encode()
    report = check(tessera, policy)
    assert [claim.verdict for claim in report.claims] == [Verdict.INCLUDED]
    copy = tmp_path / "copy"
    for file in tessera.rglob("*"):
        if file.is_file():
            target = copy / file.relative_to(tessera)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    for name in ("tile/entries/000.p/15", "tile/0/000.p/15", "tile/0/000.p/3", "tile/entries/000.p/7"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[:-1] + bytes((whole[-1] ^ 1,)))
        assert check(copy, policy).exit_code == 3, name
        (copy / name).write_bytes(whole)
    assert check(copy, policy).exit_code == 0


def test_our_writer_makes_tesseras_tiles_and_roots(tessera: Path, tmp_path: Path) -> None:
    entries = [entry.encode() for entry in json.loads((tessera / "about.json").read_text())["entries"]]
    signer = Signer("example.com/log/testdata", bytes(32), bytes(32))
    with Log.create(tmp_path / "log", signer.name, signer) as log:
        for size, entry in enumerate(entries, 1):
            log.append_batch(entry, [0, len(entry)])
            assert log.publish().root == read_unverified((tessera / f"checkpoint.{size}").read_bytes()).root
            assert log.tile(0, 0, size) == (tessera / f"tile/0/000.p/{size}").read_bytes()
            assert (tmp_path / "log/seg/000000.log").read_bytes() == (tessera / f"tile/entries/000.p/{size}").read_bytes()


def test_root_of_a_real_mirror_is_computed_from_its_tiles(shared_data: Path) -> None:
    mirror = shared_data / "vectors/sunlight/skylight/witness/mirror"
    folder = next(path for path in mirror.iterdir() if path.is_dir())
    assert folder.name == sha256(b"rome2026h1.example.org").hexdigest()
    key = parse_key(json.loads((mirror / "mirror.v0.json").read_text())["verifier_keys"][0])
    data = (folder / "checkpoint").read_bytes()
    signed = read_unverified(data)
    assert verify(parse(data), [key]).verified == (key,)
    assert (signed.size, root_of(Folder(folder), 300)) == (300, signed.root)
    for size in (1, 44, 255, 256, 257, 299):
        proof = consistency(Folder(folder), size, 300)
        verify_consistency(size, 300, root_of(Folder(folder), size), signed.root, proof)


def test_tiles_of_a_real_certificate_log_fit_together(shared_data: Path) -> None:
    folder = Folder(shared_data / "vectors/sunlight/navigli2025h2")
    size = 3 * WIDTH + 10
    assert folder.tile(0, 3, 10) == folder.tile(0, 3, WIDTH)[: 10 * 32]

    class WithUpper:
        def tile(self, level: int, index: int, width: int) -> bytes:
            if level == 0:
                return folder.tile(0, index, width)
            return b"".join(fold(folder.tile(0, index * WIDTH + child)) for child in range(width))

    root = root_of(WithUpper(), size)
    for index in (0, 255, 256, 700, size - 1):
        leaf = folder.tile(0, index // WIDTH, min(WIDTH, size - index // WIDTH * WIDTH))[index % WIDTH * 32 :][:32]
        verify_inclusion(index, size, leaf, inclusion(WithUpper(), index, size), root)
    verify_consistency(WIDTH, size, fold(folder.tile(0, 0)), root, consistency(WithUpper(), WIDTH, size))


def test_cosigned_checkpoints_of_real_witnesses(shared_data: Path) -> None:
    root = shared_data / "vectors/sunlight/skylight"
    names = json.loads((root / "witness2/witness.v0.json").read_text())
    keys = [parse_key(vkey) for vkey in names["verifier_keys"]]
    data = next((root / "witness2").glob("*/checkpoint")).read_bytes()
    assert [key.name for key in verify(parse(data), keys).verified] == ["witness2.example.org"]


def test_an_rfc6962_signature_is_a_line_of_an_unknown_key(shared_data: Path) -> None:
    data = (shared_data / "vectors/sunlight/skylight/tree/checkpoint").read_bytes()
    assert read_unverified(data).size == 300
    with pytest.raises(Unsigned):
        verify(parse(data), [make_key("rome2026h1.example.org", 1, bytes(range(32)))])


def _rekor(shared_data: Path) -> Iterator[dict]:
    yield from json.loads((shared_data / "vectors/rekor/entries.json").read_text())["entries"]


def test_entries_of_rekor_are_included(shared_data: Path) -> None:
    seen = []
    for entry in _rekor(shared_data):
        signed = read_unverified(entry["checkpoint"].encode())
        proof = [b64decode(value) for value in entry["proof"]]
        leaf = b64decode(entry["leaf_hash"])
        assert (signed.origin, signed.size, signed.root) == (entry["origin"], entry["size"], b64decode(entry["root"]))
        assert len(parse(signed.note).signatures) == entry["signature_lines"]
        if "entry" in entry:
            assert leaf_hash(b64decode(entry["entry"])) == leaf
        verify_inclusion(entry["index"], signed.size, leaf, proof, signed.root)
        if "vkey" in entry:
            key = parse_key(entry["vkey"])
            assert open_checkpoint(signed.note, entry["origin"], [key])[1].verified == (key,)
        seen.append(entry["log"])
    assert seen == ["rekor-v2", "rekor-v2", "rekor-v1"]


def test_walk_recomputes_the_root_from_bundles_alone(tessera: Path) -> None:
    root, entries, tiles = walk(tessera, 15)
    assert (root, entries) == (read_unverified((tessera / "checkpoint.15").read_bytes()).root, 15)
    assert tiles == 16
