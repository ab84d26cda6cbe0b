"""A text becomes a tree, and what is refused in the tree is told with its line in the text."""

from __future__ import annotations

import sqlglot
from sqlglot import exp

from custodes.errors import BadRule


def parse(sql: str) -> exp.Expression:
    """Parse exactly one statement that is a SELECT or a union of them. Raises `BadRule`, and `RecursionError` for deep nesting."""
    try:
        statements = [part for part in sqlglot.parse(sql, read="duckdb") if part is not None]
    except sqlglot.errors.SqlglotError as wrong:
        raise BadRule(f"not SQL of the dialect: {_parse_error(wrong)}") from None
    except RecursionError:
        raise
    except Exception as wrong:  # the parser stumbles over some nonsense with errors of Python's own
        raise BadRule("not SQL of the dialect") from wrong
    if len(statements) != 1:
        raise BadRule(f"expected exactly one SELECT, found {len(statements)} statements")
    tree = statements[0]
    if not isinstance(tree, exp.Select | exp.Union):
        raise BadRule(f"line 1: expected a SELECT, found {type(tree).__name__.upper()}")
    return tree


def _parse_error(wrong: Exception) -> str:
    for entry in getattr(wrong, "errors", None) or ():
        return f"line {entry.get('line')}: {entry.get('description')} near {entry.get('highlight')!r}"
    return next(iter(str(wrong).splitlines()), "unreadable")


def refused(node: exp.Expression, sql: str, words: str) -> BadRule:
    """Make the error, with the line of the node or of the first word inside it that has one."""
    for part in node.walk():
        line = part.meta.get("line")
        if line is not None:
            return BadRule(f"line {line}: {words}")
    text = node.sql(dialect="duckdb").split("(")[0].strip().lower()
    at = sql.lower().find(text) if text else -1
    return BadRule(f"line {sql.count(chr(10), 0, at) + 1}: {words}" if at >= 0 else words)
