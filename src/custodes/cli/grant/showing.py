"""`custodes grant show` and `list`: what the record says of grants."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from custodes.cli.grant.naming import GrantNumber
from custodes.cli.ledger.place import HOME
from custodes.cli.ledger.signing import as_json
from custodes.errors import InputError


@click.command()
@click.argument("grant", type=GrantNumber())
@HOME
def show(*, grant: int, home: Path) -> int:
    """Print the canonical bytes of GRANT (g-57), and on stderr their digest: compare them on another machine before you sign."""
    from custodes import decisions
    from custodes.home import Home
    from custodes.model.canonical import canonical

    with Home.open(home) as opened:
        asked = decisions.asking(opened).book().grant(grant)
    if asked is None:
        raise InputError(f"there is no grant g-{grant}")
    click.echo(canonical(asked.request.document()).decode())
    click.echo(asked.request.digest(), err=True)
    return 0


@click.command("list")
@HOME
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def list_(*, home: Path, form: str) -> int:
    """List all grants with their states: pending, approved, denied, expired, revoked, used up."""
    from custodes import decisions
    from custodes.guard.grants import document
    from custodes.home import Home

    now = datetime.now(UTC)
    with Home.open(home) as opened:
        gate, book = decisions.gate(opened), decisions.asking(opened).book()
        rows = [document(asked, now, taken=used.releases, parent=book.parent(asked)) for asked, _, used in gate.grants(now)]
        unknown = gate.unknown(now)
    if form == "json":
        click.echo(as_json({"schema": "custodes.grants/1", "grants": rows, "release_unknown": [item.number for item in unknown]}))
        return 0
    for row in rows:
        end = f" until {row['valid_to']}" if row["valid_to"] else ""
        click.echo(f"{row['grant']}  {row['state']}{end}  {row['actor']}  {row['purpose']}  {row['reason']}  taken {row['taken']}")
    for item in unknown:
        click.echo(f"release unknown: {item.number} (leaf {item.index}) has no outcome and counts as an access", err=True)
    return 0
