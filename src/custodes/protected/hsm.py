"""The registry key in a PKCS#11 token: it never leaves it, and every look-up is an HMAC-SHA256 that the token computes.

Only `custodes.home` imports this module. Whatever the token does not do is an outage, and without a key everybody is protected.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

from custodes.errors import ConfigError, MissingSecret, Outage

_BITS: Final = 256


class TokenKey:
    """A keyed hash inside a token. Fulfils `registry.Keyed`. Safe for threads; one session, opened when first needed."""

    def __init__(self, module: str, token: str, label: str, pin_file: Path) -> None:
        """`module`: the vendor's library; `token`, `label`: names of token and key; `pin_file`: holds the PIN, mode 0600."""
        self._module, self._token, self._label, self._pin_file = module, token, label, pin_file
        self._turn = threading.Lock()
        self._key: Any = None

    def __call__(self, label: bytes, data: bytes, size: int) -> bytes:
        """Return `size` (at most 32) bytes that only the token can compute. Raises `Outage`."""
        pkcs11 = _library()

        with self._turn:
            try:
                if self._key is None:
                    self._key = self._open().get_key(label=self._label, object_class=pkcs11.ObjectClass.SECRET_KEY)
                made: bytes = self._key.sign(label + b"\0" + data, mechanism=pkcs11.Mechanism.SHA256_HMAC)
            except (pkcs11.PKCS11Error, RuntimeError, OSError) as wrong:
                self._key = None
                raise Outage(f"the registry key's token does not answer ({type(wrong).__name__})") from None
        return made[:size]

    def make(self) -> None:
        """Make the key in the token: not extractable, for HMAC only. Raises `ConfigError` if there is one, `Outage`."""
        pkcs11 = _library()

        attributes = {
            pkcs11.Attribute.EXTRACTABLE: False,
            pkcs11.Attribute.SENSITIVE: True,
            pkcs11.Attribute.SIGN: True,
            pkcs11.Attribute.ENCRYPT: False,
            pkcs11.Attribute.WRAP: False,
        }
        with self._turn:
            try:
                session = self._open()
                if list(session.get_objects({pkcs11.Attribute.LABEL: self._label})):
                    raise ConfigError("the token has a key of this name already; keys are never overwritten")
                session.generate_key(pkcs11.KeyType.GENERIC_SECRET, _BITS, label=self._label, store=True, template=attributes)
            except (pkcs11.PKCS11Error, RuntimeError, OSError) as wrong:
                raise Outage(f"the token made no key ({type(wrong).__name__})") from None

    def is_sealed_in(self) -> bool:
        """Say whether the token refuses to hand the key out, by trying. Raises `Outage`."""
        pkcs11 = _library()

        self(b"", b"", 1)
        try:
            value = self._key[pkcs11.Attribute.VALUE]
        except pkcs11.PKCS11Error:
            return True
        return not value

    def _open(self) -> Any:
        pkcs11 = _library()

        try:
            pin = self._pin_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise MissingSecret("the file with the token's PIN cannot be read", hint="see registry.pin_file") from None
        token = pkcs11.lib(self._module).get_token(token_label=self._token)
        try:
            return token.open(rw=True, user_pin=pin)
        except pkcs11.UserAlreadyLoggedIn:  # in another session of this process: its login is ours
            return token.open(rw=True)


def _library() -> Any:
    try:
        import pkcs11
    except ImportError:
        raise ConfigError("PKCS#11 is not installed", hint="pip install 'custodes[hsm]'") from None
    return pkcs11
