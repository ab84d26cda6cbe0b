"""Pseudonyms of addresses (draft-denis-ipcrypt): whole columns at once, under keys that are passed in.

    deterministic      one address, one pseudonym            an address again   counting distinct ones
    prefix_preserving  a shared prefix stays shared          an address again   network abuse only, keys of one day
    nd, ndx            every time another pseudonym          24 or 32 bytes     nothing can be joined

Addresses are normalised first, so that one endpoint has one pseudonym however a log writes it. What is no address becomes None.
There is no way back in this module: to undo a pseudonym is to reveal an address, and that is the guard's to decide.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from functools import cache
from ipaddress import IPv6Address
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from custodes.minimise.address import parse_address

_MAPPED: Final = b"\0" * 10 + b"\xff\xff"
_V4_START: Final = 1 << 96 | 0xFFFF
"""The padded prefix in front of an IPv4 address: 96 known bits behind the separating one."""
_BITS: Final = bytes(b"01"[octet & 1] for octet in range(256))
_BYTES: Final = 16
_WRAPPING: Final = (b"\0", b"\x20\x02", b"\x20\x01\0\0")
"""How IPv6 addresses begin that may hold an IPv4 address: mapped and NAT64, 6to4, Teredo."""


def derive(master: bytes, purpose: str, epoch: str, size: int) -> bytes:
    """Return a key of `size` bytes for one purpose in one epoch ("2026-11-22", one to seven days) under a master key."""
    return HKDF(SHA256(), size, None, f"custodes/ipcrypt/{purpose}/{epoch}".encode()).derive(master)


def deterministic(addresses: Sequence[str | None], key: bytes) -> list[str | None]:
    """Return the address that stands for each address under a key of 16 bytes."""
    _check(key, 16)
    distinct = _packed(addresses)
    sealed = _blocks(key, b"".join(distinct.values()))
    names = [_text(sealed[at : at + _BYTES]) for at in range(0, len(sealed), _BYTES)]
    return _spread(addresses, dict(zip(distinct, names, strict=True)))


def prefix_preserving(addresses: Sequence[str | None], key: bytes) -> list[str | None]:
    """Return addresses that share as many leading bits as the given ones do, under a key of two different halves of 16 bytes.

    One known pair gives away the prefix of all its neighbours: for network abuse, with a key a day, and for nothing else.
    """
    _check_halves(key)
    distinct = _packed(addresses)
    short = {word: int.from_bytes(raw[12:], "big") for word, raw in distinct.items() if raw.startswith(_MAPPED)}
    long = {word: int.from_bytes(raw, "big") for word, raw in distinct.items() if word not in short}
    names = {word: socket.inet_ntop(socket.AF_INET, mark.to_bytes(4, "big")) for word, mark in _flipped(short, 32, _V4_START, key)}
    names |= {word: _text(mark.to_bytes(_BYTES, "big")) for word, mark in _flipped(long, 128, 1, key)}
    return _spread(addresses, names)


def ndx(addresses: Sequence[str | None], key: bytes, tweaks: Sequence[bytes] | None = None) -> list[bytes | None]:
    """Return 32 bytes for each address, tweak and ciphertext, under a key of two different halves; tweaks (16 bytes) are random."""
    _check_halves(key)
    whole = _mapped_all(addresses)
    used = _tweaks(tweaks, len(whole), 16)
    plain = int.from_bytes(b"".join(raw for raw in whole if raw is not None), "big")
    chosen = [tweak for tweak, raw in zip(used, whole, strict=True) if raw is not None]
    size = _BYTES * len(chosen)
    mask = int.from_bytes(_blocks(key[16:], b"".join(chosen)), "big")
    sealed = (int.from_bytes(_blocks(key[:16], (plain ^ mask).to_bytes(size, "big")), "big") ^ mask).to_bytes(size, "big")
    parts = iter([tweak + sealed[at * _BYTES : (at + 1) * _BYTES] for at, tweak in enumerate(chosen)])
    return [None if raw is None else next(parts) for raw in whole]


def nd(addresses: Sequence[str | None], key: bytes, tweaks: Sequence[bytes] | None = None) -> list[bytes | None]:
    """Return 24 bytes for each address, tweak and ciphertext, under a key of 16 bytes; tweaks (8 bytes) are random.

    The cipher is KIASU-BC: AES-128 with the tweak added to every round key, which no library offers; in plain Python.
    """
    _check(key, 16)
    whole = _mapped_all(addresses)
    rounds = _round_keys(key)
    return [
        None if raw is None else tweak + _kiasu(raw, rounds, tweak)
        for raw, tweak in zip(whole, _tweaks(tweaks, len(whole), 8), strict=True)
    ]


def _check(key: bytes, size: int) -> None:
    if len(key) != size:
        raise ValueError(f"this key has {size} bytes")


def _check_halves(key: bytes) -> None:
    _check(key, 32)
    if key[:16] == key[16:]:
        raise ValueError("the halves of this key must differ: equal ones cancel each other out")


def _tweaks(given: Sequence[bytes] | None, count: int, size: int) -> list[bytes]:
    if given is None:
        fresh = os.urandom(size * count)
        return [fresh[at * size : (at + 1) * size] for at in range(count)]
    if len(given) != count or any(len(tweak) != size for tweak in given):
        raise ValueError(f"there is one tweak of {size} bytes for each address")
    return list(given)


# Columns of text to blocks and back


def _bytes_of(word: str) -> bytes | None:
    """Return the 16-byte form of a text, or None. Plain addresses take the short way; the rest is normalised."""
    try:
        if ":" not in word:
            return _MAPPED + socket.inet_pton(socket.AF_INET, word)
        raw = socket.inet_pton(socket.AF_INET6, word)
        if not raw.startswith(_WRAPPING):
            return raw
    except (OSError, ValueError):
        pass
    address = parse_address(word)
    if address is None:
        return None
    return address.packed if isinstance(address, IPv6Address) else _MAPPED + address.packed


def _packed(addresses: Sequence[str | None]) -> dict[str, bytes]:
    """Return the 16-byte form of each distinct text that is an address."""
    made = {word: _bytes_of(word) for word in set(addresses) if word is not None}
    return {word: raw for word, raw in made.items() if raw is not None}


def _mapped_all(addresses: Sequence[str | None]) -> list[bytes | None]:
    known = _packed(addresses)
    return [None if word is None else known.get(word) for word in addresses]


def _spread(addresses: Sequence[str | None], names: dict[str, str]) -> list[str | None]:
    return [None if word is None else names.get(word) for word in addresses]


def _text(raw: bytes) -> str:
    if raw.startswith(_MAPPED):
        return socket.inet_ntop(socket.AF_INET, raw[12:])
    text = socket.inet_ntop(socket.AF_INET6, raw)
    return text if "." not in text else IPv6Address(raw).compressed  # the system writes ::1.2.3.4, the standard does not


def _blocks(key: bytes, data: bytes) -> bytes:
    """Return each 16-byte block under AES-128. The draft uses the cipher as a permutation of one block: nothing is chained."""
    seal = Cipher(AES(key), ECB()).encryptor()  # noqa: S305  # single blocks, see above
    return seal.update(data) + seal.finalize()


# Prefix-preserving


def _flipped(numbers: dict[str, int], width: int, start: int, key: bytes) -> list[tuple[str, int]]:
    """Return each number of `width` bits with every bit flipped or not, as the bits before it decide."""
    head = _row([start << done for done in range(width)])
    size, places = _BYTES * width, range(width // 8)
    rows = []
    for number in numbers.values():
        row = head
        for place, octet in zip(places, number.to_bytes(width // 8, "big"), strict=True):
            row |= _share(width, place, octet)
        rows.append(row.to_bytes(size, "big"))
    blocks = b"".join(rows)
    first, second = (_blocks(half, blocks)[15::16] for half in (key[:16], key[16:]))
    last = int.from_bytes(first, "big") ^ int.from_bytes(second, "big")
    bits = last.to_bytes(len(first), "big").translate(_BITS)
    return [(word, number ^ int(bits[at * width : (at + 1) * width], 2)) for at, (word, number) in enumerate(numbers.items())]


@cache
def _share(width: int, place: int, octet: int) -> int:
    """Return what one octet of a number adds to its prefixes of every length, as a row of blocks.

    A prefix is a number cut off by shifting, and shifting treats every octet by itself: so the blocks of a number are the
    union of few rows made once, not `width` small sums each time.
    """
    placed = octet << (width - 8 * place - 8)
    return _row([placed >> (width - done) for done in range(width)])


def _row(blocks: Sequence[int]) -> int:
    return int.from_bytes(b"".join([block.to_bytes(_BYTES, "big") for block in blocks]), "big")


# KIASU-BC


@cache
def _s_box() -> bytes:
    """Return the S-box of AES: inverse in GF(2^8), then the affine map."""
    power, log = [1], {1: 0}
    for _ in range(254):
        value = power[-1] ^ _double(power[-1])
        log[value] = len(power)
        power.append(value)
    box = bytearray(256)
    for octet in range(256):
        inverse = power[-log[octet] % 255] if octet else 0
        spun = inverse
        for turn in range(1, 5):
            spun ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        box[octet] = spun ^ 0x63
    return bytes(box)


def _double(octet: int) -> int:
    return (octet << 1 ^ (0x11B if octet & 0x80 else 0)) & 0xFF


def _round_keys(key: bytes) -> list[bytes]:
    """Return the eleven round keys of AES-128."""
    box, words, constant = _s_box(), [key[at : at + 4] for at in range(0, 16, 4)], 1
    for at in range(4, 44):
        word = words[-1]
        if at % 4 == 0:
            word = (word[1:] + word[:1]).translate(box)
            word = bytes((word[0] ^ constant,)) + word[1:]
            constant = _double(constant)
        words.append(_xor(words[at - 4], word))
    return [b"".join(words[at : at + 4]) for at in range(0, 44, 4)]


def _kiasu(block: bytes, rounds: Sequence[bytes], tweak: bytes) -> bytes:
    padded = b"".join(tweak[at : at + 2] + b"\0\0" for at in range(0, 8, 2))  # two bytes on top of each column
    keys = [_xor(key, padded) for key in rounds]
    box, state = _s_box(), _xor(block, keys[0])
    for key in keys[1:-1]:
        state = _xor(_mix(_shift(state.translate(box))), key)
    return _xor(_shift(state.translate(box)), keys[-1])


def _shift(state: bytes) -> bytes:
    return bytes([state[(5 * at) % 16] for at in range(16)])


def _mix(state: bytes) -> bytes:
    mixed = bytearray()
    for at in range(0, 16, 4):
        column = state[at : at + 4]
        whole = column[0] ^ column[1] ^ column[2] ^ column[3]
        mixed += bytes([column[i] ^ whole ^ _double(column[i] ^ column[(i + 1) % 4]) for i in range(4)])
    return bytes(mixed)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes([a ^ b for a, b in zip(left, right, strict=True)])
