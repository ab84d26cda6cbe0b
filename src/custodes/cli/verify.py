"""`custodes verify PATH`: the offline check, with the reader's own policy."""

from __future__ import annotations

from pathlib import Path

import click

from custodes.errors import ConfigError


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own tlog-policy file, never the log's."
)
@click.option("--tag-key", metavar="HEX|FILE", help="The key that you were handed with your first statement.")
@click.option(
    "--tsa",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates (PEM) of the time-stamp authorities that you trust: also check the stamp beside the log.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print.")
def command(*, path: Path, policy: Path | None, tag_key: str | None, tsa: Path | None, form: str) -> int:
    """Check a home, a log's directory, an exported folder, a bundle or a proof, offline.

    Each claim gets a verdict: INCLUDED, COMPLETE (all entries about one tag in one month) and ERASED (it was there, its
    contents were destroyed with a record) are proven; UNVERIFIED is neither proven nor broken; BROKEN nobody should trust.
    Ends with 0 if all is proven, 3 if anything is broken, 2 if it could not be checked, which without --policy is always so.

    \b
    custodes ledger checkpoint --home home --policy > my.policy    (the company does this once; you keep the file)
    custodes verify exported/ --policy my.policy
    custodes verify look.tlog-proof --policy my.policy
    custodes verify mine.custodes-bundle --policy my.policy --tag-key my.tag-key
    custodes verify home --policy my.policy --tsa authority.pem
    """  # noqa: D301  # click reads \b as "do not rewrap"
    from custodes.verify.check import check, read_tag_key

    try:
        key = None if tag_key is None else read_tag_key(tag_key)
    except OSError as wrong:
        raise ConfigError(f"the tag key cannot be read ({wrong.strerror})") from None
    rules = None if policy is None else _read(policy)
    report = check(path, rules, key)
    if tsa is not None:
        from custodes.verify.stamp import check_stamp

        check_stamp(path, _read(tsa), rules, report)
    click.echo(report.as_json() if form == "json" else report.as_text())
    return report.exit_code


def _read(file: Path) -> bytes:
    from custodes.lines.whole import read_whole

    try:
        return read_whole(file, pipes=True)
    except OSError as wrong:
        raise ConfigError(f"{file.name} cannot be read ({wrong.strerror})") from None
