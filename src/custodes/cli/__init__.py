"""The command line: commands are found by name and imported when they run, so that `--help` starts at once.

The entry point maps every end to the exit codes of the contract: 0 · 1 (a campaign is shown, or rule tests failed) · 2 usage or
could not check · 3 verification failed · 4 refused · 5 outage or crash · 130 Ctrl-C · 141 broken pipe. A crash is never 1.
"""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import click

from custodes import __version__
from custodes.cli.late import Late, from_package
from custodes.errors import CustodesError

COMMANDS: Final = {
    "demo": "run the whole street on a simulated company (start here)",
    "init": "make a home",
    "load": "load a folder of exports",
    "context": "load context tables: staff, tickets, cases, …",
    "ingest": "read access logs",
    "watch": "explain, detect, rank: who looked at whose data without a reason?",
    "findings": "what earlier runs found: list, label, hold back with a second person",
    "explain": "every explanation tried for one access, and what each lacked",
    "rules": "the rule shelf",
    "ledger": "the record: fsck, prove, checkpoint, export",
    "guard": "stand in the way at the database: plan, install, verify, uninstall",
    "grant": "ask for a release, approve it, end it",
    "reveal": "have one field of one subject released, recorded first",
    "verify": "check a log directory or a bundle offline",
    "world": "build a simulated company",
    "evaluate": "run a benchmark",
}
"""Command → one line for `--help`. Each lives in `custodes.cli.<command>` as `command`."""


@click.group(
    cls=Late,
    lines=COMMANDS,
    find=from_package(__name__),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="custodes")
def street() -> None:
    """Who looked at whose data without a reason?

    \b
    custodes demo                                 a simulated company, the whole street, a report
    custodes init home                            make a home for your own logs
    custodes load --home home exports/            a folder: accesses*, context/, datamap.yaml, policy.yaml
    custodes ingest --home home --source auto LOG read access logs
    custodes watch --home home --report out.html  the ranked answer

    Every command takes --home DIR (or CUSTODES_HOME). Data goes to stdout, talk to stderr.
    """  # noqa: D301  # click reads \b as "do not rewrap"


def main() -> NoReturn:
    """Run the command line and end the process with the contract's exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; nothing escapes."""
    try:
        outcome = street.main(arguments, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        return 130
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except CustodesError as wrong:
        _say(f"error: {wrong}")
        if wrong.hint:
            _say(f"  → {wrong.hint}")
        return wrong.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as end:
        # No command of ours ends this way. Click does, with 1, when the reader of the pipe has gone: that must not say "findings".
        return 141 if end.code == 1 else end.code if isinstance(end.code, int) else 5
    except Exception as crash:  # noqa: BLE001  # the contract: a crash is 5, never 1
        return _crash(crash)
    return outcome if isinstance(outcome, int) else 0


def _crash(crash: Exception) -> int:
    """Say what broke without its data: a traceback's values may hold personal ids, so only places and types are shown."""
    import traceback

    _say(f"error: unexpected {type(crash).__name__}; this is a defect of custodes, nothing was concluded from it")
    for frame in traceback.extract_tb(crash.__traceback__)[-6:]:
        _say(f"  at {frame.name} ({os.path.basename(frame.filename)}:{frame.lineno})")  # noqa: PTH119
    if os.environ.get("CUSTODES_DEBUG"):
        traceback.print_exception(crash)
    return 5


def _say(text: str) -> None:
    click.echo(text, err=True)
