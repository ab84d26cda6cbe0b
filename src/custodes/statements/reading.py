"""Makes a plan from a key: parse once, read the tree, keep what does not depend on values."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from custodes.model.draft import FieldUse, Resource
from custodes.statements import catalog as c
from custodes.statements import lexer, values
from custodes.statements.lexer import Literal
from custodes.statements.plan import Plan, SelectorUse, Slot, is_direct, single_in, widest
from custodes.statements.predicates import NUMBER_SLOT
from custodes.statements.query import Statement, TooComplex
from custodes.statements.scope import Outputs
from custodes.statements.wrappers import Peeled, Unreadable, folded, peel

KEY_LIMIT: Final = 64 * 1024
DEPTH_LIMIT: Final = 400
BRACKET_LIMIT: Final = 5
"""Nested `[`: the parser's work doubles with each."""

_MARK: Final = re.compile("\0([snm])")
_SPACE: Final = re.compile(r"\s+")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"|`((?:[^`]|``)*)`')
_INET_TEST: Final = re.compile(r"(?<![\0\w\"])([\w\"]+)\s*(?:<<=|>>=|<<|>>|&&)|(?:<<=|>>=|<<|>>|&&)\s*([\w\"]+)")
_WORDS: Final = re.compile(r'"((?:[^"]|"")*)"|([A-Za-z_\x80-\U0010ffff][\w$]*)')
_ACTIONS: Final = (
    (exp.Delete, "delete"),
    (exp.TruncateTable, "delete"),
    (exp.Insert, "write"),
    (exp.Update, "write"),
    (exp.Merge, "write"),
)

logging.getLogger("sqlglot").addHandler(logging.NullHandler())
logging.getLogger("sqlglot").propagate = False  # its warnings quote the statement


def plan_of(key: str, fault: str, dialect: str, names: c.Names, catalog: c.Catalog) -> Plan:
    """Return the plan of a template. Never raises: what cannot be read is of unknown scope and says so."""
    template = clear(key, names)
    try:
        if fault not in {"", "ambiguous"} or len(key) > KEY_LIMIT or _depth(key) > DEPTH_LIMIT:
            return _unread(key, template, names, catalog)
        peeled = peel(key, dialect)
        plan = _planned(peeled, template, dialect, names, catalog)
    except (SqlglotError, Unreadable, TooComplex, RecursionError, AttributeError, KeyError, IndexError, TypeError, ValueError):
        # a tree of a shape that was not foreseen is a parse failure, never an exit
        return _unread(key, template, names, catalog)
    if fault:
        plan = _ambiguous(plan)
    return replace(plan, direct=is_direct(plan.keys, plan.selectors), single=single_in(plan.keys, plan.selectors))


def _ambiguous(plan: Plan) -> Plan:
    """Keep what an ambiguous text names, promise nothing about whom it reaches."""
    searched = tuple(use._replace(relation="searched_for") for use in plan.keys)
    coverage = (*plan.coverage, "predicate_opaque")
    scope = widest((plan.scope, "unknown"))
    return replace(plan, keys=searched, scope=scope, coverage=coverage, limited=False)


def clear(key: str, names: c.Names) -> str:
    """Return the template that may be stored in clear: no literal, and no quoted name that the data map does not know."""

    def known(found: re.Match[str]) -> str:
        name = (found[1] or found[2] or "").replace('""', '"')
        return found[0] if name in names.words else '"?"'

    text = _MARK.sub(lambda found: "?…" if found[1] == "m" else "?", key)
    return _SPACE.sub(" ", _QUOTED.sub(known, text)).strip().rstrip(";").strip()


def _depth(key: str) -> int:
    depth = deepest = brackets = 0
    for sign in re.findall(r"[()\[\]]", key):
        step = 1 if sign in "([" else -1
        depth += step
        brackets += step if sign in "[]" else 0
        deepest = max(deepest, depth)
        if brackets > BRACKET_LIMIT:
            return DEPTH_LIMIT + 1
    return deepest


def parsed(key: str, dialect: str) -> list[exp.Expression]:
    """Parse a key; each literal is its slot's sentinel in the tree."""
    number = -1

    def sentinel(found: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return str(NUMBER_SLOT + number) if found[1] == "n" else f"'~{number}~'"

    trees = sqlglot.parse(_MARK.sub(sentinel, key), dialect=dialect, error_level=ErrorLevel.IMMEDIATE)
    return [tree for tree in trees if tree is not None]


class _Views:
    """Parses view definitions; their literals stay, as constants."""

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect

    def __call__(self, name: str, text: str) -> exp.Expression | None:
        del name
        stripped = lexer.strip(text, self._dialect)
        if stripped.fault or len(stripped.key) > KEY_LIMIT or _depth(stripped.key) > DEPTH_LIMIT:
            return None
        try:
            trees = parsed(peel(stripped.key, self._dialect).text, self._dialect)
        except (SqlglotError, Unreadable, RecursionError):
            return None
        if len(trees) != 1:
            return None
        for node in trees[0].find_all(exp.Literal):
            self._constant(node, stripped.literals)
        return trees[0]

    def _constant(self, node: exp.Literal, literals: Sequence[Literal]) -> None:
        from custodes.statements.predicates import slot_of

        slot = slot_of(node)
        token = literals[slot.place] if slot is not None and slot.place < len(literals) else None
        if isinstance(token, str):
            number = token[0].isdigit() or token[0] == "."
            value = values.of_number(token) if number else values.of_string(token, self._dialect)
            if value is not None:
                node.meta["constant"] = value
                return
        node.replace(exp.Anonymous(this="random"))  # a value that is not known; any function without columns would do


def _planned(peeled: Peeled, template: str, dialect: str, names: c.Names, catalog: c.Catalog) -> Plan:
    if peeled.verdict == "dynamic":
        return Plan(template, "query", field_basis="unknown", scope="unknown", coverage=("dynamic_sql",), runs=peeled.runs)
    if peeled.verdict == "routine":
        routine = peeled.routine or ""
        return Plan(
            template, "query", (Resource(routine, "routine"),), (), "unknown", "unknown", ("opaque_routine",), routines=(routine,)
        )
    statement = Statement(names, catalog, _Views(dialect))
    action = peeled.action or "other"
    outputs = Outputs()
    if peeled.writes_to is not None:
        statement.names.add(c.bare(peeled.writes_to))
        statement.query(exp.to_table(_quoted(peeled.writes_to)), None)
    elif peeled.verdict != "session":
        for tree in parsed(peeled.text, dialect):
            done, outputs, derived = _statement(statement, tree)
            action = peeled.action or (done if action in {"other", "query"} else action)
            peeled.derived = peeled.derived or derived
    return _finished(statement, outputs, template, action, peeled)


def _quoted(name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def _statement(statement: Statement, tree: exp.Expression) -> tuple[str, Outputs, str | None]:
    """Read one statement of a text; return its action, what it shows, and the copy that it makes."""
    derived: str | None = None
    if isinstance(tree, exp.Create) and isinstance(tree.expression, exp.Query):
        derived = folded(tree.this.sql(dialect="postgres")) if isinstance(tree.this, exp.Table) else None
        tree = tree.expression
    action = next((word for kind, word in _ACTIONS if isinstance(tree, kind)), "query" if isinstance(tree, exp.Query) else "other")
    if isinstance(tree, exp.Select) and isinstance(tree.args.get("into"), exp.Into):
        into = tree.args["into"]
        derived = ("pg_temp." if into.args.get("temporary") else "") + folded(into.this.sql(dialect="postgres"))
    if isinstance(tree, exp.TruncateTable):
        for table in tree.expressions:
            statement.query(table, None)
        return action, Outputs(), None
    if isinstance(tree, exp.Command):
        raise Unreadable  # the parser gave up, in its own way
    if not isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Values | exp.Table):
        return action, Outputs(), None
    outputs = statement.query(tree, None)
    statement.show(outputs)
    return action, outputs, derived


def _finished(statement: Statement, outputs: Outputs, template: str, action: str, peeled: Peeled) -> Plan:
    graph = statement.graph
    graph.solve()
    coverage = dict(statement.coverage)
    scopes = [graph.scope_of(source) for source in graph.sources]
    scope = widest(scopes)
    if "opaque_routine" in coverage and scope == "none":
        scope = "unknown"
    if peeled.cursor:
        coverage["cursor"] = None
    resources = tuple(statement.resources)
    basis = "star_expanded" if statement.starred and not statement.unlisted else "unknown" if statement.unlisted else "parsed"
    copied = {name: _origins(ref, resources, graph.sources) for name, ref in outputs.columns} if peeled.derived else {}
    if peeled.derived and outputs.open and any(graph.sources[number].entry is None for number in outputs.open):
        copied["*"] = None
    if peeled.renames:
        copied = {(peeled.renames[at] if at < len(peeled.renames) else name): o for at, (name, o) in enumerate(copied.items())}
    return Plan(
        template=template,
        action=action,
        resources=resources,
        fields=tuple(statement.fields),
        field_basis=basis,
        scope=scope,
        coverage=tuple(coverage),
        keys=tuple(graph.uses()),
        selectors=tuple(statement.selectors),
        limited=graph.limited and "opaque_routine" not in coverage,
        runs=peeled.runs,
        derived=peeled.derived,
        routines=tuple(statement.routines),
        names=frozenset(statement.names),
        outputs=copied,
        entries=statement.entries,
    )


def _origins(ref: object, resources: Sequence[Resource], sources: Sequence[object]) -> tuple[tuple[str, str, bool], ...] | None:
    from custodes.statements.graph import Ref, Source

    if not isinstance(ref, Ref):
        return None
    origins: list[tuple[str, str, bool]] = []
    for number, column in ref.bases:
        source = sources[number]
        if not isinstance(source, Source) or source.entry is None:
            return None
        origins.append((resources[source.resource].name, column, not ref.computed))
    return tuple(origins) if origins or ref.constants or ref.computed else None


def _unread(key: str, template: str, names: c.Names, catalog: c.Catalog) -> Plan:
    """Return the plan of a text that no parser read: tables whose names occur, the network operators, and an unknown scope."""
    words = [quoted.replace('""', '"') if quoted else plain.lower() for quoted, plain in _WORDS.findall(key)]
    known = set(names.tables()) | set(catalog.copies) | set(catalog.views)
    tables = [word for word in dict.fromkeys(words) if word in known]
    entries = {table: entry for table in tables if (entry := catalog.copies.get(table) or names.entry(table)) is not None}
    fields: dict[FieldUse, None] = {}
    selectors: dict[SelectorUse, None] = {}
    for found in _INET_TEST.finditer(key):
        column = folded(found[1] or found[2])
        for at, table in enumerate(tables):
            entry = entries.get(table)
            if entry is not None and entry.selectors.get(column) == "ip":
                fields[FieldUse(column, "filter", at)] = None
                selectors[SelectorUse("ip_range")] = None
    return Plan(
        template=template,
        action="query",
        resources=tuple(Resource(table) for table in tables),
        fields=tuple(fields),
        field_basis="unknown",
        scope="unknown",
        coverage=("parse_failed",),
        selectors=tuple(selectors),
        names=frozenset(tables),
        entries=entries,
    )


__all__ = ["Slot", "clear", "plan_of"]
