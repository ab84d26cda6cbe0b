"""The SQL that rules and explanation templates may use: one SELECT, nodes, functions and tables of an allow-list, nothing else.

What passes here means the same on every engine and can neither read files or settings nor write. sqlglot only parses: it lets much
through that does not port, so every node of the tree is asked for by name (`nodes`), then every name for what it stands for
(`scopes`). A finding that depends on rounding is no evidence: there are no floats. What an engine runs is written anew from the
checked tree, so that parser and engine cannot read one text in two ways.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlglot import exp

from custodes.dialect.nodes import check_nodes
from custodes.dialect.parsing import parse
from custodes.dialect.scopes import check_scopes
from custodes.errors import BadRule


class Statement(NamedTuple):
    """One statement that keeps the dialect, read and checked once.

    `columns`: what it returns, in order; `placeholders`: the names that stand in it as `:name`; `text`: what an engine runs, with
    the parameters put in.
    """

    columns: tuple[str, ...]
    placeholders: frozenset[str]
    text: str


def read_statement(sql: str, views: Mapping[str, Collection[str]], parameters: Mapping[str, int]) -> Statement:
    """Check `sql` and put `parameters` in the place of `:name` as integer literals.

    Raises `BadRule` as `check_sql` does, and for a placeholder without a parameter.
    """
    tree, columns = _checked(sql, views)
    named = frozenset(str(node.this) for node in tree.find_all(exp.Placeholder))
    return Statement(columns, named, _bound(tree, parameters))


def check_sql(sql: str, views: Mapping[str, Collection[str]]) -> None:
    """Return if `sql` keeps the dialect over `views` (name → columns); raise `BadRule` naming line and word if not."""
    _checked(sql, views)


def placeholders(sql: str, views: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names of the `:name` placeholders of a statement. Raises `BadRule` as `check_sql` does."""
    return {str(node.this) for node in _checked(sql, views)[0].find_all(exp.Placeholder)}


def output_columns(sql: str, views: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the names of the columns a statement returns, in order. Raises `BadRule` as `check_sql` does."""
    return _checked(sql, views)[1]


def bind_sql(sql: str, views: Mapping[str, Collection[str]], parameters: Mapping[str, int]) -> str:
    """Return the text of `read_statement`."""
    return read_statement(sql, views, parameters).text


def _checked(sql: str, views: Mapping[str, Collection[str]]) -> tuple[exp.Expression, tuple[str, ...]]:
    """Steps of engine.md: one statement · each node · each function · each table · what does not port. Returns tree and columns."""
    try:
        tree = parse(sql)
        check_nodes(tree, sql)
        return tree, check_scopes(tree, sql, views)
    except RecursionError:
        raise BadRule("the statement is nested too deeply") from None


def _bound(tree: exp.Expression, parameters: Mapping[str, int]) -> str:
    """Write a checked tree for DuckDB; the tree is used up."""
    for node in list(tree.find_all(exp.Placeholder)):
        name = str(node.this)
        if name not in parameters:
            raise BadRule(f"parameter :{name} is not declared")
        value = parameters[name]
        within = node.find_ancestor(exp.Interval, exp.Select)
        inside = isinstance(within, exp.Interval)
        node.replace(exp.Literal.string(str(value)) if inside else _number(value))
    for paren in [node for node in tree.find_all(exp.Interval) if isinstance(node.this, exp.Paren)]:
        paren.set("this", paren.this.this)
    return str(tree.sql(dialect="duckdb", comments=False, copy=False))


def _number(value: int) -> exp.Expression:
    return exp.Literal.number(value) if value >= 0 else exp.Paren(this=exp.Neg(this=exp.Literal.number(-value)))
