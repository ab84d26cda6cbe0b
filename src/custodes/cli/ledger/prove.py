"""`custodes ledger prove`: the proof of one entry, or a bundle of evidence for an outsider."""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from custodes.cli.ledger.place import HOME, ledger_of
from custodes.errors import InputError
from custodes.lines.whole import read_whole
from custodes.model.canonical import Json, canonical

if TYPE_CHECKING:
    from custodes.disclose.bundle import Sources
    from custodes.home import Home

_SUFFIX: Final = ".custodes-bundle"
_DECISION: Final = 4
_POLICY: Final = 7
_MONTH: Final = r"[0-9]{4}-(0[1-9]|1[0-2])"


@click.command()
@HOME
@click.option("--leaf", type=click.IntRange(0), help="Index of an entry: a proof, or with -o NAME.custodes-bundle a bundle.")
@click.option("--subject", metavar="PSEUDONYM", help="All entries about a subject (s-…), and that these are all.")
@click.option(
    "--subject-from",
    type=click.Path(allow_dash=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Likewise, the company's own id in a file; - is stdin.",
)
@click.option(
    "--subject-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Likewise, by the tag key that the subject has.",
)
@click.option("--since", metavar="YYYY-MM", help="First month [the first of the record].")
@click.option("--until", metavar="YYYY-MM", help="Last month [the last of the record].")
@click.option("--with-actor", is_flag=True, help="Also show who looked: weigh it, and write down why.")
@click.option(
    "--tag-key-out", type=click.Path(dir_okay=False, path_type=Path), help="Write the subject's tag key (first statement)."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def command(  # as click calls it
    *,
    home: Path,
    leaf: int | None,
    subject: str | None,
    subject_from: Path | None,
    subject_key: Path | None,
    since: str | None,
    until: str | None,
    with_actor: bool,
    tag_key_out: Path | None,
    output: Path,
) -> int:
    """Write what an outsider can check: that an entry is in the record, or what the record holds about a person, all of it.

    With --leaf it is the proof of one published entry (C2SP tlog-proof, the entry in its `extra` line), which opens nothing.
    Into NAME.custodes-bundle goes a zip that also opens what, why and where, and carries its own verifier. About a subject it
    holds every entry of every month and the proof that these are all; --tag-key-out writes the key with which the subject
    checks that it is about them. Every bundle is recorded before it is written: opening looks is a look.

    \b
    custodes ledger prove --home home --leaf 7 -o look.tlog-proof
    custodes ledger prove --home home --leaf 7 -o look.custodes-bundle
    custodes ledger prove --home home --subject s-… --tag-key-out mine.tag-key -o mine.custodes-bundle
    custodes verify mine.custodes-bundle --policy my.policy --tag-key mine.tag-key
    """  # noqa: D301  # click reads \b as "do not rewrap"
    given = [value for value in (leaf, subject, subject_from, subject_key) if value is not None]
    if len(given) != 1:
        raise InputError("name one thing to prove: --leaf, --subject, --subject-from or --subject-key")
    if leaf is not None and (since or until or tag_key_out):
        raise InputError("--since, --until and --tag-key-out belong to a subject")
    if leaf is not None and output.suffix != _SUFFIX:
        if with_actor:
            raise InputError("a proof opens nothing; --with-actor asks for -o NAME.custodes-bundle")
        return _proof(ledger_of(home), leaf, output)
    if output.suffix != _SUFFIX:
        raise InputError("a bundle is called NAME.custodes-bundle")
    if tag_key_out is not None and tag_key_out.exists():
        raise InputError(f"{tag_key_out} exists and is not overwritten")
    ledger_of(home)
    from custodes.home import Home

    with Home.open(home) as opened:
        if leaf is not None:
            _bundle_of_leaf(opened, leaf, output, with_actor=with_actor)
        else:
            key = _tag_key(opened, subject, subject_from, subject_key)
            bundle_of_subject(opened, key, (since, until), output, with_actor=with_actor)
            if tag_key_out is not None:
                write_private(tag_key_out, key.hex().encode() + b"\n", os.O_EXCL)
    click.echo(f"{output}: checked as its reader will; it holds personal data", err=True)
    return 0


def _proof(folder: Path, leaf: int, output: Path) -> int:
    """Write the proof of one entry of a log's directory."""
    from custodes.ledger.checkpoint import read_unverified
    from custodes.ledger.leaf import leaf_hash
    from custodes.ledger.merkle import verify_inclusion
    from custodes.ledger.proof import Proof, inclusion
    from custodes.ledger.segments import Segments, read_bytes

    published = read_unverified(read_bytes(folder / "checkpoint"))
    _refuse_unpublished(leaf, published.size)
    reader = Segments(folder)
    entry, hashes = reader.read(leaf, leaf + 1)[0], inclusion(reader, leaf, published.size)
    verify_inclusion(leaf, published.size, leaf_hash(entry), hashes, published.root)
    output.write_bytes(Proof(leaf, tuple(hashes), published.note, entry).to_bytes())
    click.echo(f"entry {leaf} of {published.origin}, size {published.size}: {output}", err=True)
    return 0


def _refuse_unpublished(leaf: int, size: int) -> None:
    if leaf >= size:
        raise InputError(f"the published tree has {size} entries, numbered from 0")


def _bundle_of_leaf(home: Home, leaf: int, output: Path, *, with_actor: bool) -> None:
    from custodes.disclose.bundle import leaf_bundle
    from custodes.ledger.checkpoint import read_unverified

    home.checkpoint()
    _refuse_unpublished(leaf, read_unverified(home.log().published.read()).size)
    _hand_out(home, leaf_bundle(_sources(home), [leaf], with_actor=with_actor), "leaf", output, with_actor=with_actor)


def bundle_of_subject(home: Home, key: bytes, span: tuple[str | None, str | None], output: Path, *, with_actor: bool) -> None:
    """Publish log and index, and write the bundle about the holder of a tag key to `output`, recorded first.

    `span`: first and last month, None for those of the record. Raises as `disclose.bundle.subject_bundle`.
    """
    from custodes.disclose.bundle import months_of, subject_bundle

    home.checkpoint(force=True)
    sources = _sources(home)
    months = months_of(sources, *(_month(month) for month in span))
    data = subject_bundle(sources, key, months, with_actor=with_actor)
    _hand_out(home, data, "subject", output, with_actor=with_actor)


def _sources(home: Home) -> Sources:
    from custodes.disclose.bundle import Sources

    vault, ledger = home.vault(), home.path / "ledger"
    return Sources(ledger / "log", ledger / "index", vault.openings, vault.own_records, home.index().lookup)


def _hand_out(home: Home, data: bytes, kind: str, output: Path, *, with_actor: bool) -> None:
    """Record who has the bundle made, and by which verifier it is to be checked, then write it."""
    from custodes import own_use
    from custodes.disclose.bundle import script

    verifier: dict[str, Json] = {"what": "verify.py", "sha256": sha256(script()).hexdigest()}
    if canonical(verifier) not in {own.what for own in home.vault().own_records()}:
        home.record(_POLICY, verifier)
    groups = ["what", "where", "who", "why"] if with_actor else ["what", "where", "why"]
    # Before this line nobody has seen the bundle; after it, whoever reads the record knows that looks were opened, and which file.
    who = home.pseudonyms.of("actor", own_use.login())
    home.record(_DECISION, {"what": "bundle", "about": kind, "groups": groups, "sha256": sha256(data).hexdigest(), "who": who})
    write_private(output, data)


def _tag_key(home: Home, subject: str | None, subject_from: Path | None, subject_key: Path | None) -> bytes:
    """Return k_tag of the subject that was asked for."""
    from custodes.verify.check import read_tag_key

    if subject_key is not None:
        try:
            return read_tag_key(str(subject_key))
        except OSError as wrong:
            raise InputError(f"{subject_key.name} cannot be read ({wrong.strerror})") from None
    if subject_from is not None:
        subject = home.pseudonyms.once("subject", _first_line(subject_from))
    if subject is None or not subject.startswith("s-"):
        raise InputError("a subject's pseudonym starts with s-", hint="give a company id in a file: --subject-from FILE")
    key = home.tag_key(subject)
    if key is None:
        raise InputError(
            "no entry about this subject was recorded, or the subject was erased",
            hint="after an erasure only the subject still has the key: --subject-key FILE",
        )
    return key


def _first_line(file: Path) -> str:
    """Return the id in a file, or on stdin (`-`)."""
    try:
        data = sys.stdin.buffer.readline() if str(file) == "-" else read_whole(file, pipes=True)
        name = data.decode("utf-8-sig").split("\n")[0].strip()
    except OSError as wrong:
        raise InputError(f"{file.name} cannot be read ({wrong.strerror})") from None
    except UnicodeDecodeError:
        name = ""
    if not name:
        raise InputError(f"{file.name}: expected the company's id of one person, as UTF-8, in its first line")
    return name


def _month(text: str | None) -> str | None:
    import re

    if text is not None and not re.fullmatch(_MONTH, text):
        raise InputError("a month is YYYY-MM")
    return text


def write_private(path: Path, data: bytes, flags: int = os.O_TRUNC) -> None:
    """Write a file that only its owner reads. Raises `InputError`."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600), "wb") as file:
            file.write(data)
    except OSError as wrong:
        raise InputError(f"{path} cannot be written ({wrong.strerror})") from None
