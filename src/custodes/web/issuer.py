"""The public keys of whoever issues tokens: from a file, or from a JWKS address. Nothing a token says names a key's address.

From an address: https (or loopback), no redirects, 256 KiB, five seconds. A key that is not known has the set fetched again, at
most once a minute, so that strangers' tokens cannot make the service hammer the issuer. If the issuer is down, the last good set
stands for a day; then nobody is let in.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from custodes.errors import ConfigError, Outage

if TYPE_CHECKING:
    import jwt

ALGORITHMS: Final = ("EdDSA", "ES256", "ES384", "RS256", "PS256")
"""What a token may be signed with. Shared secrets and `none` are not among them, whatever the settings say."""
_MOST: Final = 256 * 1024
_TIMEOUT_S: Final = 5
_AGAIN_S: Final = 60
_STALE_S: Final = 86_400


class IssuerKeys:
    """Finds a key by its id. Safe for threads. `clock`: monotonic seconds."""

    def __init__(self, place: str, home: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`place`: a file (in `home`, unless absolute; JWKS or one PEM key), or an address.

        Raises `ConfigError` for a file that holds no key, or an address that is neither https nor loopback.
        """
        self._clock, self._turn = clock, threading.Lock()
        self._address = place if "://" in place else ""
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._asked = self._good = -float("inf")
        if self._address:
            _check_address(self._address)
        else:
            try:
                self._keys = _keys_of((home / place).read_bytes())
            except OSError as wrong:
                raise ConfigError(f"serve.keys: {place} cannot be read: {wrong.strerror}") from None

    def find(self, name: str | None) -> jwt.PyJWK | None:
        """Return the key of that id, or None. Without an id: the only key, if there is only one. Raises `Outage`."""
        found = self._find(name)
        if found is None and self._address:
            self._ask()
            found = self._find(name)
        if self._address and self._clock() - self._good > _STALE_S:
            raise Outage("the issuer's keys cannot be fetched")
        return found

    def has(self, name: str | None) -> bool:
        """Say whether the key of that id is at hand: `find` then asks nobody."""
        return self._find(name) is not None

    def _find(self, name: str | None) -> jwt.PyJWK | None:
        if name is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(name)

    def _ask(self) -> None:
        with self._turn:
            if self._clock() - self._asked < _AGAIN_S:
                return
            self._asked = self._clock()
            try:
                self._keys = _keys_of(_fetch(self._address))
            except (OSError, ValueError, ConfigError):
                return  # the last good set stands, and its age is looked at by `find`
            self._good = self._clock()


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nobody."""


def _fetch(address: str) -> bytes:
    opener = urllib.request.build_opener(_Stays, urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=_TIMEOUT_S) as answer:
        body: bytes = answer.read(_MOST + 1)
    if len(body) > _MOST:
        raise ValueError("too long")
    return body


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return
    raise ConfigError("serve.keys: an address begins with https://")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine. Other names than localhost are not looked up: they may change."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _keys_of(data: bytes) -> dict[str | None, jwt.PyJWK]:
    import jwt
    from jwt.algorithms import get_default_algorithms

    if b"-----BEGIN" in data:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        key = load_pem_public_key(data)
        for name in ALGORITHMS:
            try:
                prepared = get_default_algorithms()[name].prepare_key(key)
                document = json.loads(get_default_algorithms()[name].to_jwk(prepared))
                return {None: jwt.PyJWK(document, algorithm=name)}
            except (TypeError, jwt.PyJWTError):
                continue
        raise ConfigError("serve.keys: this kind of key is not known")
    try:
        listed = json.loads(data)["keys"]
        found = [jwt.PyJWK(item) for item in listed if item.get("use", "sig") == "sig" and item.get("kty") in {"RSA", "EC", "OKP"}]
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError):
        raise ConfigError("serve.keys: neither a JWKS nor a PEM public key") from None
    if not found:
        raise ConfigError("serve.keys: no public key in it")
    return {key.key_id: key for key in found}
