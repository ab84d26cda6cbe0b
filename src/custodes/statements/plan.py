"""A plan: what every statement of one template does, found once by parsing; and how it is filled with one statement's values.

A plan holds no value of any statement, only the places (slots) where the values stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from custodes.model.datamap import ResourceMap
from custodes.model.draft import FieldUse, Resource, Selector, SubjectUse
from custodes.model.words import SELECTORS
from custodes.statements import values
from custodes.statements.lexer import Literal

SCOPE_ORDER: Final = ("none", "named", "aggregate", "key_predicate", "attribute_predicate", "join", "set", "unknown")
"""From narrow to wide: a statement has the scope of its widest part."""
_RANK: Final = {scope: rank for rank, scope in enumerate(SCOPE_ORDER)}


def widest(scopes: Sequence[str]) -> str:
    """Return the widest of some scopes (`none` for no scope at all)."""
    return max(scopes, key=_RANK.__getitem__, default="none")


class Slot(NamedTuple):
    """Where a value stands. `source`: l (literal number `place`), p (parameter, from 0), c (a constant of a view: `constant`)."""

    source: str
    place: int = 0
    constant: str = ""
    negative: bool = False
    integer: bool = False  # the statement casts it to an integer
    array: bool = False  # it stands for many values


class KeyUse(NamedTuple):
    """A slot that names a subject, and whether rows of that subject are all that can come out."""

    slot: Slot
    relation: str = "accessed"


class SelectorUse(NamedTuple):
    """A kind of selector and where its value stands, if there is one. `names`: the value names one person."""

    kind: str
    slot: Slot | None = None
    names: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a template that does not depend on values.

    `runs`: False for a statement that is prepared or explained but not run. `limited`: all persons are named by keys and look-ups,
    so their number bounds the persons seen. `names`: bare names of all tables in the text, known or not. `outputs`: for a copy
    (`derived`), what its columns hold: (resource, column, as it stands) triples, or None where that is not known.
    `entries`: what the data map says of the resources, by name. `direct`, `single`: see `is_direct` and
    `single_in`.
    """

    template: str = ""
    action: str = "query"
    resources: tuple[Resource, ...] = ()
    fields: tuple[FieldUse, ...] = ()
    field_basis: str = "parsed"
    scope: str = "none"
    coverage: tuple[str, ...] = ()
    keys: tuple[KeyUse, ...] = ()
    selectors: tuple[SelectorUse, ...] = ()
    limited: bool = False
    runs: bool = True
    derived: str | None = None
    routines: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    outputs: Mapping[str, tuple[tuple[str, str, bool], ...] | None] = field(default_factory=dict)
    entries: Mapping[str, ResourceMap] = field(default_factory=dict)
    direct: bool = False
    single: tuple[str, int] | None = None


class Reading(NamedTuple):
    """One statement, read. `maximum`: honest bound on the persons seen, None = unbounded. `comments`: raw comments of the text."""

    plan: Plan
    subjects: list[SubjectUse]
    selectors: list[Selector]
    scope: str
    basis: str
    minimum: int
    maximum: int | None
    coverage: tuple[str, ...]
    comments: Sequence[str]


def fill(
    plan: Plan, literals: Sequence[Literal], comments: Sequence[str], params: Sequence[str] | None, dialect: str = "postgres"
) -> Reading:
    """Put one statement's values into its plan."""
    if not plan.keys and not plan.selectors:
        return Reading(plan, [], [], plan.scope, "none", 0, 0 if plan.scope == "none" else None, plan.coverage, comments)
    if dialect == "postgres":
        if plan.single is not None:
            source, place = plan.single
            if source == "l":
                token = literals[place]
                if isinstance(token, str) and token.isdecimal() and token[0] != "0":
                    return _one(plan, token, source, comments)
            elif params and place < len(params) and params[place]:
                return _one(plan, params[place], source, comments)
        if plan.direct:
            return _direct(plan, literals, comments)
    return _thorough(plan, literals, comments, params, dialect)


def _thorough(
    plan: Plan, literals: Sequence[Literal], comments: Sequence[str], params: Sequence[str] | None, dialect: str
) -> Reading:
    filler = _Filler(literals, params, dialect)
    subjects = filler.subjects(plan.keys)
    selectors = filler.selectors(plan.selectors)
    scope, coverage, limited = plan.scope, plan.coverage, plan.limited
    if filler.hidden:
        coverage = (*coverage, "params_hidden")
    if filler.unreadable:
        coverage = (*coverage, "predicate_opaque")
        scope, limited = widest((scope, "unknown")), False
    maximum = None
    if limited and not filler.open_ended:
        maximum = filler.persons
    basis = "none" if not subjects else "parameter" if filler.by_parameter else "predicate"
    return Reading(plan, subjects, selectors, scope, basis, 0, maximum, coverage, comments)


def single_in(keys: Sequence[KeyUse], selectors: Sequence[SelectorUse]) -> tuple[str, int] | None:
    """Return the one slot of a statement that looks one subject up by its key and does nothing else: most are such."""
    if len(keys) != 1 or keys[0].relation != "accessed" or list(selectors) != [SelectorUse("user_id")]:
        return None
    slot = keys[0].slot
    return (slot.source, slot.place) if slot in {Slot("l", slot.place), Slot("p", slot.place)} else None


def _one(plan: Plan, value: str, source: str, comments: Sequence[str]) -> Reading:
    """Do what `fill` does for a plan with one slot."""
    basis = "predicate" if source == "l" else "parameter"
    subject = _subject(SubjectUse, (value, "user_id", "accessed", "certain", basis))
    maximum = 1 if plan.limited else None
    return Reading(plan, [subject], [_USER], plan.scope, basis, 0, maximum, plan.coverage, comments)


_subject: Final = tuple.__new__
_USER: Final = Selector("user_id")


def is_direct(keys: Sequence[KeyUse], selectors: Sequence[SelectorUse]) -> bool:
    """Say whether all slots are single literals that need no care: the common case, filled by `_direct`."""
    slots = [slot for slot, _ in keys] + [use.slot for use in selectors if use.slot is not None]
    return all(slot == Slot("l", slot.place) for slot in slots)


def _direct(plan: Plan, literals: Sequence[Literal], comments: Sequence[str]) -> Reading:
    """Do what `fill` does, without its cases."""
    subjects: dict[str, SubjectUse] = {}
    for slot, relation in plan.keys:
        for value in _plain(literals[slot.place]):
            if value is None:
                return _thorough(plan, literals, comments, None, "postgres")
            if value not in subjects or relation == "accessed":
                subjects[value] = SubjectUse(value, "user_id", relation, "certain", "predicate")
    selectors: dict[Selector, None] = {}
    persons = len(subjects)
    for kind, place, names in plan.selectors:
        if place is None:
            selectors[_BARE.get(kind) or Selector(kind)] = None
            continue
        values_here = _plain(literals[place.place])
        for value in values_here:
            if value is None:
                return _thorough(plan, literals, comments, None, "postgres")
            selectors[Selector(kind, value, _prefix(value) if kind == "ip_range" else None)] = None
        if names:
            persons += len(values_here)
    basis = "predicate" if subjects else "none"
    maximum = persons if plan.limited else None
    return Reading(plan, list(subjects.values()), list(selectors), plan.scope, basis, 0, maximum, plan.coverage, comments)


_BARE: Final = {kind: Selector(kind) for kind in SELECTORS}


def _plain(literal: Literal) -> Sequence[str | None]:
    if literal.__class__ is str:
        return (_value(literal),)
    return [_value(token) for token in literal]


def _value(token: str) -> str | None:
    if token[0] == "'":
        return token[1:-1].replace("''", "'")
    if token[0] in "0123456789.":
        return values.of_number(token)
    return values.of_string(token)


class _Filler:
    """Values of one statement. `persons`: distinct values that name somebody; `open_ended`: a hidden list may name any number."""

    def __init__(self, literals: Sequence[Literal], params: Sequence[str] | None, dialect: str) -> None:
        self._literals = literals
        self._params = params
        self._dialect = dialect
        self.persons = 0
        self.hidden = False
        self.unreadable = False
        self.open_ended = False
        self.by_parameter = False

    def subjects(self, keys: Sequence[KeyUse]) -> list[SubjectUse]:
        found: dict[str, SubjectUse] = {}
        for slot, relation in keys:
            by_parameter = slot.source == "p"
            for value in self._values(slot):
                if value not in found or relation == "accessed":
                    self.by_parameter |= by_parameter
                    found[value] = SubjectUse(value, "user_id", relation, "certain", "parameter" if by_parameter else "predicate")
            if slot.source == "p" and self._hidden(slot):
                self.persons += 1
        self.persons += len(found)
        return list(found.values())

    def selectors(self, uses: Sequence[SelectorUse]) -> list[Selector]:
        found: dict[Selector, None] = {}
        for kind, slot, names in uses:
            if slot is None:
                found[Selector(kind)] = None
                continue
            width = kind == "ip_range"
            given = [Selector(kind, value, _prefix(value) if width else None) for value in self._values(slot)]
            for selector in given or [Selector(kind)]:
                found[selector] = None
            if names:
                self.persons += max(1, len(given))
        return list(found)

    def _hidden(self, slot: Slot) -> bool:
        return self._params is None or slot.place >= len(self._params)

    def _values(self, slot: Slot) -> list[str]:
        if slot.source == "c":
            raw: list[str | None] = [slot.constant]
        elif slot.source == "p":
            if self._params is None or slot.place >= len(self._params):
                self.hidden = True
                self.open_ended |= slot.array
                return []
            text = self._params[slot.place]
            raw = _items(text) if slot.array and text else [text] if text else []
        else:
            raw = self._tokens(slot)
        if slot.integer and slot.source != "l":
            raw = [None if text is None else values.as_integer(text) for text in raw]
        readable = [text for text in raw if text is not None]
        if len(readable) != len(raw):
            self.unreadable = True
        return readable

    def _tokens(self, slot: Slot) -> list[str | None]:
        literal = self._literals[slot.place]
        tokens = [literal] if isinstance(literal, str) else literal
        raw: list[str | None] = []
        for token in tokens:
            if token[0].isdigit() or token[0] == ".":
                raw.append(values.of_number(token, negative=slot.negative))
                continue
            text = None if slot.negative else values.of_string(token, self._dialect)
            if text is not None and slot.array and isinstance(literal, str):
                raw.extend(_items(text))
            else:
                raw.append(text)
        if slot.integer:
            raw = [None if text is None else values.as_integer(text) for text in raw]
        return raw


def _items(text: str) -> list[str | None]:
    items = values.of_array(text)
    return [None] if items is None else list(items)


def _prefix(value: str) -> int | None:
    _, slash, width = value.partition("/")
    return int(width) if slash and width.isdecimal() and len(width) < 4 else None
