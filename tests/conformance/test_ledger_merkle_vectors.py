"""518 proof cases of transparency-dev/merkle for our verifiers, and roots and proofs of golang/mod for our builder."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from custodes.errors import BadInclusion
from custodes.ledger.merkle import (
    EMPTY_ROOT,
    WIDTH,
    fold,
    leaf_hashes,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from custodes.ledger.proof import consistency, inclusion, root_of

COUNTS = {"inclusion": 98, "consistency": 98, "subtreeinclusion": 204, "subtreeconsistency": 118}


def _run(name: str, case: dict) -> None:
    proof = [b64decode(value) for value in case["proof"] or []]
    if name == "inclusion":
        verify_inclusion(case["leafIdx"], case["treeSize"], b64decode(case["leafHash"]), proof, b64decode(case["root"]))
    elif name == "subtreeinclusion":
        leaf, root = b64decode(case["leafHash"]), b64decode(case["root"])
        verify_subtree_inclusion(case["leafIdx"], case["start"], case["end"], leaf, proof, root)
    elif name == "consistency":
        verify_consistency(case["size1"], case["size2"], b64decode(case["root1"]), b64decode(case["root2"]), proof)
    else:
        roots = b64decode(case["root1"]), b64decode(case["root2"])
        verify_subtree_consistency(case["start"], case["end"], case["size"], *roots, proof)


@pytest.mark.parametrize("name", COUNTS)
def test_every_foreign_proof_case_gets_the_right_answer(shared_data: Path, name: str) -> None:
    cases = json.loads((shared_data / "vectors" / "merkle" / f"{name}.json").read_text())
    wrong = []
    for case in cases:
        try:
            _run(name, case)
            refused = False
        except BadInclusion:
            refused = True
        if refused != case["wantErr"]:
            wrong.append(case["case"])
    assert (len(cases), wrong) == (COUNTS[name], [])


def test_from_size_zero_nothing_is_consistent() -> None:
    for size in (0, 1, 5):
        with pytest.raises(BadInclusion):
            verify_consistency(0, size, EMPTY_ROOT, EMPTY_ROOT, [])


class Levels:
    """All tiles of the tree over `hashes`, in memory."""

    def __init__(self, hashes: bytes) -> None:
        self.levels = [hashes]
        while len(self.levels[-1]) >= WIDTH * 32:
            below = self.levels[-1]
            step = WIDTH * 32
            self.levels.append(b"".join(fold(below[at : at + step]) for at in range(0, len(below) // step * step, step)))

    def tile(self, level: int, index: int, width: int) -> bytes:
        return self.levels[level][index * WIDTH * 32 :][: width * 32]


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict:
    return json.loads((shared_data / "vectors" / "merkle" / "golden.json").read_text())


@pytest.fixture(scope="module")
def tiles(golden: dict) -> Levels:
    most = max(int(size) for size in golden["roots"])
    assert most == 1_000_000
    return Levels(leaf_hashes([b"leaf %d" % index for index in range(most)]))


def test_our_builder_makes_the_roots_of_golang_mod(golden: dict, tiles: Levels) -> None:
    assert len(golden["roots"]) == 51
    for size, root in golden["roots"].items():
        assert root_of(tiles, int(size)) == b64decode(root), size


def test_our_builder_makes_the_proofs_of_golang_mod(golden: dict, tiles: Levels) -> None:
    assert (len(golden["inclusion"]), len(golden["consistency"])) == (18, 18)
    for case in golden["inclusion"]:
        assert inclusion(tiles, case["index"], case["size"]) == [b64decode(value) for value in case["proof"]]
    for case in golden["consistency"]:
        assert consistency(tiles, case["old"], case["size"]) == [b64decode(value) for value in case["proof"]]
