"""`custodes guard verify`: who can still reach a protected field?"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.guard.database import HOME, STAFF, URL, administered, shared_logins, target_of

if TYPE_CHECKING:
    from custodes.catalogue import Database
    from custodes.guard.looking import Look
    from custodes.home import Home
    from custodes.model.canonical import Json


@click.command()
@click.argument("system")
@HOME
@URL
@STAFF
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
@click.option("--watch", type=click.IntRange(1), metavar="SECONDS", help="Look again for ever, and say what has changed.")
@click.option("--looks", type=click.IntRange(1), metavar="N", help="With --watch: end after N looks.")
def command(  # options of one command
    *, system: str, home: Path, url_file: Path | None, staff: tuple[str, ...], form: str, watch: int | None, looks: int | None
) -> int:
    """List every login and path that reaches a protected field of SYSTEM without a lease, and record the list.

    Ends with 0 if every path is closed or declared, 3 if one is open or cannot be judged, 2 if it could not be checked. It sees
    what the catalogue says; dumps, backups and what the application itself shows are listed as not covered. What is known and
    accepted for a while is declared by two people: see `custodes guard declare --help`.

    \b
    custodes guard verify app-db --home home --staff ann --staff bob
    custodes guard verify app-db --home home --staff ann --watch 300
    """  # noqa: D301  # click reads \b as "do not rewrap"
    found = _look(system, home, url_file, staff)
    click.echo(_as_json(found.document) if form == "json" else _as_text(found.document))
    while watch is not None and looks != 1:
        looks = looks and looks - 1
        time.sleep(watch)
        found = _look(system, home, url_file, staff)
        _say_drift(found, form)
    return 3 if found.open_paths else 0


def _look(system: str, home: Path, url_file: Path | None, staff: tuple[str, ...]) -> Look:
    """Look once. The home is not held open between looks, so others can work in it."""
    from custodes.errors import CouldNotCheck, EngineUnavailable
    from custodes.home import Home

    with Home.open(home) as opened:
        try:
            with administered(url_file) as database:
                return _recorded(opened, database, system, staff)
        except EngineUnavailable as wrong:
            raise CouldNotCheck(f"{system} could not be checked: {wrong}", hint=wrong.hint) from None


def _recorded(home: Home, database: Database, system: str, staff: tuple[str, ...]) -> Look:
    from custodes.guard.looking import Seams, look

    seams = Seams(home.own_leaves, home.record)
    found = look(database, target_of(home, system, staff), seams, datetime.now(UTC), shared=shared_logins(home, staff))
    home.checkpoint()
    return found


def _say_drift(found: Look, form: str) -> None:
    from custodes.guard.looking import drift

    lines = drift(found.before or {}, found.document)
    if form == "json" and lines:
        click.echo(json.dumps({"schema": "custodes.reach-drift/1", "changes": lines}, ensure_ascii=False))
    elif lines:
        click.echo("\n".join(lines))


def _as_json(document: Mapping[str, Json]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1)


def _as_text(document: Mapping[str, Json]) -> str:
    from custodes.guard.looking import ways

    by_field: dict[str, list[str]] = {"": []}
    for item in _listed(document["fields"]):
        by_field[f"{item['field']} ({item['category']})"] = [_line(path) for path in _listed(item["paths"])]
    by_field[""] = [_line(path) for field, path in ways(document) if not field]
    fields = [set(lines) for name, lines in by_field.items() if name]
    shared = set.intersection(*fields) if fields else set()
    told = [f"{document['system']}: {document['open']} open or unknown ways to {len(fields)} protected fields"]
    if shared:
        told += ["  to every protected field:", *sorted(shared)]
    for name, lines in by_field.items():
        rest = [line for line in lines if line not in shared or not name]
        if rest:
            told += [f"  to {name}:" if name else "  of the database as a whole:", *rest]
    missing = document["not_covered"]
    return "\n".join([*told, *(f"  not covered: {text}" for text in (missing if isinstance(missing, list) else ()))])


def _listed(value: Json) -> list[Mapping[str, Json]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _line(path: Mapping[str, Json]) -> str:
    via = path["via"]
    steps = " → ".join(map(str, via)) if isinstance(via, list) else ""
    by = f" (declared: {path['declared_by']})" if path["declared_by"] else ""
    return f"    {str(path['verdict']).upper():8} {path['id']}  {path['principal']}: {steps}{by}  since {path['since']}"
