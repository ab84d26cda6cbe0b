"""What a guarded database says of itself: objects, owners, grants, roles. Pure values, and the contract of who reads them.

Names are exact (never folded, never quoted). PUBLIC is the grantee "". Grants are effective: where the catalogue holds no list, the
built-in default stands here, so that two catalogues compare by what is allowed and not by how it is written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

PUBLIC: Final = ""
"""The grantee that stands for everybody."""


class Grant(NamedTuple):
    """One privilege on one object."""

    grantee: str
    privilege: str
    grantable: bool
    grantor: str


class Name(NamedTuple):
    """Schema and name of an object."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `type`: as the server formats it ("inet", "character varying(40)"); `grants`: those on the column alone."""

    name: str
    type: str
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """Table (`r`), partitioned table (`p`), view (`v`), materialised view (`m`), foreign table (`f`) or sequence (`S`).

    `parents`: what it inherits from or is a partition of. `reads`: columns that the definition of a view or rule uses. `triggers`:
    names of those that are not internal. `row_security`: "", "enabled" or "forced". `generated`: (column, column it is made from).
    """

    name: Name
    kind: str
    owner: str
    grants: tuple[Grant, ...]
    columns: tuple[Column, ...] = ()
    parents: tuple[Name, ...] = ()
    reads: tuple[tuple[Name, str], ...] = ()
    options: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    row_security: str = ""
    generated: tuple[tuple[str, str], ...] = ()

    def column(self, name: str) -> Column | None:
        """Return a column by its exact name."""
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Routine:
    """A function or procedure. `arguments`: as its signature says them; `trusted`: of its language; `extension`: whose it is."""

    name: Name
    arguments: str
    owner: str
    language: str
    trusted: bool
    definer: bool
    grants: tuple[Grant, ...]
    settings: tuple[str, ...] = ()
    source: str = ""
    extension: str = ""


class Membership(NamedTuple):
    """Membership in `role`. Before PostgreSQL 16 `inherits` is the member's own flag and `may_set` is always true."""

    role: str
    admin: bool
    inherits: bool
    may_set: bool


@dataclass(frozen=True, slots=True)
class Role:
    """A role and its attributes."""

    name: str
    login: bool = False
    superuser: bool = False
    inherits: bool = True
    create_role: bool = False
    create_db: bool = False
    replication: bool = False
    bypass_rls: bool = False
    member_of: tuple[Membership, ...] = ()


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema."""

    name: str
    owner: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class DefaultGrants:
    """What `owner`'s later objects of a kind (`r` tables, `S` sequences, `f` routines, `T` types, `n` schemas) will be granted.

    `schema` is "" for everywhere.
    """

    owner: str
    schema: str
    kind: str
    grants: tuple[Grant, ...]


class Fact(NamedTuple):
    """Anything else that may open a way. `kind`: server, mapping, publication, slot, setting, …; `detail`: what of it matters."""

    kind: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One database as its catalogue describes it. Everything is sorted by name, so equal catalogues have equal digests."""

    database: str
    owner: str
    version: int
    version_text: str
    reader: str
    reader_is_superuser: bool
    roles: tuple[Role, ...] = ()
    schemas: tuple[Schema, ...] = ()
    relations: tuple[Relation, ...] = ()
    routines: tuple[Routine, ...] = ()
    defaults: tuple[DefaultGrants, ...] = ()
    facts: tuple[Fact, ...] = ()
    grants: tuple[Grant, ...] = field(default=())

    def relation(self, name: Name) -> Relation | None:
        """Return a relation by its name."""
        return next((relation for relation in self.relations if relation.name == name), None)

    def role(self, name: str) -> Role | None:
        """Return a role by its name."""
        return next((role for role in self.roles if role.name == name), None)

    def digest(self, schemas: Iterable[str] = ()) -> str:
        """Return SHA-256 over roles and the objects of `schemas` (of all, without): what a plan was made for."""
        chosen = set(schemas)
        items: tuple[_Item, ...] = (*self.schemas, *self.relations, *self.routines, *self.defaults)
        kept = [item for item in items if not chosen or _schema_of(item) in chosen]
        return sha256("\n".join(map(repr, (self.database, self.version, *self.roles, *kept))).encode("utf-8")).hexdigest()


_Item = Schema | Relation | Routine | DefaultGrants


def _schema_of(item: _Item) -> str:
    if isinstance(item, Schema):
        return item.name
    return item.schema if isinstance(item, DefaultGrants) else item.name.schema


class Database(Protocol):
    """A guarded database, seen by its administrator. Calls raise `EngineUnavailable` with the server's words, never a value."""

    def catalogue(self) -> Catalogue:
        """Read the catalogue in one snapshot."""

    def apply(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction: all of them or none."""

    def transaction(self) -> AbstractContextManager[object]:
        """Open a transaction, or inside one a savepoint: everything in the block, or nothing if it raises."""

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement with bound values and return its rows."""

    def close(self) -> None:
        """End the connection."""
