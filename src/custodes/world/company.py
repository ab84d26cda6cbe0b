"""The people of a simulated company: staff with shifts and leave, subjects with links, protected persons.

The cast of a scenario is hired and opened first; the company is then filled up around it, from the same code, and subjects are
put into random order: nobody can tell the cast by where a row stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from custodes.world.clock import DAY, HOUR, WEEK
from custodes.world.dice import Curve, Dice, Wheel
from custodes.world.ids import Ids
from custodes.world.language import Charter, Place, Size

T = TypeVar("T")
HOURS_FROM_UTC: Final = {"IE": 1, "US": -5, "PH": 8, "CO": -5, "MX": -6, "SG": 8, "CN": 8, "PL": 2, "DE": 2, "GB": 1, "IN": 5}
WEIGHTS: Final = {
    "support/tier1": 22.0,
    "support/tier2": 10.0,
    "support/quality": 5.0,
    "trust_safety": 9.0,
    "fraud": 9.0,
    "security/response": 5.0,
    "security/investigations": 4.0,
    "sre": 5.0,
    "data": 4.0,
    "privacy": 4.0,
    "legal/law_enforcement": 4.0,
    "audit": 3.5,
}
"""How many work in a unit, relative to each other, by path prefix; 2.5 elsewhere."""
ROLES: Final = {
    "support": "agent",
    "trust_safety": "investigator",
    "fraud": "investigator",
    "security": "analyst",
    "sre": "engineer",
    "data": "analyst",
    "marketing": "specialist",
    "operations": "operator",
    "audit": "auditor",
    "privacy": "privacy analyst",
    "legal": "counsel",
    "comms": "press officer",
    "executive": "assistant",
    "people": "partner",
    "oversight": "inspector",
}
REGION_SHARES: Final = {"US": 0.5, "EU": 0.35, "XA": 0.15}
ON_DUTY: Final = 0.08
DUTY: Final = 4
"""Share of support staff who work on weekends, and how many take turns: one weekend in so many."""
QUEUES: Final = Curve((0, 0.6), (0.5, 1.0), (0.7, 1.9), (0.88, 3.8), (0.99, 12), (1, 16))
PEOPLE_PER_QUEUE: Final = 1.9
"""In how many queues somebody works (rounded, at least one), and how many people there are for one queue of theirs."""
_HEAVY: Final = 1.4
"""Spread of activity among people of one unit (sigma of a lognormal)."""


@dataclass(slots=True, eq=False)
class Staff:
    """One member of staff or service account. `start`, `length`: daily shift in UTC; `turn`: days between UTC and local date.

    `weekend`: the weekend of duty, one in `DUTY` (0 to `DUTY` - 1); None: no weekends. Services run every day.
    """

    number: int
    id: str
    person: str | None
    unit: str
    place: Place
    role: str
    kind: str = "human"
    episode: int = 0
    weight: float = 1.0
    start: int = 0
    length: int = DAY
    turn: int = 0
    weekend: int | None = None
    leave: tuple[int, int] = (0, 0)
    devices: tuple[str, str] = ("", "")
    covered: bool = False
    manager: Staff | None = None
    joined: int | None = None
    left: int | None = None
    notice_from: int | None = None
    was: str | None = None
    moved: int | None = None
    rostered: bool = True
    queues: tuple[str, ...] = ()
    away_from: int | None = None

    @property
    def country(self) -> str:
        """Country of work."""
        return self.place.country

    def reports_to(self, other: Staff) -> bool:
        """Say whether `other` stands above in the chain of managers."""
        above = self.manager
        for _ in range(12):
            if above is None:
                return False
            if above is other:
                return True
            above = above.manager
        return False

    def works(self, day: int) -> bool:
        """Say whether a shift begins on UTC day `day`."""
        local = day + self.turn
        if local % 7 >= 5 and self.kind == "human" and (self.weekend is None or local // 7 % DUTY != self.weekend):
            return False
        at = day * DAY + self.start
        if self.leave[0] <= at < self.leave[1]:
            return False
        return self.employed(at) and (self.away_from is None or at < self.away_from)

    def employed(self, time: int) -> bool:
        """Say whether `time` lies between joining and leaving: work that was put off is not done by one who is gone."""
        return (self.joined is None or time >= self.joined) and (self.left is None or time < self.left)

    def on_shift(self, time: int) -> bool:
        """Say whether `time` lies within a shift."""
        day, into = divmod(time - self.start, DAY)
        return into < self.length and self.works(day)

    def shift_time(self, day: int, roll: float) -> int:
        """Return the time at share `roll` of the shift that begins on UTC day `day`."""
        return day * DAY + self.start + int(self.length * roll)

    def next_time(self, time: int, dice: Dice) -> int:
        """Return a time on shift at or after `time`, soon if the shift runs; within 40 days in any case.

        What can wait seldom falls on a weekend of duty.
        """
        if self.on_shift(time):
            return time
        day = (time - self.start) // DAY + 1
        for ahead in range(40):
            if self.works(day + ahead) and ((day + ahead + self.turn) % 7 < 5 or dice.roll() < 0.06):
                return self.shift_time(day + ahead, dice.roll() * 0.6)
        return time


@dataclass(slots=True, eq=False)
class Subject:
    """One person whose data the company holds, or a staff or test account."""

    id: str
    region: str | None
    kind: str = "person"
    person: str | None = None
    protected: str | None = None
    episode: int = 0
    only: list[str] = field(default_factory=list)
    friends: list[Subject] = field(default_factory=list)


class Company:
    """Everybody who works here and everybody we hold data of."""

    def __init__(self, charter: Charter, size: Size, ids: Ids, dice: Dice) -> None:
        self.charter, self.size, self.ids = charter, size, ids
        self.staff: list[Staff] = []
        self.services: list[Staff] = []
        self.subjects: list[Subject] = []
        self.by_unit: dict[str, list[Staff]] = {unit: [] for unit in charter.units}
        self._dice = dice
        self._heads: dict[str, Staff] = {}

    def hire(self, unit: str, *, role: str | None = None, kind: str = "human", episode: int = 0) -> Staff:
        """Add a member of staff, or a service account where `kind` says so; unit `*` = any but audit and oversight."""
        dice, ids = self._dice, self.ids
        if unit == "*":
            units = [name for name in self.charter.units if not name.startswith(("audit", "oversight"))]
            unit = units[Wheel([_weight(name) for name in units]).turn(dice.roll())]
        human = kind == "human"
        one = Staff(
            number=len(self.staff) + len(self.services) + 1,
            id=ids.new("actor" if human else "service"),
            person=ids.new("person") if human else None,
            unit=unit,
            place=self.charter.units[unit],
            role=role or (_by_prefix(ROLES, unit, "officer") if human else "service"),
            kind=kind,
            episode=episode,
            devices=(ids.new("device"), ids.new("device")),
        )
        if human:
            self._engage(one)
        (self.staff if human else self.services).append(one)
        if human:
            self.by_unit[unit].append(one)
        return one

    def _engage(self, one: Staff) -> None:
        """Shift, weight, attested or not."""
        dice = self._dice
        offset = HOURS_FROM_UTC.get(one.place.country, 0)
        support = one.unit.startswith("support/tier")
        local = dice.one((6, 7, 8, 9, 10, 12, 14)) if support else dice.one((8, 8.5, 9, 9.5, 10))
        one.turn, one.start = divmod(int((local - offset) * HOUR), DAY)
        one.turn = -one.turn
        one.length = int(8.5 * HOUR)
        share = dice.roll() if support else 1.0
        one.weekend = int(share / ON_DUTY * DUTY) if share < ON_DUTY else None
        one.weight = min(dice.lognormal(_HEAVY), 16.0)
        one.covered = dice.roll() < 0.7
        if one.episode == 0:
            if dice.roll() < 0.5:
                first = dice.moment(0, self.size.days * DAY)
                one.leave = (first, first + dice.between(4, 10) * DAY)
            if dice.roll() < 0.06:
                one.joined = dice.moment(-20 * DAY, self.size.days * 0.7 * DAY)
            elif dice.roll() < 0.04:
                one.left = dice.moment(self.size.days * 0.4 * DAY, (self.size.days + 20) * DAY)
                one.notice_from = one.left - dice.between(20, 40) * DAY

    def open_account(
        self, region: str | None, *, kind: str = "person", person: str | None = None, protected: str | None = None, episode: int = 0
    ) -> Subject:
        """Add a subject."""
        one = Subject(self.ids.new("subject"), region, kind, person, protected, episode)
        one.only = [one.id]
        self.subjects.append(one)
        return one

    def fill(self) -> None:
        """Hire and open what is missing up to the size, choose heads, moves and protected persons, mix the order."""
        self._fill_staff()
        self._fill_subjects()
        self._choose_heads()
        self._move_some()
        self._dice.shuffle(self.subjects)
        self._open_queues()

    def _open_queues(self) -> None:
        """Set up the queues of each kind of desk, over all its sites: a few are large, and some people work in many."""
        dice = self._dice
        for desk in dict.fromkeys(unit.rpartition("/")[0] or unit for unit in self.charter.units):
            members = self.members(desk)
            numbers = [dice.below(900) + 100 for _ in range(max(1, round(len(members) / PEOPLE_PER_QUEUE)))]
            names = [f"queue {desk} {number}" for number in dict.fromkeys(numbers)]
            wheel = Wheel([dice.lognormal(1.2) for _ in names])
            for one in members:
                wanted = max(1, min(int(QUEUES.at(dice.roll()) + 0.5), len(names)))
                found = dict.fromkeys(names[wheel.turn(dice.roll())] for _ in range(2 * wanted))
                one.queues = tuple(found)[:wanted]

    def _fill_staff(self) -> None:
        for unit in self.charter.units:
            if sum(one.episode == 0 for one in self.by_unit[unit]) == 0:
                self.hire(unit, role="lead" if _weight(unit) > 3 else "head")
        units = list(self.charter.units)
        while len(self.staff) < self.size.staff:
            wanted = [
                _weight(unit) / (1 + len(self.by_unit[unit])) for unit in units
            ]  # the unit that is shortest of people hires next
            self.hire(units[wanted.index(max(wanted))])

    def _fill_subjects(self) -> None:
        dice, scale = self._dice, self.size.subjects / 20_000
        regions = list(self.charter.policy.get("regions", REGION_SHARES))  # type: ignore[call-overload]  # a mapping by contract
        wheel = Wheel([REGION_SHARES.get(region, 0.2) for region in regions])
        home = {"IE": "EU", "PL": "EU", "US": "US", "MX": "US", "CO": "US", "SG": "XA", "PH": "XA"}
        for one in list(self.staff):
            if one.episode == 0 and dice.roll() < 0.4:
                region = home.get(one.place.country)
                self.open_account(region if region in regions else None, kind="staff_account", person=one.person)
        for _ in range(max(24, int(120 * min(scale, 5)))):
            self.open_account(regions[wheel.turn(dice.roll())], kind="test")
        protected = _protected_words(self.charter.policy, scale)
        while len(self.subjects) < self.size.subjects:
            self.open_account(regions[wheel.turn(dice.roll())], protected=protected.pop() if protected else None)

    def _choose_heads(self) -> None:
        chiefs = self.by_unit.get("executive/office") or self.staff
        top = next((one for name, staff in self.by_unit.items() if name.startswith("executive") for one in staff), chiefs[0])
        for unit, staff in self.by_unit.items():
            own = [one for one in staff if one.episode == 0]
            head = self._heads[unit] = own[0] if own else top
            for one in staff:
                if one.manager is None and one is not head:
                    one.manager = head
            if head.manager is None and head is not top:
                head.manager = top
        for one in self.services:
            one.manager = one.manager or self._heads[one.unit]

    def _move_some(self) -> None:
        """Some changed teams lately, within their department and country: their older row ended, their work stayed alike."""
        dice = self._dice
        silent = self.charter.policy.get("units_without_subject_duty")
        apart = tuple(str(prefix) for prefix in silent) if isinstance(silent, list) else ()
        open_units = [unit for unit in self.charter.units if not unit.startswith(apart)]
        for one in self.staff:
            if one.episode == 0 and one is not self._heads[one.unit] and one.unit in open_units and dice.roll() < 0.06:
                department = one.unit.split("/")[0]
                same = [
                    unit
                    for unit in open_units
                    if unit != one.unit and unit.split("/")[0] == department and self.charter.units[unit] == one.place
                ]
                if same:
                    one.was, one.moved = dice.one(same), dice.moment(0, self.size.days * DAY * 0.8)

    def people(self) -> list[Staff]:
        """Return staff and service accounts."""
        return self.staff + self.services

    def head(self, unit: str) -> Staff:
        """Return the head of a unit."""
        return self._heads[unit]

    def units(self, prefix: str) -> list[str]:
        """Return the units under a path prefix."""
        return [unit for unit in self.charter.units if unit == prefix or unit.startswith(prefix + "/")]

    def members(self, prefix: str) -> list[Staff]:
        """Return everybody who works under a path prefix."""
        return [one for unit in self.units(prefix) for one in self.by_unit[unit]]


def draw_links(subjects: Sequence[Subject], dice: Dice) -> Iterator[tuple[Subject, Subject, str, int]]:
    """Yield links among subjects, heavy-tailed; well-known (protected) persons have many. Fills `friends` on the way."""
    words = ("follows", "follows", "follows", "contact", "contact", "household", "device", "employer")
    count = len(subjects)

    def pairs() -> Iterator[tuple[Subject, Subject]]:
        for _ in range(int(count * 1.1)):
            yield subjects[int(count * dice.roll() ** 2.2)], subjects[int(count * dice.roll() ** 1.2)]
        for subject in subjects:
            if subject.protected and subject.kind == "person":
                for _ in range(dice.between(6, 26)):
                    yield subject, subjects[dice.below(count)]

    for one, other in pairs():
        if one is not other:
            left, right = (other, one) if dice.roll() < 0.5 else (one, other)
            left.friends.append(right)
            right.friends.append(left)
            yield left, right, dice.one(words), -dice.moment(0, 100 * WEEK)


def _weight(unit: str) -> float:
    return _by_prefix(WEIGHTS, unit, 2.5)


def _by_prefix(table: Mapping[str, T], unit: str, default: T) -> T:
    for prefix, value in table.items():
        if unit == prefix or unit.startswith(prefix + "/"):
            return value
    return default


def _protected_words(policy: Mapping[str, object], scale: float) -> list[str]:
    """Return the classes of the protected persons of the background, most of them journalists and well-known people."""
    classes = policy.get("protected")
    counts = {"journalist": 30, "vip": 60}
    words: list[str] = []
    for word in classes if isinstance(classes, dict) else ():
        words += [word] * max(3 if word in counts else 1, int(counts.get(word, 6) * min(scale, 10)))
    return words
