"""`custodes grant request`, `revoke` and `review`: what one person signs and hands in."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodes.cli.grant.naming import SUBJECT_FILE, GrantNumber, names, pseudonym
from custodes.cli.ledger.signing import acting, clock, hand_in, open_key, signed_by

if TYPE_CHECKING:
    from custodes.guard.book import Asked
    from custodes.home import Home
    from custodes.model.canonical import Json

_MODES = ["value", "lease", "compare"]


@click.command()
@click.option("--system", required=True, help="The guarded database, as the data map calls it.")
@click.option("--field", "fields", multiple=True, required=True, metavar="SCHEMA.TABLE.COLUMN", help="What to release; repeat it.")
@click.option("--purpose", required=True, help="A purpose of the policy.")
@click.option("--code", "reason_code", required=True, help="Kind of reason, such as SUPPORT_CASE.")
@click.option("--reason", required=True, help="The id it is on record under, such as T-991.")
@click.option("--mode", type=click.Choice(_MODES), default="value", show_default=True, help="How it is released.")
@click.option("--reveals", type=click.IntRange(1), default=1, show_default=True, help="Releases in all.")
@click.option("--rows", type=click.IntRange(1), default=1, show_default=True, help="Rows of each release.")
@click.option("--minutes", type=click.IntRange(1), help="How long it lasts from the last approval on; else as the settings say.")
@click.option("--region", help="Only data of this region.")
@click.option("--within", "parent", type=GrantNumber(), help="A grant that this one narrows: it needs no new approval.")
@SUBJECT_FILE
@signed_by
def request(**options: Any) -> int:
    """Ask to be granted a release. Subjects' ids come on stdin or in a file. Prints the grant's name.

    --mode compare answers a question in place of the value, at most 32 times about one field of one subject; lease opens the field
    for one's own login. Nothing is counted over people: a grant names its subjects.

    \b
    echo 4711 | custodes grant request --home home --system app-db --field app.users.last_ip \\
        --purpose support --code SUPPORT_CASE --reason T-991 --key dora.key --passphrase-file dora.txt --yes
    """  # noqa: D301  # click reads \b as "do not rewrap"
    return _request(**options)


def _request(*, fields: tuple[str, ...], minutes: int | None, subject_file: Path | None, **options: Any) -> int:
    terms = {name: options.pop(name) for name in ("system", "purpose", "reason_code", "reason", "mode", "reveals", "rows")}
    terms |= {name: options.pop(name) for name in ("region", "parent")}

    def content(home: Home, actor: str) -> dict[str, Json]:
        from dataclasses import replace

        from custodes.decisions.terms import sets_for
        from custodes.guard.grants import Terms

        subjects = tuple(dict.fromkeys(pseudonym(home, name) for name in names(subject_file)))
        lasts = 60 * (minutes or home.settings.guard.limits.grant_default_min)
        made = Terms(
            actor=actor,
            fields=tuple(dict.fromkeys(fields)),
            subjects=subjects,
            distinct_subjects=len(subjects),
            lasts_s=lasts,
            **terms,
        )
        made = replace(made, reveals=max(made.reveals, len(subjects)))
        return replace(made, sets=sets_for(home, made)).content()

    asked = _ask("grant", content, **options)
    click.echo(f"g-{asked.number}")
    left = " and ".join(str(name) for name in asked.request.content["sets"])  # type: ignore[union-attr]  # a grant's content lists them
    click.echo(f"g-{asked.number}: {'in force' if asked.in_force else f'waits for {left}, at most 24 hours'}", err=True)
    return 0


@click.command()
@click.argument("grant", type=GrantNumber())
@signed_by
def revoke(*, grant: int, **options: Any) -> int:
    """End GRANT (g-57) at once, and its open leases with the sessions that still see them."""
    from custodes import decisions
    from custodes.home import Home

    _ask("revoke-grant", lambda _home, _actor: {"grant": grant}, **options)
    # The record came first: a lease that could not be ended is open for minutes, a grant for hours.
    with Home.open(options["home"]) as opened, closing(decisions.gate(opened)) as gate:
        count = gate.end_leases(f"g-{grant}")
    click.echo(f"g-{grant}: revoked; leases ended: {count}", err=True)
    return 0


@click.command()
@click.argument("grant", type=GrantNumber())
@click.option("--found", type=click.Choice(["justified", "not-justified"]), required=True, help="What you found.")
@signed_by
def review(*, grant: int, found: str, **options: Any) -> int:
    """Review GRANT (g-57), for which glass was broken. Without it within 72 hours its actor breaks no other."""
    _ask("review", lambda _home, _actor: {"grant": grant, "found": found}, **options)
    click.echo(f"g-{grant}: reviewed, {found}", err=True)
    return 0


def _ask(act: str, content: Any, *, home: Path, key_file: Path, passphrase_file: Path | None, yes: bool, at: str | None) -> Asked:
    """Show, sign and hand in a request of the holder of a key. `content`: makes it of home and actor."""
    with acting(home) as opened:
        now = clock(opened, at)
        who = open_key(opened, key_file, passphrase_file, now)
        return hand_in(opened, who, act, content(opened, who.actor), now, yes=yes)
