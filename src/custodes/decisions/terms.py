"""What is known of a request as the rules see it, which approvals a grant needs, and which terms are refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from custodes.context.standing import Standing
from custodes.decisions.people import lookups, staff_of
from custodes.engines.releasing import PostgresReader
from custodes.guard.approval import Refusal
from custodes.guard.decide import NEVER, needed_sets
from custodes.guard.grants import Terms
from custodes.guard.words import Identity, Known
from custodes.guard.words import Request as AskedFor
from custodes.home import Home
from custodes.model.policy import Policy


def sets_for(home: Home, terms: Terms) -> tuple[str, ...]:
    """Return the sets of approvals that a grant of these terms needs, as policy and registry have it now."""
    if terms.break_glass:
        return ()
    now, categories = datetime.now(UTC), _categories(home, terms.system, terms.fields)
    duties = [lookups(home).duties(terms.actor, subject, categories, home.policy, now) for subject in terms.subjects]
    all_of = None if None in duties else tuple(sorted({word for found in duties for word in found or ()}))
    return needed_sets(Known(no_duty=staff_of(home).has_no_duty(terms.actor), duties=all_of))


def refuses_terms(home: Home, terms: Terms) -> Refusal | None:
    """Return why nobody could grant this, or `None` if people may decide."""
    policy, categories = home.policy, _categories(home, terms.system, terms.fields)
    if terms.purpose in {*NEVER, *policy.never_purposes} or terms.purpose not in policy.purposes:
        return Refusal("not-permitted", "this purpose can be granted by nobody")
    allowed = policy.purposes[terms.purpose]
    if None in categories or not ("*" in allowed or {*categories} <= {*allowed}):
        return Refusal("not-permitted", "the purpose does not cover these fields, or the data map does not know them")
    if terms.mode == "aggregate":
        return Refusal("not-permitted", "nothing is counted over people here")
    if terms.lasts_s > home.settings.guard.limits.grant_max_min * 60:
        return Refusal("form", f"a grant lasts at most {home.settings.guard.limits.grant_max_min} minutes here")
    needed = sets_for(home, terms)
    if set(needed) - set(terms.sets):
        return Refusal("form", f"these approvals are needed: {' and '.join(needed)}")
    return None


def known_of(  # noqa: PLR0917  # where each fact is kept
    home: Home,
    policy: Policy,
    standing: Standing,
    reader: PostgresReader,
    request: AskedFor,
    who: Identity,
    now: datetime,
    key: str,
) -> Known:
    """Return what is known of `request` by `who`, `None` what is not certain. `key`: of the subject in the system."""
    place, categories = standing.place(request.actor, now), _categories(home, request.system, request.fields)
    region = standing.region(request.subject)
    if key and None not in categories and reader.has_region(request.system, request.fields):
        stored = reader.region(request.system, request.fields, key)
        region = stored if region in {None, stored} else None  # two sources that contradict each other know nothing
    unit = None if place is None else place.unit
    return Known(
        unit=unit,
        place_of_work=None if place is None else place.country,
        entity=None if place is None else place.entity,
        session_country=who.session_country,
        employed=place is not None,
        human=who.human,
        no_duty=unit is None or any(unit == word or unit.startswith(f"{word}/") for word in policy.units_without_subject_duty),
        region=region,
        categories=categories,
        duties=lookups(home).duties(request.actor, request.subject, categories, policy, now),
    )


def _categories(home: Home, system: str, names: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(home.datamap.category(system, *name.rpartition(".")[::2]) for name in names)
