"""What may stand in a statement: nodes, what each may carry, functions and types, all by name. What is not listed is refused."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from custodes.dialect.parsing import refused

MACROS: Final = frozenset({"day_number", "minute_number"})
"""Our own functions, one body per engine: whole days and whole minutes since 1970 of a TIMESTAMP."""

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


def check_nodes(tree: exp.Expression, sql: str) -> None:
    """Raise `BadRule` for a node off the list. Unknown functions come first: they are how files and settings are reached."""
    nodes = list(tree.walk())
    for node in nodes:
        if not isinstance(node, exp.Anonymous):
            continue
        name = str(node.this).lower()
        if name not in MACROS:
            raise refused(node, sql, f"function {name}() is not one of the dialect")
        if len(node.expressions) != 1:
            raise refused(node, sql, f"function {name}() takes one time")
    for node in nodes:
        kind = type(node).__name__
        allowed = _NODES.get(kind)
        if allowed is None:
            raise refused(node, sql, f"{_READABLE.get(kind, _shown(node))} is not allowed in the dialect")
        for name, value in node.args.items():
            if name not in allowed and _filled(value):
                raise refused(node, sql, f"{name.rstrip('_').upper()} of {_shown(node)} is not allowed in the dialect")
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
        raise refused(node, sql, f"{kind} JOIN does not port: write NOT EXISTS or an inner join")
    if side not in {"", "LEFT"}:
        raise refused(node, sql, f"{side} JOIN is not allowed: inner, left and cross join are")


def _check_literal(node: exp.Expression, sql: str) -> None:
    if not node.args.get("is_string") and not str(node.this).isdigit():
        raise refused(node, sql, f"{node.this} is a float: thresholds are integers")


def _check_type(node: exp.Expression, sql: str) -> None:
    name = str(getattr(node.this, "value", node.this)).upper()
    if name not in _TYPES or node.expressions:
        raise refused(node, sql, f"type {name} is not allowed: floats and lists do not port")


def _check_interval(node: exp.Expression, sql: str) -> None:
    unit = str(node.args.get("unit") or "").upper()
    count = node.this.this if isinstance(node.this, exp.Paren) else node.this
    whole = isinstance(count, exp.Placeholder) or (isinstance(count, exp.Literal) and str(count.this).isdigit())
    if unit not in _UNITS or not whole:
        raise refused(node, sql, "an INTERVAL is a whole number of DAY, HOUR, MINUTE or SECOND")


def _check_placeholder(node: exp.Expression, sql: str) -> None:
    name = str(node.this or "")
    if not name.isidentifier():
        raise refused(node, sql, "a parameter is written :name")


def _check_group(node: exp.Expression, sql: str) -> None:
    for part in node.expressions:
        if isinstance(part, exp.Literal):
            raise refused(part, sql, "GROUP BY lists its columns by name")


def _check_table(node: exp.Expression, sql: str) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise refused(node, sql, "a table is a view by its name, never a function")


def _check_star(node: exp.Expression, sql: str) -> None:
    if not isinstance(node.parent, exp.Count | exp.Select | exp.Column):
        raise refused(node, sql, "* is only for count(*) and whole views")


def _check_distinct(node: exp.Expression, sql: str) -> None:
    if isinstance(node.parent, exp.Count) and len(node.expressions) != 1:
        raise refused(node, sql, "count(DISTINCT …) takes one column")


def _check_subquery(node: exp.Expression, sql: str) -> None:
    """A query stands in FROM, JOIN, IN or EXISTS; as a value it does not port."""
    if not isinstance(node.parent, exp.From | exp.Join | exp.In | exp.Union):
        raise refused(node, sql, "a query as a value is not allowed: join it")
    if not isinstance(node.this, exp.Select | exp.Union):
        raise refused(node, sql, "only a SELECT stands in brackets")


def _check_window(node: exp.Expression, sql: str) -> None:
    if not isinstance(node.this, exp.RowNumber | exp.Count | exp.Sum | exp.Min | exp.Max):
        raise refused(node, sql, "a window is for row_number, count, sum, min or max")


def _check_frame(node: exp.Expression, sql: str) -> None:
    if str(node.args.get("kind") or "").upper() != "RANGE":
        raise refused(node, sql, "a window frame is a RANGE over an integer")


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
