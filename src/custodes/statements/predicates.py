"""Reads one predicate: what it limits, what it searches by, and what it only pretends to test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from sqlglot import exp

from custodes.statements import graph as g
from custodes.statements.catalog import IDENTITIES, columns_of
from custodes.statements.graph import Limit, Limits, Ref
from custodes.statements.plan import SelectorUse, Slot
from custodes.statements.routines import ADDRESS_TEXT, INTEGERS, LETTER_CASE, LOSSLESS
from custodes.statements.scope import Names, Outputs

_STRING_SLOT: Final = re.compile(r"~(\d+)~\Z")
NUMBER_SLOT: Final = 700_000_000
"""Literal `i` stands in the parsed text as the string `~i~` or the number `NUMBER_SLOT + i`."""

EQUAL: Final = (exp.EQ, exp.NullSafeEQ)
RANGE: Final = (
    exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike, exp.RegexpLike, exp.RegexpILike, exp.SimilarTo, exp.Glob,
    exp.ArrayContainsAll, exp.ArrayOverlaps, exp.ArrayContainedBy, exp.BitwiseLeftShift, exp.BitwiseRightShift,
)  # fmt: skip


class Operand(NamedTuple):
    """One side of a comparison. `kind`: column · value · query · other; `wrap`: what stands around the column.

    `exact`: of a value, that its slots are all there is to it; of another expression, that it is the same for all rows.
    """

    kind: str
    ref: Ref = Ref()
    slots: tuple[Slot, ...] = ()
    wrap: str = ""
    exact: bool = True


class Reader(Protocol):
    """What a predicate needs from the statement around it."""

    graph: g.Graph

    def look(self, node: exp.Expression, names: Names, role: str) -> None:
        """Record the columns, routines and subqueries under a node."""

    def record(self, ref: Ref, role: str) -> None:
        """Record the columns behind a reference."""

    def selector(self, use: SelectorUse) -> None:
        """Record what was searched by."""

    def hidden(self, query: exp.Expression, names: Names, doubt: str, *, binds: bool = False) -> Outputs:
        """Read a subquery whose rows do not leave the statement. `binds`: its conditions hold for the rows around it (EXISTS)."""

    def opaque(self) -> None:
        """Record that a test of a key could not be read."""


def slot_of(node: exp.Expression, *, integer: bool = False, array: bool = False, negative: bool = False) -> Slot | None:
    """Return the slot that a literal or parameter stands for."""
    if isinstance(node, exp.Literal):
        if (constant := node.meta.get("constant")) is not None:
            return Slot("c", 0, constant, integer=integer, array=array)
        text = str(node.this)
        if node.is_string:
            found = _STRING_SLOT.match(text)
            return Slot("l", int(found[1]), integer=integer, array=array, negative=negative) if found else None
        return Slot("l", int(text) - NUMBER_SLOT, integer=integer, negative=negative) if text.isdecimal() else None
    if isinstance(node, exp.Parameter) and isinstance(node.this, exp.Literal) and str(node.this.this).isdecimal():
        return Slot("p", int(str(node.this.this)) - 1, integer=integer, array=array)
    return None


def lossless(cast: exp.Cast) -> bool:
    """Say whether a cast keeps different values different: `::varchar(1)` and `::boolean` do not."""
    to = cast.args.get("to")
    if not isinstance(to, exp.DataType):
        return False
    name = getattr(to.this, "name", str(to.this))
    return name in LOSSLESS and not to.expressions


def integral(cast: exp.Cast) -> bool:
    """Say whether a cast is to an integer."""
    to = cast.args.get("to")
    return isinstance(to, exp.DataType) and getattr(to.this, "name", "") in INTEGERS


def conjuncts(node: exp.Expression | None) -> Iterator[exp.Expression]:
    """Yield the parts of an AND, however deep, without recursion."""
    waiting = [node] if node is not None else []
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Paren):
            waiting.append(part.this)
        elif isinstance(part, exp.And):
            waiting += (part.expression, part.this)
        elif part is not None:
            yield part


def disjuncts(node: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the arms of an OR."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Paren) and isinstance(part.this, exp.Or | exp.Paren):
            waiting.append(part.this)
        elif isinstance(part, exp.Or):
            waiting += (part.expression, part.this)
        else:
            yield part


class Predicates:
    """Reads conditions of one statement."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._graph = reader.graph

    def require(self, condition: exp.Expression | None, names: Names, allowed: frozenset[int] | None = None) -> None:
        """Apply a condition that every row must meet. `allowed`: sources it restricts, None for all."""
        for part in conjuncts(condition):
            if not self._equality(part, names, allowed) and not self._membership(part, names, allowed):
                self._meeting(part, names)
                self._graph.limit(self.limits(part, names, ""), allowed)

    def seek(self, condition: exp.Expression, names: Names) -> None:
        """Read a condition that restricts nothing (a FILTER): what it searches by is known, no row is excluded."""
        self._graph.limit(self.limits(condition, names, "or"), frozenset())

    def _equality(self, part: exp.Expression, names: Names, allowed: frozenset[int] | None) -> bool:
        if not isinstance(part, EQUAL):
            return False
        if isinstance(part.this, exp.Tuple) and isinstance(part.expression, exp.Tuple):
            pairs = zip(part.this.expressions, part.expression.expressions, strict=False)
            for one, other in pairs:
                self.require(exp.EQ(this=one.copy(), expression=other.copy()), names, allowed)
            return True
        left, right = self.operand(part.this, names), self.operand(part.expression, names)
        if left.kind != "column" or right.kind != "column" or left.wrap or right.wrap:
            return False
        if {number for number, _ in left.ref.bases} == {number for number, _ in right.ref.bases}:
            return False  # a column compared with its own row restricts nothing
        self._reader.look(part, names, "join")
        for kind in self._graph.meet(left.ref.bases, right.ref.bases):
            self._reader.selector(SelectorUse(kind))
        for one, other in ((left, right), (right, left)):
            if other.ref.constants and one.ref.plain and not other.ref.bases:
                self._graph.limit(self._equal(one.ref, other.ref.constants, "", exact=True), allowed)
        self._graph.connect(left.ref, right.ref, allowed)
        return True

    def _membership(self, part: exp.Expression, names: Names, allowed: frozenset[int] | None) -> bool:
        """Read `x IN (SELECT …)`, `x = (SELECT …)`, `x = ANY (SELECT …)` and EXISTS, where they must hold."""
        if isinstance(part, exp.Exists):
            self._reader.hidden(part.this, names, "", binds=True)
            return True
        side, query = _queried(part)
        if query is None or side is None:
            return False
        sides = side.expressions if isinstance(side, exp.Tuple) else [side]
        outputs = self._reader.hidden(query, names, "")
        for at, item in enumerate(sides):
            operand = self.operand(item, names)
            self._reader.look(item, names, "filter")
            if operand.kind != "column" or operand.wrap or at >= len(outputs.columns):
                self._graph.limit(self._unread(operand.ref, constant=False), allowed)
                continue
            ref = outputs.columns[at][1]
            self._reader.record(ref, "join")
            for kind in self._graph.meet(operand.ref.bases, ref.bases):
                self._reader.selector(SelectorUse(kind))
            if ref.constants and not ref.bases and not ref.computed:
                self._graph.limit(self._equal(operand.ref, ref.constants, "", exact=True), allowed)
            elif ref.plain:
                numbers = frozenset(number for number, _ in operand.ref.bases)
                self._graph.connect(operand.ref, ref, numbers if allowed is None else numbers & allowed)
            else:
                self._graph.limit(self._unread(operand.ref, constant=False), allowed)
        return True

    def _meeting(self, part: exp.Expression, names: Names) -> None:
        """Find staff and subjects compared by place or time in any other way than by equality."""
        if not isinstance(part, (*RANGE, exp.Between)):
            return
        refs = [names.resolve(column) for column in part.find_all(exp.Column)]
        for at, one in enumerate(refs):
            for other in refs[at + 1 :]:
                for kind in self._graph.meet(one.bases, other.bases):
                    self._reader.selector(SelectorUse("ip_range" if kind == "ip" else kind))

    def limits(self, node: exp.Expression, names: Names, doubt: str) -> Limits:
        """Return what a condition does to each source. `doubt`: or · not, where it does not hold for every row."""
        if isinstance(node, exp.Paren):
            return self.limits(node.this, names, doubt)
        if isinstance(node, exp.And):
            joined: Limits = {}
            for part in conjuncts(node):
                joined = g.both(joined, self.limits(part, names, doubt))
            return joined
        if isinstance(node, exp.Or):
            return g.either([self.limits(arm, names, doubt or "or") for arm in disjuncts(node)])
        if isinstance(node, exp.Not | exp.NEQ | exp.Xor):
            self._reader.look(node, names, "not")
            return {}
        self._reader.look(node, names, doubt or "filter")
        return self._compared(node, names)

    def _compared(self, node: exp.Expression, names: Names) -> Limits:
        if isinstance(node, exp.Escape):
            node = node.this
        if isinstance(node, EQUAL):
            return self._sides(node.this, node.expression, names, equal=True)
        if isinstance(node, exp.In):
            return self._in(node, names)
        if isinstance(node, exp.Between):
            return self._between(node, names)
        if isinstance(node, RANGE):
            return self._sides(node.this, node.expression, names, equal=False)
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null) and isinstance(node.this, exp.Column):
            return {}
        return self._opaque_under(node, names)

    def _sides(self, one: exp.Expression, other: exp.Expression, names: Names, *, equal: bool) -> Limits:
        if isinstance(one, exp.Tuple) and isinstance(other, exp.Tuple) and equal:
            joined: Limits = {}
            for left, right in zip(one.expressions, other.expressions, strict=False):
                joined = g.both(joined, self._sides(left, right, names, equal=True))
            return joined
        left, right = self.operand(one, names), self.operand(other, names)
        if left.kind != "column":
            left, right = right, left
            one, other = other, one
        if left.kind != "column":
            return g.both(self._opaque_under(one, names), self._opaque_under(other, names))
        if not equal:
            return self._ranged(left, right)
        if right.kind == "value":
            return self._equal(left.ref, right.slots, left.wrap, exact=right.exact)
        if right.kind == "column":
            return g.both(self._beside(left, right), self._beside(right, left))
        return g.both(self._unread(left.ref, constant=right.exact), self._opaque_under(other, names))

    def _in(self, node: exp.In, names: Names) -> Limits:
        items = node.expressions
        if not items or node.args.get("query") or node.args.get("unnest"):
            return self._unread(self.operand(node.this, names).ref, constant=False)
        if isinstance(node.this, exp.Tuple):
            joined: Limits = {}
            for at, column in enumerate(node.this.expressions):
                cells = [item.expressions[at] for item in items if isinstance(item, exp.Tuple) and at < len(item.expressions)]
                joined = g.both(joined, self._listed(column, cells, names, complete=len(cells) == len(items)))
            return joined
        return self._listed(node.this, items, names, complete=True)

    def _listed(self, column: exp.Expression, items: list[exp.Expression], names: Names, *, complete: bool) -> Limits:
        left = self.operand(column, names)
        if left.kind != "column":
            return self._opaque_under(column, names)
        values = [self.operand(item, names) for item in items]
        slots = tuple(slot for value in values if value.kind == "value" for slot in value.slots)
        exact = complete and all(value.kind == "value" and value.exact for value in values)
        limits = self._equal(left.ref, slots, left.wrap, exact=exact)
        if complete and all(value.kind == "value" or (value.kind == "other" and value.exact) for value in values):
            return limits
        # one of the values differs from row to row: nothing is restricted, though a key may be
        return {number: limit for number, limit in limits.items() if limit.level == g.OPAQUE}

    def _between(self, node: exp.Between, names: Names) -> Limits:
        tested = self.operand(node.this, names)
        low, high = self.operand(node.args["low"], names), self.operand(node.args["high"], names)
        if tested.kind == "column":
            return self._ranged(tested, low if high.exact else high)
        joined = g.both(self._ranged(low, tested), self._ranged(high, tested))
        return joined or self._opaque_under(node, names)

    def named(self, ref: Ref, slots: tuple[Slot, ...]) -> Limits:
        """Return the limits of a column that is one of these values."""
        return self._equal(ref, slots, "", exact=True)

    def _equal(self, ref: Ref, slots: tuple[Slot, ...], wrap: str, *, exact: bool) -> Limits:
        """Return the limits of `column = one of these values`. `exact`: all values are known literals or parameters."""
        limits: Limits = {}
        for number, column in ref.bases:
            kind = self._graph.sources[number].kind_of(column)
            if kind == "user_id":
                self._reader.selector(SelectorUse("user_id"))
                if wrap or ref.computed or not exact:
                    self._reader.opaque()
                    limits[number] = Limit(g.OPAQUE, frozenset({column}), (), slots)
                else:
                    limits[number] = Limit(g.KEY, frozenset({column}), slots, named=frozenset({column}))
            elif kind is not None:
                clear = not ref.computed and (not wrap or wrap == "case" or (wrap == "address" and kind == "ip"))
                named = "ip_range" if kind == "ip" and not clear else kind
                for slot in slots if clear else ():
                    self._reader.selector(SelectorUse(named, slot, names=kind in IDENTITIES))
                if not slots or not clear:
                    self._reader.selector(SelectorUse(named))
                level = g.KEY if kind in IDENTITIES and clear and exact else g.PLACE
                limits[number] = Limit(level, frozenset({column}))
        return limits

    def _ranged(self, left: Operand, right: Operand) -> Limits:
        """Return the limits of a range, pattern or network test; what is compared with other columns restricts nothing."""
        limits: Limits = {}
        for operand, other in ((left, right), (right, left)):
            for number, column in operand.ref.bases if operand.kind == "column" else ():
                kind = self._graph.sources[number].kind_of(column)
                if kind == "user_id":
                    if operand.wrap or operand.ref.computed:
                        self._reader.opaque()
                        limits[number] = Limit(g.OPAQUE)
                elif kind is not None and (other.kind == "value" or (other.kind == "other" and other.exact)):
                    named = "ip_range" if kind == "ip" else kind
                    for slot in other.slots or (None,):
                        self._reader.selector(SelectorUse(named, slot))
                    limits[number] = Limit(g.PLACE, frozenset({column}))
        return limits

    def _beside(self, operand: Operand, other: Operand) -> Limits:
        """Return the limits of a column that is compared with another: a routine's variable looks like an unknown column."""
        unknown = any(
            (entry := self._graph.sources[number].entry) is not None and name not in columns_of(entry)
            for number, name in other.ref.bases
        )
        return self._unread(operand.ref, constant=False) if operand.wrap or unknown else {}

    def _unread(self, ref: Ref, *, constant: bool) -> Limits:
        """Return the limits of `column = something that is not known`. `constant`: it is the same for all rows."""
        limits = self._equal(ref, (), "", exact=False) if constant else {}
        for number, column in ref.bases:
            if self._graph.sources[number].kind_of(column) == "user_id":
                self._reader.opaque()
                limits[number] = Limit(g.OPAQUE)
        return limits

    def _opaque_under(self, node: exp.Expression, names: Names) -> Limits:
        """Return the limits of a condition that cannot be read: whoever's key it mentions may or may not be chosen by it."""
        limits: Limits = {}
        for column in _columns(node):
            for number, name in names.resolve(column).bases:
                if self._graph.sources[number].kind_of(name) == "user_id":
                    self._reader.opaque()
                    limits[number] = Limit(g.OPAQUE)
        return limits

    def operand(self, node: exp.Expression, names: Names) -> Operand:
        """Read one side of a comparison."""
        wrap = ""
        integer = False
        while True:
            if isinstance(node, exp.Paren):
                node = node.this
            elif isinstance(node, exp.Cast):
                integer |= integral(node)
                if not lossless(node):
                    wrap = wrap or "cast"
                node = node.this
            elif isinstance(node, exp.Collate):
                wrap = wrap or "case"
                node = node.this
            elif isinstance(node, exp.AtTimeZone):
                wrap = wrap or "function"
                node = node.this
            else:
                break
        if isinstance(node, exp.Column):
            ref = names.resolve(node)
            return Operand("column", ref, wrap=wrap) if ref.bases or ref.constants else Operand("other", ref, exact=False)
        if isinstance(node, exp.Subquery | exp.Select | exp.SetOperation):
            return Operand("query", exact=False)
        if isinstance(node, exp.Any):
            return _listing(node.this, integer=integer)
        negative = isinstance(node, exp.Neg)
        slot = slot_of(node.this if negative else node, integer=integer, negative=negative)
        if slot is not None:
            return Operand("value", slots=(slot,), exact=wrap in {"", "case"})
        return self._function(node, names, wrap)

    def _function(self, node: exp.Expression, names: Names, wrap: str) -> Operand:
        """See through functions that change the case of a name or the form of an address."""
        name = function_name(node)
        columns = list(_columns(node))
        if name and len(columns) == 1:
            ref = names.resolve(columns[0])
            inner = node.this if not isinstance(node, exp.Anonymous) else (node.expressions or [None])[0]
            direct = isinstance(inner, exp.Column)
            kind = "case" if name in LETTER_CASE and direct else "address" if name in ADDRESS_TEXT and direct else "function"
            if ref.bases:
                return Operand("column", ref, wrap="function" if wrap == "cast" else kind)
        return Operand("other", exact=not columns and node.find(exp.Query) is None)


def _listing(node: exp.Expression, *, integer: bool) -> Operand:
    """Read what stands in `ANY (…)`."""
    while isinstance(node, exp.Paren | exp.Cast):
        if isinstance(node, exp.Cast):
            to = node.args.get("to")
            inner = to.expressions[0] if isinstance(to, exp.DataType) and to.expressions else None
            integer |= isinstance(inner, exp.DataType) and getattr(inner.this, "name", "") in INTEGERS
            named = getattr(inner.this, "name", "") if isinstance(inner, exp.DataType) else ""
            if named not in LOSSLESS or inner is None or inner.expressions:
                return Operand("other", exact=False)
        node = node.this
    if isinstance(node, exp.Array):
        items = [slot_of(_uncast(item), integer=integer or _is_integer(item)) for item in node.expressions]
        if not items or not all(items):
            return Operand("other", exact=False)
        return Operand("value", slots=tuple(slot for slot in items if slot))
    slot = slot_of(node, integer=integer, array=True)
    return Operand("value", slots=(slot,)) if slot is not None else Operand("other", exact=False)


def _uncast(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren) or (isinstance(node, exp.Cast) and lossless(node)):
        node = node.this
    return node


def _is_integer(node: exp.Expression) -> bool:
    return isinstance(node, exp.Cast) and integral(node)


def _queried(part: exp.Expression) -> tuple[exp.Expression | None, exp.Expression | None]:
    """Return (compared side, subquery) of a membership test."""
    if isinstance(part, exp.In):
        items = part.expressions
        given = items[0] if len(items) == 1 and isinstance(items[0], exp.Values | exp.Query) else None
        return part.this, part.args.get("query") or given
    if isinstance(part, EQUAL):
        for side, other in ((part.this, part.expression), (part.expression, part.this)):
            inner = other
            if isinstance(inner, exp.Any):
                inner = inner.this
            while isinstance(inner, exp.Paren):
                inner = inner.this
            if isinstance(inner, exp.Subquery | exp.Select | exp.SetOperation):
                return side, inner
    return None, None


def _columns(node: exp.Expression) -> Iterator[exp.Column]:
    """Yield columns under a node, not those inside subqueries."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Column):
            yield part
        elif not isinstance(part, exp.Subquery | exp.Select | exp.SetOperation):
            waiting += list(part.iter_expressions())


def function_name(node: exp.Expression) -> str:
    """Return the bare lower-case name of a function call, or nothing."""
    if isinstance(node, exp.Dot):
        node = node.expression
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower()
    if isinstance(node, exp.Func) and not isinstance(node, exp.Cast | exp.And | exp.Or | exp.Case | exp.If):
        return str(node.sql_names()[0]).lower()
    return ""
