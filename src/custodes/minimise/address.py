"""Raw client addresses end here: network by cutting the end off, nothing finer. Keys are applied by the caller."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_NAT64: Final = IPv6Network("64:ff9b::/96")


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read a client address as logs write it: with a port, in brackets, with a zone or a prefix length. None if it is none.

    An IPv4 address inside IPv6 is the IPv4 address: mapped (`::ffff:192.0.2.1`), 6to4 (`2002::/16`), NAT64 (`64:ff9b::/96`) and the
    client's of Teredo. Else one endpoint would have several pseudonyms, and the /48 of a 6to4 address names it in full.
    """
    word = text.strip().partition("/")[0]
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    try:
        address = ip_address(word.partition("%")[0])
    except ValueError:
        return None
    return _unwrapped(address) if isinstance(address, IPv6Address) else address


def _unwrapped(address: IPv6Address) -> IPv4Address | IPv6Address:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def network_of(address: IPv4Address | IPv6Address) -> str:
    """Return the /24 (IPv4) or /48 (IPv6) that an address lies in, as text."""
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))
