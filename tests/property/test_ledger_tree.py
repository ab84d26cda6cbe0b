"""The tree, its tiles and its proofs against a recursion straight from RFC 6962."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from merkle_reference import Reference

from custodes.errors import BadInclusion
from custodes.ledger.export import export
from custodes.ledger.log import Log
from custodes.ledger.merkle import EMPTY_ROOT, fold, fold_levels, verify_consistency, verify_inclusion
from custodes.ledger.proof import consistency, inclusion, root_of
from custodes.ledger.segments import SEGMENT, Segments, bounds, upper_count, upper_position
from custodes.ledger.signer import Signer
from custodes.ledger.static import Folder
from custodes.ledger.tiles import parse_tile_path, tile_path, tiles_of
from custodes.ledger.tree import Tree


def entry(index: int) -> bytes:
    return b"entry %d" % index


REFERENCE = Reference(entry)
mth, path, steps = REFERENCE.mth, REFERENCE.path, REFERENCE.steps


class Whole:
    """Tiles from the reference."""

    def tile(self, level: int, index: int, width: int) -> bytes:
        step = 256**level
        return b"".join(mth(at * step, (at + 1) * step) for at in range(index * 256, index * 256 + width))


SMALL = st.integers(1, 1200)


@given(SMALL, st.data())
def test_inclusion_proofs_are_those_of_the_reference_and_hold(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion(Whole(), index, size)
    assert proof == path(index, 0, size)
    verify_inclusion(index, size, mth(index, index + 1), proof, mth(0, size))


@given(SMALL, st.data())
def test_consistency_proofs_are_those_of_the_reference_and_hold(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    proof = consistency(Whole(), old, size)
    assert proof == steps(old, 0, size)
    verify_consistency(old, size, mth(0, old), mth(0, size), proof)


@given(SMALL, st.data())
def test_a_proof_with_one_flipped_bit_fails(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    for proof, check in (
        (path(index, 0, size), lambda p: verify_inclusion(index, size, mth(index, index + 1), p, mth(0, size))),
        (steps(old, 0, size), lambda p: verify_consistency(old, size, mth(0, old), mth(0, size), p)),
    ):
        if not proof:
            continue
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = bytearray(proof[at])
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadInclusion):
            check([*proof[:at], bytes(flipped), *proof[at + 1 :]])
        with pytest.raises(BadInclusion):
            check(proof[:-1])
        with pytest.raises(BadInclusion):
            check([*proof, bytes(32)])


@given(st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_the_edge_grows_to_the_same_root_in_any_steps(parts: list[int]) -> None:
    tree, size = Tree(), 0
    for part in parts:
        tree.add(b"".join(mth(index, index + 1) for index in range(size, size + part)))
        size += part
        assert tree.root() == mth(0, size)
    assert all(tree.root(earlier) == mth(0, earlier) for earlier in range(1, size, 97))
    assert fold_levels([b""]) == EMPTY_ROOT == mth(0, 0)


@given(st.integers(1, 600))
def test_fold_is_the_root(size: int) -> None:
    assert fold(b"".join(mth(index, index + 1) for index in range(size))) == mth(0, size)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=40), st.booleans())
def test_bounds_find_every_entry_and_never_a_cut_one(entries: list[bytes], leaves: bool) -> None:
    if leaves:
        entries = [entry.ljust(96, b"\x00")[:96] for entry in entries]
    data = b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)
    offsets = bounds(data)
    assert [data[a + 2 : b] for a, b in pairwise(offsets)] == entries
    for cut in range(len(data)):
        assert bounds(data[:cut]) == [at for at in offsets if at <= cut]
    assert bounds(data + bytes(50)) == offsets  # an unwritten tail of zeros is no entry


@given(st.integers(0, 10**15), st.integers(1, 256), st.integers(0, 63))
def test_tile_paths_round_trip(index: int, width: int, level: int) -> None:
    parsed = parse_tile_path(tile_path(level, index, width))
    assert parsed is not None
    assert (parsed.level, parsed.index, parsed.width) == (level, index, width)


@given(st.integers(0, 400_000))
def test_every_full_upper_tile_has_its_own_place(segments: int) -> None:
    levels = tiles_of(segments * SEGMENT)[1:]
    assert upper_count(segments) == sum(full for full, _ in levels)
    assert [upper_position(level, full - 1) < upper_count(segments) for level, (full, _) in enumerate(levels, 1) if full] == [
        True for full, _ in levels if full
    ]


def test_places_of_upper_tiles_are_distinct_and_dense() -> None:
    segments = 600
    places = [
        upper_position(level, index) for level, (full, _) in enumerate(tiles_of(segments * SEGMENT)[1:], 1) for index in range(full)
    ]
    assert sorted(places) == list(range(upper_count(segments)))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Signer, list[int]]:
    """One log, published at each of the sizes where tiles and segments turn."""
    sizes = [1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 65_800, 131_071, 131_072, 131_073]
    folder, signer = tmp_path_factory.mktemp("grown") / "log", Signer("test.example/log", bytes(32), bytes(32))
    with Log.create(folder, signer.name, signer) as log:
        for size in sizes:
            entries = [entry(index) for index in range(log.size, size)]
            offsets = [0]
            for one in entries:
                offsets.append(offsets[-1] + len(one))
            log.append_batch(b"".join(entries), offsets)
            assert log.publish().size == size
            assert log.checkpoint.root == mth(0, size), size
    return folder, signer, sizes


def test_stored_tiles_lead_to_every_published_root(grown: tuple[Path, Signer, list[int]]) -> None:
    folder, _, sizes = grown
    reader = Segments(folder)
    for size in sizes:
        assert root_of(reader, size) == mth(0, size), size
        for index in {0, size // 2, size - 1}:
            assert inclusion(reader, index, size) == path(index, 0, size)
        for old in sizes:
            if old <= size:
                assert consistency(reader, old, size) == steps(old, 0, size)


def test_a_reopened_log_goes_on_with_the_same_tree(grown: tuple[Path, Signer, list[int]]) -> None:
    folder, signer, sizes = grown
    (folder / "edge").unlink()
    with Log.open(folder, signer) as log:
        assert (log.size, root_of(log, log.size)) == (sizes[-1], mth(0, sizes[-1]))
        assert log.read(65_534, 65_539) == [entry(index) for index in range(65_534, 65_539)]
        assert [log.read(size - 1, size) for size in sizes] == [[entry(size - 1)] for size in sizes]


def test_the_exported_folder_leads_to_the_same_root(grown: tuple[Path, Signer, list[int]], tmp_path: Path) -> None:
    folder, _, sizes = grown
    export(folder, tmp_path / "out")
    assert root_of(Folder(tmp_path / "out"), sizes[-1]) == mth(0, sizes[-1])
    files = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    tiles = tiles_of(sizes[-1])
    wanted = {tile_path(level, index) for level, (full, _) in enumerate(tiles) for index in range(full)}
    wanted |= {tile_path(level, full, partial) for level, (full, partial) in enumerate(tiles) if partial}
    wanted |= {path.replace("tile/0/", "tile/entries/") for path in wanted if path.startswith("tile/0/")}
    assert files == wanted | {"checkpoint"}
