"""`custodes ingest`: read access logs into a home."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from custodes.intake import Intake
    from custodes.intake.report import IngestReport

_SHOWN: Final = 20
_INTERRUPTED: Final = 130


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--home", "folder", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home.")
@click.option("--source", default="auto", show_default=True, help="Kind of log: access, pgaudit, cloudtrail, or auto.")
@click.option("--follow", is_flag=True, help="Keep reading as the files grow or are rotated, until Ctrl-C.")
@click.option("--poll", type=click.FloatRange(0.01, 60), default=0.3, show_default=True, help="Seconds between looks (--follow).")
@click.option("--idle-stop", type=click.FloatRange(0), help="End after so many seconds without a new record (--follow).")
def command(*, folder: Path, files: tuple[str, ...], source: str, follow: bool, poll: float, idle_stop: float | None) -> int:
    """Read access logs: every record is sealed and recorded in the ledger before anything is made of it.

    \b
    custodes ingest --home home --source auto postgresql.json
    custodes ingest --home home --source cloudtrail trail/*.json.gz
    custodes ingest --home home --source pgaudit --follow /var/log/postgresql/postgresql.json

    Reading a file twice adds nothing, and a run that was stopped goes on where it was. Records that cannot be read are kept,
    sealed, each with its reason; the rest goes on. Ends with 0, with 2 if a file could not be opened or recognised (the others
    are read all the same), with 5 if the disk is full or another process reads into this home, with 130 after Ctrl-C.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.decisions.glass import settle_spool
    from custodes.home import Home
    from custodes.source import Follow

    tail = Follow(poll, idle_stop) if follow else None
    with Home.open(folder) as home:
        settle_spool(home, whole=True)
        intake = home.intake()
        with interruptible(intake), progress_line() as progress:
            report = intake.read(source, files, follow=tail, progress=progress)
    say_report(report)
    if intake.stopping:
        return _INTERRUPTED
    return 2 if report.unread else 0


def say_report(report: IngestReport) -> None:
    """Say on stderr what a run read, what it could not read, and what it noticed. No content of records."""
    lines = [f"{report.lines:,} new records → {report.accesses:,} accesses, {report.touches:,} persons touched"]
    if report.noise:
        counted = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.noise.items()))
        lines.append(f"  counted, no accesses: {counted}")
    if report.folded:
        lines.append(f"  {report.folded:,} records were known already (same source, same bytes) and were not taken twice")
    if report.rejected:
        lines.append(f"  {report.rejected_lines:,} records could not be read; they are kept, sealed, in rejected/:")
        lines += [f"    {text}" for text in report.rejected_at[:_SHOWN]]
        more = report.rejected_lines - len(report.rejected_at[:_SHOWN])
        lines += [f"    … and {more:,} more"] if more > 0 else []
    lines += [f"  noticed  {text}" for text in report.notes[:_SHOWN]]
    if len(report.notes) > _SHOWN:
        lines.append(f"  … and {len(report.notes) - _SHOWN:,} more, in notes.ndjson")
    lines += [f"  not read {reason}" for _, reason in report.unread]
    if not (report.lines or report.folded or report.unread):
        lines.append("  nothing new to read")
    for line in lines:
        click.echo(line, err=True)


@contextmanager
def interruptible(intake: Intake) -> Iterator[None]:
    """End after the chunk at hand on the first Ctrl-C; a second one ends at once (and the next run completes what it left)."""

    def stop(number: int, frame: object) -> None:
        del number, frame
        intake.stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress_line() -> Iterator[Callable[[int], None] | None]:
    """Show records and records per second in one line on stderr, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()
    shown = began

    def show(records: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= 0.2:
            shown = now
            click.echo(f"\r\x1b[K  {records:,} records, {records / (now - began):,.0f}/s", err=True, nl=False)

    try:
        yield show
    finally:
        click.echo("\r\x1b[K", err=True, nl=False)
