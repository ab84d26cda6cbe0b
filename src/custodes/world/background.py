"""The innocent background: day by day, every look from a reason, as many looks as the size asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from custodes.world.clock import DAY, HOUR
from custodes.world.company import Subject
from custodes.world.inquiries import Inquiries
from custodes.world.office import Office
from custodes.world.requests import Requests
from custodes.world.routine import Routine
from custodes.world.tickets import Tickets

WEEKEND: Final = 0.02
"""Looks on a Saturday or Sunday, as a share of those on a working day."""
SHARES: Final = {
    "case": (0.085, 9.5),
    "privacy": (0.008, 6.0),
    "legal": (0.006, 2.3),
    "incident": (0.014, 13.0),
}
"""Share of all looks and looks per occasion, for work that grows with the company's volume."""
OCCASIONS: Final = {
    "grant": 70,
    "emergency": 14,
    "staff_case": 26,
    "hold": 3,
    "training": 6,
    "oversight": 2,
    "repair": 10,
    "claim": 4,
}
"""Rare occasions in 90 days of 200 staff."""
PRESS: Final = 22


class Background:
    """Innocent work of one world."""

    def __init__(self, office: Office, days: int) -> None:
        self._office, self._days = office, days
        self._dice = office.dice("background")
        self._tickets, self._inquiries = Tickets(office), Inquiries(office)
        self._requests, self._routine = Requests(office), Routine(office)
        company = office.company
        self._tests = [one for one in company.subjects if one.kind == "test" and not one.episode]
        self._accounts = [one for one in company.subjects if one.kind == "staff_account" and not one.episode]
        self._occasions: dict[int, list[str]] = {}
        self._press: list[tuple[int, Subject]] = []
        weights = [WEEKEND if day % 7 >= 5 else 1.0 for day in range(days)]
        self._volume = [company.size.accesses * 1.004 * weight / sum(weights) + 1 for weight in weights]

    def prepare(self) -> None:
        """Everything that stands before the first day."""
        self._routine.prepare(self._days)
        self._inquiries.past()
        self._plan()
        self._publish()
        self._roster()
        for subject in self._office.company.subjects:
            if subject.protected:
                enrolled = -self._dice.moment(10 * DAY, 400 * DAY)
                self._office.context.enrol(subject.id, subject.protected, enrolled)

    def _plan(self) -> None:
        """Put the rare occasions on working days."""
        dice, size = self._dice, self._office.company.size
        scale = min(size.staff / 200, 10) * self._days / 90
        for name, number in OCCASIONS.items():
            for _ in range(max(1, round(number * scale))):
                day = dice.below(self._days)
                day -= max(0, day % 7 - 4)
                self._occasions.setdefault(day, []).append(name)

    def _publish(self) -> None:
        """Articles and the like about persons whom nobody here harms; some before the first day."""
        office, dice = self._office, self._dice
        known = [one for one in office.people if one.protected in ("journalist", "vip") and not one.episode]
        kinds = ("article", "article", "article", "article", "lawsuit", "complaint", "admission", "arrest", "leak")
        for _ in range(max(6, round(PRESS * min(office.company.size.staff / 200, 5) * (self._days + 30) / 120))):
            time = dice.moment(-30 * DAY, self._days * DAY)
            kind = dice.one(kinds)
            for _ in range(1 if dice.roll() < 0.8 else 2):
                subject = dice.one(known) if known and dice.roll() < 0.75 else office.plain(dice)
                about = dice.one(("company", "company", "a topic", "person"))
                office.context.add("press", event=office.ids.new("press"), time=time, kind=kind, subject=subject.id, about=about)
                self._press.append((time, subject))

    def _roster(self) -> None:
        """Write the shifts of those whose roster no scenario has fixed."""
        office = self._office
        for staff in office.company.staff:
            if staff.rostered:
                for day in range(self._days):
                    if staff.works(day):
                        start = staff.shift_time(day, 0)
                        office.context.add(
                            "roster", unit=staff.unit, actor=staff.id, valid_from=start, valid_to=start + staff.length
                        )

    def day(self, day: int) -> None:
        """Let one day pass."""
        dice, routine, volume = self._dice, self._routine, self._volume[day]
        for name in self._occasions.get(day, ()):
            self._occasion(name, day)
        work: dict[str, Callable[[int], None]] = {
            "case": self._inquiries.case,
            "privacy": self._requests.privacy,
            "legal": self._requests.legal,
            "incident": routine.incident,
        }
        for name, (share, each) in SHARES.items():
            for _ in range(dice.poisson(volume * share / each)):
                work[name](day)
        if day % 7 == 0:
            self._inquiries.sample(day, int(volume * 5 * 0.018))
        routine.jobs(day, max(3, int(volume * 0.018)))
        routine.counts(day, dice.poisson(volume * 0.002))
        routine.logins(day, dice.poisson(volume * 0.02))
        routine.own(day, dice.poisson(volume * 0.008), self._tests)
        routine.public(day, dice.poisson(volume * 0.008), self._press)
        self._tickets.day(day, int(volume))

    def _occasion(self, name: str, day: int) -> None:
        if name == "grant":
            self._requests.grant(day)
        elif name == "emergency":
            self._requests.emergency(day)
        elif name == "hold":
            self._requests.hold(day)
        elif name == "staff_case":
            self._inquiries.staff_case(day, self._accounts)
        elif name == "training":
            self._inquiries.training(day)
        elif name == "oversight":
            self._inquiries.oversight(day)
        elif name == "repair":
            self._routine.repair(day)
        else:
            self._claim(day)

    def _claim(self, day: int) -> None:
        """The company says something in public that is true: nobody in a country without our staff looked."""
        office, dice = self._office, self._dice
        at = day * DAY + dice.moment(8 * HOUR, 17 * HOUR)
        predicate = {"none": {"actor_country": [dice.one(("BR", "ZA", "AU", "NO"))], "subject_region": ["EU"], "via": ["direct"]}}
        office.context.add(
            "claims",
            claim=office.ids.new("claims"),
            made=at,
            by="company",
            text="Nobody in that country opened data of subjects in this region.",
            predicate=json.dumps(predicate, separators=(",", ":")),
            window_from=at - 30 * DAY,
            window_to=at - DAY,
        )
