"""`custodes ledger`: check, prove from, export and show the record."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.errors import InputError, WouldCreate

if TYPE_CHECKING:
    from custodes.ledger.fsck import FsckReport, Vault

_HOME = click.option(
    "--home", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home; or CUSTODES_HOME."
)


@click.group()
def command() -> None:
    """The record of every look: check it, prove from it, hand it out.

    \b
    custodes ledger fsck --home home                         does it hold what was signed?
    custodes ledger prove --home home --leaf 7 -o look.tlog-proof
    custodes ledger export --home home public/               a static folder that any C2SP client reads
    custodes ledger checkpoint --home home                   the signed tree, and the key to check it with
    """  # noqa: D301  # click reads \b as "do not rewrap"


@command.command()
@_HOME
@click.option("--deep", is_flag=True, help="Also open every sealed content and compare it with its leaf (needs the vault key).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def fsck(*, home: Path, deep: bool, form: str) -> int:
    """Hash everything again from its contents and compare it with all that was ever signed.

    Ends with 0 if the record is sound, 3 if nobody should trust it, 2 if a part could not be read. It finds damage and
    rewriting; that the whole log was not exchanged for another is what `custodes verify` checks, with a key kept elsewhere.

    \b
    custodes ledger fsck --home home
    custodes ledger fsck --home home --deep --format json
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.fsck import fsck as check

    report = check(_folder(home), _vault(home) if deep else None, progress=_progress("checked"))
    click.echo(_as_json(report) if form == "json" else "\n".join(_as_text(report, deep=deep)))
    return report.exit_code


@command.command()
@_HOME
@click.option("--leaf", type=click.IntRange(0), required=True, help="Index of the entry.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def prove(*, home: Path, leaf: int, output: Path) -> int:
    """Write the proof that one entry is in the published tree (C2SP tlog-proof, the entry in its `extra` line).

    \b
    custodes ledger prove --home home --leaf 7 -o look.tlog-proof
    custodes verify look.tlog-proof --policy my.policy
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.checkpoint import read_unverified
    from custodes.ledger.leaf import leaf_hash
    from custodes.ledger.merkle import verify_inclusion
    from custodes.ledger.proof import Proof, inclusion
    from custodes.ledger.segments import Segments, read_bytes

    folder = _folder(home)
    published = read_unverified(read_bytes(folder / "checkpoint"))
    if leaf >= published.size:
        raise InputError(f"the published tree has {published.size} entries, numbered from 0")
    reader = Segments(folder)
    entry, hashes = reader.read(leaf, leaf + 1)[0], inclusion(reader, leaf, published.size)
    verify_inclusion(leaf, published.size, leaf_hash(entry), hashes, published.root)
    output.write_bytes(Proof(leaf, tuple(hashes), published.note, entry).to_bytes())
    click.echo(f"entry {leaf} of {published.origin}, size {published.size}: {output}", err=True)
    return 0


@command.command()
@_HOME
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
def export(*, home: Path, target: Path) -> int:
    """Write the published log as a static folder of tiles (C2SP tlog-tiles). Again into the same folder: only what is new.

    \b
    custodes ledger export --home home public/
    custodes verify public/ --policy my.policy
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.export import export as write

    published = write(_folder(home), target, progress=_progress("written"))
    click.echo(f"{published.size} entries of {published.origin}: {target}", err=True)
    return 0


@command.command()
@_HOME
@click.option("--policy", "only_policy", is_flag=True, help="Print only the policy text, for a reader's file.")
def checkpoint(*, home: Path, only_policy: bool) -> int:
    """Print the published checkpoint, and the policy lines that a reader needs to check it.

    A reader should get the policy from a person and keep it: a key that comes with the log proves nothing about the log.

    \b
    custodes ledger checkpoint --home home
    custodes ledger checkpoint --home home --policy > my.policy
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.segments import read_bytes

    folder = _folder(home)
    policy = "".join(f"log {line}\n" for line in read_bytes(folder / "vkey").decode().splitlines()) + "quorum none\n"
    if not only_policy:
        click.echo(read_bytes(folder / "checkpoint").decode())
        click.echo(
            "# policy for readers of this log (keep it apart from the log; name witnesses instead of none once there are some)"
        )
    click.echo(policy, nl=False)
    return 0


def _folder(home: Path) -> Path:
    folder = home / "ledger" / "log"
    if not folder.is_dir():
        raise WouldCreate(f"{home} holds no ledger")
    return folder


def _vault(home: Path) -> Vault:
    from custodes.home import Home

    with Home.open(home) as opened:
        return opened.vault()


def _progress(word: str) -> Callable[[int, int], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        click.echo(f"\r\x1b[K{word} {done:,} of {total:,}" if done < total else "\r\x1b[K", err=True, nl=False)

    return show


def _as_text(report: FsckReport, *, deep: bool) -> list[str]:
    words = {0: "sound", 2: "could not be checked in full", 3: "BROKEN"}
    lines = [f"ledger {report.origin or '(no name)'}: {words[report.exit_code]}"]
    lines.append(f"  {report.entries} entries, {report.signed_entries} signed; {report.segments} segments, {report.tiles} tiles")
    lines.append(f"  {report.records} signed checkpoints, {report.signatures} signatures; {report.sources} sources followed")
    lines.append(
        f"  {report.opened} leaves opened against the vault" if deep else "  contents behind the leaves not opened (--deep)"
    )
    lines += [f"  BROKEN  {text}" for text in report.problems]
    if report.untold:
        lines.append(f"  BROKEN  and {report.untold} more")
    lines += [f"  UNREAD  {text}" for text in report.unread]
    return lines + [f"  note    {text}" for text in report.notes]


def _as_json(report: FsckReport) -> str:
    import json

    names = ("origin", "entries", "signed_entries", "segments", "tiles", "records", "signatures", "sources", "opened")
    facts = {name: getattr(report, name) for name in names}
    told = {"problems": report.problems, "untold": report.untold, "unread": report.unread, "notes": report.notes}
    return json.dumps({"schema": "custodes.fsck/1", "exit": report.exit_code, **facts, **told}, ensure_ascii=False, indent=1)
