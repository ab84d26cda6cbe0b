"""Signed notes (C2SP signed-note v1.0.0): a text, a blank line, and lines `— name base64(key id ‖ signature)`.

A line of an unknown key is ignored; a bad signature of a known key rejects the whole note; base64 that does not re-encode to
itself is malformed, so that no byte of a note can change unnoticed in a line that we know. Signature types: 0x01 Ed25519,
0x04 timestamped Ed25519 and 0x06 timestamped ML-DSA-44 over a checkpoint (C2SP tlog-cosignature).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from custodes.errors import BadSignature, ConfigError, CouldNotCheck

ED25519: Final = 0x01
COSIGNED_ED25519: Final = 0x04
COSIGNED_MLDSA44: Final = 0x06
KEY_BYTES: Final = {ED25519: 32, COSIGNED_ED25519: 32, COSIGNED_MLDSA44: 1312}
MOST_LINES: Final = 100
_DASH: Final = "— "
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class Malformed(BadSignature):
    """The bytes are no signed note."""


class Unsigned(CouldNotCheck):
    """No key that the reader knows has signed the note."""


class Ambiguous(ConfigError):
    """Two of the reader's keys share name and key id."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line. `value`: the bytes after the key id."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        """Return the line as it stands in a note."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.value).decode('ascii')}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note as read; nothing in it is verified. `text` ends with a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """Return the note's bytes."""
        return (self.text + "\n" + "".join(signature.line() for signature in self.signatures)).encode()


@dataclass(frozen=True, slots=True)
class Key:
    """A verifier key ("vkey"). `public`: 32 bytes for the Ed25519 types, 1,312 for ML-DSA-44."""

    name: str
    key_id: bytes
    kind: int
    public: bytes

    def vkey(self) -> str:
        """Return the key as text, as it stands in a policy file."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes((self.kind,)) + self.public).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A note of which at least one known key's signature holds, and none fails. Each key counts once."""

    text: str
    verified: tuple[Key, ...]
    unverified: tuple[Signature, ...] = field(default=())


def make_key(name: str, kind: int, public: bytes) -> Key:
    """Return the verifier key of a public key. Raises `ConfigError` for a name or length that the format does not allow."""
    if not good_name(name):
        raise ConfigError("a key name must not be empty and holds no space, plus or control character")
    if KEY_BYTES.get(kind) != len(public):
        raise ConfigError("this verifier key has an unknown type or a wrong length")
    return Key(name, sha256(name.encode() + b"\n" + bytes((kind,)) + public).digest()[:4], kind, public)


def parse_key(text: str) -> Key:
    """Read a vkey `name+id+base64(type ‖ key)`. Raises `ConfigError` if any part is wrong or the id is not the key's."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise ConfigError("a verifier key has three parts joined by +")
    material = _decode(parts[2])
    if material is None or not material:
        raise ConfigError("the third part of a verifier key is base64 of its type and key")
    key = make_key(parts[0], material[0], material[1:])
    if key.key_id.hex() != parts[1]:
        raise ConfigError("the verifier key's id does not belong to its name and key")
    return key


def good_name(name: str) -> bool:
    """Say whether `name` may name a key."""
    return bool(name) and "+" not in name and not any(char.isspace() or char < " " for char in name)


def parse(data: bytes) -> Note:
    """Read a note. Raises `Malformed`; says nothing about its signatures."""
    # 1. UTF-8 without control characters other than newline.
    try:
        whole = data.decode()
    except UnicodeDecodeError:
        raise Malformed("the note is not UTF-8") from None
    if _CONTROL.search(whole):
        raise Malformed("the note holds a control character")
    # 2. The last blank line divides text and signatures.
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n"):
        raise Malformed("the note has no blank line before its signatures, or does not end its last line")
    text, lines = whole[: at + 1], whole[at + 2 :].split("\n")[:-1]
    if not 1 <= len(lines) <= MOST_LINES:
        raise Malformed(f"the note has no signature line, or more than {MOST_LINES}")
    # 3. Each line is a signature.
    return Note(text, tuple(_parse_line(line) for line in lines))


def _parse_line(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    value = _decode(encoded)
    if not line.startswith(_DASH) or not space or not good_name(name) or value is None or len(value) < 5:
        raise Malformed("a signature line is not `— name base64`")
    return Signature(name, value[:4], value[4:])


def verify(note: Note, keys: Sequence[Key]) -> Opened:
    """Check every signature of a known key and return the keys that signed.

    Raises `BadSignature` if one of them fails, `Unsigned` if no known key signed, `Ambiguous` if two keys answer to one line.
    """
    verified: list[Key] = []
    unverified: list[Signature] = []
    for signature in dict.fromkeys(note.signatures):  # equal lines count once; another line of the same key must hold too
        known = [key for key in keys if (key.name, key.key_id) == (signature.name, signature.key_id)]
        if len(known) > 1:
            raise Ambiguous("two of the given keys share a name and a key id")
        if not known:
            unverified.append(signature)
        elif not _holds(known[0], note.text, signature.value):
            raise BadSignature(f"the signature of {signature.name} does not verify")
        elif known[0] not in verified:
            verified.append(known[0])
    if not verified:
        raise Unsigned("no key that was given has signed this note")
    return Opened(note.text, tuple(verified), tuple(unverified))


def _holds(key: Key, text: str, value: bytes) -> bool:
    if key.kind == ED25519:
        return _ed25519(key.public, value, text.encode())
    if len(value) < 8 or value[0] & 0x80:  # the time is below 2^63
        return False
    time, rest = int.from_bytes(value[:8], "big"), value[8:]
    if key.kind == COSIGNED_ED25519:
        return _ed25519(key.public, rest, f"cosignature/v1\ntime {time}\n{text}".encode())
    message = cosigned_message(key.name, time, text)
    return message is not None and _mldsa44(key.public, rest, message)


def cosigned_message(cosigner: str, time: int, text: str) -> bytes | None:
    """Return the message that an ML-DSA-44 cosigner signs for the checkpoint `text`, or `None` if `text` is none.

    Extension lines are not covered. `time`: POSIX seconds; zero makes no statement about being the largest tree seen.
    """
    lines = text.split("\n")
    name, origin = cosigner.encode(), lines[0].encode()
    root = _decode(lines[2]) if len(lines) > 3 else None
    if root is None or len(root) != 32 or not lines[1].isdecimal() or not 1 <= len(name) < 256 or not 1 <= len(origin) < 256:
        return None
    if int(lines[1]) >= 2**64:
        return None
    parts = (b"subtree/v1\n\x00", bytes((len(name),)), name, time.to_bytes(8, "big"), bytes((len(origin),)), origin)
    return b"".join((*parts, bytes(8), int(lines[1]).to_bytes(8, "big"), root))


def _ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _mldsa44(public: bytes, signature: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

    try:
        MLDSA44PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _decode(text: str) -> bytes | None:
    """Return standard base64 decoded, or `None` if it is not exactly what encoding gives."""
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if base64.b64encode(value).decode("ascii") == text else None
