"""Raw client addresses end here: network by cutting the end off, nothing finer. Keys are applied by the caller."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Read a client address as logs write it: with a port, in brackets, with a zone or a prefix length. None if it is none.

    An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
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
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def network_of(address: IPv4Address | IPv6Address) -> str:
    """Return the /24 (IPv4) or /48 (IPv6) that an address lies in, as text."""
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))
