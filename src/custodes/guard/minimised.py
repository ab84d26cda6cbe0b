"""SQL that cuts an address down to its network. It never raises: what is no address becomes NULL, and no value reaches an error.

Addresses that wrap an IPv4 address (mapped, 6to4, NAT64, Teredo) become NULL, because the /48 of a 6to4 address names it in full.
"""

from __future__ import annotations

from typing import Final

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4: Final = f"^{_OCTET}(\\.{_OCTET}){{3}}$"
_WRAPPED: Final = ("::/80", "2002::/16", "64:ff9b::/96", "2001::/32")
_TEXT: Final = ("text", "character varying", "character", "citext", "name")


def minimised(kind: str, column: str) -> str:
    """Return an expression of type `cidr` for a column of PostgreSQL type `kind`: /24 or /48, or NULL."""
    word = kind.partition("(")[0].strip()
    if word in ("inet", "cidr"):
        return _of_address(f"{column}::pg_catalog.inet")
    if word in _TEXT:
        # CASE tests before it casts: a bare cast would print the value in its error.
        address = f"{column}::pg_catalog.text::pg_catalog.inet"
        return f"case when {column}::pg_catalog.text ~ '{_V4}' then pg_catalog.network(pg_catalog.set_masklen({address}, 24)) end"
    return "null::pg_catalog.cidr"


def _of_address(address: str) -> str:
    wrapped = " or ".join(f"{address} <<= '{network}'" for network in _WRAPPED)
    cut = f"pg_catalog.network(pg_catalog.set_masklen({address}, least(pg_catalog.masklen({address}), %d)))"
    return f"case when pg_catalog.family({address}) = 4 then {cut % 24} when {wrapped} then null else {cut % 48} end"
