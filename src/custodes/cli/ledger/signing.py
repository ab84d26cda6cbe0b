"""Who acts, and when: the key file that signs, the statement shown before it does, and the clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from custodes.cli.ledger.place import HOME
from custodes.errors import InputError, MissingSecret, Refused
from custodes.lines.whole import read_whole

if TYPE_CHECKING:
    from custodes.guard.approval import Statement
    from custodes.guard.book import Asked
    from custodes.home import Home
    from custodes.model.canonical import Json

_FILE = click.Path(dir_okay=False, path_type=Path)
AT = click.option("--at", metavar="TIME", help="Rehearse at this time (RFC 3339); in simulated homes only.")


class Signatory(NamedTuple):
    """Who signs: the actor (pseudonym) whose enrolled key was opened."""

    actor: str
    seed: bytes


def signed_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that somebody signs."""
    for option in (
        HOME,
        AT,
        click.option("--yes", is_flag=True, help="Sign without asking again."),
        click.option("--passphrase-file", type=_FILE, help="Read the passphrase from this file instead of the terminal."),
        click.option("--key", "key_file", type=_FILE, required=True, help="Your key file, as `approver keygen` made it."),
    ):
        function = option(function)
    return function


def clock(home: Home, at: str | None) -> datetime:
    """Return the time by which a command acts. Raises `Refused` for a chosen time in a home that is not simulated."""
    if at is None:
        return datetime.now(UTC)
    if not home.simulated:
        raise Refused("the clock is chosen in simulated homes only")
    try:
        time = datetime.fromisoformat(at)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise InputError("--at: expected a time such as 2026-01-31T09:00:00Z")
    return time.astimezone(UTC)


@contextmanager
def acting(home: Path) -> Iterator[Home]:
    """Open a home; publish at the end what was recorded, a refusal too."""
    from custodes.home import Home

    with Home.open(home) as opened:
        try:
            yield opened
        except Refused:
            opened.checkpoint()
            raise
        opened.checkpoint()


def passphrase(file: Path | None, *, twice: bool = False) -> bytes:
    """Return the passphrase from a file (its first line) or the terminal."""
    if file is None:
        text: str = click.prompt("passphrase", hide_input=True, confirmation_prompt=twice, err=True)
        return text.encode()
    return read(file).split(b"\n")[0].rstrip(b"\r")


def read(file: Path) -> bytes:
    """Return a file's bytes. Raises `MissingSecret`."""
    try:
        return read_whole(file, pipes=True)
    except OSError as wrong:
        raise MissingSecret(f"{file.name} cannot be read: {wrong.strerror}") from None


def open_key(home: Home, key_file: Path, passphrase_file: Path | None, now: datetime) -> Signatory:
    """Return whose key this is. Raises `Refused`, recorded, if it was never enrolled."""
    from custodes import decisions
    from custodes.guard.approval import Refusal
    from custodes.guard.keyfile import unseal

    seed, public = unseal(read(key_file), passphrase(passphrase_file))
    asking = decisions.asking(home)
    actor = asking.book().keys.holder(public)
    if actor is None:
        asking.refuse(Refusal("no-key", "this key is enrolled for nobody"), now, act="", step="sign", by="")
    return Signatory(actor, seed)


def sign(who: Signatory, statement: Statement, *, yes: bool) -> bytes:
    """Show the statement (its canonical bytes, on stderr), ask, and return the signature. Raises `click.Abort`."""
    from custodes.guard.approval import sign as signature

    click.echo(statement.to_bytes().decode(), err=True)
    click.echo(f"challenge {statement.challenge().hex()}", err=True)
    if not yes:
        click.confirm(f"sign this as {who.actor}: {statement.decision}?", abort=True, err=True)
    return signature(statement, who.seed)


def hand_in(home: Home, who: Signatory, act: str, content: Mapping[str, Json], now: datetime, *, yes: bool) -> Asked:
    """Draft a request, show it, sign it and hand it in; return it as it is recorded. Raises `Refused` and `click.Abort`."""
    from custodes import decisions

    asking = decisions.asking(home)
    request, statement = asking.draft(act, who.actor, content, now)
    signature = sign(who, statement, yes=yes)
    with asking.lock():
        return asking.hand_in(request, statement, signature, now)


@click.command("approve")
@click.argument("number", type=click.IntRange(0))
@signed_by
def approve(**options: Any) -> int:
    """Approve request NUMBER: see the statement, sign it, have it recorded."""
    return _answer("approve", **options)


@click.command("deny")
@click.argument("number", type=click.IntRange(0))
@signed_by
def deny(**options: Any) -> int:
    """Deny request NUMBER. One denial ends it, also an enrolment in its first 24 hours; who asked withdraws it so."""
    return _answer("deny", **options)


def _answer(
    decision: str, *, home: Path, number: int, key_file: Path, passphrase_file: Path | None, yes: bool, at: str | None
) -> int:
    from custodes import decisions

    with acting(home) as opened:
        now = clock(opened, at)
        who = open_key(opened, key_file, passphrase_file, now)
        erasing, asking = decisions.erasing(opened), decisions.asking(opened)
        statement = asking.statement(number, who.actor, decision, now)
        asked = asking.book().requests[number]
        subject = erasing.subject_of(asked)
        if subject:
            click.echo(f"the reference in it means {subject}", err=True)
        asked = erasing.answer(number, statement, sign(who, statement, yes=yes), now)
    said = {"approve": f"approved by {len(asked.approvals)}", "deny": "denied"}[decision]
    click.echo(f"request {number} ({asked.request.act}): {said}", err=True)
    return 0


def as_json(document: object) -> str:
    """Return a JSON document as commands print it."""
    return json.dumps(document, ensure_ascii=False, indent=1)
