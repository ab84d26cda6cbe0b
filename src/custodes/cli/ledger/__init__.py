"""`custodes ledger`: check, prove from, export and show the record. One module per command, imported when it runs."""

from __future__ import annotations

from typing import Final

import click

from custodes.cli.late import Late, from_package

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


@click.group(cls=Late, lines=COMMANDS, find=from_package(__name__))
def command() -> None:
    """The record of every look: check it, prove from it, hand it out.

    \b
    custodes ledger fsck --home home                         does it hold what was signed?
    custodes ledger prove --home home --leaf 7 -o look.tlog-proof
    custodes ledger prove --home home --subject s-… -o mine.custodes-bundle
    custodes ledger export --home home public/               a static folder that any C2SP client reads
    custodes ledger checkpoint --home home                   the signed tree, and the key to check it with
    """  # noqa: D301  # click reads \b as "do not rewrap"
