"""Leaf v1: its 96 bytes, and that it tells nothing to those without keys."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b, sha256

import pytest

from custodes.errors import UnknownVersion
from custodes.ledger.leaf import (
    MANY_TAG,
    NO_PREV,
    NO_TAG,
    SIZE,
    Kind,
    commitment,
    decode,
    encode,
    epoch_of,
    group_digest,
    hour_of,
    join,
    leaf_hash,
    record_commitment,
    salt,
    tag,
    tag_key,
    tag_under,
)

SEEDS = (b"a" * 32, b"s" * 32)
GROUPS = (b'{"actor":"x"}', b'{"action":"read"}', None, b"{}", b"raw")


def test_a_leaf_has_96_bytes_and_its_tag_at_16() -> None:
    data = encode(Kind.ACCESS, 495_000, 7, 2**40, b"t" * 32, b"c" * 32, b"p" * 16)
    assert len(data) == SIZE == 96
    assert data[:2] == b"\x01\x01"
    assert data[16:48] == b"t" * 32
    assert data[48:80] == b"c" * 32
    assert decode(data) == (1, 495_000, 7, 2**40, b"t" * 32, b"c" * 32, b"p" * 16)


@pytest.mark.parametrize("damaged", [b"", bytes(96), b"\x01\x0b" + bytes(94), b"\x02\x01" + bytes(94), b"\x01\x01" + bytes(95)])
def test_an_unknown_version_kind_or_length_is_refused(damaged: bytes) -> None:
    with pytest.raises(UnknownVersion):
        decode(damaged)


@pytest.mark.parametrize(
    ("tag_of", "commit", "prev"), [(b"t", bytes(32), NO_PREV), (NO_TAG, b"", NO_PREV), (NO_TAG, bytes(32), b"")]
)
def test_parts_of_a_wrong_length_are_refused(tag_of: bytes, commit: bytes, prev: bytes) -> None:
    with pytest.raises(ValueError, match="a leaf has"):
        encode(1, 0, 0, 0, tag_of, commit, prev)


def test_the_commitment_is_the_one_that_the_format_spells_out() -> None:
    digests = []
    for group, (content, owner) in enumerate(zip(GROUPS, (0, 1, 1, 0, 1), strict=True)):
        salted = blake2b(bytes([group]), key=SEEDS[owner], digest_size=32).digest()
        digests.append(bytes(32) if content is None else sha256(b"\x11" + bytes([group]) + salted + content).digest())
    assert commitment(GROUPS, SEEDS) == sha256(b"\x10" + b"".join(digests)).digest()
    assert join(digests) == commitment(GROUPS, SEEDS)
    assert [group_digest(g, salt(SEEDS[o], g), GROUPS[g] or b"") for g, o in ((0, 0), (1, 1), (3, 0), (4, 1))] == [
        digest for digest in digests if any(digest)
    ]


def test_a_leaf_without_one_subject_has_a_seed_of_its_own_for_raw() -> None:
    two, three = commitment(GROUPS, SEEDS), commitment(GROUPS, (*SEEDS, b"r" * 32))
    assert two != three
    assert commitment(GROUPS, (*SEEDS, SEEDS[1])) == two


def test_erasing_one_owners_seed_leaves_the_others_groups_checkable() -> None:
    digest = group_digest(0, salt(SEEDS[0], 0), GROUPS[0])
    others = [group_digest(g, salt(SEEDS[1], g), GROUPS[g] or b"") for g in (1, 4)]
    where = group_digest(3, salt(SEEDS[0], 3), GROUPS[3])
    assert join([digest, others[0], bytes(32), where, others[1]]) == commitment(GROUPS, SEEDS)


def test_a_record_is_group_what_alone() -> None:
    assert record_commitment(b"{}", SEEDS[1]) == commitment((None, b"{}", None, None, None), (b"x" * 32, SEEDS[1]))


def test_equal_contents_under_other_seeds_have_nothing_in_common() -> None:
    made = {commitment(GROUPS, (bytes([n]) * 32, bytes([n + 100]) * 32)) for n in range(50)}
    assert len(made) == 50
    assert sha256(GROUPS[1]).digest() not in made


def test_a_tag_is_stable_within_a_month_and_unlinkable_across() -> None:
    key = b"k" * 32
    assert (
        tag(key, "log.example", "2026-11")
        == tag(key, "log.example", "2026-11")
        == tag_under(tag_key(key), "log.example", "2026-11")
    )
    others = {tag(key, "log.example", "2026-12"), tag(key, "other.example", "2026-11"), tag(b"l" * 32, "log.example", "2026-11")}
    assert len(others | {tag(key, "log.example", "2026-11"), NO_TAG, MANY_TAG}) == 6
    k_tag = blake2b(b"tag", key=key, digest_size=32).digest()
    assert tag_under(k_tag, "log.example", "2026-11") == blake2b(b"log.example\x002026-11", key=k_tag, digest_size=32).digest()


def test_hours_and_epochs() -> None:
    moment = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    assert epoch_of(hour_of(moment)) == "2026-11"
    assert epoch_of(hour_of(moment) + 1) == "2026-12"
    assert leaf_hash(b"") == sha256(b"\x00").digest()
