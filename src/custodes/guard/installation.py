"""Putting a plan in force and taking it back: one transaction, tried as a staff login before it counts.

What is applied is made anew from the catalogue as it is; the reviewed file must be its text, byte for byte. So a changed plan and a
changed database are both refused. Where the installer is a superuser the trial runs inside the transaction, and a leak rolls
everything back; else a staff login tries at once after the commit, and a leak runs the undoing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from custodes.catalogue import Catalogue, Database, Name
from custodes.errors import ConfigError, EngineUnavailable, Refused
from custodes.guard.plan import DEFAULT_MINIMISE, GUARD, Plan, full, make_plan, quote, safe_schema
from custodes.model.datamap import DataMap, ResourceMap

_SAMPLE = 1000
"""Rows of each view that the trial looks at."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is guarded: a mapped system, its staff logins, how categories are cut."""

    system: str
    datamap: DataMap
    staff: tuple[str, ...]
    minimise: Mapping[str, str]

    def plan(self, database: Database) -> Plan:
        """Make the plan for the database as it is now. Raises `InputError`, `EngineUnavailable`."""
        catalogue = database.catalogue()
        return make_plan(
            catalogue, self.datamap, self.system, staff=self.staff, minimise=self.minimise, earlier=_earlier(database, catalogue)
        )

    @property
    def resources(self) -> Mapping[str, ResourceMap]:
        """The mapped tables by the data map's names."""
        return self.datamap.systems.get(self.system, {})


def install(
    database: Database,
    target: Target,
    reviewed: str,
    *,
    staff: Callable[[str], Database] | None = None,
    tried: Sequence[str] = (),
) -> Plan:
    """Put the reviewed plan in force. `staff` logs in as one of the staff, for installers that are no superusers; `tried`: as whom.

    Raises `Refused` if the plan or the database is not what was reviewed, or if the trial read what it must not: nothing has
    changed then. Again: the same objects, the same rights, and the undoing is still that of the first time.
    """
    plan = target.plan(database)
    if plan.text() != reviewed:
        raise Refused("the plan or the database has changed since the plan was written", hint="write a new plan and review it")
    catalogue = database.catalogue()
    if not catalogue.reader_is_superuser and staff is None:
        raise ConfigError("the trial needs a superuser, or a way to log in as one of the staff")
    with database.transaction():
        database.apply(plan.statements)
        if catalogue.reader_is_superuser:
            for login in target.staff:
                _try_as(database, login, plan.views, target)
    if not catalogue.reader_is_superuser and staff is not None:
        _try_afterwards(database, staff, plan, target, tried)
    return plan


def uninstall(database: Database, target: Target) -> Sequence[str]:
    """Take back what was installed, by the statements kept beside it; return them. Raises `Refused` if nothing is installed."""
    statements = _earlier(database, database.catalogue())
    if not statements:
        raise Refused(f"nothing is installed for {target.system}")
    database.apply(statements)
    return statements


def trial(database: Database, catalogue: Catalogue, login: str, target: Target) -> None:
    """Look as a staff login, and leave nothing behind. Raises `Refused` saying what could be read. For superusers only."""
    views = {name: Name(safe_schema(name.schema), name.name) for name in map(_name, target.resources)}
    made = {name: view for name, view in views.items() if catalogue.relation(name) and catalogue.relation(view)}
    with suppress(_Done), database.transaction():
        _try_as(database, login, made, target)
        _roll_back()


def _roll_back() -> NoReturn:
    raise _Done


class _Done(Exception):
    """Rolls back a trial in which nothing was seen."""


def _name(resource: str) -> Name:
    schema, _, name = resource.rpartition(".")
    return Name(schema or "public", name)


def _earlier(database: Database, catalogue: Catalogue) -> list[str]:
    """Return the undoing of what is installed, or nothing."""
    if catalogue.relation(Name(GUARD, "undo")) is None:
        return []
    return [str(row[0]) for row in database.rows(f"select statement from {GUARD}.undo order by place")]


def _try_afterwards(database: Database, staff: Callable[[str], Database], plan: Plan, target: Target, tried: Sequence[str]) -> None:
    for login in tried or target.staff:
        try:
            session = staff(login)
            try:
                _trial(session, plan.views, target, leased=_is_leased(database, login))
            finally:
                session.close()
        except BaseException:  # whatever stops the trial: what was not tried does not stay
            database.apply(plan.undo)
            raise


def _try_as(database: Database, login: str, views: Mapping[Name, Name], target: Target) -> None:
    """Become a login inside the open transaction. SET ROLE would not do: it leaves `session_user` as it is."""
    leased = _is_leased(database, login)
    database.rows(f"set local session authorization {quote(login)}")
    _trial(database, views, target, leased=leased)
    database.rows("reset session authorization")


def _is_leased(database: Database, login: str) -> bool:
    """Say whether a login may see something lawfully at this moment: then seeing it proves nothing."""
    statement = f"select 1 from {GUARD}.lease where actor = %s and not revoked and valid_to > pg_catalog.clock_timestamp() limit 1"
    return bool(database.rows(statement, (login,)))


def _trial(session: Database, views: Mapping[Name, Name], target: Target, *, leased: bool) -> None:
    """Try what a member of staff would try first: the base table, and the protected columns of the view without a lease."""
    for name, view in views.items():
        if _can_read(session, f"select 1 from {full(name)} limit 1"):
            raise Refused(f"the trial read {name} as a staff login", hint="nothing stays installed; see what grants it that right")
        shown = " or ".join(f"s.{quote(word)} is not null" for word in masked(target, name))
        if not shown or leased:
            continue
        count = session.rows(f"select count(*) from (select * from {full(view)} limit {_SAMPLE}) as s where {shown}")
        if count[0][0] != 0:
            raise Refused(f"the trial saw protected fields of {view} without a lease", hint="nothing stays installed")


def masked(target: Target, name: Name) -> Iterator[str]:
    """Yield the fields of a mapped table that staff see only under a lease."""
    entry = target.resources.get(str(name)) or target.resources.get(name.name)
    how = dict(DEFAULT_MINIMISE) | dict(target.minimise)
    for word, category in (entry.fields if entry else {}).items():
        if how.get(category, "null") != "none":
            yield word


def _can_read(session: Database, statement: str) -> bool:
    try:
        with session.transaction():
            session.rows(statement)
    except EngineUnavailable:
        return False
    return True
