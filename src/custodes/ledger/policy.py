"""A reader's policy (C2SP tlog-policy): which logs to believe, and which witnesses must have seen a checkpoint.

It is the reader's own file and never taken from the log that it judges. Where the Go package is more lenient than the
specification, the specification is followed; the 14 Ed25519 keys of low order are refused, because they verify signatures that
nobody made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from custodes.errors import ConfigError
from custodes.ledger.note import COSIGNED_ED25519, COSIGNED_MLDSA44, ED25519, Key, parse_key

_P: Final = 2**255 - 19
_EIGHT: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
LOW_ORDER: Final = frozenset(
    (y | sign << 255).to_bytes(32, "little") for y in (0, 1, _P - 1, _P, _P + 1, _EIGHT, _P - _EIGHT) for sign in (0, 1)
)
"""Every encoding of a point of low order."""
_LOG_KINDS: Final = (ED25519, COSIGNED_MLDSA44)
_WITNESS_KINDS: Final = (COSIGNED_ED25519, COSIGNED_MLDSA44)


@dataclass(frozen=True, slots=True)
class Group:
    """`threshold` of `members` (names of witnesses or groups)."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """`quorum`: name of a witness or group, or "none"."""

    logs: tuple[Key, ...]
    witnesses: Mapping[str, Key]
    groups: Mapping[str, Group]
    quorum: str
    urls: Mapping[str, str] = field(default_factory=dict)
    """Name of a witness → where it takes checkpoints, if the file says so."""

    def is_met(self, cosigners: Collection[Key]) -> bool:
        """Say whether the keys that have verifiably cosigned a checkpoint are enough."""
        return self.quorum == "none" or self._has(self.quorum, cosigners)

    def _has(self, name: str, cosigners: Collection[Key]) -> bool:
        if name in self.witnesses:
            return self.witnesses[name] in cosigners
        group = self.groups[name]
        return sum(self._has(member, cosigners) for member in group.members) >= group.threshold


def parse_policy(data: bytes) -> Policy:
    """Read a policy file. Raises `ConfigError` that names the line."""
    if any((octet < 0x20 and octet not in b"\t\n") or octet == 0x7F for octet in data):
        raise ConfigError("a policy file holds a control character")
    reader = _Reader()
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
        words = [word for word in re.split(r"[ \t]+", line) if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            reader.take(words)
        except ConfigError as wrong:
            raise ConfigError(f"policy, line {number}: {wrong}") from None
    if reader.quorum is None:
        raise ConfigError("a policy has exactly one quorum line (`quorum none` asks for no witness)")
    return Policy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum, reader.urls)


class _Reader:
    def __init__(self) -> None:
        self.logs: list[Key] = []
        self.witnesses: dict[str, Key] = {}
        self.groups: dict[str, Group] = {}
        self.urls: dict[str, str] = {}
        self.quorum: str | None = None
        self._keys: set[bytes] = set()
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self.logs.append(self._key(vkey, _LOG_KINDS))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._fresh(name)
                self.witnesses[name] = self._key(vkey, _WITNESS_KINDS)
                if url:
                    self.urls[name] = url[0]
            case ["group", name, threshold, *members]:
                self._group(name, threshold, members)
            case ["quorum", name]:
                if self.quorum is not None:
                    raise ConfigError("there is a second quorum line")
                if name != "none" and not self._is_known(name):
                    raise ConfigError("the quorum names nothing that stands above it")
                self.quorum = name
            case _:
                raise ConfigError("this is no log, witness, group or quorum line")

    def _key(self, vkey: str, kinds: tuple[int, ...]) -> Key:
        try:
            key = parse_key(vkey)
        except UnicodeEncodeError:
            raise ConfigError("a key's name is not UTF-8") from None
        if key.kind not in kinds:
            raise ConfigError("a key of this type may not stand in this line")
        if key.public in LOW_ORDER:
            raise ConfigError("this public key is of low order: it verifies signatures that nobody made")
        if key.public in self._keys:
            raise ConfigError("this public key stands in the policy already")
        self._keys.add(key.public)
        return key

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        self._fresh(name)
        if not members:
            raise ConfigError("a group has at least one member")
        for member in members:
            if not self._is_known(member):
                raise ConfigError("a group's member is a witness or group that stands above it")
            if member in self._members:
                raise ConfigError("a name is a member once")
            self._members.add(member)
        words = {"all": len(members), "any": 1}
        if threshold not in words and not (threshold.isascii() and threshold.isdecimal()):
            raise ConfigError("a group's threshold is a number, all or any")
        count = words[threshold] if threshold in words else int(threshold)
        if not 1 <= count <= len(members):
            raise ConfigError("a group's threshold is at least 1 and at most the number of its members")
        self.groups[name] = Group(count, tuple(members))

    def _fresh(self, name: str) -> None:
        if name == "none" or self._is_known(name):
            raise ConfigError("this name is taken")

    def _is_known(self, name: str) -> bool:
        return name in self.witnesses or name in self.groups
