"""The index's answers: a small golden example, and every malformed or forged form is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

import pytest

from custodes.errors import BadInclusion, CustodesError, UnknownVersion
from custodes.ledger import index
from custodes.ledger.index import EMPTY, Empty, IndexEntry, Inner, Leaf, Lookup, Step
from custodes.ledger.note import Malformed

ONE, TWO, THREE, FOUR = (bytes((number,)) * 32 for number in (1, 2, 3, 4))
"""One, two and three are in the trie, at positions (7), (0, 3, 9) and (5, 6)."""
ROOT = bytes.fromhex("8d60d923f888ae767a0428d7a0798e0552dae0936599abc247800a0ec5c6a8f1")
LEAVES = {
    ONE: bytes.fromhex("30a5b8da1d5fd7d70b398afedcc9ab998cbbf21774b45c2c363c126ff1a77375"),
    TWO: bytes.fromhex("de270c3a1f1d532883803720d78ef67f997c80511349021e2d9f3268717d7951"),
    THREE: bytes.fromhex("7bcda9fac8a060ef20918a9a9e28fdd814d5f0d34e2d3fd1a843ff7a17efcbe3"),
}
RIGHT_PREFIX = b"\x80" + bytes(31)
"""Keys begin b7 (one: bits 1 0), 1e (two: bit 0) and fc (three: bits 1 1)."""


def h(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


RIGHT = h(b"\x32\x00\x01", RIGHT_PREFIX, LEAVES[ONE], LEAVES[THREE])
PRESENT_TWO = Lookup(TWO, "2026-11", (0, 3, 9), (Step(0, bytes(32), RIGHT),))
PRESENT_ONE = Lookup(ONE, "2026-11", (7,), (Step(0, bytes(32), LEAVES[TWO]), Step(1, RIGHT_PREFIX, LEAVES[THREE])))
ENTRY = IndexEntry("test.example/log", "2026-11", 10, b"\x07" * 32, ROOT, tags=3, positions=6, unresolved=0, many=1, final=False)


def test_the_golden_example_is_spelled_out_byte_for_byte() -> None:
    assert h(b"\x30", ONE).hex().startswith("b794cc81")
    at = [h(b"\x00", place.to_bytes(8, "big")) for place in (0, 3, 9)]
    listed = h(b"\x01", h(b"\x01", at[0], at[1]), at[2])
    assert h(b"\x31", h(b"\x30", TWO), (3).to_bytes(8, "big"), listed) == LEAVES[TWO]
    assert h(b"\x31", h(b"\x30", ONE), (1).to_bytes(8, "big"), h(b"\x00", (7).to_bytes(8, "big"))) == LEAVES[ONE]
    assert h(b"\x32\x00\x00", bytes(32), LEAVES[TWO], RIGHT) == ROOT
    assert h(b"\x33") == EMPTY
    for lookup in (PRESENT_ONE, PRESENT_TWO):
        index.verify_in_entry(lookup, ENTRY)


def test_absence_is_proven_by_another_key_or_by_a_prefix() -> None:
    # Four goes left and meets two.
    assert h(b"\x30", FOUR)[0] >> 7 == 0
    listed = index.list_root((0, 3, 9))
    index.verify_lookup(Lookup(FOUR, "2026-11", (), (Step(0, bytes(32), RIGHT),), Leaf(h(b"\x30", TWO), 3, listed)), ROOT)
    # A trie of one and three alone: its root has prefix bit 1, and four is not under it.
    index.verify_lookup(Lookup(FOUR, "2026-11", (), (), Inner(1, RIGHT_PREFIX, LEAVES[ONE], LEAVES[THREE])), RIGHT)
    index.verify_lookup(Lookup(FOUR, "2026-11", (), (), Empty()), EMPTY)


FORGED = {
    "a position left out": replace(PRESENT_TWO, positions=(0, 9)),
    "a position added": replace(PRESENT_TWO, positions=(0, 3, 4, 9)),
    "another order": replace(PRESENT_TWO, positions=(3, 0, 9)),
    "a position twice": replace(PRESENT_TWO, positions=(0, 3, 3, 9)),
    "a negative position": replace(PRESENT_TWO, positions=(-1, 3, 9)),
    "a position of nine bytes": replace(PRESENT_TWO, positions=(0, 3, 2**64)),
    "present without positions": replace(PRESENT_TWO, positions=()),
    "another tag": replace(PRESENT_TWO, tag=FOUR),
    "a short tag": replace(PRESENT_TWO, tag=TWO[:31]),
    "another sibling": replace(PRESENT_TWO, path=(Step(0, bytes(32), LEAVES[ONE]),)),
    "no path": replace(PRESENT_TWO, path=()),
    "a path that goes up": replace(PRESENT_ONE, path=PRESENT_ONE.path[::-1]),
    "the same depth twice": replace(PRESENT_ONE, path=(PRESENT_ONE.path[0], PRESENT_ONE.path[0], PRESENT_ONE.path[1])),
    "a depth below zero": replace(PRESENT_TWO, path=(Step(-1, bytes(32), RIGHT),)),
    "a depth beyond the key": replace(PRESENT_TWO, path=(Step(256, h(b"\x30", TWO), RIGHT),)),
    "a foreign prefix": replace(PRESENT_ONE, path=(PRESENT_ONE.path[0], Step(1, bytes(32), LEAVES[THREE]))),
    "a short sibling": replace(PRESENT_TWO, path=(Step(0, bytes(32), RIGHT[:31]),)),
    "absent, ending in its own entry": Lookup(
        TWO, "2026-11", (), PRESENT_TWO.path, Leaf(h(b"\x30", TWO), 3, index.list_root((0, 3, 9)))
    ),
    "absent, ending beside the way": Lookup(
        ONE, "2026-11", (), (Step(0, bytes(32), RIGHT),), Leaf(h(b"\x30", TWO), 3, index.list_root((0, 3, 9)))
    ),
    "absent, ending above its own entry": Lookup(
        ONE, "2026-11", (), PRESENT_ONE.path[:1], Inner(1, RIGHT_PREFIX, LEAVES[ONE], LEAVES[THREE])
    ),
    "absent, ending at the root": Lookup(ONE, "2026-11", (), (), Inner(0, bytes(32), LEAVES[TWO], RIGHT)),
    "absent in an empty trie": Lookup(ONE, "2026-11", (), (), Empty()),
    "an empty trie below a node": Lookup(ONE, "2026-11", (), PRESENT_ONE.path, Empty()),
    "absent with positions": Lookup(ONE, "2026-11", (7,), PRESENT_ONE.path, Empty()),
    "a leaf without positions": Lookup(FOUR, "2026-11", (), PRESENT_TWO.path, Leaf(h(b"\x30", TWO), 0, index.list_root(()))),
    "an inner node with bits beyond its prefix": Lookup(
        FOUR, "2026-11", (), (), Inner(1, b"\xc0" + bytes(31), LEAVES[ONE], LEAVES[THREE])
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_answer_is_refused(name: str) -> None:
    for root in (ROOT, RIGHT, LEAVES[TWO]):
        if name == "no path" and root == LEAVES[TWO]:
            continue  # the trie that holds nothing but two
        with pytest.raises(BadInclusion):
            index.verify_lookup(FORGED[name], root)


def test_an_answer_is_of_the_month_and_size_of_its_entry() -> None:
    with pytest.raises(BadInclusion, match="another month"):
        index.verify_in_entry(PRESENT_ONE, replace(ENTRY, epoch="2026-10"))
    with pytest.raises(BadInclusion, match="beyond"):
        index.verify_in_entry(PRESENT_ONE, replace(ENTRY, size=7))


ENDS = [None, Leaf(ONE, 3, TWO), Inner(5, ONE, TWO, THREE), Empty()]


@pytest.mark.parametrize("end", ENDS, ids=["present", "leaf", "inner", "empty"])
def test_an_answer_comes_back_from_json_as_it_was(end: index.End) -> None:
    lookup = replace(PRESENT_ONE, end=end)
    text = json.dumps(lookup.to_json())
    assert index.parse_lookup(json.loads(text)) == lookup
    assert json.loads(text)["schema"] == "custodes.lookup/1"


def test_the_bytes_of_an_entry_are_fixed() -> None:
    assert ENTRY.to_bytes() == (
        b'{"epoch":"2026-11","final":false,"index":"%b","many":1,"origin":"test.example/log","positions":6,'
        b'"root":"%b","schema":"custodes.index/1","size":10,"tags":3,"unresolved":0}' % (ROOT.hex().encode(), (b"07" * 32))
    )
    assert index.parse_entry(ENTRY.to_bytes()) == ENTRY


def _entries() -> dict[str, bytes]:
    good = ENTRY.to_bytes()

    def change(**fields: object) -> bytes:
        document = {**json.loads(good), **fields}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    return {
        "no JSON": good[:-1],
        "a list": b"[]",
        "deep": b"[" * 60_000,
        "no schema": b"{}",
        "a space": good.replace(b":10", b": 10"),
        "a key more": change(extra=1),
        "a key twice": good.replace(b'"size":10', b'"size":10,"size":10'),
        "an upper-case hash": change(root="AB" * 32),
        "a short hash": change(root="ab" * 31),
        "a fraction": change(tags=3.0),
        "a boolean count": change(tags=True),
        "a negative count": change(tags=-1),
        "a large count": change(tags=2**53),
        "a count as final": change(final=0),
        "another month form": change(epoch="2026-13"),
        "an epoch with a line end": change(epoch="2026-11\n"),
        "no origin": change(origin=""),
        "size zero": change(size=0),
        "more tags than positions": change(tags=7),
        "more unresolved than positions": change(unresolved=7),
        "positions of an empty trie": change(index=EMPTY.hex()),
        "no positions of a full trie": change(tags=0, positions=0),
        "too long": change(origin="x" * 65_536),
    }


@pytest.mark.parametrize("name", _entries())
def test_an_entry_in_any_other_form_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        index.parse_entry(_entries()[name])


def test_unknown_versions_are_refused() -> None:
    with pytest.raises(UnknownVersion):
        index.parse_entry(ENTRY.to_bytes().replace(b"index/1", b"index/2"))
    with pytest.raises(UnknownVersion):
        index.parse_lookup({**PRESENT_ONE.to_json(), "schema": "custodes.lookup/2"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tag", "zz"),
        ("tag", None),
        ("epoch", "2026-1"),
        ("positions", {}),
        ("positions", [1.0]),
        ("positions", [True]),
        ("path", None),
        ("path", [[1, "00"]]),
        ("path", [["1", "00" * 32, "00" * 32]]),
        ("end", "nothing"),
        ("end", {}),
        ("end", {"leaf": ["00" * 32, 1]}),
        ("end", {"leaf": ["00" * 32, 1, "00" * 32], "inner": []}),
        ("end", {"inner": [0, "00" * 32, "00" * 32]}),
        ("more", 1),
    ],
)
def test_a_malformed_answer_is_refused(key: str, value: object) -> None:
    with pytest.raises(CustodesError):
        index.parse_lookup({**PRESENT_ONE.to_json(), key: value})
