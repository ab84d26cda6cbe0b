"""Evidence bundles, `custodes.bundle/1`: one deterministic zip that an outsider checks offline. Reading and writing, nothing else.

    manifest.json            kind, origin, size, claims, and the SHA-256 of every other member
    checkpoint               the signed note that all proofs lead to        checkpoint.tsr   a time-stamp over it, if there is one
    log/tile/<L>/<N>[.p/<W>] the tiles of hashes that the entries' paths go through (never entry bundles)
    proofs/<index>.tlog-proof   one for each entry, the entry in its `extra` line
    openings.ndjson          one line for each entry: which of its groups are shown
    index/checkpoint, index/<YYYY-MM>.json   bundles about a subject: the answers of the verifiable index
    policy.example, verify.py, README.txt    for the reader; nothing in them is believed

Members are stored, with one fixed time, in the order of their names, so that the same members always make the same bytes. Reading
refuses whatever `pack` would not have written: other names, orders, times or methods, links, comments, gaps, bytes before or after.
All JSON in it is canonical (RFC 8785), so that nothing can be read in two ways.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from custodes.errors import BadInclusion, UnknownVersion
from custodes.ledger.leaf import GROUPS, group_digest, join
from custodes.ledger.tiles import parse_tile_path
from custodes.model.canonical import Json, canonical

SCHEMA: Final = "custodes.bundle/1"
SUFFIX: Final = ".custodes-bundle"
KINDS: Final = ("leaf", "subject")
MAGIC: Final = b"PK"
MOST_BYTES: Final = 1 << 30
MOST_MEMBERS: Final = 65_535
ALWAYS: Final = frozenset({"README.txt", "checkpoint", "manifest.json", "openings.ndjson", "policy.example", "verify.py"})

_FIXED: Final = re.compile(
    r"README\.txt|checkpoint|checkpoint\.tsr|manifest\.json|openings\.ndjson|policy\.example|verify\.py|index/checkpoint"
    r"|index/[0-9]{4}-(?:0[1-9]|1[0-2])\.json|proofs/(?:0|[1-9][0-9]{0,18})\.tlog-proof"
)
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_TIME, _DATE = 0, 33
"""1980-01-01 00:00, the first time that a zip can say."""
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_MANIFEST: Final = {
    "complete": dict,
    "included": list,
    "kind": str,
    "members": dict,
    "origin": str,
    "schema": str,
    "size": int,
}


class BadBundle(BadInclusion):
    """The bytes are not a bundle, or a part of one is not what the format allows."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle claims. `included`: indexes of its entries, ascending; `complete`: month → hex tag, for kind "subject"."""

    kind: str
    origin: str
    size: int
    included: tuple[int, ...]
    complete: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A group as a bundle holds it: `value` (canonical bytes) and `salt` if it is shown, `digest` in any case; absent: zeros."""

    digest: bytes
    salt: bytes = b""
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """One line of `openings.ndjson`. `groups`: by number, empty if nothing of the entry is shown."""

    index: int
    leaf: bytes
    groups: tuple[Shown, ...]

    def commitment(self) -> bytes:
        """Return what the shown groups and the digests of the others add up to; the leaf must carry it."""
        return join([group.digest for group in self.groups])

    def to_line(self) -> bytes:
        """Return the line, ended."""
        groups: dict[str, Json] | None = None
        if self.groups:
            groups = {name: _group_to_json(group) for name, group in zip(GROUPS, self.groups, strict=True)}
        return canonical({"groups": groups, "index": self.index, "leaf": self.leaf.hex()}) + b"\n"


# The whole


def seal(manifest: Manifest, members: Mapping[str, bytes]) -> bytes:
    """Return the bytes of a bundle. The same arguments always give the same bytes."""
    listed: dict[str, Json] = {name: sha256(body).hexdigest() for name, body in members.items()}
    document: dict[str, Json] = {
        "schema": SCHEMA,
        "kind": manifest.kind,
        "origin": manifest.origin,
        "size": manifest.size,
        "included": list(manifest.included),
        "complete": dict(manifest.complete),
        "members": listed,
    }
    return pack({**members, "manifest.json": canonical(document)})


def open_bundle(data: bytes) -> tuple[Manifest, dict[str, bytes]]:
    """Return manifest and members; every member is the one that the manifest lists. Its claims are not looked at.

    Raises `BadBundle`; `UnknownVersion` for another schema or kind.
    """
    members = unpack(data)
    document = read_json(members["manifest.json"])
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UnknownVersion("the bundle is of a version that this reader does not know")
    fields = shaped(document, _MANIFEST)
    if fields["kind"] not in KINDS:
        raise UnknownVersion("the bundle is of a kind that this reader does not know")
    if fields["members"] != {name: sha256(body).hexdigest() for name, body in members.items() if name != "manifest.json"}:
        raise BadBundle("a member of the bundle is not the one that its manifest lists")
    if any(type(at) is not int for at in fields["included"]) or any(type(tag) is not str for tag in fields["complete"].values()):
        raise BadBundle("the claims of the manifest are malformed")
    return (
        Manifest(fields["kind"], fields["origin"], fields["size"], tuple(fields["included"]), fields["complete"]),
        members,
    )


# The container


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the one zip of these members. Raises `BadBundle` for names and sizes that a bundle does not have."""
    if not members.keys() >= ALWAYS or len(members) > MOST_MEMBERS:
        raise BadBundle("a bundle lacks a member that every bundle has, or has too many")
    files: list[bytes] = []
    directory: list[bytes] = []
    at = 0
    for name in sorted(members):
        if not good_name(name):
            raise BadBundle("a member has a name that no bundle has")
        head, row = _heads(name, members[name], at)
        files += [head, members[name]]
        directory.append(row)
        at += len(head) + len(members[name])
    rows = b"".join(directory)
    if at + len(rows) + _END.size > MOST_BYTES:
        raise BadBundle("the bundle would be larger than 1 GiB")
    return b"".join([*files, rows, _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(rows), at, 0)])


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the members of a bundle. Raises `BadBundle` for anything that `pack` does not write."""
    if len(data) > MOST_BYTES:
        raise BadBundle("the bundle is larger than 1 GiB")
    if len(data) < _END.size:
        raise BadBundle("the bundle is cut off")
    magic, disk, start_disk, here, count, length, start, comment = _END.unpack(data[-_END.size :])
    if magic != b"PK\x05\x06" or disk or start_disk or here != count or comment or start + length + _END.size != len(data):
        raise BadBundle("the bundle does not end with the list of its members")
    members: dict[str, bytes] = {}
    row, end = start, 0
    for _ in range(count):
        if row + _CENTRAL.size > start + length:
            raise BadBundle("the list of members is cut off")
        fields = _CENTRAL.unpack_from(data, row)
        size, named, offset = fields[8], fields[10], fields[16]
        raw = data[row + _CENTRAL.size : row + _CENTRAL.size + named]
        body = data[offset + _LOCAL.size + named : offset + _LOCAL.size + named + size]
        name = raw.decode("latin-1")
        _refuse(name, fields, members)
        head, expected = _heads(name, body, end)
        if offset != end or data[offset : offset + len(head)] != head or data[row : row + len(expected)] != expected:
            raise BadBundle("a member is not stored as a bundle stores it")
        members[name] = body
        end, row = end + len(head) + size, row + len(expected)
    if end != start or row != start + length:
        raise BadBundle("there are bytes between the members of the bundle")
    if not members.keys() >= ALWAYS:
        raise BadBundle("the bundle lacks a member that every bundle has")
    return members


def good_name(name: str) -> bool:
    """Say whether a bundle may have a member of this name."""
    if name.startswith("log/"):
        tile = parse_tile_path(name[4:])
        return tile is not None and 0 <= tile.level <= 7
    return _FIXED.fullmatch(name) is not None


def _refuse(name: str, fields: tuple[int, ...], members: dict[str, bytes]) -> None:
    """Name the tricks that zip readers fall for; what is left is caught by comparing with what `pack` writes."""
    if name in members:
        raise BadBundle("a member stands in the bundle twice")
    if name.startswith(("/", "\\")) or ".." in name.split("/") or ":" in name:
        raise BadBundle("a member's name leads out of the bundle")
    if fields[4]:
        raise BadBundle("a member is compressed")
    if fields[15] >> 16 != 0o100644:
        raise BadBundle("a member is a link or no plain file")
    if not good_name(name):
        raise BadBundle("a member has a name that no bundle has")
    if members and name < next(reversed(members)):
        raise BadBundle("the members do not stand in the order of their names")


def _heads(name: str, body: bytes, at: int) -> tuple[bytes, bytes]:
    """Return a member's header, and its row in the list at the end."""
    raw = name.encode("latin-1")
    crc, size = zlib.crc32(body), len(body)
    local = _LOCAL.pack(b"PK\x03\x04", 20, 0, 0, _TIME, _DATE, crc, size, size, len(raw), 0) + raw
    mode = 0o100644 << 16
    made = 3 << 8 | 20
    row = _CENTRAL.pack(b"PK\x01\x02", made, 20, 0, 0, _TIME, _DATE, crc, size, size, len(raw), 0, 0, 0, 0, mode, at)
    return local, row + raw


# Its JSON


def read_json(data: bytes) -> object:
    """Return the value of canonical JSON. Raises `BadBundle` for any other form of it."""
    try:
        value = json.loads(data.decode("utf-8", "surrogatepass"))
        exact = canonical(value) == data
    except (ValueError, TypeError, RecursionError):
        exact, value = False, None
    if not exact:
        raise BadBundle("a part of the bundle is not canonical JSON")
    return value


def shaped(value: object, fields: Mapping[str, type]) -> dict[str, Any]:
    """Return `value` if it is a map of exactly these fields, each exactly of its type. Raises `BadBundle`."""
    if not isinstance(value, dict) or {name: type(item) for name, item in value.items()} != fields:
        raise BadBundle("a part of the bundle has other fields than its format")
    return value


def unhex(text: object, size: int = 32) -> bytes:
    """Return `size` bytes from lower-case hex. Raises `BadBundle`."""
    if not isinstance(text, str) or len(text) != 2 * size or not _HEX.fullmatch(text):
        raise BadBundle("a value of the bundle is not hex of its length")
    return bytes.fromhex(text)


def hidden(content: bytes | None, group: int, group_salt: bytes) -> Shown:
    """Return a group that is not shown: its digest alone, which nobody can test a guess against."""
    return Shown(bytes(32) if content is None else group_digest(group, group_salt, content))


def shown(content: bytes | None, group: int, group_salt: bytes) -> Shown:
    """Return a group that is shown, with the salt that its digest is computed with."""
    return hidden(None, group, b"") if content is None else Shown(group_digest(group, group_salt, content), group_salt, content)


def read_openings(data: bytes) -> list[OpenedEntry]:
    """Return the lines of `openings.ndjson`, in ascending order of their indexes; values are not parsed. Raises `BadBundle`."""
    lines = data.split(b"\n")
    if lines.pop():
        raise BadBundle("the last opening is cut off")
    entries: list[OpenedEntry] = []
    for line in lines:
        document = read_json(line)
        if not isinstance(document, dict) or document.keys() != {"groups", "index", "leaf"} or type(document["index"]) is not int:
            raise BadBundle("an opening has other fields than its format")
        index = document["index"]
        if index < 0 or (entries and index <= entries[-1].index):
            raise BadBundle("the openings do not ascend")
        entries.append(OpenedEntry(index, unhex(document["leaf"], 96), _groups(document["groups"])))
    return entries


def _groups(value: object) -> tuple[Shown, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or value.keys() != set(GROUPS):
        raise BadBundle("an opening has other groups than a leaf")
    return tuple(_group(number, value[name]) for number, name in enumerate(GROUPS))


def _group(number: int, value: object) -> Shown:
    if value is None:
        return Shown(bytes(32))
    if isinstance(value, dict) and value.keys() == {"digest"}:
        return Shown(unhex(value["digest"]))
    fields = shaped(value, {"salt": str, "value": str})
    return shown(fields["value"].encode("utf-8", "surrogatepass"), number, unhex(fields["salt"]))


def _group_to_json(group: Shown) -> Json:
    if group.value is not None:
        return {"salt": group.salt.hex(), "value": group.value.decode("utf-8", "surrogatepass")}
    return {"digest": group.digest.hex()} if group.digest != bytes(32) else None


def hashes_to_json(hashes: Sequence[bytes]) -> list[Json]:
    """Return hashes as a list of hex."""
    return [value.hex() for value in hashes]
