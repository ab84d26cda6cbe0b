"""The values of the language: references to members, rows, times and knobs, draws, turns - worked out when they are needed.

Rows and acts may refer to each other in any order; each is worked out once, on demand, and a circle is refused.
A fixed offset (`T0-8h`) is blurred by up to one per cent, the same everywhere in one play: no company acts on the second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from custodes.errors import InputError
from custodes.model.tables import TABLES
from custodes.world.clock import HOUR, MINUTE, span
from custodes.world.company import Staff, Subject
from custodes.world.dice import Dice
from custodes.world.ids import Ids
from custodes.world.language import Row, Scenario

OWN_KEY: Final = {
    "tickets": "ticket",
    "cases": "case",
    "grants": "grant",
    "incidents": "incident",
    "legal": "process",
    "jobs": "job",
    "claims": "claim",
    "press": "event",
}
"""Tables whose key is an id of their own; the others are named by the rows they belong to."""
_TIME: Final = re.compile(r"(?:(T0)|#(\w+)(~?)\.(\w+)|(\w+)\.(first|last))((?:[+-](?:\$\w+|[\d.]+[smhdw]))*)")
_TERM: Final = re.compile(r"([+-])(\$\w+|[\d.]+[smhdw])")
_MEMBER: Final = re.compile(r"@(\w+)(?:\.(\d+)|(~))?")
_ROW: Final = re.compile(r"#(\w+)(~?)(?:\.(\w+))?")
_LABEL: Final = re.compile(r"([a-z]+)-\w+")
_LABELLED: Final = {
    "inbound": "msg",
    "derived": "object",
    "derived_from": "object",
    "device": "device",
    "session": "session",
    "reason": "tickets",
}
_TIME_COLUMNS: Final = {
    name: frozenset(column.name for column in table.columns if column.kind == "time") for name, table in TABLES.items()
}
_BLUR: Final = 0.01
_SHIFT_TRIES: Final = 80


class At(NamedTuple):
    """Where a value is worked out: for which member of a row's group, or for which actor, subject and turn of an act."""

    over: str | None = None
    member: int = 0
    actor: Staff | None = None
    actor_index: int = 0
    subject: Subject | None = None
    subject_index: int = 0
    step: int = 0


class Play:
    """Rows and values of one episode at one T0."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        knobs: Mapping[str, object],
        cast: Mapping[str, Sequence[Staff] | Sequence[Subject]],
        ids: Ids,
        dice: Dice,
        t0: int,
    ) -> None:
        self.scenario, self.knobs, self.cast, self.ids, self.dice, self.t0 = scenario, knobs, cast, ids, dice, t0
        self.act_times: Callable[[str], Sequence[int]] = lambda _: ()
        self.on_duty: Callable[[Row, int], Staff | None] = lambda _row, _index: None
        self._rows: dict[str, list[dict[str, object]]] = {}
        self._labels: dict[str, str] = {}
        self._blurs: dict[tuple[int, str], int] = {}
        self._places: dict[str, dict[str, int]] = {}

    # --- values ---------------------------------------------------------------------------------------------------------

    def value(self, raw: object, at: At, column: str, row: Row | None = None) -> object:
        """Work out one value for `column`; None means that the column is absent."""
        if isinstance(raw, dict):
            return self._turn(raw, at, column, row)
        if isinstance(raw, list):
            if len(raw) == 2 and all(type(item) is int for item in raw):
                return self.dice.between(raw[0], raw[1])
            return [self.value(item, at, "", row) for item in raw]
        if not isinstance(raw, str):
            return raw
        if raw == "":
            return None
        if raw[0] == "$" and raw[1:] in self.knobs:
            return self.value(self.knobs[raw[1:]], at, column, row)
        if row is not None and column in _TIME_COLUMNS[row.table]:
            return self.time(raw, at, self.on_duty(row, at.member))
        if match := _MEMBER.fullmatch(raw):
            return self._member(match, at).id
        if match := _ROW.fullmatch(raw):
            return self._row_value(match, at)
        if column == "assigned_by" and row is not None:
            return self._queue(row, at)
        if column in _LABELLED and (match := _LABEL.fullmatch(raw)):
            return self._label(raw, column, match.group(1))
        return raw

    def _turn(self, raw: Mapping[str, object], at: At, column: str, row: Row | None) -> object:
        for word, items in raw.items():
            if not isinstance(items, list) or not items:
                break
            if word == "pick":
                return self.value(self.dice.one(items), at, column, row)
            if word == "cycle":
                return self.value(items[at.step % len(items)], at, column, row)
            if word == "split":
                return self.value(items[at.actor_index % len(items)], at, column, row)
        raise InputError(f"{self.scenario.id}: a value of {column!r} is none of pick, cycle, split over a list")

    def number(self, raw: object, at: At) -> int:
        """Work out a count."""
        found = self.value(raw, at, "")
        if not isinstance(found, int) or isinstance(found, bool):
            raise InputError(f"{self.scenario.id}: expected a whole number, found {found!r}")
        return found

    def knob(self, raw: object) -> object:
        """Draw a knob."""
        if isinstance(raw, list) and len(raw) == 2 and all(type(item) is int for item in raw):
            return self.dice.between(raw[0], raw[1])
        return raw

    def _label(self, raw: str, column: str, prefix: str) -> str:
        """Return a fresh id of the background's form for an id written out; each inbound contact is one of its own."""
        kind = prefix if column == "inbound" else _LABELLED[column]
        if column == "inbound":
            return self.ids.new(kind)
        if raw not in self._labels:
            self._labels[raw] = self.ids.new(kind)
        return self._labels[raw]

    def _queue(self, row: Row, at: At) -> str:
        """Return the name of a queue in which the assigned actor works, as the background writes it."""
        staff = self.actor_of(row, at.member)
        return "queue" if staff is None else queue_name(staff, self.dice)

    # --- members and rows -------------------------------------------------------------------------------------------------

    def group(self, name: str) -> Sequence[Staff] | Sequence[Subject]:
        """Return a group of the cast, or one member as in `dev.0`."""
        word, _, number = name.partition(".")
        members = self.cast[word]
        return members[int(number) : int(number) + 1] if number else members

    def staff(self, reference: str, at: At) -> Staff:
        """Return the member of staff that `@x` names."""
        match = _MEMBER.fullmatch(reference)
        found = self._member(match, at) if match else None
        if not isinstance(found, Staff):
            raise InputError(f"{self.scenario.id}: {reference!r} is no member of staff")
        return found

    def _member(self, match: re.Match[str], at: At) -> Staff | Subject:
        name, number, paired = match.groups()
        members: Sequence[Staff | Subject] = self.cast[name]
        if number is not None:
            return members[int(number) % len(members)]
        if paired:
            turn = at.member if at.over is not None else at.subject_index if at.subject is not None else at.actor_index
            return members[turn % len(members)]
        if at.over == name:
            return members[at.member]
        if at.actor is not None and at.actor.id in self._place_of(name):
            return at.actor
        if at.subject is not None and at.subject.id in self._place_of(name):
            return at.subject
        return members[0]

    def _place_of(self, group: str) -> Mapping[str, int]:
        if group not in self._places:
            members: Sequence[Staff | Subject] = self.cast[group]
            self._places[group] = {one.id: index for index, one in enumerate(members)}
        return self._places[group]

    def rows(self, name: str) -> list[dict[str, object]]:
        """Return the rows of one name, worked out in full."""
        made = self._start(name)
        row = self.scenario.rows[name]
        for index in range(len(made)):
            for column in row.columns:
                self._column(row, index, column)
        return made

    def _start(self, name: str) -> list[dict[str, object]]:
        if name not in self._rows:
            row = self.scenario.rows[name]
            count = len(self.cast[row.over]) if row.over else 1
            key = OWN_KEY.get(row.table)
            own = key is not None and key not in row.columns
            self._rows[name] = [{key: self.ids.new(row.table)} if own and key else {} for _ in range(count)]
        return self._rows[name]

    def _column(self, row: Row, index: int, column: str) -> object:
        made = self._start(row.name)[index]
        if column in made:
            found = made[column]
            if found is _WORKING:
                raise InputError(f"{self.scenario.id}: {row.name}.{column} waits for itself")
            return found
        made[column] = _WORKING
        made[column] = self.value(row.columns.get(column), At(over=row.over, member=index, step=index), column, row)
        return made[column]

    def actor_of(self, row: Row, index: int) -> Staff | None:
        """Return the member of staff whom a row names as the one who acts, if it names one."""
        for column in ("opened_by", "actor", "requested_by", "owner", "approver", "added_by"):
            raw = row.columns.get(column)
            if isinstance(raw, str) and (match := _MEMBER.fullmatch(raw)):
                found = self._member(match, At(over=row.over, member=index))
                if isinstance(found, Staff):
                    return found
        return None

    def _row_index(self, row: Row, at: At, *, following: bool) -> int:
        count = len(self._start(row.name))
        place = 0
        if count > 1 and row.over is not None:
            where = self._place_of(row.over)
            if at.over == row.over:
                place = at.member
            elif at.actor is not None and at.actor.id in where:
                place = where[at.actor.id]
            elif at.subject is not None and at.subject.id in where:
                place = where[at.subject.id]
            else:
                place = at.member if at.over is not None else at.subject_index
        return (place + following) % count

    def _row_value(self, match: re.Match[str], at: At) -> object:
        name, following, column = match.groups()
        row = self.scenario.rows[name]
        index = self._row_index(row, at, following=bool(following))
        if column:
            return self._column(row, index, column)
        key = next(
            (part for part in TABLES[row.table].key if part in self._start(name)[index] or part in row.columns),
            TABLES[row.table].key[0],
        )
        return self._column(row, index, key)

    # --- times ------------------------------------------------------------------------------------------------------------

    def time(self, text: str, at: At, duty: Staff | None = None) -> int:
        """Work out a time; a drawn one of a day or so falls into a shift of `duty` if somebody is."""
        match = _TIME.fullmatch(text)
        if match is None:
            raise InputError(f"{self.scenario.id}: {text!r} is no time")
        zero, name, following, column, act, end, terms = match.groups()
        if zero:
            base = self.t0
        elif name:
            base = self._row_time(name, column, at, following=bool(following))
        else:
            times = self.act_times(act)
            if not times:
                raise InputError(f"{self.scenario.id}: {text!r} refers to an act without accesses")
            base = min(times) if end == "first" else max(times)
        return self._add(base, terms, duty) if terms else base

    def _row_time(self, name: str, column: str, at: At, *, following: bool) -> int:
        row = self.scenario.rows[name]
        found = self._column(row, self._row_index(row, at, following=following), column)
        if not isinstance(found, int):
            raise InputError(f"{self.scenario.id}: {name}.{column} is no time")
        return found

    def _add(self, base: int, terms: str, duty: Staff | None) -> int:
        if (base, terms) in self._blurs:
            return self._blurs[base, terms]
        fixed, low, high = 0, 0.0, 0.0
        for sign, term in _TERM.findall(terms):
            text = str(self.knobs[term[1:]]) if term[0] == "$" else term
            bounds = span(text)
            if bounds is None:
                raise InputError(f"{self.scenario.id}: {text!r} is no span of time")
            least, most = bounds if sign == "+" else (-bounds[1], -bounds[0])
            if least == most:
                fixed += int(least * (1 + _BLUR * (2 * self.dice.roll() - 1) * (abs(least) > 5 * MINUTE)))
            else:
                low, high = low + least, high + most
        if low == high:
            self._blurs[base, terms] = base + fixed
            return base + fixed
        tries = _SHIFT_TRIES if duty is not None and high - low >= 6 * HOUR else 1
        for _ in range(tries):
            found = base + fixed + self.dice.moment(low, high)
            if duty is None or duty.on_shift(found):
                break
        return found


_WORKING: Final = object()


def queue_name(staff: Staff, dice: Dice) -> str:
    """Return the name of a queue that hands work to `staff`."""
    return dice.one(staff.queues) if staff.queues else f"queue {staff.unit.rpartition('/')[0] or staff.unit}"
