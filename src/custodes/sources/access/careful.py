"""The careful look at a record: column by column, so that the reason of a rejection can name the column and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from custodes.model.words import ACTIONS, ACTOR_KINDS, OUTCOMES, SCOPES, SELECTORS
from custodes.sources.access.columns import REQUIRED, BadRecord, Row

_LARGEST: Final = 2**63 - 1


def check(row: Mapping[str, Any]) -> tuple[Row, dict[str, str]]:
    """Return the record and, aside, its unknown columns as text. Raises `BadRecord`."""
    made: dict[str, Any] = {}
    extra: dict[str, str] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        checked = _CHECKS.get(name)
        if checked is not None:
            made[name] = checked(name, value)
        else:
            extra[name] = value if type(value) is str else msgspec.json.encode(value).decode("utf-8")
    for name in REQUIRED:
        if name not in made:
            raise BadRecord(f"missing {name}")
    return Row(**made), extra


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadRecord(f"{name} is not text: expected text, got {_kind(value)}")
    return value


def _word(name: str, value: Any) -> str:
    words = _WORDS[name]
    if type(value) is not str or value not in words:
        raise BadRecord(f"{name} is none of the words {', '.join(sorted(words))}")
    return value


def _words(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_word(name, item) for item in (value if type(value) is list else [value]))


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise BadRecord(f"{name} is not a list: expected a list of texts, got {_kind(value)}")
    for item in value:
        if type(item) is not str:
            raise BadRecord(f"{name} holds something that is not text: got {_kind(item)}")
    return tuple(value)


def _text_or_texts(name: str, value: Any) -> str | tuple[str, ...]:
    return value if type(value) is str else _texts(name, value)


def _number(name: str, value: Any) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise BadRecord(f"{name} is not a number: expected a whole number, got {_kind(value)}")
    if value < 0:
        raise BadRecord(f"negative count in {name}")
    if value > _LARGEST:
        raise BadRecord(f"{name} is out of range")
    return value


def _truth(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise BadRecord(f"{name} is neither true nor false: got {_kind(value)}")
    return value


def _country(name: str, value: Any) -> str:
    if type(value) is not str or len(value) != 2 or not (value.isascii() and value.isalpha() and value.isupper()):
        raise BadRecord(f"{name} is not a country: expected two capital letters (ISO 3166)")
    return value


def _kind(value: Any) -> str:
    """Name the JSON type of a value, never the value."""
    return _KINDS.get(type(value), "something else")


_KINDS: Final = {str: "text", int: "a number", float: "a number", bool: "a truth value", list: "a list", dict: "an object"}
_WORDS: Final = {
    "action": ACTIONS,
    "actor_kind": ACTOR_KINDS,
    "outcome": OUTCOMES,
    "subject_scope": SCOPES,
    "selector": SELECTORS,
}
_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    **dict.fromkeys(("time", "id", "actor", "on_behalf_of", "system", "query", "purpose", "reason", "session", "device"), _text),
    **dict.fromkeys(("derived", "derived_from", "seq_of"), _text),
    **dict.fromkeys(("action", "actor_kind", "outcome", "subject_scope"), _word),
    **dict.fromkeys(("fields", "subjects"), _texts),
    **dict.fromkeys(("rows", "seq"), _number),
    **dict.fromkeys(("deliberate", "break_glass"), _truth),
    "resource": _text_or_texts,
    "selector": _words,
    "client_country": _country,
}
