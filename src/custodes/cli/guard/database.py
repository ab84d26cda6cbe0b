"""Which database is meant, and who its staff are: options that the guard's commands share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.errors import ConfigError, MissingSecret
from custodes.lines.whole import read_whole

if TYPE_CHECKING:
    from custodes.catalogue import Database
    from custodes.guard.installation import Target
    from custodes.home import Home

VARIABLE = "CUSTODES_GUARD_URL"

HOME = click.option(
    "--home", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home; or CUSTODES_HOME."
)
URL = click.option(
    "--url-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"File with the database's address (postgresql://…); or {VARIABLE}.",
)
STAFF = click.option(
    "--staff", multiple=True, metavar="LOGIN", help="A login of one member of staff; repeat it. Shared logins cannot be told apart."
)


@contextmanager
def administered(url_file: Path | None) -> Iterator[Database]:
    """Connect as the database's administrator. An address may hold a password, so it never stands on the command line."""
    from custodes.engines.postgres import connect

    database = connect(address(url_file))
    try:
        yield database
    finally:
        database.close()


def address(url_file: Path | None) -> str:
    """Return the administrator's address of the database. Raises `ConfigError`, `MissingSecret`."""
    try:
        url = read_whole(url_file).decode().strip() if url_file else os.environ.get(VARIABLE, "")
    except OSError as wrong:
        raise MissingSecret(f"{url_file} cannot be read: {wrong.strerror}") from None
    except UnicodeDecodeError:
        raise MissingSecret(f"{url_file} is not UTF-8") from None
    if not url:
        raise ConfigError("which database?", hint=f"set {VARIABLE} or give --url-file FILE")
    return url


def target_of(home: Home, system: str, staff: tuple[str, ...]) -> Target:
    """Return what is guarded, by the home's data map. Raises `ConfigError` if nobody is named as staff."""
    from custodes.guard.installation import Target

    if not staff:
        raise ConfigError("whom should the database be guarded from?", hint="name each person's login: --staff LOGIN --staff LOGIN")
    return Target(system, home.datamap, staff, home.settings.guard.minimise)


def shared_logins(home: Home, staff: tuple[str, ...]) -> list[str]:
    """Return the staff logins that the settings give to more than one person."""
    given = list(home.settings.guard.database_logins.values())
    return sorted(login for login in set(staff) if given.count(login) > 1)
