"""What runs by itself or needs no ticket: jobs, incidents, counts, log-ins, own and test accounts, public profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from custodes.world.access import Access
from custodes.world.clock import DAY, HOUR, MINUTE
from custodes.world.company import Staff, Subject
from custodes.world.office import SELECTORS, Office


@dataclass(slots=True)
class Job:
    """A job that runs daily under an open change."""

    id: str
    service: Staff
    purpose: str
    resource: str
    fields: list[str]
    at: int
    share: float


class Routine:
    """Machines, and people who need no ticket."""

    def __init__(self, office: Office) -> None:
        self._office, self._dice = office, office.dice("routine")
        self._jobs: list[Job] = []
        self._own: list[tuple[Staff, Subject]] = []
        self._consents: list[tuple[Staff, Subject, int]] = []
        self._everyone = office.pool(tuple(office.company.charter.units), None)

    # --- prepared once ----------------------------------------------------------------------------------------------------

    def prepare(self, days: int) -> None:
        """Set up standing jobs, own accounts and consents."""
        for unit, purpose, resource in (
            ("sre", "repair", "events.logins"),
            ("sre", "repair", "events.logins"),
            ("data", "analytics", "events.logins"),
            ("data", "analytics", "events.logins"),
            ("marketing", "marketing", "core.accounts"),
            ("operations", "analytics", "events.logins"),
            ("operations", "repair", "events.logins"),
        ):
            self._job(unit, purpose, resource)
        self._accounts(days)

    def _job(self, unit: str, purpose: str, resource: str) -> None:
        office, dice = self._office, self._dice
        owners = office.pool((unit,), None).staff
        fields = office.allowed(purpose, "warehouse", resource)
        if not owners or not fields:
            return
        owner = dice.one(owners)
        service = office.company.hire(owner.unit, kind="service")
        service.manager = owner
        change, job = office.ids.new("tickets"), office.ids.new("jobs")
        opened = -dice.moment(5 * DAY, 200 * DAY)
        office.context.add("tickets", ticket=change, kind="change", origin="staff", opened=opened, opened_by=owner.id)
        office.context.add(
            "jobs",
            job=job,
            service=service.id,
            owner=owner.id,
            change=change,
            valid_from=opened + DAY,
            valid_to=dice.moment(410 * DAY, 600 * DAY),
            targeted=False,
        )
        self._jobs.append(Job(job, service, purpose, resource, fields, dice.moment(0, DAY), 0.5 + dice.roll()))

    def _accounts(self, days: int) -> None:
        """Own accounts (most on file as such), consents of friends, and relations that mean nothing."""
        office, dice = self._office, self._dice
        owners = {one.person: one for one in office.company.staff if one.person and not one.episode}
        for account in office.company.subjects:
            owner = owners.get(account.person) if not account.episode and account.person else None
            if owner is not None:
                if office.may_read(owner.country, account.region):
                    self._own.append((owner, account))
                if dice.roll() < 0.6:
                    office.context.add("relations", actor=owner.id, subject=account.id, kind="self")
        staff = [one for one in office.company.staff if not one.episode]
        for _ in range(max(8, len(staff) // 8)):
            engineer = dice.one(office.pool(("sre", "security"), None).staff or staff)
            friend = office.plain(dice)
            if engineer.episode or not office.may_read(engineer.country, friend.region):
                continue
            start = dice.moment(-20 * DAY, days * DAY)
            office.context.add(
                "consents", subject=friend.id, actor=engineer.id, scope="debug", valid_from=start, valid_to=start + 40 * DAY
            )
            self._consents.append((engineer, friend, start))
        kinds = ("family", "neighbour", "colleague", "ex_partner", "declared", "manager")
        for _ in range(max(20, len(staff) * 3 // 4)):
            office.context.add("relations", actor=dice.one(staff).id, subject=office.plain(dice).id, kind=dice.one(kinds))

    # --- by day -----------------------------------------------------------------------------------------------------------

    def jobs(self, day: int, wanted: int) -> None:
        """Let the standing jobs run, `wanted` statements in all; weekends too, but less."""
        dice, office = self._dice, self._office
        total = sum(job.share for job in self._jobs)
        for job in self._jobs:
            for _ in range(dice.poisson(wanted * job.share / total)):
                access = Access(
                    action="query",
                    system="warehouse",
                    resource=job.resource,
                    fields=job.fields,
                    subject_scope="set" if dice.roll() < 0.7 else "aggregate",
                    rows=dice.between(400, 6000),
                    query=f"select {', '.join(job.fields)} from {job.resource} where changed > :last",
                    purpose=job.purpose,
                    reason=job.id,
                )
                office.add(day * DAY + (job.at + dice.wait(40 * MINUTE)) % DAY, access, job.service)

    def repair(self, day: int) -> None:
        """A bulk repair by a service account, a person on call behind it."""
        office, dice = self._office, self._dice
        oncall = office.pool(("sre",), None).pick(day, dice)
        fields = office.allowed("repair", "warehouse", "events.logins")
        if oncall is None or oncall.episode or not fields:
            return
        now = oncall.shift_time(day, dice.roll() * 0.5)
        service = office.company.hire(oncall.unit, kind="service")
        service.manager = oncall
        change, job, incident = office.ids.new("tickets"), office.ids.new("jobs"), office.ids.new("incidents")
        before, after = now - dice.moment(HOUR, DAY), now + dice.moment(9 * HOUR, DAY)
        office.context.add(
            "tickets", ticket=change, kind="change", origin="staff", opened=before, closed=after, opened_by=oncall.id
        )
        office.context.add(
            "jobs", job=job, service=service.id, owner=oncall.id, change=change, valid_from=now, valid_to=after, targeted=False
        )
        office.context.add("incidents", incident=incident, kind="data_repair", opened=before, closed=after)
        office.context.add("roster", incident=incident, actor=oncall.id, valid_from=before, valid_to=after)
        for _ in range(dice.between(4, 25)):
            access = Access(
                action="query",
                system="warehouse",
                resource="events.logins",
                fields=fields,
                subject_scope="set",
                rows=dice.between(300, 2000),
                query=f"select {', '.join(fields)} from events.logins where shard = :n",
                on_behalf_of=oncall.id,
                purpose="repair",
                reason=job,
            )
            office.add(now + dice.moment(MINUTE, 8 * HOUR), access, service)

    def incident(self, day: int) -> None:
        """Something breaks or is taken over: those on its roster look at the accounts that are hit."""
        office, dice = self._office, self._dice
        unit, purpose, kinds = dice.one(
            (
                ("sre", "repair", ("outage", "data_repair")),
                ("security/response", "security_response", ("account_takeover", "abuse_wave")),
            )
        )
        pool = office.pool((unit,), None)
        lead = pool.pick(day, dice)
        if lead is None or lead.episode:
            return
        now = lead.shift_time(day, dice.roll() * 0.8)
        team = [lead, *(one for one in pool.staff if one is not lead and not one.episode and one.on_shift(now))][:4]
        incident = office.ids.new("incidents")
        opened, closed = now - dice.moment(5 * MINUTE, HOUR), now + dice.moment(3 * HOUR, 14 * HOUR)
        office.context.add("incidents", incident=incident, kind=dice.one(kinds), opened=opened, closed=closed)
        for one in team:
            office.context.add("roster", incident=incident, actor=one.id, valid_from=opened, valid_to=closed)
        for _ in range(dice.between(2, 12)):
            staff = dice.one(team)
            subject = office.plain(dice, country=staff.country)
            time = now + dice.moment(0, min(closed - now, 5 * HOUR))
            for _ in range(dice.between(1, 3)):
                screen = office.screen(purpose, subject, dice)
                reason = incident if dice.roll() < 0.8 else None
                said = "debugging" if unit == "sre" and dice.roll() < 0.1 else purpose
                office.add(time, office.look(screen, subject, dice, purpose=said, reason=reason), staff)
                time = min(time + dice.wait(3 * MINUTE), closed - MINUTE)

    def counts(self, day: int, wanted: int) -> None:
        """Statements that name nobody: counts for reports, capacity of the staff network."""
        office, dice = self._office, self._dice
        pool = office.pool(("data", "marketing", "sre", "audit", "operations", "executive"), None)
        fields = office.allowed("analytics", "warehouse", "events.logins")
        for _ in range(wanted if fields else 0):
            staff = pool.pick(day, dice)
            if staff is None:
                return
            network = staff.unit.startswith("sre") and dice.roll() < 0.4 and "staff.vpn_log" in _resources(office, "warehouse")
            resource, names = ("staff.vpn_log", ["staff_vpn_ip"]) if network else ("events.logins", fields)
            access = Access(
                action="query",
                system="warehouse",
                resource=resource,
                fields=names,
                subject_scope="aggregate",
                rows=dice.between(1, 60),
                query=f"select count(*) from {resource} where day = :d",
                purpose="repair" if network else "analytics",
                deliberate=False if dice.roll() < 0.5 else None,
            )
            office.add(staff.shift_time(day, dice.roll()), access, staff)

    def logins(self, day: int, wanted: int) -> None:
        """People log in."""
        dice, office = self._dice, self._office
        for _ in range(wanted):
            staff = self._everyone.pick(day, dice)
            if staff is None:
                return
            access = Access(action="login", system=dice.one(("crm", "admin-tool")), subject_scope="none")
            office.add(staff.shift_time(day, dice.roll() ** 2), access, staff)

    def own(self, day: int, wanted: int, tests: Sequence[Subject]) -> None:
        """Own accounts, accounts of friends who agreed, test accounts."""
        office, dice = self._office, self._dice
        for _ in range(wanted):
            roll = dice.roll()
            staff: Staff | None
            if roll < 0.4 and self._own:
                staff, subject = dice.one(self._own)
                purpose = dice.one(("own account", "debug own account"))
            elif roll < 0.55 and self._consents:
                staff, subject, start = dice.one(self._consents)
                purpose = "debug with consent"
                if not start <= day * DAY < start + 39 * DAY:
                    continue
            elif tests:
                staff, subject, purpose = office.pool(("sre", "support/tier2"), None).pick(day, dice), dice.one(tests), "training"
            else:
                continue
            if staff is None or not staff.works(day) or not office.may_read(staff.country, subject.region):
                continue
            screen = (
                "admin-tool",
                "account_detail",
                "read",
                dice.one((["login_time"], ["login_time", "device_id"], ["device_id"])),
            )
            access = office.look(screen, subject, dice, purpose=purpose, reason=None)
            office.add(staff.shift_time(day, dice.roll()), access, staff)

    def public(self, day: int, wanted: int, named: Sequence[tuple[int, Subject]]) -> None:
        """Public profiles, those of persons lately in the press more often."""
        office, dice = self._office, self._dice
        pool = office.pool(("comms", "executive", "marketing", "people", "support", "trust_safety"), None)
        lately = [one for time, one in named if time < day * DAY < time + 5 * DAY and not one.episode]
        for _ in range(wanted):
            staff = pool.pick(day, dice)
            if staff is None:
                return
            subject = dice.one(lately) if lately and dice.roll() < 0.3 else office.person(dice)
            if not office.may_read(staff.country, subject.region):
                continue
            access = Access(
                action="read",
                system="admin-tool",
                resource="account_detail",
                fields=["profile_public"],
                subjects=subject.only,
                subject_scope="named",
                selector=dice.one(SELECTORS),
                purpose=dice.one(("press enquiry", "support", "marketing")) if dice.roll() < 0.8 else None,
                deliberate=True,
            )
            office.add(staff.shift_time(day, dice.roll()), access, staff)


def _resources(office: Office, system: str) -> Sequence[str]:
    return list(office.company.charter.datamap.get(system, {}))
