"""Names inside one SELECT: which table a column belongs to, and what a subquery's columns are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlglot import exp

from custodes.statements.catalog import columns_of
from custodes.statements.graph import Graph, Ref

NOTHING: Final = Ref()


def name_of(identifier: Any) -> str:
    """Return an identifier as PostgreSQL folds it: lower case unless quoted."""
    if isinstance(identifier, exp.Identifier):
        return str(identifier.this) if identifier.args.get("quoted") else str(identifier.this).lower()
    return str(identifier or "").lower()


def column_name(column: exp.Expression) -> str:
    """Return the folded name of a column."""
    return name_of(column.this)


@dataclass(slots=True)
class Outputs:
    """Columns that a query gives, in order. `open`: sources of which columns not listed may come through (`*` of a table that the
    data map does not list in full); `starred`: some came from a `*`.
    """

    columns: list[tuple[str, Ref]] = field(default_factory=list)
    open: tuple[int, ...] = ()
    starred: bool = False

    def find(self, name: str) -> Ref | None:
        """Return the column of that name."""
        for column, ref in self.columns:
            if column == name:
                return ref
        if len(self.open) == 1:
            return Ref(((self.open[0], name),))
        return None

    def renamed(self, names: list[str]) -> Outputs:
        """Return the same columns under other names (`AS v(id)`)."""
        columns = [(names[at] if at < len(names) else name, ref) for at, (name, ref) in enumerate(self.columns)]
        return Outputs(columns, () if names else self.open, self.starred)


@dataclass(slots=True)
class Table:
    """One item of a FROM clause: a base table (`source`) or the outputs of something."""

    source: int | None = None
    outputs: Outputs | None = None


@dataclass(slots=True)
class Names:
    """Tables in sight, by alias, and those of the query around."""

    graph: Graph
    tables: dict[str, Table] = field(default_factory=dict)
    outer: Names | None = None
    subqueries: dict[str, Callable[[], Outputs]] = field(default_factory=dict)

    def subquery(self, name: str) -> Callable[[], Outputs] | None:
        """Return how to read a WITH query of that name."""
        scope: Names | None = self
        while scope is not None:
            if name in scope.subqueries:
                return scope.subqueries[name]
            scope = scope.outer
        return None

    def resolve(self, column: exp.Expression) -> Ref:
        """Return what a column reference stands for; an empty `Ref` where that cannot be told."""
        name = column_name(column)
        qualifier = column.args.get("table")
        scope: Names | None = self
        while scope is not None:
            if qualifier is not None:
                table = scope.tables.get(name_of(qualifier))
                if table is not None:
                    return scope.within(table, name)
            else:
                found = scope.unqualified(name)
                if found is not None:
                    return found
            scope = scope.outer
        return NOTHING

    def within(self, table: Table, name: str) -> Ref:
        """Return a column of one table."""
        if table.source is not None:
            return Ref(((table.source, name),))
        return (table.outputs.find(name) if table.outputs else None) or NOTHING

    def unqualified(self, name: str) -> Ref | None:
        """Return a column of this query that is named without its table."""
        candidates: list[Ref] = []
        for table in self.tables.values():
            if table.source is not None:
                entry = self.graph.sources[table.source].entry
                if entry is not None and name in columns_of(entry):
                    candidates.append(Ref(((table.source, name),)))
            elif table.outputs is not None and (ref := table.outputs.find(name)) is not None:
                candidates.append(ref)
        if candidates:
            return candidates[0]
        if name in self.tables:
            return self.whole(name)
        if len(self.tables) == 1 and self.outer is None:
            return self.within(next(iter(self.tables.values())), name)
        return None

    def whole(self, alias: str) -> Ref:
        """Return a whole row as one computed value."""
        bases = tuple(base for _, ref in self.star(alias).columns for base in ref.bases)
        return Ref(bases, (), computed=True)

    def star(self, alias: str | None = None) -> Outputs:
        """Return the columns of `*`, or of `alias.*`, as far as the data map knows them."""
        columns: list[tuple[str, Ref]] = []
        beyond: list[int] = []
        for name, table in self._starred(alias):
            del name
            if table.source is not None:
                entry = self.graph.sources[table.source].entry
                columns += [(column, Ref(((table.source, column),))) for column in (columns_of(entry) if entry else ())]
                beyond.append(table.source)
            elif table.outputs is not None:
                columns += table.outputs.columns
                beyond += table.outputs.open
        return Outputs(columns, tuple(beyond), starred=True)

    def _starred(self, alias: str | None) -> Iterator[tuple[str, Table]]:
        scope: Names | None = self
        while scope is not None:
            for name, table in scope.tables.items():
                if alias is None or name == alias:
                    yield name, table
            if alias is None or alias in scope.tables:
                return
            scope = scope.outer


def listed(value: object) -> list[exp.Expression]:
    """Return what an argument of a node holds, as a list."""
    if value is None or value is False:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, exp.Group | exp.Order) and value.expressions:
        return list(value.expressions)
    return [value] if isinstance(value, exp.Expression) else []


def together(refs: list[Ref]) -> Ref:
    """Join what the arms of a union have in one place; a mixture of columns and constants is neither."""
    bases = tuple(dict.fromkeys(base for ref in refs for base in ref.bases))
    constants = tuple(slot for ref in refs for slot in ref.constants)
    mixed = any(ref.computed or not (ref.bases or ref.constants) for ref in refs) or bool(bases and constants)
    return Ref(bases, () if mixed else constants, computed=mixed)


def holding(names: Names, column: str) -> list[Ref]:
    """Return that column of every table in sight that may have it."""
    refs = []
    for table in names.tables.values():
        ref = Ref(((table.source, column),)) if table.source is not None else table.outputs.find(column) if table.outputs else None
        if ref is not None and (ref.bases or ref.constants):
            refs.append(ref)
    return refs
