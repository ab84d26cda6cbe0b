"""What all work in the simulated company shares: who may do it, what they look at, and where it is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from custodes.model.datamap import DataMap
from custodes.model.policy import Policy
from custodes.world.access import Access
from custodes.world.clock import DAY, Calendar
from custodes.world.company import Company, Staff, Subject
from custodes.world.dice import Dice, Wheel
from custodes.world.exports import AccessBook, ContextBook
from custodes.world.ids import Ids

SUPPORT: Final = ("support/tier1", "support/tier2")
DESKS: Final[Mapping[str, tuple[tuple[str, str, float], ...]]] = {
    "support": (("crm", "account_page", 0.7), ("admin-tool", "account_detail", 0.24), ("warehouse", "core.accounts", 0.06)),
    "trust_safety": (("admin-tool", "account_detail", 0.85), ("warehouse", "events.logins", 0.15)),
    "fraud": (("admin-tool", "account_detail", 0.6), ("crm", "account_page", 0.25), ("warehouse", "events.logins", 0.15)),
    "security_response": (("admin-tool", "account_detail", 0.8), ("warehouse", "events.logins", 0.2)),
    "privacy_request": (
        ("crm", "account_page", 0.34),
        ("admin-tool", "account_detail", 0.33),
        ("warehouse", "core.accounts", 0.33),
    ),
    "quality": (("crm", "account_page", 1.0),),
    "repair": (("admin-tool", "account_detail", 0.6), ("warehouse", "events.logins", 0.4)),
    "legal_process": (("le-portal", "disclosure_export", 1.0),),
    "training": (("crm", "account_page", 0.8), ("admin-tool", "account_detail", 0.2)),
    "life_safety": (("admin-tool", "account_detail", 1.0),),
}
"""Where the work of a purpose is done; what the policy lets it touch there is worked out from policy and data map."""
SELECTORS: Final = ("handle", "user_id", "email", "phone", "user_id", "handle")
Screen = tuple[str, str, str, list[str]]


class Office:
    """The company at work. `count` holds the background accesses by day."""

    def __init__(
        self, company: Company, *, calendar: Calendar, accesses: AccessBook, context: ContextBook, ids: Ids, seed: int
    ) -> None:
        self.company, self.calendar, self.seed = company, calendar, seed
        self.accesses, self.context, self.ids = accesses, context, ids
        self.policy = Policy.of(company.charter.policy)
        self.datamap = DataMap.of(
            {
                system: {name: {"fields": dict(fields)} for name, fields in resources.items()}
                for system, resources in company.charter.datamap.items()
            }
        )
        self.people = [one for one in company.subjects if one.kind == "person" and one.region is not None]
        self.count: dict[int, int] = {}
        self.closed: list[tuple[int, Subject]] = []
        self._pools: dict[tuple[tuple[str, ...], str | None, bool], Pool] = {}
        self._screens: dict[tuple[str, bool], tuple[list[Screen], Wheel]] = {}

    def dice(self, part: str) -> Dice:
        """Return the stream of chance of one part of the work."""
        return Dice(self.seed, part)

    def add(self, time: int, access: Access, staff: Staff) -> None:
        """Take one background access; what lies outside the world's days was never exported, and nobody works after leaving."""
        if 0 <= time < self.calendar.end and staff.employed(time):
            day = time // DAY
            self.count[day] = self.count.get(day, 0) + 1
            self.accesses.add(time, access, staff)

    def may_read(self, country: str, region: str | None, *, ticket: bool = False) -> bool:
        """Say whether policy lets somebody who works in `country` read a subject of `region`."""
        rule = self.policy.regions.get(region or "")
        return rule is None or country in rule.countries or (ticket and country in rule.support_only)

    def pool(self, units: Sequence[str], region: str | None, *, ticket: bool = False) -> Pool:
        """Return those who work under one of `units` and may read subjects of `region`."""
        key = (tuple(units), region, ticket)
        if key not in self._pools:
            staff = [
                one
                for unit in units
                for one in self.company.members(unit)
                if self.may_read(one.country, region, ticket=ticket) and one.rostered
            ]
            self._pools[key] = Pool(staff)
        return self._pools[key]

    def screen(self, purpose: str, subject: Subject | None, dice: Dice) -> Screen:
        """Return system, resource, action and fields of one look for `purpose`; of a protected person only what no duty guards."""
        guarded = subject is not None and subject.protected is not None
        key = (purpose, guarded)
        if key not in self._screens:
            self._screens[key] = self._make_screens(purpose, guarded=guarded)
        screens, wheel = self._screens[key]
        return screens[wheel.turn(dice.roll())]

    def allowed(self, purpose: str, system: str, resource: str, *, guarded: bool = False) -> list[str]:
        """Return the fields of a resource that a purpose may touch."""
        words = self.policy.purposes.get(purpose, ())
        entry = self.datamap.resource(system, resource)
        hidden = {word for rule in self.policy.protected.values() for word in rule.categories} if guarded else set()
        hidden -= {"contact"} if purpose == "support" else set()
        fields = entry.fields if entry else {}
        return [name for name, word in fields.items() if (word in words or "*" in words) and word not in hidden]

    def _make_screens(self, purpose: str, *, guarded: bool) -> tuple[list[Screen], Wheel]:
        dice = Dice(self.seed, f"screens {purpose} {guarded}")
        screens: list[Screen] = []
        weights: list[float] = []
        for system, resource, weight in DESKS.get(purpose, ()):
            fields = self.allowed(purpose, system, resource, guarded=guarded)
            fields = [name for name in fields if name != "profile_public"] or fields
            for index in range(10 if fields else 0):
                size = min(len(fields), 1 + dice.below(3))
                action = "query" if system == "warehouse" else "export" if purpose == "legal_process" else "read"
                screens.append((system, resource, action, sorted(dice.some(fields, size), key=fields.index)))
                weights.append(weight * (1.6 if index < 4 else 0.6))
        return (screens or [("crm", "account_page", "read", ["name"])], Wheel(weights or [1.0]))

    def look(self, screen: Screen, subject: Subject, dice: Dice, *, purpose: str | None, reason: str | None) -> Access:
        """Return one look at one subject on `screen`."""
        system, resource, action, fields = screen
        access = Access(
            action=action,
            system=system,
            resource=resource,
            fields=fields,
            subjects=subject.only,
            subject_scope="named",
            selector=SELECTORS[dice.below(6)],
            purpose=purpose,
            reason=reason,
            deliberate=True,
        )
        if action == "query":
            access.rows = 1
            access.selector = "user_id"
            if dice.roll() < 0.7:
                access.subject_scope = "key_predicate"
                access.query = f"select {', '.join(fields)} from {resource} where account = '{subject.id}'"
        return access

    def person(self, dice: Dice, accept: Callable[[Subject], bool] = lambda _: True) -> Subject:
        """Return a person, some far more often than others, of those that `accept` takes."""
        people = self.people
        for _ in range(200):
            one = people[int(len(people) * dice.roll() ** 1.35)]
            if accept(one):
                return one
        return next((one for one in people if accept(one)), people[0])

    def plain(self, dice: Dice, region: str | None = None, *, country: str | None = None) -> Subject:
        """Return a person of no episode who is not protected, of `region`, or whom `country` may read, where given."""
        return self.person(
            dice,
            lambda one: (
                not one.episode
                and not one.protected
                and (region is None or one.region == region)
                and (country is None or self.may_read(country, one.region))
            ),
        )


class Pool:
    """A group of staff from which work picks, busy ones more often."""

    def __init__(self, staff: Sequence[Staff]) -> None:
        self.staff = list(staff)
        self._wheel = Wheel([one.weight for one in self.staff])

    def pick(self, day: int, dice: Dice, without: Sequence[Staff] = ()) -> Staff | None:
        """Return somebody whose shift begins on `day`, or None."""
        if not self.staff:
            return None
        for _ in range(12):
            one = self.staff[self._wheel.turn(dice.roll())]
            if one.works(day) and one not in without:
                return one
        rest = [one for one in self.staff if one.works(day) and one not in without]
        return dice.one(rest) if rest else None


def outsiders(subject: Subject, staff: Staff) -> bool:
    """Say that subject and staff do not belong to one episode: ordinary work must not excuse what is planted."""
    return not subject.episode or subject.episode != staff.episode
