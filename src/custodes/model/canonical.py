"""Canonical bytes: RFC 8785 (JSON Canonicalization Scheme) for strings, integers, booleans, null, lists and string-keyed maps.

Floats are refused: nothing in the record is one, and their canonical form is where implementations disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

type_error = "canonical JSON takes strings, integers within ±(2^53−1), booleans, null, lists and maps"
_ENCODE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode

Json = str | int | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def canonical(value: Json) -> bytes:
    """Return the canonical UTF-8 bytes of `value`. Raises `TypeError` for floats, large integers and other types.

    Keys are sorted by UTF-16 code units as the standard asks; for keys without characters beyond the basic plane that is the
    order of code points, and other keys are refused.
    """
    _check(value)
    return _ENCODE(value).encode("utf-8", "surrogatepass")


def _check(value: object) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if -(2**53) < value < 2**53:
            return
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
        return
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not (key.isascii() or max(key) < "\ud800"):
                raise TypeError(type_error)
            _check(item)
        return
    raise TypeError(type_error)
