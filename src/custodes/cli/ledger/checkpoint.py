"""`custodes ledger checkpoint`: the signed tree, and the policy lines of its readers."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.ledger.place import HOME, ledger_of


@click.command()
@HOME
@click.option("--policy", "only_policy", is_flag=True, help="Print only the policy text, for a reader's file.")
def command(*, home: Path, only_policy: bool) -> int:
    """Print the published checkpoint, and the policy lines (of the log and of its index) that a reader needs to check it.

    A reader should get the policy from a person and keep it: a key that comes with the log proves nothing about the log.

    \b
    custodes ledger checkpoint --home home
    custodes ledger checkpoint --home home --policy > my.policy
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.evidence import policy_of
    from custodes.ledger.segments import read_bytes

    folder = ledger_of(home)
    policy = policy_of(folder, folder.parent / "index").decode()
    if not only_policy:
        click.echo(read_bytes(folder / "checkpoint").decode())
        click.echo(
            "# policy for readers of this log (keep it apart from the log; name witnesses instead of none once there are some)"
        )
    click.echo(policy, nl=False)
    return 0
