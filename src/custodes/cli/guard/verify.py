"""`custodes guard verify`: who can still reach a protected field?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodes.cli.guard.database import HOME, STAFF, URL, administered, target_of

if TYPE_CHECKING:
    from custodes.guard.reach import Path as Way
    from custodes.guard.reach import Reach


@click.command()
@click.argument("system")
@HOME
@URL
@STAFF
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
@click.option("--watch", type=click.IntRange(1), metavar="SECONDS", help="Repeat for ever, and say what has changed.")
def command(*, system: str, home: Path, url_file: Path | None, staff: tuple[str, ...], form: str, watch: int | None) -> int:
    """List every login and path that reaches a protected field of SYSTEM without a lease, and record the list.

    Ends with 0 if every path is closed or declared, 3 if one is open or cannot be judged, 2 if it could not be checked. It sees
    what the catalogue says; dumps, backups and what the application itself shows are listed as not covered.

    \b
    custodes guard verify app-db --home home --staff ann --staff bob
    custodes guard verify app-db --home home --staff ann --watch 300
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.home import Home

    with Home.open(home) as opened, administered(url_file) as database:
        target = target_of(opened, system, staff)
        last = None
        while True:
            found = _look(opened, database, target)
            if found != last:
                click.echo(_as_json(system, found) if form == "json" else _as_text(system, found))
            if watch is None:
                return 3 if found.open_paths else 0
            last = found
            time.sleep(watch)


def _look(home: Any, database: Any, target: Any) -> Reach:
    from custodes.catalogue import Name
    from custodes.guard.installation import masked
    from custodes.guard.reach import reach
    from custodes.ledger.leaf import Kind

    catalogue = database.catalogue()
    mapped = {
        Name(*(("public", name) if "." not in name else name.rsplit(".", 1))): entry for name, entry in target.resources.items()
    }
    fields = [(name, word) for name in mapped for word in masked(target, name)]
    found = reach(catalogue, mapped, fields, staff=target.staff)
    home.record(Kind.POLICY, {"what": "reach", "system": target.system, "report": _document(target.system, found)})
    return found


def _document(system: str, found: Reach) -> dict[str, Any]:
    return {
        "schema": "custodes.reach/1",
        "system": system,
        "catalogue_hash": found.catalogue,
        "fields": [
            {"field": item.field, "category": item.category, "paths": [_way(way) for way in item.paths]} for item in found.fields
        ],
        "database": [_way(way) for way in found.database],
        "not_covered": list(found.not_covered),
    }


def _way(way: Way) -> dict[str, Any]:
    return {"principal": way.principal, "via": list(way.via), "verdict": way.verdict, "declared_by": way.declared_by or None}


def _as_json(system: str, found: Reach) -> str:
    return json.dumps(_document(system, found) | {"open": found.open_paths}, ensure_ascii=False, indent=1)


def _as_text(system: str, found: Reach) -> str:
    lines = [f"{system}: {found.open_paths} open or unknown ways to {len(found.fields)} protected fields"]
    shared = set.intersection(*(set(item.paths) for item in found.fields)) if found.fields else set()
    if shared:
        lines += ["  to every protected field:", *(_line(way) for way in sorted(shared))]
    for item in found.fields:
        ways = [way for way in item.paths if way not in shared]
        if ways:
            lines += [f"  to {item.field} ({item.category}):", *(_line(way) for way in ways)]
    if found.database:
        lines += ["  of the database as a whole:", *(_line(way) for way in found.database)]
    return "\n".join([*lines, *(f"  not covered: {text}" for text in found.not_covered)])


def _line(way: Way) -> str:
    by = f" (declared in {way.declared_by})" if way.declared_by else ""
    return f"    {way.verdict.upper():8} {way.principal}: {' → '.join(way.via)}{by}"
