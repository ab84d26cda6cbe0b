"""Who can still reach a protected field, and how? Every login is walked to every field; in doubt *unknown*, never closed.

A path names the principal and each step. *open*: privileges lead to the value. *unknown*: only reading code, or another system,
could tell. *declared*: two people have signed that they know. The service's own logins and leases are what the guard is; who is a
member of them has a path like any other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from custodes.catalogue import PUBLIC, Catalogue, Name, Relation, Role, Routine
from custodes.guard.plan import GUARD, LEASE, OWNER, REVEAL, safe_schema

OPEN, UNKNOWN, DECLARED = "open", "unknown", "declared"
EVERYBODY: Final = "PUBLIC"
CATALOGUE: Final = "the catalogue"
"""Principal of what is missing there."""
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
    "pg_maintain": UNKNOWN,
    "pg_create_subscription": UNKNOWN,
}
_PRIVILEGES: Final = {"SELECT": OPEN, "TRIGGER": OPEN, "REFERENCES": UNKNOWN, "MAINTAIN": UNKNOWN}
_DYNAMIC: Final = re.compile(r'\bexecute\b|\bquery_to_xml|\bdblink|\bcrosstab|\bcursor_to_xml|\bts_stat\b|\bu&"', re.IGNORECASE)
_READ_LANGUAGES: Final = ("sql", "plpgsql")
_WORD: Final = re.compile(r"\w+")


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
    server_version: str
    fields: tuple[FieldReach, ...]
    database: tuple[Path, ...]
    not_covered: tuple[str, ...] = (
        "dumps and backups of the database",
        "the memory and disks of the database server",
        "what an application that may read shows to whom",
        "logins that several people use",
    )

    def ways(self) -> Iterator[tuple[str, Path]]:
        """Yield each path with the field that it leads to; "" for those of the whole database."""
        yield from (("", path) for path in self.database)
        yield from ((item.field, path) for item in self.fields for path in item.paths)

    @property
    def open_paths(self) -> int:
        """How many ways are open or unknown; declared ones are not counted."""
        return sum(path.verdict != DECLARED for _, path in self.ways())


class Walker:
    """Walks one catalogue. `declared`: (principal, steps) → by which record two people have declared it."""

    def __init__(self, catalogue: Catalogue, declared: Mapping[tuple[str, tuple[str, ...]], str]) -> None:
        self.catalogue, self._declared = catalogue, declared
        self._roles = {role.name: role for role in catalogue.roles}
        self._relations = {relation.name: relation for relation in catalogue.relations}
        self._schemas = {schema.name: schema for schema in catalogue.schemas}
        self._parts: dict[Name, list[Relation]] = defaultdict(list)
        self._users: dict[Name, list[Relation]] = defaultdict(list)
        for relation in catalogue.relations:
            for parent in relation.parents:
                self._parts[parent].append(relation)
            for source in dict.fromkeys(source for source, _ in relation.reads):
                self._users[source].append(relation)
        self._held: dict[str, dict[str, tuple[str, ...]]] = {}

    # Who is who

    def held(self, login: str) -> dict[str, tuple[str, ...]]:
        """Return every role that a login has or can become, with the steps that lead there."""
        if login not in self._held:
            found: dict[str, tuple[str, ...]] = {login: ()}
            open_ends = [login]
            while open_ends:
                at = open_ends.pop()
                role = self._roles.get(at)
                for membership in role.member_of if role else ():
                    usable = membership.inherits or membership.may_set or membership.admin
                    if usable and membership.role not in found:
                        found[membership.role] = (*found[at], f"member of {membership.role}")
                        open_ends.append(membership.role)
            if self.catalogue.owner in found:
                found.setdefault("pg_database_owner", (*found[self.catalogue.owner], "owner of the database"))
            self._held[login] = found
        return self._held[login]

    def path(self, principal: str, via: Sequence[str], verdict: str) -> Path:
        """Return a path, declared if it is."""
        by = self._declared.get((principal, tuple(via)), "")
        return Path(principal, tuple(via), DECLARED if by else verdict, by)

    @cached_property
    def _logins(self) -> list[Role]:
        return [role for role in self.catalogue.roles if role.login and role.name not in (REVEAL, LEASE)]

    # One field

    def field(self, name: Name, word: str) -> Iterator[Path]:
        """Yield every way to one field, each principal's by itself."""
        relation = self._relations.get(name)
        if relation is None or relation.column(word) is None:
            yield self.path(CATALOGUE, [f"{name}.{word} is not where the data map says"], UNKNOWN)
            return
        found: dict[tuple[str, tuple[str, ...]], Path] = {}
        for verdict, via in self._code(relation):
            found.setdefault((relation.owner, tuple(via)), self.path(relation.owner, via, verdict))
        sources = list(self._sources(relation, word))
        for login in self._logins:
            for via, verdict in self._of_login(login, relation, word, sources):
                found.setdefault((login.name, tuple(via)), self.path(login.name, via, verdict))
        yield from (found[key] for key in sorted(found))

    def _code(self, relation: Relation) -> Iterator[tuple[str, list[str]]]:
        """Yield code that runs with the table's rows, and statistics that hold values of them."""
        for trigger in relation.triggers:
            yield UNKNOWN, [f"trigger {trigger} on {relation.name} is handed each row"]
        owners_only = ("statistics view", "pg_stats_ext", "owners only") in self.catalogue.facts
        for fact in self.catalogue.facts:
            if fact.name == str(relation.name) and fact.kind == "rule":
                yield UNKNOWN, [f"rule {fact.detail} on {relation.name} may copy rows"]
            if fact.name == str(relation.name) and fact.kind == "extended statistics" and not owners_only:
                yield OPEN, [f"extended statistics {fact.detail} show values: this server's pg_stats_ext is not repaired"]

    def _of_login(self, login: Role, relation: Relation, word: str, sources: Sequence[_Source]) -> Iterator[tuple[list[str], str]]:
        held = self.held(login.name)
        entries = [(entry, steps) for role, steps in held.items() if (entry := self._roles.get(role)) is not None]
        powers = [([*steps, "superuser"], OPEN) for entry, steps in entries if entry.superuser]
        if powers:
            yield from powers
            return  # everything below would be true of a superuser, and say nothing
        for entry, steps in entries:
            for attribute, text in _ATTRIBUTES.items():
                if getattr(entry, attribute):
                    yield [*steps, text], OPEN
            if entry.name in _BUILTIN:
                yield [*steps], _BUILTIN[entry.name]
        yield from self._lease_writers(held)
        for source, column, onward in sources:
            for via, verdict in self._readers(source, column, held):
                yield [*via, *onward], verdict
        yield from self._routines(held, relation, word)

    def _lease_writers(self, held: Mapping[str, Sequence[str]]) -> Iterator[tuple[list[str], str]]:
        table = self._relations.get(Name(GUARD, "lease"))
        for grant in table.grants if table else ():
            if grant.privilege in ("INSERT", "UPDATE") and grant.grantee in (PUBLIC, *held) and grant.grantee != OWNER:
                yield [*held.get(grant.grantee, ()), f"{grant.privilege} on leases: opens any field to itself"], OPEN
        if LEASE in held:
            yield [*held[LEASE], "opens any field to itself by a lease"], OPEN

    def _sources(self, relation: Relation, word: str) -> Iterator[_Source]:
        """Yield what holds the field's values: the table, its parts, views with their owner's rights, copies."""
        yield _Source(relation, word, [])
        seen, open_ends = {relation.name}, [(relation, word)]
        for made, source in relation.generated:
            if source == word:
                open_ends.append((relation, made))
                yield _Source(relation, made, [f"generated column {made}"])
        while open_ends:
            source_of, column = open_ends.pop()
            for part in self._parts[source_of.name]:
                if part.name not in seen:
                    seen.add(part.name)
                    open_ends.append((part, column))
                    yield _Source(part, column, [f"part {part.name}"])
            for other in self._users[source_of.name]:
                used = any(read == source_of.name and at in ("", column) for read, at in other.reads)
                if not used or other.name in seen or _is_ours(other):
                    continue
                seen.add(other.name)
                open_ends.extend((other, made.name) for made in other.columns)
                if not _asks_the_reader(other):
                    yield _Source(other, "", [f"{_kind(other)} {other.name} of {other.owner}"])

    def _readers(self, relation: Relation, word: str, held: Mapping[str, Sequence[str]]) -> Iterator[tuple[list[str], str]]:
        """Yield (steps, verdict) for each role of a login that may read a relation or the column of it."""
        if relation.owner in held:
            yield [*held[relation.owner], f"owner of {relation.name}"], OPEN
        columns = [column for column in relation.columns if word in ("", column.name)]
        for grant in (*relation.grants, *(grant for column in columns for grant in column.grants)):
            if grant.privilege not in _PRIVILEGES or grant.grantee == relation.owner:
                continue
            if grant.grantee in (PUBLIC, *held) and self._may_enter(relation.name.schema, held):
                what = f"{grant.privilege} on {relation.name} granted to {grant.grantee or EVERYBODY}"
                yield [*held.get(grant.grantee, ()), what], _PRIVILEGES[grant.privilege]

    def _may_enter(self, schema: str, held: Mapping[str, Sequence[str]]) -> bool:
        entry = self._schemas.get(schema)
        if entry is None:
            return True
        return entry.owner in held or any(grant.privilege == "USAGE" and grant.grantee in (PUBLIC, *held) for grant in entry.grants)

    # Code that runs with somebody else's rights

    @cached_property
    def _risky(self) -> list[Routine]:
        return [
            routine
            for routine in self.catalogue.routines
            if routine.definer
            or routine.name.name == "dblink_connect_u"
            or (not routine.trusted and not routine.extension and routine.language != "internal")
        ]

    @cached_property
    def _words(self) -> dict[Routine, frozenset[str]]:
        """The words of each routine's text, in lower case."""
        return {routine: frozenset(_WORD.findall(routine.source.lower())) for routine in self.catalogue.routines}

    def _routines(self, held: Mapping[str, Sequence[str]], relation: Relation, word: str) -> Iterator[tuple[list[str], str]]:
        for routine in self._risky:
            called = routine.owner in held or any(grant.grantee in (PUBLIC, *held) for grant in routine.grants)
            if not called or not self._may_enter(routine.name.schema, held):
                continue
            if routine.name.name == "dblink_connect_u":
                yield [f"{routine.name} connects without a password"], OPEN
            elif not routine.trusted and not routine.definer:
                yield [f"routine {routine.name}({routine.arguments}) in {routine.language} runs as the server's account"], UNKNOWN
            elif routine.owner not in held:
                verdict = self._verdict(routine, relation, word)
                if verdict:
                    yield [f"definer routine {routine.name}({routine.arguments}) of {routine.owner}"], verdict

    def _verdict(self, routine: Routine, relation: Relation, word: str) -> str:
        """Say what a definer routine gives away: "" if its owner cannot reach the field, or its text names no holder of it."""
        if not self._owner_reaches(routine.owner, relation, word):
            return ""
        if routine.language not in _READ_LANGUAGES or _DYNAMIC.search(routine.source):
            return UNKNOWN
        tables, callers = self._naming(relation, word)
        if self._names(routine, tables):
            return OPEN
        return UNKNOWN if self._names(routine, callers) else ""

    def _naming(self, relation: Relation, word: str) -> tuple[set[str], set[str]]:
        """Return names of what holds the field, and of routines whose text leads there."""
        tables = {source.relation.name.name.lower() for source in self._sources(relation, word)}
        callers: set[str] = set()
        while True:
            more = {
                routine.name.name.lower()
                for routine in self.catalogue.routines
                if routine.source and (self._names(routine, tables | callers) or _DYNAMIC.search(routine.source))
            }
            if more <= callers:
                return tables, callers
            callers |= more

    def _names(self, routine: Routine, names: set[str]) -> bool:
        words = self._words[routine]
        return not words.isdisjoint(names) or any(not _WORD.fullmatch(name) and name in routine.source.lower() for name in names)

    def _owner_reaches(self, owner: str, relation: Relation, word: str) -> bool:
        held = self.held(owner)
        roles = [self._roles.get(role) for role in held]
        if any(role is not None and role.superuser for role in roles) or not _BUILTIN.keys().isdisjoint(held):
            return True
        return any(True for source in self._sources(relation, word) for _ in self._readers(source.relation, source.column, held))


class _Source(NamedTuple):
    """Something that holds a field's values. `column` "" is any; `onward`: steps behind the reading of it."""

    relation: Relation
    column: str
    onward: list[str]


def _is_ours(relation: Relation) -> bool:
    """Say whether a relation is a safe view as the guard makes them; without its barrier it is one like any other."""
    made = any(relation.name.schema == safe_schema(read.schema) for read, _ in relation.reads)
    return made and relation.kind == "v" and relation.owner == OWNER and _has(relation, "security_barrier")


_YES: Final = ("true", "on", "1", "yes")


def _asks_the_reader(relation: Relation) -> bool:
    """A view with `security_invoker` gives nothing that its reader may not read anyway; a copy always does."""
    return relation.kind == "v" and _has(relation, "security_invoker")


def _has(relation: Relation, option: str) -> bool:
    return any(option == word.partition("=")[0] and word.partition("=")[2] in _YES for word in relation.options)


def _kind(relation: Relation) -> str:
    return {"m": "materialised view", "v": "view", "f": "foreign table"}.get(relation.kind, "rule on")
