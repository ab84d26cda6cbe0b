"""Checkpoints (C2SP tlog-checkpoint v1.0.0): origin, size and root of a log, signed as a note.

We write no extension lines (an ML-DSA-44 signature does not cover them) and read them where others do.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from custodes.errors import BadSignature
from custodes.ledger.note import Key, Malformed, Opened, parse, verify


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself. `root`: 32 bytes; `note`: the signed note that it was read from or written to."""

    origin: str
    size: int
    root: bytes
    note: bytes = b""
    extension: tuple[str, ...] = ()

    def body(self) -> str:
        """Return the text that is signed."""
        root = base64.b64encode(self.root).decode("ascii")
        return "".join(f"{line}\n" for line in (self.origin, str(self.size), root, *self.extension))


def parse_body(text: str, note: bytes = b"") -> Checkpoint:
    """Read the text of a checkpoint. Raises `Malformed`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise Malformed("a checkpoint has at least three lines, each ended")
    origin, size, encoded, *extension = lines[:-1]
    if not origin or not all(extension):
        raise Malformed("a checkpoint's origin and extension lines are not empty")
    if not (size.isascii() and size.isdecimal()) or (size[0] == "0" and size != "0") or int(size) >= 2**63:
        raise Malformed("a checkpoint's size is a decimal number without leading zeros")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("a checkpoint's root is base64") from None
    if len(root) != 32 or base64.b64encode(root).decode("ascii") != encoded:
        raise Malformed("a checkpoint's root is base64 of 32 bytes")
    return Checkpoint(origin, int(size), root, note, tuple(extension))


def read_unverified(data: bytes) -> Checkpoint:
    """Read a checkpoint without looking at its signatures. Raises `Malformed`."""
    return parse_body(parse(data).text, data)


def open_checkpoint(data: bytes, origin: str, log_keys: Sequence[Key], others: Sequence[Key] = ()) -> tuple[Checkpoint, Opened]:
    """Return a checkpoint that one of `log_keys` signed for `origin`, and which of all the given keys signed it.

    Raises `Malformed`, `BadSignature` (also for another origin), or `note.Unsigned` if none of `log_keys` is among the signers.
    """
    from custodes.ledger.note import Unsigned

    # 1. The note, and every signature of a known key.
    opened = verify(parse(data), [*log_keys, *others])
    # 2. The log itself is among the signers.
    if not any(key in log_keys for key in opened.verified):
        raise Unsigned("the log's own key has not signed this checkpoint")
    # 3. The text is a checkpoint of the wanted log.
    checkpoint = parse_body(opened.text, data)
    if checkpoint.origin != origin:
        raise BadSignature("the checkpoint is of another log than the one that was asked for")
    return checkpoint, opened
