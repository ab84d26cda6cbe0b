"""The registry file: fixed-size entries, each under a name and a key that follow from the registry key *and* the subject.

    entry = name 16 | nonce 12 | sealed 68      name = keyed hash of (subject, n), n = 0, 1, 2 … for further classes of one subject

Unused entries are random bytes, so the file says only that it holds at most so many. It grows by whole blocks of 256 entries.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from custodes.errors import ConfigError, NotDurable, PartMissing

FILE: Final = "registry"
_NAME: Final = 16
_NONCE: Final = 12
_PLAIN: Final = 52
_ENTRY: Final = _NAME + _NONCE + _PLAIN + 16
_BLOCK: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One class of one subject, in force from `enrolled` (None = always) up to, not including, `expires` (None = for good)."""

    cls: str
    enrolled: datetime | None = None
    expires: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Say whether it is in force at `at` (aware)."""
        return (self.enrolled is None or self.enrolled <= at) and (self.expires is None or at < self.expires)


class Keyed(Protocol):
    """A keyed hash: the registry key, wherever it is kept (a file, or a token that never hands it out)."""

    def __call__(self, label: bytes, data: bytes, size: int) -> bytes:
        """Return `size` bytes, at most 32, that nobody computes without the key. Raises `Outage`."""


def keyed_by(key: bytes) -> Keyed:
    """Return the keyed hash of a key of 32 bytes in memory."""

    @cache
    def under(label: bytes) -> bytes:
        return blake2b(label, key=key, digest_size=32).digest()

    return lambda label, data, size: blake2b(data, key=under(label), digest_size=size).digest()


class Registry:
    """The registry of one home, kept in `path`. `key`: 32 bytes, or a keyed hash. One writer at a time.

    `fresh`: for a key that follows another one. Its file has a name that follows from the key, beside that of the key before: so
    the key is exchanged in one step, and no key ever reads another's file.
    """

    def __init__(self, path: Path, key: bytes | Keyed, *, fresh: bool = False) -> None:
        self._path, self._fresh = path, fresh
        self._keyed = keyed_by(key) if isinstance(key, bytes) else key
        self._entries: dict[bytes, bytes] | None = None
        self._seen: tuple[int, ...] | None = None

    def enrol(self, subject: str, cls: str, expires: datetime | None = None, *, enrolled: datetime | None = None) -> bool:
        """Enrol one subject (pseudonym) in a class; see `enrol_all`."""
        return self.enrol_all([(subject, Enrolment(cls, enrolled, expires))]) == 1

    def enrol_all(self, subjects: Iterable[tuple[str, Enrolment]]) -> int:
        """Enrol subjects; return how many enrolments were new. Durable on return. Protection is only ever added.

        Raises `ConfigError` for a class name of more than 32 bytes, `NotDurable`.
        """
        entries = dict(self._read())
        added = 0
        for subject, enrolment in subjects:
            known = list(self._open_all(subject, entries))
            if enrolment in known:
                continue
            name = self._name(subject, len(known))
            entries[name] = self._seal(subject, name, enrolment)
            added += 1
        if added:
            self._write(entries)
        return added

    def forget(self, subject: str) -> int:
        """Take out all enrolments of an erased subject; return how many there were. Durable on return, repeatable.

        This is no way to lift protection: only the erasure of the subject's data may call it. Raises `NotDurable`.
        """
        entries = dict(self._read())
        known = len(list(self._open_all(subject, entries)))
        for number in range(known):
            del entries[self._name(subject, number)]
        if known:
            self._write(entries)
        self._file().with_suffix(".new").unlink(missing_ok=True)  # what a crash left
        return known

    def is_exactly(self, rows: Iterable[tuple[str, Enrolment]]) -> bool:
        """Say whether it holds the given rows and no other. Who does not have the whole list learns nothing by it."""
        given = set(rows)
        known = self.enrolments({subject for subject, _ in given})
        return all(row[1] in known.get(row[0], ()) for row in given) and len(given) == len(self._read())

    def leave_to(self, other: Registry) -> None:
        """Take this registry's file away once another key's has taken its place. Repeatable."""
        if other._file() != self._file():
            self._file().unlink(missing_ok=True)

    def enrolments(self, subjects: Iterable[str]) -> dict[str, tuple[Enrolment, ...]]:
        """Return what is known of the given subjects; those without an entry are absent. There is no way to ask for all."""
        entries = self._read()
        if not entries:
            return {}
        known = [subject for subject in subjects if self._name(subject, 0) in entries]  # of millions few are
        return {subject: tuple(self._open_all(subject, entries)) for subject in known}

    def classes_of(self, subjects: Iterable[str], at: datetime) -> dict[str, tuple[str, ...]]:
        """Return the classes in force at `at` of the given subjects; subjects without any are absent."""
        known = ((subject, tuple(e.cls for e in found if e.holds(at))) for subject, found in self.enrolments(subjects).items())
        return {subject: classes for subject, classes in known if classes}

    def is_current(self) -> bool:
        """Say whether the file is the one that was last read or written here."""
        return self._entries is None or self._seen == self._stamp()

    def drawn(self, subject: str) -> float:
        """Return a number in [0, 1) that the key draws for a subject, always the same: whom it makes a decoy."""
        return int.from_bytes(self._keyed(b"registry decoys", subject.encode(), 8), "big") / 2**64

    def _name(self, subject: str, number: int) -> bytes:
        return self._keyed(b"registry names", f"{number} {subject}".encode(), _NAME)

    def _cipher(self, subject: str) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(self._keyed(b"registry entries", subject.encode(), 32))

    def _seal(self, subject: str, name: bytes, enrolment: Enrolment) -> bytes:
        plain = _packed(enrolment)
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(subject).encrypt(nonce, plain, name)

    def _open_all(self, subject: str, entries: dict[bytes, bytes]) -> Iterator[Enrolment]:
        number = 0
        while (entry := entries.get(name := self._name(subject, number))) is not None:
            try:
                yield _unpacked(self._cipher(subject).decrypt(entry[:_NONCE], entry[_NONCE:], name))
            except InvalidTag:
                raise PartMissing("an entry of the registry was changed") from None
            number += 1

    def _read(self) -> dict[bytes, bytes]:
        if self._entries is None:
            self._seen = self._stamp()  # before it is read: what comes between is seen as a change
            try:
                data = self._file().read_bytes()
            except FileNotFoundError:
                data = b""
            except OSError as wrong:
                raise PartMissing(f"the registry cannot be read: {wrong.strerror}") from None
            if len(data) % (_BLOCK * _ENTRY):
                raise PartMissing("the registry file was cut", hint="restore it from a backup")
            found = (data[at : at + _ENTRY] for at in range(0, len(data), _ENTRY))
            self._entries = {entry[:_NAME]: entry[_NAME:] for entry in found if not self._is_spare(entry)}
        return self._entries

    def _file(self) -> Path:
        return self._own_file if self._fresh or self._own_file.exists() else self._path / FILE

    @cached_property
    def _own_file(self) -> Path:
        return self._path / f"{FILE}-{self._keyed(b'registry file', b'', 8).hex()}"

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = self._file().stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _is_spare(self, entry: bytes) -> bool:
        """Spare entries carry a keyed mark in their name that only the key's holder can tell from a real name."""
        return self._mark(entry[_NAME:]) == entry[:_NAME]

    def _mark(self, rest: bytes) -> bytes:
        return self._keyed(b"registry spare entries", rest, _NAME)

    def _write(self, entries: dict[bytes, bytes]) -> None:
        slots = [name + rest for name, rest in entries.items()]
        while len(slots) % _BLOCK:
            rest = os.urandom(_ENTRY - _NAME)
            slots.append(self._mark(rest) + rest)
        secrets.SystemRandom().shuffle(slots)
        _replace(self._file(), b"".join(slots))
        self._entries, self._seen = entries, self._stamp()


def _packed(enrolment: Enrolment) -> bytes:
    """Return `enrolled i64 | expires i64 | length u8 | class`, padded: equal length whatever the class."""
    name = enrolment.cls.encode()
    if len(name) > _PLAIN - 20:
        raise ConfigError(f"a protected class has at most {_PLAIN - 20} bytes in its name")
    times = b"".join(_stamp(time).to_bytes(8, "big", signed=True) for time in (enrolment.enrolled, enrolment.expires))
    return (times + bytes([len(name)]) + name).ljust(_PLAIN, b"\0")


def _unpacked(plain: bytes) -> Enrolment:
    begin, end = (int.from_bytes(plain[at : at + 8], "big", signed=True) for at in (0, 8))
    return Enrolment(plain[17 : 17 + plain[16]].decode(), _time(begin), _time(end))


_NONE: Final = -(2**63)


def _stamp(time: datetime | None) -> int:
    if time is None:
        return _NONE
    gap = time - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def _time(stamp: int) -> datetime | None:
    from datetime import timedelta

    return None if stamp == _NONE else _EPOCH + timedelta(microseconds=stamp)


def _replace(target: Path, data: bytes) -> None:
    """Put the file in place in one step, readable by its owner only. Raises `NotDurable`."""
    fresh = target.with_suffix(".new")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(target)
    except OSError as wrong:
        raise NotDurable(f"the registry could not be written: {wrong.strerror}") from None
