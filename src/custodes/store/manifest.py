"""`accesses/MANIFEST.json`: which parts make up the store, how far the vault's batches are settled, and what was counted.

Written whole to a temporary file, synced, and renamed: a reader sees one commit or the next, never something between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from custodes.errors import PartMissing, UnknownVersion
from custodes.ledger.disk import Disk

FILE: Final = "MANIFEST.json"
SCHEMA: Final = "custodes.store/1"
GUARD_NUMBER: Final = 65_535
"""Number in leaves of custodes' own gate, which records without intake: no log source gets it."""


class Part(msgspec.Struct, frozen=True):
    """One part of one day: a file of accesses and, if any of them names a subject, one of touches.

    `first`, `last`: least and greatest time in microseconds since 1970. Paths are relative to `accesses/`.
    """

    day: str
    accesses: str
    rows: int
    first: int
    last: int
    touches: str = ""
    touch_rows: int = 0
    size: int = 0


class Tally(msgspec.Struct):
    """What one source's records became: lines = of accesses + noise + rejected (save held-back ones)."""

    lines: int = 0
    accesses: int = 0
    resolved: int = 0
    noise: dict[str, int] = {}
    rejected: dict[str, int] = {}


class SourceState(msgspec.Struct):
    """A source's number in leaves (1, 2, … in order of first use), the digest of its recorded manifest, and its tally."""

    number: int
    coverage: str = ""
    cannot_see: list[str] = []
    tally: Tally = msgspec.field(default_factory=Tally)


class Manifest(msgspec.Struct):
    """One commit of the store. `batches`: how many batches of the vault's intake stream are settled in it.

    `superseded`: ledger indexes of rows that a later row of the same operation replaced. `notes`: bytes of `notes.ndjson` that
    count; `rejected`: frames of the rejected stream likewise. `serial`: number of the last part written.
    """

    schema: str = SCHEMA
    batches: int = 0
    serial: int = 0
    notes: int = 0
    rejected: int = 0
    parts: list[Part] = []
    fieldsets: list[str] = []
    superseded: tuple[int, ...] = ()
    sources: dict[str, SourceState] = {}


def read_manifest(folder: Path) -> Manifest:
    """Return the committed manifest of `folder`; an empty one before the first commit. Raises `CouldNotCheck`."""
    try:
        data = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return Manifest()
    except OSError as wrong:
        raise PartMissing(f"accesses/{FILE} cannot be read: {wrong.strerror}") from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError:
        raise PartMissing(f"accesses/{FILE} is damaged", hint="run `custodes ledger fsck --deep`") from None
    if manifest.schema != SCHEMA:
        raise UnknownVersion(f"accesses/{FILE} is of schema {manifest.schema!r}, this program reads {SCHEMA}")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the committed one. Durable on return. Raises `NotDurable`."""
    Disk().replace(folder / FILE, msgspec.json.encode(manifest))
