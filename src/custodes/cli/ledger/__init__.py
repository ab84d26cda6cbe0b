"""`custodes ledger`: check, prove from, export and show the record. One module per command, imported when it runs."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "fsck": "does it hold what was signed? (--deep: do the sealed contents fit it?)",
    "checkpoint": "the signed tree, and the policy lines for its readers",
    "prove": "write a proof, or a bundle about one person, that outsiders can check",
    "index": "the roots of each month, and all entries that bear a tag",
    "export": "write the log as a static folder that any C2SP client reads",
    "hammer": "try the writer on this machine's disk, with kills",
    "witness": "be a witness: remember each log's largest checkpoint, cosign what extends it",
    "erase": "erase one subject: two people, a waiting time, every step recorded; legal holds",
    "approver": "the keys of those who may ask for and approve erasures",
}
"""Command → one line for `--help`. Each lives in `custodes.cli.ledger.<command>` as `command`."""


class Record(click.Group):
    """The ledger's commands by name, imported late."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of use."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"custodes.cli.ledger.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Record)
def command() -> None:
    """The record of every look: check it, prove from it, hand it out.

    \b
    custodes ledger fsck --home home                         does it hold what was signed?
    custodes ledger prove --home home --leaf 7 -o look.tlog-proof
    custodes ledger prove --home home --subject s-… -o mine.custodes-bundle
    custodes ledger export --home home public/               a static folder that any C2SP client reads
    custodes ledger checkpoint --home home                   the signed tree, and the key to check it with
    """  # noqa: D301  # click reads \b as "do not rewrap"
