"""Distance between people, from rows of `staff`: the same person, the same unit, the chain either way, or outside.

Whoever edits the staff export could move an approver out of a chain. So every row counts that any load ever brought: one that puts
two people into one unit or chain, then or now, is enough to make them near. Besides, an approver must have been placed by a row
that was loaded before the request, and must still work here. Who cannot be placed is not outside.

A unit is a path such as `audit/internal/eu`; two units are near if they begin with the same word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from custodes.guard.approval import Refusal
from custodes.model.policy import Policy


class StaffRow(NamedTuple):
    """One row of `staff`, as loaded at `recorded`. Actors and persons are pseudonyms; ends are exclusive, None is open."""

    actor: str
    person: str | None
    unit: str | None
    manager: str | None
    begins: datetime | None
    ends: datetime | None
    left: datetime | None
    recorded: datetime

    def holds(self, at: datetime) -> bool:
        """Say whether the row holds at a time."""
        return all((self.begins is None or self.begins <= at, *(end is None or at < end for end in (self.ends, self.left))))


class Staff:
    """The company's people, as all loads together tell of them."""

    def __init__(self, rows: Iterable[StaffRow], policy: Policy) -> None:
        self._policy = policy
        self._rows: dict[str, list[StaffRow]] = defaultdict(list)
        for row in rows:
            self._rows[row.actor].append(row)

    def person(self, actor: str) -> str | None:
        """Return the HR person behind an account; None where staff names none, or more than one."""
        persons = {row.person for row in self._rows.get(actor, ()) if row.person}
        return persons.pop() if len(persons) == 1 else None

    def may_approve(self, actor: str, asked: datetime, now: datetime) -> Refusal | None:
        """Say why an account may approve nothing that was asked for at `asked`, or None.

        Staff must name its person, and its unit by a row loaded before the request, and the latest load that names the account
        must have it employed now. Records tell time in whole seconds, so a row loaded within the second of the request counts.
        """
        rows = self._rows.get(actor, [])
        if self.person(actor) is None or not any(row.unit and row.recorded.replace(microsecond=0) <= asked for row in rows):
            return Refusal("unplaced", f"no staff row loaded before the request names person and unit of {actor}")
        latest = max(row.recorded for row in rows)
        if not any(row.holds(now) for row in rows if row.recorded == latest):
            return Refusal("left", f"{actor} does not work here any more")
        return None

    def near(self, approver: str, concerned: Sequence[str]) -> Refusal | None:
        """Say why `approver` does not stand outside the units and chains of all `concerned`, or None if they do.

        Where one of them is of a unit without duties towards subjects (audit, investigations, legal), *outside* means the units
        that policy lists for that, if it lists any.
        """
        units = self._units(approver)
        for actor in concerned:
            theirs = self._units(actor)
            if not units or not theirs:
                return Refusal("unplaced", f"staff names no unit of {approver if not units else actor}: load a staff row for them")
            if self.person(actor) is not None and self.person(actor) == self.person(approver):
                return Refusal("same-unit", f"{approver} is the same person as {actor}")
            if {_top(unit) for unit in units} & {_top(unit) for unit in theirs}:
                return Refusal("same-unit", f"{approver} is or was of the unit of {actor}")
            if approver in self._above(actor) or actor in self._above(approver):
                return Refusal("same-unit", f"{approver} stands or stood in the chain of {actor}")
            listed = self._policy.outside_approver_units
            watches = any(_under(unit, self._policy.units_without_subject_duty) for unit in theirs)
            if watches and listed and not all(_under(unit, listed) for unit in units):
                return Refusal("same-unit", f"{approver} is of no unit that policy lists as outside that of {actor}")
        return None

    def is_outside(self, actor: str) -> bool:
        """Say whether all units that an account ever had are among those that policy lists as outside, if it lists any."""
        listed, units = self._policy.outside_approver_units, self._units(actor)
        return bool(units) and (not listed or all(_under(unit, listed) for unit in units))

    def has_no_duty(self, actor: str) -> bool:
        """Say whether an account is or was of a unit without duties towards subjects; who cannot be placed counts as such."""
        units = self._units(actor)
        return not units or any(_under(unit, self._policy.units_without_subject_duty) for unit in units)

    def members(self, unit: str) -> tuple[str, ...]:
        """Return all accounts that ever were of a unit or of one below it, sorted."""
        return tuple(sorted(actor for actor in self._rows if any(_under(own, [unit]) for own in self._units(actor))))

    def _units(self, actor: str) -> set[str]:
        return {row.unit for row in self._rows.get(actor, ()) if row.unit}

    def _above(self, actor: str) -> set[str]:
        """Return everybody above an account, at any time."""
        found: set[str] = set()
        todo = [actor]
        while todo:
            above = {row.manager for row in self._rows.get(todo.pop(), ()) if row.manager}
            todo.extend(above - found)
            found |= above
        return found


def _top(unit: str) -> str:
    return unit.split("/", maxsplit=1)[0].strip().lower()


def _under(unit: str, listed: Sequence[str]) -> bool:
    return any(entry in ("*", unit) or unit.startswith(f"{entry}/") for entry in listed)
