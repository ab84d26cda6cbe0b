"""The whole report, and the ways in it that no single field has: later tables, other servers, replication, logs, colleagues."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from custodes.catalogue import PUBLIC, Catalogue, Fact, Name
from custodes.guard.reach import EVERYBODY, OPEN, UNKNOWN, FieldReach, Reach, Walker
from custodes.model.datamap import ResourceMap

_FACTS: Final = {
    "foreign table": "a foreign server may lead back here",
    "publication": "changes are sent out",
    "subscription": "a subscription applies changes as its owner",
    "replication slot": "a slot keeps the write-ahead log for a reader",
    "event trigger": "an event trigger runs code at every change of the schema",
    "large object": "large objects may hold copies",
}
_LOGGING: Final = {
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "pgaudit.log_parameter": "off",
}
_HERE: Final = re.compile(r"^\S+ to( (localhost|127\.\S+|::1|/\S*))*( /(?P<database>.*))?$")
Way = tuple[str, list[str], str]


def reach(
    catalogue: Catalogue,
    mapped: Mapping[Name, ResourceMap],
    protected: Iterable[tuple[Name, str]],
    *,
    staff: Sequence[str] = (),
    declared: Mapping[tuple[str, tuple[str, ...]], str] | None = None,
    tried: Iterable[tuple[str, str]] = (),
) -> Reach:
    """Walk every login to every protected field. `declared`: (principal, steps) → by which record two people have declared it.

    `tried`: (principal, what was seen) of looks that were really taken, and of leases that no record allows: each an open path.
    """
    walker = Walker(catalogue, declared or {})
    fields = tuple(
        FieldReach(f"{name}.{word}", mapped[name].fields[word], tuple(walker.field(name, word))) for name, word in sorted(protected)
    )
    whole = {walker.path(*way) for way in of_database(walker, tuple(sorted(mapped)), staff)}
    whole |= {walker.path(principal, [what], OPEN) for principal, what in tried}
    return Reach(catalogue.digest(), catalogue.version_text, fields, tuple(sorted(whole)))


def of_database(walker: Walker, mapped: Sequence[Name], staff: Sequence[str]) -> Iterator[Way]:
    """Yield (principal, steps, verdict)."""
    schemas = {name.schema for name in mapped}
    yield from _later(walker, schemas)
    yield from _row_security(walker, mapped)
    for fact in walker.catalogue.facts:
        if fact.kind in _FACTS:
            yield fact.name, [f"{fact.kind}{': ' if fact.detail else ''}{fact.detail}", _FACTS[fact.kind]], UNKNOWN
        if fact.kind == "server mapping":
            yield _mapping(fact, walker.catalogue.database)
        wanted = _LOGGING.get(fact.name) if fact.kind == "setting" else None
        if wanted is not None and fact.detail != wanted:
            yield "server log", [f"{fact.name} is {fact.detail}: values of statements are logged"], OPEN
    for login in sorted(set(staff)):
        for role in sorted(set(walker.held(login)) & set(staff) - {login}):
            yield login, [*walker.held(login)[role], "a colleague's login: who looked is not known"], OPEN


def _later(walker: Walker, schemas: set[str]) -> Iterator[Way]:
    for entry in walker.catalogue.defaults:
        if entry.kind == "r" and entry.schema in ("", *schemas):
            for grant in entry.grants:
                if grant.privilege == "SELECT" and grant.grantee != entry.owner:
                    where = entry.schema or "every schema"
                    yield grant.grantee or EVERYBODY, [f"later tables of {entry.owner} in {where} are open"], OPEN
    for schema in walker.catalogue.schemas:
        for grant in schema.grants:
            if schema.name == "public" and grant.privilege == "CREATE" and grant.grantee == PUBLIC:
                yield EVERYBODY, ["CREATE on schema public: names can be shadowed"], OPEN


def _row_security(walker: Walker, mapped: Sequence[Name]) -> Iterator[Way]:
    if not any(relation.row_security for name in mapped if (relation := walker.catalogue.relation(name))):
        return
    for login in walker.catalogue.roles:
        for role, steps in walker.held(login.name).items() if login.login and not login.superuser else ():
            entry = walker.catalogue.role(role)
            if entry is not None and entry.bypass_rls:
                yield login.name, [*steps, "BYPASSRLS: rows are not kept apart for it"], OPEN


def _mapping(fact: Fact, database: str) -> Way:
    """A mapping to this very database lends whoever it is for another login's rights; one to elsewhere cannot be judged."""
    server, _, whom = fact.name.rpartition(" for ")
    here = _HERE.match(fact.detail)
    step = f"mapping at foreign server {server} ({fact.detail})"
    if here and (here["database"] or database) == database:
        return whom, [step, "leads back into this database"], OPEN
    return whom, [step, "a foreign server may lead back here"], UNKNOWN
