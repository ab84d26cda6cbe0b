"""Reads one parsed statement: every table, column and condition of it, into a graph of who can be reached."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from sqlglot import exp

from custodes.model.datamap import ResourceMap
from custodes.model.draft import FieldUse, Resource
from custodes.statements import catalog as c
from custodes.statements.counting import counts_only
from custodes.statements.graph import KEY as NAMED
from custodes.statements.graph import Graph, Limit, Ref, Source
from custodes.statements.plan import SelectorUse, Slot
from custodes.statements.predicates import Predicates, function_name, slot_of
from custodes.statements.routines import HARMLESS
from custodes.statements.scope import NOTHING, Names, Outputs, Table, column_name, holding, listed, name_of, together

SOURCE_LIMIT: Final = 400


class TooComplex(ValueError):
    """More tables than a statement that is read at all may name."""


class Statement:
    """One statement while it is being read."""

    def __init__(self, entries: c.Names, catalog: c.Catalog, views: ViewParser) -> None:
        self.graph = Graph()
        self.resources: dict[Resource, int] = {}
        self.entries: dict[str, ResourceMap] = {}
        self.fields: dict[FieldUse, None] = {}
        self.selectors: dict[SelectorUse, None] = {}
        self.coverage: dict[str, None] = {}
        self.routines: dict[str, None] = {}
        self.names: set[str] = set()
        self.starred = False
        self.unlisted = False
        self._map = entries
        self._catalog = catalog
        self._views = views
        self._via = "direct"
        self._doubt = ""
        self._shown = True
        self._predicates = Predicates(self)

    # what conditions report

    def selector(self, use: SelectorUse) -> None:
        """Record what was searched by."""
        if self._doubt != "not":
            self.selectors[use] = None

    def opaque(self) -> None:
        """Record that a test of a key could not be read."""
        self.coverage["predicate_opaque"] = None

    def record(self, ref: Ref, role: str) -> None:
        """Record the columns behind a reference."""
        for number, column in ref.bases:
            self.fields[FieldUse(column, role, self.graph.sources[number].resource)] = None

    def hidden(self, query: exp.Expression, names: Names, doubt: str, *, binds: bool = False) -> Outputs:
        """Read a subquery whose rows do not leave the statement."""
        before = (self.graph.floor, self._shown, self._doubt)
        if not (binds and _testifies(query)):
            self.graph.floor = len(self.graph.sources)
        self._shown, self._doubt = False, self._doubt or doubt
        try:
            return self.query(query, names)
        finally:
            self.graph.floor, self._shown, self._doubt = before

    def look(self, node: exp.Expression, names: Names, role: str) -> None:
        """Record columns, routines and subqueries under a node. `role`: a field's role, or the doubt (or · not) of a condition."""
        doubt = role if role in {"or", "not"} else "or"
        waiting = [node]
        while waiting:
            part = waiting.pop()
            if isinstance(part, exp.Subquery | exp.Select | exp.SetOperation):
                self.hidden(part, names, doubt)
            elif isinstance(part, exp.Column):
                self.record(names.resolve(part), "filter" if role in {"or", "not"} else role)
            else:
                self._call(part)
                waiting += list(part.iter_expressions(reverse=True))

    def _call(self, node: exp.Expression) -> None:
        """Note a routine that is not known to read nothing."""
        name = ""
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous):
            schema = name_of(node.this) if isinstance(node.this, exp.Identifier) else str(node.this).lower()
            name = function_name(node)
            if schema != "pg_catalog" or name not in HARMLESS:
                self._routine(f"{schema}.{name}")
            node.expression.meta["seen"] = True
        elif isinstance(node, exp.Anonymous) and not node.meta.get("seen"):
            name = str(node.this).lower()
            if name not in HARMLESS:
                self._routine(name)

    def _routine(self, name: str) -> None:
        self.coverage["opaque_routine"] = None
        self.routines[name] = None

    # queries

    def query(self, node: exp.Expression, outer: Names | None) -> Outputs:
        """Read any query expression; return its columns."""
        while isinstance(node, exp.Subquery | exp.Paren):
            if node.args.get("with_") or node.args.get("joins"):
                return self._wrapped(node, outer)
            node = node.this
        names = Names(self.graph, outer=outer)
        self._with(node, names)
        if isinstance(node, exp.Select):
            return self._select(node, names)
        if isinstance(node, exp.SetOperation):
            return self._union(node, names)
        if isinstance(node, exp.Values):
            return self._values(node, names)
        if isinstance(node, exp.Insert | exp.Update | exp.Delete | exp.Merge):
            return self.change(node, names)
        if isinstance(node, exp.Table):
            self._item(node, names)
            return names.star()
        self.look(node, names, "unknown")
        return Outputs()

    def _wrapped(self, node: exp.Expression, outer: Names | None) -> Outputs:
        names = Names(self.graph, outer=outer)
        self._with(node, names)
        if not node.args.get("joins"):
            return self.query(node.this, names)
        self._item(node.this, names)
        for join in node.args["joins"]:
            self._join(join, names)
        return names.star()

    def _with(self, node: exp.Expression, names: Names) -> None:
        clause = node.args.get("with_")
        for cte in clause.expressions if clause else ():
            alias = cte.args["alias"]
            columns = [name_of(column) for column in alias.columns]
            self._define(name_of(alias.this), cte.this, columns, names)

    def _define(self, name: str, body: exp.Expression, columns: list[str], names: Names) -> None:
        """Make a WITH query known; it is read anew wherever it is used, with the limits of that place. A changing one runs once."""
        known = dict(names.subqueries)
        running: list[bool] = []
        if isinstance(body, exp.Insert | exp.Update | exp.Delete | exp.Merge):
            done = self.query(body, Names(self.graph, outer=names.outer, subqueries=known)).renamed(columns)
            names.subqueries[name] = lambda: done
            return

        def read() -> Outputs:
            if running:
                return Outputs()  # a recursive reference: nothing is known of its rows
            running.append(True)
            try:
                return self.query(body, Names(self.graph, outer=names.outer, subqueries={**known, name: read})).renamed(columns)
            finally:
                running.pop()

        names.subqueries[name] = read

    def _select(self, node: exp.Select, names: Names) -> Outputs:
        first = len(self.graph.sources)
        self._from(node, names)
        where, having = node.args.get("where"), node.args.get("having")
        if where is not None:
            self._predicates.require(where.this, names)
        if having is not None:
            self._predicates.require(having.this, names)
        for clause in ("group", "order", "distinct", "qualify", "windows", "limit", "offset", "laterals"):
            for part in listed(node.args.get(clause)):
                self.look(part, names, "filter")
        outputs = self._projection(node, names)
        if counts_only(node, names, self.opaque):
            for source in self.graph.sources[first:]:
                source.counted = True
        return outputs

    def _projection(self, node: exp.Select, names: Names) -> Outputs:
        outputs = Outputs()
        for item in node.expressions:
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                self._starring(item, names, outputs)
                continue
            body = item.this if isinstance(item, exp.Alias) else item
            name = name_of(item.args["alias"]) if isinstance(item, exp.Alias) else _given(body)
            outputs.columns.append((name, self._value(body, names)))
        return outputs

    def _starring(self, item: exp.Expression, names: Names, outputs: Outputs) -> None:
        table = item.args.get("table")
        star = names.star(name_of(table) if table is not None else None)
        inner = item.this if isinstance(item, exp.Column) else item
        without = {name_of(column.this if isinstance(column, exp.Column) else column) for column in inner.args.get("except_") or ()}
        outputs.columns += [(name, ref) for name, ref in star.columns if name not in without]
        outputs.open += () if without else star.open
        outputs.starred = True
        for change in inner.args.get("replace") or ():
            self._value(change, names)

    def _value(self, node: exp.Expression, names: Names) -> Ref:
        """Read one projected expression: a plain column, a constant, or something computed from columns and subqueries."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Column):
            return names.resolve(node)
        if (slot := slot_of(node)) is not None:
            return Ref((), (slot,))
        bases: list[tuple[int, str]] = []
        waiting = [node]
        while waiting:
            part = waiting.pop()
            if isinstance(part, exp.Subquery | exp.Select | exp.SetOperation):
                bases += [base for _, ref in self._inside(part, names).columns for base in ref.bases]
            elif isinstance(part, exp.Column):
                bases += names.resolve(part).bases
            elif isinstance(part, exp.Filter):
                self._predicates.seek(part.expression.this, names)
                waiting.append(part.this)
            else:
                self._call(part)
                waiting += list(part.iter_expressions(reverse=True))
        cast = isinstance(node, exp.Cast) and isinstance(node.this, exp.Column)
        return Ref(tuple(dict.fromkeys(bases)), (), computed=not cast)

    def _inside(self, query: exp.Expression, names: Names) -> Outputs:
        """Read a subquery whose value is shown; it does not restrict the rows around it."""
        floor, self.graph.floor = self.graph.floor, len(self.graph.sources)
        try:
            return self.query(query, names)
        finally:
            self.graph.floor = floor

    def _union(self, node: exp.SetOperation, names: Names) -> Outputs:
        arms: list[exp.Expression] = []
        waiting: list[exp.Expression] = [node]
        while waiting:
            part = waiting.pop()
            if isinstance(part, exp.SetOperation) and not (part.args.get("with_") and part is not node):
                waiting += (part.expression, part.this)
            else:
                arms.append(part)
        read = [self.query(arm, names) for arm in arms]
        columns: list[tuple[str, Ref]] = []
        for at, (name, _) in enumerate(read[0].columns):
            refs = [outputs.columns[at][1] if at < len(outputs.columns) else NOTHING for outputs in read]
            columns.append((name, together(refs)))
        return Outputs(columns, (), starred=any(outputs.starred for outputs in read))

    def _values(self, node: exp.Values, names: Names) -> Outputs:
        rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
        columns: list[tuple[str, Ref]] = []
        for at in range(max(map(len, rows), default=0)):
            refs = [self._value(row[at], names) if at < len(row) else NOTHING for row in rows]
            columns.append((f"column{at + 1}", together(refs)))
        return Outputs(columns)

    # FROM

    def _from(self, node: exp.Expression, names: Names) -> None:
        clause = node.args.get("from_")
        if clause is not None:
            self._item(clause.this, names)
        for join in node.args.get("joins") or ():
            self._join(join, names)

    def _join(self, join: exp.Join, names: Names) -> None:
        before = frozenset(self._visible(names))
        known = dict(names.tables)
        first = len(self.graph.sources)
        self._item(join.this, names)
        added = frozenset(range(first, len(self.graph.sources)))
        side = str(join.args.get("side") or "").upper()
        allowed = {"LEFT": added, "RIGHT": before, "FULL": frozenset[int]()}.get(side)
        if join.args.get("on") is not None:
            self._predicates.require(join.args["on"], names, allowed)
        for column in join.args.get("using") or ():
            self._using(name_of(column if isinstance(column, exp.Identifier) else column.this), names, known, allowed)

    def _using(self, name: str, names: Names, known: dict[str, Table], allowed: frozenset[int] | None) -> None:
        newcomers = {alias: table for alias, table in names.tables.items() if alias not in known}
        for one in holding(Names(self.graph, known), name):
            for other in holding(Names(self.graph, newcomers), name):
                self.record(one, "join")
                self.record(other, "join")
                for kind in self.graph.meet(one.bases, other.bases):
                    self.selector(SelectorUse(kind))
                self.graph.connect(one, other, allowed)
                for left, right in ((one, other), (other, one)):
                    if right.constants and not right.bases and left.plain:
                        self.graph.limit(self._predicates.named(left, right.constants), allowed)

    def _visible(self, names: Names) -> Iterable[int]:
        for table in names.tables.values():
            if table.source is not None:
                yield table.source
            elif table.outputs is not None:
                yield from (number for _, ref in table.outputs.columns for number, _ in ref.bases)

    def _item(self, node: exp.Expression, names: Names) -> None:
        """Read one item of a FROM clause and what hangs on it."""
        alias = node.args.get("alias")
        columns = (
            [name_of(column.this if isinstance(column, exp.ColumnDef) else column) for column in alias.columns] if alias else []
        )
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            name = ".".join(name_of(part) for part in node.parts)
            read = names.subquery(name) if "." not in name else None
            label = name_of(alias.this) if alias and alias.this else c.bare(name)
            names.tables[label] = Table(None, read().renamed(columns)) if read else self._table(name, columns)
        elif isinstance(node, exp.Table):
            self._function(node.this, names, alias, columns)
        elif isinstance(node, exp.Lateral):
            inner = node.this
            if isinstance(inner, exp.Subquery | exp.Select | exp.SetOperation):
                self._label(names, alias, self._inside(inner, names).renamed(columns))
            else:
                self._function(inner, names, alias, columns)
        elif isinstance(node, exp.Unnest):
            self._unnest(node, names, alias, columns)
        elif isinstance(node, exp.Paren) or (isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Paren)):
            self._item(node.this, names)
        else:
            self._label(names, alias, self.query(node, names).renamed(columns))
        for join in node.args.get("joins") or () if not isinstance(node, exp.Subquery) or isinstance(node.this, exp.Table) else ():
            self._join(join, names)

    def _label(self, names: Names, alias: exp.Expression | None, outputs: Outputs) -> None:
        label = name_of(alias.this) if alias is not None and alias.this else f"?{len(names.tables)}"
        names.tables[label] = Table(None, outputs)

    def _function(self, node: exp.Expression, names: Names, alias: exp.Expression | None, columns: list[str]) -> None:
        self.look(node, names, "filter")
        del columns  # a routine's rows are not known
        self._label(names, alias, Outputs())

    def _unnest(self, node: exp.Unnest, names: Names, alias: exp.Expression | None, columns: list[str]) -> None:
        slots: list[Slot] = []
        for array in node.expressions:
            items = array.expressions if isinstance(array, exp.Array) else None
            found = [slot_of(item) for item in items] if items is not None else [slot_of(array, array=True)]
            if any(slot is None for slot in found):
                self.look(node, names, "filter")
                slots = []
                break
            slots += [slot for slot in found if slot is not None]
        label = columns[0] if columns else name_of(alias.this) if alias is not None and alias.this else "unnest"
        self._label(names, alias, Outputs([(label, Ref((), tuple(slots)))] if slots and len(node.expressions) == 1 else []))

    def _table(self, name: str, columns: list[str], *, kind: str = "table") -> Table:
        bare = c.bare(name)
        self.names.add(bare)
        if len(self.graph.sources) >= SOURCE_LIMIT:
            raise TooComplex
        schema = name.rpartition(".")[0]
        entry = self._map.entry(name)
        learned = entry is None and self._catalog.means(name)  # what the data map says goes first: names can be made to collide
        if learned and bare in self._catalog.views:
            return Table(None, self._view(name, bare).renamed(columns))
        copied = learned and bare in self._catalog.copies
        if copied:
            entry, name = self._catalog.copies[bare], self._catalog.full.get(bare, name)
        via = "derived" if copied else self._via
        if copied:
            self.coverage["derived_table"] = None
        source = Source(len(self.graph.sources), self._resource(Resource(name, kind, via)), entry, self._doubt, self._shown)
        in_catalog = schema.rpartition(".")[2] in c.SYSTEM_SCHEMAS or (not schema and bare in c.SYSTEM_TABLES)
        source.harmless = in_catalog and entry is None
        if entry is not None:
            self.entries[name] = entry
        self.graph.sources.append(source)
        if columns and entry is not None:
            star = Names(self.graph, {bare: Table(source.number)}).star()
            return Table(None, star.renamed(columns))
        return Table(source.number)

    def _resource(self, resource: Resource) -> int:
        return self.resources.setdefault(resource, len(self.resources))

    def _view(self, name: str, bare: str) -> Outputs:
        self._resource(Resource(self._catalog.full.get(bare, name), "view", self._via))
        before, self._via = self._via, "view"
        try:
            tree = self._views(bare, self._catalog.views[bare])
            return Outputs() if tree is None else self.query(tree, None)
        finally:
            self._via = before

    # what leaves

    def show(self, outputs: Outputs, role: str = "projected") -> None:
        """Record the columns that leave the statement."""
        self.starred |= outputs.starred
        for _, ref in outputs.columns:
            self.record(ref, role)
        if outputs.starred:
            self.unlisted |= any(self.graph.sources[number].entry is None for number in outputs.open)

    # changes

    def change(self, node: exp.Expression, names: Names) -> Outputs:
        """Read INSERT, UPDATE, DELETE or MERGE; return the columns of RETURNING."""
        if isinstance(node, exp.Insert):
            self._insert(node, names)
        elif isinstance(node, exp.Merge):
            self._item(node.this, names)
            self._item(node.args["using"], names)
            self.look(node.args["on"], names, "join")
            for when in node.find_all(exp.When):
                self.look(when, names, "written")
        else:
            self._item(node.this, names)
            self._from(node, names)
            for item in listed(node.args.get("using")):
                self._item(item, names)
            for assignment in node.expressions if isinstance(node, exp.Update) else ():
                self._assign(assignment, names)
            where = node.args.get("where")
            if where is not None:
                self._predicates.require(where.this, names)
        returning = node.args.get("returning")
        if returning is None:
            return Outputs()
        return self._projection(exp.Select(expressions=returning.expressions), names)

    def _assign(self, assignment: exp.Expression, names: Names) -> None:
        if isinstance(assignment, exp.EQ):
            self.look(assignment.this, names, "written")
            self.look(assignment.expression, names, "filter")
        else:
            self.look(assignment, names, "written")

    def _insert(self, node: exp.Insert, names: Names) -> None:
        schema = node.this
        columns = [name_of(column) for column in schema.expressions] if isinstance(schema, exp.Schema) else []
        body = node.args.get("expression")
        given = self.query(body, names) if isinstance(body, exp.Expression) else Outputs()
        self._item(schema.this if isinstance(schema, exp.Schema) else schema, names)
        target = self.graph.sources[-1]
        target.written = True
        for column in columns:
            self.record(Ref(((target.number, column),)), "written")
        conflict = node.args.get("conflict")
        elsewhere = conflict is not None and "UPDATE" in str(conflict.args.get("action")).upper()  # the row may be another person's
        for column, (_, ref) in zip(columns, given.columns, strict=False):
            if target.kind_of(column) != "user_id":
                continue
            mine = Ref(((target.number, column),))
            if ref.constants and not ref.bases and not ref.computed:
                key = frozenset({column})
                self.graph.limit({target.number: Limit(NAMED, key, ref.constants, named=key)}, () if elsewhere else None)
            elif ref.plain and not elsewhere:
                self.graph.connect(mine, ref, frozenset({target.number}))
        if given.starred:
            self.show(given, "filter")


class ViewParser(Protocol):
    """Parses the SELECT of a view; None where it cannot be read."""

    def __call__(self, name: str, text: str) -> exp.Expression | None:
        """Return the tree, its constants marked as such."""


def _given(node: exp.Expression) -> str:
    """Return the name that PostgreSQL gives to a projected expression."""
    while isinstance(node, exp.Cast | exp.Paren):
        node = node.this
    return column_name(node) if isinstance(node, exp.Column) else function_name(node)


def _testifies(query: exp.Expression) -> bool:
    """Say whether EXISTS over this query is true only if a row meets its conditions (an aggregate always gives a row)."""
    while isinstance(query, exp.Subquery | exp.Paren):
        query = query.this
    if not isinstance(query, exp.Select) or query.args.get("with_"):
        return False
    return query.args.get("group") is not None or not any(item.find(exp.AggFunc, exp.Anonymous) for item in query.expressions)
