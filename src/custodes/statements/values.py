"""What a literal token or a bind value says: the value as the database compares it, or None where that cannot be known."""

from __future__ import annotations

import csv
import re
from typing import Final

_SIMPLE: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0", "Z": "\x1a"}
_BACKSLASH: Final = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_INTEGER: Final = re.compile(r"[+-]?\d+\Z")
_ARRAY_ITEM: Final = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,{}"\\]*?))\s*(?:,|\Z)', re.DOTALL)
_UESCAPE: Final = re.compile(r"\s+[uU][eE][sS][cC][aA][pP][eE]\s+'([^'])'\Z")
_EXPONENT_LIMIT: Final = 40


def of_string(token: str, dialect: str = "postgres") -> str | None:
    """Decode a string token with its quotes, whatever its prefix."""
    head = token[0]
    if head == "$":
        tag = token.index("$", 1) + 1
        return token[tag:-tag]
    if head == "'" and dialect in {"postgres", "trino"}:
        return token[1:-1].replace("''", "'")
    if dialect in {"mysql", "snowflake", "bigquery"}:
        return _foreign(token)
    if head in "eE":
        return _escapes(token[2:-1].replace("''", "'"), octal=True)
    if head in "uU":
        return unicode_escapes(token)
    return token[2:-1].replace("''", "'") if head in "nN" else None


def _foreign(token: str) -> str | None:
    head = len(token) - len(token.lstrip("rRbBnNxX"))
    if token[:head].strip("nN"):
        return None
    for quote in ("'''", '"""', "'", '"'):
        if token.startswith(quote, head):
            body = token[head + len(quote) : -len(quote)].replace(quote * 2, quote)
            return _escapes(body, octal=False)
    return None


def _escapes(body: str, *, octal: bool) -> str | None:
    def one(found: re.Match[str]) -> str:
        digits, hexadecimal, short, long, other = found.groups()
        if digits is not None:
            return chr(int(digits, 8)) if octal else _SIMPLE.get(digits[0], digits[0]) + digits[1:]
        if hexadecimal or short or long:
            return chr(int(hexadecimal or short or long, 16))
        return _SIMPLE.get(other, other)

    try:
        return _BACKSLASH.sub(one, body)
    except (ValueError, OverflowError):
        return None


def unicode_escapes(token: str) -> str | None:
    """Decode `U&'…'` or `U&"…"` (with an optional UESCAPE clause); None if an escape is not one."""
    escape = "\\"
    if found := _UESCAPE.search(token):
        escape = found[1]
        token = token[: found.start()]
    quote = token[2]
    body = token[3:-1].replace(quote * 2, quote)
    pattern = re.compile(rf"{re.escape(escape)}(?:([0-9a-fA-F]{{4}})|\+([0-9a-fA-F]{{6}})|({re.escape(escape)})|(.)|\Z)", re.DOTALL)

    def one(found: re.Match[str]) -> str:
        if found[3]:
            return escape
        return chr(int(found[1] or found[2], 16))

    try:
        return pattern.sub(one, body)
    except (ValueError, OverflowError, TypeError):
        return None


def of_number(token: str, *, negative: bool = False) -> str | None:
    """Return the canonical text of a number: `5` for `5`, `5.0`, `0x5` and `5e0`; None for one that is no whole number."""
    if token.isdecimal():
        text = token.lstrip("0") or "0"
    else:
        whole = _whole(token.replace("_", ""))
        if whole is None:
            return None
        text = whole
    return f"-{text}" if negative and text != "0" else text


def _whole(token: str) -> str | None:
    if token[:2].lower() in {"0x", "0o", "0b"}:
        return str(int(token, 0))
    mantissa, _, exponent = token.lower().partition("e")
    if exponent and (not _INTEGER.match(exponent) or abs(int(exponent)) > _EXPONENT_LIMIT):
        return None
    power = int(exponent or 0)
    before, _, after = mantissa.partition(".")
    digits = before + after
    point = len(before) + power
    if point <= 0:
        return "0" if not digits.strip("0") else None
    if digits[point:].strip("0"):
        return None
    return (digits[:point].ljust(point, "0")).lstrip("0") or "0"


def as_integer(text: str) -> str | None:
    """Return the text of a value that the statement casts to an integer (`' 05 '::bigint` is 5), or None if it is none."""
    text = text.strip()
    if not _INTEGER.match(text):
        return None
    sign = "-" if text[0] == "-" else ""
    digits = text.lstrip("+-").lstrip("0")
    return sign + digits if digits else "0"


def of_array(text: str) -> list[str] | None:
    """Read PostgreSQL's text of a one-dimensional array (`{25,"a b"}`); None if it is anything else. NULL items fall away."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    body = text[1:-1]
    items: list[str] = []
    at = 0
    while at < len(body):
        found = _ARRAY_ITEM.match(body, at)
        if not found:
            return None
        at = found.end()
        if found[1] is not None:
            items.append(re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL))
        elif found[2] and found[2].upper() != "NULL":
            items.append(found[2])
    return items


def of_parameters(text: str) -> list[str]:
    """Read pgaudit's PARAMETER field: bind values by position, as CSV."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []
