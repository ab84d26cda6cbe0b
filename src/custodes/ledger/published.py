"""What lies beside a log for its readers: the published checkpoint, the keys of its witnesses, and evidence of a second history.

    checkpoint   the note that readers take, with cosignatures       witnesses   a vkey a line: whoever may have cosigned it
    fork.json    what a witness has shown; while it lies here, nothing is signed

The writer calls this under the log's lock; a reader may call `read` at any time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from custodes.errors import CustodesError, LedgerRewritten
from custodes.ledger.checkpoint import Checkpoint, read_unverified
from custodes.ledger.note import Key, Malformed, parse, verify
from custodes.ledger.segments import read_bytes
from custodes.ledger.signed import find_signed

if TYPE_CHECKING:
    from custodes.ledger.disk import Disk  # which readers, who import this module, need not have

FORK: Final = "fork.json"
WITNESSES: Final = "witnesses"


def is_proven_fork(path: Path, keys: Sequence[Key]) -> bool:
    """Say whether `fork.json` in a log's folder holds a checkpoint signed by one of the log's `keys` that `signed` does not hold.

    False also if it cannot be read: then somebody claims a fork, and has not shown it. Raises `PartMissing`.
    """
    try:
        note = json.loads(read_bytes(path / FORK))["theirs"].encode()
        verify(parse(note), keys)
        theirs = read_unverified(note)
    except (CustodesError, ValueError, TypeError, KeyError, AttributeError):
        return False
    ours = find_signed(path / "signed", theirs.origin, theirs.size)
    return ours is None or ours.root != theirs.root


class Published:
    """The three files of one log. Each write is whole and durable, or raises `NotDurable`."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def read(self) -> bytes:
        """Return the published checkpoint as it is on disk; empty if there is none. Raises `PartMissing`."""
        path = self._path / "checkpoint"
        return read_bytes(path) if path.exists() else b""

    def show(self, note: bytes) -> None:
        """Publish a note, unless the same stands there, perhaps with more signatures. Readers see the old or the new whole.

        Durable: on return. Order: after the note is durable in `signed`. Again: nothing, if the same stands there.
        """
        if not self.read().startswith(note):
            self._disk.replace(self._path / "checkpoint", note)

    def is_witnessed(self) -> bool:
        """Say whether this log has ever shown itself to witnesses: then none of its checkpoints is shown before they are asked."""
        return (self._path / WITNESSES).exists()

    def keep_keys(self, keys: Sequence[Key]) -> None:
        """Keep the witnesses' keys, before a line of theirs is published: `fsck` knows every line by them. None is dropped.

        Durable: on return. Order: before a line of theirs is published. Again: adds what is new.
        """
        path = self._path / WITNESSES
        before = read_bytes(path).decode().splitlines() if path.exists() else []
        lines = list(dict.fromkeys([*before, *(key.vkey() for key in keys)]))
        if lines != before or not path.exists():
            self._disk.replace(path, "".join(f"{line}\n" for line in lines).encode())

    def check(self, last: Checkpoint) -> None:
        """Refuse a store of checkpoints that is older than what was published: `signed` is durable before anything is shown."""
        try:
            data = self.read()
            shown = read_unverified(data) if data else last
        except Malformed:
            return  # damaged; it is written again when the next one is shown
        if shown.size > last.size or (shown.size == last.size and shown.root != last.root):
            raise LedgerRewritten(
                f"size {shown.size} was published, but the store of signed checkpoints ends at {last.size}",
                hint="nothing was changed; put back the store of signed checkpoints that belongs to this log",
            )

    def keep_fork(self, evidence: bytes) -> None:
        """Keep the evidence of a second history; the first stays.

        Durable: on return. Order: before the next signature. Again: the first evidence stays.
        """
        if not (self._path / FORK).exists():
            self._disk.replace(self._path / FORK, evidence)

    def refuse_after_fork(self) -> None:
        """Raise `LedgerRewritten` if evidence of a second history lies here."""
        if (self._path / FORK).exists():
            raise LedgerRewritten(
                f"a witness has seen another history of this log ({FORK}); it signs no more",
                hint="read the file; close this log and open a new origin, or, if the witness errs, two people take the file away",
            )
