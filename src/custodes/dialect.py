"""The SQL that rules and explanation templates may use: one SELECT, nodes, functions and tables of an allow-list, nothing else.

What passes here means the same on every engine and can neither read files or settings nor write. sqlglot only parses: it lets much
through that does not port, so every node of the tree is asked for by name. A finding that depends on rounding is no evidence:
there are no floats. What an engine runs is written anew from the checked tree (`bind_sql`), so that parser and engine cannot
read one text in two ways.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import sqlglot
from sqlglot import exp

from custodes.errors import BadRule

MACROS: Final = frozenset({"day_number", "minute_number"})
"""Our own functions, one body per engine: whole days and whole minutes since 1970 of a TIMESTAMP."""

UNIQUE: Final = frozenset({"look", "access", "access_id", "row_key"})
"""Columns that end an ORDER BY: within what a rule orders, they name one row."""

_BINARY: Final = frozenset({"this", "expression"})
_NODES: Final[dict[str, frozenset[str]]] = {
    # statements and their parts, each with the arguments it may carry
    "Select": frozenset({"expressions", "from_", "joins", "where", "group", "having", "order", "distinct", "with_"}),
    "Union": frozenset({"this", "expression", "distinct", "with_", "order"}),
    "With": frozenset({"expressions"}),
    "CTE": frozenset({"this", "alias"}),
    "Subquery": frozenset({"this", "alias"}),
    "From": frozenset({"this"}),
    "Table": frozenset({"this", "alias"}),
    "TableAlias": frozenset({"this"}),
    "Join": frozenset({"this", "on", "using", "side", "kind"}),
    "Where": frozenset({"this"}),
    "Having": frozenset({"this"}),
    "Group": frozenset({"expressions"}),
    "Order": frozenset({"expressions"}),
    "Ordered": frozenset({"this", "desc", "nulls_first"}),
    "Distinct": frozenset({"expressions"}),
    "Alias": frozenset({"this", "alias"}),
    "Column": frozenset({"this", "table"}),
    "Identifier": frozenset({"this", "quoted"}),
    "Star": frozenset(),
    # values
    "Literal": frozenset({"this", "is_string"}),
    "Placeholder": frozenset({"this"}),
    "Null": frozenset(),
    "Boolean": frozenset({"this"}),
    "Interval": frozenset({"this", "unit"}),
    "Var": frozenset({"this"}),
    "Cast": frozenset({"this", "to"}),
    "DataType": frozenset({"this", "nested", "expressions"}),
    # conditions and arithmetic
    **dict.fromkeys(("And", "Or", "EQ", "NEQ", "GT", "GTE", "LT", "LTE"), _BINARY),
    **dict.fromkeys(("NullSafeEQ", "NullSafeNEQ", "Is", "Like", "Add", "Sub", "Mul", "Mod"), _BINARY),
    "DPipe": _BINARY | {"safe"},
    "Not": frozenset({"this"}),
    "Neg": frozenset({"this"}),
    "Paren": frozenset({"this"}),
    "In": frozenset({"this", "expressions", "query"}),
    "Between": frozenset({"this", "low", "high"}),
    "Exists": frozenset({"this"}),
    "Case": frozenset({"this", "ifs", "default"}),
    "If": frozenset({"this", "true"}),
    # functions
    "Count": frozenset({"this", "big_int"}),
    **dict.fromkeys(("Sum", "Min", "Max", "Abs", "Lower"), frozenset({"this"})),
    "RowNumber": frozenset(),
    "Nullif": _BINARY,
    "Coalesce": frozenset({"this", "expressions"}),
    **dict.fromkeys(("Least", "Greatest"), frozenset({"this", "expressions", "ignore_nulls"})),
    "Window": frozenset({"this", "partition_by", "order", "spec", "over"}),
    "WindowSpec": frozenset({"kind", "start", "start_side", "end", "end_side"}),
    "Anonymous": frozenset({"this", "expressions"}),
}
_TYPES: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMPNTZ", "INT", "BIGINT", "VARCHAR", "TEXT", "BOOLEAN"})
_UNITS: Final = frozenset({"DAY", "DAYS", "HOUR", "HOURS", "MINUTE", "MINUTES", "SECOND", "SECONDS"})
_JOIN_KINDS: Final = frozenset({"", "INNER", "CROSS", "OUTER"})
_READABLE: Final = {
    "CurrentTimestamp": "now()",
    "CurrentDate": "the current date",
    "Div": "division (it makes floats)",
    "Bracket": "list access",
    "Array": "a list",
}


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


def _checked(sql: str, views: Mapping[str, Collection[str]]) -> tuple[exp.Expression, tuple[str, ...]]:
    """Steps of engine.md: one statement · each node · each function · each table · what does not port. Returns tree and columns."""
    try:
        tree = _parse(sql)
        _check_tree(tree, sql)
        return tree, _check_scopes(tree, sql, views)
    except RecursionError:
        raise BadRule("the statement is nested too deeply") from None


def _parse(sql: str) -> exp.Expression:
    """Parse exactly one statement that is a SELECT or a union of them."""
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


def _refuse(node: exp.Expression, sql: str, words: str) -> BadRule:
    """Make the error, with the line of the node or of the first word inside it that has one."""
    for part in node.walk():
        line = part.meta.get("line")
        if line is not None:
            return BadRule(f"line {line}: {words}")
    text = node.sql(dialect="duckdb").split("(")[0].strip().lower()
    at = sql.lower().find(text) if text else -1
    return BadRule(f"line {sql.count(chr(10), 0, at) + 1}: {words}" if at >= 0 else words)


def _check_tree(tree: exp.Expression, sql: str) -> None:
    """Refuse each node off the list. Unknown functions come first: they are how files and settings are reached."""
    nodes = list(tree.walk())
    for node in nodes:
        if not isinstance(node, exp.Anonymous):
            continue
        name = str(node.this).lower()
        if name not in MACROS:
            raise _refuse(node, sql, f"function {name}() is not one of the dialect")
        if len(node.expressions) != 1:
            raise _refuse(node, sql, f"function {name}() takes one time")
    for node in nodes:
        kind = type(node).__name__
        allowed = _NODES.get(kind)
        if allowed is None:
            raise _refuse(node, sql, f"{_READABLE.get(kind, _shown(node))} is not allowed in the dialect")
        for name, value in node.args.items():
            if name not in allowed and _filled(value):
                raise _refuse(node, sql, f"{name.rstrip('_').upper()} of {_shown(node)} is not allowed in the dialect")
        check = _SPECIAL.get(kind)
        if check is not None:
            check(node, sql)


def _filled(value: object) -> bool:
    return value is not None and value is not False and value != []


def _shown(node: exp.Expression) -> str:
    """Name a node for its author: a function by its name, other things by their SQL word."""
    if isinstance(node, exp.Func):
        return f"function {node.sql_name().lower()}()"
    return type(node).__name__.upper()


def _check_join(node: exp.Expression, sql: str) -> None:
    side, kind = str(node.args.get("side") or "").upper(), str(node.args.get("kind") or "").upper()
    if kind not in _JOIN_KINDS:
        raise _refuse(node, sql, f"{kind} JOIN does not port: write NOT EXISTS or an inner join")
    if side not in {"", "LEFT"}:
        raise _refuse(node, sql, f"{side} JOIN is not allowed: inner, left and cross join are")


def _check_literal(node: exp.Expression, sql: str) -> None:
    if not node.args.get("is_string") and not str(node.this).isdigit():
        raise _refuse(node, sql, f"{node.this} is a float: thresholds are integers")


def _check_type(node: exp.Expression, sql: str) -> None:
    name = str(getattr(node.this, "value", node.this)).upper()
    if name not in _TYPES or node.expressions:
        raise _refuse(node, sql, f"type {name} is not allowed: floats and lists do not port")


def _check_interval(node: exp.Expression, sql: str) -> None:
    unit = str(node.args.get("unit") or "").upper()
    count = node.this.this if isinstance(node.this, exp.Paren) else node.this
    whole = isinstance(count, exp.Placeholder) or (isinstance(count, exp.Literal) and str(count.this).isdigit())
    if unit not in _UNITS or not whole:
        raise _refuse(node, sql, "an INTERVAL is a whole number of DAY, HOUR, MINUTE or SECOND")


def _check_placeholder(node: exp.Expression, sql: str) -> None:
    name = str(node.this or "")
    if not name.isidentifier():
        raise _refuse(node, sql, "a parameter is written :name")


def _check_group(node: exp.Expression, sql: str) -> None:
    for part in node.expressions:
        if isinstance(part, exp.Literal):
            raise _refuse(part, sql, "GROUP BY lists its columns by name")


def _check_table(node: exp.Expression, sql: str) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise _refuse(node, sql, "a table is a view by its name, never a function")


def _check_star(node: exp.Expression, sql: str) -> None:
    if not isinstance(node.parent, exp.Count | exp.Select | exp.Column):
        raise _refuse(node, sql, "* is only for count(*) and whole views")


def _check_distinct(node: exp.Expression, sql: str) -> None:
    if isinstance(node.parent, exp.Count) and len(node.expressions) != 1:
        raise _refuse(node, sql, "count(DISTINCT …) takes one column")


def _check_subquery(node: exp.Expression, sql: str) -> None:
    """A query stands in FROM, JOIN, IN or EXISTS; as a value it does not port."""
    if not isinstance(node.parent, exp.From | exp.Join | exp.In | exp.Union):
        raise _refuse(node, sql, "a query as a value is not allowed: join it")
    if not isinstance(node.this, exp.Select | exp.Union):
        raise _refuse(node, sql, "only a SELECT stands in brackets")


def _check_window(node: exp.Expression, sql: str) -> None:
    if not isinstance(node.this, exp.RowNumber | exp.Count | exp.Sum | exp.Min | exp.Max):
        raise _refuse(node, sql, "a window is for row_number, count, sum, min or max")


def _check_frame(node: exp.Expression, sql: str) -> None:
    if str(node.args.get("kind") or "").upper() != "RANGE":
        raise _refuse(node, sql, "a window frame is a RANGE over an integer")


_SPECIAL: Final = {
    "Join": _check_join,
    "Literal": _check_literal,
    "DataType": _check_type,
    "Interval": _check_interval,
    "Placeholder": _check_placeholder,
    "Group": _check_group,
    "Table": _check_table,
    "Star": _check_star,
    "Distinct": _check_distinct,
    "Subquery": _check_subquery,
    "Window": _check_window,
    "WindowSpec": _check_frame,
}


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


def _check_scopes(tree: exp.Expression, sql: str, views: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Check what each query can see; return the columns of the whole."""
    known = {name.lower(): tuple(columns) for name, columns in views.items()}
    return _outputs(tree, _check_query(tree, sql, _Scope(known, {}), known))


def _check_query(query: exp.Expression, sql: str, scope: _Scope, views: Collection[str]) -> _Scope:
    """Check names, orders and aliases of one query and of those inside it, each with what it can see; return what that is."""
    inner = scope
    for cte in _ctes(query):
        if cte.alias.lower() in views:
            raise _refuse(cte.args["alias"], sql, f"{cte.alias.lower()} is the name of a view and cannot be redefined")
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
            raise _refuse(source, sql, f"{source.name!r} is not a view that rules may read")
        inputs.update(scope.columns(source))
    aliases = {part.alias for part in select.expressions if isinstance(part, exp.Alias)}
    for part in select.expressions:
        if isinstance(part, exp.Alias) and part.alias in inputs and not _same_column(part):
            raise _refuse(part, sql, f"alias {part.alias} hides an input column of that name: choose another")
    outer = _outer_columns(select, scope)
    for node in nodes:
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and node.name not in inputs | aliases | outer:
            raise _refuse(node, sql, f"column {node.name} is in none of the views read here")
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
        raise _refuse(order, sql, "ORDER BY must end in a unique key, such as access")


def _check_window_order(window: exp.Expression, sql: str, select: exp.Expression, scope: _Scope) -> None:
    """`row_number` needs one order; sums over a RANGE take equal rows together and do not."""
    if not isinstance(window.this, exp.RowNumber):
        return
    order = window.args.get("order")
    if order is None:
        raise _refuse(window, sql, "row_number() needs ORDER BY with a unique last key")
    partition = [part.name for part in window.args.get("partition_by") or () if isinstance(part, exp.Column)]
    keys = frozenset() if select.args.get("group") else _order_keys(select, scope)
    _check_order(order, sql, keys, partition)
