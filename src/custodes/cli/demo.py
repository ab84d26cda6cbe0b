"""`custodes demo`: a simulated company with planted campaigns, the whole street, a report and a proof, in under two minutes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from custodes.errors import InputError, VerificationError

if TYPE_CHECKING:
    from custodes.home import Home
    from custodes.model.run import WatchRun

_MOST_SHOWN = 10
_BUNDLE = "simulated.custodes-bundle"


@click.command()
@click.option("--home", "folder", type=click.Path(path_type=Path), envvar="CUSTODES_HOME", help="Where to make the home [./demo].")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Another company, the same kinds of campaign.")
@click.option("--size", type=click.Choice(["tiny", "demo"]), default="demo", show_default=True, help="How large a company.")
def command(*, folder: Path | None, seed: int, size: str) -> int:
    """Build a simulated company, run the whole street, print the ranked campaigns, write the report, check the ledger.

    Then one of its people gets a bundle with every look at them, and `verify.py` proves it from a folder (HOME/outsider) that
    holds the script, the bundle and the reader's policy, nothing else.

    \b
    custodes demo
    custodes demo --seed 7 --home /tmp/seven
    """  # noqa: D301  # click reads \b as "do not rewrap"
    target = folder or Path("demo")
    if target.exists() and any(target.iterdir()):
        raise InputError(f"{target} exists and is not empty", hint="name another folder with --home, or remove this one")
    with tempfile.TemporaryDirectory(prefix="custodes-demo-") as scratch:
        exports = Path(scratch) / "exports"
        _build(exports, seed, size)
        _record(target, exports)
    _watch(target)
    return 0


def _build(exports: Path, seed: int, size: str) -> None:
    from custodes import world

    planted = ["demo"] if size == "demo" else ["F01"]  # the others do not fit beside it into a company of 40
    with _step("1/5 a simulated company with planted campaigns") as say:
        world.build(
            planted, seed=seed, out=exports, size=size, file=world.DEMO, progress=lambda done, days: say(f"day {done} of {days}")
        )


def _record(target: Path, exports: Path) -> None:
    from custodes.cli.load import load_folder
    from custodes.home_making import make_home

    with _step("2/5 every access recorded, sealed, minimised") as say, make_home(target, simulated=True) as home:
        load_folder(home, exports, say=say)
        home.checkpoint()


def _watch(target: Path) -> None:
    from custodes.cli.watch import display_of, run_watch, write_report
    from custodes.disclose.text import as_text
    from custodes.home import Home

    report = target / "report-simulated.html"
    with Home.open(target) as home:
        with _step("3/5 explained, judged, ranked"):
            run = run_watch(home, since=None, until=None, budget=20)
            display = display_of(home, run)
            write_report(run, display, report)
        with _step("4/5 the ledger, checked from its contents up"):
            _check(home)
        with _step("5/5 a bundle for one of its people, proven by verify.py in a folder of its own"):
            proof = _prove(home, run)
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        lines = list(as_text(run, display, colour=colour, most=_MOST_SHOWN))
    for line in lines:
        click.echo(line)
    click.echo("")
    for line in proof:
        click.echo(line)
    click.echo("")
    click.echo(f"look    the pictures behind these sentences: {report}")
    if run.campaigns:
        click.echo(f"ask     why the first look has no reason: custodes explain {run.campaigns[0].accesses[0]} --home {target}")
    click.echo(f"check   that nothing was rewritten: custodes ledger fsck --home {target}")


def _check(home: Home) -> None:
    from custodes.ledger.fsck import fsck

    report = fsck(home.path / "ledger" / "log", home.vault())
    if report.problems:
        raise VerificationError(f"the ledger check found {len(report.problems)} problems; the first: {report.problems[0]}")


def _prove(home: Home, run: WatchRun) -> list[str]:
    """Hand a subject of the first campaign a bundle and run its verifier as an outsider would; return what it said.

    The contents that it shows the subject stay out: on this screen everybody is a pseudonym.
    """
    from custodes.cli.ledger.prove import bundle_of_subject, write_private
    from custodes.disclose.bundle import script
    from custodes.ledger.evidence import policy_of

    subject = next((subject for campaign in run.campaigns for subject in campaign.subjects), None)
    key = None if subject is None else home.tag_key(subject)
    if key is None:
        return ["no campaign was found, so nobody was given a bundle"]
    folder, key_file = home.path / "outsider", home.path / "simulated.tag-key"
    folder.mkdir()
    bundle_of_subject(home, key, (None, None), folder / _BUNDLE, with_actor=False)
    write_private(key_file, key.hex().encode() + b"\n")
    (folder / "verify.py").write_bytes(script())
    (folder / "my.policy").write_bytes(policy_of(home.path / "ledger" / "log", home.path / "ledger" / "index"))
    arguments = ["verify.py", _BUNDLE, "--policy", "my.policy", "--tag-key", f"../{key_file.name}"]
    done = subprocess.run(  # noqa: S603  # our own script with this interpreter
        [sys.executable, "-I", "-S", *arguments], cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        raise VerificationError(f"verify.py did not prove the bundle (exit code {done.returncode})")
    said = done.stdout.splitlines()
    shown = [f"    {line}" for line in said if not line.startswith((" ", "INCLUDED"))]
    count = sum(line.startswith("INCLUDED") for line in said)
    shown.insert(-1, f"    INCLUDED  {count} entries, each with what, why and from where, which {subject} reads")
    return [f"prove   that these are all looks at one person: cd {folder} && python {' '.join(arguments)}", *shown]


class _step:  # noqa: N801  # reads as a word in `with _step(…)`
    """A line on stderr for one step, with the seconds it took; progress within it only on a terminal."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __enter__(self) -> Callable[[str], None]:
        from time import monotonic

        self._began = monotonic()
        self._live = sys.stderr.isatty()
        if self._live:
            click.echo(f"{self._title} …", err=True, nl=False)
        return self._say

    def _say(self, text: str) -> None:
        if self._live:
            click.echo(f"\r\x1b[K{self._title}: {text}", err=True, nl=False)

    def __exit__(self, *raised: object) -> None:
        from time import monotonic

        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)
        if raised[0] is None:
            click.echo(f"{self._title} ({monotonic() - self._began:.0f} s)", err=True)
