"""Support: most of the company's looks. A person writes in, a queue hands the ticket to somebody, it is read, handed on, closed.

What goes wrong in real companies goes wrong here too (`SLIPS`): the ticket is opened after the look, a colleague helps without a
row, a part of the tickets is missing from the export. Those looks stay unexplained although they are innocent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from custodes.world.access import Access
from custodes.world.clock import DAY, HOUR, MINUTE, SECOND
from custodes.world.company import Staff, Subject
from custodes.world.dice import Curve, Dice, Wheel
from custodes.world.ids import INBOUND
from custodes.world.office import SUPPORT, Office, outsiders
from custodes.world.values import queue_name

KINDS: Final = (
    "login_help",
    "login_help",
    "order_help",
    "order_help",
    "payment_help",
    "account_help",
    "bug",
    "outage",
    "abuse_report",
)
SLIPS: Final = {
    "late_ticket": 0.095,
    "late_assignment": 0.062,
    "chat": 0.085,
    "missing": 0.020,
    "stale": 0.030,
    "walk_in": 0.009,
    "list": 0.042,
    "plain": 0.025,
    "abroad": 0.0004,
}
"""What goes wrong, per ticket."""
_TOUCHES: Final = Curve((0, 1), (0.2, 1.5), (0.5, 2.8), (0.75, 5.8), (0.9, 9.0), (0.99, 21), (1, 36))
_DAYS_OPEN: Final = Curve((0, 0.01), (0.25, 0.08), (0.5, 0.4), (0.75, 6.6), (0.9, 20), (0.99, 120), (1, 160))
_WAITED: Final = 0.65
"""Share of tickets that lie in a queue for a while; the others are handed to somebody the moment they come in."""
_ATTACHED: Final = 0.01
"""Share of hand-overs by which the record itself goes along in a chat."""
_BACK: Final = 0.4
"""Share of hand-overs that go back to somebody who had the ticket before, where there is one."""
_ASKED: Final = 2
"""Of how many colleagues one in the same queue is sought, before the ticket goes to another."""
_WAIT: Final = Curve((0, 60), (0.3, 400), (0.6, 2400), (0.9, 40_000), (1, 160_000))
"""Seconds between a person's message and the first look."""


class Tickets:
    """The support desks."""

    def __init__(self, office: Office) -> None:
        self._office, self._dice = office, office.dice("tickets")
        self._slips = Wheel(list(SLIPS.values()))
        self._share = sum(SLIPS.values())
        self._names = list(SLIPS)

    def day(self, day: int, wanted: int) -> None:
        """Take in tickets until the background of `day` has `wanted` looks."""
        count = self._office.count
        for _ in range(20 * wanted + 50):
            if count.get(day, 0) >= wanted:
                return
            self._ticket(day)

    def _ticket(self, day: int) -> None:
        office, dice = self._office, self._dice
        roll = dice.roll()
        slip = self._names[self._slips.turn(roll / self._share)] if roll < self._share else None
        subject = office.person(dice)
        if subject.protected and slip and dice.roll() < 0.96:
            slip = None  # whoever deals with a protected person is careful
        pool = office.pool(SUPPORT, None if slip == "abroad" else subject.region, ticket=True)
        staff = pool.pick(day, dice)
        if staff is None or not outsiders(subject, staff):
            return
        if slip not in (None, "abroad") and dice.roll() < 0.97 and not office.may_read(staff.country, subject.region):
            slip = None  # sites that may read only with the person's own ticket open nothing without one
        first = staff.shift_time(day, dice.roll())
        share = dice.roll()
        touches = int(_TOUCHES.at(share) + 0.5)
        open_for = _DAYS_OPEN.at(min(max(share + (dice.roll() - 0.5) * 0.5, 0.0), 1.0)) * DAY
        Ticket(office, desk=self, dice=dice, subject=subject, slip=slip, open_for=int(open_for)).run(staff, first, touches)

    def wait(self) -> int:
        """Return how long a person waited for the first look."""
        return int(_WAIT.at(self._dice.roll()) * SECOND)

    def look(self, subject: Subject, ticket: str | None, *, purpose: bool = True, systems: Collection[str] = ()) -> Access:
        """Return one support look, in one of `systems` if any is named."""
        dice = self._dice
        roll = dice.roll()
        screen = self._office.screen("support", subject, dice)
        while systems and screen[0] not in systems:
            screen = self._office.screen("support", subject, dice)
        access = self._office.look(
            screen,
            subject,
            dice,
            purpose="support" if purpose and roll < 0.97 else None,
            reason=ticket if roll > 0.05 else None,
        )
        if 0.3 < roll < 0.303:
            access.outcome = "denied"
        return access


class Ticket:
    """One ticket from message to closure."""

    def __init__(self, office: Office, *, desk: Tickets, dice: Dice, subject: Subject, slip: str | None, open_for: int) -> None:
        self._office, self._desk, self._dice = office, desk, dice
        self._subject, self._slip, self._open_for = subject, slip, open_for
        self._id = office.ids.new("tickets")
        self._looked = False
        self._queue = ""
        self._held: list[Staff] = []
        self._rows: list[dict[str, object]] = []

    def run(self, staff: Staff, first: int, touches: int) -> None:
        """Let it happen."""
        dice, slip = self._dice, self._slip
        opened = first - self._desk.wait()
        assigned = opened + int((first - opened) * dice.roll()) if dice.roll() < _WAITED else opened
        if slip == "late_ticket":
            opened = first + dice.moment(3 * MINUTE, 100 * MINUTE)
            assigned = opened
        elif slip == "late_assignment":
            assigned = first + dice.moment(15 * MINUTE, 8 * HOUR)
        elif slip == "walk_in":
            opened = assigned = first - dice.moment(MINUTE, 6 * MINUTE)
        by_unit = dice.roll() < 0.1 and not self._subject.episode and slip is None
        self._queue = queue_name(staff, dice)
        self._assign(staff, assigned, staff.id if slip == "walk_in" else self._queue, by_unit=by_unit)
        if slip == "list":
            self._list(staff, first)
        last, holder = self._touches(staff, first, touches, assigned, by_unit=by_unit)
        closed = max(last + dice.moment(2 * MINUTE, 40 * MINUTE), opened + self._open_for)
        self._after(holder, closed)
        self._write(staff, opened, closed)

    def _touches(self, staff: Staff, first: int, touches: int, assigned: int, *, by_unit: bool) -> tuple[int, Staff]:
        """Looks on several occasions, some after the ticket was handed on."""
        dice, office = self._dice, self._office
        last = time = first
        for turn in range(touches):
            if turn:
                gap = dice.wait(self._open_for / touches) + 20 * MINUTE
                follower = staff if by_unit or dice.roll() > 0.78 else self._follower(staff, (time + gap) // DAY)
                time = follower.next_time(last + gap, dice)
                if follower is not staff:
                    self._hand_over(staff, follower, last, time, assigned)
                    if self._slip is None and dice.roll() < _ATTACHED:
                        self._attach(staff, follower, last, time)
                    staff = follower
            if time >= office.calendar.end:
                break
            last = self._reads(staff, time, self._id)
            if self._slip == "chat" and turn == 0:
                self._chat(staff, last)
        return last, staff

    def _reads(self, staff: Staff, time: int, ticket: str | None, *, purpose: str = "support") -> int:
        """Some looks a few seconds or minutes apart, in one or two systems; returns the time of the last."""
        dice = self._dice
        before = self._slip == "late_ticket" and not self._looked
        self._looked = True
        used: set[str] = set()
        while True:
            systems = used if len(used) == 2 or dice.roll() < 0.75 else ()
            access = self._desk.look(self._subject, None if before else ticket, systems=systems)
            access.purpose = access.purpose and purpose
            used.add(access.system)
            self._office.add(time, access, staff)
            if dice.roll() > 0.45:
                return time
            time += 5 * SECOND + dice.wait(90 * SECOND)

    def _follower(self, staff: Staff, day: int) -> Staff:
        # Where something goes wrong with the ticket, sites that may read only with one are not involved.
        before = [one for one in self._held if one is not staff and one.works(day)]
        if before and self._dice.roll() < _BACK:
            return self._dice.one(before)
        pool = self._office.pool(SUPPORT, self._subject.region, ticket=self._slip is None)
        found = pool.pick(day, self._dice, (staff,))
        for _ in range(_ASKED):
            if found is None or self._queue in found.queues:
                break
            found = pool.pick(day, self._dice, (staff,))
        return found if found is not None and outsiders(self._subject, found) else staff

    def _assign(self, staff: Staff, time: int, by: str, *, by_unit: bool = False) -> None:
        row: dict[str, object] = {"ticket": self._id, "valid_from": time, "assigned_by": by}
        self._held.append(staff)
        row["unit" if by_unit else "actor"] = staff.unit if by_unit else staff.id
        self._rows.append(row)

    def _hand_over(self, staff: Staff, follower: Staff, last: int, time: int, assigned: int) -> None:
        dice = self._dice
        at = max(last + SECOND, assigned + SECOND, time - dice.wait(30 * MINUTE) - MINUTE)
        at = min(at, time)
        roll = dice.roll()
        head = self._office.company.head(follower.unit)
        if staff.reports_to(follower) or (roll >= 0.6 and head.reports_to(follower)):
            roll = 0.8  # nobody takes work from those who report to them: the queue hands it on
        if self._queue not in follower.queues:
            self._queue, roll = queue_name(follower, dice), max(roll, 0.7)  # to other desks it goes by queue
        by = staff.id if roll < 0.6 else head.id if roll < 0.7 and head is not follower else self._queue
        if roll < 0.85 and self._rows[-1].get("actor") == staff.id:
            self._rows[-1]["valid_to"] = at
        self._assign(follower, at, by)

    def _attach(self, staff: Staff, follower: Staff, last: int, time: int) -> None:
        """The record goes along in a chat: one exports it, the next opens the attachment, and both have the ticket."""
        access = self._desk.look(self._subject, self._id, systems=("crm",))
        access.action, access.derived = "export", self._office.ids.new("object")
        self._office.add(last + SECOND + self._dice.moment(0, MINUTE), access, staff)
        opened = Access(action="read", system="chat", resource="attachment", derived_from=access.derived, subject_scope="unknown")
        self._office.add(max(time, last + 2 * MINUTE), opened, follower)

    def _chat(self, staff: Staff, last: int) -> None:
        """A colleague is asked over and leaves no row."""
        time = last + self._dice.moment(2 * MINUTE, 3 * HOUR)
        helper = self._follower(staff, time // DAY)
        if helper is not staff:
            time = helper.next_time(time, self._dice)
            told = self._dice.roll()
            asked = "colleague request" if told < 0.2 else "support"
            self._reads(helper, time, self._id if told > 0.5 else None, purpose=asked)

    def _list(self, staff: Staff, first: int) -> None:
        """A search by name lists others besides."""
        dice = self._dice
        others = [self._office.plain(dice, self._subject.region) for _ in range(dice.between(2, 7))]
        found = list(dict.fromkeys([one.id for one in (self._subject, *others)]))
        access = Access(
            action="search",
            system="crm",
            resource="account_page",
            fields=["name"],
            subjects=found,
            subject_scope="named",
            selector=dice.one(("handle", "phone", "email")),
            rows=len(found),
            purpose="support",
            deliberate=False,
        )
        self._office.add(max(first - dice.moment(5 * SECOND, MINUTE), first // DAY * DAY), access, staff)

    def _after(self, staff: Staff, closed: int) -> None:
        """Looks that come long after, or have nothing behind them."""
        dice = self._dice
        if self._slip == "stale":
            self._reads(staff, staff.next_time(closed + dice.moment(4 * DAY, 20 * DAY), dice), self._id)
        elif self._slip == "plain":
            other = self._office.plain(dice, self._subject.region)
            time = staff.next_time(closed + dice.moment(0, DAY), dice)
            self._office.add(time, self._desk.look(other, None, purpose=dice.roll() < 0.6), staff)

    def _write(self, staff: Staff, opened: int, closed: int) -> None:
        office, dice, end = self._office, self._dice, self._office.calendar.end
        if opened >= end:
            return
        for row in self._rows:
            if row["valid_from"] < end:  # type: ignore[operator]  # times are whole numbers
                office.context.add_row("assignments", row)
        if self._slip == "missing":
            return
        walk_in = self._slip == "walk_in"
        office.context.add(
            "tickets",
            ticket=self._id,
            subject=self._subject.id,
            kind=dice.one(KINDS),
            origin="staff" if walk_in else "subject",
            opened=opened,
            closed=closed,
            opened_by=staff.id if walk_in else None,
            inbound=None if walk_in else office.ids.new(dice.one(INBOUND)),
        )
        if closed < end and not walk_in:
            office.closed.append((closed, self._subject))
