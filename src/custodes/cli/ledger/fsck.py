"""`custodes ledger fsck`: hash the record again from its contents and compare it with all that was signed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.ledger.place import HOME, index_of, ledger_of, progress

if TYPE_CHECKING:
    from custodes.ledger.fsck import Vault
    from custodes.ledger.fsck_report import FsckReport


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

    index = index_of(home)
    report = check(ledger_of(home), _vault(home) if deep else None, index=index, progress=progress("checked"))
    if deep:
        _check_erasures(home, report)
    click.echo(_as_json(report) if form == "json" else "\n".join(_as_text(report, deep=deep)))
    return report.exit_code


def _vault(home: Path) -> Vault:
    from custodes.home import Home

    with Home.open(home) as opened:
        return opened.vault()


def _check_erasures(home: Path, report: FsckReport) -> None:
    """Add erasures that nobody approved as they are recorded (a problem) and those that were begun and not completed (a note)."""
    from datetime import UTC, datetime

    from custodes.disclose.erasing import STALE
    from custodes.errors import CustodesError
    from custodes.guard.book import Book
    from custodes.home import Home
    from custodes.ledger.segments import Segments
    from custodes.store.own_leaves import own_leaves

    with Home.open(home) as opened:
        try:
            book = Book.of(own_leaves(opened.vault(), Segments(ledger_of(home)).read, report.entries, None))
        except CustodesError as wrong:
            report.unread.append(f"decisions about erasures: {wrong}")
            return
    for text in book.unfounded:
        report.problem(text)
    for asked in book.requests.values():
        if asked.intent and not asked.done and datetime.now(UTC) - asked.intent > STALE:
            report.notes.append(
                f"erasure {asked.number} was begun more than 24 h ago and not completed: run `erase carry-out` again"
            )


def _as_text(report: FsckReport, *, deep: bool) -> list[str]:
    words = {0: "sound", 2: "could not be checked in full", 3: "BROKEN"}
    lines = [f"ledger {report.origin or '(no name)'}: {words[report.exit_code]}"]
    lines.append(f"  {report.entries} entries, {report.signed_entries} signed; {report.segments} segments, {report.tiles} tiles")
    lines.append(f"  {report.records} signed checkpoints, {report.signatures} signatures; {report.sources} sources followed")
    lines.append(
        f"  {report.opened} leaves opened against the vault" if deep else "  contents behind the leaves not opened (--deep)"
    )
    if report.erased or report.expired:
        lines.append(
            f"  {report.erased} leaves erased with a record; raw records of {report.expired} batches expired with a record"
        )
    if report.index is not None:
        found = report.index
        lines.append(
            f"  index: {found.entries} roots of {found.months} months, {found.lists} tag lists, {found.covered} entries covered"
        )
    lines += [f"  BROKEN  {text}" for text in report.problems]
    if report.untold:
        lines.append(f"  BROKEN  and {report.untold} more")
    lines += [f"  UNREAD  {text}" for text in report.unread]
    return lines + [f"  note    {text}" for text in report.notes]


def _as_json(report: FsckReport) -> str:
    import json

    names = (
        "origin",
        "entries",
        "signed_entries",
        "segments",
        "tiles",
        "records",
        "signatures",
        "sources",
        "opened",
        "erased",
        "expired",
    )
    facts = {name: getattr(report, name) for name in names}
    told = {"problems": report.problems, "untold": report.untold, "unread": report.unread, "notes": report.notes}
    index = (
        None if report.index is None else {name: getattr(report.index, name) for name in ("entries", "months", "lists", "covered")}
    )
    document = {"schema": "custodes.fsck/1", "exit": report.exit_code, **facts, "index": index, **told}
    return json.dumps(document, ensure_ascii=False, indent=1)
