"""`custodes ledger checkpoint`: the signed tree, who has seen it, and the policy lines of its readers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from custodes.cli.ledger.place import HOME, ledger_of


@click.command()
@HOME
@click.option("--policy", "only_policy", is_flag=True, help="Print only the policy text, for a reader's file.")
@click.option("--publish", is_flag=True, help="First sign what the log holds, show it to the witnesses, and publish it.")
@click.option("--stamp", metavar="URL", help="Have it stamped by this RFC 3161 authority (needs custodes[timestamp]).")
def command(*, home: Path, only_policy: bool, publish: bool, stamp: str | None) -> int:
    """Print the published checkpoint, who has cosigned it, and the policy lines that a reader needs to check it.

    The policy lists the keys of the log and of its index. A reader should get it from a person and keep it: a key that comes
    with the log proves nothing about the log. A time stamp proves that the checkpoint existed, not that it was
    the only one; it is kept beside the log as checkpoint.tsr.

    \b
    custodes ledger checkpoint --home home
    custodes ledger checkpoint --home home --policy > my.policy
    custodes ledger checkpoint --home home --publish --stamp https://tsa.example/tsr
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.evidence import policy_of
    from custodes.ledger.segments import read_bytes

    folder = ledger_of(home)
    if publish:
        _publish(home)
    if stamp is not None:
        from custodes.ledger.witness_stamp import stamp as ask

        click.echo(f"stamped {ask(folder, stamp).isoformat(timespec='seconds')}", err=True)
    policy = policy_of(folder, folder.parent / "index").decode()
    if not only_policy:
        click.echo(read_bytes(folder / "checkpoint").decode())
        for line in _standing(folder):
            click.echo(f"# {line}")
        click.echo(
            "# policy for readers of this log (keep it apart from the log; name witnesses instead of none once there are some)"
        )
    click.echo(policy, nl=False)
    return 0


def _publish(home: Path) -> None:
    from custodes.home import Home

    with Home.open(home) as opened:
        opened.checkpoint()
        for name, trouble in opened.publisher.troubles().items():
            click.echo(f"witness {name}: {trouble}", err=True)


def _standing(folder: Path) -> Iterator[str]:
    """Yield who has cosigned the published checkpoint, and what waits to be seen. The log's own account, no proof."""
    from custodes.ledger.checkpoint import read_unverified
    from custodes.ledger.note import Unsigned, parse, parse_key, verify
    from custodes.ledger.published import WITNESSES
    from custodes.ledger.segments import read_bytes
    from custodes.ledger.signed import read_last

    published = read_bytes(folder / "checkpoint")
    if (folder / WITNESSES).exists():
        keys = [parse_key(line) for line in read_bytes(folder / WITNESSES).decode().splitlines()]
        try:
            names = [key.name for key in verify(parse(published), keys).verified]
        except Unsigned:
            names = []
        yield f"cosigned by {', '.join(dict.fromkeys(names)) or 'nobody'}"
    last, _ = read_last(folder / "signed", (folder / "signed").stat().st_size)
    if last.size != read_unverified(published).size:
        yield f"size {last.size} is signed and waits for enough witnesses"
