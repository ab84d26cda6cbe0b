"""The trie against a naive recursive reference, and: no answer other than the true one can be made from its own nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.errors import BadInclusion, LedgerRewritten
from custodes.ledger import trie
from custodes.ledger.index import EMPTY, Empty, End, Inner, Leaf, Lookup, Step, key_of, verify_lookup
from custodes.ledger.leaf import NO_TAG

Pairs = list[tuple[bytes, int]]


# The reference: bits as text, lists by definition, nothing shared with the code under test.


def h(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


def tree(entries: list[bytes]) -> bytes:
    if len(entries) == 1:
        return h(b"\x00", entries[0])
    half = 1
    while half * 2 < len(entries):
        half *= 2
    return h(b"\x01", tree(entries[:half]), tree(entries[half:]))


def naive(table: dict[bytes, list[int]]) -> bytes:
    rows = {f"{int.from_bytes(h(b'0', tag), 'big'):0256b}": sorted(places) for tag, places in table.items()}
    return node(rows) if rows else h(b"3")


def node(rows: dict[str, list[int]]) -> bytes:
    keys = list(rows)
    if len(keys) == 1:
        places = rows[keys[0]]
        listed = tree([at.to_bytes(8, "big") for at in places])
        return h(b"1", int(keys[0], 2).to_bytes(32, "big"), len(places).to_bytes(8, "big"), listed)
    depth = 0
    while len({key[depth] for key in keys}) == 1:
        depth += 1
    left, right = ({key: rows[key] for key in keys if key[depth] == bit} for bit in "01")
    prefix = int(keys[0][:depth].ljust(256, "0"), 2).to_bytes(32, "big")
    return h(b"2", depth.to_bytes(2, "big"), prefix, node(left), node(right))


# What is tried


def tag(number: int) -> bytes:
    return blake2b(number.to_bytes(4, "big"), digest_size=32).digest()


TAGS = st.one_of(st.integers(0, 400).map(tag), st.just(NO_TAG), st.binary(min_size=32, max_size=32))


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    tags = draw(st.lists(TAGS, max_size=draw(st.sampled_from([0, 1, 2, 8, 300]))))
    steps = draw(st.lists(st.integers(0, 3), min_size=len(tags), max_size=len(tags)))
    found: Pairs = []
    at, seen = draw(st.sampled_from([0, 7, 2**40])), set()
    for one, step in zip(tags, steps, strict=True):
        at += step  # the same position again: several tags of a bulk leaf
        if (one, at) not in seen:
            seen.add((one, at))
            found.append((one, at))
    return found


def build(found: Pairs, cut: int = 50) -> trie.Trie:
    joined = [trie.PAIR.pack(one, at) for one, at in found]
    return trie.build(b"".join(joined[start : start + cut]) for start in range(0, len(joined), cut))


def table_of(found: Pairs) -> dict[bytes, list[int]]:
    table: dict[bytes, list[int]] = {}
    for one, at in found:
        table.setdefault(one, []).append(at)
    return table


@given(pairs(), TAGS)
def test_the_trie_is_that_of_the_reference_and_every_answer_holds(found: Pairs, other: bytes) -> None:
    made, table = build(found), table_of(found)
    assert made.root == naive(table)
    assert (made.tags, made.positions) == (len(table), len(found))
    for one in {*list(table)[:20], other, NO_TAG}:
        lookup = made.lookup(one, "2026-11")
        assert list(lookup.positions) == table.get(one, [])
        assert (lookup.end is None) == (one in table)
        verify_lookup(lookup, made.root)


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 5000])
def test_sizes_around_the_buckets(count: int) -> None:
    found = [(tag(number), number) for number in range(count)]
    made = build(found, 999)
    assert made.root == naive(table_of(found))
    for number in {0, count // 2, max(0, count - 1), count, count + 1, count + 77}:
        lookup = made.lookup(tag(number), "2026-11")
        assert lookup.positions == ((number,) if number < count else ())
        verify_lookup(lookup, made.root)
    again = trie.Trie(made.buffer)
    assert again.root == made.root
    assert again.lookup(tag(1), "2026-11") == made.lookup(tag(1), "2026-11")


def test_many_pairs_are_grouped_in_parts() -> None:
    count = 2**18 + 5
    places = 150_000
    chunk = b"".join(trie.PAIR.pack(tag(number % places), number) for number in range(count))
    made = trie.build([chunk[: 40 * 200_000], chunk[40 * 200_000 :]])
    assert (made.tags, made.positions) == (places, count)
    for number in (0, 1, count - places - 1, count - places, places - 1):
        lookup = made.lookup(tag(number), "2026-11")
        assert lookup.positions == ((number, number + places) if number + places < count else (number,))
        verify_lookup(lookup, made.root)


def ends(made: trie.Trie, table: dict[bytes, list[int]]) -> Iterator[tuple[tuple[Step, ...], End]]:
    """Yield each node of a trie with the path to it: all at which a forged search could end, and those that honest ones do."""
    seen = set()
    for one in table:
        lookup = made.lookup(one, "2026-11")
        below = Leaf(key_of(one), len(lookup.positions), trie.list_root(lookup.positions))
        yield lookup.path, below
        node = trie.leaf_node(*below)
        for at in range(len(lookup.path) - 1, -1, -1):
            depth, prefix, sibling = lookup.path[at]
            sides = (sibling, node) if trie.bit_of(key_of(one), depth) else (node, sibling)
            node = trie.inner_node(depth, prefix, *sides)
            if node not in seen:
                seen.add(node)
                yield lookup.path[:at], Inner(depth, prefix, *sides)
                yield lookup.path[:at], Inner(depth, prefix, *reversed(sides))
        yield lookup.path, Empty()
        yield (), Empty()
        yield lookup.path, None


@given(pairs().filter(bool))
def test_no_node_of_the_trie_proves_that_a_present_tag_is_absent(found: Pairs) -> None:
    found = found[:40]
    made, table = build(found), table_of(found)
    candidates = list(ends(made, table))
    for one in list(table)[:10]:
        own = made.lookup(one, "2026-11").path
        for path, end in candidates:
            for way in {path, own[: len(path)], own}:
                with pytest.raises(BadInclusion):
                    verify_lookup(Lookup(one, "2026-11", (), way, end), made.root)


@given(pairs().filter(bool), st.data())
def test_no_other_list_of_positions_passes(found: Pairs, data: st.DataObject) -> None:
    made = build(found)
    lookup = made.lookup(data.draw(st.sampled_from(found))[0], "2026-11")
    at = data.draw(st.integers(0, len(lookup.positions) - 1))
    others = [
        (*lookup.positions[:at], *lookup.positions[at + 1 :]),
        (*lookup.positions, lookup.positions[-1] + 1),
        (*lookup.positions[:at], lookup.positions[at] + 1, *lookup.positions[at + 1 :]),
    ]
    for positions in others:
        with pytest.raises(BadInclusion):
            verify_lookup(replace(lookup, positions=positions), made.root)


def test_keys_that_share_their_first_64_bits_are_told_apart() -> None:
    # Nobody finds such tags by chance; whoever pays for them must not be able to break the index.
    keys = [bytes(8) + bytes(24), bytes(8) + b"\x80" + bytes(23), bytes(31) + b"\x01", b"\x80" + bytes(31)]
    rows = sorted((key, h(key), at, 1) for at, key in enumerate(keys))
    by_text = {f"{int.from_bytes(key, 'big'):0256b}": leaf for key, leaf, _, _ in rows}

    def reference(part: dict[str, bytes]) -> bytes:
        if len(part) == 1:
            return next(iter(part.values()))
        depth = next(at for at in range(256) if len({key[at] for key in part}) == 2)
        sides = [reference({key: leaf for key, leaf in part.items() if key[depth] == bit}) for bit in "01"]
        return h(b"2", depth.to_bytes(2, "big"), int(next(iter(part))[:depth].ljust(256, "0"), 2).to_bytes(32, "big"), *sides)

    assert trie.root_over(rows) == reference(by_text)
    assert trie.bucket_root(b"".join(key + leaf + bytes(16) for key, leaf, _, _ in rows)) == reference(by_text)


def test_the_empty_trie_answers_that_nobody_is_in_it() -> None:
    made = build([])
    assert (made.root, made.tags, made.positions) == (EMPTY, 0, 0)
    assert made.lookup(NO_TAG, "2026-11") == Lookup(NO_TAG, "2026-11", (), (), Empty())


@pytest.mark.parametrize("wrong", [b"", b"custodes.trie/2\n" + bytes(300), "cut", "long"])
def test_a_stored_trie_of_another_form_is_refused(wrong: bytes | str) -> None:
    good = bytes(build([(tag(1), 1)]).buffer)
    data = {"cut": good[:-1], "long": good + b"x"}[wrong] if isinstance(wrong, str) else wrong
    with pytest.raises(LedgerRewritten):
        trie.Trie(data)
