"""`custodes ledger index`: the roots of the months, and what they say of one tag."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.cli.ledger.place import HOME, ledger_of
from custodes.errors import InputError, PartMissing

if TYPE_CHECKING:
    from custodes.ledger.index import IndexEntry, Lookup
    from custodes.ledger.index_log import IndexLog

FORM = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
)


@click.group()
def command() -> None:
    """The verifiable index: for every month, which entries bear which tag, under a signed root.

    \b
    custodes ledger index publish --home home                     a root of the open month, now
    custodes ledger index roots --home home                       all roots that were published
    custodes ledger index lookup --home home < tag                the entries that bear a tag, with the proof that these are all
    """  # noqa: D301  # click reads \b as "do not rewrap"


@command.command()
@HOME
@FORM
def publish(*, home: Path, form: str) -> int:
    """Publish the record and a root for every month that lacks one, the open month included.

    A root of the open month is published once a day by itself; ask for one when somebody shall be answered from it today.

    \b
    custodes ledger index publish --home home
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.home import Home

    ledger_of(home)
    with Home.open(home) as opened:
        before = len(opened.index().entries())
        opened.checkpoint(force=True)
        entries = opened.index().entries()
    _show(list(enumerate(entries))[before:], form)
    if len(entries) == before:
        click.echo("nothing new: the last roots cover all that is published", err=True)
    return 0


@command.command()
@HOME
@FORM
def roots(*, home: Path, form: str) -> int:
    """Show all published roots, oldest first. Needs no key.

    \b
    custodes ledger index roots --home home --format json
    """  # noqa: D301  # click reads \b as "do not rewrap"
    with _without_keys(home) as index:
        _show(list(enumerate(index.entries())), form)
    return 0


@command.command()
@HOME
@FORM
@click.option("--epoch", metavar="YYYY-MM", help="One month [all that have a root].")
def lookup(*, home: Path, form: str, epoch: str | None) -> int:
    """Look up a tag, given on stdin as 64 hex digits: all entries that bear it, or that there is none. Needs no key.

    With --format json each answer carries its proof (`custodes.lookup/1`) and the root that it leads to.

    \b
    custodes ledger index lookup --home home --epoch 2026-11 < tag
    """  # noqa: D301  # click reads \b as "do not rewrap"
    text = sys.stdin.read(1_000).strip()
    try:
        tag = bytes.fromhex(text)
    except ValueError:
        tag = b""
    if len(tag) != 32:
        raise InputError("a tag is 64 hex digits on stdin")
    with _without_keys(home) as index:
        epochs = [epoch] if epoch else list(dict.fromkeys(entry.epoch for entry in index.entries()))
        if not epochs:
            raise PartMissing("the index has no root yet", hint="make one with `custodes ledger index publish`")
        found = [index.lookup(tag, one) for one in epochs]
        entries = index.entries()
    _answer([(answer, place, entries[place]) for answer, place in found], form)
    return 0


@contextmanager
def _without_keys(home: Path) -> Iterator[IndexLog]:
    from custodes.ledger.index_log import IndexLog
    from custodes.ledger.log import Log

    folder = ledger_of(home)
    if not (folder.with_name("index") / "signed").exists():
        raise PartMissing("this home has no index yet", hint="make it with `custodes ledger index publish`")
    with Log.open(folder) as main, Log.open(folder.with_name("index")) as index:
        yield IndexLog(main, index)


def _show(entries: list[tuple[int, IndexEntry]], form: str) -> None:
    if form == "json":
        made = [{"place": place, **json.loads(entry.to_bytes())} for place, entry in entries]
        click.echo(json.dumps({"schema": "custodes.index-roots/1", "roots": made}, indent=1))
        return
    for place, entry in entries:
        click.echo(_line(place, entry))


def _line(place: int, entry: IndexEntry) -> str:
    return (
        f"{entry.epoch}  root {place}{', final' if entry.final else ''}: {entry.tags} tags in {entry.positions} places below "
        f"{entry.size}; {entry.unresolved} without a name, {entry.many} accesses of several subjects"
    )


def _answer(found: list[tuple[Lookup, int, IndexEntry]], form: str) -> None:
    if form == "json":
        made = [
            {"place": place, "entry": json.loads(entry.to_bytes()), "lookup": answer.to_json()} for answer, place, entry in found
        ]
        click.echo(json.dumps({"schema": "custodes.index-lookups/1", "answers": made}, indent=1))
        return
    for answer, place, entry in found:
        what = ", ".join(map(str, answer.positions)) or "none"
        click.echo(f"{entry.epoch}  entries: {what}  (root {place}{', final' if entry.final else ''}, below {entry.size})")
