"""`custodes guard declare`: two people, one from outside, accept a way around the guard for a while."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.ledger.place import HOME
from custodes.cli.ledger.signing import acting, approve, clock, deny, hand_in, open_key, signed_by
from custodes.errors import InputError

if TYPE_CHECKING:
    from custodes.home import Home


@click.group()
def command() -> None:
    """Declare a way that `custodes guard verify` lists: known, accepted, for at most 90 days. It is then no more open.

    \b
    custodes guard declare request app-db --home home --way 3f2a91c07e --owner "operations" --reason "backups" --key anna.key
    custodes guard declare approve --home home 57 --key ben.key        somebody outside the unit and chain of who asks
    custodes guard declare list app-db --home home

    A way is called by the number that `verify` prints beside it. If one of its steps changes it is another way, and open.
    """  # noqa: D301  # click reads \b as "do not rewrap"


command.add_command(approve)
command.add_command(deny)


@command.command("request")
@click.argument("system")
@click.option("--way", required=True, help="Its number in the last report of `custodes guard verify`.")
@click.option("--reason", required=True, help="Why it has to stay open. Recorded as it is: no names, no ids.")
@click.option("--owner", required=True, help="Which unit or function answers for it.")
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="For how long, from the approval on.")
@signed_by
def request(  # options of one command
    *,
    system: str,
    way: str,
    reason: str,
    owner: str,
    days: int,
    home: Path,
    key_file: Path,
    passphrase_file: Path | None,
    yes: bool,
    at: str | None,
) -> int:
    """Ask that a way of SYSTEM be declared, and print the request's number. Another person approves."""
    from custodes.guard.book import DECLARE
    from custodes.guard.declaring import content

    with acting(home) as opened:
        now = clock(opened, at)
        principal, via = _way(opened, system, way)
        who = open_key(opened, key_file, passphrase_file, now)
        asked = hand_in(opened, who, DECLARE, content(system, principal, via, reason, owner, days), now, yes=yes)
    click.echo(asked.number)
    return 0


@command.command("list")
@click.argument("system")
@HOME
def list_(*, system: str, home: Path) -> int:
    """List the declarations of SYSTEM that are in force."""
    from custodes import decisions
    from custodes.guard.declaring import way_id
    from custodes.guard.looking import declared
    from custodes.home import Home

    with Home.open(home) as opened:
        found = declared(decisions.asking(opened).book(), system, datetime.now(UTC))
    for (principal, via), by in sorted(found.items()):
        click.echo(f"{way_id(principal, via)}  {principal}: {' → '.join(via)}  ({by})")
    return 0


def _way(home: Home, system: str, number: str) -> tuple[str, tuple[str, ...]]:
    """Return the way that the last report calls so."""
    from custodes.guard.looking import last_report, ways

    report = last_report(home.own_leaves(), system)
    if report is None:
        raise InputError(f"nobody has looked at {system} yet", hint="run `custodes guard verify` first")
    for _, path in ways(report):
        via = path.get("via")
        if path.get("id") == number and isinstance(via, list):
            return str(path["principal"]), tuple(map(str, via))
    raise InputError(f"the last report of {system} has no way {number}", hint="`custodes guard verify` prints the numbers")
