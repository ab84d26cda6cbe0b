"""Who can still reach a protected field, and how? Every login is walked to every field; in doubt *unknown*, never closed.

A path names the principal and each step. *open*: privileges lead to the value. *unknown*: only reading code, or another system,
could tell. *declared*: two people have signed that they know. The service's own login and leases are what the guard is; who is a
member of them has a path like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from custodes.catalogue import PUBLIC, Catalogue, Grant, Name, Relation, Role, Routine
from custodes.guard.plan import OWNER, REVEAL
from custodes.model.datamap import ResourceMap

OPEN, UNKNOWN, DECLARED = "open", "unknown", "declared"
EVERYBODY: Final = "PUBLIC"
_ATTRIBUTES: Final = {
    "replication": "REPLICATION reads the write-ahead log",
    "create_role": "CREATEROLE can grant itself a role that reads",
}
_BUILTIN: Final = {
    "pg_read_all_data": OPEN,
    "pg_read_server_files": OPEN,
    "pg_write_server_files": UNKNOWN,
    "pg_execute_server_program": OPEN,
    "pg_read_all_stats": UNKNOWN,
    "pg_monitor": UNKNOWN,
}
_DYNAMIC: Final = re.compile(r"\bexecute\b|\bquery_to_xml|\bdblink|\bcrosstab|\bcursor_to_xml", re.IGNORECASE)
_READ_LANGUAGES: Final = ("sql", "plpgsql")
_FACTS: Final = {
    "server mapping": "a foreign server may lead back here",
    "publication": "changes are sent out",
    "subscription": "a subscription applies changes as its owner",
    "replication slot": "a slot keeps the write-ahead log for a reader",
    "event trigger": "an event trigger runs code at every change of the schema",
}
_LOGGING: Final = {
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "pgaudit.log_parameter": "off",
}


class Path(NamedTuple):
    """One way of one principal: `via` are its steps, `verdict` open, unknown or declared."""

    principal: str
    via: tuple[str, ...]
    verdict: str
    declared_by: str = ""


@dataclass(frozen=True, slots=True)
class FieldReach:
    """A protected field and all ways to it that do not lead through a lease or the service."""

    field: str
    category: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """The report: fields with their paths, ways that concern the whole database, and what no catalogue shows."""

    catalogue: str
    fields: tuple[FieldReach, ...]
    database: tuple[Path, ...]
    not_covered: tuple[str, ...] = (
        "dumps and backups of the database",
        "the memory and disks of the database server",
        "what an application that may read shows to whom",
    )

    @property
    def open_paths(self) -> int:
        """How many ways are open or unknown; declared ones are not counted."""
        return sum(path.verdict != DECLARED for path in (*self.database, *(way for item in self.fields for way in item.paths)))


def reach(
    catalogue: Catalogue,
    mapped: Mapping[Name, ResourceMap],
    protected: Iterable[tuple[Name, str]],
    *,
    staff: Sequence[str] = (),
    declared: Mapping[tuple[str, tuple[str, ...]], str] | None = None,
) -> Reach:
    """Walk every login to every protected field. `declared`: (principal, steps) → by which record two people have declared it."""
    walker = _Walker(catalogue, declared or {})
    fields = tuple(
        FieldReach(f"{name}.{word}", mapped[name].fields[word], tuple(walker.field(name, word))) for name, word in sorted(protected)
    )
    return Reach(catalogue.digest(), fields, tuple(walker.database(tuple(sorted({name.schema for name in mapped})), staff)))


@dataclass
class _Walker:
    catalogue: Catalogue
    declared: Mapping[tuple[str, tuple[str, ...]], str]
    _held: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)

    # Who is who

    def held(self, login: str) -> dict[str, tuple[str, ...]]:
        """Return every role that a login has or can become, with the steps that lead there."""
        if login not in self._held:
            found: dict[str, tuple[str, ...]] = {login: ()}
            open_ends = [login]
            while open_ends:
                at = open_ends.pop()
                role = self.catalogue.role(at)
                for membership in role.member_of if role else ():
                    usable = membership.inherits or membership.may_set or membership.admin
                    if usable and membership.role not in found:
                        found[membership.role] = (*found[at], f"member of {membership.role}")
                        open_ends.append(membership.role)
            if self.catalogue.owner in found:
                found.setdefault("pg_database_owner", (*found[self.catalogue.owner], "owner of the database"))
            self._held[login] = found
        return self._held[login]

    def logins(self) -> Iterator[Role]:
        return (role for role in self.catalogue.roles if role.login and role.name != REVEAL)

    def path(self, principal: str, via: Sequence[str], verdict: str) -> Path:
        by = self.declared.get((principal, tuple(via)), "")
        return Path(principal, tuple(via), DECLARED if by else verdict, by)

    # One field

    def field(self, name: Name, word: str) -> Iterator[Path]:
        """Yield every way to one field, each principal's by itself."""
        found: dict[tuple[str, tuple[str, ...]], Path] = {}
        for login in self.logins():
            for via, verdict in self._of_login(login, name, word):
                found.setdefault((login.name, tuple(via)), self.path(login.name, via, verdict))
        yield from (found[key] for key in sorted(found))

    def _of_login(self, login: Role, name: Name, word: str) -> Iterator[tuple[list[str], str]]:
        held = self.held(login.name)
        for role, steps in held.items():
            entry = self.catalogue.role(role)
            if entry is not None and entry.superuser:
                yield [*steps, "superuser"], OPEN
                continue
            for attribute, text in _ATTRIBUTES.items():
                if entry is not None and getattr(entry, attribute):
                    yield [*steps, text], OPEN
            if role in _BUILTIN:
                yield [*steps], _BUILTIN[role]
        if any(entry is not None and entry.superuser for entry in map(self.catalogue.role, held)):
            return  # everything below would be true of a superuser, and say nothing
        for source, onward, verdict in self._sources(name, word):
            for last, first in self._readers(source, held):
                yield [*first, *last, *onward], verdict
        yield from self._routines(held, name, word)

    def _sources(self, name: Name, word: str) -> Iterator[tuple[tuple[Relation, str], list[str], str]]:
        """Yield what holds the field's values: the table, its parts, views with their owner's rights, copies."""
        relation = self.catalogue.relation(name)
        if relation is None:
            return
        yield (relation, word), [], OPEN
        seen, open_ends = {name}, [(name, word)]
        while open_ends:
            source, column = open_ends.pop()
            for other in self.catalogue.relations:
                if other.name in seen or other.name.schema.startswith("safe_"):
                    continue
                if source in other.parents:
                    seen.add(other.name)
                    open_ends.append((other.name, column))
                    yield (other, column), [f"part {other.name}"], OPEN
                elif any(read == source and used in ("", column) for read, used in other.reads):
                    seen.add(other.name)
                    open_ends.extend((other.name, made.name) for made in other.columns)
                    if not _asks_the_reader(other):
                        yield (other, ""), [f"{_kind(other)} {other.name} of {other.owner}"], OPEN

    def _readers(self, source: tuple[Relation, str], held: Mapping[str, Sequence[str]]) -> Iterator[tuple[list[str], list[str]]]:
        """Yield (last steps, first steps) for each role of a login that may read a relation or the column of it."""
        relation, word = source
        columns = [column for column in relation.columns if word in ("", column.name)]
        if relation.owner in held and relation.owner != OWNER:
            yield [f"owner of {relation.name}"], list(held[relation.owner])
        grants = [*relation.grants, *(grant for column in columns for grant in column.grants)]
        for grant in grants:
            if grant.privilege not in ("SELECT", "TRIGGER") or grant.grantee in (relation.owner, OWNER, REVEAL):
                continue
            if grant.grantee not in (PUBLIC, *held) or not self._may_enter(relation.name.schema, held):
                continue
            steps = list(held.get(grant.grantee, ()))
            yield [f"{grant.privilege} on {relation.name} granted to {grant.grantee or EVERYBODY}"], steps

    def _may_enter(self, schema: str, held: Mapping[str, Sequence[str]]) -> bool:
        entry = next((item for item in self.catalogue.schemas if item.name == schema), None)
        if entry is None:
            return True
        return entry.owner in held or any(grant.privilege == "USAGE" and grant.grantee in (PUBLIC, *held) for grant in entry.grants)

    def _routines(self, held: Mapping[str, Sequence[str]], name: Name, word: str) -> Iterator[tuple[list[str], str]]:
        for routine in self.catalogue.routines:
            called = [grant for grant in routine.grants if grant.grantee in (PUBLIC, *held) or routine.owner in held]
            if not called or not self._may_enter(routine.name.schema, held):
                continue
            if routine.name.name == "dblink_connect_u" and _granted(routine.grants, held):
                yield [f"{routine.name} connects without a password"], OPEN
            if routine.definer and routine.owner not in held:
                verdict = self._verdict(routine, name, word)
                if verdict:
                    yield [f"definer routine {routine.name}({routine.arguments}) of {routine.owner}"], verdict

    def _verdict(self, routine: Routine, name: Name, word: str) -> str:
        """Say what a definer routine gives away: "" if its owner cannot reach the field, or its text does not name the table."""
        if not self._owner_reaches(routine.owner, name, word):
            return ""
        if routine.language not in _READ_LANGUAGES or _DYNAMIC.search(routine.source):
            return UNKNOWN
        text = routine.source.lower()
        return OPEN if name.name.lower() in text else ""

    def _owner_reaches(self, owner: str, name: Name, word: str) -> bool:
        held = self.held(owner)
        roles = [self.catalogue.role(role) for role in held]
        if any(role is not None and role.superuser for role in roles) or not _BUILTIN.keys().isdisjoint(held):
            return True
        relation = self.catalogue.relation(name)
        return relation is not None and any(True for _ in self._readers((relation, word), held))

    # The whole database

    def database(self, schemas: Sequence[str], staff: Sequence[str]) -> Iterator[Path]:
        """Yield ways that no single field has: later tables, other servers, replication, logs, staff who can become each other."""
        for entry in self.catalogue.defaults:
            if entry.kind == "r" and entry.schema in ("", *schemas):
                for grant in entry.grants:
                    if grant.privilege == "SELECT" and grant.grantee != entry.owner:
                        where = entry.schema or "every schema"
                        yield self.path(grant.grantee or EVERYBODY, [f"later tables of {entry.owner} in {where} are open"], OPEN)
        for schema in self.catalogue.schemas:
            for grant in schema.grants:
                if schema.name == "public" and grant.privilege == "CREATE" and grant.grantee == PUBLIC:
                    yield self.path(EVERYBODY, ["CREATE on schema public: names can be shadowed"], OPEN)
        for fact in self.catalogue.facts:
            if fact.kind in _FACTS:
                yield self.path(fact.name, [f"{fact.kind}{': ' if fact.detail else ''}{fact.detail}", _FACTS[fact.kind]], UNKNOWN)
            wanted = _LOGGING.get(fact.name) if fact.kind == "setting" else None
            if wanted is not None and fact.detail != wanted:
                yield self.path("server log", [f"{fact.name} is {fact.detail}: values of statements are logged"], OPEN)
        for login in staff:
            for role in set(self.held(login)) & set(staff) - {login}:
                yield self.path(login, [*self.held(login)[role], "a colleague's login: who looked is not known"], OPEN)


def _granted(grants: Iterable[Grant], held: Mapping[str, Sequence[str]]) -> bool:
    return any(grant.grantee in (PUBLIC, *held) for grant in grants)


def _asks_the_reader(relation: Relation) -> bool:
    """A view with `security_invoker` gives nothing that its reader may not read anyway; a copy always does."""
    return relation.kind == "v" and any(
        option.partition("=")[0] == "security_invoker" and option.partition("=")[2] in ("true", "on", "1", "yes")
        for option in relation.options
    )


def _kind(relation: Relation) -> str:
    return {"m": "materialised view", "v": "view", "f": "foreign table"}.get(relation.kind, "rule on")
