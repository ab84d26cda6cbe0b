"""`custodes ledger approver`: the keys of those who may ask for and approve erasures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodes.cli.ledger.place import HOME
from custodes.cli.ledger.signing import acting, approve, as_json, clock, deny, hand_in, open_key, passphrase, signed_by
from custodes.errors import ConfigError

if TYPE_CHECKING:
    from custodes.home import Home


@click.group()
def command() -> None:
    """The keys of those who may ask for and approve erasures.

    \b
    custodes ledger approver keygen anna.key                       a key file of your own; prints the public key
    custodes init home --approver ID=KEY --approver ID=KEY --approver ID=KEY
    custodes ledger approver enrol --home home --actor ID --public-key KEY --key anna.key
    custodes ledger approver approve --home home 41 --key ben.key   two others enrol a key; it counts 24 hours later
    custodes ledger approver revoke --home home --key anna.key      your own, at once; somebody else's with one other person
    custodes ledger approver list --home home

    The first keys stand in the home's second leaf, which `init` writes; a home made without them can never erase.
    """  # noqa: D301  # click reads \b as "do not rewrap"


command.add_command(approve)
command.add_command(deny)


@command.command("keygen")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--passphrase-file", type=click.Path(dir_okay=False, path_type=Path), help="Read the passphrase from this file.")
def keygen(file: Path, passphrase_file: Path | None) -> int:
    """Make a key FILE, sealed with a passphrase, and print its public key. An existing file is never overwritten.

    Do this on a machine of your own. Whoever has the file and its passphrase signs in your name.
    """
    from custodes.guard.keyfile import generate
    from custodes.ledger.disk import Disk

    if file.exists():
        raise ConfigError(f"{file.name} is there already; a key is never overwritten")
    sealed, public = generate(passphrase(passphrase_file, twice=True))
    Disk().replace(file, sealed)
    click.echo(public.hex())
    return 0


@command.command("enrol")
@click.option("--actor", required=True, metavar="ID", help="Whose key it is: the company's id, or its pseudonym a-….")
@click.option("--public-key", required=True, metavar="KEY", help="As `keygen` printed it, or a passkey.")
@signed_by
def enrol(*, actor: str, public_key: str, **options: Any) -> int:
    """Ask that a key be enrolled for somebody else; one other person approves. It counts 24 hours later, in place of an older key.

    One of the two must stand outside the person's unit and chain. Until it counts, anybody with a key may deny it. A passkey is
    called by the word that `custodes guard serve` made of its registration (passkey:…).
    """
    key = public_key if public_key.startswith("passkey:") else public_key.lower()
    return _ask("enrol", actor, {"key": key}, **options)


@command.command("revoke")
@click.option("--actor", metavar="ID", help="Whose key it is; without it, your own.")
@click.option("--public-key", metavar="HEX", help="Which of their keys; without it, the one in force.")
@signed_by
def revoke(*, actor: str | None, public_key: str | None, **options: Any) -> int:
    """Revoke a key: your own at once, somebody else's with one other person. What it approved and is not done counts no more."""
    return _ask("revoke", actor, {"key": public_key}, **options)


@command.command("list")
@HOME
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def list_(*, home: Path, form: str) -> int:
    """List all keys that were ever enrolled: whose, since when, revoked when. Compare them with those that people hold."""
    from custodes import decisions
    from custodes.guard.approval import written
    from custodes.home import Home

    with Home.open(home) as opened:
        keys = [
            {
                "actor": key.actor,
                "key": key.written(),
                "begins": written(key.begins),
                "revoked": written(key.revoked) if key.revoked else None,
                "request": key.request,
            }
            for key in decisions.asking(opened).book().keys
        ]
    if form == "json":
        click.echo(as_json({"schema": "custodes.approvers/1", "keys": keys}))
        return 0
    for key in keys:
        how = "first key" if key["request"] is None else f"request {key['request']}"
        click.echo(f"{key['actor']}  {key['key']}  from {key['begins']}  {how}{f', revoked {r}' if (r := key['revoked']) else ''}")
    return 0


def _ask(
    act: str,
    actor: str | None,
    content: dict[str, str | None],
    *,
    home: Path,
    key_file: Path,
    passphrase_file: Path | None,
    yes: bool,
    at: str | None,
) -> int:
    from custodes import decisions

    with acting(home) as opened:
        now = clock(opened, at)
        who = open_key(opened, key_file, passphrase_file, now)
        whose = who.actor if actor is None else pseudonym(opened, actor)
        key = content["key"] or (decisions.asking(opened).book().keys.of(whose, now) or b"").hex()
        asked = hand_in(opened, who, act, {"actor": whose, "key": key}, now, yes=yes)
    click.echo(str(asked.number))
    needs = "in force" if asked.in_force else "one other person must approve it"
    click.echo(f"request {asked.number}: {act} a key of {whose}; {needs}", err=True)
    return 0


def pseudonym(home: Home, actor: str) -> str:
    """Return the pseudonym of a company's id; a pseudonym stays what it is."""
    import re

    return actor if re.fullmatch("a-[a-z2-7]{16}", actor) else home.pseudonyms.once("actor", actor)
