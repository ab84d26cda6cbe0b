"""`custodes grant approve` and `deny`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from custodes.cli.grant.naming import GrantNumber
from custodes.cli.ledger.signing import acting, clock, open_key, sign, signed_by


@click.command()
@click.argument("grant", type=GrantNumber())
@signed_by
def approve(**options: Any) -> int:
    """Approve GRANT (g-57): see the statement, sign it, have it recorded. One person fills one set."""
    return _answer("approve", **options)


@click.command()
@click.argument("grant", type=GrantNumber())
@signed_by
def deny(**options: Any) -> int:
    """Deny GRANT (g-57). One denial ends it, also once it is in force."""
    return _answer("deny", **options)


def _answer(
    decision: str, *, home: Path, grant: int, key_file: Path, passphrase_file: Path | None, yes: bool, at: str | None
) -> int:
    from custodes import decisions
    from custodes.guard.grants import open_sets

    with acting(home) as opened:
        now = clock(opened, at)
        who = open_key(opened, key_file, passphrase_file, now)
        asking = decisions.asking(opened)
        statement = asking.statement(grant, who.actor, decision, now)
        signature = sign(who, statement, yes=yes)
        with asking.lock():
            asked = asking.answer(grant, statement, signature, now)
    left = " and ".join(open_sets(asked))
    said = "denied" if decision == "deny" else f"approved ({statement.slot}); {f'still open: {left}' if left else 'in force'}"
    click.echo(f"g-{grant}: {said}", err=True)
    return 0
