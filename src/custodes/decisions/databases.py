"""The guarded databases: where they are, and which leases are open in them."""

from __future__ import annotations

from custodes.engines.releasing import PostgresLeases
from custodes.errors import MissingSecret
from custodes.home import Home


def addresses(home: Home) -> dict[str, str]:
    """Return each guarded system's address. Raises `MissingSecret` for the file that holds it."""
    return {system: _address(home, system, file) for system, file in home.settings.guard.databases.items()}


def open_leases(home: Home) -> dict[str, list[tuple[str, int, str]]]:
    """Return each guarded system's open leases as (id, leaf, field). One whose leaf `Gate.leases` does not know was forged."""
    urls = addresses(home)
    leases = PostgresLeases(urls)
    try:
        return {system: leases.rows(system) for system in urls}
    finally:
        leases.close()


def _address(home: Home, system: str, file: str) -> str:
    try:
        return (home.path / file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise MissingSecret(f"the address of {system} cannot be read", hint=f"see guard.databases.{system}.url_file") from None
