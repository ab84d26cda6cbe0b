"""One look at who can still reach what, and its record: the catalogue walked, a staff login tried, leases held against the record.

A look is a leaf. The whole report is recorded where it differs from the last; else the leaf says that it is the same. `since` is
the time of the first look of an unbroken row of looks that found the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from custodes.catalogue import Catalogue, Database, Name
from custodes.errors import CouldNotCheck, EngineUnavailable, Refused
from custodes.guard.approval import written
from custodes.guard.book import Book
from custodes.guard.declaring import way_id
from custodes.guard.installation import Target, masked, trial
from custodes.guard.plan import GUARD
from custodes.guard.reach import Path
from custodes.guard.reach_whole import reach
from custodes.guard.safe_objects import replaced
from custodes.guard.taken import Taken
from custodes.ledger.leaf import Kind
from custodes.model.canonical import Json, canonical

if TYPE_CHECKING:
    from custodes.guard.book import Leaf

SCHEMA: Final = "custodes.reach/1"
REACH: Final = "reach"


@dataclass(frozen=True, slots=True)
class Seams:
    """What a look stands on: the home's own leaves, all of them, and where to record one, durably."""

    leaves: Callable[[], Iterable[Leaf]]
    record: Callable[[int, Mapping[str, Json], datetime], int]


@dataclass(frozen=True, slots=True)
class Look:
    """`document`: `custodes.reach/1`, equal for equal states. `index`: of its leaf. `before`: what the last look found, if any."""

    document: Mapping[str, Json]
    open_paths: int
    index: int
    before: Mapping[str, Json] | None


def look(database: Database, target: Target, seams: Seams, now: datetime, *, shared: Sequence[str] = ()) -> Look:
    """Look, record, return. `shared`: logins that are known to be several people's.

    Raises `CouldNotCheck` if the database cannot be read as a whole: what could not be read is never taken for closed.
    """
    leaves = list(seams.leaves())
    book, last = Book.of(leaves), last_report(leaves, target.system)
    try:
        catalogue = database.catalogue()
        tried = [*_seen(database, catalogue, target), *_unrecorded(database, leaves), *replaced(database, target, leaves)]
    except EngineUnavailable as wrong:
        raise CouldNotCheck(
            f"{target.system} could not be checked: {wrong}", hint="verify as the database's administrator"
        ) from None
    tried += [(login, "a login of several people: who looked is not known") for login in shared]
    mapped = {_name(name): entry for name, entry in target.resources.items()}
    protected = [(name, word) for name in mapped for word in masked(target, name)]
    found = reach(catalogue, mapped, protected, staff=target.staff, declared=declared(book, target.system, now), tried=tried)
    before, written_now = _times(last), written(now)

    def way(field: str, path: Path) -> Json:
        since = before.get((field, path.principal, path.via), written_now)
        entry: dict[str, Json] = {"id": way_id(path.principal, path.via), "principal": path.principal, "via": list(path.via)}
        return entry | {"verdict": path.verdict, "since": since, "declared_by": path.declared_by or None}

    document: dict[str, Json] = {
        "schema": SCHEMA,
        "system": target.system,
        "server_version": found.server_version,
        "catalogue_hash": found.catalogue,
        "plan_hash": _plan(leaves, target.system),
        "fields": [
            {"field": item.field, "category": item.category, "paths": [way(item.field, path) for path in item.paths]}
            for item in found.fields
        ],
        "database": [way("", path) for path in found.database],
        "not_covered": list(found.not_covered),
        "open": found.open_paths,
    }
    changed = last is None or canonical(dict(last)) != canonical(document)
    record: dict[str, Json] = {"what": REACH, "system": target.system, "at": written_now}
    record |= {"report": document} if changed else {"same_as": sha256(canonical(document)).hexdigest()}
    return Look(document, found.open_paths, seams.record(Kind.POLICY, record, now), last)


def declared(book: Book, system: str, now: datetime) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return the ways of a system that are declared at a time: (principal, steps) → by which record, and until when."""
    found = {}
    for asked in book.declarations():
        given, days = asked.request.content, asked.request.content["days"]
        via = given["via"]
        if given["system"] != system or asked.in_force is None or not isinstance(days, int) or not isinstance(via, list):
            continue
        until = asked.in_force + timedelta(days=days)
        if now < until:
            found[str(given["principal"]), tuple(map(str, via))] = f"leaf {asked.number}, until {until:%Y-%m-%d}"
    return found


def last_report(leaves: Iterable[Leaf], system: str) -> Mapping[str, Json] | None:
    """Return the last recorded report of a system."""
    found = None
    for leaf in leaves:
        if leaf.kind == Kind.POLICY and leaf.what.get("what") == REACH and leaf.what.get("system") == system:
            report = leaf.what.get("report")
            found = report if isinstance(report, Mapping) else found
    return found


def ways(report: Mapping[str, Json]) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Yield each way of a report with its field; "" for those of the whole database."""
    fields, whole = report.get("fields"), report.get("database")
    for item in fields if isinstance(fields, list) else ():
        paths = item.get("paths") if isinstance(item, Mapping) else None
        for path in paths if isinstance(paths, list) else ():
            if isinstance(path, Mapping) and isinstance(item, Mapping):
                yield str(item.get("field")), path
    for path in whole if isinstance(whole, list) else ():
        if isinstance(path, Mapping):
            yield "", path


def drift(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[str]:
    """Return what changed between two reports, one line a way: `+` is new, `-` is gone."""
    old, new = ({(field, *_key(path), str(path.get("verdict"))) for field, path in ways(report)} for report in (before, after))
    lines = [("+", item) for item in sorted(new - old)] + [("-", item) for item in sorted(old - new)]
    return [
        f"{sign} {verdict} {principal}: {' → '.join(via)}{f' to {field}' if field else ''}"
        for sign, (field, principal, via, verdict) in lines
    ]


def _times(report: Mapping[str, Json] | None) -> dict[tuple[str, str, tuple[str, ...]], str]:
    return {(field, *_key(path)): str(path.get("since")) for field, path in ways(report)} if report else {}


def _key(path: Mapping[str, Json]) -> tuple[str, tuple[str, ...]]:
    via = path.get("via")
    return str(path.get("principal")), tuple(map(str, via)) if isinstance(via, list) else ()


def _plan(leaves: Iterable[Leaf], system: str) -> str | None:
    installed = None
    for leaf in leaves:
        if leaf.kind == Kind.POLICY and leaf.what.get("system") == system:
            what, plan = leaf.what.get("what"), leaf.what.get("plan")
            if what == "guard installed":
                installed = str(plan)
            elif what == "guard uninstalled":
                installed = None
    return installed


def _seen(database: Database, catalogue: Catalogue, target: Target) -> Iterator[tuple[str, str]]:
    """Look as each staff login, as after an install. Only a superuser can; others rely on what the catalogue says."""
    for login in target.staff if catalogue.reader_is_superuser else ():
        if catalogue.role(login) is None:
            continue
        try:
            trial(database, catalogue, login, target)
        except Refused as seen:
            yield login, str(seen)


def _unrecorded(database: Database, leaves: Iterable[Leaf]) -> Iterator[tuple[str, str]]:
    """Yield open leases that the record does not know: whoever wrote them did not come through the gate."""
    if not database.rows("select 1 from pg_catalog.pg_class where oid = pg_catalog.to_regclass(%s)", (f"{GUARD}.lease",)):
        return
    taken = Taken()
    for leaf in leaves:
        taken.take(leaf)
    open_now = (
        f"select lease, leaf, actor::text from {GUARD}.lease where not revoked and valid_to > clock_timestamp() order by leaf"
    )
    for lease, index, actor in database.rows(open_now):
        intent = taken.leases.get(int(str(index)))
        if intent is None or intent.lease != lease:
            yield str(actor), f"a lease that no record allows (leaf {index})"


def _name(resource: str) -> Name:
    schema, _, name = resource.rpartition(".")
    return Name(schema or "public", name)
