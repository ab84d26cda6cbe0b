"""Looks that somebody outside the desk asked for or approved: privacy requests, legal processes, grants, emergencies, holds."""

from __future__ import annotations

from typing import Final

from custodes.world.clock import DAY, HOUR, MINUTE
from custodes.world.company import Staff, Subject
from custodes.world.ids import INBOUND
from custodes.world.office import Office, Pool, outsiders
from custodes.world.values import queue_name

ASKERS: Final = (
    ("security/investigations", "security_response"),
    ("fraud", "fraud"),
    ("data", "analytics"),
    ("sre", "repair"),
)
"""Who asks for grants, and for what."""


class Requests:
    """Those who look because of a request or an approval."""

    def __init__(self, office: Office) -> None:
        self._office, self._dice = office, office.dice("requests")

    def _person(self, staff: Staff) -> Subject:
        """Return a person of no episode whom `staff` may read."""
        return self._office.plain(self._dice, country=staff.country)

    def _outside(self) -> Pool:
        return self._office.pool(self._office.policy.outside_approver_units, None)

    def privacy(self, day: int) -> None:
        """A person asks what we hold about them: everything is exported."""
        office, dice = self._office, self._dice
        staff = office.pool(("privacy",), None).pick(day, dice)
        if staff is None:
            return
        subject = office.person(dice, lambda one: office.may_read(staff.country, one.region) and outsiders(one, staff))
        first = staff.shift_time(day, dice.roll() * 0.7)
        opened = first - dice.moment(4 * HOUR, 8 * DAY)
        ticket = office.ids.new("tickets")
        office.context.add(
            "tickets",
            ticket=ticket,
            subject=subject.id,
            kind="privacy_request",
            origin="subject",
            opened=opened,
            closed=first + dice.moment(DAY, 20 * DAY),
            inbound=office.ids.new(dice.one(INBOUND)),
        )
        office.context.add(
            "assignments",
            ticket=ticket,
            actor=staff.id,
            valid_from=dice.moment(opened, first),
            assigned_by=queue_name(staff, dice),
        )
        time = first
        for _ in range(dice.between(3, 9)):
            system, resource, _, fields = office.screen("privacy_request", None, dice)
            access = office.look(
                (system, resource, "export", fields),
                subject,
                dice,
                purpose="privacy_request",
                reason=ticket,
            )
            office.add(time, access, staff)
            time += dice.wait(15 * MINUTE) + MINUTE

    def legal(self, day: int) -> None:
        """A verified process is answered; some are refused and never looked at."""
        office, dice = self._office, self._dice
        staff = office.pool(("legal/law_enforcement",), None).pick(day, dice)
        if staff is None:
            return
        subject = office.person(
            dice,
            lambda one: not one.episode and office.may_read(staff.country, one.region) and (not one.protected or dice.roll() < 0.3),
        )
        refused = dice.roll() < 0.12
        first = staff.shift_time(day, dice.roll() * 0.7)
        served = first - dice.moment(HOUR, 3 * DAY)
        process = office.ids.new("legal")
        fields = dice.some(office.allowed("legal_process", "le-portal", "disclosure_export"), dice.between(1, 3))
        if not fields:
            return
        judged = subject.protected is not None or dice.roll() < 0.3
        office.context.add(
            "legal",
            process=process,
            kind=dice.one(("warrant", "subpoena", "court_order")),
            verified=not refused,
            authority=staff.country if subject.region == "EU" else subject.region,
            subject=subject.id,
            fields=fields,
            data_from=served - dice.moment(40 * DAY, 200 * DAY),
            data_to=served - dice.moment(DAY, 20 * DAY),
            served=served,
            expires=served + dice.moment(20 * DAY, 60 * DAY),
            approver_class="inside_manager" if refused and dice.roll() < 0.4 else "judge" if judged else "counsel",
        )
        if refused:
            return
        counsel = office.pool(("legal/counsel",), None).pick(day, dice)
        if counsel is not None:
            at = dice.moment(served, max(first - MINUTE, served + 1))
            office.context.add("approvals", grant=process, approver=counsel.id, at=at, decision="approve")
        time = first
        for _ in range(dice.between(1, 4)):
            screen = ("le-portal", "disclosure_export", "export", dice.some(fields, dice.between(1, len(fields))))
            office.add(time, office.look(screen, subject, dice, purpose="legal_process", reason=process), staff)
            time = staff.next_time(time + dice.wait(5 * HOUR) + MINUTE, dice)

    def grant(self, day: int) -> None:
        """Somebody asks for a look and gets it from outside; some are denied and never used."""
        office, dice = self._office, self._dice
        unit, purpose = dice.one(ASKERS)
        staff = office.pool((unit,), None).pick(day, dice)
        fields = office.allowed(purpose, "admin-tool", "account_detail")
        if staff is None or not fields:
            return
        may = office.may_read
        guarded = dice.roll() < 0.12
        by_approval = {word for word, rule in office.policy.protected.items() if "outside_approver" in rule.obliges}
        subject = (
            office.person(dice, lambda one: one.protected in by_approval and not one.episode and may(staff.country, one.region))
            if guarded
            else self._person(staff)
        )
        if not may(staff.country, subject.region):
            return
        fields = dice.some(fields, dice.between(1, 3))
        first = staff.shift_time(day, dice.roll())
        start = first - dice.moment(10 * MINUTE, 6 * HOUR)
        self._approved(staff, subject, fields, purpose, start, two=subject.protected is not None)
        if dice.roll() < 0.1:
            return  # granted and not used
        time = first
        for _ in range(dice.between(2, 7)):
            screen = ("admin-tool", "account_detail", "read", dice.some(fields, dice.between(1, len(fields))))
            office.add(time, office.look(screen, subject, dice, purpose=purpose, reason=self._last), staff)
            time = staff.next_time(time + dice.wait(8 * HOUR), dice)
            if time > start + 5 * DAY:
                break

    def _approved(self, staff: Staff, subject: Subject, fields: list[str], purpose: str, start: int, *, two: bool) -> None:
        office, dice = self._office, self._dice
        self._last = grant = self._grant(staff, subject, fields, purpose=purpose, start=start, stop=start + 7 * DAY)
        approvers = self._outside().staff
        approvers = [one for one in approvers if one.unit != staff.unit and not one.episode] or approvers
        for one in dice.some(approvers, 2 if two else 1):
            at = start - dice.moment(5 * MINUTE, 20 * HOUR)
            office.context.add("approvals", grant=grant, approver=one.id, at=at, decision="approve")

    def _grant(
        self,
        staff: Staff,
        subject: Subject,
        fields: list[str],
        *,
        purpose: str,
        start: int,
        stop: int,
        asked_by: Staff | None = None,
        break_glass: bool = False,
    ) -> str:
        """Write a grant and return its id."""
        grant = self._office.ids.new("grants")
        self._office.context.add(
            "grants",
            grant=grant,
            actor=staff.id,
            subject=subject.id,
            fields=fields,
            purpose=purpose,
            valid_from=start,
            valid_to=stop,
            requested_by=(asked_by or staff).id,
            break_glass=break_glass,
        )
        return grant

    def emergency(self, day: int) -> None:
        """Imminent harm: the override is used, and reviewed from outside within a day."""
        office, dice = self._office, self._dice
        pool = office.pool(("trust_safety", "security/response"), None)
        staff = pool.pick(day, dice)
        reviewer = self._outside().pick(day, dice)
        fields = office.allowed("life_safety", "admin-tool", "account_detail")
        if staff is None or reviewer is None or not fields:
            return
        subject = self._person(staff)
        now = staff.shift_time(day, dice.roll() * 0.9)
        incident = office.ids.new("incidents")
        opened, closed = now - dice.moment(8 * MINUTE, 50 * MINUTE), now + dice.moment(2 * HOUR, 9 * HOUR)
        fields = dice.some(fields, 2)
        office.context.add("incidents", incident=incident, kind="life_safety", opened=opened, closed=closed)
        if not staff.episode:
            office.context.add("roster", incident=incident, actor=staff.id, valid_from=opened, valid_to=closed)
        office.context.add(
            "legal",
            process=office.ids.new("legal"),
            kind="emergency",
            verified=True,
            authority=staff.country,
            subject=subject.id,
            fields=fields,
            data_from=now - 2 * DAY,
            data_to=now + DAY,
            served=now - dice.moment(5 * MINUTE, 20 * MINUTE),
            expires=now + DAY,
            approver_class="counsel",
        )
        start = now - dice.moment(MINUTE, 5 * MINUTE)
        grant = self._grant(staff, subject, fields, purpose="life_safety", start=start, stop=start + 30 * MINUTE, break_glass=True)
        review = now + dice.moment(HOUR, 22 * HOUR)
        office.context.add("approvals", grant=grant, approver=reviewer.id, at=review, decision="review_ok")
        for _ in range(dice.between(1, 4)):
            screen = ("admin-tool", "account_detail", "read", fields)
            access = office.look(screen, subject, dice, purpose="life_safety", reason=grant)
            access.break_glass = True
            office.add(now + dice.moment(0, 20 * MINUTE), access, staff)

    def hold(self, day: int) -> None:
        """A court orders that some accounts be kept: a targeted job reads them by id, granted from outside."""
        office, dice = self._office, self._dice
        counsel = office.pool(("legal/counsel",), None).pick(day, dice)
        privacy = self._outside().pick(day, dice)
        if counsel is None or privacy is None:
            return
        fields = ["email", "phone"]
        now = counsel.shift_time(day, 0.3)
        service = office.company.hire(counsel.unit, kind="service")
        service.manager = counsel
        change = office.ids.new("tickets")
        office.context.add("tickets", ticket=change, kind="change", origin="staff", opened=now - 2 * DAY, opened_by=counsel.id)
        job = office.ids.new("jobs")
        stop = now + dice.moment(15 * DAY, 40 * DAY)
        office.context.add(
            "jobs", job=job, service=service.id, owner=counsel.id, change=change, valid_from=now, valid_to=stop, targeted=True
        )
        for _ in range(dice.between(2, 8)):
            subject = self._person(counsel)
            grant = self._grant(service, subject, fields, purpose="legal_hold", start=now, stop=stop, asked_by=counsel)
            office.context.add("approvals", grant=grant, approver=privacy.id, at=now - 5 * HOUR, decision="approve")
            office.context.add(
                "legal",
                process=office.ids.new("legal"),
                kind="court_order",
                verified=True,
                authority="US",
                subject=subject.id,
                fields=fields,
                data_from=now - 300 * DAY,
                data_to=now,
                served=now - DAY,
                expires=now + 90 * DAY,
                approver_class="counsel",
            )
            for _ in range(dice.between(3, 12)):
                screen = ("warehouse", "core.accounts", "query", fields)
                access = office.look(screen, subject, dice, purpose="legal_hold", reason=grant)
                access.subject_scope, access.on_behalf_of = "key_predicate", counsel.id
                office.add(dice.moment(now + HOUR, stop), access, service)
