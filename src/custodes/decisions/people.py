"""Who people are to the guard: who sits here, who is on the staff, and what protection obliges to."""

from __future__ import annotations

import os
import pwd
from datetime import datetime
from typing import Final
from weakref import WeakKeyDictionary, ref

from custodes.context.tables import ContextStore
from custodes.decisions.in_force import Rules
from custodes.errors import Outage, Refused
from custodes.guard.approval import written
from custodes.guard.distance import Staff, StaffRow
from custodes.guard.words import Identity
from custodes.home import Home
from custodes.ledger.leaf import Kind
from custodes.model.policy import Policy
from custodes.protected.lookups import Lookups
from custodes.protected.registry import Registry


def identity(home: Home) -> Identity:
    """Who sits at this command line: the login of the operating system, as `[guard.logins]` maps it. Raises `Refused`."""
    settings = home.settings.guard
    company = settings.logins.get(_os_login())
    if company is None:
        raise Refused("this login is nobody's: it is not named in [guard.logins]", hint="an administrator adds it to custodes.toml")
    return Identity(
        actor=home.pseudonyms.of("actor", company),
        login=settings.database_logins.get(company, company),
        session_country=settings.session_country or None,
        country_source="host" if settings.session_country else "none",
    )


def _os_login() -> str:
    """Return the name of this process's account. Not from the environment: anybody sets LOGNAME."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def staff_of(home: Home) -> Staff:
    """Return the staff as it is loaded now, seen with the policy that the home was opened with."""
    return _staff_in(home.context(), home.policy)


def _staff_in(context: ContextStore, policy: Policy) -> Staff:
    columns = ("actor", "person", "unit", "manager", "valid_from", "joined", "valid_to", "left", "recorded")
    rows = (
        StaffRow(actor, person, unit, manager, begins or joined, ends, left, recorded)
        for actor, person, unit, manager, begins, joined, ends, left, recorded in context.loaded("staff", columns)
    )
    return Staff(rows, policy)


class People:
    """Staff as the gate knows it, read again when something was loaded, or another policy is in force."""

    def __init__(self, home: Home, rules: Rules) -> None:
        self._context, self._rules = home.context(), rules
        self._kept: tuple[tuple[str, ...], Policy, Staff] | None = None

    def now(self) -> Staff:
        """Return the staff as of this moment."""
        version, policy = self._context.version("staff"), self._rules.policy
        if self._kept is None or self._kept[0] != version or self._kept[1] is not policy:
            self._kept = (version, policy, _staff_in(self._context, policy))
        return self._kept[2]


def lookups(home: Home) -> Lookups:
    """What protection obliges to, as who asks may learn it: one for a home that is open, since it counts who asks how often."""
    if home not in _LOOKUPS:
        mine = ref(home)  # what is kept under a home must not keep it

        def opened() -> Registry:
            return _alive(mine).registry()

        def noted(actor: str, act: str, now: datetime) -> None:
            _alive(mine).record(Kind.DECISION, {"what": "registry", "act": act, "who": actor, "at": written(now)}, now)

        _LOOKUPS[home] = Lookups(opened, noted)
    return _LOOKUPS[home]


_LOOKUPS: Final = WeakKeyDictionary[Home, Lookups]()


def _alive(mine: ref[Home]) -> Home:
    home = mine()
    if home is None:
        raise Outage("the home was closed")
    return home
