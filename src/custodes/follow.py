"""Near real time: what comes in is explained and judged at once by the rules that stand on single looks, as a full run judges it.

Rules this page keeps: an id, a level and a sentence that are told are those that a full run over the same record gives; nothing is
told twice; a finding that context withdraws or weakens is said to be; what needs more than one look is left to the next full run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Final

from custodes import explain, rule, watch
from custodes.explain.warm import Sources, Warm
from custodes.model.finding import Finding
from custodes.model.run import Change, Known
from custodes.rank import again, suppress
from custodes.rank.assemble import Place
from custodes.rule_findings import Draft, fieldsets_of, rows_of, select_of, tell
from custodes.standing import Look, Seen, Standing, told_of
from custodes.store.manifest import Manifest

if TYPE_CHECKING:
    from custodes.engine import Engine, SteadyEngine


_LOOK_UP: Final = """
SELECT l.look, l.access, l.subject, a.access_id, coalesce(l.fieldset, a.fieldset)
FROM looks l INNER JOIN accesses a ON a.access = l.access
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What following stands on, handed in by the composition root.

    `rooms` see the store as of `manifest`; `sources` see it as it becomes. `steady` opens an empty engine.
    """

    rooms: watch.Rooms
    sources: Sources
    manifest: Manifest
    steady: Callable[[], SteadyEngine]


@dataclass(frozen=True, slots=True)
class News:
    """What is new to be told. `instead_of`: finding → earlier findings that it takes the place of, having grown.

    `explaining_s`: seconds until all looks had their verdicts.
    """

    accesses: int = 0
    findings: tuple[Finding, ...] = ()
    instead_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    explaining_s: float = 0.0


class Follow:
    """One record followed from where `ground` stands. Serves until `custodes.explain.warm.Outdated`; then make another one."""

    def __init__(self, ground: Ground) -> None:
        """Explain what is there and judge it by the rules that stand on single looks, in the engine of `rooms`; then close that."""
        self._rooms = ground.rooms
        self._seen: dict[Look, Seen] = {}
        with closing(ground.rooms.engine) as engine:
            _explain(ground.rooms)
            active = [entry for entry in ground.rooms.rules if entry.state != "retired"]
            single = [entry for entry in active if entry.reach == "look"]
            why = {entry.code: rule.cannot_check(engine, entry, ground.rooms.loaded) for entry in single}
            self.unchecked = {code: reason for code, reason in why.items() if reason}
            self.left = tuple(entry.code for entry in active if entry.reach != "look")
            self._standing = {entry.code: Standing(entry) for entry in single if not why[entry.code]}
            self._begin(engine)
            self._engine = ground.steady()
            self._warm = Warm(engine, self._engine, ground.sources, ground.manifest)
        self._named = self._warm.fieldsets, fieldsets_of(self._engine)
        for code, one in self._standing.items():
            self._warm.prepare(f"rule_{code}", select_of(one.rule))
        self._warm.prepare("look_up", f"{_LOOK_UP} WHERE l.access IN (SELECT unnest(CAST($1 AS BIGINT[])))")

    def close(self) -> None:
        """Give the engine back."""
        self._engine.close()

    @property
    def judges(self) -> tuple[str, ...]:
        """The rules by which looks are judged as they come."""
        return tuple(self._standing)

    @property
    def stands(self) -> int:
        """How many findings of these rules stand."""
        return sum(len(one.findings) for one in self._standing.values())

    def standing(self) -> Iterable[Standing]:
        """Return the rules with the findings that stand on them."""
        return self._standing.values()

    def waiting(self) -> tuple[str, ...]:
        """Return the parts of the store that came in since. Raises `Outdated`."""
        return self._warm.fresh()

    def take(self, parts: Collection[str]) -> News:
        """Explain and judge the accesses of some parts that are `waiting`. Raises `Outdated`; then nothing of them was told."""
        began = perf_counter()
        batch = self._warm.take(parts)
        explaining = perf_counter() - began
        rows = {code: self._warm.rows(f"rule_{code}") for code in self._standing}
        self._see({_leaf(row[one.where["access"]]) for code, one in self._standing.items() for row in rows[code]})
        drafts = {code: one.replace(batch.asked, rows[code]) for code, one in self._standing.items()}
        before, after = self._tell(drafts, self._sets())
        return replace(self._news(batch.accesses, before, after), explaining_s=explaining)

    def since(self, earlier: Follow) -> News:
        """Return what is told otherwise than an `earlier` state told it: after a load of context, or another such change."""
        before = [one for standing in earlier._standing.values() for one in standing.findings.values()]
        after = [one for standing in self._standing.values() for one in standing.findings.values()]
        return self._news(0, before, after)

    # — what stands at the beginning —

    def _begin(self, engine: Engine) -> None:
        rows = {code: rows_of(engine, one.rule) for code, one in self._standing.items()}
        leaves = {_leaf(row[one.where["access"]]) for code, one in self._standing.items() for row in rows[code]}
        among = f"access IN ({', '.join(map(str, sorted(leaves))) or 'NULL'})"
        self._look_up(engine.rows(f"{_LOOK_UP} WHERE l.{among}"))
        for view, column in (("explanations", "template"), ("flags", "code"), ("lacks", "token")):
            columns = f"access, subject, {column}, evidence_table, evidence_key"
            for access, subject, word, table, key in engine.rows(f"SELECT {columns} FROM {view} WHERE {among}"):
                seen = self._seen[_leaf(access), str(subject or "")]
                known = {"explanations": seen.reasons, "flags": seen.flags, "lacks": seen.lacks}[view]
                known.add((str(word), _text(table), _text(key)))
        self._tell({code: one.replace((), rows[code]) for code, one in self._standing.items()}, fieldsets_of(engine))

    # — what is known of the looks that findings tell of —

    def _look_up(self, found: Iterable[tuple[object, ...]]) -> dict[int, Look]:
        """Note names and field sets of looks, rows of `_LOOK_UP`; return look → leaf and subject."""
        numbers = {}
        for number, access, subject, access_id, fieldset in found:
            look = (_leaf(access), str(subject or ""))
            self._seen[look] = Seen(str(access_id), _text(fieldset))
            numbers[_leaf(number)] = look
        return numbers

    def _see(self, leaves: Collection[int]) -> None:
        """Note what is to be said of the looks of some accesses of the batch at hand."""
        if not leaves:
            return
        numbers = self._look_up(self._warm.rows("look_up", sorted(leaves)))
        for number, verdict in self._warm.conclude(numbers).items():
            seen = self._seen[numbers[number]]
            seen.reasons, seen.flags, seen.lacks = verdict.reasons, verdict.flags, verdict.lacks

    def _tell(
        self, drafts: Mapping[str, Sequence[Draft]], sets: Mapping[str, tuple[set[str], set[str]]]
    ) -> tuple[list[Finding], list[Finding]]:
        """Let findings stand on the groups that changed; return those that stood there and those that stand now."""
        concerned = [draft for own in drafts.values() for draft in own]
        found = tell(concerned, [told_of(draft, self._seen) for draft in concerned], sets)
        before = [earlier for code, one in self._standing.items() for earlier in one.stand(f for f in found if f.rule == code)]
        return before, found

    def _sets(self) -> Mapping[str, tuple[set[str], set[str]]]:
        """Return what field sets are called, read anew only when there are others."""
        if self._named[0] != self._warm.fieldsets:
            self._named = self._warm.fieldsets, fieldsets_of(self._engine)
        return self._named[1]

    # — what of it is news —

    def _news(self, accesses: int, before: Sequence[Finding], after: Sequence[Finding]) -> News:
        """Compare as a run compares with the desk. What did not change is no news, nor is what a suppression holds back."""
        memory = self._rooms.memory
        known = [_known(finding) for finding in before]
        shown, _ = suppress.divide(after, memory.suppressions, memory.refer, self._places() if memory.suppressions else {})
        held = {finding.finding for finding in after}.difference(finding.finding for finding in shown)
        met = {code: one.held({leaf for finding in before for leaf in finding.leaves}) for code, one in self._standing.items()}
        days = {code: one.rule.dedup_days for code, one in self._standing.items()}
        changes = again.compare(known, shown, again.Ran(met, days, held, None, None)).changes
        names = {finding.finding for finding in before}
        fresh = tuple(finding for finding in shown if finding.finding not in names)
        return News(accesses, fresh, {one.finding: _replaced(one, before, after) for one in fresh}, changes)

    def _places(self) -> dict[str, Place]:
        found = self._engine.rows("SELECT actor, arg_max(coalesce(unit, ''), valid_from) FROM staff_spans GROUP BY actor")
        return {str(actor): Place(str(unit)) for actor, unit in found}


def _explain(rooms: watch.Rooms) -> None:
    """Leave in the engine what a full run has before its rules."""
    rooms.build_views(rooms.engine, None, None, rooms.keep)
    if rooms.keep:
        rooms.keep.explain(rooms.engine, rooms.templates, rooms.policy, rooms.loaded)
    else:
        explain.run(rooms.engine, rooms.templates, rooms.policy, rooms.loaded)


def _replaced(finding: Finding, before: Iterable[Finding], after: Iterable[Finding]) -> tuple[str, ...]:
    still = {one.finding for one in after}
    leaves = set(finding.leaves)
    return tuple(
        one.finding for one in before if one.finding not in still and one.rule == finding.rule and leaves & set(one.leaves)
    )


def _known(finding: Finding) -> Known:
    return Known(
        finding=finding.finding,
        rule=finding.rule,
        key=finding.key,
        level=finding.level,
        codes=finding.codes,
        explained_by=finding.explained_by,
        leaves=frozenset(finding.leaves),
        first=finding.first,
        last=finding.last,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _leaf(value: object) -> int:
    return int(str(value))
