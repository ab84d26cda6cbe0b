"""`custodes watch`: the ranked answer to "who looked at whose data without a reason?"."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes import __version__
from custodes.errors import ConfigError, RuleFailed

if TYPE_CHECKING:
    from custodes.home import Home
    from custodes.minimise.display import Display
    from custodes.model.run import WatchRun

FORMATS = ("text", "json", "ndjson", "sarif")


class Moment(click.ParamType["datetime"]):
    """A day (its first moment in UTC) or an RFC 3339 time with a zone."""

    name = "time"

    def convert(self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment in UTC, or fail with what was expected."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; expected 2026-03-02 or 2026-03-02T10:00:00Z", param, ctx)
        if len(value) == 10:
            return moment.replace(tzinfo=UTC)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone; write it as {value}Z if it is UTC", param, ctx)
        return moment.astimezone(UTC)


@click.command()
@click.option("--home", "folder", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", required=True, help="The home.")
@click.option("--since", type=Moment(), help="Only accesses from this time on (a day, or RFC 3339 with a zone).")
@click.option("--until", type=Moment(), help="Only accesses before this time.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="What goes to stdout.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Also write the report as one HTML file.")
@click.option("--budget", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Campaigns a week.")
@click.option("--reveal-ids", is_flag=True, help="Print company ids; refused unless the home is simulated.")
@click.option("--keep", is_flag=True, help="Keep verdicts for later runs, and use those kept; what is found is the same.")
@click.option("--exit-zero", is_flag=True, help="End with 0 although campaigns are shown (for pipelines that read the output).")
@click.option("--follow", is_flag=True, help="Tell findings that stand on single looks as they come, until Ctrl-C.")
@click.option("--poll", type=click.FloatRange(0.01, 60), default=0.3, show_default=True, help="Seconds between looks (--follow).")
@click.option("--idle-stop", type=click.FloatRange(0), help="End after so many seconds without a new record (--follow).")
def command(
    *,
    folder: Path,
    since: datetime | None,
    until: datetime | None,
    form: str,
    report: Path | None,
    budget: int,
    reveal_ids: bool,
    keep: bool,
    exit_zero: bool,
    follow: bool,
    poll: float,
    idle_stop: float | None,
) -> int:
    """Explain, detect, rank.

    \b
    custodes watch --home home
    custodes watch --home home --since 2026-03-01 --report report.html
    custodes watch --home home --format sarif --exit-zero > findings.sarif
    custodes watch --home home --follow --format ndjson

    With --follow it explains looks as they are stored and tells at once what rules say that stand on single looks, with the id,
    level and sentence of a full run; it also tells which findings context withdraws or weakens. The other rules, scores and
    campaigns are left to the next full run.

    Ends with 0 if nothing was found, 1 if a campaign is shown, 2 for usage or configuration, 5 if a rule failed or a part
    is not available.
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.decisions.glass import settle_spool
    from custodes.home import Home

    if follow:
        from custodes.cli import follow as following

        if since or until or report or reveal_ids or form not in {"text", "ndjson"}:
            raise ConfigError("--follow takes --format text or ndjson, and no --since, --until, --report or --reveal-ids")
        status = following.run(folder, following.Pace(poll, idle_stop), as_json=form == "ndjson", keep=keep)
        return 0 if exit_zero and status == 1 else status
    with Home.open(folder) as home:
        settle_spool(home, whole=True)
        if reveal_ids and not home.simulated:
            raise ConfigError(
                "--reveal-ids prints company ids and works in simulated homes only",
                hint="in a real home names are lifted one by one, by two people, for one case",
            )
        run = run_watch(home, since=since, until=until, budget=budget, keep=keep)
        home.note_use("reveal" if reveal_ids else "watch")  # before anything is shown
        display = display_of(home, run)
        _print(run, display, form, revealer(home, run) if reveal_ids else str)
        if report:
            write_report(run, display, report)
    if run.failed_rules:
        raise RuleFailed(f"{len(run.failed_rules)} rules failed: {', '.join(item.what for item in run.failed_rules)}")
    return 0 if exit_zero or not run.campaigns else 1


def run_watch(home: Home, *, since: datetime | None, until: datetime | None, budget: int, keep: bool = False) -> WatchRun:
    """Run the main path over a home, saying each step on stderr where a person watches; keep what was found on the desk.

    `keep`: verdicts are kept for later runs, and those that are kept and still hold are not worked out again.
    """
    from custodes import own_use, watch, watching
    from custodes.disclose.document import finding_of

    rooms = watching.rooms(home, keep=keep)
    try:
        run = watch.run(rooms, since=since, until=until, budget=budget, say=talk())
    finally:
        rooms.engine.close()
    own_use.note_verdicts(home.record, run.changes)  # before the desk forgets what it said, and before anything is shown
    span = {"since": since and since.isoformat(), "until": until and until.isoformat()}
    rows = [
        {
            **finding_of(finding, campaign.campaign),
            "key": finding.key,
            "run": span,
            "repeats": run.repeats.get(finding.finding, 0),
        }
        for campaign in run.campaigns
        for finding in (run.findings[name] for name in campaign.findings)
    ]
    home.desk().update(rows, {change.finding: change.change for change in run.changes}, run.same)
    if run.audit_by and run.audit:
        home.desk().keep_slots(run.audit, run.audit_by.root, run.audit_of)
    return run


def talk() -> Callable[[str], None]:
    """Return a way to say what is going on: on stderr, and only on a terminal."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda text: click.echo(f"  {text} …", err=True)


def display_of(home: Home, run: WatchRun) -> Display:
    """Return display names for everything that the run names."""
    from custodes.disclose.said import pseudonyms_of
    from custodes.minimise.display import Display

    return Display(home.display_key, pseudonyms_of(run))


def revealer(home: Home, run: WatchRun) -> Callable[[str], str]:
    """Return the way back from pseudonyms to company ids, for a simulated home."""
    wanted: set[str] = set(run.audit)
    for campaign in run.campaigns:
        wanted.update(campaign.actors, campaign.subjects, campaign.linked_subjects, campaign.accesses, campaign.derived)
        wanted.update(row.key for row in campaign.evidence)
    for finding in run.findings.values():
        wanted.update(row.key for row in finding.evidence)
    for one in run.suppressed:
        wanted.update((*one.actors, one.by, one.approved_by))
    names = home.reveal_simulated(wanted)
    return lambda word: names.get(word, word)


def write_report(run: WatchRun, display: Display, path: Path) -> None:
    """Write the report in one move, so that a reader never sees half of it."""
    from custodes.disclose.report import render

    page = render(run, made_at=datetime.now(UTC), version=__version__, display=display)
    half = path.with_name(path.name + ".part")
    half.write_text(page, encoding="utf-8")
    half.replace(path)


def _print(run: WatchRun, display: Display, form: str, reveal: Callable[[str], str]) -> None:
    from custodes.disclose import document, sarif, text

    if form == "json":
        click.echo(document.as_json(run, reveal))
    elif form == "ndjson":
        for line in document.as_lines(run, reveal):
            click.echo(line)
    elif form == "sarif":
        click.echo(sarif.as_sarif(run, version=__version__))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in text.as_text(run, display, colour=colour):
            click.echo(line)
