"""`custodes ledger fsck`: hash the record again from its contents and compare it with all that was signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.ledger.place import HOME, ledger_of, progress

if TYPE_CHECKING:
    from custodes.ledger.fsck import FsckReport, Vault


@click.command()
@HOME
@click.option("--deep", is_flag=True, help="Also open every sealed content and compare it with its leaf (needs the vault key).")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def command(*, home: Path, deep: bool, form: str) -> int:
    """Hash everything again from its contents and compare it with all that was ever signed.

    Ends with 0 if the record is sound, 3 if nobody should trust it, 2 if a part could not be read. It finds damage and
    rewriting; that the whole log was not exchanged for another is what `custodes verify` checks, with a key kept elsewhere.

    \b
    custodes ledger fsck --home home
    custodes ledger fsck --home home --deep --format json
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.fsck import fsck as check

    report = check(ledger_of(home), _vault(home) if deep else None, progress=progress("checked"))
    click.echo(_as_json(report) if form == "json" else "\n".join(_as_text(report, deep=deep)))
    return report.exit_code


def _vault(home: Path) -> Vault:
    from custodes.home import Home

    with Home.open(home) as opened:
        return opened.vault()


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
