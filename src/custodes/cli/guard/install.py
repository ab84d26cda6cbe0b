"""`custodes guard install`: put a reviewed plan in force."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.guard.database import HOME, STAFF, URL, address, administered, target_of
from custodes.errors import InputError
from custodes.lines.whole import read_whole
from custodes.model.canonical import Json


@click.command()
@click.argument("system")
@HOME
@URL
@STAFF
@click.option(
    "--plan", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True, help="The reviewed plan."
)
@click.option(
    "--try-as", "tried", multiple=True, metavar="LOGIN", help="Without superuser rights: try as this login only; repeat it."
)
def command(*, system: str, home: Path, url_file: Path | None, staff: tuple[str, ...], file: Path, tried: tuple[str, ...]) -> int:
    """Apply the reviewed plan for SYSTEM in one transaction, and try it as each staff login before it counts.

    Refused if the plan or the database has changed since the plan was written, or if the trial reads anything: nothing has
    changed then. Who is no superuser has a staff login try at once after the commit (its password from libpq's password file),
    and everything is undone if it reads or cannot log in. Installing again is harmless; the first state is what `uninstall`
    goes back to. The install is recorded.

    \b
    custodes guard install app-db --home home --staff ann --staff bob --plan plan.sql
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.engines.postgres import connect_as
    from custodes.guard.installation import install
    from custodes.guard.safe_objects import INSTALLED, OBJECTS, objects
    from custodes.home import Home
    from custodes.ledger.leaf import Kind

    reviewed = _read(file)
    with Home.open(home) as opened, administered(url_file) as database:
        target, url = target_of(opened, system, staff), address(url_file)
        plan = install(database, target, reviewed, staff=lambda login: connect_as(url, login), tried=tried)
        record: dict[str, Json] = {"what": INSTALLED, "system": system, "plan": plan.digest, "catalogue": plan.catalogue}
        index = opened.record(Kind.POLICY, {**record, "staff": len(staff), OBJECTS: objects(database, target)})
    click.echo(f"{len(plan.views)} tables of {system} are guarded for {len(staff)} logins; recorded as leaf {index}", err=True)
    return 0


def _read(plan: Path) -> str:
    try:
        return read_whole(plan, pipes=True).decode()
    except OSError as wrong:
        raise InputError(f"{plan.name} cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{plan.name} is not UTF-8, and so no plan of `custodes guard plan`") from None
