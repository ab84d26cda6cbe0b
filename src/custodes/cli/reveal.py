"""`custodes reveal`: have one field of one subject released. The record comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.grant.naming import SUBJECT_FILE, GrantNumber, company_id, names
from custodes.cli.ledger.place import HOME
from custodes.errors import InputError

if TYPE_CHECKING:
    from custodes.guard.words import Released, Request
    from custodes.home import Home


@click.command()
@click.argument("field", metavar="SCHEMA.TABLE.COLUMN")
@HOME
@click.option("--grant", type=GrantNumber(), help="The grant that covers it, such as g-57.")
@click.option("--subject", metavar="PSEUDONYM", help="The subject's pseudonym (s-…), if a log has named them before.")
@SUBJECT_FILE
@click.option(
    "--predicate", type=click.Choice(["same_network", "seen_from", "count_distinct"]), help="Ask this instead of the value."
)
@click.option("--operand", help="What the predicate is asked with: a country or a number. For an address use --operand-file.")
@click.option("--operand-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File with the operand.")
@click.option("--idempotency", help="A word of yours: the same release again, not another one.")
def command(  # noqa: PLR0917  # one for each option
    field: str,
    home: Path,
    grant: int | None,
    subject: str | None,
    subject_file: Path | None,
    predicate: str | None,
    operand: str | None,
    operand_file: Path | None,
    idempotency: str | None,
) -> int:
    """Release one field of one subject under a grant: the value to stdout, its place in the ledger to stderr.

    \b
    echo 4711 | custodes reveal app.users.last_ip --home home --grant g-57
    custodes reveal app.users.last_ip --home home --grant g-57 --subject s-abcdefghijklmnop

    Who asks is the login of the operating system, as [guard.logins] maps it. A lease prints its end; then read the safe view as
    yourself. Exit 4: refused, and recorded. Exit 5: the record or the database is not available, and nothing was released.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes import decisions
    from custodes.decisions.people import identity
    from custodes.home import Home

    if operand_file is not None:
        operand = operand_file.read_text("utf-8").strip()
    with Home.open(home) as opened:
        who = identity(opened)
        key = company_id(opened, subject or _only(names(subject_file)))
        made = _request(opened, field, grant, who.actor, key)
        made = replace(made, predicate=predicate, operand=operand, idempotency=idempotency)
        gate = decisions.gate(opened)
        try:
            released = gate.release(made, who, datetime.now(UTC), key=key)
        finally:
            gate.close()
            opened.checkpoint()
    _say(released)
    return 0


def _request(home: Home, field: str, grant: int | None, actor: str, key: str) -> Request:
    """Return what is asked for, in the grant's own terms; without a grant it is asked all the same, and refused on record."""
    from custodes import decisions
    from custodes.guard.grants import name_of
    from custodes.guard.words import Request

    asked = decisions.asking(home).book().grant(grant)
    terms = asked.terms if asked is not None else None
    system = terms.system if terms is not None else next(iter(home.datamap.systems), "")
    return Request(
        actor=actor,
        mode=terms.mode if terms is not None else "value",
        system=system,
        fields=(field,),
        subject=home.pseudonyms.of("subject", key),
        purpose=terms.purpose if terms is not None else "",
        reason_code=terms.reason_code if terms is not None else "SUPPORT_CASE",
        reason=terms.reason if terms is not None else "",
        grant=None if grant is None else name_of(grant),
        max_rows=terms.rows if terms is not None else 1,
    )


def _say(released: Released) -> None:
    decision = released.decision
    if not decision.allowed:
        from custodes.guard.gate import refused

        click.echo(f"recorded as leaf {released.index}", err=True)
        if decision.requestable:
            click.echo(f"it could be approved by: {' and '.join(decision.requestable)}", err=True)
        raise refused(released)
    for row in released.values or ():
        for value in row.values():
            click.echo("" if value is None else str(value))
    if released.lease is not None and released.until is not None:
        click.echo(f"{released.lease} until {released.until.strftime('%Y-%m-%dT%H:%M:%SZ')}")
    access = "" if released.access is None else f", access leaf {released.access}"
    click.echo(f"recorded as leaf {released.index}{access} before it was released", err=True)
    for item in decision.obligations:
        if "minimise" in item:
            click.echo("shown minimised, as the settings ask", err=True)


def _only(found: list[str]) -> str:
    if len(found) != 1:
        raise InputError("one subject at a time")
    return found[0]
