r"""Takes literals and comments out of SQL text. What is left, the key, is the same for every statement of one template.

Rules: a literal never changes what the key says and nothing outside a literal is ever taken for one, for the key decides which
plan is used: a text that hides an `OR` inside what we think is a string, or the other way round, would hide a look. Where that
cannot be decided (cut text, a backslash before a quote, a NUL) the outcome says so and the statement counts as unreadable.

In a key `\0s` stands for a string, `\0n` for a number, `\0m` for a list of literals in `IN (…)` or `ARRAY[…]`. NUL cannot occur in
a PostgreSQL text, so no statement can forge one. Parameters (`$1`, `?`) and quoted identifiers belong to the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_WORD: Final = r"[\w$\x80-\U0010ffff]"
_NOT_AFTER_WORD: Final = rf"(?<!{_WORD})"
_PLAIN: Final = r"'(?:[^']++|'')*+'"
_ESCAPED: Final = r"'(?:[^'\\]++|\\.|'')*+'"
_NUMBER: Final = (
    _NOT_AFTER_WORD
    + r"(?:0[xX][0-9a-fA-F]++|0[oO][0-7]++|0[bB][01]++"
    + r"|\d++(?:_\d++)*+(?:\.(?!\.)(?:\d++(?:_\d++)*+)?)?(?:[eE][+-]?\d++)?|(?<!\.)\.\d++(?:[eE][+-]?\d++)?)"
)
_TAGGED: Final = rf"{_NOT_AFTER_WORD}\$([A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*+)\$.*?\$\2\$"
_POSTGRES_STRING: Final = (
    rf"{_NOT_AFTER_WORD}(?:[eE]{_ESCAPED}|[uU]&{_PLAIN}(?:\s+[uU][eE][sS][cC][aA][pP][eE]\s+'[^']')?|[bBxXnN]{_PLAIN})"
    rf"|{_PLAIN}|{_NOT_AFTER_WORD}\$\$.*?\$\$|{_TAGGED}"
)
_QUOTED: Final = r'"(?:[^"]++|"")*+"'
_COMMENT: Final = r"--[^\n\r]*+|/\*(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/"

POSTGRES: Final = re.compile(rf"({_POSTGRES_STRING})|({_NUMBER})|({_QUOTED})|({_COMMENT})", re.DOTALL)
_STRIDE: Final = 6  # one text piece and five groups per match: string, tag, number, quoted identifier, comment
_FAST: Final = re.compile(
    r"""(['"$0-9/-](?:(?<=')(?:[^']++|'')*+'|(?<=")(?:[^"]++|"")*+"|(?<=\$)[0-9]++"""
    r"""|(?<=-)-[^\n\r]*+|(?<=/)\*(?:[^*/]++|\*(?!/)|/(?!\*))*+\*/"""
    rf"|(?<=[0-9])(?<!{_WORD}[0-9])(?:(?<=0)[xXoObB][0-9a-fA-F]++|[0-9]*+(?:_[0-9]++)*+(?:\.(?!\.)(?:[0-9]++(?:_[0-9]++)*+)?)?"
    r"(?:[eE][+-]?[0-9]++)?)))"
)
"""The common forms, told apart by their first sign. What it does not know leaves a trace, and the full pattern reads the text."""
_PREFIXES: Final = frozenset("eEuUbBxXnN&")
_OPENER: Final = re.compile(r"/\*|\*/")
_MANY: Final = re.compile(r"(?i)(?<![\w$])(?:in\s*\(\s*|array\s*\[\s*)(\0[sn](?:\s*,\s*\0[sn])+)(?=\s*[\])])")

_BACKTICKED: Final = r"`(?:[^`]++|``)*+`"
_FOREIGN: Final = {
    "mysql": re.compile(
        rf"(?P<string>{_NOT_AFTER_WORD}(?:[bBxXnN])?(?:{_ESCAPED})|\"(?:[^\"\\]++|\\.|\"\")*+\")"
        rf"|(?P<number>{_NUMBER})|(?P<name>{_BACKTICKED})"
        r"|(?P<comment>--(?=[\s\x00-\x1f]|$)[^\n\r]*+|\#[^\n\r]*+|/\*(?!M?!).*?\*/)|(?P<code>/\*M?!\d*)|(?P<end>\*/)",
        re.DOTALL,
    ),
    "bigquery": re.compile(
        rf"(?P<string>{_NOT_AFTER_WORD}[rRbB]{{0,2}}(?:'''.*?'''|\"\"\".*?\"\"\"|{_ESCAPED}|\"(?:[^\"\\]++|\\.)*+\"))"
        rf"|(?P<number>{_NUMBER})|(?P<name>{_BACKTICKED})|(?P<comment>--[^\n\r]*+|\#[^\n\r]*+|/\*.*?\*/)",
        re.DOTALL,
    ),
    "snowflake": re.compile(
        rf"(?P<string>{_ESCAPED}|\$\$.*?\$\$)|(?P<number>{_NUMBER})|(?P<name>{_QUOTED})"
        r"|(?P<comment>--[^\n\r]*+|//[^\n\r]*+|/\*.*?\*/)",
        re.DOTALL,
    ),
    "trino": re.compile(
        rf"(?P<string>{_NOT_AFTER_WORD}(?:[uU]&|[xX])?{_PLAIN})|(?P<number>{_NUMBER})|(?P<name>{_QUOTED})"
        r"|(?P<comment>--[^\n\r]*+|/\*.*?\*/)",
        re.DOTALL,
    ),
}
DIALECTS: Final = frozenset({"postgres", *_FOREIGN})
TEXT_LIMIT: Final = 1 << 20
"""Characters of one statement; a longer one counts as cut."""
LITERAL_LIMIT: Final = 100_000
_DOLLAR_LIMIT: Final = 2_000

Literal = str | list[str]
"""The raw token of a literal, or the tokens of a list."""


class Stripped(NamedTuple):
    """A statement without its literals. `fault`: why it cannot be read (`too_long`, `nul`, `open`, `ambiguous`), or empty."""

    key: str
    literals: Sequence[Literal]
    comments: Sequence[str]
    fault: str = ""


def strip(text: str, dialect: str = "postgres") -> Stripped:
    """Split `text` into key, literals and comments. Never raises; linear in the text for all but hostile dollar quotes."""
    if len(text) > TEXT_LIMIT:
        return Stripped("", (), (), "too_long")
    if "\0" in text:
        return Stripped("", (), (), "nul")
    if dialect != "postgres":
        return _foreign(text, _FOREIGN[dialect])
    if "$" in text and text.count("$") > _DOLLAR_LIMIT and len(text) > 20 * _DOLLAR_LIMIT:
        return Stripped("", (), (), "too_long")
    return _postgres(text)


def _postgres(text: str) -> Stripped:
    """Read the common forms fast; everything else thoroughly."""
    parts = _FAST.split(text)
    literals: list[str] = []
    comments: list[str] = []
    for at in range(1, len(parts), 2):
        token = parts[at]
        sign = token[0]
        if sign == "'":
            before = parts[at - 1]
            if (before and before[-1] in _PREFIXES) or "\\'" in token:
                return _thorough(text)
            literals.append(token)
            parts[at] = " \0s "
        elif sign in "0123456789":
            before = parts[at - 1]
            if before and before[-1] == ".":
                return _thorough(text)
            literals.append(token)
            parts[at] = " \0n "
        elif sign in "-/":
            comments.append(token)
            parts[at] = " "
        elif sign == "$":
            parts[at] = token.replace("$", "\0$")  # told apart from a dollar that nothing explained
        elif (before := parts[at - 1]) and before[-1] == "&":
            return _thorough(text)
    key = "".join(parts)
    if "$" in key:
        if key.count("$") != key.count("\0$"):
            return _thorough(text)
        key = key.replace("\0$", "$")
    if "'" in key or "/*" in key:
        return _thorough(text)
    return _closed(key, literals, comments)


def _thorough(text: str) -> Stripped:
    parts = POSTGRES.split(text)
    literals: list[str] = []
    comments: list[str] = []
    pieces = [parts[0]]
    fault = ""
    for at in range(1, len(parts), _STRIDE):
        string = parts[at]
        if string is not None:
            literals.append(string)
            pieces.append(" \0s ")
            if "\\" in string and string[0] == "'" and "\\'" in string:
                fault = "ambiguous"  # depends on standard_conforming_strings, which every session may change
        elif parts[at + 2] is not None:
            literals.append(parts[at + 2])
            pieces.append(" \0n ")
        elif parts[at + 3] is not None:
            pieces.append(parts[at + 3])
        else:
            comments.append(parts[at + 4])
            pieces.append(" ")
        pieces.append(parts[at + 5])
    key = "".join(pieces)
    if "/*" in key and '"' not in key:
        return _nested(text)
    if "/*" in key and "/*" in _unquoted(key):
        return _nested(text)
    return _closed(key, literals, comments, fault)


def _unquoted(key: str) -> str:
    return re.sub(_QUOTED, '"', key)


def _closed(key: str, literals: list[str], comments: list[str], fault: str = "") -> Stripped:
    """Finish a key: note what was left open, fold lists."""
    if len(literals) > LITERAL_LIMIT:
        return Stripped("", (), comments, "too_long")
    if "'" in key and "'" in _unquoted(key):
        return Stripped(key, literals, comments, "open")
    if len(literals) > 1 and "\0" in key and (found := _MANY.search(key)):
        key, folded = _fold(key, literals, found.start())
        return Stripped(key, folded, comments, fault)
    return Stripped(key, literals, comments, fault)


def _fold(key: str, literals: list[str], start: int) -> tuple[str, list[Literal]]:
    pieces: list[str] = []
    folded: list[Literal] = []
    at = 0
    index = 0
    for found in _MANY.finditer(key, start):
        head = key[at : found.start(1)]
        before = head.count("\0")
        folded.extend(literals[index : index + before])
        index += before
        size = found[1].count("\0")
        folded.append(literals[index : index + size])
        index += size
        pieces += (head, "\0m")
        at = found.end(1)
    pieces.append(key[at:])
    folded.extend(literals[index:])
    return "".join(pieces), folded


def _nested(text: str) -> Stripped:
    """Read a text with comments inside comments, which PostgreSQL allows and no pattern can follow."""
    literals: list[str] = []
    comments: list[str] = []
    pieces: list[str] = []
    fault = ""
    at = 0
    scanner = re.compile(rf"({_POSTGRES_STRING})|({_NUMBER})|({_QUOTED})|(--[^\n\r]*+|/\*)", re.DOTALL)
    while found := scanner.search(text, at):
        pieces.append(text[at : found.start()])
        at = found.end()
        if found[1] is not None:
            literals.append(found[1])
            pieces.append(" \0s ")
            if found[1][0] == "'" and "\\'" in found[1]:
                fault = "ambiguous"
        elif found[3] is not None:
            literals.append(found[3])
            pieces.append(" \0n ")
        elif found[4] is not None:
            pieces.append(found[4])
        else:
            pieces.append(" ")
            if found[5] == "/*":
                at = _comment_end(text, at)
                if at < 0:
                    return Stripped("".join(pieces), literals, comments, "open")
            comments.append(text[found.start() : at])
    pieces.append(text[at:])
    return _closed("".join(pieces), literals, comments, fault)


def _comment_end(text: str, at: int) -> int:
    depth = 1
    for mark in _OPENER.finditer(text, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return -1


def _foreign(text: str, scanner: re.Pattern[str]) -> Stripped:
    literals: list[str] = []
    comments: list[str] = []
    pieces: list[str] = []
    at = 0
    for found in scanner.finditer(text):
        pieces.append(text[at : found.start()])
        at = found.end()
        kind = found.lastgroup
        if kind in {"string", "number"}:
            literals.append(found[0])
            pieces.append(" \0s " if kind == "string" else " \0n ")
        elif kind == "name":
            pieces.append(found[0])
        else:  # a comment; the marks around MySQL's `/*! code */` go, the code stays
            pieces.append(" ")
            if kind == "comment":
                comments.append(found[0])
    pieces.append(text[at:])
    key = "".join(pieces)
    return Stripped(key, literals, comments, "open") if "/*" in key else _closed(key, literals, comments)
