"""The rows of one rule over a record that grows: which groups new rows fall into, and which findings stand no longer as they did.

For rules that stand on single looks. The groups are those that the rule makes of all its rows at once, whatever came when.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from custodes.model.finding import Evidence, Finding
from custodes.rule_file import Rule
from custodes.rule_findings import Draft, Row, Told, grouped, order_of

Reason = tuple[str, str | None, str | None]
"""A word (template, code or token) with table and key of the context row that it is about."""
Look = tuple[int, str]
"""Leaf and subject; the subject is empty where the log does not name it."""


@dataclass(slots=True)
class Seen:
    """What a finding tells of one look."""

    access_id: str
    fieldset: str | None
    reasons: set[Reason] = field(default_factory=set)
    flags: set[Reason] = field(default_factory=set)
    lacks: set[Reason] = field(default_factory=set)


class Standing:
    """All rows of one rule, and the findings that stand on them."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.findings: dict[str, Finding] = {}
        self.where = {name: place for place, name in enumerate(rule.columns)}
        self._order = [self.where[name] for name in order_of(rule)]
        self._key = [self.where[name] for name in rule.dedup_key]
        self._access = self.where["access"]
        self._near: set[int] = set()
        self._rows: dict[Row, list[Row]] = defaultdict(list)
        self._keys_of: dict[object, set[Row]] = defaultdict(set)
        self._findings_of: dict[int, set[str]] = defaultdict(set)

    def held(self, leaves: Iterable[int]) -> set[int]:
        """Return those of some leaves that rows are about."""
        return {leaf for leaf in leaves if self._keys_of.get(leaf)}

    def replace(self, asked: Collection[int], rows: Iterable[Row]) -> list[Draft]:
        """Put `rows` in the place of those on the leaves that were `asked`; return the groups that this can have changed."""
        fresh: dict[Row, list[Row]] = defaultdict(list)
        for row in rows:
            fresh[self._of(row)].append(row)
        changed = set(fresh).union(*(self._keys_of[leaf] for leaf in asked if leaf in self._keys_of))
        near = set(asked)
        for key in changed:
            near.update(_leaf(row[self._access]) for row in (*self._rows[key], *fresh[key]))
            kept = [row for row in self._rows[key] if row[self._access] not in asked]
            self._rows[key] = sorted([*kept, *fresh[key]], key=self._sorted)
        for leaf in asked:
            self._keys_of.pop(leaf, None)
        for key, own in fresh.items():
            for row in own:
                self._keys_of[row[self._access]].add(key)
        # Groups over the same accesses are one finding, so whoever shares an access with what changed is looked at again.
        beside = changed.union(*(self._keys_of[leaf] for leaf in near if leaf in self._keys_of))
        drafts = grouped(self.rule, [row for key in sorted(beside, key=_nulls_last) for row in self._rows[key]], {})
        self._near = near
        return [draft for draft in drafts if not near.isdisjoint(draft.values("access"))]

    def stand(self, findings: Iterable[Finding]) -> list[Finding]:
        """Let findings stand on the groups that `replace` returned; return those that stood there before."""
        names = {name for leaf in self._near for name in self._findings_of.get(leaf, ())}
        before = [self.findings.pop(name) for name in sorted(names)]
        for one in before:
            for leaf in one.leaves:
                self._findings_of[leaf].discard(one.finding)
        for one in findings:
            self.findings[one.finding] = one
            for leaf in one.leaves:
                self._findings_of[leaf].add(one.finding)
        return before

    def _of(self, row: Row) -> Row:
        return tuple(row[place] for place in self._key)

    def _sorted(self, row: Row) -> tuple[object, ...]:
        return _nulls_last([row[place] for place in self._order])


def told_of(draft: Draft, seen: Mapping[Look, Seen]) -> Told:
    """Return what is known of the looks of a group, as the views would tell it."""
    told, at, whom = Told(), draft.where["access"], draft.where["subject"]
    reasons: dict[tuple[str, str | None], str | None] = {}
    flags: set[Reason] = set()
    lacks: set[Reason] = set()
    for look in {(_leaf(row[at]), str(row[whom] or "")) for row in draft.rows}:
        one = seen[look]
        told.ids[look[0]] = one.access_id
        if one.fieldset is not None:
            told.fieldsets.add(one.fieldset)
        flags |= one.flags
        lacks |= {lack for lack in one.lacks if lack[0].partition(":")[0] in draft.rule.asks}
        for template, table, key in one.reasons:
            held = reasons.get((template, table))
            reasons[template, table] = key if held is None else held if key is None else min(held, key)
    told.flags = [(code, _evidence(table, key)) for code, table, key in sorted(flags, key=_nulls_last)]
    told.reasons = [
        (code, _evidence(table, key)) for (code, table), key in sorted(reasons.items(), key=lambda one: _nulls_last(one[0]))
    ]
    told.lacks = sorted(lacks, key=_nulls_last)
    return told


def _evidence(table: str | None, key: str | None) -> Evidence | None:
    return None if table is None or key is None else Evidence(table, key)


def _nulls_last(values: Sequence[object]) -> tuple[object, ...]:
    """Sort as an engine does: what is not there comes last."""
    return tuple((value is None, value) if value is not None else (True,) for value in values)


def _leaf(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a rule's access must be a whole number")
    return value
