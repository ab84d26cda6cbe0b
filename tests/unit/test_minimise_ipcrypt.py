"""Pseudonyms of addresses: the published values of the draft, a second implementation, and what must hold for any address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.minimise import ipcrypt
from custodes.minimise.address import parse_address

K1, K2, K3 = "0123456789abcdeffedcba9876543210", "1032547698badcfeefcdab8967452301", "2b7e151628aed2a6abf7158809cf4f3c"
K12, K3X = K1 + K2, K3 + "a9f5ba40db214c3798f2e1c23456789a"
TWEAK8, TWEAK16 = "08e0c289bff23b7c", "21bd1834bc088cd2b4ecbe30b70898d7"

# Published values of draft-denis-ipcrypt.
DETERMINISTIC = [
    (K1, "0.0.0.0", "bde9:6789:d353:824c:d7c6:f58a:6bd2:26eb"),  # noqa: S104  # an address as a value, nothing is bound
    (K2, "255.255.255.255", "aed2:92f6:ea23:58c3:48fd:8b8:74e8:45d8"),
    (K3, "192.0.2.1", "1dbd:c1b9:fff1:7586:7d0b:67b4:e76e:4777"),
    (K1, "2001:db8:85a3::8a2e:370:7334", "1eef:2352:64c8:18e6:6456:1373:f615:5032"),
    (K2, "192.0.2.1", "7fde:a680:9546:ef2:d3c:7abb:1b38:2659"),
]
PREFIX = [
    (K12, "0.0.0.0", "151.82.155.134"),  # noqa: S104  # as above
    (K12, "255.255.255.255", "94.185.169.89"),
    (K12, "192.0.2.1", "100.115.72.131"),
    (K12, "2001:db8::1", "c180:5dd4:2587:3524:30ab:fa65:6ab6:f88"),
    (K3X, "10.0.0.47", "19.214.210.244"),
    (K3X, "10.0.0.129", "19.214.210.80"),
    (K3X, "172.16.5.193", "210.78.229.136"),
    (K3X, "172.16.97.42", "210.78.179.241"),
    (K3X, "2001:db8::a5c9:4e2f:bb91:5a7d", "7cec:702c:1243:f70:1956:125:b9bd:1aba"),
    (K3X, "2001:db8::7234:d8f1:3c6e:9a52", "7cec:702c:1243:f70:a3ef:c8e:95c1:cd0d"),
    (K3X, "2001:db8:9f27:0:b4e2:7a3d:5f91:c8e6", "7cec:702c:a504:b74e:194a:3d90:b047:2d1a"),
]
ND = [
    (K1, "0.0.0.0", "b349aadfe3bcef56221c384c7c217b16"),  # noqa: S104  # as above
    (K2, "255.255.255.255", "f602ae8dcfeb47c1fbcb9597b8951b89"),
    (K3, "192.0.2.1", "ca25fe3b7f2ca5e50a0deb24ef0469f8"),
    (K1, "2001:db8:85a3::8a2e:370:7334", "dd344485c55026d8b4cfa33b81032aff"),
]
NDX = [
    (K12, "0.0.0.0", "82db0d4125fdace61db35b8339f20ee5"),  # noqa: S104  # as above
    (K2 + K1, "255.255.255.255", "76c7dbd1ae4802a2dd95ad4f88273535"),
    (K3 + "3c4fcf098815f7aba6d2ae2816157e2b", "192.0.2.1", "259e85ebaa000667d2437ac7e2208d71"),
    (K12, "2001:db8:85a3::8a2e:370:7334", "fe8d52464555ef3458e4a6eefe14eb28"),
]

v4 = st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.integers(0, 2**128 - 1).map(IPv6Address)
addresses = (v4 | v6).filter(lambda address: parse_address(str(address)) == address)
keys = st.binary(min_size=32, max_size=32).filter(lambda key: key[:16] != key[16:])


@pytest.mark.parametrize(("key", "address", "expected"), DETERMINISTIC)
def test_deterministic_pseudonyms_are_the_published_ones(key: str, address: str, expected: str) -> None:
    assert ipcrypt.deterministic([address], bytes.fromhex(key)) == [expected]


@pytest.mark.parametrize(("key", "address", "expected"), PREFIX)
def test_prefix_preserving_pseudonyms_are_the_published_ones(key: str, address: str, expected: str) -> None:
    assert ipcrypt.prefix_preserving([address], bytes.fromhex(key)) == [expected]


@pytest.mark.parametrize(("key", "address", "expected"), ND)
def test_nd_pseudonyms_are_the_published_ones(key: str, address: str, expected: str) -> None:
    assert ipcrypt.nd([address], bytes.fromhex(key), [bytes.fromhex(TWEAK8)]) == [bytes.fromhex(TWEAK8 + expected)]


@pytest.mark.parametrize(("key", "address", "expected"), NDX)
def test_ndx_pseudonyms_are_the_published_ones(key: str, address: str, expected: str) -> None:
    assert ipcrypt.ndx([address], bytes.fromhex(key), [bytes.fromhex(TWEAK16)]) == [bytes.fromhex(TWEAK16 + expected)]


@given(st.lists(addresses, max_size=5), keys, st.binary(min_size=16, max_size=16))
def test_a_second_implementation_gives_the_same_pseudonyms(
    given_addresses: list[IPv4Address | IPv6Address], key: bytes, tweak: bytes
) -> None:
    from ipcrypt import deterministic, nd, ndx, pfx

    words = [str(address) for address in given_addresses]
    assert ipcrypt.deterministic(words, key[:16]) == [str(deterministic.encrypt(word, key[:16])) for word in words]
    assert ipcrypt.prefix_preserving(words, key) == [str(pfx.encrypt(word, key)) for word in words]
    assert ipcrypt.nd(words, key[:16], [tweak[:8]] * len(words)) == [nd.encrypt(word, key[:16], tweak[:8]) for word in words]
    for word, made in zip(words, ipcrypt.ndx(words, key), strict=True):
        assert str(ndx.decrypt(made, key)) == word


@given(v4, v4, keys)
def test_exactly_the_shared_prefix_stays_shared(left: IPv4Address, right: IPv4Address, key: bytes) -> None:
    one, other = ipcrypt.prefix_preserving([str(left), str(right)], key)
    assert one is not None
    assert other is not None
    assert (int(left) ^ int(right)).bit_length() == (int(ip_address(one)) ^ int(ip_address(other))).bit_length()


@given(addresses, keys)
def test_random_tweaks_never_repeat_a_pseudonym(address: IPv4Address | IPv6Address, key: bytes) -> None:
    word = str(address)
    assert len({*ipcrypt.ndx([word] * 4, key)}) == len({*ipcrypt.nd([word] * 4, key[:16])}) == 4


@pytest.mark.parametrize(
    "spelling",
    ["192.0.2.1:443", "::ffff:192.0.2.1", "[::ffff:c000:201]:443", "2002:c000:201::1", "64:ff9b::c000:201", "192.0.2.1/24",
     "2001:0:4136:e378:8000:63bf:3fff:fdfe"],
)  # fmt: skip  # one list of spellings
def test_one_endpoint_has_one_pseudonym_however_it_is_written(spelling: str) -> None:
    key = bytes(range(32))
    plain = ["192.0.2.1", spelling]
    for made in (ipcrypt.deterministic(plain, key[:16]), ipcrypt.prefix_preserving(plain, key)):
        assert made[0] == made[1] is not None


def test_a_zone_does_not_change_the_pseudonym() -> None:
    one, other = ipcrypt.deterministic(["fe80::1%eth0", "fe80::1"], bytes(16))
    assert one == other is not None


def test_what_is_no_address_gets_no_pseudonym() -> None:
    key = bytes(range(32))
    for made in (ipcrypt.deterministic(["db-host", None, ""], key[:16]), ipcrypt.prefix_preserving(["db-host", None, ""], key)):
        assert made == [None, None, None]
    assert ipcrypt.nd(["db-host", None], key[:16]) == ipcrypt.ndx(["db-host", None], key) == [None, None]


def test_halves_that_cancel_each_other_out_are_refused() -> None:
    for pseudonyms in (ipcrypt.prefix_preserving, ipcrypt.ndx):
        with pytest.raises(ValueError, match="halves"):
            pseudonyms(["192.0.2.1"], bytes(32))


def test_each_purpose_and_epoch_has_a_key_of_its_own() -> None:
    made = {
        ipcrypt.derive(bytes(32), purpose, epoch, 32) for purpose in ("abuse", "count") for epoch in ("2026-11-21", "2026-11-22")
    }
    assert len(made) == 4
