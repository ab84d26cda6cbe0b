"""What is shown of a released value: cut as its category asks, or an answer in place of it. Nothing here raises on a bad value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from custodes.minimise.address import network_of, parse_address


def shown(value: Any, how: str, keyed: Callable[[str], str]) -> Any:
    """Return a value as `how` says: none · network · pseudonym · null. Text that is no address has no network: null."""
    if how == "none" or value is None:
        return value
    if how == "network":
        address = parse_address(value) if isinstance(value, str) else None
        return None if address is None else network_of(address)
    if how == "pseudonym":
        address = parse_address(value) if isinstance(value, str) else None
        return keyed(str(value if address is None else address))
    return None


def answer(predicate: str, operand: str, values: Sequence[Any]) -> Any:
    """Answer a predicate over values; null where it cannot be told.

    `same_network`: whether a value lies in the /24 or /48 of the address `operand`; `seen_from`: whether a value is the country
    `operand` (ISO 3166); `count_distinct`: how many different values there are, at most `operand`.
    """
    texts = [value for value in values if isinstance(value, str)]
    if predicate == "same_network":
        wanted = parse_address(operand)
        found = [address for text in texts if (address := parse_address(text)) is not None]
        return None if wanted is None or not found else any(network_of(address) == network_of(wanted) for address in found)
    if predicate == "seen_from":
        countries = {text.upper() for text in texts if len(text) == 2 and text.isalpha()}
        return operand.upper() in countries if countries else None
    if predicate == "count_distinct" and operand.isdecimal():
        return min(len({str(value) for value in values if value is not None}), int(operand))
    return None
