"""Takes off what stands around a query and what the parser cannot read, on text without literals: patterns are safe here.

Every change keeps or widens what the statement can reach.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from custodes.statements.values import unicode_escapes

_NAME: Final = r'(?:"(?:[^"]|"")*"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")*"|[\w$]+))*'
_I: Final = re.IGNORECASE | re.DOTALL

_DECLARE: Final = re.compile(
    rf"\s*declare\s+{_NAME}\s+(?:(?:binary|insensitive|asensitive|no\s+scroll|scroll)\s+)*cursor(?:\s+with(?:out)?\s+hold)?\s+for\s+",
    _I,
)
_PREPARE: Final = re.compile(rf"\s*prepare\s+{_NAME}\s*(?:\((?:[^()]|\([^()]*\))*\)\s*)?as\s+", _I)
_EXPLAIN: Final = re.compile(r"\s*explain\s+(?:\(((?:[^()]|\([^()]*\))*)\)\s*|((?:(?:analyze|verbose)\s+)*))", _I)
_NOT_ANALYZED: Final = re.compile(r"\banalyze\s+(?:false|off|\0n)", _I)
_COPY_QUERY: Final = re.compile(r"\s*copy\s*\((.*)\)\s*to\b[^()]*(?:\(.*\))?[^()]*\Z", _I)
_COPY_TABLE: Final = re.compile(rf"\s*copy\s+(?:binary\s+)?({_NAME})\s*(\([^()]*\))?\s*(to|from)\b", _I)
_COPY_INTO: Final = re.compile(rf"\s*copy\s+into\s+(?:\0s|@\S+)\s*from\s*(?:\((.*)\)|({_NAME}))", _I)
_UNLOAD: Final = re.compile(r"\s*unload\s*\((.*)\)\s*to\b", _I)
_OUTFILE: Final = re.compile(r"\sinto\s+(?:outfile|dumpfile)\s+\0s.*\Z", _I)
_CREATE_AS: Final = re.compile(
    rf"\s*create\s+(?:or\s+replace\s+)?(?:(?:global|local)\s+)?(?:(temporary|temp|unlogged)\s+)?(table|materialized\s+view)\s+"
    rf"(?:if\s+not\s+exists\s+)?({_NAME})\s*(\([\w$\s,\"]*\)\s*)?(?:(?:using|on\s+commit|tablespace)\s+[\w$\s]+?\s*|with\s*\([^()]*\)\s*)*"
    rf"\bas\s+(?=[(\s]*(?:select|with|table|values|execute)\b)",
    _I,
)
_WITH_DATA: Final = re.compile(r"\swith\s+(?:no\s+)?data\s*\Z", _I)
_ROUTINE_CALL: Final = re.compile(rf"\s*call\s+({_NAME})", _I)
_DO: Final = re.compile(r"\s*do\s+(?:language\s+[\w\"]+\s+)?\0s", _I)
_EXECUTE: Final = re.compile(rf"\s*execute\s+({_NAME})", _I)
_INSTEAD: Final = re.compile(
    r"\s*(?:begin|start\s+transaction|commit|end|rollback|savepoint|release|set|reset|show|discard|refresh)\b[^;]*\Z", _I
)
_TABLE: Final = re.compile(r"(?:\A|(?<=[(;]))\s*table\s+(?:only\s+)?(?=[\w\"])", _I)
_ONLY: Final = re.compile(r"\b(from|join|update|using)\s+only\b(?=\s*[\w\"])", _I)
_OPERATOR: Final = re.compile(r"\boperator\s*\(\s*(?:[\w\"]+\s*\.\s*)?([^\s\w\"()]+)\s*\)", _I)
_INET: Final = re.compile(r"<<=|>>=|(?<![<>=!@#%^&|`?~*/+-])(?:<<|>>)(?![<>=!@#%^&|`?~*/+-])")
_UNICODE_NAME: Final = re.compile(r'(?<![\w$])[uU]&("(?:[^"]|"")*")')
_UNICODE_ESCAPE: Final = re.compile(r'(?<![\w$])[uU]&"(?:[^"]|"")*"\s+uescape\b', re.IGNORECASE)
_QUALIFIED_CAST: Final = re.compile(r"::\s*pg_catalog\s*\.\s*", re.IGNORECASE)


@dataclass(slots=True)
class Peeled:
    """The query inside a statement. `verdict`: settled without parsing (`dynamic`, `routine`, `session`), or empty."""

    text: str
    verdict: str = ""
    runs: bool = True
    cursor: bool = False
    action: str | None = None
    derived: str | None = None
    renames: tuple[str, ...] = ()
    writes_to: str | None = None
    routine: str | None = None


class Unreadable(ValueError):
    """The text cannot be read, and nothing may be assumed of it."""


def peel(key: str, dialect: str) -> Peeled:
    """Take the wrappers off a key, outermost first."""
    peeled = Peeled(key.strip().rstrip(";").strip())
    if dialect == "postgres":
        _wrapped(peeled)
        if not peeled.verdict:
            peeled.text = _plain(peeled.text)
    else:
        _foreign(peeled)
    return peeled


def _wrapped(peeled: Peeled) -> None:
    for _ in range(4):  # EXPLAIN ANALYZE EXECUTE, DECLARE … FOR, COPY (…) may stand in each other
        text = peeled.text
        if found := _DECLARE.match(text):
            peeled.cursor, peeled.text = True, text[found.end() :]
        elif found := _PREPARE.match(text):
            peeled.runs, peeled.text = False, text[found.end() :]
        elif found := _EXPLAIN.match(text):
            options = (found[1] or found[2] or "").lower()
            peeled.runs = "analyze" in options and not _NOT_ANALYZED.search(options)
            peeled.text = text[found.end() :]
        elif found := _COPY_QUERY.match(text):
            peeled.action, peeled.text = "export", found[1]
        elif found := _COPY_TABLE.match(text):
            _copied(peeled, found)
            return
        elif found := _CREATE_AS.match(text):
            temporary = (found[1] or "").lower().startswith("temp")
            peeled.derived = ("pg_temp." if temporary and "." not in found[3] else "") + folded(found[3])
            peeled.renames = tuple(folded(name) for name in (found[4] or "").strip().strip("()").split(",") if name.strip())
            peeled.text = _WITH_DATA.sub("", text[found.end() :])
        else:
            break
    _settle(peeled)


def _copied(peeled: Peeled, found: re.Match[str]) -> None:
    columns = (found[2] or "").strip().strip("()").strip()
    if found[3].lower() == "to":
        peeled.action, peeled.text = "export", f"select {columns or '*'} from {found[1]}"
    else:
        peeled.action, peeled.text, peeled.writes_to = "write", "", folded(found[1])


def _settle(peeled: Peeled) -> None:
    text = peeled.text
    if _DO.match(text) or _EXECUTE.match(text):
        peeled.verdict = "dynamic"
    elif found := _ROUTINE_CALL.match(text):
        peeled.verdict, peeled.routine = "routine", folded(found[1])
    elif not text or _INSTEAD.match(text):
        peeled.verdict = "session"


def _plain(text: str) -> str:
    if _UNICODE_ESCAPE.search(text):
        raise Unreadable
    text = _UNICODE_NAME.sub(_decoded, text)
    text = _OPERATOR.sub(r" \1 ", text)
    text = _TABLE.sub(" select * from ", text)
    text = _ONLY.sub(r"\1 ", text)
    text = _QUALIFIED_CAST.sub("::", text)
    return _outside_names(text)


def _outside_names(text: str) -> str:
    """Give the network operators, which the parser does not know, the form of one that it reads with the same binding."""
    if "<<" not in text and ">>" not in text:
        return text
    parts = re.split(r'("(?:[^"]|"")*")', text)
    return "".join(part if at % 2 else _INET.sub(" @> ", part) for at, part in enumerate(parts))


def _decoded(found: re.Match[str]) -> str:
    name = unicode_escapes(found[0])
    if name is None or "\0" in name:
        raise Unreadable
    return '"' + name.replace('"', '""') + '"'


def _foreign(peeled: Peeled) -> None:
    text = peeled.text
    if found := _OUTFILE.search(text):
        peeled.action, text = "export", text[: found.start()]
    if found := _COPY_INTO.match(text):
        peeled.action, text = "export", found[1] or f"select * from {found[2]}"
    elif found := _UNLOAD.match(text):
        peeled.action, text = "export", found[1]
    elif found := _ROUTINE_CALL.match(text):
        peeled.verdict, peeled.routine = "routine", folded(found[1])
    peeled.text = text


def folded(name: str) -> str:
    """Return a dotted name as the database folds it."""
    parts = re.findall(r'"((?:[^"]|"")*)"|([\w$]+)', name)
    return ".".join(quoted.replace('""', '"') if quoted else plain.lower() for quoted, plain in parts)
