"""`custodes ledger erase`: erase one subject, with two people, a waiting time, and a record of every step."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodes.cli.ledger.place import HOME
from custodes.cli.ledger.signing import AT, acting, approve, as_json, clock, deny, open_key, read, sign, signed_by
from custodes.errors import InputError

if TYPE_CHECKING:
    from custodes.guard.book import Asked, Book
    from custodes.home import Home

_BASES = {letter: f"GDPR-17-1-{letter}" for letter in "abcdef"}
_REASONS = ("court", "investigation", "regulator", "dispute")
_MONTH = timedelta(days=30)
SUBJECT = click.option(
    "--subject-file", type=click.Path(dir_okay=False, path_type=Path), help="Read the subject's id from this file, not from stdin."
)


@click.group()
def command() -> None:
    """Erase one subject: requested, approved by two others (one from outside), 14 days later carried out. Every step is a leaf.

    \b
    custodes ledger erase request --home home --basis a --subject-file id.txt --key anna.key    prints the request's number
    custodes ledger erase approve --home home 57 --key ben.key
    custodes ledger erase approve --home home 57 --key cleo.key
    custodes ledger erase carry-out --home home 57
    custodes ledger erase list --home home

    Refused (exit 4, and recorded): during a legal hold or an open case, below the retention floor, before the cooling-off period
    ends, without two people whose keys are in force, after a denial, or if anything changed since the request.
    """  # noqa: D301  # click reads \b as "do not rewrap"


command.add_command(approve)
command.add_command(deny)


@command.command("request")
@click.option("--basis", type=click.Choice(list(_BASES)), required=True, help="Letter of Article 17(1) of the GDPR.")
@SUBJECT
@signed_by
def request(*, basis: str, subject_file: Path | None, **options: Any) -> int:
    """Ask that a subject be erased: the company's id or the pseudonym s-… on stdin or in a file, never as an argument.

    Shows what it would blind, and prints the request's number.
    """
    from custodes import decisions

    return _ask(
        lambda home, by, now: decisions.erasing(home).draft(_subject(home, subject_file), _BASES[basis], by, now), **options
    )


@command.command("show")
@click.argument("number", type=click.IntRange(0))
@HOME
def show(*, number: int, home: Path) -> int:
    """Print the canonical bytes of request NUMBER, and on stderr their digest, which every statement about it names."""
    from custodes import decisions
    from custodes.home import Home
    from custodes.model.canonical import canonical

    with Home.open(home) as opened:
        asked = decisions.asking(opened).book().requests.get(number)
    if asked is None:
        raise InputError(f"there is no request {number}")
    click.echo(canonical(asked.request.document()).decode())
    click.echo(asked.request.digest(), err=True)
    return 0


@command.command("carry-out")
@click.argument("number", type=click.IntRange(0))
@HOME
@AT
def carry_out(*, number: int, home: Path, at: str | None) -> int:
    """Carry out request NUMBER. Again after a crash: it completes what was begun. There is no way back."""
    from custodes import decisions

    with acting(home) as opened:
        asked = decisions.erasing(opened).carry_out(number, clock(opened, at))
    click.echo(f"request {number}: done; accesses that nobody can open any more: {asked.request.content['accesses']}", err=True)
    return 0


@command.command("list")
@HOME
@AT
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def list_(*, home: Path, at: str | None, form: str) -> int:
    """List requests, holds and refusals, with how many erasures were done in the last 30 days: a burst is worth a question."""
    from custodes import decisions
    from custodes.home import Home

    with Home.open(home) as opened:
        now, book = clock(opened, at), decisions.asking(opened).book()
    rows = [_row(asked, now) for asked in book.requests.values() if asked.request.act in {"erase", "hold", "lift"}]
    recent = _recent(book, now)
    if form == "json":
        click.echo(as_json({"schema": "custodes.erasures/1", "last_30_days": recent, "requests": rows}))
        return 0
    for row in rows:
        click.echo("  ".join(f"{name} {value}" for name, value in row.items() if value not in (None, [])))
    click.echo(f"last 30 days: {', '.join(f'{count} {name}' for name, count in recent.items())}", err=True)
    return 0


@command.group("hold")
def hold() -> None:
    """Legal holds: while one is in force, nobody it covers is erased. One person adds a hold, two lift it.

    \b
    custodes ledger erase hold add --home home --everybody --reason court --key ben.key    prints the hold's number
    custodes ledger erase hold lift --home home 61 --key anna.key                          prints the request's number
    custodes ledger erase approve --home home 64 --key cleo.key
    """  # noqa: D301  # click reads \b as "do not rewrap"


@hold.command("add")
@click.option("--everybody", is_flag=True, help="Hold everybody, not one subject.")
@click.option("--reason", type=click.Choice(_REASONS), required=True, help="Who asks for it.")
@SUBJECT
@signed_by
def add(*, everybody: bool, reason: str, subject_file: Path | None, **options: Any) -> int:
    """Hold on to a subject (id on stdin or in a file), or to everybody, at once. Prints the hold's number."""
    from custodes import decisions

    return _ask(
        lambda home, by, now: decisions.erasing(home).draft_hold(
            None if everybody else _subject(home, subject_file), reason, by, now
        ),
        **options,
    )


@hold.command("lift")
@click.argument("number", type=click.IntRange(0))
@signed_by
def lift(*, number: int, **options: Any) -> int:
    """Ask that hold NUMBER be lifted; one other person approves (`erase approve`). Prints the request's number."""
    from custodes import decisions

    return _ask(lambda home, by, now: decisions.asking(home).draft("lift", by, {"hold": number}, now), **options)


def _ask(draft: Any, *, home: Path, key_file: Path, passphrase_file: Path | None, yes: bool, at: str | None) -> int:
    from custodes import decisions

    with acting(home) as opened:
        now = clock(opened, at)
        who = open_key(opened, key_file, passphrase_file, now)
        asked_for, statement = draft(opened, who.actor, now)
        if asked_for.act == "erase":
            _say_what_it_blinds(asked_for.content)
        asked = decisions.erasing(opened).hand_in(asked_for, statement, sign(who, statement, yes=yes), now)
    click.echo(str(asked.number))
    click.echo(f"request {asked.number}: {asked.request.act}, recorded", err=True)
    return 0


def _subject(home: Home, file: Path | None) -> str:
    """Return the pseudonym of the subject that a file or stdin names. Raises `InputError`."""
    try:
        name = (read(file) if file else sys.stdin.buffer.readline()).decode().strip("\r\n")
    except UnicodeDecodeError:
        name = ""
    if not name or "\n" in name:
        raise InputError("expected the id of one subject, on one line")
    return name if re.fullmatch("s-[a-z2-7]{16}", name) else home.pseudonyms.once("subject", name)


def _say_what_it_blinds(content: Any) -> None:
    for line in (
        "this would blind, for good:",
        f"  {content['accesses']} accesses ({content['touches']} of them at several people at once)",
        f"  from {content['first']} to {content['last']}, by {', '.join(content['actors'])}",
        f"  {content['findings']} findings on the desk that name the subject",
    ):
        click.echo(line, err=True)


def _row(asked: Asked, now: datetime) -> dict[str, Any]:
    from custodes.disclose.erasing import STALE
    from custodes.guard.approval import written

    content = asked.request.content
    state = "open"
    if asked.denied:
        state = "denied"
    elif asked.done:
        state = "done"
    elif asked.intent:
        state = "BEGUN AND NOT COMPLETED: run carry-out again" if now - asked.intent > STALE else "begun"
    elif asked.lifted:
        state = "lifted"
    elif asked.in_force:
        state = "in force"
    return {
        "request": asked.number,
        "act": asked.request.act,
        "state": state,
        "asked": written(asked.at),
        "by": asked.request.by,
        "basis": content.get("basis"),
        "reason": content.get("reason"),
        "hold": content.get("hold"),
        "accesses": content.get("accesses"),
        "approved": [answer.statement.approver for answer in asked.approvals],
    }


def _recent(book: Book, now: datetime) -> dict[str, int]:
    done = [asked for asked in book.requests.values() if asked.done and now - asked.done <= _MONTH]
    return {
        "erasures": len(done),
        "accesses blinded": sum(int(str(asked.request.content["accesses"])) for asked in done),
        "refusals": sum(now - at <= _MONTH for at, _ in book.refusals),
    }
