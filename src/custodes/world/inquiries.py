"""Work under cases: investigations of accounts, quality samples, cases about staff, training, oversight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from custodes.world.access import Access
from custodes.world.clock import DAY, HOUR, MINUTE, SECOND
from custodes.world.company import Staff, Subject
from custodes.world.dice import Curve
from custodes.world.office import SELECTORS, Office, outsiders

TEAMS: Final = (
    ("trust_safety", "trust_safety", "trust_safety"),
    ("trust_safety", "trust_safety", "trust_safety"),
    ("fraud", "fraud", "fraud"),
    ("fraud", "fraud", "fraud"),
    ("security", "security/response", "security_response"),
)
"""Kind of case, unit that works on it, stated purpose."""
SLIPS: Final = {"late_record": 0.03, "early_look": 0.04, "no_row": 0.05, "free_text": 0.02}
_SCOPE: Final = Curve((0, 1), (0.4, 1.5), (0.75, 4), (0.9, 8), (0.99, 25), (1, 40))
_DAYS: Final = Curve((0, 0.1), (0.5, 1.5), (0.75, 7), (0.9, 18), (0.99, 60), (1, 80))


@dataclass(slots=True)
class Case:
    """One case as it is worked on. `ready`: when scope and assignments stand."""

    id: str
    purpose: str
    lead: Staff
    team: list[Staff]
    scope: list[Subject]
    opened: int
    ready: int
    slip: str | None


class Inquiries:
    """Those who work under cases."""

    def __init__(self, office: Office) -> None:
        self._office, self._dice = office, office.dice("inquiries")

    # --- earlier cases about staff ----------------------------------------------------------------------------------------

    def past(self) -> None:
        """Cases about staff of the two years before the first day, with what came of them."""
        office, dice = self._office, self._dice
        staff = [one for one in office.company.staff if not one.episode]
        units = office.company.units("audit") or office.company.units("people")
        for number in range(max(6, len(staff) // 30) if units else 0):
            auditor, opened = dice.one(office.company.by_unit[dice.one(units)]), -dice.moment(90 * DAY, 720 * DAY)
            closed = opened + dice.moment(15 * DAY, 70 * DAY)
            kind = dice.one(("code_of_conduct", "internal_audit"))
            case = self._record(kind, auditor, opened, closed, scope_kind="staff")
            named = dice.one(staff)
            added = opened + dice.moment(HOUR, DAY)
            office.context.add("case_scope", case=case, actor=named.id, added=added, added_by=auditor.id)
            self._outcome(case, named, closed, proven=number % 3 == 0)

    def _outcome(self, case: str, staff: Staff, decided: int, *, proven: bool) -> None:
        """Say what came of a case: about the data of one or two persons, or of nobody."""
        office, dice = self._office, self._dice
        result = "proven" if proven else "unproven"
        harmed = {office.plain(dice, country=staff.country).id: None for _ in range((0, 1, 1, 1, 2)[dice.below(5)])}
        for subject in harmed or [None]:
            office.context.add("outcomes", case=case, actor=staff.id, subject=subject, decided=decided, result=result)

    # --- investigations ---------------------------------------------------------------------------------------------------

    def case(self, day: int) -> None:
        """Open one case about accounts and let it be worked on."""
        office, dice = self._office, self._dice
        kind, unit, purpose = TEAMS[dice.below(len(TEAMS))]
        anchor = office.person(dice, lambda one: not one.protected or (kind == "trust_safety" and dice.roll() < 0.4))
        pool = office.pool((unit,), anchor.region)
        lead = pool.pick(day, dice)
        if lead is None:
            return
        team: list[Staff] = []
        for _ in range((1, 1, 1, 2, 2, 2, 2, 3, 3, 4)[dice.below(10)]):
            who = pool.pick(day, dice, (lead, *team))
            if who is not None and not lead.reports_to(who):
                team.append(who)
        if not team:
            return
        scope = [one for one in self._scope(anchor) if all(outsiders(one, member) for member in team)]
        if scope:
            roll = dice.roll()
            slip = next((name for name, share in SLIPS.items() if (roll := roll - share) < 0), None)
            self._work(self._open(day, kind=kind, purpose=purpose, lead=lead, team=team, scope=scope, slip=slip))

    def _scope(self, anchor: Subject) -> list[Subject]:
        """Return accounts that hang together: some linked to the first, some not."""
        dice, count = self._dice, int(_SCOPE.at(self._dice.roll()) + 0.3)
        friends = [one for one in anchor.friends if one.region == anchor.region and not one.protected and one.kind == "person"]
        scope = [anchor, *dice.some(friends, int(count * 0.6))]
        while len(scope) < count:
            scope.append(self._office.person(dice, lambda one: one.region == anchor.region and not one.protected))
        return list({one.id: one for one in scope[:count]}.values())

    def _open(
        self, day: int, *, kind: str, purpose: str, lead: Staff, team: list[Staff], scope: list[Subject], slip: str | None
    ) -> Case:
        office, dice = self._office, self._dice
        case = office.ids.new("cases")
        opened = lead.shift_time(day, dice.roll() * 0.6)
        recorded = opened if dice.roll() < 0.7 else opened + dice.moment(MINUTE, 10 * MINUTE)
        ready = opened + dice.moment(2 * MINUTE, 90 * MINUTE)
        if slip == "late_record":
            recorded = ready + dice.moment(2 * HOUR, 30 * HOUR)
        for one in team[:-1] if slip == "no_row" and len(team) > 1 else team:
            office.context.add(
                "assignments",
                case=case,
                actor=one.id,
                valid_from=opened if dice.roll() < 0.4 else dice.moment(opened, ready),
                assigned_by=lead.id,
            )
        for subject in scope:
            added = dice.moment(opened, ready) if dice.roll() < 0.7 else opened
            if slip == "early_look" and subject is scope[-1]:
                added = ready + dice.moment(5 * HOUR, 3 * DAY)
            office.context.add("case_scope", case=case, subject=subject.id, added=added, added_by=lead.id)
        closed = ready + int(_DAYS.at(dice.roll()) * DAY) + 4 * DAY
        office.context.add(
            "cases",
            case=case,
            kind=kind,
            opened=opened,
            closed=closed,
            opened_by=lead.id,
            owner=lead.id,
            scope_kind="subjects",
            recorded_at=recorded,
        )
        return Case(case, purpose, lead, team, scope, opened, ready, slip)

    def _work(self, case: Case) -> None:
        dice = self._dice
        length = min(_DAYS.at(dice.roll()), 4.0) * DAY
        for subject in case.scope:
            for staff in case.team:
                if dice.roll() < (1.0 if len(case.team) == 1 else 0.6):
                    early = case.slip == "early_look" and subject is case.scope[-1]
                    wait = dice.moment(MINUTE, 3 * HOUR) if early else dice.wait(length / 3)
                    self._reads(case, subject, staff, staff.next_time(case.ready + min(wait, int(length)), dice))
        if len(case.scope) > 1 and dice.roll() < 0.3:
            self._join(case)
        if case.slip is None and len(case.team) > 1 and len(case.scope) > 1 and dice.roll() < 0.06:
            self._pass_on(case)

    def _reads(self, case: Case, subject: Subject, staff: Staff, time: int) -> None:
        office, dice = self._office, self._dice
        while True:
            reason = "asked by a colleague" if case.slip == "free_text" else case.id if dice.roll() < 0.97 else None
            access = office.look(office.screen(case.purpose, subject, dice), subject, dice, purpose=case.purpose, reason=reason)
            if access.action == "query" and dice.roll() < 0.15:
                # A device or number was asked for, and it turned out to be this person's.
                access.subject_scope, access.selector = "attribute_predicate", dice.one(("device", "phone", "ip"))
                access.rows = dice.between(1, 5)
                access.query = f"select {', '.join(access.fields or [])} from {access.resource} where device_hash = :x"
            office.add(time, access, staff)
            if dice.roll() > 0.4:
                return
            time += 10 * SECOND + dice.wait(4 * MINUTE)

    def _set(self, case: Case) -> Access | None:
        """Return one statement over all accounts of a case, with the fields that may be touched."""
        office = self._office
        guarded = any(one.protected for one in case.scope)
        fields = office.allowed(case.purpose, "warehouse", "events.logins", guarded=guarded)
        if not fields:
            return None
        ids = ", ".join(f"'{one.id}'" for one in case.scope)
        return Access(
            action="query",
            system="warehouse",
            resource="events.logins",
            fields=fields,
            subjects=[one.id for one in case.scope],
            subject_scope="key_predicate",
            selector="user_id",
            rows=self._dice.between(len(case.scope), 50 + 4 * len(case.scope)),
            query=f"select {', '.join(fields)} from events.logins where account in ({ids})",
            purpose=case.purpose,
            reason=case.id,
            deliberate=True,
        )

    def _join(self, case: Case) -> None:
        dice = self._dice
        staff = dice.one(case.team)
        for _ in range(dice.between(1, 4)):
            access = self._set(case)
            if access is None or (case.slip == "no_row" and staff is case.team[-1]):
                return
            if dice.roll() < 0.6:
                access.subject_scope = "join"
                access.query = (access.query or "").replace(
                    " where account", " a join events.logins b on a.device_id = b.device_id where a.account"
                )
            self._office.add(staff.next_time(case.ready + dice.wait(1.5 * DAY), dice), access, staff)

    def _pass_on(self, case: Case) -> None:
        """One of the team exports the rows, another opens the file: both are on the case."""
        office, dice = self._office, self._dice
        access = self._set(case)
        if access is None:
            return
        access.action, access.derived = "export", office.ids.new("object")
        sender, opener = case.team[0], case.team[1]
        time = sender.next_time(case.ready + dice.wait(DAY), dice)
        office.add(time, access, sender)
        for _ in range(dice.between(1, 3)):
            again = Access(
                action="read",
                system="file-share",
                resource="object",
                derived_from=access.derived,
                subject_scope="unknown",
                deliberate=True,
                purpose=case.purpose if dice.roll() < 0.5 else None,
                reason=case.id if dice.roll() < 0.5 else None,
            )
            office.add(opener.next_time(time + HOUR + dice.wait(12 * HOUR), dice), again, opener)

    # --- samples ----------------------------------------------------------------------------------------------------------

    def sample(self, day: int, wanted: int) -> None:
        """Quality staff look again at tickets that were closed lately."""
        office, dice = self._office, self._dice
        pool = office.pool(("support/quality",), None)
        lead = pool.pick(day, dice)
        if lead is not None and office.company.head(lead.unit).works(day):
            lead = office.company.head(lead.unit)
        if lead is None or wanted < 1:
            return
        now = lead.shift_time(day, dice.roll() * 0.3)
        recent = office.closed = [(closed, one) for closed, one in office.closed if closed > now - 30 * DAY]
        ripe = [one for closed, one in recent if closed < now and not one.episode and not one.protected]
        ripe = [one for one in ripe if office.may_read(lead.country, one.region)]
        scope = list({one.id: one for one in dice.some(ripe, wanted)}.values())
        if not scope:
            return
        team = [one for one in pool.staff if one is not lead and one.works(day) and not lead.reports_to(one)]
        others = team or [lead]
        by = lead.id if team else office.company.head(lead.unit).id
        case = self._book("quality", lead, others, now, by, scope_kind="set")
        for number, subject in enumerate(scope):
            office.context.add("case_scope", case=case, subject=subject.id, added=now + 20 * MINUTE, added_by=by)
            staff = others[number % len(others)]
            time = staff.next_time(now + HOUR + dice.moment(0, 5 * DAY), dice)
            screen = office.screen("quality", subject, dice)
            office.add(time, office.look(screen, subject, dice, purpose="quality", reason=case), staff)

    def _book(self, kind: str, lead: Staff, team: Sequence[Staff], now: int, by: str, *, scope_kind: str, days: float = 30) -> str:
        """Open a case and assign it."""
        case = self._record(kind, lead, now, now + int(days * DAY), scope_kind=scope_kind)
        for one in team:
            self._office.context.add("assignments", case=case, actor=one.id, valid_from=now + 5 * MINUTE, assigned_by=by)
        return case

    def _record(self, kind: str, owner: Staff, opened: int, closed: int, *, scope_kind: str) -> str:
        case = self._office.ids.new("cases")
        self._office.context.add(
            "cases",
            case=case,
            kind=kind,
            opened=opened,
            closed=closed,
            opened_by=owner.id,
            owner=owner.id,
            scope_kind=scope_kind,
            recorded_at=opened,
        )
        return case

    # --- cases about staff, training, oversight ---------------------------------------------------------------------------

    def staff_case(self, day: int, accounts: Sequence[Subject]) -> None:
        """Internal audit or HR looks at the corporate account of one employee, with a case and an outside approval."""
        office, dice = self._office, self._dice
        units = office.company.units("audit") or office.company.units("people")
        if not units:
            return
        unit = dice.one(units)
        pool, head = office.pool((unit,), None), office.company.head(unit)
        auditor = pool.pick(day, dice, (head,))
        own = [one for one in accounts if auditor is not None and office.may_read(auditor.country, one.region)]
        if auditor is None or not own:
            return
        account = dice.one(own)
        employee = next(one for one in office.company.staff if one.person == account.person)
        now = head.shift_time(day, dice.roll() * 0.5)
        kind = dice.one(("code_of_conduct", "internal_audit"))
        case = self._book(kind, head, [auditor], now, head.id, scope_kind="staff")
        named = dice.roll() < 0.6
        if named:
            office.context.add("case_scope", case=case, actor=employee.id, added=now, added_by=head.id)
            self._grant_for(auditor, account, now)
            if dice.roll() < 0.5 and now + 30 * DAY < office.calendar.end:
                self._outcome(case, employee, now + 30 * DAY, proven=dice.roll() < 0.15)
        fields = ["corp_login_time", "corp_role"] if named else ["corp_role"]
        for _ in range(dice.between(3, 14)):
            access = Access(
                action="query",
                system="warehouse",
                resource="corp.accounts",
                fields=fields,
                subjects=account.only,
                subject_scope="named" if dice.roll() < 0.6 else "key_predicate",
                selector="user_id",
                rows=dice.between(1, 40),
                query=f"select {', '.join(fields)} from corp.accounts where account = '{account.id}'",
                purpose="code_of_conduct",
                reason=case,
                deliberate=True,
            )
            office.add(auditor.next_time(now + DAY + dice.wait(4 * DAY), dice), access, auditor)

    def _grant_for(self, auditor: Staff, account: Subject, now: int) -> None:
        office, dice = self._office, self._dice
        approver = office.pool(office.policy.outside_approver_units, None).pick(now // DAY, dice)
        if approver is None:
            return
        grant = office.ids.new("grants")
        office.context.add(
            "grants",
            grant=grant,
            actor=auditor.id,
            subject=account.id,
            fields=["corp_login_time", "corp_role"],
            purpose="code_of_conduct",
            valid_from=now + 2 * HOUR,
            valid_to=now + 25 * DAY,
            requested_by=auditor.id,
            break_glass=False,
        )
        office.context.add("approvals", grant=grant, approver=approver.id, at=now + HOUR, decision="approve")

    def training(self, day: int) -> None:
        """Newcomers open test accounts."""
        office, dice = self._office, self._dice
        tests = [one for one in office.company.subjects if one.kind == "test" and not one.episode]
        newcomer = office.pool(("support",), dice.one(tests).region if tests else None).pick(day, dice)
        if newcomer is None:
            return
        pool, coach = office.pool((newcomer.unit,), None), office.company.head(newcomer.unit)
        team = [one for one in pool.staff if one is not coach and one.works(day)][:3]
        tests = [one for one in tests if office.may_read(coach.country, one.region)]
        if not team or not tests:
            return
        now = coach.shift_time(day, 0.1)
        case = self._book("training", coach, team, now, coach.id, scope_kind="subjects", days=10)
        for one in tests[:40]:
            office.context.add("case_scope", case=case, subject=one.id, added=now, added_by=coach.id)
        for staff in team:
            for _ in range(dice.between(5, 15)):
                subject = dice.one(tests[:40])
                time = staff.next_time(now + HOUR + dice.moment(0, 2 * DAY), dice)
                screen = office.screen("training", subject, dice)
                office.add(time, office.look(screen, subject, dice, purpose="training", reason=case), staff)

    def oversight(self, day: int) -> None:
        """An inspector from outside reads the access rows of a sample, announced."""
        office, dice = self._office, self._dice
        inspector = office.pool(("oversight",), None).pick(day, dice)
        owner = office.pool(("privacy",), None).pick(day, dice)
        if inspector is None or owner is None or "custodes" not in office.company.charter.datamap:
            return
        now = owner.shift_time(day, 0.2)
        case = self._book("oversight", owner, [inspector], now, owner.id, scope_kind="set")
        for _ in range(dice.between(15, 50)):
            subject = office.plain(dice)
            office.context.add("case_scope", case=case, subject=subject.id, added=now, added_by=owner.id)
            asks = dice.roll() < 0.2
            access = Access(
                action="search" if asks else "read",
                system="custodes",
                resource="registry_query" if asks else "access_rows",
                subjects=subject.only,
                subject_scope="named",
                selector=dice.one(SELECTORS),
                purpose="oversight",
                reason=case,
                deliberate=True,
            )
            office.add(inspector.next_time(now + HOUR + dice.moment(0, 6 * DAY), dice), access, inspector)
        self._names(inspector, owner, now)

    def _names(self, inspector: Staff, owner: Staff, now: int) -> None:
        """Names of actors and cases are opened under a grant that the owner of the case has approved."""
        office, dice = self._office, self._dice
        grant = office.ids.new("grants")
        office.context.add(
            "grants",
            grant=grant,
            actor=inspector.id,
            purpose="oversight",
            valid_from=now,
            valid_to=now + 10 * DAY,
            requested_by=inspector.id,
            break_glass=False,
        )
        office.context.add("approvals", grant=grant, approver=owner.id, at=now + dice.moment(5 * MINUTE, HOUR), decision="approve")
        for _ in range(dice.between(2, 5)):
            name = dice.roll() < 0.5
            access = Access(
                action="read" if name else "search",
                system="custodes",
                resource="actor_name" if name else "case_search",
                subject_scope="none",
                purpose="oversight",
                reason=grant,
                deliberate=True,
            )
            office.add(inspector.next_time(now + 2 * HOUR + dice.moment(0, 6 * DAY), dice), access, inspector)
