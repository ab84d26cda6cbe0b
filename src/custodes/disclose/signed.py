"""Which of the home's own entries an outsider needs to check a signature: request, answers, keys, and who enrolled those. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_KEYS = {"enrol", "revoke"}


def behind(indexes: Iterable[int], decided: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Return the entries behind the given ones. `decided`: the home's own decisions and policy entries, by index.

    Behind a release stand its grant and that grant's parent; behind an answer its request; behind a request all its answers; behind
    every signature the keys that its signer ever had: the first ones, their enrolments and revocations.
    """
    found: set[int] = set()
    todo = [index for index in indexes if index in decided]
    while todo:
        index = todo.pop()
        if index not in found:
            found.add(index)
            todo.extend(_next(index, decided))
    return found


def _next(index: int, decided: Mapping[int, Mapping[str, Any]]) -> Iterator[int]:
    what = decided[index]
    match what.get("what"):
        case "decision":
            yield from _those(decided, what.get("grant"), what.get("parent"))
        case "request":
            yield from _those(decided, what["request"]["content"].get("parent"))
            yield from (at for at, other in decided.items() if other.get("what") == "answer" and other.get("request") == index)
            yield from _keys(what, decided)
        case "answer":
            yield from _those(decided, what.get("request"))
            yield from _keys(what, decided)


def _those(decided: Mapping[int, Mapping[str, Any]], *indexes: int | None) -> list[int]:
    return [index for index in indexes if index is not None and index in decided]


def _keys(what: Mapping[str, Any], decided: Mapping[int, Mapping[str, Any]]) -> Iterator[int]:
    signer = what["statement"]["approver"]
    for at, other in decided.items():
        request = other.get("request")
        first = other.get("what") == "approvers" and signer in other.get("keys", {})
        later = isinstance(request, Mapping) and request.get("act") in _KEYS and request["content"].get("actor") == signer
        if first or later:
            yield at
