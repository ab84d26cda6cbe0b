"""`custodes guard policy`: two people change the policy or the company's own Cedar rules, and a day later it is in force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.ledger.place import HOME
from custodes.cli.ledger.signing import AT, acting, approve, clock, deny, hand_in, open_key, signed_by
from custodes.errors import ConfigError, InputError, Refused

if TYPE_CHECKING:
    from custodes.home import Home

_FILES = click.argument("files", metavar="FILE...", nargs=-1, type=click.Path(dir_okay=False, exists=True, path_type=Path))


@click.group()
def command() -> None:
    """Change policy or data map, or add rules of the company's own in Cedar. Without two people nothing of it is taken over.

    \b
    custodes guard policy request --home home office-hours.cedar --key anna.key       or a changed policy.yaml, datamap.yaml
    custodes guard policy approve --home home 57 --key ben.key        somebody outside the unit and chain of who asks
    custodes guard policy apply --home home office-hours.cedar        24 hours later
    custodes guard policy list --home home

    Cedar files may only speak of what the schema knows; a `forbid` narrows, a `permit` widens what the shipped rules allow. Which
    files are in force, and their digests, stand in the record; every decision carries the digest of all rules together. Start a
    running service again after a changed data map.
    """  # noqa: D301  # click reads \b as "do not rewrap"


command.add_command(approve)
command.add_command(deny)


@command.command("request")
@_FILES
@click.option("--remove", multiple=True, metavar="NAME", help="A Cedar file that is to go; repeat it.")
@signed_by
def request(  # options of one command
    *,
    files: tuple[Path, ...],
    remove: tuple[str, ...],
    home: Path,
    key_file: Path,
    passphrase_file: Path | None,
    yes: bool,
    at: str | None,
) -> int:
    """Ask that FILEs be in force beside those that are, and print the request's number. They must fit the schema."""
    from custodes.decisions.in_force import policy_files
    from custodes.guard.book import POLICY
    from custodes.guard.decide import permits
    from custodes.guard.policing import DOCUMENTS, change

    with acting(home) as opened:
        now = clock(opened, at)
        wanted = {**policy_files(opened), **_named(files)}
        for name in remove:
            if wanted.pop(_place(name), None) is None:
                raise InputError(f"no Cedar file {name} is in this home")
        _compiled(wanted)
        count = sum(permits(content.decode()) for name, content in wanted.items() if name not in DOCUMENTS)
        who = open_key(opened, key_file, passphrase_file, now)
        asked = hand_in(opened, who, POLICY, change(wanted, count), now, yes=yes)
    click.echo(asked.number)
    return 0


@command.command("apply")
@HOME
@AT
@_FILES
def apply(*, home: Path, files: tuple[Path, ...], at: str | None) -> int:
    """Put FILEs in place once they are in force, and take away Cedar files that are not. A running service takes them over."""
    from custodes.decisions.in_force import policy_files
    from custodes.guard.policing import FOLDER, digest
    from custodes.home import Home
    from custodes.ledger.disk import Disk

    disk = Disk()
    with Home.open(home) as opened:
        decided = _decided(opened, at)
        for name, content in _named(files).items():
            if decided.get(name) != digest(content):
                raise Refused(f"{name} is not in force as it is", hint="two people decide, and 24 hours pass: see `policy list`")
        for name, content in _named(files).items():
            disk.make_folder((home / name).parent)
            disk.replace(home / name, content)
        for name in policy_files(opened):
            if name.startswith(FOLDER) and name not in decided:
                (home / name).unlink()
                click.echo(f"{name} is gone", err=True)
        missing = sorted(set(decided) - set(policy_files(opened)))
    click.echo("in force" if not missing else f"in force, and still missing here: {', '.join(missing)}", err=True)
    return 0


@command.command("list")
@HOME
@AT
def list_(*, home: Path, at: str | None) -> int:
    """List the files in force, with their digests, and whether they lie here so."""
    from custodes.decisions.in_force import policy_files
    from custodes.guard.policing import undecided
    from custodes.home import Home

    with Home.open(home) as opened:
        decided, present = _decided(opened, at), policy_files(opened)
    wrong = undecided(present, decided)
    for name, sha in sorted(decided.items()):
        click.echo(f"{sha}  {name}{'  NOT AS DECIDED HERE' if name in wrong else ''}")
    for name in sorted(set(wrong) - set(decided)):
        click.echo(f"{'-' * 64}  {name}  NOBODY DECIDED ON IT")
    return 0


def _decided(home: Home, at: str | None) -> dict[str, str]:
    from custodes import decisions
    from custodes.guard.policing import in_force

    return in_force(home.own_leaves(), decisions.asking(home).book().requests, clock(home, at))


def _named(files: tuple[Path, ...]) -> dict[str, bytes]:
    if not files:
        return {}
    return {_place(file.name): file.read_bytes() for file in files}


def _place(name: str) -> str:
    from custodes.guard.policing import DOCUMENTS, FOLDER

    if name in DOCUMENTS:
        return name
    if not name.endswith(".cedar"):
        raise InputError(f"{name}: expected {', '.join(DOCUMENTS)} or a file NAME.cedar")
    return f"{FOLDER}/{name.removeprefix(f'{FOLDER}/')}"


def _compiled(files: dict[str, bytes]) -> None:
    """Raise `ConfigError` unless all of them together make rules."""
    from custodes.guard.decide import compile_rules
    from custodes.guard.policing import DOCUMENT, DOCUMENTS
    from custodes.model.datamap import DataMap
    from custodes.model.policy import Policy
    from custodes.settings import yaml_of

    document = files.get(DOCUMENT, b"")
    try:
        company = [text.decode("utf-8") for name, text in sorted(files.items()) if name not in DOCUMENTS]
    except UnicodeDecodeError:
        raise ConfigError("a Cedar file is not UTF-8") from None
    policy = Policy.of(yaml_of(document, DOCUMENT) if DOCUMENT in files else None)
    if "datamap.yaml" in files:
        DataMap.of(yaml_of(files["datamap.yaml"], "datamap.yaml"))
    compile_rules(policy, document, 1, company)
