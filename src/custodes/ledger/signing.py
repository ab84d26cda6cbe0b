"""The signed side of a log: the last record of `signed`, which everything is compared with, and the next, which extends it.

Everything here expects the log's lock to be held. `signed` itself, and how it is read without a lock, is told in `signed.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

from custodes.errors import BadInclusion, BadSignature, ConfigError, LedgerRewritten, MissingSecret
from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.disk import Disk
from custodes.ledger.entries import Entries
from custodes.ledger.merkle import EMPTY_ROOT, verify_consistency
from custodes.ledger.note import Unsigned, parse, verify
from custodes.ledger.proof import consistency
from custodes.ledger.signed import read_last
from custodes.ledger.signer import Signer


class Signing:
    """What one object believes was signed last (`last`), and its hand to sign more. Two histories are never signed."""

    def __init__(self, path: Path, signer: Signer | None, disk: Disk) -> None:
        """`path`: of the file `signed`. Nothing is read before `take_up`. Without `signer` nothing can be signed."""
        self._path = path
        self._signer = signer
        self._disk = disk
        self._descriptor = -1
        self._end = 0  # bytes of complete records
        self.last = Checkpoint("", 0, EMPTY_ROOT)

    def take_up(self) -> None:
        """Read the last record, and drop a cut one after it. Raises `LedgerRewritten`, `ConfigError` if another key has signed.

        Durable: the last record, before anybody believes, or is shown, it. Order: none. Again: changes nothing.
        """
        self._descriptor = self._disk.open(self._path)
        length = os.fstat(self._descriptor).st_size
        self.last, self._end = read_last(self._path, length)
        if length > self._end:
            self._disk.truncate(self._descriptor, self._end)  # a record that was never shown
        self._disk.sync(self._descriptor)  # a process that died may have left it unsynced
        self._check_key()

    def close(self) -> None:
        """Give the file back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def size(self) -> int:
        """Return the size that was signed last by whichever process, also if this object has not come to believe in it yet."""
        newest, _ = read_last(self._path, os.fstat(self._descriptor).st_size)
        return max(self.last.size, newest.size)

    def believe(self, entries: Entries) -> None:
        """Compare and swap, first half: the last record of `signed` is the one this object believes in, or is checked now.

        Durable: that record, whoever wrote it. Order: before it is believed. Again: nothing, until another process has signed.
        """
        length = os.fstat(self._descriptor).st_size
        if length == self._end:
            return
        last, end = read_last(self._path, length)
        if length < self._end or last.size < self.last.size:
            raise LedgerRewritten(f"the store of signed checkpoints was cut: size {self.last.size} is missing from it")
        self.last, self._end = last, end
        if length > end:
            self._disk.truncate(self._descriptor, end)
        self._disk.sync(self._descriptor)  # another process wrote it, and may have died before its sync
        self._check_key()
        self.check_tree(entries)

    def sign_growth(self, entries: Entries) -> None:
        """Compare and swap, both halves: believe, then sign the tree if it has grown; else the last checkpoint stands.

        Raises `LedgerRewritten` rather than sign a tree that does not extend the last signed one; `MissingSecret` without a key.

        Durable: on return. Order: entries and tiles, then the record. Again: nothing, until the tree has grown.
        """
        self.believe(entries)
        if entries.size == self.last.size:
            return
        if self._signer is None:
            raise MissingSecret("this ledger was opened without its signing key and cannot sign")
        fresh = Checkpoint(self.last.origin, entries.size, entries.root(entries.size))
        self._check_extends(fresh, entries)
        note = self._signer.sign(fresh.body()).to_bytes()
        self._disk.write(self._descriptor, note + b"\n", self._end)
        # Before this line nobody has seen the checkpoint and a crash drops it; after it this size has one root for ever.
        self._disk.sync(self._descriptor)
        self._end += len(note) + 1
        self.last = Checkpoint(fresh.origin, fresh.size, fresh.root, note)

    def check_tree(self, entries: Entries) -> None:
        """Refuse a log that is not what was signed last: cut, restored from an old copy, or changed. Raises `LedgerRewritten`."""
        signed = self.last
        if signed.size > entries.size:
            raise LedgerRewritten(
                f"the ledger ends at {entries.size}, but size {signed.size} was signed",
                hint="nothing was changed; refill the tail from a mirror, or close this log and open a new origin",
            )
        if entries.root(signed.size) != signed.root:
            raise LedgerRewritten(f"the ledger's first {signed.size} entries are not the ones that were signed")

    def _check_extends(self, fresh: Checkpoint, entries: Entries) -> None:
        if not self.last.size:
            return
        try:
            proof = consistency(entries, self.last.size, fresh.size)
            verify_consistency(self.last.size, fresh.size, self.last.root, fresh.root, proof)
        except BadInclusion:
            raise LedgerRewritten(f"the tree does not extend the one signed at size {self.last.size}") from None

    def _check_key(self) -> None:
        if self._signer is None:
            return
        try:
            signers = verify(parse(self.last.note), self._signer.keys).verified
        except Unsigned:
            raise ConfigError("the signing key is not the one that has signed this ledger") from None
        except BadSignature:
            raise LedgerRewritten("the last signed checkpoint does not verify under this ledger's key") from None
        if len(signers) != len(self._signer.keys):
            raise LedgerRewritten("the last signed checkpoint lacks a signature of this ledger's keys")
