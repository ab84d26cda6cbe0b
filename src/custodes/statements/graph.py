"""Which persons a statement can reach: tables as nodes, predicates as limits on them, equalities as edges that carry limits over.

Rule: only what certainly restricts counts. A limit that is not understood is no limit, so that a mistake makes a scope wider, never
narrower. Levels, narrow to wide: KEY (named persons), PLACE (an attribute), OPEN (no limit), OPAQUE (a test of the key that
cannot be read).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from custodes.model.datamap import ResourceMap
from custodes.statements.catalog import IDENTITIES, PLACES, is_personal, is_staff
from custodes.statements.plan import KeyUse, Slot

KEY: Final = 1
PLACE: Final = 2
OPEN: Final = 3
OPAQUE: Final = 4


class Ref(NamedTuple):
    """What a column name stands for: columns of sources (several through a union), or constant slots.

    `computed`: through a function.
    """

    bases: tuple[tuple[int, str], ...] = ()
    constants: tuple[Slot, ...] = ()
    computed: bool = False

    @property
    def plain(self) -> bool:
        """Say whether it is a column as it stands, and nothing else."""
        return bool(self.bases) and not self.computed and not self.constants


class Limit(NamedTuple):
    """What one predicate does to one source, by which columns.

    `keys`: slots named outright, by the key columns `named`; `searched`: slots that an OR made uncertain.
    """

    level: int
    columns: frozenset[str] = frozenset()
    keys: tuple[Slot, ...] = ()
    searched: tuple[Slot, ...] = ()
    named: frozenset[str] = frozenset()


Limits = dict[int, Limit]
"""By source number."""


def both(one: Limits, other: Limits) -> Limits:
    """Join limits by AND: the narrower holds, all keys stay."""
    joined = dict(one)
    for number, limit in other.items():
        known = joined.get(number)
        if known is None:
            joined[number] = limit
            continue
        level = min(known.level, limit.level)
        columns = frozenset().union(*(part.columns for part in (known, limit) if part.level == level))
        named = known.named | limit.named
        joined[number] = Limit(level, columns, known.keys + limit.keys, known.searched + limit.searched, named)
    return joined


def either(arms: Sequence[Limits]) -> Limits:
    """Join limits by OR: the widest arm holds. Keys stay certain only if every arm tests the same key."""
    joined: Limits = {}
    for number in dict.fromkeys(number for arm in arms for number in arm):
        found = [arm.get(number, Limit(OPEN)) for arm in arms]
        keys = tuple(slot for limit in found for slot in limit.keys)
        searched = tuple(slot for limit in found for slot in limit.searched)
        level = OPEN if any(limit.level == OPEN for limit in found) else max(limit.level for limit in found)
        columns, named = found[0].columns, found[0].named
        if level == KEY and all(limit.named == named and limit.keys for limit in found) and len(named) == 1:
            joined[number] = Limit(KEY, named, keys, searched, named)
        else:
            same = columns if all(limit.columns == columns for limit in found) else frozenset[str]()
            joined[number] = Limit(level, same, (), searched + keys)
    return joined


@dataclass(slots=True)
class Source:
    """One occurrence of a table. `shown`: its rows, or values made from them, leave the statement; `doubt`: inside OR or NOT."""

    number: int
    resource: int
    entry: ResourceMap | None
    doubt: str = ""
    shown: bool = True
    counted: bool = False
    harmless: bool = False
    written: bool = False
    meets_staff: bool = False
    limits: Limits = field(default_factory=dict)
    carried: int = OPEN
    narrowed: set[str] = field(default_factory=set)

    def kind_of(self, column: str) -> str | None:
        """Return the selector kind of a column: `user_id` for a key."""
        if self.entry is None:
            return None
        return "user_id" if column in self.entry.subject_key else self.entry.selectors.get(column)

    @property
    def own(self) -> Limit:
        """The limits of its own predicates."""
        return self.limits.get(self.number, Limit(OPEN))

    @property
    def level(self) -> int:
        """The level that holds, own or carried over."""
        narrow = min(self.own.level, self.carried)
        return OPAQUE if narrow == OPEN and OPAQUE in (self.own.level, self.carried) else narrow

    @property
    def keys(self) -> tuple[str, ...]:
        """Subject key columns."""
        return self.entry.subject_key if self.entry else ()


class Edge(NamedTuple):
    """Values of `column` of source `target` are among those of `origins`."""

    target: int
    column: str
    origins: tuple[tuple[int, str], ...]


class Graph:
    """Sources, limits and edges of one statement."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self._edges: list[Edge] = []
        self.dropped: list[Slot] = []
        self.floor = 0
        """Sources below this number stand outside the subquery that is being read: nothing in it restricts them."""

    def limit(self, limits: Limits, allowed: Iterable[int] | None = None) -> None:
        """Apply limits to the sources they speak of; where an outer join forbids it, their keys were only searched for."""
        for number, limit in limits.items():
            if number < self.floor or (allowed is not None and number not in allowed):
                self.dropped += limit.keys + limit.searched
                continue
            source = self.sources[number]
            source.limits = both(source.limits, {number: limit})
            if source.own.level == KEY:
                source.narrowed |= source.own.columns

    def connect(self, one: Ref, other: Ref, allowed: Iterable[int] | None = None) -> None:
        """Say that two columns are equal in every row."""
        for target, origin in ((one, other), (other, one)):
            if target.computed or not origin.plain:
                continue
            for number, column in target.bases:
                if number >= self.floor and (allowed is None or number in allowed):
                    self._edges.append(Edge(number, column, origin.bases))

    def meet(self, one: Iterable[tuple[int, str]], other: Iterable[tuple[int, str]]) -> list[str]:
        """Note that columns of staff and of subjects were compared; return the kinds by which they meet."""
        kinds: list[str] = []
        pairs = [(left, right) for left in one for right in other]
        for (first, _), (second, column) in pairs + [(right, left) for left, right in pairs]:
            staff, subjects = self.sources[first], self.sources[second]
            kind = subjects.kind_of(column)
            if kind in PLACES and subjects.keys and staff.entry is not None and is_staff(staff.entry):
                subjects.meets_staff = staff.meets_staff = True
                kinds.append(kind)
        return kinds

    def solve(self) -> None:
        """Carry limits along edges until nothing changes."""
        for _ in range(len(self.sources) + 1):
            moved = [self._carry(edge) for edge in self._edges]
            if not any(moved):
                return

    def _carry(self, edge: Edge) -> bool:
        target = self.sources[edge.target]
        level = max(self._arriving(target, edge.column, number, column) for number, column in edge.origins)
        names = edge.column in target.keys and edge.column not in target.narrowed and level == KEY
        if names:
            target.narrowed.add(edge.column)
        if level < min(target.carried, OPEN) or (level == OPAQUE and target.carried == OPEN):
            target.carried = level
            return True
        return names

    def _arriving(self, target: Source, column: str, number: int, from_column: str) -> int:
        """Return the level that an equality with a column of source `number` gives to `target`."""
        origin = self.sources[number]
        level = origin.level
        if level == OPEN:
            return OPEN
        mine, theirs = target.kind_of(column), origin.kind_of(from_column)
        if mine in IDENTITIES and (mine == theirs or {mine, theirs} <= IDENTITIES):
            several = len(origin.keys) > 1 and from_column not in origin.narrowed
            return OPEN if several and level == KEY else level
        if not target.keys and mine is None:
            return level  # a table without persons of its own belongs to those it is joined with
        if mine in PLACES and level in (KEY, PLACE):
            return PLACE
        return OPEN

    def uses(self) -> list[KeyUse]:
        """Return all slots that name a subject, with their relation."""
        uses: dict[KeyUse, None] = {}
        for source in self.sources:
            own = source.own
            if source.doubt == "not":
                continue
            relation = "searched_for" if source.doubt or own.level != KEY else "accessed"
            uses.update((KeyUse(slot, relation), None) for slot in own.keys)
            uses.update((KeyUse(slot, "searched_for"), None) for slot in own.searched)
        uses.update((KeyUse(slot, "searched_for"), None) for slot in self.dropped)
        return list(uses)

    def scope_of(self, source: Source) -> str:
        """Return the scope that a source alone gives."""
        if source.harmless or not source.shown:
            return "none"
        if source.entry is not None and not is_personal(source.entry):
            return "none"
        if source.meets_staff:
            return "join"
        level = source.level
        if level == KEY:
            return "key_predicate"
        if level == OPAQUE:
            return "unknown"
        if source.counted:
            return "aggregate"
        if source.entry is None:
            return "unknown"
        return "attribute_predicate" if level == PLACE else "set"

    @property
    def limited(self) -> bool:
        """Say whether named persons are all that the statement can have reached."""
        reached = [source for source in self.sources if source.shown and not source.harmless]
        personal = [source for source in reached if source.entry is None or is_personal(source.entry)]
        return bool(personal) and all(
            source.level == KEY and not source.meets_staff and (len(source.keys) <= 1 or set(source.keys) <= source.narrowed)
            for source in personal
        )
