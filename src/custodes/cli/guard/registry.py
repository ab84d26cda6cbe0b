"""`custodes guard registry`: the registry's key, made in a token, and exchanged with the help of a trustee outside."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from custodes.cli.guard.database import HOME
from custodes.errors import ConfigError, InputError

if TYPE_CHECKING:
    from custodes.home import Home
    from custodes.protected.registry import Registry
    from custodes.protected.trustee import Row

_FILE = click.Path(dir_okay=False, path_type=Path)
_POLICY = 7


@click.group()
def command() -> None:
    """The key under which protected people are kept: make it in a token, or exchange it for another.

    A registry cannot be listed, so a new key needs the list from elsewhere: everybody who is enrolled is also put on a list that
    only a trustee outside can open. For a rotation the trustee opens it on a machine of their own and brings the rows.

    \b
    custodes guard registry keygen trustee.key            the trustee: prints the public key for registry.trustee
    custodes guard registry make-key --home home          the key in the PKCS#11 token that custodes.toml names
    custodes guard registry open-list LIST --key trustee.key -o rows.json        the trustee, for a rotation
    custodes guard registry rotate --home home --rows rows.json                  then destroy rows.json
    """  # noqa: D301  # click reads \b as "do not rewrap"


@command.command("keygen")
@click.argument("file", type=_FILE)
def keygen(file: Path) -> int:
    """Make the trustee's key FILE and print its public key. Not on a machine of the company; never overwritten."""
    from custodes.protected.trustee import keygen as made

    private, public = made()
    _write_once(file, private.encode() + b"\n")
    click.echo(public)
    return 0


@command.command("make-key")
@HOME
def make_key(*, home: Path) -> int:
    """Make the registry key in the token that `[registry]` names: for HMAC only, and not to be handed out. Needs custodes[hsm]."""
    from custodes.home import Home

    with Home.open(home) as opened:
        if not opened.settings.registry.module:
            raise ConfigError("custodes.toml names no PKCS#11 module", hint="set registry.module, token, label and pin_file")
        opened.token_key.make()
        if not opened.token_key.is_sealed_in():
            raise ConfigError("the token hands its key out: it is no place for it")
    click.echo("the key is in the token, which does not hand it out", err=True)
    return 0


@command.command("open-list")
@click.argument("list_file", metavar="LIST", type=_FILE)
@click.option("--key", "key_file", type=_FILE, required=True, help="The trustee's key file.")
@click.option(
    "-o", "--output", type=_FILE, required=True, help="File for the rows; never overwritten. Destroy it after the rotation."
)
def open_list(*, list_file: Path, key_file: Path, output: Path) -> int:
    """Open the list (`registry/for-the-trustee` of the home) with the trustee's key. For the trustee, on a machine of their own."""
    from custodes.protected.trustee import open_list as opened

    rows = opened(_read(list_file), _read(key_file).decode("ascii", "replace").strip())
    told = [[subject, e.cls, *(None if at is None else at.isoformat() for at in (e.enrolled, e.expires))] for subject, e in rows]
    _write_once(output, json.dumps({"schema": "custodes.enrolments/1", "rows": told}).encode() + b"\n")
    click.echo(f"{len(rows):,} rows: bring them to the rotation, then destroy {output.name}", err=True)
    return 0


@command.command("rotate")
@HOME
@click.option("--rows", "rows_file", type=_FILE, required=True, help="What the trustee brought.")
@click.option("--label", metavar="NAME", help="With a token: name of the new key in it.")
def rotate(*, home: Path, rows_file: Path, label: str | None) -> int:
    """Exchange the registry's key: everybody is enrolled anew under a fresh one, and decoys are drawn anew.

    Refused (4) if the rows lack anybody whom the registry protects now: nobody loses protection by a rotation. Who was erased is
    not enrolled again. With a key file the exchange is complete when this ends. With a token the new key is made under --label, and
    takes over when registry.label in custodes.toml names it; let nobody be enrolled in between.
    """
    from custodes.home import Home

    with Home.open(home) as opened:
        rows = _rows(json.loads(_read(rows_file)))
        if bool(opened.settings.registry.module) != bool(label):
            raise InputError("--label names the new key of a token; a key file has none")
        if label:
            _rotate_in_token(opened, rows, label)
        else:
            _rotate_file(opened, rows)
    click.echo(f"now destroy {rows_file.name}", err=True)
    return 0


def _rotate_file(home: Home, rows: list[Row]) -> None:
    from custodes.ledger.disk import Disk
    from custodes.protected.registry import Registry

    key = secrets.token_bytes(32)
    old, fresh = home.registry(), Registry(home.path / "registry", key, fresh=True)
    _take_over(home, old, fresh, rows)
    # Before this line the old key and its file are in force; from here on the new ones are.
    Disk().replace(home.path / "keys" / "registry.key", key)
    old.leave_to(fresh)
    click.echo("the registry is under a new key", err=True)


def _rotate_in_token(home: Home, rows: list[Row], label: str) -> None:
    from custodes.home import Home
    from custodes.protected.registry import Registry

    settings = replace(home.settings, registry=replace(home.settings.registry, label=label))
    key = Home(home.path, settings).token_key
    key.make()
    _take_over(home, home.registry(), Registry(home.path / "registry", key, fresh=True), rows)
    click.echo(f'the new key is made and enrolled: set registry.label = "{label}" in custodes.toml', err=True)


def _take_over(home: Home, old: Registry, fresh: Registry, rows: list[Row]) -> None:
    """Enrol under the fresh key, then record it, then seal the list anew: without those who were erased."""
    from custodes.ledger.disk import Disk
    from custodes.protected import trustee
    from custodes.protected.rotation import rotate

    held = rotate(old, fresh, rows)
    home.record(_POLICY, {"what": "registry rotated"})
    if home.settings.registry.trustee:
        sealed = trustee.seal(held, trustee.public_of(home.settings.registry.trustee))
        Disk().replace(home.path / "registry" / trustee.FILE, sealed)


def _rows(document: Any) -> list[Row]:
    from datetime import datetime

    from custodes.protected.registry import Enrolment

    try:
        return [
            (subject, Enrolment(cls, *(None if at is None else datetime.fromisoformat(at) for at in times)))
            for subject, cls, *times in document["rows"]
        ]
    except (KeyError, TypeError, ValueError):
        raise InputError("expected the rows as `custodes guard registry open-list` writes them") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise InputError(f"{path} cannot be read ({wrong.strerror})") from None


def _write_once(path: Path, data: bytes) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except OSError as wrong:
        raise InputError(f"{path} cannot be written ({wrong.strerror})") from None
