"""Leaf v1: 96 bytes that say when, from which source and in which order, and nothing about a person.

    ver u8 | kind u8 | hour u32 | source u16 | seq u64 | tag 32 | commit 32 | prev 16        (big-endian)

`commit` hides five groups of an access behind salts, so that a holder of the tiles cannot test a guess, and each group can be
opened alone. `tag` names the subject for one month to those who hold the subject's key. `prev` is the head of the previous
leaf's hash of the same source. Kinds 4 to 10 carry tag zero and one record as group *what*.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

from custodes.errors import UnknownVersion

SIZE: Final = 96
VERSION: Final = 1
GROUPS: Final = ("who", "what", "why", "where", "raw")
"""Names of the groups 0 to 4."""

NO_TAG: Final = bytes(32)
"""No subject, or one that is not resolved; also kinds 4 to 10."""
MANY_TAG: Final = b"\xff" * 32
"""More than one subject: their tags stand in touch leaves or in a bulk list."""
NO_PREV: Final = bytes(16)
"""First leaf of a source."""

_LAYOUT: Final = struct.Struct(">BBIHQ32s32s16s")
_PACK: Final = _LAYOUT.pack
_ABSENT: Final = bytes(32)
_COMMIT: Final = b"\x10"
_HEADS: Final = tuple(bytes((0x11, group)) for group in range(5))
_NUMBERS: Final = tuple(bytes((group,)) for group in range(5))
_b: Final = blake2b
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(IntEnum):
    """What a leaf records."""

    ACCESS = 1
    TOUCH = 2
    BULK = 3
    DECISION = 4
    CASE = 5
    ERASURE = 6
    POLICY = 7
    INDEX_ROOT = 8
    HEARTBEAT = 9
    LINES = 10


class Leaf(NamedTuple):
    """The fields of one leaf. `hour`: hours since 1970 in UTC, of recording; `prev`: first 16 bytes of a leaf hash."""

    kind: int
    hour: int
    source: int
    seq: int
    tag: bytes
    commit: bytes
    prev: bytes


def encode(  # noqa: PLR0917  # in the order of the layout; called for each of millions of leaves
    kind: int, hour: int, source: int, seq: int, tag: bytes, commit: bytes, prev: bytes
) -> bytes:
    """Return the 96 bytes of a leaf. `tag` and `commit` have 32 bytes, `prev` 16; other lengths are a caller's defect."""
    if len(tag) != 32 or len(commit) != 32 or len(prev) != 16:
        raise ValueError("a leaf has a tag and a commitment of 32 bytes and a prev of 16")
    return _PACK(VERSION, kind, hour, source, seq, tag, commit, prev)


def decode(data: bytes) -> Leaf:
    """Return the fields of a leaf. Raises `UnknownVersion` for other lengths, versions and kinds."""
    if len(data) != SIZE or data[0] != VERSION or not 1 <= data[1] <= 10:
        raise UnknownVersion("a leaf of this log is of an unknown version or kind")
    return Leaf(*_LAYOUT.unpack(data)[1:])


def leaf_hash(data: bytes) -> bytes:
    """Return the RFC 6962 leaf hash of an entry: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + data).digest()


def salt(seed: bytes, group: int) -> bytes:
    """Return the 32-byte salt of a group (0 to 4) under its owner's 32-byte seed: keyed BLAKE2b of the group's number."""
    return blake2b(_NUMBERS[group], key=seed, digest_size=32).digest()


def group_digest(group: int, group_salt: bytes, content: bytes) -> bytes:
    """Return d_g, the salted digest of a group's canonical bytes. Who is shown a group recomputes this from salt and content."""
    return sha256(_HEADS[group] + group_salt + content).digest()


def join(digests: Sequence[bytes]) -> bytes:
    """Return the commitment over the five group digests; an absent group counts as 32 zero bytes."""
    if len(digests) != 5 or any(len(digest) != 32 for digest in digests):
        raise ValueError("a commitment joins five digests of 32 bytes")
    return sha256(_COMMIT + b"".join(digests)).digest()


def commitment(groups: Sequence[bytes | None], seeds: Sequence[bytes]) -> bytes:
    """Return the hiding commitment of five groups of canonical bytes (`None`: absent).

    `seeds`: (actor's, subject's), or for a leaf without one single subject (actor's, one for *what* and *why*, one for *raw*);
    32 random bytes each, fresh for every leaf.
    """
    actor, subject, raw = seeds if len(seeds) == 3 else (seeds[0], seeds[1], seeds[1])
    who, what, why, where, line = groups
    # `join` of five `group_digest`s, spelled out: intake calls this for each of millions of accesses.
    return sha256(
        b"\x10"
        + (sha256(b"\x11\x00" + _b(b"\x00", key=actor, digest_size=32).digest() + who).digest() if who is not None else _ABSENT)
        + (sha256(b"\x11\x01" + _b(b"\x01", key=subject, digest_size=32).digest() + what).digest() if what is not None else _ABSENT)
        + (sha256(b"\x11\x02" + _b(b"\x02", key=subject, digest_size=32).digest() + why).digest() if why is not None else _ABSENT)
        + (sha256(b"\x11\x03" + _b(b"\x03", key=actor, digest_size=32).digest() + where).digest() if where is not None else _ABSENT)
        + (sha256(b"\x11\x04" + _b(b"\x04", key=raw, digest_size=32).digest() + line).digest() if line is not None else _ABSENT)
    ).digest()


def record_commitment(what: bytes, seed: bytes) -> bytes:
    """Return the commitment of a leaf of kinds 4 to 10: one record as group *what* under a seed of the home's."""
    return commitment((None, what, None, None, None), (seed, seed))


def tag(k_subject: bytes, origin: str, epoch: str) -> bytes:
    """Return a subject's tag in `epoch` ("YYYY-MM"): stable within the month, unlinkable across, meaningless without the key."""
    return tag_under(tag_key(k_subject), origin, epoch)


def tag_key(k_subject: bytes) -> bytes:
    """Return k_tag, which a subject is handed with the first statement and computes tags from."""
    return blake2b(b"tag", key=k_subject, digest_size=32).digest()


def tag_under(k_tag: bytes, origin: str, epoch: str) -> bytes:
    """Return the tag of the holder of `k_tag` in the log `origin` in `epoch` ("YYYY-MM")."""
    return blake2b(origin.encode() + b"\x00" + epoch.encode(), key=k_tag, digest_size=32).digest()


def hour_of(moment: datetime) -> int:
    """Return the hour of recording that a leaf carries: whole hours since 1970 in UTC."""
    return (moment - _EPOCH) // timedelta(hours=1)


def epoch_of(hour: int) -> str:
    """Return the epoch ("YYYY-MM", UTC) that an hour belongs to."""
    moment = _EPOCH + timedelta(hours=hour)
    return f"{moment.year:04d}-{moment.month:02d}"
