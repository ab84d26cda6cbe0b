"""What each query of a statement can see: views and CTEs by name, their columns, and what makes an order certain."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from sqlglot import exp

from custodes.dialect.parsing import refused

UNIQUE: Final = frozenset({"look", "access", "access_id", "row_key"})
"""Columns that end an ORDER BY: within what a rule orders, they name one row."""


def check_scopes(tree: exp.Expression, sql: str, views: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Check what each query can see; return the columns of the whole. Raises `BadRule`."""
    known = {name.lower(): tuple(columns) for name, columns in views.items()}
    return _outputs(tree, _check_query(tree, sql, _Scope(known, {}), known))


def _check_query(query: exp.Expression, sql: str, scope: _Scope, views: Collection[str]) -> _Scope:
    """Check names, orders and aliases of one query and of those inside it, each with what it can see; return what that is."""
    inner = scope
    for cte in _ctes(query):
        if cte.alias.lower() in views:
            raise refused(cte.args["alias"], sql, f"{cte.alias.lower()} is the name of a view and cannot be redefined")
        _check_query(cte.this, sql, inner, views)
        inner = inner.beside(cte)
    nodes = list(_own_nodes(query))
    if isinstance(query, exp.Select):
        _check_select(query, nodes, sql, inner)
    for node in nodes:
        if isinstance(node, exp.Select | exp.Union):
            _check_query(node, sql, inner, views)
    order = query.args.get("order")
    if order is not None:
        _check_order(order, sql, _order_keys(query, inner))
    return inner


def _own_nodes(query: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the nodes of one query, of queries inside it only their root, and of its CTEs none."""
    stack: list[object] = [value for name, value in query.args.items() if name != "with_"]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, exp.Expression):
            yield value
            if not isinstance(value, exp.Select | exp.Union):
                stack.extend(value.args.values())


def _check_select(select: exp.Select, nodes: Iterable[exp.Expression], sql: str, scope: _Scope) -> None:
    """Tables must be known, columns must exist somewhere in sight, an alias must not hide an input column."""
    inputs: set[str] = set()
    for source in _sources(select):
        if isinstance(source, exp.Table) and source.name.lower() not in scope.known:
            raise refused(source, sql, f"{source.name!r} is not a view that rules may read")
        inputs.update(scope.columns(source))
    aliases = {part.alias for part in select.expressions if isinstance(part, exp.Alias)}
    for part in select.expressions:
        if isinstance(part, exp.Alias) and part.alias in inputs and not _same_column(part):
            raise refused(part, sql, f"alias {part.alias} hides an input column of that name: choose another")
    outer = _outer_columns(select, scope)
    for node in nodes:
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and node.name not in inputs | aliases | outer:
            raise refused(node, sql, f"column {node.name} is in none of the views read here")
        if isinstance(node, exp.Window):
            _check_window_order(node, sql, select, scope)


def _same_column(part: exp.Alias) -> bool:
    return isinstance(part.this, exp.Column) and part.this.name == part.alias


def _outer_columns(select: exp.Expression, scope: _Scope) -> set[str]:
    """Return the columns of the queries around a correlated one."""
    found: set[str] = set()
    around = select.parent_select
    while around is not None:
        for source in _sources(around):
            found.update(scope.columns(source))
        around = around.parent_select
    return found


def _order_keys(query: exp.Expression, scope: _Scope) -> frozenset[str]:
    """Return the columns that name one row of what `query` orders."""
    own = _row_key(query)
    if own or not isinstance(query, exp.Select):
        return own
    sources = _sources(query)
    if len(sources) != 1:
        return frozenset()
    return scope.keys.get(sources[0].name.lower(), frozenset())


def _check_order(order: exp.Expression, sql: str, keys: frozenset[str], partition: Collection[str] = ()) -> None:
    """The last key, or all keys together with the partition, must name one row."""
    columns = [part.this for part in order.expressions]
    last = columns[-1]
    if isinstance(last, exp.Column) and last.name in UNIQUE:
        return
    names = {part.name for part in columns if isinstance(part, exp.Column)} | set(partition)
    if not keys or not keys <= names:
        raise refused(order, sql, "ORDER BY must end in a unique key, such as access")


def _check_window_order(window: exp.Expression, sql: str, select: exp.Expression, scope: _Scope) -> None:
    """`row_number` needs one order; sums over a RANGE take equal rows together and do not."""
    if not isinstance(window.this, exp.RowNumber):
        return
    order = window.args.get("order")
    if order is None:
        raise refused(window, sql, "row_number() needs ORDER BY with a unique last key")
    partition = [part.name for part in window.args.get("partition_by") or () if isinstance(part, exp.Column)]
    keys = frozenset() if select.args.get("group") else _order_keys(select, scope)
    _check_order(order, sql, keys, partition)


class _Scope:
    """Which names a query can read from, and their columns: the views, then the CTEs before it."""

    def __init__(self, known: Mapping[str, tuple[str, ...]], keys: Mapping[str, frozenset[str]]) -> None:
        """`known`: columns of each name in small letters; `keys`: of CTEs, the columns that name one row."""
        self.known = known
        self.keys = keys

    def beside(self, cte: exp.Expression) -> _Scope:
        """Return the scope with one CTE added, which is read with what can be seen here."""
        name = cte.alias.lower()
        return _Scope({**self.known, name: _outputs(cte.this, self)}, {**self.keys, name: _row_key(cte.this)})

    def inside(self, query: exp.Expression) -> _Scope:
        """Return the scope with the CTEs of `query` added."""
        inner = self
        for cte in _ctes(query):
            inner = inner.beside(cte)
        return inner

    def columns(self, source: exp.Expression) -> tuple[str, ...]:
        """Return the columns of a FROM or JOIN part."""
        if isinstance(source, exp.Subquery):
            return _outputs(source.this, self)
        return self.known.get(source.name.lower(), ())


def _ctes(query: exp.Expression) -> list[exp.Expression]:
    with_ = query.args.get("with_")
    return list(with_.expressions) if with_ else []


def _sources(select: exp.Expression) -> list[exp.Expression]:
    """Return the tables and subqueries that a SELECT reads from directly."""
    start = select.args.get("from_")
    first = [start.this] if start is not None else []
    return first + [join.this for join in select.args.get("joins") or ()]


def _outputs(query: exp.Expression, scope: _Scope) -> tuple[str, ...]:
    """Return the column names a query gives."""
    inner = scope.inside(query)
    if isinstance(query, exp.Union):
        return _outputs(query.left, inner)
    names: list[str] = []
    for part in query.expressions:
        if isinstance(part, exp.Star) or (isinstance(part, exp.Column) and isinstance(part.this, exp.Star)):
            wanted = part.table if isinstance(part, exp.Column) else ""
            for source in _sources(query):
                if not wanted or source.alias_or_name == wanted:
                    names.extend(inner.columns(source))
        else:
            names.append(part.alias_or_name)
    return tuple(names)


def _row_key(query: exp.Expression) -> frozenset[str]:
    """Return the output columns that together name one row of a query, empty where that is not evident."""
    if not isinstance(query, exp.Select):
        return frozenset()
    if query.args.get("distinct"):
        return frozenset(part.alias_or_name for part in query.expressions)
    group = query.args.get("group")
    if group is None:
        return frozenset()
    grouped = {_written(part) for part in group.expressions}
    shown = {_written(part.unalias()): part.alias_or_name for part in query.expressions}
    return frozenset(shown[part] for part in grouped) if grouped <= set(shown) else frozenset()


def _written(part: exp.Expression) -> str:
    """Return a part as it is written, to compare it with others; the tree stays as it is."""
    return str(part.sql(copy=False))
