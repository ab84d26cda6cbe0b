"""What a log and a witness say to each other (C2SP tlog-witness): the text of a request, and how an answer is read."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from custodes.ledger.checkpoint import Checkpoint
from custodes.ledger.note import Key, Malformed, Note, Signature, parse, verify
from custodes.ledger.witness_wire import Response

_LONGEST_SIZE: Final = 20


def request_body(old: int, proof: list[bytes], note: bytes) -> bytes:
    """Return the body of an `add-checkpoint`."""
    lines = [f"old {old}", *(base64.b64encode(value).decode("ascii") for value in proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + note


def read_size(answer: Response) -> int | None:
    """Return the size that a 409 names; `None` if it names none."""
    text = answer.body.decode("ascii", "replace")
    digits = text.removesuffix("\n")
    if answer.kind != "text/x.tlog.size" or not digits.isdecimal() or not digits.isascii() or len(digits) > _LONGEST_SIZE:
        return None
    return int(digits) if digits == str(int(digits)) and text.endswith("\n") else None


def read_cosignatures(
    point: Checkpoint, body: bytes, keys: tuple[Key, ...], *, earliest: float, latest: float
) -> Mapping[Key, Signature]:
    """Return the lines of a 200 answer that `keys` made over `point`, at least one; lines of other keys are dropped.

    Raises `BadSignature` (also for a time outside the bounds, POSIX seconds) or `CouldNotCheck`.
    """
    text = point.body()
    answered = parse(text.encode() + b"\n" + body)
    if answered.text != text:
        raise Malformed("the answer holds more than signature lines")
    found = lines_of(answered, keys)
    if not all(earliest <= int.from_bytes(line.value[:8], "big") <= latest for line in found.values()):
        raise Malformed("the time of the cosignature is not now")
    return found


def lines_of(note: Note, keys: tuple[Key, ...]) -> dict[Key, Signature]:
    """Return the line of each key that signed; all lines of these keys hold. Raises `BadSignature`, `Unsigned`."""
    opened = verify(note, keys)
    lines = {(line.name, line.key_id): line for line in note.signatures}
    return {key: lines[key.name, key.key_id] for key in opened.verified}
