"""Whose key is whose, and since when: read from leaves, never from a table that somebody could edit.

The first keys stand in the home's second leaf, written when it was made. Any later key is enrolled by two *other* people, one of
them from outside the person's unit, and counts 24 hours later: time to notice, and for one denial to stop it. The key that began
last is the person's only one. A revoked key counts no more from that moment on, and the key before it does not come back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from custodes.errors import ConfigError
from custodes.guard.passkey import PREFIX, passkey_of
from custodes.ledger.policy import LOW_ORDER
from custodes.model.canonical import Json

DELAY: Final = timedelta(hours=24)
LEAST: Final = 3
"""First keys of a home: one person asks, two others approve."""


@dataclass(slots=True)
class Key:
    """One enrolled key. `request`: index of the leaf that asked for it, None for a first key; `revoked`: when it ended.

    `public`: 32 bytes for Ed25519, else the form of a passkey that enrolments show.
    """

    actor: str
    public: bytes
    begins: datetime
    request: int | None = None
    revoked: datetime | None = None

    @property
    def is_passkey(self) -> bool:
        """Say whether it shows that its holder was there."""
        return self.public.startswith(PREFIX.encode())

    def written(self) -> str:
        """Return it as requests name it."""
        return self.public.decode() if self.is_passkey else self.public.hex()


class Keys:
    """The keys of all approvers, in the order of their leaves."""

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def add(self, key: Key) -> None:
        """Take a key that was enrolled."""
        self._keys.append(key)

    def drop(self, request: int) -> None:
        """Forget the key that was asked for in leaf `request`: somebody denied it before it began."""
        self._keys = [key for key in self._keys if key.request != request]

    def of(self, actor: str, at: datetime) -> bytes | None:
        """Return the actor's Ed25519 key in force at a time, or None."""
        return self._last(actor, at, passkey=False)

    def passkey(self, actor: str, at: datetime) -> bytes | None:
        """Return the actor's passkey in force at a time, or None. It stands beside an Ed25519 key, and weighs more."""
        return self._last(actor, at, passkey=True)

    def stands(self, actor: str, at: datetime) -> bool:
        """Say whether any key of an actor is in force at a time."""
        return self.of(actor, at) is not None or self.passkey(actor, at) is not None

    def still(self, actor: str, then: datetime, now: datetime) -> bool:
        """Say whether what an actor could sign with at `then` is in force at `now`: else what they signed counts no more."""
        had = [kind for kind in (self.of, self.passkey) if kind(actor, then) is not None]
        return bool(had) and all(kind(actor, now) == kind(actor, then) for kind in had)

    def _last(self, actor: str, at: datetime, *, passkey: bool) -> bytes | None:
        mine = [key for key in self._keys if key.actor == actor and key.is_passkey is passkey]
        begun = [key for key in mine if key.begins <= at and not _never_began(key)]
        last = max(begun, key=lambda key: key.begins, default=None)
        return last.public if last is not None and (last.revoked is None or at < last.revoked) else None

    def holder(self, public: bytes) -> str | None:
        """Return the actor a public key was ever enrolled for. A key belongs to one actor for good."""
        return next((key.actor for key in self._keys if key.public == public), None)

    def revoke(self, actor: str, public: bytes, at: datetime) -> None:
        """End a key."""
        for key in self._keys:
            if key.actor == actor and key.public == public and key.revoked is None:
                key.revoked = at


def _never_began(key: Key) -> bool:
    return key.revoked is not None and key.revoked <= key.begins


def first_keys(what: Mapping[str, Json], at: datetime) -> list[Key]:
    """Return the keys of a home's second leaf; none if that leaf is about something else."""
    listed = what.get("keys") if what.get("what") == "approvers" else None
    return [Key(actor, bytes.fromhex(str(public)), at) for actor, public in listed.items()] if isinstance(listed, Mapping) else []


def first_record(keys: Mapping[str, bytes]) -> dict[str, Json]:
    """Return what that leaf says. `keys`: actor (pseudonym) → public key.

    Raises `ConfigError` for fewer than three people, a key given twice, or bytes that are no key.
    """
    if len(keys) < LEAST or len(set(keys.values())) < len(keys):
        raise ConfigError(
            f"name at least {LEAST} approvers, each with a key of their own",
            hint="one person asks for an erasure, two others approve",
        )
    return {"what": "approvers", "keys": {actor: public_key(key.hex()).hex() for actor, key in sorted(keys.items())}}


def key_of(text: str) -> bytes:
    """Return the bytes of a key as requests name it: a public key in hex, or a passkey. Raises `ConfigError`."""
    return passkey_of(text).to_text().encode() if text.startswith(PREFIX) else public_key(text)


def public_key(text: str) -> bytes:
    """Return the 32 bytes of a public key in hex.

    Raises `ConfigError` for anything else, and for keys under which anybody can sign.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32 or key in LOW_ORDER:
        raise ConfigError("a public key is 64 hex digits, as `custodes ledger approver keygen` prints it")
    return key
