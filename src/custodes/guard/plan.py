"""What would be done to a database: one reviewable script and its undoing, made from catalogue and data map. Nothing is run here.

Enforcement is the database's own privilege. Staff lose the base schemas and get `safe_<schema>`: views that show a protected field
only to the login that holds an open lease on that subject and field, and beside it a minimised value. Every name is quoted and
every column spelled out, so a migration adds nothing to a view. Equal inputs make equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from custodes.catalogue import PUBLIC, Catalogue, Grant, Name, Relation
from custodes.errors import InputError
from custodes.guard.minimised import minimised
from custodes.model.datamap import DataMap, ResourceMap

OWNER: Final = "custodes_owner"
LEASE: Final = "custodes_lease"
REVEAL: Final = "custodes_reveal"
VERIFY: Final = "custodes_verify"
STAFF: Final = "custodes_staff"
ROLES: Final = {OWNER: "nologin", LEASE: "login", REVEAL: "login", VERIFY: "login", STAFF: "nologin"}
"""Own roles, and whether somebody may log in as them (the service does as three of them)."""
GUARD: Final = "custodes_guard"
"""Schema of the leases."""
DEFAULT_MINIMISE: Final = {"public": "none", "ip_address": "network"}
"""Category → how it is shown without a lease; what is not named here or in the settings is not shown (`null`)."""
_LONGEST: Final = "15 minutes"
_FILL: Final = 10
"""Per cent of a page that leases take: they are few, and live for minutes."""
_KINDS: Final = {"r": "table", "p": "table", "v": "table", "m": "table", "f": "table", "S": "sequence"}
_DEFAULT_KINDS: Final = {"r": "tables", "S": "sequences", "f": "functions", "T": "types", "n": "schemas"}
_FLOATING: Final = ("real", "double precision", "date", "timestamp", "time", "interval", "money", "bytea")
"""Types whose text form a session can change. A lease names its subject as text."""
_GRANT_OPTION: Final = " with grant option"


@dataclass(frozen=True, slots=True)
class Plan:
    """`statements` do it, `undo` takes it back; both are run whole, in one transaction. `not_covered`: said to the reviewer.

    `views`: the safe view of each mapped table. `catalogue`: digest of what it was made for.
    """

    system: str
    catalogue: str
    statements: tuple[str, ...]
    undo: tuple[str, ...]
    views: Mapping[Name, Name]
    not_covered: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over what would be run, for review and record."""
        return sha256("\n".join((*self.statements, "--", *self.undo)).encode()).hexdigest()

    def text(self, *, undo: bool = False) -> str:
        """Return the script as a file for people; `psql` can run it, too."""
        head = [
            f"-- custodes guard plan for {self.system}{' (undo)' if undo else ''}",
            f"-- plan {self.digest}",
            f"-- made for catalogue {self.catalogue}",
            *(f"-- NOT COVERED: {line}" for line in self.not_covered),
            "begin;",
        ]
        return "\n".join([*head, *(f"{statement};" for statement in (self.undo if undo else self.statements)), "commit;", ""])


def quote(name: str) -> str:
    """Return an identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a string constant. Names of objects and logins only: no value of a row ever stands in a plan."""
    return ("E'" if "\\" in text else "'") + text.replace("\\", "\\\\").replace("'", "''") + "'"


def full(name: Name) -> str:
    """Return a qualified name in quotes."""
    return f"{quote(name.schema)}.{quote(name.name)}"


def safe_schema(schema: str) -> str:
    """Return the schema of the views of `schema`."""
    return f"safe_{schema}"


def make_plan(
    catalogue: Catalogue,
    datamap: DataMap,
    system: str,
    *,
    staff: Sequence[str],
    minimise: Mapping[str, str] | None = None,
    earlier: Sequence[str] = (),
) -> Plan:
    """Make the plan for one mapped system. `staff`: the per-person logins. `earlier`: undo statements of a plan that is installed.

    Raises `InputError` where the data map and the catalogue do not fit, or a login cannot be held off by privileges.
    """
    maker = _Maker(catalogue, datamap.systems.get(system, {}), dict(DEFAULT_MINIMISE) | dict(minimise or {}), tuple(staff))
    maker.check(system)
    statements = [*maker.roles(), *maker.lease_table(), *maker.safe_views(), *maker.revocations(), *maker.limits()]
    undo = [*(step for step in maker.undo() if step not in earlier), *earlier]  # the roles go last, so the first undoing does
    statements += maker.remember(undo)
    digest = catalogue.digest(maker.schemas)
    return Plan(system, digest, tuple(statements), tuple(undo), maker.views, tuple(maker.not_covered()))


@dataclass(frozen=True, slots=True)
class _Taken:
    """Grants on one object that go. `grants`: (column, or "" for the whole, grant)."""

    kind: str
    target: str
    owner: str
    grants: tuple[tuple[str, Grant], ...]
    losing: tuple[str, ...]

    def by_grantor(self) -> list[tuple[str, list[str]]]:
        """Return who takes back from whom. What those who lose have passed on goes with what it hangs on (`cascade`)."""
        found: dict[str, set[str]] = {}
        for _, grant in self.grants:
            if grant.grantee in self.losing and grant.grantor not in self.losing:
                found.setdefault(grant.grantor, set()).add(grant.grantee)
        return [(grantor, sorted(grantees)) for grantor, grantees in sorted(found.items())]

    def given_back(self) -> Iterator[str]:
        """Yield what restores the grants: the owner's own first, then what others may pass on by them."""
        waiting, able = sorted(self.grants), {self.owner, ""}
        while waiting:
            now = [item for item in waiting if item[1].grantor in able] or waiting
            for column, grant in now:
                option = _GRANT_OPTION if grant.grantable else ""
                what = f"{grant.privilege} ({quote(column)})" if column else grant.privilege
                yield from _as(
                    grant.grantor, self.owner, f"grant {what} on {self.kind} {self.target} to {_grantee(grant.grantee)}{option}"
                )
            able |= {grant.grantee for _, grant in now}
            waiting = [item for item in waiting if item not in now]


class _Maker:
    """Everything of one plan, part by part."""

    def __init__(
        self, catalogue: Catalogue, resources: Mapping[str, ResourceMap], minimise: Mapping[str, str], staff: tuple[str, ...]
    ) -> None:
        self.catalogue, self.minimise = catalogue, minimise
        self.staff = tuple(sorted(set(staff)))
        self.mapped = {_name_of(name): entry for name, entry in sorted(resources.items())}
        self.schemas = tuple(sorted({name.schema for name in self.mapped}))
        self.views = {name: Name(safe_schema(name.schema), name.name) for name in self.mapped}
        self.losing = self._losing()

    # What must be true before anything is planned

    def check(self, system: str) -> None:
        if not self.mapped:
            raise InputError(f"the data map names no table of {system}", hint="see `custodes guard map`")
        for name, entry in self.mapped.items():
            relation = self.catalogue.relation(name)
            if relation is None or relation.kind == "S":
                raise InputError(f"the data map names {name}, which the database does not have")
            key = next((relation.column(word) for word in entry.subject_key), None)
            if key is not None and key.type.partition("(")[0].partition(" with")[0] in _FLOATING:
                raise InputError(
                    f"{name}.{key.name} is {key.type}: its text depends on settings of the session, so a lease could be stretched",
                    hint="choose a subject key that is a number, a text or a uuid",
                )
            absent = [
                word
                for word in (*entry.fields, *entry.subject_key, *filter(None, (entry.region_key,)))
                if relation.column(word) is None
            ]
            if absent:
                raise InputError(f"the data map names {name}.{absent[0]}, which the database does not have")
            owner = self.catalogue.role(relation.owner)
            for login in self.staff:
                if owner is not None and owner.name in self._held(login):
                    raise InputError(f"{login} is or becomes {owner.name}, who owns {name}: no privilege holds an owner off")
        for login in self.staff:
            role = self.catalogue.role(login)
            if role is None or not role.login:
                raise InputError(f"{login} is no login of this database", hint="each person has a login of their own")
            if role.superuser:
                raise InputError(f"{login} is a superuser: no privilege holds a superuser off")

    def _held(self, role: str) -> list[str]:
        """Return a role and everything it is a member of."""
        found, open_ends = [role], [role]
        while open_ends:
            entry = self.catalogue.role(open_ends.pop())
            for membership in entry.member_of if entry else ():
                if membership.role not in found:
                    found.append(membership.role)
                    open_ends.append(membership.role)
        return found

    def _losing(self) -> tuple[str, ...]:
        """Return who loses what they have: everybody, the staff, and all groups that lend staff their rights."""
        groups = {held for login in self.staff for held in self._held(login)} - set(ROLES)
        builtin = {name for name in groups if name.startswith("pg_")}
        return (PUBLIC, *sorted(groups - builtin))

    # Roles, leases, views

    def roles(self) -> Iterator[str]:
        yield "set local search_path = pg_catalog, pg_temp"
        for role, login in ROLES.items():
            if self.catalogue.role(role) is None:
                yield f"create role {role} {login} nosuperuser nocreatedb nocreaterole noreplication nobypassrls inherit"
        for login in self.staff:
            yield f"grant {STAFF} to {quote(login)}"
        if not self.catalogue.reader_is_superuser:  # who is none must belong to the owner to give it schemas and views
            yield f"grant {OWNER} to {quote(self.catalogue.reader)}"
        for schema in (GUARD, *map(safe_schema, self.schemas)):
            yield f"create schema if not exists {quote(schema)} authorization {OWNER}"
        yield f"grant pg_signal_backend to {LEASE}"  # revoking a lease ends the transactions that still see it

    def lease_table(self) -> Iterator[str]:
        yield (
            f"create table if not exists {GUARD}.lease ("
            'lease text primary key, "grant" text not null, actor name not null, subject text not null, field text not null, '
            "valid_from timestamptz not null default pg_catalog.clock_timestamp(), valid_to timestamptz not null, "
            "leaf bigint not null unique, revoked boolean not null default false, "
            f"check (valid_to > valid_from and valid_to <= valid_from + interval '{_LONGEST}'))"
        )
        # A few rows to a page: else a table of few rows is read whole, everybody's leases, at each look through a view.
        yield f"alter table {GUARD}.lease set (fillfactor = {_FILL})"
        yield f"create table if not exists {GUARD}.undo (place integer primary key, statement text not null)"
        yield f"create index if not exists lease_actor on {GUARD}.lease (actor)"
        for table in ("lease", "undo"):
            yield f"alter table {GUARD}.{table} owner to {OWNER}"
            yield f"revoke all on {GUARD}.{table} from public"
        yield f"grant usage on schema {GUARD} to {LEASE}, {VERIFY}"
        # `valid_from` is not among the columns: a lease starts when the server says, never in the future.
        columns = 'lease, "grant", actor, subject, field, valid_to, leaf'
        yield f"grant select, insert ({columns}), update (revoked), delete on {GUARD}.lease to {LEASE}"
        yield f"grant select on {GUARD}.lease to {VERIFY}"

    def safe_views(self) -> Iterator[str]:
        for schema in self.schemas:
            yield f"grant usage on schema {quote(schema)} to {OWNER}, {REVEAL}"
            yield f"grant usage on schema {quote(safe_schema(schema))} to {STAFF}"
        for name, entry in self.mapped.items():
            region = (entry.region_key,) if entry.region_key else ()  # asked before a release: where does this subject live?
            columns = ", ".join(quote(word) for word in dict.fromkeys((*entry.subject_key, *region, *self._columns(name, entry))))
            yield f"grant select ({columns}) on {full(name)} to {OWNER}, {REVEAL}"
            yield f"drop view if exists {full(self.views[name])}"
            yield self._view(name, entry)
            yield f"alter view {full(self.views[name])} owner to {OWNER}"
            yield f"revoke all on {full(self.views[name])} from public"
            yield f"grant select on {full(self.views[name])} to {STAFF}"

    def _columns(self, name: Name, entry: ResourceMap) -> list[str]:
        relation = self.catalogue.relation(name)
        return [column.name for column in (relation.columns if relation else ()) if column.name in entry.fields]

    def _view(self, name: Name, entry: ResourceMap) -> str:
        relation = self.catalogue.relation(name)
        assert relation is not None  # `check` has seen it  # noqa: S101
        shown, leased = [], []
        for word in self._columns(name, entry):
            column, how = relation.column(word), self.minimise.get(entry.fields[word], "null")
            if how == "none" or column is None:
                shown.append(f"t.{quote(word)}")
                continue
            if entry.subject_key:
                leased.append(f"{name}.{word}")
                # Per row: a cursor must not outlive the lease. A row without a lease need not ask the clock.
                end = f"l.f{len(leased)}"
                open_now = f"{end} is not null and {end} > pg_catalog.clock_timestamp()"
                shown.append(f"case when {open_now} then t.{quote(word)} end as {quote(word)}")
            else:
                shown.append(f"null::{column.type} as {quote(word)}")
            if how == "network" and relation.column(f"{word}_min") is None:
                shown.append(f"{minimised(column.type, f't.{quote(word)}')} as {quote(f'{word}_min')}")
        source = f"{full(name)} as t"
        if leased:
            source += self._leases(entry.subject_key[0], leased)
        columns = ",\n       ".join(shown)
        return f"create view {full(self.views[name])} with (security_barrier = true) as\nselect {columns}\nfrom {source}"

    def _leases(self, key: str, fields: Sequence[str]) -> str:
        """Join the open leases of the login once; who looks at a field then asks only the clock, row by row."""
        ends = ",\n             ".join(
            f"max(x.valid_to) filter (where x.field = {literal(word)}) as f{at}" for at, word in enumerate(fields, 1)
        )
        # `session_user`: SET ROLE to a colleague must not borrow the colleague's lease.
        return (
            f"\nleft join (select x.subject,\n             {ends}\n           from {GUARD}.lease as x\n"
            f"           where x.actor = session_user and not x.revoked and x.field in ({', '.join(map(literal, fields))})\n"
            f"           group by x.subject) as l on l.subject = t.{quote(key)}::text"
        )

    # What is taken away, and how it comes back

    def revocations(self) -> Iterator[str]:
        # From the inside out: who takes back a grant that somebody else gave must still be able to enter the schema.
        for taken in reversed(list(self._taken())):
            for grantor, grantees in taken.by_grantor():
                names = ", ".join(map(_grantee, grantees))
                yield from _as(grantor, taken.owner, f"revoke all on {taken.kind} {taken.target} from {names} cascade")
        for owner, schema, kind, grants in self._defaults():
            where = f" in schema {quote(schema)}" if schema else ""
            for grantee in sorted({grant.grantee for grant in grants}):
                yield (
                    f"alter default privileges for role {quote(owner)}{where} revoke all on {_DEFAULT_KINDS[kind]} "
                    f"from {_grantee(grantee)}"
                )

    def limits(self) -> Iterator[str]:
        """Staff sessions do not outlive the longest lease (a session can lift this; the service ends what does)."""
        for login, setting in self._limited():
            yield f"alter role {quote(login)} in database {quote(self.catalogue.database)} set {setting} = '15min'"

    def _limited(self) -> Iterator[tuple[str, str]]:
        known = {fact.name for fact in self.catalogue.facts if fact.kind == "role setting"}
        for login in self.staff:
            for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
                if f"{login} {setting}" not in known:
                    yield login, setting

    def undo(self) -> Iterator[str]:
        for taken in self._taken():
            yield from taken.given_back()
        for owner, schema, kind, grants in self._defaults():
            where = f" in schema {quote(schema)}" if schema else ""
            for grant in grants:
                yield (
                    f"alter default privileges for role {quote(owner)}{where} grant {grant.privilege} on {_DEFAULT_KINDS[kind]} "
                    f"to {_grantee(grant.grantee)}{_GRANT_OPTION if grant.grantable else ''}"
                )
        for login, setting in self._limited():
            yield f"alter role {quote(login)} in database {quote(self.catalogue.database)} reset {setting}"
        for schema in (*map(safe_schema, self.schemas), GUARD):
            yield f"drop schema if exists {quote(schema)} cascade"
        for name in self.mapped:
            yield f"revoke all on {full(name)} from {OWNER}, {REVEAL}"
        for schema in self.schemas:
            yield f"revoke usage on schema {quote(schema)} from {OWNER}, {REVEAL}"
        for login in self.staff:
            yield _leave_staff(login)
        for role in reversed(ROLES):
            yield _drop_role(role)

    def remember(self, undo: Sequence[str]) -> Iterator[str]:
        """Keep the undoing beside what it undoes: a second plan must not take the guarded state for the original one."""
        yield f"delete from {GUARD}.undo"
        for place, statement in enumerate(undo):
            yield f"insert into {GUARD}.undo values ({place}, {literal(statement)})"

    def _taken(self) -> Iterator[_Taken]:
        """Yield what goes, for the mapped schemas and everything inside them."""
        for schema in self.catalogue.schemas:
            if schema.name in self.schemas:
                yield from self._going("schema", quote(schema.name), schema.owner, [("", grant) for grant in schema.grants])
        for relation in self.catalogue.relations:
            if relation.name.schema in self.schemas:
                grants = [("", grant) for grant in relation.grants]
                grants += [(column.name, grant) for column in relation.columns for grant in column.grants]
                yield from self._going(_KINDS[relation.kind], full(relation.name), relation.owner, grants)
        for routine in self.catalogue.routines:
            if routine.name.schema in self.schemas:
                target = f"{full(routine.name)}({routine.arguments})"
                yield from self._going("routine", target, routine.owner, [("", grant) for grant in routine.grants])

    def _going(self, kind: str, target: str, owner: str, grants: Sequence[tuple[str, Grant]]) -> Iterator[_Taken]:
        """Yield the grants that go: those of who loses, and those that these have passed on."""
        passing: set[str] = {*self.losing}
        while True:
            gone = [
                item
                for item in grants
                if item[1].grantee != owner and (item[1].grantee in self.losing or item[1].grantor in passing)
            ]
            found = {grant.grantee for _, grant in gone if grant.grantable} | passing
            if found == passing:
                break
            passing = found
        if gone:
            yield _Taken(kind, target, owner, tuple(gone), self.losing)

    def _defaults(self) -> Iterator[tuple[str, str, str, list[Grant]]]:
        for entry in self.catalogue.defaults:
            gone = [grant for grant in entry.grants if grant.grantee in self.losing and grant.grantee != entry.owner]
            if gone and entry.schema in ("", *self.schemas):
                yield entry.owner, entry.schema, entry.kind, gone

    # What a reviewer must know

    def not_covered(self) -> Iterator[str]:
        for relation in self.catalogue.relations:
            if relation.name.schema in self.schemas or relation.name.schema.startswith(("safe_", GUARD)):
                continue
            copied = sorted({str(source) for source, _ in relation.reads if source in self.mapped})
            if copied:
                yield f"{_what(relation)} {relation.name} reads {', '.join(copied)} and lies outside the guarded schemas"
            if any(parent in self.mapped for parent in relation.parents):
                yield f"{_what(relation)} {relation.name} is a part of a guarded table and lies outside the guarded schemas"
        for name, entry in self.mapped.items():
            masked = [word for word in entry.fields if self.minimise.get(entry.fields[word], "null") != "none"]
            if masked and not entry.subject_key:
                yield f"{name} has no subject key: its protected fields cannot be leased, only revealed"
        for group in self.losing[1:]:
            others = [role.name for role in self.catalogue.roles if role.login and group in self._held(role.name)]
            strangers = sorted(set(others) - set(self.staff))
            if strangers:
                yield f"{group} loses its rights, and {', '.join(strangers)} had them through it and are not staff"
        yield "dumps, backups, replicas and the application's own account (see `custodes guard verify`)"


def _name_of(resource: str) -> Name:
    schema, _, name = resource.rpartition(".")
    return Name(schema or "public", name)


def _what(relation: Relation) -> str:
    return {"v": "view", "m": "materialised view", "f": "foreign table"}.get(relation.kind, "table")


def _grantee(name: str) -> str:
    return "public" if name == PUBLIC else quote(name)


def _as(grantor: str, owner: str, statement: str) -> Iterator[str]:
    """A grant is taken by whom it was given; a superuser acts for the owner, and as anybody else only in their role."""
    if grantor in ("", owner):
        yield statement
    else:
        yield f"set local role {quote(grantor)}"
        yield statement
        yield "reset role"


def _leave_staff(login: str) -> str:
    """A login leaves the staff unless it is staff of another guarded database of the cluster: its limits there say so."""
    elsewhere = (
        f"select from pg_catalog.pg_db_role_setting where setrole = {literal(quote(login))}::regrole and setdatabase not in "
        "(0, (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))"
    )
    return (
        f"do $$ begin if not exists ({_used(STAFF)}) or not exists ({elsewhere}) then "
        f"revoke {STAFF} from {quote(login)}; end if; end $$"
    )


def _drop_role(role: str) -> str:
    """Roles are the whole cluster's: one that another guarded database still uses stays."""
    return f"do $$ begin if not exists ({_used(role)}) then drop role if exists {role}; end if; end $$"


def _used(role: str) -> str:
    """Return a query with a row for each right or object of a role, in any database."""
    return (
        "select from pg_catalog.pg_shdepend where refclassid = 'pg_catalog.pg_authid'::regclass "
        f"and refobjid = pg_catalog.to_regrole({literal(role)})"
    )
