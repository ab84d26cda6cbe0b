"""`custodes ledger prove`: the proof of one entry."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.cli.ledger.place import HOME, ledger_of
from custodes.errors import InputError


@click.command()
@HOME
@click.option("--leaf", type=click.IntRange(0), required=True, help="Index of the entry.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def command(*, home: Path, leaf: int, output: Path) -> int:
    """Write the proof that one entry is in the published tree (C2SP tlog-proof, the entry in its `extra` line).

    \b
    custodes ledger prove --home home --leaf 7 -o look.tlog-proof
    custodes verify look.tlog-proof --policy my.policy
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.ledger.checkpoint import read_unverified
    from custodes.ledger.leaf import leaf_hash
    from custodes.ledger.merkle import verify_inclusion
    from custodes.ledger.proof import Proof, inclusion
    from custodes.ledger.segments import Segments, read_bytes

    folder = ledger_of(home)
    published = read_unverified(read_bytes(folder / "checkpoint"))
    if leaf >= published.size:
        raise InputError(f"the published tree has {published.size} entries, numbered from 0")
    reader = Segments(folder)
    entry, hashes = reader.read(leaf, leaf + 1)[0], inclusion(reader, leaf, published.size)
    verify_inclusion(leaf, published.size, leaf_hash(entry), hashes, published.root)
    output.write_bytes(Proof(leaf, tuple(hashes), published.note, entry).to_bytes())
    click.echo(f"entry {leaf} of {published.origin}, size {published.size}: {output}", err=True)
    return 0
